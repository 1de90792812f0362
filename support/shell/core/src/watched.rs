// SPDX-License-Identifier: BSD-2-Clause
//! Calls that end: the caller says how long it waits for the server.

use pmserver_client::{Message, Micros, PeerId, Pm, Transport};

/// How long the shell waits for an answer.
const PATIENCE: Micros = Micros::new(500_000);

/// A channel to a server that is sent to its recovery entry if it takes too long.
pub(crate) struct Watched<T: Transport> {
    pub(crate) pm: Pm<T>,
    pub(crate) server: PeerId,
    pub(crate) channel: T,
}

impl<T: Transport> Transport for Watched<T> {
    fn call(&mut self, request: Message) -> Message {
        // If it is refused, a server that hangs is waited for.
        let _watch = self.pm.watch(self.server, PATIENCE);
        self.channel.call(request)
    }
}
