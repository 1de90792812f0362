// SPDX-License-Identifier: BSD-2-Clause
//! Requests: every operation with its arguments.
//!
//! `operation.rs` has the number, the name, the registers and the bound of each; `encode.rs` and
//! `decode.rs` say how arguments stand in registers. `support/docs/pm-protocol.md` has the same in
//! prose, with the rules that pmserver keeps and the errors of each operation.

use proto::{FrameCount, FrameNumber, Micros, PeerId, VirtAddr};

use crate::flags::{
    AccountRights, AllocateFlags, Book, CopyFlags, DeallocateFlags, Disturbance, LimitFlags,
    LockMode, MapFlags, Marks, Rights,
};
use crate::handles::{AccountHandle, ContainerHandle, FaultHandle, LeaseHandle, ShareHandle};
use crate::lists::{FrameList, PairList};

/// The version of this protocol. Every change of the messages raises it.
pub const PROTOCOL_VERSION: u64 = 7;

/// A range of frames of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frames {
    /// The container.
    pub container: ContainerHandle,
    /// The number of the first frame.
    pub start: FrameNumber,
    /// How many frames: 1 to 256.
    pub count: FrameCount,
}

/// The terms of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareTerms {
    /// The peer that gets the share.
    pub peer: PeerId,
    /// What the peer may do.
    pub rights: Rights,
    /// The longest lease that the peer may take, in microseconds; at most 2^32 - 1 are sent.
    pub lease_max: Micros,
    /// Whether the peer can only take the range, once each time that the owner has armed the share
    /// (PM-430).
    pub once: bool,
}

