// SPDX-License-Identifier: BSD-2-Clause
//! The objects of the protocol as plain data, and the numbers that they have inside the model.

use std::collections::{BTreeMap, BTreeSet};

use pmserver_api::{AccessKind, AccountRights, MapFlags, Rights};
use proto::{Micros, PeerId};

use crate::contents::{Doubt, Place};

macro_rules! id {
    ($($name:ident),*) => {$(
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) struct $name(pub(crate) u64);
    )*};
}

id!(AccountId, ContainerId, ShareId, LeaseId, FaultId, CellId, MemoryId);

/// By which kind of handle something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    Owner,
    Share(ShareId),
}

/// An account.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) parent: Option<AccountId>,
    pub(crate) limit: u64,
    pub(crate) may_have_extra: bool,
    /// Who split it off.
    pub(crate) maker: Option<PeerId>,
    /// Who may use it besides, by which number, with which rights.
    pub(crate) lent: BTreeMap<(PeerId, u64), AccountRights>,
    pub(crate) is_dying: bool,
    /// Tables, slots and records, as the server last told them: the model does not predict them.
    pub(crate) overhead: u64,
}

/// A container.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) owner: PeerId,
    pub(crate) account: AccountId,
    pub(crate) frames: BTreeMap<u64, Frame>,
    /// Numbers of extra frames that were dropped.
    pub(crate) discarded: BTreeSet<u64>,
    pub(crate) handlers: Vec<Handler>,
    pub(crate) is_dying: bool,
    /// Frames of a dying one that are surely gone; which ones, only the server knows.
    pub(crate) gone: u64,
    /// Whether somebody may have freed more of a dying one, or the rest.
    pub(crate) is_reclaimed: bool,
}

/// A virtual frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) cell: CellId,
    pub(crate) is_extra: Doubt,
    pub(crate) is_discardable: Doubt,
    pub(crate) is_contiguous: bool,
    pub(crate) is_taken_over: Doubt,
    /// Whether it may have memory though nobody needs it yet.
    pub(crate) may_be_bound: bool,
}

/// Who supplies the frames of a range.
#[derive(Clone, Debug)]
pub(crate) struct Handler {
    pub(crate) start: u64,
    pub(crate) last: u64,
    pub(crate) peer: PeerId,
    pub(crate) cookie: u32,
}

/// A range of a container, lent.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pub(crate) container: ContainerId,
    pub(crate) start: u64,
    pub(crate) last: u64,
    pub(crate) peer: PeerId,
    pub(crate) rights: Rights,
    pub(crate) lease_max: u64,
    pub(crate) is_revoking: bool,
}

/// A lock with a deadline.
#[derive(Clone, Debug)]
pub(crate) struct Lease {
    pub(crate) container: ContainerId,
    pub(crate) via: Via,
    pub(crate) holder: PeerId,
    pub(crate) start: u64,
    pub(crate) last: u64,
    pub(crate) is_exclusive: bool,
    pub(crate) deadline: Micros,
    pub(crate) is_pin: bool,
    /// Whether it is a pin that ran out, which its holder is still charged for.
    pub(crate) is_over: Doubt,
}

impl Lease {
    pub(crate) fn is_active(&self) -> bool {
        self.is_over == Doubt::No
    }

    pub(crate) fn frames(&self) -> u64 {
        self.last - self.start + 1
    }

    pub(crate) const fn covers(&self, (container, number): Place) -> bool {
        self.container.0 == container.0 && self.start <= number && number <= self.last
    }

    pub(crate) const fn overlaps(&self, container: ContainerId, start: u64, last: u64) -> bool {
        self.container.0 == container.0 && self.start <= last && start <= self.last
    }
}

/// A page of a VSpace where a frame is, or would be if somebody touched it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapping {
    pub(crate) place: Place,
    pub(crate) via: Via,
    pub(crate) flags: MapFlags,
    /// Whether the server may have taken it away already.
    pub(crate) is_doubtful: bool,
}

/// A region whose faults the server answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    pub(crate) container: ContainerId,
    pub(crate) via: Via,
    pub(crate) start: u64,
    pub(crate) pages: u64,
    pub(crate) flags: MapFlags,
}

/// A capability in a peer's CSpace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    pub(crate) place: Place,
    pub(crate) via: Via,
    pub(crate) rights: MapFlags,
    pub(crate) is_doubtful: bool,
}

/// A frame that a handler was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) handler: PeerId,
    pub(crate) place: Place,
    pub(crate) cookie: u32,
    /// When it was first asked for.
    pub(crate) asked: Micros,
    /// Whether the handler has been told.
    pub(crate) is_told: bool,
    /// Who waits, and since when.
    pub(crate) waiters: BTreeMap<PeerId, Waiter>,
    pub(crate) kinds: Vec<AccessKind>,
}

/// Who waits for a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiter {
    pub(crate) since: Micros,
    /// Whether it has done other things since, so that nobody can say whether it still waits.
    pub(crate) is_doubtful: bool,
}

/// A protection domain.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) account: Option<AccountId>,
    pub(crate) vspace_account: Option<AccountId>,
    pub(crate) is_stopped: bool,
    pub(crate) has_recovery: bool,
    /// Whose call it waits for, and until when.
    pub(crate) watch: Option<(PeerId, Micros)>,
    pub(crate) mappings: BTreeMap<u64, Mapping>,
    pub(crate) regions: BTreeMap<u64, Region>,
    pub(crate) grants: BTreeMap<u64, Grant>,
    /// Whether it ever made tables or had grants, of which something may be left.
    pub(crate) had_tables: bool,
    /// The frame that its handler refused: it faults when it touches that again, or perhaps if it
    /// has done something else since.
    pub(crate) refused: Option<(Place, Doubt)>,
    /// Whether it is stopped and nothing of it is left.
    pub(crate) is_clean: bool,
}
