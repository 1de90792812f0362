// SPDX-License-Identifier: BSD-2-Clause
//! The contract: every operation and its arguments. Numbers stand in `number.rs`, registers in
//! `encode.rs`, the same in prose, with what each operation costs and refuses, in
//! `support/docs/pm-protocol.md`.

use proto::{FrameCount, FrameNumber, Micros, PeerId, VirtAddr};

use crate::flags::{
    AccountRights, AllocateFlags, CopyFlags, DeallocateFlags, Disturbance, LimitFlags, LockMode,
    MapFlags, Marks, Rights, UnshareFlags,
};
use crate::handles::{AccountHandle, ContainerHandle, FaultHandle, LeaseHandle, ShareHandle};
use crate::lists::{FrameList, PairList};

/// The version of this protocol; a wire change raises it.
pub const PROTOCOL_VERSION: u64 = 2;

/// A run of frames of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames {
    /// The container.
    pub container: ContainerHandle,
    /// The first frame number.
    pub start: FrameNumber,
    /// How many.
    pub count: FrameCount,
}

/// On which terms a range is lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareTerms {
    /// To whom.
    pub peer: PeerId,
    /// What the peer may do.
    pub rights: Rights,
    /// The longest lease that the peer may take.
    pub lease_max: Micros,
}

