// SPDX-License-Identifier: BSD-2-Clause
//! The trace of a server that is built with one: its ring is in the region that the system file
//! maps at [`RING`], with the variables `trace_ring_vaddr` and `trace_ring_bytes`.

use proto::limits::FASTPATH_REGISTERS;
use proto::{Message, ProtocolError};
use sel4_microkit::{MessageInfo, var, with_msg_regs};
use trace::{Cause, Own, RING, Ring};

use crate::channel::{send, take};
use crate::events::Woken;
use crate::regions::{counter, ticks};

/// What a server writes about what it serves.
pub struct Trace(Ring<Own>);

impl Trace {
    /// Opens the trace of the domain. Who knows better how many ticks a second has than
    /// [`counter`](crate::counter) says it.
    ///
    /// # Panics
    /// If the system file maps no region for it.
    #[must_use]
    pub fn open(ticks_per_second: impl FnOnce() -> Option<u64>) -> Self {
        let vaddr = *var!(trace_ring_vaddr: u64 = 0);
        let bytes = *var!(trace_ring_bytes: u64 = 0);
        assert!(vaddr == RING.get(), "a server with a trace needs its ring at {:#x}", RING.get());
        let ticks = counter().1.or_else(ticks_per_second).unwrap_or_default();
        match Ring::open(Own, bytes, ticks) {
            Some(ring) => Self(ring),
            // The smallest region is larger than a record.
            None => unreachable!("a region of {bytes} bytes"),
        }
    }

    /// Begins what woke the domain, if that is a request or a fault.
    #[inline(always)]
    pub fn begin(&self, woken: &Woken) {
        self.0.begin(ticks(), woken.badge(), woken.label(), woken.first());
    }

    /// Begins a request that came in on a channel.
    #[inline(always)]
    pub fn begin_request(&self, channel: usize, request: &Result<Message, ProtocolError>) {
        let (label, head) = match request {
            Ok(request) => (request.label(), request.head()),
            Err(_) => (0, [0; _]),
        };
        let cause = Cause::Request(u8::try_from(channel).unwrap_or(u8::MAX));
        self.0.begin(ticks(), cause.word(), label, head);
    }

    /// Reads the request that came in on a channel, as [`receive`](crate::receive), and begins it.
    ///
    /// # Errors
    /// The same.
    #[inline(always)]
    pub fn receive(&self, channel: usize, info: &MessageInfo) -> Result<Message, ProtocolError> {
        with_msg_regs(|wire| {
            let head = wire.first_chunk().copied().unwrap_or_default();
            self.0.begin(ticks(), Cause::word_of_request(channel), info.label(), head);
            // What was loaded for the record need not be loaded again.
            match info.count() {
                count @ ..=FASTPATH_REGISTERS => Ok(Message::short(info.label(), head, count)),
                count => take(info.label(), count, wire),
            }
        })
    }

    /// Sends the reply to the request that was begun, as [`send`](crate::send), and ends it.
    #[must_use]
    #[inline(always)]
    pub fn send(&mut self, reply: &Message) -> MessageInfo {
        let info = send(reply);
        let [result, ..] = reply.head();
        self.0.end(ticks(), reply.label(), result);
        info
    }

    /// Begins what a notification is for.
    #[inline(always)]
    pub fn begin_notified(&self) {
        self.0.begin(ticks(), Cause::Notification.word(), 0, [0; _]);
    }

    /// Ends a request that gets this reply, or anything else with an empty one.
    #[inline(always)]
    pub fn end(&mut self, reply: &Message) {
        let [result, ..] = reply.head();
        self.0.end(ticks(), reply.label(), result);
    }
}
