// SPDX-License-Identifier: BSD-2-Clause
//! What wakes a domain, and how one waits that only serves.
//!
//! The platform's own loop does more, for domains that have interrupts or defer what they send.
//! That takes time in each call.

use sel4::cap::{Endpoint, Reply};
use sel4::{Badge, Cap};
use sel4_microkit::MessageInfo;

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

impl Wake {
    #[inline(always)]
    const fn of(badge: Badge) -> Self {
        if badge & REQUEST_BADGE != 0 {
            Self::Request(badge & !REQUEST_BADGE)
        } else if badge & FAULT_BADGE != 0 {
            Self::Fault(badge & !FAULT_BADGE)
        } else {
            Self::Notification
        }
    }
}

/// Waits for the first time, as a passive domain: tells the monitor that it needs no time of its
/// own any more.
#[must_use]
pub fn wait_passive() -> (Wake, MessageInfo) {
    // CAP: the endpoint that the platform gives every domain for this; nothing is transferred.
    woken(MONITOR.nb_send_recv(sel4::MessageInfo::new(0, 0, 0, 0), INPUT, REPLY))
}

/// Replies, if there is a reply, and waits.
#[must_use]
#[inline(always)]
pub fn reply_and_wait(reply: Option<MessageInfo>) -> (Wake, MessageInfo) {
    woken(match reply {
        Some(reply) => INPUT.reply_recv(reply.into_inner(), REPLY),
        None => INPUT.recv(REPLY),
    })
}

#[inline(always)]
fn woken((info, badge): (sel4::MessageInfo, Badge)) -> (Wake, MessageInfo) {
    (Wake::of(badge), MessageInfo::from_inner(info))
}
