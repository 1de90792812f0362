// SPDX-License-Identifier: BSD-2-Clause
//! States and marks in rows, each in a byte.

use bitflags::bitflags;

bitflags! {
    /// The state of an account.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct AccountMarks: u8 {
        /// It may have extra frames.
        const EXTRA = 1 << 0;
        /// It is being destroyed, with all below it.
        const DYING = 1 << 1;
        /// It was removed, and stands for its parent as long as something refers to it.
        const REMOVED = 1 << 2;
    }

    /// The state of a share.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct ShareMarks: u8 {
        /// Its borrower can only take it (PM-430).
        const ONCE = 1 << 0;
        /// Its borrower may take it now.
        const ARMED = 1 << 1;
        /// It is being ended, and allows no new lease.
        const REVOKING = 1 << 2;
    }

    /// The state of a lease.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct LeaseMarks: u8 {
        /// It keeps others from reading, too.
        const EXCLUSIVE = 1 << 0;
        /// It has run out, and is kept for what is in quarantine.
        const OVER = 1 << 1;
        /// Its frames are taken (PM-434).
        const TAKEN = 1 << 2;
    }

    /// The flags that a mapping or a grant was made with, and how it is installed.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct MappingState: u8 {
        /// For loads.
        const READ = 1 << 0;
        /// For stores.
        const WRITE = 1 << 1;
        /// With memory of its own.
        const FORCE_WRITE = 1 << 2;
        /// For fetching instructions.
        const EXECUTE = 1 << 3;
        /// With what its handler supplies.
        const FORCE_READ = 1 << 4;
        /// The kernel allows loads now; without it the next access is repaired (PM-124).
        const INSTALLED = 1 << 5;
        /// The kernel allows stores now.
        const WRITABLE = 1 << 6;
        /// The pages are one entry of 2 MiB.
        const LARGE = 1 << 7;
    }

    /// What holds for the frames that are on pages.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct PageMarks: u8 {
        /// Several frames are on the page until somebody writes.
        const COW = 1 << 0;
        /// A share covers the frame.
        const LENT = 1 << 1;
        /// A pin keeps the frame there.
        const PINNED = 1 << 2;
    }
}

/// What a page of the pool is used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PageState {
    /// For pmserver itself: the frame table and what it needs to reach its records.
    Reserved = 1,
    /// Untyped and free.
    Untyped = 2,
    /// A free frame that is clear.
    Clean = 3,
    /// A free frame that has yet to be scrubbed.
    Dirty = 4,
    /// A CNode that is free.
    EmptyNode = 5,
    /// Records.
    Records = 6,
    /// A page table.
    Table = 7,
    /// A CNode with capabilities of mappings or grants.
    Slots = 8,
    /// A virtual frame is bound to it.
    Frame = 9,
    /// A large frame is bound to it.
    Large = 10,
    /// A device may still write to it.
    Quarantine = 11,
}

impl PageState {
    /// Every state, in the order of the numbers.
    pub const ALL: [Self; 11] = [
        Self::Reserved,
        Self::Untyped,
        Self::Clean,
        Self::Dirty,
        Self::EmptyNode,
        Self::Records,
        Self::Table,
        Self::Slots,
        Self::Frame,
        Self::Large,
        Self::Quarantine,
    ];

    /// Returns the number on the wire.
    #[must_use]
    #[allow(clippy::as_conversions)] // The discriminant of a fieldless enum has no other accessor.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Returns the state with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.number() == number)
    }

    /// Returns its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Untyped => "untyped",
            Self::Clean => "clean",
            Self::Dirty => "dirty",
            Self::EmptyNode => "empty-node",
            Self::Records => "records",
            Self::Table => "table",
            Self::Slots => "slots",
            Self::Frame => "frame",
            Self::Large => "large",
            Self::Quarantine => "quarantine",
        }
    }
}
