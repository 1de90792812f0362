// SPDX-License-Identifier: BSD-2-Clause
//! The pages, objects, capabilities and rights that the seam to the kernel speaks of.

use proto::PeerId;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The number of a page of the pool, in the order of physical addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageIndex(u32);

impl PageIndex {
    /// Returns the page with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Returns the number of the page.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns the page that a link names. Page 0 belongs to the frame table, so 0 names none.
    pub(crate) const fn from_link(link: u32) -> Option<Self> {
        if link == 0 { None } else { Some(Self(link)) }
    }
}

/// Pages of a block, and of a large frame: 2 MiB.
pub const BLOCK_PAGES: u32 = pmserver_setup::BLOCK_PAGES;

/// Pages of a piece, an eighth of a block: 256 KiB.
pub const PIECE_PAGES: u32 = pmserver_setup::PIECE_PAGES;

/// The kinds of objects that a page can be made into, each 4 KiB large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    /// A frame, which the kernel clears when it is made.
    Frame,
    /// A page table whose entries together span `2^span_bits` bytes of virtual memory.
    Table {
        /// 21, 30 or 39.
        span_bits: u8,
    },
    /// A CNode of [`CNODE_SLOTS`] slots.
    CNode,
}

/// The contents of a page that holds pmserver's records: aligned, so that records can be read in
/// place.
#[repr(C, align(64))]
#[derive(Clone, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct RecordPage(pub [u8; 4096]);

/// Slots of a CNode that is one page large.
pub const CNODE_SLOTS: usize = 128;

/// A capability to a frame, small or large: the original, or one derived from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameCap {
    /// The capability that was made with the frame; a large frame has the number of its first page.
    Original(PageIndex),
    /// The one in a slot of a page that is a CNode.
    Derived(SlotAddress),
}

/// A slot of a CNode page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotAddress {
    /// The page that is the CNode.
    pub node: PageIndex,
    /// The slot in it, below [`CNODE_SLOTS`].
    pub index: u8,
}

/// An address space that pmserver maps into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VSpace {
    /// pmserver's own VSpace, for its records.
    Own,
    /// The VSpace of a peer.
    Peer(PeerId),
}

/// Rights of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRights {
    /// Stores are allowed; loads always are.
    pub write: bool,
    /// Instruction fetches are allowed.
    pub execute: bool,
}

/// Rights to a frame, of a derived capability or of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapRights {
    /// Loads and stores; of a capability those of the original, which pmserver reduces when it
    /// maps.
    All,
    /// Loads only.
    Read,
}

/// The kernel's reason to refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KernelError {
    /// A page table that spans `2^span_bits` bytes is missing at the address.
    TableMissing {
        /// 21, 30 or 39.
        span_bits: u8,
    },
    /// A page is mapped or a table is installed at the address.
    AlreadyMapped,
    /// The untyped object has no room left.
    NotEnoughMemory,
    /// Any other error: a defect of the caller, or an object that is gone.
    Refused,
}
