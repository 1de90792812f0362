// SPDX-License-Identifier: BSD-2-Clause
//! The protection domain around the file server: passes requests to it and replies back.
//!
//! Owns the file system image, and a heap that its own account pays for. Decides nothing: a request
//! is decoded, decided and answered in `fsserver/core`. After a fault or a rescue the domain
//! continues in `recovery.rs`.
#![no_std]
#![deny(unsafe_code)]

mod program;
mod recovery;
mod regions;

use fsserver_api::{Failure, FsError};
use fsserver_core::ClientId;
use pd::PpChannel;
use pmserver_client::{Error, Message, Pm, ProtocolError, Transport};
use sel4_microkit::{Channel, ChannelSet, Child, Handler, Infallible, MessageInfo};

pub use program::{FileServerProgram, Program};

/// The channel to pmserver.
const PMSERVER: usize = 0;

/// The protection domain with the server that `P` runs.
pub struct Domain<P: Program>(Service<P, PpChannel>);

/// A server over `T`, or why there is none: then every request is refused with that.
type Service<P, T> = Result<<P as Program>::Server<T>, Failure>;

/// Starts the domain. Called once.
#[must_use]
pub fn start<P: Program>() -> Domain<P> {
    Domain(first_service::<P>())
}

/// Makes the heap, builds the server on it, and says where the domain continues after a fault.
fn first_service<P: Program>() -> Service<P, PpChannel> {
    let pm = Pm::new(PpChannel::new(PMSERVER));
    pm.reserve_heap(fsserver_core::HEAP).map_err(refused)?;
    regions::install_heap();
    let server = build::<P, _>(PpChannel::new(PMSERVER))?;
    pd::recovery::prepare();
    recovery::register::<P, _>(&pm).map_err(refused)?;
    Ok(server)
}

/// Builds a server from the image alone.
fn build<P: Program, T: Transport>(pmserver: T) -> Service<P, T> {
    let (image_vaddr, image_bytes) = regions::image().ok_or(FsError::Unsupported)?;
    Ok(P::build(pmserver, image_vaddr, image_bytes)?)
}

/// What clients are told if pmserver refuses fsserver itself something.
fn refused(error: Error) -> Failure {
    Failure::pm_refused(error.kind.status())
}

/// Answers a request that came in on a channel.
fn answer<P: Program, T: Transport>(
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

impl<P: Program> Handler for Domain<P> {
    type Error = Infallible;

    fn protected(
        &mut self,
        channel: Channel,
        request: MessageInfo,
    ) -> Result<MessageInfo, Infallible> {
        Ok(pd::send(&answer::<P, _>(&mut self.0, channel.index(), pd::receive(&request))))
    }

    /// Nobody has a reason to notify fsserver; a notification asks for nothing.
    fn notified(&mut self, _: ChannelSet) -> Result<(), Infallible> {
        Ok(())
    }

    /// fsserver has no children.
    fn fault(&mut self, _: Child, _: MessageInfo) -> Result<Option<MessageInfo>, Infallible> {
        Ok(None)
    }
}