/// A request, decoded. Every argument is in the range that its type promises.
///
/// The comment of each operation begins with its number. An operation that is not finished when
/// its bound is reached fails with `Pending`, and the caller calls it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Arguments are named and typed; each operation says what they are.
pub enum Request {
    /// 1: returns the version of the protocol (O26).
    Version,
    /// 2: returns the caller's peer number and its own account (O26).
    WhoAmI,
    /// 3: returns the time on pmserver's clock, in microseconds.
    Clock,
    /// 4: makes an empty container. The account pays for it and for all frames in it (O1).
    ContainerCreate { account: AccountHandle },
    /// 5: destroys a container with all its frames (O12).
    ContainerDestroy { container: ContainerHandle },
    /// 6: allocates frames with the numbers of a range (O4).
    Allocate { frames: Frames, flags: AllocateFlags },
    /// 7: frees the frames of a range (O5).
    Deallocate { frames: Frames, flags: DeallocateFlags },
    /// 8: shares a range of frame numbers with a peer (O2). The range may be of any length, as no
    /// frame is touched, and includes frames that are allocated in it later.
    Share { container: ContainerHandle, start: FrameNumber, count: u64, terms: ShareTerms },
    /// 9: ends a share (O3). It succeeds only when the peer has no access through it left (R9).
    Unshare { share: ShareHandle },
    /// 10: locks a range for `ttl` microseconds (O13), at most one second.
    Lock { frames: Frames, mode: LockMode, ttl: Micros },
    /// 11: ends a lease before its deadline; the lease of a pin also after it. Gives back what was
    /// taken.
    Unlock { lease: LeaseHandle },
    /// 12: maps frames from the page `vaddr` on in the caller's address space (O6).
    Map { frames: Frames, vaddr: VirtAddr, flags: MapFlags },
    /// 13: unmaps `count` pages from `vaddr` on in the caller's address space (O7).
    Unmap { vaddr: VirtAddr, count: FrameCount },
    /// 14: returns the state of frames, of at most 24 in one call (O24).
    Status { frames: Frames },
    /// 15: returns the limit and the use of an account (O21).
    AccountInfo { account: AccountHandle },
    /// 16: registers where the caller continues, and with which stack, after it has faulted
    /// (PM-120).
    RegisterRecovery { entry: VirtAddr, stack_top: VirtAddr },
    /// 17: announces that the caller is about to call a server. A supervisor may rescue the server
    /// after `ttl` microseconds, at most ten seconds. A `ttl` of 0 ends the watch. The system file
    /// says whom a peer calls: another is `NoRight` (PM-371).
    Watch { peer: PeerId, ttl: Micros },
    /// 18: sends every server whose watch has run out to the entry that it registered, or stops it
    /// if it has none (PM-123).
    Rescue,
    /// 19: frees a bounded part of what is waiting to be torn down, in the caller's time.
    Reclaim,
    /// 20: restores mappings of the caller that pmserver has taken away, with new rights (R2).
    Remap { vaddr: VirtAddr, count: FrameCount, flags: MapFlags },
    /// 21: drops the contents of frames, which then read as zero and stay charged (O14).
    Renew { frames: Frames },
    /// 22: allocates frames with consecutive numbers that pmserver chooses (PM-150).
    AllocateAnywhere { container: ContainerHandle, count: FrameCount, flags: AllocateFlags },
    /// 23: allocates physically contiguous frames for a device. The first byte has an address that
    /// is a multiple of `2^align_bits` (0 to 63), the last one an address below `2^limit_bits`
    /// (0 to 64).
    AllocateContiguous { frames: Frames, align_bits: u8, limit_bits: u8 },
    /// 24: copies a range of frames to a range of the same length (O8).
    Copy {
        source: ContainerHandle,
        source_start: FrameNumber,
        destination: ContainerHandle,
        destination_start: FrameNumber,
        count: FrameCount,
        flags: CopyFlags,
    },
    /// 25: copies 1 to 7 single frames, each pair from its first number to its second (O8).
    CopyList {
        source: ContainerHandle,
        destination: ContainerHandle,
        pairs: PairList,
        flags: CopyFlags,
    },
    /// 26: makes a container with new frames `0..count` and shares them: all or nothing (O9).
    CreateWith { account: AccountHandle, count: FrameCount, terms: ShareTerms },
    /// 27: as `CreateWith`, but with copies of a range of frames (O10).
    CreateFrom { account: AccountHandle, source: Frames, terms: ShareTerms },
    /// 28: as `CreateWith`, but with copies of 1 to 13 listed frames (O11).
    CreateGather {
        account: AccountHandle,
        source: ContainerHandle,
        frames: FrameList,
        terms: ShareTerms,
    },
    /// 29: makes a region of `count` pages in the caller's address space. pmserver maps a frame of
    /// the container when its page is first touched (O18).
    Attach {
        container: ContainerHandle,
        start: FrameNumber,
        vaddr: VirtAddr,
        count: u32,
        flags: MapFlags,
    },
    /// 30: ends the region that begins at `vaddr` and unmaps all that is mapped in it.
    Detach { vaddr: VirtAddr },
    /// 31: puts capabilities to frames into the caller's CSpace (O25).
    Grant { frames: Frames, rights: MapFlags },
    /// 32: takes back `count` granted capabilities, from the slot `address` on (O25).
    Ungrant { address: u64, count: FrameCount },
    /// 33: makes the page tables that `count` pages from `vaddr` on need (O25).
    EnsureTables { vaddr: VirtAddr, count: FrameCount },
    /// 34: makes an account below another one, which promises it `limit_pages` pages (O21).
    AccountSplit { account: AccountHandle, limit_pages: u32, flags: LimitFlags },
    /// 35: destroys an account with all that it pays for and all accounts below it.
    AccountDestroy { account: AccountHandle },
    /// 36: removes an account and transfers what it pays for to its parent.
    AccountRemove { account: AccountHandle },
    /// 37: sets the limit of an account and whether it may have extra frames.
    AccountSetLimits { account: AccountHandle, limit_pages: u32, flags: LimitFlags },
    /// 38: lets a peer use an account with these rights.
    AccountLend { account: AccountHandle, peer: PeerId, rights: AccountRights },
    /// 39: takes an account back from a peer. `lent` is the handle that `AccountLend` returned.
    AccountRecall { lent: AccountHandle },
    /// 40: sets the account that pays for the page tables, capability slots and mapping records of
    /// the caller's address space (R25).
    VspaceAccount { account: AccountHandle },
    /// 41: gives the frames of a range exactly these marks.
    Mark { frames: Frames, marks: Marks },
    /// 42: returns how many of the caller's extra frames are asked back, and until when (O16).
    ExtraRequest,
    /// 43: locks frames for `ttl` microseconds so that they also keep their physical memory, and
    /// returns the bus address of the first (O13, O22).
    Pin { frames: Frames, mode: LockMode, ttl: Micros },
    /// 44: returns the bus address of a pinned frame and how many frames follow it contiguously
    /// (O22).
    BusAddress { lease: LeaseHandle, number: FrameNumber },
    /// 45: reports that a peer's device was reset. Memory that the device could still write to is
    /// freed.
    DeviceReset { peer: PeerId },
    /// 46: sets the peer that supplies the frames of a range when they are first touched (R27), or
    /// ends that if `handler` is `None`. `cookie` is how the handler is told which range it is.
    SetHandler {
        container: ContainerHandle,
        start: FrameNumber,
        count: u64,
        handler: Option<PeerId>,
        cookie: u32,
    },
    /// 47: returns the next fault that the caller, a handler, has to answer.
    NextFault,
    /// 48: answers a fault with the contents of a frame that the caller may read.
    Supply { fault: FaultHandle, container: ContainerHandle, number: FrameNumber },
    /// 49: answers a fault by letting the program that waits fault.
    Refuse { fault: FaultHandle },
    /// 50: for tests: does what pmserver may do at any time (R2), a bounded number of times from
    /// `cursor` on. The cursor is 0 at first, and then what the last call returned.
    Disturb { what: Disturbance, cursor: u64 },
    /// 51: lets the borrower take the range of a share once (PM-432).
    Arm { share: ShareHandle },
    /// 52: ends that, and confirms that the borrower has no access (PM-433). Returns whether it was
    /// armed.
    Disarm { share: ShareHandle },
    /// 53: takes frames of an armed share: locks them for the time of the share and maps them from
    /// the page `vaddr` on, in one (PM-434). `unlock` gives them back.
    Take { frames: Frames, vaddr: VirtAddr, flags: MapFlags },
    /// 54: returns a part of the first row behind `cursor` of one of pmserver's books. The cursor
    /// is 0 at first, and then what the last call returned.
    Inspect { book: Book, cursor: u64, part: u8 },
}
