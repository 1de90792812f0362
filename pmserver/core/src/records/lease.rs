// SPDX-License-Identifier: BSD-2-Clause
//! A lease's record, and what operations need that leases can forbid.

use bitflags::bitflags;
use pmserver_api::{LockMode, MapFlags};
use proto::{Micros, PeerId};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::records::broken::broken;
use crate::records::cell::{Stamp, record};
use crate::records::container::Container;
use crate::records::count::Count;
use crate::records::links::{Link, Links, chain};
use crate::records::range::Range;
use crate::records::share::Share;

bitflags! {
    /// What kind of lease it is, and what has become of it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct LeaseFlags: u8 {
        /// It keeps others from reading, too.
        const EXCLUSIVE = 1 << 0;
        /// It has run out and is only kept for what is in quarantine.
        const OVER = 1 << 1;
        /// Its frames are taken through a share that is armed for one use: no mapping is in its
        /// way, and its own mappings go with it.
        const TAKEN = 1 << 2;
        /// What was taken is not all mapped yet.
        const UNFINISHED = 1 << 3;
    }
}

/// A lock with a deadline (protocol O13).
#[repr(C, align(16))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Lease {
    stamp: Stamp,
    pub(crate) range: Range,
    deadline: u64,
    pub(crate) container: Link<Container>,
    /// The share through which it is held; 0 for the owner.
    pub(crate) share: Link<Share>,
    /// The container's other leases.
    of_container: Links<Lease>,
    /// The holder's other leases.
    of_holder: Links<Lease>,
    /// The pages that its holder's device may still write to after the pin expired.
    pub(crate) quarantine: u32,
    /// How many frames it pins. Its holder is charged for each.
    pub(crate) pinned: Count<u16>,
    holder: u8,
    flags: u8,
}

record!(Lease, Lease);

chain!(
    /// The leases on a container.
    LeasesOfContainer, Lease, of_container
);

chain!(
    /// The leases of a peer.
    LeasesOfHolder, Lease, of_holder
);

impl Lease {
    pub(crate) fn new(
        container: Link<Container>,
        share: Link<Share>,
        range: Range,
        holder: PeerId,
        mode: LockMode,
        deadline: Micros,
    ) -> Self {
        let mut flags = LeaseFlags::empty();
        flags.set(LeaseFlags::EXCLUSIVE, mode == LockMode::Exclusive);
        Self {
            stamp: Stamp::UNSET,
            range,
            deadline: deadline.get(),
            container,
            share,
            of_container: Links::NONE,
            of_holder: Links::NONE,
            quarantine: 0,
            pinned: Count::ZERO,
            holder: holder.get(),
            flags: flags.bits(),
        }
    }

    pub(crate) const fn deadline(&self) -> Micros {
        Micros::new(self.deadline)
    }

    /// Ends it at this time, if it does not end before.
    pub(crate) fn end_at(&mut self, time: Micros) {
        self.deadline = self.deadline.min(time.get());
    }

    /// Returns whether it forbids this to the holder of a share, or to the owner.
    pub(crate) fn forbids(&self, share: Link<Share>, need: Need) -> bool {
        let is_others = self.share != share;
        match need {
            Need::Load => is_others && self.is_exclusive() && !self.is_taken(),
            Need::Store => is_others && !self.is_taken(),
            Need::Read => is_others && self.is_exclusive(),
            Need::Change => is_others,
            Need::Remove => is_others || !self.pinned.is_zero(),
            Need::Alone => true,
        }
    }

    pub(crate) const fn is_exclusive(&self) -> bool {
        LeaseFlags::from_bits_truncate(self.flags).contains(LeaseFlags::EXCLUSIVE)
    }

    /// Returns whether its frames are taken (`ops/take.rs`).
    pub(crate) const fn is_taken(&self) -> bool {
        LeaseFlags::from_bits_truncate(self.flags).contains(LeaseFlags::TAKEN)
    }

    /// Marks its frames as taken, and not all mapped.
    pub(crate) const fn set_taken(&mut self) {
        self.flags |= LeaseFlags::TAKEN.union(LeaseFlags::UNFINISHED).bits();
    }

    pub(crate) const fn is_unfinished(&self) -> bool {
        LeaseFlags::from_bits_truncate(self.flags).contains(LeaseFlags::UNFINISHED)
    }

    pub(crate) const fn set_finished(&mut self) {
        self.flags &= LeaseFlags::UNFINISHED.complement().bits();
    }

    /// Returns whether it has run out and is only kept for what is in quarantine.
    pub(crate) const fn is_over(&self) -> bool {
        LeaseFlags::from_bits_truncate(self.flags).contains(LeaseFlags::OVER)
    }

    pub(crate) const fn set_over(&mut self) {
        self.flags |= LeaseFlags::OVER.bits();
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
    /// Map for reading.
    Load,
    /// Map for writing.
    Store,
    /// Lock or copy from for reading.
    Read,
    /// Lock exclusively, allocate, replace: anything that changes them.
    Change,
    /// Take them away, which a pin forbids even to its holder.
    Remove,
    /// Share or move them, which any lease forbids.
    Alone,
}

/// Returns the [`Need`] of a mapping or grant with these flags.
pub(crate) const fn need_of(flags: MapFlags) -> Need {
    if flags.contains(MapFlags::WRITE) { Need::Store } else { Need::Load }
}
