// SPDX-License-Identifier: BSD-2-Clause
//! The protection domain around the file server: passes requests to it and replies back.
//!
//! Owns a heap and a second stack that its own account pays for. Decides nothing: a request is
//! decoded, decided and answered in `fsserver/core`. The driver of the disk wakes it; it wakes its
//! clients. After a fault or a rescue the domain continues in `recovery.rs`.
#![no_std]
#![deny(unsafe_code)]

extern crate alloc;

mod program;
mod recovery;
mod regions;

use fsserver_api::{Failure, FsError};
use fsserver_core::{ClientId, HEAP, STACK};
use pd::{PpChannel, Trace};
use pmserver_client::{Error, Message, Pm, ProtocolError, Transport};
use sel4_microkit::{Channel, ChannelSet, Child, Handler, Infallible, MessageInfo};

pub use program::{Disk, FileServerProgram, KEPT, Program};
pub use regions::OwnStack;
use regions::Place;

/// The channel to pmserver.
const PMSERVER: usize = 0;

/// The protection domain with the server that `P` runs.
pub struct Domain<P: Program> {
    service: Service<P, PpChannel>,
    trace: Trace,
}

/// A server over `T`, or why there is none: then every request is refused with that.
type Service<P, T> = Result<<P as Program>::Server<T>, Failure>;

/// Starts the domain. Called once.
#[must_use]
pub fn start<P: Program>() -> Domain<P> {
    // First: before there is a recovery from what is wrong with it.
    let trace = Trace::open(|| None);
    Domain { service: first_service::<P>(), trace }
}

/// Makes the heap and the stack, builds the server, and says where the domain continues after a
/// fault.
fn first_service<P: Program>() -> Service<P, PpChannel> {
    let pm = Pm::new(PpChannel::new(PMSERVER));
    pm.reserve_heap(HEAP).map_err(refused)?;
    pm.reserve_heap(STACK).map_err(refused)?;
    regions::install_heap();
    let server = build::<P, _>(PpChannel::new)?;
    pd::recovery::prepare();
    recovery::register::<P, _>(&pm).map_err(refused)?;
    Ok(server)
}

/// Builds a server from the disk alone.
fn build<P: Program, T: Transport + 'static>(channel: impl Fn(usize) -> T) -> Service<P, T> {
    let disk = match regions::disk().ok_or(FsError::DiskFailed)? {
        Place::Region(vaddr, bytes) => Disk::Region(vaddr, bytes),
        Place::Channel(number) => Disk::Driver(channel(number)),
    };
    P::build(channel(PMSERVER), disk, regions::setup(), regions::stack())
}

/// What clients are told if pmserver refuses fsserver itself something.
fn refused(error: Error) -> Failure {
    Failure::pm_refused(error.kind.status())
}

/// Answers a request that came in on a channel.
fn answer<P: Program, T: Transport + 'static>(
    service: &mut Service<P, T>,
    channel: usize,
    request: Result<Message, ProtocolError>,
) -> Message {
    // Microkit has fewer channels than a byte has values.
    let client = ClientId::of_channel(u8::try_from(channel).unwrap_or(u8::MAX));
    // By reference: moving a message copies registers that it does not have.
    match (service, &request) {
        (_, Err(error)) => error.reply(),
        (Err(failure), _) => failure.reply(),
        (Ok(server), Ok(request)) => P::call(server, client, request, pd::own_time()),
    }
}

/// Notifies the clients that wait for something that has ended.
fn notify<P: Program, T: Transport + 'static>(service: &mut Service<P, T>, notify: impl Fn(usize)) {
    let Ok(server) = service else { return };
    while let Some(client) = P::take_notice(server) {
        notify(client.channel().into());
    }
}

/// Goes on after a notification.
fn wake<P: Program, T: Transport + 'static>(service: &mut Service<P, T>, trace: &mut Trace) {
    trace.begin_notified();
    if let Ok(server) = service {
        P::wake(server);
    }
    trace.end(&Message::default());
}

impl<P: Program> Handler for Domain<P> {
    type Error = Infallible;

    fn protected(
        &mut self,
        channel: Channel,
        request: MessageInfo,
    ) -> Result<MessageInfo, Infallible> {
        let Self { service, trace } = self;
        let channel = channel.index();
        let request = trace.receive(channel, &request);
        let reply = answer::<P, _>(service, channel, request);
        notify::<P, _>(service, |client| Channel::new(client).notify());
        Ok(trace.send(&reply))
    }

    /// The driver of the disk has done something.
    fn notified(&mut self, _: ChannelSet) -> Result<(), Infallible> {
        wake::<P, _>(&mut self.service, &mut self.trace);
        notify::<P, _>(&mut self.service, |client| Channel::new(client).notify());
        Ok(())
    }

    /// fsserver has no children.
    fn fault(&mut self, _: Child, _: MessageInfo) -> Result<Option<MessageInfo>, Infallible> {
        Ok(None)
    }
}
