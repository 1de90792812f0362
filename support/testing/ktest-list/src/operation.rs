// SPDX-License-Identifier: BSD-2-Clause
//! Operations: loads, stores, and seL4's invocations as plain values that name capabilities by
//! slots. The functions at the end are short forms for the common ones.

use core::fmt::{Display, Formatter, Result};

/// A slot of the first thread's CNode. Slot 0 is the first that the list may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(pub u64);

/// The CNode at which an address lookup starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// The first thread's CNode; addresses in it are numbers of [`Slot`]s.
    Root,
    /// The capability in a slot.
    In(Slot),
}

/// The address of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where the lookup starts.
    pub node: Node,
    /// The address, relative to `node`.
    pub index: u64,
    /// Number of bits of the address.
    pub depth: u8,
}

/// Where Retype puts the new capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The CNode; if the depth is 0, the node at which the lookup would start.
    pub cnode: Place,
    /// The first slot in it.
    pub offset: u64,
    /// Number of capabilities.
    pub count: u64,
}

/// Access rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// None.
    None,
    /// Load, receive.
    Read,
    /// Store, send.
    Write,
    /// All.
    All,
}

impl Rights {
    /// Returns whether the rights include reading.
    #[must_use]
    pub const fn read(self) -> bool {
        matches!(self, Self::Read | Self::All)
    }

    /// Returns whether the rights include writing.
    #[must_use]
    pub const fn write(self) -> bool {
        matches!(self, Self::Write | Self::All)
    }
}

/// Page tables below the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// The level that holds pages on x86_64; any level on aarch64.
    PageTable,
    /// The level above, on x86_64 only.
    PageDirectory,
    /// The level below the root, on x86_64 only.
    Pdpt,
}

/// What Retype makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectType {
    /// A smaller untyped object.
    Untyped,
    /// A thread.
    Tcb,
    /// A notification.
    Notification,
    /// A CNode.
    CNode,
    /// A 4 KiB frame.
    Frame,
    /// A 2 MiB frame.
    LargeFrame,
    /// A page table.
    Table(TableKind),
    /// An address space.
    VSpace,
}

/// The four operations that copy or move a capability to another slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Derive with at most these rights.
    Copy(Rights),
    /// The same, with a badge or guard.
    Mint(Rights, u64),
    /// Move.
    Move,
    /// Move with another guard.
    Mutate(u64),
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Makes objects from untyped memory.
    Retype(Slot, ObjectType, u64, Destination),
    /// Copies or moves a capability to the first slot from the second.
    Transfer(Transfer, Place, Place),
    /// Empties a slot.
    Delete(Place),
    /// Deletes all capabilities derived from the one in a slot.
    Revoke(Place),
    /// Sets the flags of a notification.
    Signal(Slot),
    /// Reads and clears the flags of a notification. The slot must hold one.
    Poll(Slot),
    /// Maps a frame into an address space at an address.
    PageMap(Slot, Slot, u64, Rights),
    /// Unmaps a frame.
    PageUnmap(Slot),
    /// Returns the physical address of a frame, relative to the start of the pool.
    PageAddress(Slot),
    /// Maps a page table into an address space, by the invocation for this kind of table.
    TableMap(TableKind, Slot, Slot, u64),
    /// Unmaps a page table.
    TableUnmap(TableKind, Slot),
    /// Assigns an ASID from a pool to an address space.
    AsidAssign(Slot, Slot),
    /// Loads a byte.
    Load(u64),
    /// Stores a byte.
    Store(u64, u8),
}

impl Display for Slot {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        write!(out, "#{}", self.0)
    }
}

impl Display for Node {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        match self {
            Self::Root => write!(out, "root"),
            Self::In(slot) => slot.fmt(out),
        }
    }
}

impl Display for Place {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        match *self {
            Self { node: Node::Root, index, depth: 64 } => Slot(index).fmt(out),
            Self { node, depth: 0, .. } => write!(out, "{node}"),
            Self { node, index, depth } => write!(out, "{node}[{index:#x}:{depth}]"),
        }
    }
}

