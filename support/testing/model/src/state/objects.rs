// SPDX-License-Identifier: BSD-2-Clause
//! The objects of the protocol, and their numbers inside the model.

use std::collections::{BTreeMap, BTreeSet};

use pmserver_api::{AccessKind, AccountRights, MapFlags, Rights};
use proto::{Micros, PeerId};

use super::contents::Place;
use crate::answers::Doubt;

macro_rules! id {
    ($($name:ident),*) => {$(
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) struct $name(pub(crate) u64);
    )*};
}

id!(AccountId, ContainerId, ShareId, LeaseId, FaultId, CellId, MemoryId);

/// The first and the last number of a range.
pub(crate) type Span = (u64, u64);

/// The kind of handle that something is done with.
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
    /// The peer that split it off.
    pub(crate) maker: Option<PeerId>,
    /// The peers that it is lent to: by which handle, with which rights.
    pub(crate) lent: BTreeMap<(PeerId, u64), AccountRights>,
    pub(crate) is_dying: bool,
    /// Pages of tables, slots and records here and below, as the server last told them.
    pub(crate) overhead: u64,
}

impl Account {
    pub(crate) const fn new(parent: Option<AccountId>, limit: u64, may_have_extra: bool) -> Self {
        Self {
            parent,
            limit,
            may_have_extra,
            maker: None,
            lent: BTreeMap::new(),
            is_dying: false,
            overhead: 0,
        }
    }
}

/// A container.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) owner: PeerId,
    pub(crate) account: AccountId,
    pub(crate) frames: BTreeMap<u64, Frame>,
    /// Numbers of extra frames that were dropped.
    pub(crate) discarded: BTreeSet<u64>,
    /// The largest number that a frame ever had.
    pub(crate) highest: Option<u64>,
    pub(crate) handlers: Vec<Handler>,
    pub(crate) is_dying: bool,
    /// Whether the teardown of its account or of its owner may not have come to it yet, so that it
    /// can be used as before (PM-235).
    pub(crate) may_live: bool,
    /// How many frames of a dying container are gone.
    pub(crate) gone: u64,
    /// Whether other calls may have freed more of a dying container, or all of it.
    pub(crate) is_reclaimed: bool,
}

impl Container {
    pub(crate) const fn new(owner: PeerId, account: AccountId) -> Self {
        Self {
            owner,
            account,
            frames: BTreeMap::new(),
            discarded: BTreeSet::new(),
            highest: None,
            handlers: Vec::new(),
            is_dying: false,
            may_live: false,
            gone: 0,
            is_reclaimed: false,
        }
    }
}

/// A virtual frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) cell: CellId,
    pub(crate) is_extra: Doubt,
    pub(crate) is_discardable: bool,
    pub(crate) is_contiguous: bool,
    pub(crate) is_taken_over: Doubt,
    /// Whether it may have memory although nobody has written to it: an operation failed.
    pub(crate) may_be_bound: bool,
    /// Whether there may have been no memory for it, which the server has yet to tell.
    pub(crate) may_be_missing: bool,
}

/// The peer that supplies the frames of a range.
#[derive(Clone, Debug)]
pub(crate) struct Handler {
    pub(crate) start: u64,
    pub(crate) last: u64,
    pub(crate) peer: PeerId,
    pub(crate) cookie: u32,
    /// The range's handle, which the server chooses.
    pub(crate) range: u64,
    /// Whether the call that made it may still have to go on.
    pub(crate) is_ready: bool,
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
    /// Whether its borrower can only take it.
    pub(crate) once: bool,
    pub(crate) is_armed: bool,
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
    /// Whether it is the lease of a take. After it has ended it is kept until what was taken is
    /// surely unmapped: `is_over` is `Perhaps` then.
    pub(crate) is_take: bool,
    /// Whether it is a pin that ended without `unlock`: its holder is still charged for it. Perhaps
    /// if its deadline has passed and no call has used the container since.
    pub(crate) is_over: Doubt,
}

impl Lease {
    /// Returns whether it still forbids anything.
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

/// A page of a VSpace at which a frame is mapped, be it suspended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mapping {
    pub(crate) place: Place,
    pub(crate) via: Via,
    pub(crate) flags: MapFlags,
    /// Whether it may be gone already.
    pub(crate) is_doubtful: bool,
}

/// A region: its pages are mapped when they are touched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Region {
    pub(crate) container: ContainerId,
    pub(crate) via: Via,
    pub(crate) start: u64,
    pub(crate) pages: u64,
    pub(crate) flags: MapFlags,
}

impl Region {
    /// Returns the flags of what it maps: nothing is forced (PM-200).
    pub(crate) fn mapped_flags(&self) -> MapFlags {
        self.flags.difference(MapFlags::FORCE_WRITE | MapFlags::FORCE_READ)
    }
}

/// A capability in a peer's CSpace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    pub(crate) place: Place,
    pub(crate) via: Via,
    pub(crate) rights: MapFlags,
    pub(crate) is_doubtful: bool,
}

/// A peer's wait for a frame that a handler supplies. Each peer has one at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    /// What the handler is told it as.
    pub(crate) id: FaultId,
    pub(crate) handler: PeerId,
    pub(crate) place: Place,
    pub(crate) range: u64,
    pub(crate) cookie: u32,
    pub(crate) access: AccessKind,
    /// The latest time at which it may end in vain.
    pub(crate) until: Micros,
    /// Whether an access waits; else a call was refused.
    pub(crate) by_access: bool,
    pub(crate) is_told: bool,
    pub(crate) is_refused: bool,
    /// Whether an access that faulted may have ended it: with too little memory for its mapping it
    /// has not come to the frame.
    pub(crate) may_be_over: bool,
    /// Whether it may be another than this, begun since: with another number, and more time.
    pub(crate) may_be_new: bool,
}

impl Wait {
    /// Whether `next_fault` tells it if it comes to it.
    pub(crate) fn is_next_for(&self, handler: PeerId) -> bool {
        self.handler == handler && !self.is_told && !self.is_refused
    }
}

/// A protection domain.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) account: Option<AccountId>,
    pub(crate) vspace_account: Option<AccountId>,
    pub(crate) is_stopped: bool,
    pub(crate) has_recovery: bool,
    /// The server that it is about to call, and how long it waits.
    pub(crate) watch: Option<(PeerId, Micros)>,
    /// Until when it has time to register again, after it was sent to its entry.
    pub(crate) recovers_until: Option<Micros>,
    /// The server that was sent to its entry for it, and until when that has to answer.
    pub(crate) restarted: Option<(PeerId, Micros)>,
    pub(crate) mappings: BTreeMap<u64, Mapping>,
    pub(crate) regions: BTreeMap<u64, Region>,
    pub(crate) grants: BTreeMap<u64, Grant>,
    /// The first address that its grants can have, once the server told one.
    pub(crate) grant_base: Option<u64>,
    /// Whether there may be tables, or slots of grants, for nothing: it made tables ahead, or the
    /// kernel has kept them (PM-381).
    pub(crate) had_tables: bool,
    pub(crate) wait: Option<Wait>,
    /// Whether it is stopped and all that it had is gone.
    pub(crate) is_clean: bool,
}

impl Peer {
    pub(crate) const fn new(account: AccountId) -> Self {
        Self {
            account: Some(account),
            vspace_account: Some(account),
            is_stopped: false,
            has_recovery: false,
            watch: None,
            recovers_until: None,
            restarted: None,
            mappings: BTreeMap::new(),
            regions: BTreeMap::new(),
            grants: BTreeMap::new(),
            grant_base: None,
            had_tables: false,
            wait: None,
            is_clean: false,
        }
    }
}
