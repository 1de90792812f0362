// SPDX-License-Identifier: BSD-2-Clause
//! Object types, their sizes, and the differences between the two architectures.

/// Size of a slot as a power of two: a capability and its links in the derivation tree.
pub(crate) const SLOT_BITS: u8 = 5;
const PAGE_BITS: u8 = 12;
const TCB_BITS_X86_64: u8 = 11;
const TCB_BITS_AARCH64: u8 = 11;
/// With the debug registers of a thread (`CONFIG_HARDWARE_DEBUG_API`).
const TCB_BITS_AARCH64_DEBUG: u8 = 12;
const NOTIFICATION_BITS: u8 = 6;
/// Bits of an address that one level of page tables translates.
pub(crate) const LEVEL_BITS: u8 = 9;

/// The architecture, with the kernel configuration of the system's boards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Four levels of page tables, each with its own object type.
    X86_64,
    /// Hypervisor kernel with 40-bit addresses: three levels of page tables, a root twice as large,
    /// and one object type for all tables below it.
    Aarch64,
    /// The same in a debug kernel, which keeps debug registers in its threads.
    Aarch64Debug,
}

impl Architecture {
    /// Returns the number of address bits that are translated below the root table.
    pub(crate) const fn root_shift(self) -> u8 {
        match self {
            Self::X86_64 => 39,
            Self::Aarch64 | Self::Aarch64Debug => 30,
        }
    }

    /// Returns the number of address bits that index the root table.
    pub(crate) const fn root_index_bits(self) -> u8 {
        match self {
            Self::X86_64 => 9,
            Self::Aarch64 | Self::Aarch64Debug => 10,
        }
    }

    /// Returns the highest user address (the kernel's "user top").
    #[must_use]
    pub const fn user_top(self) -> u64 {
        match self {
            Self::X86_64 => 0x7FFF_FFFF_FFFF,
            Self::Aarch64 | Self::Aarch64Debug => 0xFF_FFFF_FFFF,
        }
    }
}

/// Types of page tables below the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// On x86_64 a table that refers to pages; on aarch64 a table of any level below the root.
    PageTable,
    /// On x86_64: refers to tables of kind `PageTable`.
    PageDirectory,
    /// On x86_64: refers to page directories; the root refers to it.
    Pdpt,
}

impl TableKind {
    /// Returns the size of the address space under such a table on x86_64, as a power of two. An
    /// entry that refers to the table spans the same.
    pub(crate) const fn span_bits(self) -> u8 {
        match self {
            Self::PageTable => PAGE_BITS + LEVEL_BITS,
            Self::PageDirectory => PAGE_BITS + 2 * LEVEL_BITS,
            Self::Pdpt => PAGE_BITS + 3 * LEVEL_BITS,
        }
    }
}

/// Sizes of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameSize {
    /// 4 KiB.
    Small,
    /// 2 MiB, mapped in the place of a lowest table.
    Large,
}

impl FrameSize {
    /// Returns the size as a power of two.
    pub(crate) const fn bits(self) -> u8 {
        match self {
            Self::Small => PAGE_BITS,
            Self::Large => PAGE_BITS + LEVEL_BITS,
        }
    }
}

/// What Retype can make. Frames of 1 GiB, endpoints, replies and scheduling contexts are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectType {
    /// A smaller piece of untyped memory.
    Untyped,
    /// A thread.
    Tcb,
    /// A notification.
    Notification,
    /// A CNode.
    CapTable,
    /// A 4 KiB frame.
    Frame,
    /// A 2 MiB frame.
    LargeFrame,
    /// A page table below the root.
    Table(TableKind),
    /// An address space.
    VSpace,
}

/// Returns the size of an object as a power of two, or `None` if the architecture has no such type.
pub(crate) fn object_bits(
    architecture: Architecture,
    object_type: ObjectType,
    size_bits: u8,
) -> Option<u8> {
    match (object_type, architecture) {
        (ObjectType::Untyped, _) => Some(size_bits),
        (ObjectType::Tcb, Architecture::X86_64) => Some(TCB_BITS_X86_64),
        (ObjectType::Tcb, Architecture::Aarch64) => Some(TCB_BITS_AARCH64),
        (ObjectType::Tcb, Architecture::Aarch64Debug) => Some(TCB_BITS_AARCH64_DEBUG),
        (ObjectType::Notification, _) => Some(NOTIFICATION_BITS),
        (ObjectType::CapTable, _) => Some(SLOT_BITS + size_bits),
        (ObjectType::Frame, _) => Some(FrameSize::Small.bits()),
        (ObjectType::LargeFrame, _) => Some(FrameSize::Large.bits()),
        (ObjectType::Table(TableKind::PageTable), _)
        | (ObjectType::Table(_) | ObjectType::VSpace, Architecture::X86_64) => Some(PAGE_BITS),
        (ObjectType::VSpace, _) => Some(PAGE_BITS + 1),
        (ObjectType::Table(_), _) => None,
    }
}