impl Display for Destination {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        let Self { cnode, offset, count } = self;
        match cnode {
            Place { node: Node::Root, depth: 0, .. } => write!(out, "{} x{count}", Slot(*offset)),
            _ => write!(out, "{cnode}+{offset} x{count}"),
        }
    }
}

impl Display for Operation {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        match *self {
            Self::Retype(untyped, object_type, size_bits, to) => {
                write!(out, "retype {untyped} {object_type:?} {size_bits} to {to}")
            }
            Self::Transfer(how, to, from) => write!(out, "{how:?} {from} to {to}"),
            Self::Delete(place) => write!(out, "delete {place}"),
            Self::Revoke(place) => write!(out, "revoke {place}"),
            Self::Signal(slot) => write!(out, "signal {slot}"),
            Self::Poll(slot) => write!(out, "poll {slot}"),
            Self::PageMap(frame, vspace, vaddr, rights) => {
                write!(out, "map {frame} in {vspace} at {vaddr:#x} {rights:?}")
            }
            Self::PageUnmap(frame) => write!(out, "unmap {frame}"),
            Self::PageAddress(frame) => write!(out, "address of {frame}"),
            Self::TableMap(kind, table, vspace, vaddr) => {
                write!(out, "map {kind:?} {table} in {vspace} at {vaddr:#x}")
            }
            Self::TableUnmap(kind, table) => write!(out, "unmap {kind:?} {table}"),
            Self::AsidAssign(pool, vspace) => write!(out, "assign {pool} to {vspace}"),
            Self::Load(vaddr) => write!(out, "load {vaddr:#x}"),
            Self::Store(vaddr, byte) => write!(out, "store {byte:#x} at {vaddr:#x}"),
        }
    }
}

/// The place of a slot of the first thread's CNode.
pub(crate) const fn at(slot: Slot) -> Place {
    Place { node: Node::Root, index: slot.0, depth: 64 }
}

/// The place that an address leads to from the CNode in another slot.
pub(crate) const fn under(slot: Slot, index: u64, depth: u8) -> Place {
    Place { node: Node::In(slot), index, depth }
}

/// Makes `count` objects with their capabilities in consecutive slots.
pub(crate) const fn retype(
    untyped: Slot,
    object_type: ObjectType,
    size_bits: u64,
    first: Slot,
    count: u64,
) -> Operation {
    let cnode = Place { node: Node::Root, index: 0, depth: 0 };
    Operation::Retype(
        untyped,
        object_type,
        size_bits,
        Destination { cnode, offset: first.0, count },
    )
}

/// Makes one object of a type with a fixed size.
pub(crate) const fn make(untyped: Slot, object_type: ObjectType, to: Slot) -> Operation {
    retype(untyped, object_type, 0, to, 1)
}

pub(crate) const fn copy(from: Slot, to: Slot) -> Operation {
    Operation::Transfer(Transfer::Copy(Rights::All), at(to), at(from))
}

/// Copies between any two places, not only slots of the first thread's CNode.
pub(crate) const fn copy_between(from: Place, to: Place) -> Operation {
    Operation::Transfer(Transfer::Copy(Rights::All), to, from)
}

/// Returns the data word of Mint and Mutate for a CNode: the guard and its number of bits.
pub(crate) const fn guard(value: u64, bits: u64) -> u64 {
    value << 6 | bits
}

pub(crate) const fn copy_with(rights: Rights, from: Slot, to: Slot) -> Operation {
    Operation::Transfer(Transfer::Copy(rights), at(to), at(from))
}

pub(crate) const fn mint(data: u64, from: Slot, to: Slot) -> Operation {
    Operation::Transfer(Transfer::Mint(Rights::All, data), at(to), at(from))
}

pub(crate) const fn relocate(from: Slot, to: Slot) -> Operation {
    Operation::Transfer(Transfer::Move, at(to), at(from))
}

pub(crate) const fn mutate(data: u64, from: Slot, to: Slot) -> Operation {
    Operation::Transfer(Transfer::Mutate(data), at(to), at(from))
}

pub(crate) const fn delete(slot: Slot) -> Operation {
    Operation::Delete(at(slot))
}

pub(crate) const fn revoke(slot: Slot) -> Operation {
    Operation::Revoke(at(slot))
}
