// SPDX-License-Identifier: BSD-2-Clause
//! Flags, rights, marks and states. A request with a bit that is not defined here is `Invalid`.

use bitflags::bitflags;

bitflags! {
    /// Flags of `allocate`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct AllocateFlags: u16 {
        /// Keep the frames that were allocated before the first problem. Without it all frames are
        /// allocated or none is.
        const PARTIAL = 1 << 0;
        /// Replace a frame that exists already; its contents are lost.
        const SQUASH = 1 << 1;
        /// Go above the limit of the account with extra frames, which may be asked back.
        const EXTRA = 1 << 2;
        /// Give the frames physical memory at once, for a device; needs the privilege `dma`.
        const DMA = 1 << 3;
    }

    /// Flags of `deallocate`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct DeallocateFlags: u16 {
        /// Free nothing if a frame of the range is missing.
        const STRICT = 1 << 0;
    }

    /// Flags of `copy` and `copy_list`. Without NEW the destination frames must exist, and their
    /// contents are replaced. Without SHARED and MOVE both sides share memory copy-on-write.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct CopyFlags: u16 {
        /// The destination frames must not exist: they are allocated and charged.
        const NEW = 1 << 0;
        /// Source and destination have the same memory from now on, also when one is written to.
        /// Strong handles only.
        const SHARED = 1 << 1;
        /// Free the source frames. Strong handles only; not with SHARED.
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
        /// With WRITE: give the frame memory of its own now and not at the first store. Without
        /// WRITE it changes nothing (PM-86).
        const FORCE_WRITE = 1 << 2;
        /// Executable; `Invalid` together with WRITE.
        const EXECUTE = 1 << 3;
        /// Readable now and not at the first load: `Absent` if a handler has yet to supply the
        /// frame (PM-420). Implies READ.
        const FORCE_READ = 1 << 4;
    }

    /// What a share allows.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Rights: u16 {
        /// Map for reading, and copy from the frames.
        const READ = 1 << 0;
        /// Map for writing, and copy to the frames.
        const WRITE = 1 << 1;
        /// Lock for a limited time.
        const LOCK = 1 << 2;
    }

    /// What an account handle allows (O21).
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct AccountRights: u16 {
        /// Charge it: for containers, tables, and accounts that are split off.
        const ALLOCATE = 1 << 0;
        /// Read its limit and its use.
        const READ = 1 << 1;
        /// Set its limit.
        const SET = 1 << 2;
        /// Destroy it.
        const DESTROY = 1 << 3;
        /// Remove it and transfer what it pays for to its parent.
        const REMOVE = 1 << 4;
    }

    /// Flags of `account_split` and `account_set_limits`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct LimitFlags: u16 {
        /// The account may have extra frames.
        const EXTRA = 1 << 0;
        /// `account_set_limits` only: the limit may be below what is used, and frames above it
        /// become extra. Needs EXTRA and the privilege `set_policy`.
        const EXCESS = 1 << 1;
    }

    /// Marks of a frame, set by `mark`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Marks: u16 {
        /// If this is an extra frame, it may be dropped without asking when memory is needed.
        const DISCARDABLE = 1 << 0;
    }

    /// The state of one frame, as `status` returns it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct FrameState: u16 {
        /// The container has this frame.
        const PRESENT = 1 << 0;
        /// It has physical memory.
        const BOUND = 1 << 1;
        /// Other frames have the same memory until somebody writes.
        const COW = 1 << 2;
        /// A share covers it, or it is one memory with another frame (SHARED).
        const SHARED = 1 << 3;
        /// A lease covers it.
        const LOCKED = 1 << 4;
        /// It is an extra frame.
        const EXTRA = 1 << 5;
        /// It has the mark DISCARDABLE.
        const DISCARDABLE = 1 << 6;
        /// It is mapped or granted somewhere.
        const MAPPED = 1 << 7;
        /// A pin covers it: it keeps its physical memory.
        const PINNED = 1 << 8;
        /// Its handler has not supplied it yet.
        const ABSENT = 1 << 9;
        /// It was an extra frame and was dropped: it is not PRESENT and not charged.
        const DISCARDED = 1 << 10;
        /// A pin on it ended while a device might still write. It has other memory since, with the
        /// contents of that moment (PM-273).
        const TAKEN_OVER = 1 << 11;
    }
}

/// What a lease keeps others from doing (O13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Only the holder writes: the mappings of others become read-only.
    Read,
    /// Only the holder has access: the mappings of others are taken away.
    Exclusive,
}

/// How a program accessed memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessKind {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Execute,
}

/// What `disturb` does (R2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// Takes mappings away. They are restored at the next access, or by `remap`.
    Unmap,
    /// Moves the contents of frames to other physical memory, except for pinned frames.
    Move,
}

/// One of pmserver's books, of which `inspect` returns the rows (PM-470).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Book {
    /// The peers, with their names.
    Peers = 1,
    /// The accounts.
    Accounts = 2,
    /// The containers.
    Containers = 3,
    /// The shares.
    Shares = 4,
    /// The leases, pins among them.
    Leases = 5,
    /// What is mapped in the address spaces of peers, by peer and address.
    Mappings = 6,
    /// What is granted to peers, by peer and slot.
    Grants = 7,
    /// The regions of the address spaces of peers, by peer and address.
    Regions = 8,
    /// The pages of the pool, by what they are used as.
    Pages = 9,
}

impl Book {
    /// Every book, in the order of the numbers.
    pub const ALL: [Self; 9] = [
        Self::Peers,
        Self::Accounts,
        Self::Containers,
        Self::Shares,
        Self::Leases,
        Self::Mappings,
        Self::Grants,
        Self::Regions,
        Self::Pages,
    ];

    /// Returns the number on the wire.
    #[must_use]
    #[allow(clippy::as_conversions)] // The discriminant of a fieldless enum has no other accessor.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Returns the book with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|book| book.number() == number)
    }

    /// Returns how many parts a row has.
    #[must_use]
    pub const fn parts(self) -> u8 {
        match self {
            Self::Peers => 5,
            Self::Accounts | Self::Leases => 2,
            Self::Containers
            | Self::Shares
            | Self::Mappings
            | Self::Grants
            | Self::Regions
            | Self::Pages => 1,
        }
    }
}
