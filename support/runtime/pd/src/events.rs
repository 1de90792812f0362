// SPDX-License-Identifier: BSD-2-Clause
//! What wakes a domain, and how one waits that only serves.
//!
//! The platform's own loop does more, for domains that have interrupts or defer what they send.
//! That takes time in each call.

use proto::limits::FASTPATH_REGISTERS;
use proto::{Message, ProtocolError};
use sel4::cap::{Endpoint, Reply};
use sel4::{Badge, Cap, IpcBuffer, MessageInfo, with_ipc_buffer_mut};
use sel4_microkit::pd_is_passive;

use crate::channel::{put, take};

/// The endpoint on which a domain waits, and the reply capability of its pending caller, in the
/// slots where the platform puts them for every domain.
pub(crate) const INPUT: Endpoint = Cap::from_bits(1);
pub(crate) const REPLY: Reply = Cap::from_bits(4);
/// The endpoint of the platform's monitor.
const MONITOR: Endpoint = Cap::from_bits(5);

/// Set in the badge of a request; the other bits are the channel of the request.
pub(crate) const REQUEST_BADGE: Badge = 1 << 63;
/// Set in the badge of a fault; the other bits are the child that faulted.
const FAULT_BADGE: Badge = 1 << 62;

/// Why a domain was woken.
pub enum Wake {
    /// A call of a protected procedure on this channel.
    Request(u64),
    /// A fault of this child.
    Fault(u64),
    /// A notification.
    Notification,
}

/// What woke a domain. Its message is in the message registers until the domain sends another.
pub struct Woken {
    badge: Badge,
    info: MessageInfo,
    /// What the fastpath carries of the message.
    first: [u64; FASTPATH_REGISTERS],
}

impl Woken {
    #[inline(always)]
    fn new((info, badge): (MessageInfo, Badge), buffer: &IpcBuffer) -> Self {
        let first = buffer.msg_regs().first_chunk().copied().unwrap_or_default();
        Self { badge, info, first }
    }

    /// Returns why the domain was woken.
    #[must_use]
    #[inline(always)]
    pub const fn cause(&self) -> Wake {
        if self.badge & REQUEST_BADGE != 0 {
            Wake::Request(self.badge & !REQUEST_BADGE)
        } else if self.badge & FAULT_BADGE != 0 {
            Wake::Fault(self.badge & !FAULT_BADGE)
        } else {
            Wake::Notification
        }
    }

    /// Returns the badge: the word of a `trace::Cause`.
    #[cfg(feature = "trace")]
    pub(crate) const fn badge(&self) -> u64 {
        self.badge
    }

    /// Returns what the fastpath carries of the message. What the message does not have means
    /// nothing.
    #[cfg(feature = "trace")]
    pub(crate) const fn first(&self) -> [u64; FASTPATH_REGISTERS] {
        self.first
    }

    /// Returns the label of the message.
    #[must_use]
    pub fn label(&self) -> u64 {
        self.info.label()
    }

    /// Returns the message.
    ///
    /// # Errors
    /// [`ProtocolError::WrongLength`] if it has more registers than a [`Message`] can have.
    #[inline(always)]
    pub fn message(&self) -> Result<Message, ProtocolError> {
        match self.info.length() {
            count @ 0..=FASTPATH_REGISTERS => {
                Ok(Message::short(self.info.label(), self.first, count))
            }
            // Moved, not returned, as in `take`.
            count => Ok(long_message(self.info.label(), count)?),
        }
    }
}

#[cold]
fn long_message(label: u64, count: usize) -> Result<Message, ProtocolError> {
    sel4::with_ipc_buffer(|buffer| take(label, count, buffer.msg_regs()))
}

/// Waits for the first time. A passive domain tells the monitor that it needs no time of its own
/// any more.
#[must_use]
pub fn wait_first() -> Woken {
    if !pd_is_passive() {
        return wait();
    }
    let nothing = MessageInfo::new(0, 0, 0, 0);
    with_ipc_buffer_mut(|buffer| {
        // CAP: the endpoint that the platform gives every domain for this; nothing is transferred.
        let woken = MONITOR.with(&mut *buffer).nb_send_recv(nothing, INPUT, REPLY);
        Woken::new(woken, buffer)
    })
}

/// Waits without a reply.
#[must_use]
#[inline(always)]
pub fn wait() -> Woken {
    with_ipc_buffer_mut(|buffer| Woken::new(INPUT.with(&mut *buffer).recv(REPLY), buffer))
}

/// Replies and waits. The message registers are borrowed once for both: each time is checked.
#[must_use]
#[inline(always)]
pub fn reply_and_wait(reply: &Message) -> Woken {
    with_ipc_buffer_mut(|buffer| {
        let count = put(reply, buffer.msg_regs_mut());
        let info = MessageInfo::new(reply.label(), 0, 0, count);
        Woken::new(INPUT.with(&mut *buffer).reply_recv(info, REPLY), buffer)
    })
}
