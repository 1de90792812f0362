// SPDX-License-Identifier: BSD-2-Clause
//! Capabilities, and the rules for comparing, weakening and changing them.
//!
//! As in the kernel, an object is identified only by its physical address.

use super::object::{FrameSize, TableKind, object_bits};
use super::{Architecture, ObjectType};

/// Rights in an invocation (seL4 manual, "CapRights").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapRights {
    /// Loads, or receiving.
    pub read: bool,
    /// Stores, or sending.
    pub write: bool,
}

impl CapRights {
    /// All rights.
    pub const ALL: Self = Self { read: true, write: true };
    /// Only loads.
    pub const READ: Self = Self { read: true, write: false };
}

/// Rights of a frame capability or of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameRights {
    /// No access for users.
    KernelOnly,
    /// Loads.
    ReadOnly,
    /// Loads and stores.
    ReadWrite,
}

impl FrameRights {
    /// Returns these rights reduced by a mask. Write without read is not supported and gives no
    /// access (seL4 manual, "Access rights").
    #[must_use]
    pub const fn mask(self, mask: CapRights) -> Self {
        match (self, mask.read, mask.write) {
            (Self::ReadOnly, true, _) | (Self::ReadWrite, true, false) => Self::ReadOnly,
            (Self::ReadWrite, true, true) => Self::ReadWrite,
            _ => Self::KernelOnly,
        }
    }
}

/// Where a frame or a page table is mapped, as recorded in its capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The ASID of the address space.
    pub asid: u16,
    /// The virtual address.
    pub vaddr: u64,
}

/// A capability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cap {
    /// No capability: the slot is empty.
    #[default]
    Null,
    /// Memory from which objects can be made.
    Untyped {
        /// Its physical address.
        base: u64,
        /// Its size, as a power of two.
        size_bits: u8,
        /// Bytes from the start that are in use: the watermark.
        free: u64,
    },
    /// A table of capabilities.
    CNode {
        /// Its physical address.
        base: u64,
        /// Number of slots, as a power of two.
        radix: u8,
        /// Bits that an address must have before the index.
        guard: u64,
        /// Number of these bits.
        guard_bits: u8,
    },
    /// A CNode that is being deleted.
    Zombie {
        /// Its physical address.
        base: u64,
        /// Number of slots, from the first, that may still hold a capability.
        count: u64,
        /// Number of all its slots, as a power of two.
        radix: u8,
    },
    /// A frame.
    Frame {
        /// Its physical address.
        base: u64,
        /// Its size.
        size: FrameSize,
        /// The most rights that a mapping can have.
        rights: FrameRights,
        /// Where it is mapped by this capability.
        mapped: Option<Mapped>,
    },
    /// A page table below the root.
    Table {
        /// Its physical address.
        base: u64,
        /// The kind of table; always `PageTable` on aarch64.
        kind: TableKind,
        /// Where it is mapped.
        mapped: Option<Mapped>,
    },
    /// An address space: the root of its page tables.
    VSpace {
        /// Its physical address.
        base: u64,
        /// Its ASID; without one nothing can be mapped in it.
        asid: Option<u16>,
    },
    /// Authority to assign ASIDs to address spaces.
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
        /// The flags that a signal with this capability sets.
        badge: u64,
        /// Whether it allows signals, polls, or both.
        rights: CapRights,
    },
}

impl Cap {
    /// Returns whether this is [`Self::Null`].
    #[must_use]
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Returns the physical range of the object: base, and size as a power of two.
    fn extent(&self, architecture: Architecture) -> Option<(u64, u8)> {
        let bits = |object_type| object_bits(architecture, object_type, 0).map_or(0, |bits| bits);
        match *self {
            Self::Null | Self::AsidPool => None,
            Self::Untyped { base, size_bits, .. } => Some((base, size_bits)),
            Self::CNode { base, radix, .. } | Self::Zombie { base, radix, .. } => {
                Some((base, radix + super::object::SLOT_BITS))
            }
            Self::Frame { base, size, .. } => Some((base, size.bits())),
            Self::Table { base, kind, .. } => Some((base, bits(ObjectType::Table(kind)))),
            Self::VSpace { base, .. } => Some((base, bits(ObjectType::VSpace))),
            Self::Tcb { base } => Some((base, bits(ObjectType::Tcb))),
            Self::Notification { base, .. } => Some((base, bits(ObjectType::Notification))),
        }
    }

    /// Returns whether the object of `other` lies in the object of `self`.
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
            (Self::Frame { base, size, .. }, Self::Frame { base: b, size: s, .. }) => {
                base <= b && b + (1 << s.bits()) <= base + (1 << size.bits())
            }
            (Self::VSpace { base, .. }, Self::VSpace { base: b, .. })
            | (Self::Tcb { base }, Self::Tcb { base: b })
            | (Self::Notification { base, .. }, Self::Notification { base: b, .. }) => base == b,
            (Self::Table { base, kind, .. }, Self::Table { base: b, kind: k, .. }) => {
                base == b && kind == k
            }
            (Self::AsidPool, Self::AsidPool) => true,
            _ => false,
        }
    }

    /// Returns whether both refer to the same object; always false for untyped memory.
    pub(crate) fn same_object_as(&self, other: &Self, architecture: Architecture) -> bool {
        match (self, other) {
            (Self::Untyped { .. }, _) => false,
            (Self::Frame { base, size, .. }, Self::Frame { base: b, size: s, .. }) => {
                (base, size) == (b, s)
            }
            _ => self.same_region_as(other, architecture),
        }
    }

    /// Returns the capability with its rights reduced by a mask.
    pub(crate) fn masked(self, mask: CapRights) -> Self {
        match self {
            Self::Frame { base, size, rights, mapped } => {
                Self::Frame { base, size, rights: rights.mask(mask), mapped }
            }
            Self::Notification { base, badge, rights } => {
                let rights =
                    CapRights { read: rights.read && mask.read, write: rights.write && mask.write };
                Self::Notification { base, badge, rights }
            }
            other => other,
        }
    }

    /// Returns the capability with a new badge or guard, or `Null` if that is not allowed. A badge
    /// can be set only once, and only while copying (seL4 manual, "CNode Mint").
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

    /// Returns whether this capability, derived from `source`, can have children.
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
