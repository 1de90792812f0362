// SPDX-License-Identifier: BSD-2-Clause
//! What operations answer; `answer.rs` says how that stands on the wire.

use proto::{ByteCount, FrameNumber, Micros, PeerId};

use crate::flags::{AccessKind, FrameState, MapFlags};
use crate::handles::{AccountHandle, ContainerHandle, FaultHandle, LeaseHandle, ShareHandle};

/// Who the caller is to pmserver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The number that others share containers to.
    pub peer: PeerId,
    /// The caller's own account.
    pub account: AccountHandle,
}

/// What `share` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// For the owner, to end the share.
    pub share: ShareHandle,
    /// For the peer: the owner tells it the number.
    pub weak: ContainerHandle,
}

/// What `lock` grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// To unlock with.
    pub lease: LeaseHandle,
    /// When it ends by itself.
    pub deadline: Micros,
}

/// Runs that one reply to `map` and `remap` can report.
pub(crate) const RUNS_MAX: usize = 6;

/// Consecutive frames with the same rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MappedRun {
    /// How many frames; 0 ends the list of runs.
    pub count: u16,
    /// The rights that they really have (R14).
    pub rights: MapFlags,
}

/// What `map` and `remap` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Mapped {
    /// Frames that are mapped now, from the first; the caller goes on from there.
    pub count: u64,
    runs: [MappedRun; RUNS_MAX],
}

impl Mapped {
    /// Counts one more frame in; returns whether its run fits.
    pub fn push(&mut self, rights: MapFlags) -> bool {
        let last = self.runs.iter_mut().rev().find(|run| run.count > 0);
        let place = match last {
            Some(run) if run.rights == rights => Some(run),
            _ => self.runs.iter_mut().find(|run| run.count == 0),
        };
        let Some(run) = place else { return false };
        *run = MappedRun { count: run.count.saturating_add(1), rights };
        self.count = self.count.saturating_add(1);
        true
    }

    /// Returns the runs of frames with the same rights, in order.
    pub fn runs(&self) -> impl Iterator<Item = MappedRun> {
        self.runs.into_iter().take_while(|run| run.count > 0)
    }

    /// Returns the rights that all of the frames have.
    #[must_use]
    pub fn rights(&self) -> MapFlags {
        self.runs().map(|run| run.rights).fold(MapFlags::all(), MapFlags::intersection)
    }

    pub(crate) const fn from_wire(count: u64, runs: [MappedRun; RUNS_MAX]) -> Self {
        Self { count, runs }
    }

    pub(crate) const fn all_runs(&self) -> &[MappedRun; RUNS_MAX] {
        &self.runs
    }
}

/// What the operations make that make and lend a container at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    /// The container, strong.
    pub container: ContainerHandle,
    /// Its share.
    pub shared: Shared,
}

/// Frames with numbers that the server chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The first number.
    pub start: FrameNumber,
    /// How many frames.
    pub count: u64,
}

/// What `grant` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The address of the first capability in the caller's CSpace; the others follow, each one on.
    pub address: u64,
    /// How many; the caller goes on from there.
    pub count: u64,
    /// What they allow.
    pub rights: MapFlags,
}

/// Extra frames that are asked back (protocol O16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtraRequest {
    /// How many; 0 where none are.
    pub count: u64,
    /// Until when.
    pub deadline: Micros,
    /// The number of the request: it goes up with each.
    pub sequence: u64,
}

/// Where a device finds frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusRun {
    /// The bus address of the first.
    pub address: u64,
    /// How many frames, from the first, are contiguous there.
    pub frames: u64,
}

/// What `pin` grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The lease.
    pub lease: Lease,
    /// Where the first frames are.
    pub bus: BusRun,
}

/// A fault that its handler is asked to answer (protocol R27).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingFault {
    /// To answer it with.
    pub fault: FaultHandle,
    /// The number that `set_handler` gave to the range.
    pub cookie: u32,
    /// The frame number that was touched.
    pub number: FrameNumber,
    /// How.
    pub access: AccessKind,
}

/// What a step of `disturb` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disturbed {
    /// Mappings or frames.
    pub count: u64,
    /// Where to go on; 0 at the end.
    pub cursor: u64,
}

/// States of consecutive frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// How many of `frames` are meant.
    pub count: u64,
    /// One state a frame.
    pub frames: [FrameState; 24],
}

/// Limit and use of one account, with all accounts below it. All of it is whole pages of 4096
/// bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AccountInfo {
    /// What the account may use.
    pub limit: ByteCount,
    /// The sum of the four kinds.
    pub used: ByteCount,
    /// Virtual frames, each charged in full (R4).
    pub frames: ByteCount,
    /// Page tables.
    pub tables: ByteCount,
    /// CNodes, for the capability slots of mappings and grants.
    pub slots: ByteCount,
    /// pmserver's records of the account's objects.
    pub records: ByteCount,
    /// Extra frames, which do not count against the limit and are not part of `used`.
    pub extra: ByteCount,
    /// What is promised to accounts that were split off: it counts against the limit.
    pub promised: ByteCount,
    /// Memory of the pool that no account uses; 0 for an account that may not know.
    pub free: ByteCount,
}

/// What `rescue` did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RescueReport {
    /// Servers that were sent to their recovery entry.
    pub rescued: u64,
    /// When the next watch runs out, if there is one.
    pub next_deadline: Option<Micros>,
}

/// A successful reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing to tell.
    Done,
    /// The protocol version, or a count of frames or objects.
    Number(u64),
    /// To `whoami`.
    Identity(Identity),
    /// To `clock` and `watch`.
    Time(Micros),
    /// To `container_create`.
    Container(ContainerHandle),
    /// To `share`.
    Shared(Shared),
    /// To `lock`.
    Lease(Lease),
    /// To `map`.
    Mapped(Mapped),
    /// To `status`.
    Status(Status),
    /// To `account_info`.
    AccountInfo(AccountInfo),
    /// To `rescue`.
    Rescued(RescueReport),
    /// To `create_with`, `create_from` and `create_gather`.
    Created(Created),
    /// To `allocate_anywhere`.
    Placed(Placed),
    /// To `grant`.
    Granted(Granted),
    /// To `account_split` and `account_lend`.
    Account(AccountHandle),
    /// To `extra_request`.
    ExtraRequest(ExtraRequest),
    /// To `pin`.
    Pinned(Pinned),
    /// To `bus_address`.
    BusRun(BusRun),
    /// To `next_fault`.
    Fault(Option<PendingFault>),
    /// To `disturb`.
    Disturbed(Disturbed),
}
