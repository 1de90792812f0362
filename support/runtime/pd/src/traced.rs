// SPDX-License-Identifier: BSD-2-Clause
//! The trace of a server that is built with one: the ring is in the region that the system file
//! maps with the variables `trace_ring_vaddr` and `trace_ring_bytes`.

use proto::{Message, ProtocolError, VirtAddr};
use sel4_microkit::var;
use trace::{Cause, Ring};

use crate::events::Woken;
use crate::regions::counter;

/// What a server writes about what it serves; nothing if the system file has no region for it.
pub struct Trace(Option<Ring>);

impl Trace {
    /// Opens the trace of the domain. Who knows better how many ticks a second has than
    /// [`counter`](crate::counter) says it.
    #[must_use]
    pub fn open(ticks_per_second: impl FnOnce() -> Option<u64>) -> Self {
        let vaddr = VirtAddr::new(*var!(trace_ring_vaddr: u64 = 0));
        let bytes = *var!(trace_ring_bytes: u64 = 0);
        let ticks = counter().1.or_else(ticks_per_second).unwrap_or_default();
        Self(vaddr.and_then(|vaddr| Ring::open(vaddr, bytes, ticks)))
    }

    /// Begins what woke the domain, if that is a request or a fault.
    #[inline(always)]
    pub fn begin(&self, woken: &Woken) {
        if let Some(ring) = &self.0 {
            ring.begin(counter().0, woken.badge(), woken.label(), woken.first());
        }
    }

    /// Begins a request that came in on a channel.
    #[inline(always)]
    pub fn begin_request(&self, channel: usize, request: &Result<Message, ProtocolError>) {
        if let Some(ring) = &self.0 {
            let request = request.unwrap_or_default();
            let mut first = [0; _];
            first.iter_mut().zip(request.registers()).for_each(|(to, from)| *to = *from);
            let cause = Cause::Request(u8::try_from(channel).unwrap_or(u8::MAX));
            ring.begin(counter().0, cause.word(), request.label(), first);
        }
    }

    /// Begins what a notification is for.
    #[inline(always)]
    pub fn begin_notified(&self) {
        if let Some(ring) = &self.0 {
            ring.begin(counter().0, Cause::Notification.word(), 0, [0; _]);
        }
    }

    /// Ends a request that gets this reply, or anything else with an empty one.
    #[inline(always)]
    pub fn end(&mut self, reply: &Message) {
        if let Some(ring) = &mut self.0 {
            ring.end(counter().0, reply.label(), reply.first());
        }
    }
}
