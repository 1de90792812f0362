// SPDX-License-Identifier: BSD-2-Clause
//! Which server the domain runs.

use fsserver_api::Failure;
use fsserver_core::{ClientId, Engine, FileServer, Kept};
use fsserver_setup::Setup;
use pmserver_client::{Message, Micros, Transport, VirtAddr};
use shm::OwnMemory;

use crate::regions::OwnStack;

/// Where the file system is.
pub enum Disk<T> {
    /// In a region: its address and its size in bytes.
    Region(VirtAddr, u64),
    /// On the disk of the block server at the other end.
    Driver(T),
}

/// What the domain needs of a server. A recovered domain reaches pmserver over another transport
/// than a fresh one, so the server is generic over it.
pub trait Program {
    /// The server.
    type Server<T: Transport + 'static>;

    /// Builds a server of the file system on a disk.
    ///
    /// # Errors
    /// As [`FileServer::new`].
    fn build<T: Transport + 'static>(
        pmserver: T,
        disk: Disk<T>,
        setup: Setup<'static>,
        stack: OwnStack,
    ) -> Result<Self::Server<T>, Failure>;

    /// Answers a request that came in from `client` now, if there is a clock to read
    /// ([`FileServer::call`]).
    fn call<T: Transport + 'static>(
        server: &mut Self::Server<T>,
        client: ClientId,
        request: &Message,
        now: Option<Micros>,
    ) -> Message;

    /// Goes on after a notification ([`FileServer::wake`]).
    fn wake<T: Transport + 'static>(server: &mut Self::Server<T>);

    /// Returns a client to be notified ([`FileServer::take_notice`]).
    fn take_notice<T: Transport + 'static>(server: &mut Self::Server<T>) -> Option<ClientId>;
}

/// What a recovery keeps.
pub static KEPT: Kept = Kept::new();

/// Runs the file server of `fsserver/core` as it is.
pub struct FileServerProgram;

impl Program for FileServerProgram {
    type Server<T: Transport + 'static> = FileServer<T, OwnMemory, OwnStack>;

    fn build<T: Transport + 'static>(
        pmserver: T,
        disk: Disk<T>,
        setup: Setup<'static>,
        stack: OwnStack,
    ) -> Result<Self::Server<T>, Failure> {
        FileServer::new(pmserver, OwnMemory, setup, &KEPT, |pm, memory| match disk {
            Disk::Region(vaddr, bytes) => Ok(Engine::of_region(stack, OwnMemory, vaddr, bytes)),
            Disk::Driver(driver) => Engine::of_driver(stack, OwnMemory, driver, (pm, memory)),
        })
    }

    fn call<T: Transport + 'static>(
        server: &mut Self::Server<T>,
        client: ClientId,
        request: &Message,
        now: Option<Micros>,
    ) -> Message {
        server.call(client, request, now)
    }

    fn wake<T: Transport + 'static>(server: &mut Self::Server<T>) {
        server.wake();
    }

    fn take_notice<T: Transport + 'static>(server: &mut Self::Server<T>) -> Option<ClientId> {
        server.take_notice()
    }
}
