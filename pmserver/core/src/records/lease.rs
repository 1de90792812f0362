// SPDX-License-Identifier: BSD-2-Clause
//! A lease's record, and what operations need that leases can forbid.

use pmserver_api::{LockMode, MapFlags};
use proto::{Micros, PeerId};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::broken;
use crate::records::cell::{Stamp, record};
use crate::records::container::Container;
use crate::records::links::Link;
use crate::records::range::Range;
use crate::records::share::Share;

/// A lock with a deadline (protocol O13).
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Lease {
    stamp: Stamp,
    pub(crate) range: Range,
    deadline: u64,
    pub(crate) container: Link<Container>,
    /// The share through which it is held; 0 for the owner.
    pub(crate) share: Link<Share>,
    /// The container's other leases.
    pub(crate) next: Link<Lease>,
    /// The holder's other leases.
    pub(crate) next_of_holder: Link<Lease>,
    /// The pages that its holder's device may still write to after the pin expired.
    pub(crate) quarantine: u32,
    /// How many frames it pins. Its holder is charged for each.
    pub(crate) pinned: u16,
    holder: u8,
    exclusive: u8,
    /// 1 if it has expired and is kept only for its pages in quarantine.
    pub(crate) is_over: u8,
    padding: [u8; 7],
}

record!(Lease, Lease);

impl Lease {
    pub(crate) fn new(
        container: Link<Container>,
        share: Link<Share>,
        range: Range,
        holder: PeerId,
        mode: LockMode,
        deadline: Micros,
    ) -> Self {
        Self {
            stamp: Stamp::UNSET,
            range,
            deadline: deadline.get(),
            container,
            share,
            next: Link::NONE,
            next_of_holder: Link::NONE,
            quarantine: 0,
            pinned: 0,
            holder: holder.get(),
            exclusive: u8::from(mode == LockMode::Exclusive),
            is_over: 0,
            padding: [0; 7],
        }
    }

    pub(crate) const fn deadline(&self) -> Micros {
        Micros::new(self.deadline)
    }

    /// Returns whether it forbids this to the holder of a share, or to the owner.
    pub(crate) fn forbids(&self, share: Link<Share>, need: Need) -> bool {
        let is_others = self.share != share;
        match need {
            Need::Read => is_others && self.is_exclusive(),
            Need::Change => is_others,
            Need::Remove => is_others || self.pinned > 0,
            Need::Alone => true,
        }
    }

    pub(crate) const fn is_exclusive(&self) -> bool {
        self.exclusive != 0
    }

    pub(crate) fn holder(&self) -> PeerId {
        match PeerId::new(self.holder.into()) {
            Some(holder) => holder,
            None => broken("lease without a holder"),
        }
    }
}

/// What an operation wants to do with frames that somebody may hold a lease on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Map for reading, or lock for reading.
    Read,
    /// Map for writing, lock exclusively, allocate, replace: anything that changes them.
    Change,
    /// Take them away, which a pin forbids even to its holder.
    Remove,
    /// Share or move them, which any lease forbids.
    Alone,
}

/// Returns the [`Need`] to check leases for, given these flags.
pub(crate) const fn need_of(flags: MapFlags) -> Need {
    if flags.contains(MapFlags::WRITE) { Need::Change } else { Need::Read }
}
