// SPDX-License-Identifier: BSD-2-Clause
//! The file server as a protection domain: hands requests to the core.
//!
//! Owns the file system image, and a heap that its own account pays for. Decides nothing: a request
//! is decoded, decided and answered in `fsserver/core`. Where it faults, or is rescued, it goes on
//! in `recovery.rs`.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod recovery;
mod regions;

use fsserver_api::{Failure, FsError};
use fsserver_core::ClientId;
use pd::PpChannel;
use pmserver_api::CallError;
use proto::{Message, ProtocolError, Transport};
use sel4_microkit::{
    Channel, ChannelSet, Child, Handler, Infallible, MessageInfo, protection_domain,
};
use shm::OwnMemory;

#[cfg(not(feature = "sabotage"))]
use fsserver_core::FileServer;
#[cfg(feature = "sabotage")]
use scenarios_core::SabotagedServer as FileServer;

/// The channel to pmserver.
const PMSERVER: usize = 0;

#[protection_domain]
fn init() -> FsServer {
    FsServer(start())
}

/// Makes the heap, then the server on it, then says where to go on after a fault.
fn start() -> Service<PpChannel> {
    let pm_channel = || PpChannel::new(PMSERVER);
    let mut pm = pmserver_api::Calls::new(pm_channel());
    fsserver_core::reserve_heap(&mut pm).map_err(refused)?;
    regions::install_heap();
    let service = new_service(pm_channel())?;
    pd::recovery::prepare();
    recovery::register(&mut pm).map_err(refused)?;
    Ok(service)
}

/// The server, or why there is none: then every request is refused with that.
type Service<T> = Result<FileServer<T, OwnMemory>, Failure>;

/// Builds a server from the image alone.
fn new_service<T: Transport>(pmserver: T) -> Service<T> {
    let (image_vaddr, image_bytes) = regions::image().ok_or(FsError::Unsupported)?;
    Ok(FileServer::new(pmserver, OwnMemory, image_vaddr, image_bytes)?)
}

/// What clients are told where pmserver refuses fsserver itself something.
fn refused(error: CallError) -> Failure {
    let detail = match error {
        CallError::Refused(failure) => failure.error.status(),
        CallError::Protocol(error) => error.status(),
    };
    Failure { error: FsError::PmRefused, detail }
}

/// Answers what came in on a channel.
fn answer<T: Transport>(
    service: &mut Service<T>,
    channel: usize,
    request: Result<Message, ProtocolError>,
) -> Message {
    // Microkit has fewer channels than a byte has values.
    let client = ClientId::of_channel(u8::try_from(channel).unwrap_or(u8::MAX));
    match (service, request) {
        (_, Err(error)) => error.reply(),
        (Err(failure), _) => failure.reply(),
        (Ok(server), Ok(request)) => server.call(client, &request),
    }
}

struct FsServer(Service<PpChannel>);

impl Handler for FsServer {
    type Error = Infallible;

    fn protected(
        &mut self,
        channel: Channel,
        request: MessageInfo,
    ) -> Result<MessageInfo, Infallible> {
        Ok(pd::send(&answer(&mut self.0, channel.index(), pd::receive(&request))))
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
