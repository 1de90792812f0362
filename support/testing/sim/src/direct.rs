// SPDX-License-Identifier: BSD-2-Clause
//! A peer's channel to a server that no system runs.

use pmserver_core::Server;
use proto::{Message, PeerId, Transport};

use crate::kernel::SimKernel;

/// The server, and the peer that calls it.
pub(crate) struct Direct<'a>(pub(crate) &'a mut Server<SimKernel>, pub(crate) PeerId);

impl Transport for Direct<'_> {
    fn call(&mut self, request: Message) -> Message {
        self.0.call(self.1, &request)
    }
}
