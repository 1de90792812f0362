// SPDX-License-Identifier: BSD-2-Clause
//! The trace of a server that is built without one: nothing. What each function would do says
//! `traced.rs`.

use proto::{Message, ProtocolError};
use sel4_microkit::MessageInfo;

use crate::events::Woken;

/// Nothing.
pub struct Trace;

impl Trace {
    /// Opens nothing.
    #[must_use]
    pub fn open(_: impl FnOnce() -> Option<u64>) -> Self {
        Self
    }

    /// Does nothing.
    #[inline(always)]
    pub const fn begin(&self, _: &Woken) {}

    /// Does nothing.
    #[inline(always)]
    pub const fn begin_request(&self, _: usize, _: &Result<Message, ProtocolError>) {}

    /// Reads the request, as [`receive`](crate::receive).
    ///
    /// # Errors
    /// The same.
    #[inline(always)]
    pub fn receive(&self, _: usize, info: &MessageInfo) -> Result<Message, ProtocolError> {
        crate::receive(info)
    }

    /// Sends the reply, as [`send`](crate::send).
    #[must_use]
    #[inline(always)]
    pub fn send(&mut self, reply: &Message) -> MessageInfo {
        crate::send(reply)
    }

    /// Does nothing.
    #[inline(always)]
    pub const fn begin_notified(&self) {}

    /// Does nothing.
    #[inline(always)]
    pub const fn end(&mut self, _: &Message) {}
}
