// SPDX-License-Identifier: BSD-2-Clause
//! The client side: one method per operation.

use proto::Transport;

use crate::error::CallError;
use crate::ops::{BlockCount, Place, Request, Tag};
use crate::reply::{Completed, Geometry, Identity};

/// Calls a block server over a transport. Every method is one protected procedure call. [`Request`]
/// documents what each operation does, costs and refuses.
pub struct Client<T: Transport> {
    transport: T,
}

impl<T: Transport> Client<T> {
    /// Returns a client that calls over `transport`.
    pub const fn new(transport: T) -> Self {
        Self { transport }
    }

    fn call<const N: usize>(&mut self, request: Request) -> Result<[u64; N], CallError> {
        CallError::check(&self.transport.call(request.encode()))
    }

    /// Returns the protocol version and the peer to share containers to.
    ///
    /// # Errors
    /// [`CallError`], as every method here.
    pub fn version(&mut self) -> Result<Identity, CallError> {
        Ok(Identity::decode(self.call(Request::Version)?)?)
    }

    /// Returns what the disk is like.
    ///
    /// # Errors
    /// See [`Request::Geometry`].
    pub fn geometry(&mut self) -> Result<Geometry, CallError> {
        Ok(Geometry::decode(self.call(Request::Geometry)?)?)
    }

    /// Queues the reading of blocks, from `block` on.
    ///
    /// # Errors
    /// See [`Request::Read`].
    pub fn read(
        &mut self,
        to: Place,
        block: u64,
        count: BlockCount,
        tag: Tag,
    ) -> Result<(), CallError> {
        self.call(Request::Read { to, block, count, tag }).map(|[]| ())
    }

    /// Queues the writing of blocks, from `block` on.
    ///
    /// # Errors
    /// See [`Request::Write`].
    pub fn write(
        &mut self,
        from: Place,
        block: u64,
        count: BlockCount,
        tag: Tag,
    ) -> Result<(), CallError> {
        self.call(Request::Write { from, block, count, tag }).map(|[]| ())
    }

    /// Queues a flush.
    ///
    /// # Errors
    /// See [`Request::Flush`].
    pub fn flush(&mut self, tag: Tag) -> Result<(), CallError> {
        self.call(Request::Flush { tag }).map(|[]| ())
    }

    /// Queues a discard.
    ///
    /// # Errors
    /// See [`Request::Discard`].
    pub fn discard(&mut self, block: u64, count: u32, tag: Tag) -> Result<(), CallError> {
        self.call(Request::Discard { block, count, tag }).map(|[]| ())
    }

    /// Returns which requests have ended. The server notifies the channel once until this is
    /// called, so call it until nothing is waiting, then wait for the notification.
    ///
    /// # Errors
    /// See [`Request::Completed`].
    pub fn completed(&mut self) -> Result<Completed, CallError> {
        Ok(Completed::decode(self.call(Request::Completed)?)?)
    }
}
