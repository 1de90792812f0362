// SPDX-License-Identifier: BSD-2-Clause
//! Capabilities: what a slot holds, and the rules that compare, weaken and change them.
//!
//! As in the kernel, an object is known by its physical address and has no other identity.

use super::object::{TableKind, object_bits};
use super::{Architecture, ObjectType};

/// Rights that an invocation asks for (seL4 manual, "CapRights").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapRights {
    /// Loads, or receiving.
    pub read: bool,
    /// Stores, or sending.
    pub write: bool,
}

impl CapRights {
    /// Everything.
    pub const ALL: Self = Self { read: true, write: true };
    /// Loads alone.
    pub const READ: Self = Self { read: true, write: false };
}

/// Rights of a frame capability or of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameRights {
    /// None for users.
    KernelOnly,
    /// Loads.
    ReadOnly,
    /// Loads and stores.
    ReadWrite,
}

impl FrameRights {
    /// Returns what is left of these rights under a mask. Write alone is not supported and gives
    /// nothing (seL4 manual, "Access rights").
    #[must_use]
    pub const fn mask(self, mask: CapRights) -> Self {
        match (self, mask.read, mask.write) {
            (Self::ReadOnly, true, _) | (Self::ReadWrite, true, false) => Self::ReadOnly,
            (Self::ReadWrite, true, true) => Self::ReadWrite,
            _ => Self::KernelOnly,
        }
    }
}

/// Where a frame or a page table is mapped, as its capability remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The address space.
    pub asid: u16,
    /// The address.
    pub vaddr: u64,
}

/// A capability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cap {
    /// None: the slot is empty.
    #[default]
    Null,
    /// Memory to make objects of.
    Untyped {
        /// Its physical address.
        base: u64,
        /// Its size, as a power of two.
        size_bits: u8,
        /// Bytes from the start that are used up: the watermark.
        free: u64,
    },
    /// A table of capabilities.
    CNode {
        /// Its physical address.
        base: u64,
        /// Slots, as a power of two.
        radix: u8,
        /// Bits that an address must have in front of the index.
        guard: u64,
        /// How many.
        guard_bits: u8,
    },
    /// A CNode that is being deleted.
    Zombie {
        /// Its physical address.
        base: u64,
        /// Slots that may still hold something, from the first.
        count: u64,
        /// All its slots, as a power of two.
        radix: u8,
    },
    /// A 4 KiB frame.
    Frame {
        /// Its physical address.
        base: u64,
        /// What it may be mapped with.
        rights: FrameRights,
        /// The one place where it is mapped through this capability.
        mapped: Option<Mapped>,
    },
    /// A page table below the root.
    Table {
        /// Its physical address.
        base: u64,
        /// Which one, where the architecture tells them apart.
        kind: TableKind,
        /// Where it is installed.
        mapped: Option<Mapped>,
    },
    /// An address space, that is the root of its page tables.
    VSpace {
        /// Its physical address.
        base: u64,
        /// Its number; without one it cannot be mapped into.
        asid: Option<u16>,
    },
    /// Authority to give numbers to address spaces.
    AsidPool,
    /// A thread.
    Tcb {
        /// Its physical address.
        base: u64,
    },
    /// A notification.
    Notification {
        /// Its physical address.
        base: u64,
        /// What a signal through this capability sets.
        badge: u64,
        /// What it allows.
        rights: CapRights,
    },
}

impl Cap {
    /// Returns whether there is none.
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Returns the physical range that the object fills, as base and size in bits.
    fn extent(&self, architecture: Architecture) -> Option<(u64, u8)> {
        let bits = |object_type| object_bits(architecture, object_type, 0).map_or(0, |bits| bits);
        match *self {
            Self::Null | Self::AsidPool => None,
            Self::Untyped { base, size_bits, .. } => Some((base, size_bits)),
            Self::CNode { base, radix, .. } | Self::Zombie { base, radix, .. } => {
                Some((base, radix + super::object::SLOT_BITS))
            }
            Self::Frame { base, .. } | Self::Table { base, .. } => {
                Some((base, bits(ObjectType::Frame)))
            }
            Self::VSpace { base, .. } => Some((base, bits(ObjectType::VSpace))),
            Self::Tcb { base } => Some((base, bits(ObjectType::Tcb))),
            Self::Notification { base, .. } => Some((base, bits(ObjectType::Notification))),
        }
    }

    /// Returns whether `other` speaks of memory that lies in what `self` speaks of.
    pub(crate) fn same_region_as(&self, other: &Self, architecture: Architecture) -> bool {
        match (*self, *other) {
            (Self::Untyped { base, size_bits, .. }, _) => {
                other.extent(architecture).is_some_and(|(start, bits)| {
                    base <= start && start + (1 << bits) <= base + (1 << size_bits)
                })
            }
            (Self::CNode { base, radix, .. }, Self::CNode { base: b, radix: r, .. }) => {
                base == b && radix == r
            }
            (Self::Frame { base, .. }, Self::Frame { base: b, .. })
            | (Self::VSpace { base, .. }, Self::VSpace { base: b, .. })
            | (Self::Tcb { base }, Self::Tcb { base: b })
            | (Self::Notification { base, .. }, Self::Notification { base: b, .. }) => base == b,
            (Self::Table { base, kind, .. }, Self::Table { base: b, kind: k, .. }) => {
                base == b && kind == k
            }
            (Self::AsidPool, Self::AsidPool) => true,
            _ => false,
        }
    }

    /// Returns whether both speak of one object; untyped ones never do.
    pub(crate) fn same_object_as(&self, other: &Self, architecture: Architecture) -> bool {
        !matches!(self, Self::Untyped { .. }) && self.same_region_as(other, architecture)
    }

    /// Returns the capability with its rights weakened.
    pub(crate) fn masked(self, mask: CapRights) -> Self {
        match self {
            Self::Frame { base, rights, mapped } => {
                Self::Frame { base, rights: rights.mask(mask), mapped }
            }
            Self::Notification { base, badge, rights } => {
                let rights =
                    CapRights { read: rights.read && mask.read, write: rights.write && mask.write };
                Self::Notification { base, badge, rights }
            }
            other => other,
        }
    }

    /// Returns the capability with a new badge or guard; a badge can be set once and only while
    /// copying. `Null` where that is not allowed (seL4 manual, "CNode Mint").
    pub(crate) fn with_data(self, preserve: bool, data: u64) -> Self {
        match self {
            Self::Notification { base, badge: 0, rights } if !preserve => {
                Self::Notification { base, badge: data, rights }
            }
            Self::Notification { .. } => Self::Null,
            Self::CNode { base, radix, .. } => {
                let guard_bits = u8::try_from(data & 63).expect("six bits");
                if u64::from(guard_bits) + u64::from(radix) > 64 {
                    return Self::Null;
                }
                let guard = data >> 6 & ((1 << guard_bits) - 1);
                Self::CNode { base, radix, guard, guard_bits }
            }
            other => other,
        }
    }

    /// Returns whether a capability derived from `source` can be a parent itself.
    pub(crate) fn is_revocable(&self, source: &Self) -> bool {
        match (self, source) {
            (Self::Untyped { .. }, _) => true,
            (Self::Notification { badge, .. }, Self::Notification { badge: of_source, .. }) => {
                badge != of_source
            }
            _ => false,
        }
    }
}
