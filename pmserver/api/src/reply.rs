// SPDX-License-Identifier: BSD-2-Clause
//! Replies: what a successful operation returns. `answer.rs` encodes and decodes them.

use proto::{ByteCount, FrameNumber, Micros, PeerId};

use crate::flags::{AccessKind, FrameState, MapFlags};
use crate::handles::{
    AccountHandle, ContainerHandle, FaultHandle, LeaseHandle, RangeHandle, ShareHandle,
};

/// What `whoami` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The caller's peer number, which others need to share with it.
    pub peer: PeerId,
    /// The caller's own account.
    pub account: AccountHandle,
}

/// What `share` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The handle with which the owner ends the share.
    pub share: ShareHandle,
    /// The weak handle for the peer. The owner sends the peer its number.
    pub weak: ContainerHandle,
}

/// What `lock` and `take` return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The lease.
    pub lease: LeaseHandle,
    /// When the lease ends by itself, in microseconds on pmserver's clock.
    pub deadline: Micros,
}

/// The most runs in one reply to `map` or `remap`: the registers have room for no more.
pub(crate) const RUNS_MAX: usize = 6;

/// Consecutive frames with the same rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct MappedRun {
    /// How many frames; a count of 0 ends the runs.
    pub count: u16,
    /// The rights that they are mapped with (R14).
    pub rights: MapFlags,
}

/// What `map` and `remap` return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Mapped {
    /// How many frames were mapped, from the first on. The caller continues after them.
    pub count: u64,
    runs: [MappedRun; RUNS_MAX],
}

impl Mapped {
    /// Returns so many frames that are mapped with the same rights.
    #[must_use]
    pub fn all(rights: MapFlags, frames: u16) -> Self {
        let mut mapped = Self { count: frames.into(), ..Self::default() };
        let [first, ..] = &mut mapped.runs;
        *first = MappedRun { count: frames, rights };
        mapped
    }

    /// Adds the next frame, with the rights that it was mapped with. Returns false, and adds
    /// nothing, if it would need more runs than a reply has.
    pub fn push(&mut self, rights: MapFlags) -> bool {
        self.push_all(rights, 1)
    }

    /// Adds so many frames that are mapped with the same rights. Returns false, and adds nothing,
    /// if they would need more runs than a reply has.
    pub fn push_all(&mut self, rights: MapFlags, frames: u16) -> bool {
        let last = self.runs.iter_mut().rev().find(|run| run.count > 0);
        let place = match last {
            Some(run) if run.rights == rights => Some(run),
            _ => self.runs.iter_mut().find(|run| run.count == 0),
        };
        let Some(run) = place else { return false };
        *run = MappedRun { count: run.count.saturating_add(frames), rights };
        self.count = self.count.saturating_add(frames.into());
        true
    }

    /// Returns the runs in order.
    pub fn runs(&self) -> impl Iterator<Item = MappedRun> {
        self.runs.into_iter().take_while(|run| run.count > 0)
    }

    /// Returns the rights that every one of the frames has: their intersection.
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

/// What `create_with`, `create_from` and `create_gather` return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Created {
    /// The strong handle to the container.
    pub container: ContainerHandle,
    /// How it is lent.
    pub shared: Shared,
}

/// What `allocate_anywhere` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The number of the first frame.
    pub start: FrameNumber,
    /// How many frames.
    pub count: u64,
}

/// What `grant` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The address of the first capability in the caller's CSpace. The others follow it, one slot
    /// each.
    pub address: u64,
    /// How many capabilities. The caller continues after them.
    pub count: u64,
    /// The rights of all of them.
    pub rights: MapFlags,
}

/// Which extra frames are asked back (O16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtraRequest {
    /// How many; 0 if none are.
    pub count: u64,
    /// When pmserver takes them, in microseconds on its clock.
    pub deadline: Micros,
    /// The number of the request; each has a higher one than the last.
    pub sequence: u64,
}

/// Frames as a device sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusRun {
    /// The bus address of the first frame.
    pub address: u64,
    /// How many frames, with the first, are contiguous there.
    pub frames: u64,
}

/// What `pin` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// The lease.
    pub lease: Lease,
    /// The bus addresses of the first frames.
    pub bus: BusRun,
}

/// A fault that its handler has to answer (R27).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingFault {
    /// The fault: `supply` and `refuse` take it.
    pub fault: FaultHandle,
    /// The range, as `set_handler` replied it to the owner of the container.
    pub range: RangeHandle,
    /// The cookie that `set_handler` gave the range: the owner's word, as anyone may give it.
    pub cookie: u32,
    /// The number of the frame.
    pub number: FrameNumber,
    /// How the frame was accessed.
    pub access: AccessKind,
}

/// What `disturb` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disturbed {
    /// How many mappings or frames were disturbed.
    pub count: u64,
    /// The cursor for the next call; 0 at the end.
    pub cursor: u64,
}

/// What `inspect` returns: a part of a row, and where the next one is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The cursor for the next row; 0 at the end of the book.
    pub cursor: u64,
    /// The part; all 0 if the call found no row (PM-472).
    pub words: [u64; 3],
}

impl Row {
    /// What is returned at the end of a book.
    pub const END: Self = Self::none(0);

    /// Returns what is returned if there is no row up to a place: the caller goes on from there.
    #[must_use]
    pub const fn none(cursor: u64) -> Self {
        Self { cursor, words: [0; 3] }
    }

    /// Returns whether there is a row: the first byte of each part is the number of the book.
    #[must_use]
    pub const fn is_there(&self) -> bool {
        let [first, ..] = self.words;
        first != 0
    }
}

/// What `status` returns: the states of consecutive frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// How many of `frames` are valid.
    pub count: u64,
    /// The states, in order.
    pub frames: [FrameState; 24],
}

/// What `account_info` returns, in bytes, which are a multiple of 4096. All but `limit` and
/// `promised` include the accounts below.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AccountInfo {
    /// The most that the account may use.
    pub limit: ByteCount,
    /// The sum of the next four.
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
    /// The limits of the accounts that were split off. They count against the limit.
    pub promised: ByteCount,
    /// Free memory of the pool; 0 unless this is the pool's account.
    pub free: ByteCount,
}

/// What `rescue` returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RescueReport {
    /// How many servers were sent to their recovery entry, or stopped.
    pub rescued: u64,
    /// When the next watch runs out, in microseconds on pmserver's clock; `None` without a watch.
    pub next_deadline: Option<Micros>,
}

/// A successful reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// No value.
    Done,
    /// The protocol version, a count of frames or objects, or 1 for yes.
    Number(u64),
    /// To `whoami`.
    Identity(Identity),
    /// To `clock` and `watch`.
    Time(Micros),
    /// To `container_create`.
    Container(ContainerHandle),
    /// To `share`.
    Shared(Shared),
    /// To `lock` and `take`.
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
    /// To `set_handler`: the range that it has made or ended.
    Range(RangeHandle),
    /// To `next_fault`.
    Fault(Option<PendingFault>),
    /// To `disturb`.
    Disturbed(Disturbed),
    /// To `inspect`.
    Row(Row),
}
