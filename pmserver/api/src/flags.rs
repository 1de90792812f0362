// SPDX-License-Identifier: BSD-2-Clause
//! Flags and rights (protocol.md A3). Unknown bits are refused by `decode`, never ignored.

use bitflags::bitflags;

bitflags! {
    /// Flags of `allocate`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct AllocateFlags: u16 {
        /// Keep what could be allocated before the first problem; without it all or nothing.
        const PARTIAL = 1 << 0;
        /// Drop a virtual frame that is in the way; its contents are lost.
        const SQUASH = 1 << 1;
        /// Go above the guaranteed limit, with frames that may be asked back.
        const EXTRA = 1 << 2;
        /// Only frames fit for a device, bound at once; needs the DMA right.
        const DMA = 1 << 3;
        /// Contents may be whatever the caller's own account last had in them.
        const UNDEFINED = 1 << 4;
    }

    /// Flags of `deallocate`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct DeallocateFlags: u16 {
        /// Free nothing where any frame of the range is missing.
        const STRICT = 1 << 0;
    }

    /// Flags of `copy` and `copy_list`. Without NEW the destination frames exist and get other
    /// contents; without SHARED and MOVE the copy is logical: copy-on-write.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct CopyFlags: u16 {
        /// The destination frames do not exist: they are made, and charged.
        const NEW = 1 << 0;
        /// Source and destination are one memory from now on. Strong handles only.
        const SHARED = 1 << 1;
        /// The source frames go away. Strong handles only; not with SHARED.
        const MOVE = 1 << 2;
        /// Copy all frames or none.
        const ATOMIC = 1 << 3;
    }

    /// Flags of `map`, `remap`, `attach` and `grant`, and the rights that they report back.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct MapFlags: u16 {
        /// Readable.
        const READ = 1 << 0;
        /// Writable; implies READ.
        const WRITE = 1 << 1;
        /// With WRITE: break copy-on-write, and bind, now and not at the first store. Ignored
        /// without WRITE.
        const FORCE_WRITE = 1 << 2;
        /// Executable; refused together with WRITE.
        const EXECUTE = 1 << 3;
    }

    /// Flags of `unshare`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct UnshareFlags: u16 {}

    /// What a share lets its holder do.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Rights: u16 {
        /// Map for reading, copy out.
        const READ = 1 << 0;
        /// Map for writing, replace contents.
        const WRITE = 1 << 1;
        /// Lock for a limited time.
        const LOCK = 1 << 2;
    }

    /// What an account handle lets its holder do (protocol O21, lesson 7).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct AccountRights: u16 {
        /// Have it pay: containers, tables, and accounts split off from it.
        const ALLOCATE = 1 << 0;
        /// Read its limits and what it uses.
        const READ = 1 << 1;
        /// Set its limits.
        const SET = 1 << 2;
        /// Destroy it.
        const DESTROY = 1 << 3;
        /// Remove it, so that what it has becomes its parent's.
        const REMOVE = 1 << 4;
    }

    /// Flags of `account_split` and `account_set_limits`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct LimitFlags: u16 {
        /// The account may have extra frames.
        const EXTRA = 1 << 0;
        /// `account_set_limits` only: the limit may be below what is used; the excess becomes
        /// extra. Needs the right to set policy, and EXTRA.
        const EXCESS = 1 << 1;
    }

    /// Marks of a frame, set by `mark`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Marks: u16 {
        /// Under pressure this extra frame may be dropped without asking.
        const DISCARDABLE = 1 << 0;
    }

    /// What `status` tells of one frame, in 16 bits.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct FrameState: u16 {
        /// The container has this frame.
        const PRESENT = 1 << 0;
        /// It has physical memory.
        const BOUND = 1 << 1;
        /// Its memory is shared copy-on-write.
        const COW = 1 << 2;
        /// Its memory is really shared with another frame, or a share covers it.
        const SHARED = 1 << 3;
        /// A lease covers it.
        const LOCKED = 1 << 4;
        /// It is an extra frame.
        const EXTRA = 1 << 5;
        /// Its contents may be dropped under pressure.
        const DISCARDABLE = 1 << 6;
        /// It is mapped or granted somewhere.
        const MAPPED = 1 << 7;
        /// A pin covers it: it does not move.
        const PINNED = 1 << 8;
        /// Its handler has not supplied it yet.
        const ABSENT = 1 << 9;
        /// It was an extra frame and its contents were dropped: it is not PRESENT and not charged.
        const DISCARDED = 1 << 10;
        /// A pin on it ran out while a device might write: what is in it now is a copy of then.
        const TAKEN_OVER = 1 << 11;
    }
}

/// How a lease excludes others (protocol O13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Nobody but the holder writes: the mappings of the others become read-only.
    Read,
    /// Only the holder of the lease has access: the mappings of the others are taken away.
    Exclusive,
}

/// How a program touched memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Execute,
}

/// What the test switch `disturb` does (protocol R2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// Takes mappings away; they come back by fault or by `remap`.
    Unmap,
    /// Moves contents to other physical frames; pinned ones stay.
    Move,
}
