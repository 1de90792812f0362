// SPDX-License-Identifier: BSD-2-Clause
//! Which server the domain runs.

use core::sync::atomic::AtomicU64;

use fsserver_api::FsError;
use fsserver_core::{ClientId, FileServer};
use pmserver_client::{Message, Micros, Transport, VirtAddr};
use shm::OwnMemory;

/// What the domain needs of a server. A recovered domain reaches pmserver over another transport
/// than a fresh one, so the server is generic over it.
pub trait Program {
    /// The server.
    type Server<T: Transport>;

    /// Builds a server of the image of `image_bytes` bytes at `image_vaddr`.
    ///
    /// # Errors
    /// As [`FileServer::new`].
    fn build<T: Transport>(
        pmserver: T,
        image_vaddr: VirtAddr,
        image_bytes: u64,
    ) -> Result<Self::Server<T>, FsError>;

    /// Answers a request that came in from `client` now, if there is a clock to read
    /// ([`FileServer::call`]).
    fn call<T: Transport>(
        server: &mut Self::Server<T>,
        client: ClientId,
        request: &Message,
        now: Option<Micros>,
    ) -> Message;
}

/// The number of the container with cached parts of files: what a recovery keeps.
static CACHE: AtomicU64 = AtomicU64::new(0);

/// Runs the file server of `fsserver/core` as it is.
pub struct FileServerProgram;

impl Program for FileServerProgram {
    type Server<T: Transport> = FileServer<T, OwnMemory>;

    fn build<T: Transport>(
        pmserver: T,
        image_vaddr: VirtAddr,
        image_bytes: u64,
    ) -> Result<Self::Server<T>, FsError> {
        let server = FileServer::new(pmserver, OwnMemory, image_vaddr, image_bytes)?;
        Ok(server.with_cache(&CACHE))
    }

    fn call<T: Transport>(
        server: &mut Self::Server<T>,
        client: ClientId,
        request: &Message,
        now: Option<Micros>,
    ) -> Message {
        server.call(client, request, now)
    }
}