/// A request, decoded: every argument is in the range that its type promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Arguments are named and typed; each operation says what they are.
pub enum Request {
    /// 1: asks for the protocol version (O26).
    Version,
    /// 2: asks who the caller is (O26).
    WhoAmI,
    /// 3: reads pmserver's clock.
    Clock,
    /// 4: makes an empty container that the account pays for, as for all that is allocated into it
    /// (O1).
    ContainerCreate { account: AccountHandle },
    /// 5: destroys a container (O12). `Pending` asks to call again.
    ContainerDestroy { container: ContainerHandle },
    /// 6: puts virtual frames into a container (O4).
    Allocate { frames: Frames, flags: AllocateFlags },
    /// 7: takes virtual frames out of a container (O5).
    Deallocate { frames: Frames, flags: DeallocateFlags },
    /// 8: lends a range of frame numbers to a peer (O2); `count` is not limited, as no frame is
    /// touched, and frames allocated there later are lent too.
    Share { container: ContainerHandle, start: FrameNumber, count: u64, terms: ShareTerms },
    /// 9: ends a share (O3): success only when no access through it is left (R9).
    Unshare { share: ShareHandle, flags: UnshareFlags },
    /// 10: locks a range for a limited time (O13).
    Lock { frames: Frames, mode: LockMode, ttl: Micros },
    /// 11: gives a lease back before its deadline; for a pin also after it.
    Unlock { lease: LeaseHandle },
    /// 12: maps frames (O6). `vspace` 0 is the caller's own.
    Map { frames: Frames, vaddr: VirtAddr, flags: MapFlags, vspace: u32 },
    /// 13: unmaps pages (O7).
    Unmap { vspace: u32, vaddr: VirtAddr, count: FrameCount },
    /// 14: tells the state of at most 24 frames (O24).
    Status { frames: Frames },
    /// 15: tells limit and use of an account (O21).
    AccountInfo { account: AccountHandle },
    /// 16: names the place where the caller goes on when it has faulted (decision D11).
    RegisterRecovery { entry: VirtAddr, stack_top: VirtAddr },
    /// 17: announces a call to a server: after `ttl` a supervisor may rescue it. 0 ends the watch.
    Watch { peer: PeerId, ttl: Micros },
    /// 18: sends every server whose watch ran out to its recovery entry.
    Rescue,
    /// 19: does a bounded step of pending teardown on the caller's time.
    Reclaim,
    /// 20: brings back mappings that were taken away, with these rights (R2).
    Remap { vspace: u32, vaddr: VirtAddr, count: FrameCount, flags: MapFlags },
    /// 21: drops the contents of frames, which read as zero then and keep number and charge (O14).
    Renew { frames: Frames },
    /// 22: allocates frames whose numbers the server chooses (lesson 25).
    AllocateAnywhere { container: ContainerHandle, count: FrameCount, flags: AllocateFlags },
    /// 23: allocates physically contiguous frames for a device: the first address is a multiple of
    /// `2^align_bits`, the last byte lies below `2^limit_bits`.
    AllocateContiguous { frames: Frames, align_bits: u8, limit_bits: u8 },
    /// 24: copies frames (O8).
    Copy {
        source: ContainerHandle,
        source_start: FrameNumber,
        destination: ContainerHandle,
        destination_start: FrameNumber,
        count: FrameCount,
        flags: CopyFlags,
    },
    /// 25: copies single frames, each from its number to its number: scatter and gather (O8).
    CopyList {
        source: ContainerHandle,
        destination: ContainerHandle,
        pairs: PairList,
        flags: CopyFlags,
    },
    /// 26: makes a container with frames `0..count` and lends them: all or nothing (O9).
    CreateWith { account: AccountHandle, count: FrameCount, terms: ShareTerms },
    /// 27: the same, with logical copies of the source's frames (O10).
    CreateFrom { account: AccountHandle, source: Frames, terms: ShareTerms },
    /// 28: the same, with logical copies of listed frames (O11).
    CreateGather {
        account: AccountHandle,
        source: ContainerHandle,
        frames: FrameList,
        terms: ShareTerms,
    },
    /// 29: names a region of a VSpace whose faults pmserver answers itself (O18).
    Attach {
        container: ContainerHandle,
        start: FrameNumber,
        vaddr: VirtAddr,
        count: u32,
        flags: MapFlags,
        vspace: u16,
    },
    /// 30: ends a region and unmaps what is mapped in it. `Pending` asks to call again.
    Detach { vspace: u32, vaddr: VirtAddr },
    /// 31: puts capabilities to frames into the caller's CSpace (O25).
    Grant { frames: Frames, rights: MapFlags },
    /// 32: takes granted capabilities back, by address (O25).
    Ungrant { address: u64, count: FrameCount },
    /// 33: makes the page tables for a range of pages (O25).
    EnsureTables { vspace: u32, vaddr: VirtAddr, count: FrameCount },
    /// 34: splits an account off another's limit (O21).
    AccountSplit { account: AccountHandle, limit_pages: u32, flags: LimitFlags },
    /// 35: destroys an account with all that it pays for and all below it. `Pending` asks to call
    /// again.
    AccountDestroy { account: AccountHandle },
    /// 36: removes an account: what it has becomes its parent's. `Pending` asks to call again.
    AccountRemove { account: AccountHandle },
    /// 37: sets the limit of an account and whether it may have extra frames.
    AccountSetLimits { account: AccountHandle, limit_pages: u32, flags: LimitFlags },
    /// 38: lets a peer use an account, with these rights.
    AccountLend { account: AccountHandle, peer: PeerId, rights: AccountRights },
    /// 39: ends that, by the handle that the peer was given.
    AccountRecall { lent: AccountHandle },
    /// 40: names the account that pays for the caller's tables, slots and mapping records (R25).
    VspaceAccount { account: AccountHandle },
    /// 41: marks frames, or takes their marks away.
    Mark { frames: Frames, marks: Marks },
    /// 42: tells whether extra frames of the caller's are asked back (O16).
    ExtraRequest,
    /// 43: a lease under which the frames do not move, and their bus address (O13, O22).
    Pin { frames: Frames, mode: LockMode, ttl: Micros },
    /// 44: the bus address of a pinned frame, and how many follow contiguously (O22).
    BusAddress { lease: LeaseHandle, number: FrameNumber },
    /// 45: says that a peer's device has been reset: what it might have written to is free.
    DeviceReset { peer: PeerId },
    /// 46: names the peer that supplies the frames of a range when they are first touched (R27);
    /// none takes the name away.
    SetHandler {
        container: ContainerHandle,
        start: FrameNumber,
        count: u64,
        handler: Option<PeerId>,
        cookie: u32,
    },
    /// 47: the next fault that the caller is to answer.
    NextFault,
    /// 48: answers a fault with the contents of a frame of the caller's.
    Supply { fault: FaultHandle, container: ContainerHandle, number: FrameNumber },
    /// 49: answers a fault with a fault.
    Refuse { fault: FaultHandle },
    /// 50: for tests: a bounded step of what pmserver may do at any time (R2), from a cursor on,
    /// 0 at first.
    Disturb { what: Disturbance, cursor: u64 },
}
