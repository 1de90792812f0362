// SPDX-License-Identifier: BSD-2-Clause
//! Frames in an address space: where they can be mapped, the effect of rights on loads and stores,
//! and memory that is reused. These sections run after `tables::TABLES_…` and before `END`.

use crate::operation::{
    ObjectType, Operation, Rights, Slot, TableKind, copy, copy_with, delete, make, relocate,
    retype, revoke,
};
use crate::{ASID_POOL, FREE_ADDRESS, POOL, VSPACE};

use Operation::{AsidAssign, Load, PageUnmap, Store};

pub(crate) const FRAME: Slot = Slot(8);
pub(crate) const OTHER: Slot = Slot(9);
pub(crate) const THIRD: Slot = Slot(10);
pub(crate) const A: Slot = Slot(11);
pub(crate) const B: Slot = Slot(12);
pub(crate) const C: Slot = Slot(13);
pub(crate) const EMPTY: Slot = Slot(30);
/// The tables, from the highest level down. `LEAF` holds pages.
pub(crate) const TOP: Slot = Slot(40);
pub(crate) const MIDDLE: Slot = Slot(41);
pub(crate) const LEAF: Slot = Slot(42);
pub(crate) const SPARE: Slot = Slot(43);
pub(crate) const UNTYPED: Slot = Slot(50);
pub(crate) const SPACE: Slot = Slot(51);
pub(crate) const SECOND_SPACE: Slot = Slot(52);

pub(crate) const PAGE: u64 = FREE_ADDRESS;
pub(crate) const NEXT: u64 = PAGE + 0x1000;
pub(crate) const LAST: u64 = PAGE + 0x1F_F000;
/// An address that needs another lowest page table than `PAGE`, and shares all tables above it.
pub(crate) const FAR: u64 = PAGE + 0x20_0000;

pub(crate) const fn map(frame: Slot, vaddr: u64) -> Operation {
    Operation::PageMap(frame, VSPACE, vaddr, Rights::All)
}

pub(crate) const fn map_with(rights: Rights, frame: Slot, vaddr: u64) -> Operation {
    Operation::PageMap(frame, VSPACE, vaddr, rights)
}

pub(crate) const fn map_in(vspace: Slot, frame: Slot, vaddr: u64) -> Operation {
    Operation::PageMap(frame, vspace, vaddr, Rights::All)
}

pub(crate) const fn table(kind: TableKind, slot: Slot) -> Operation {
    make(POOL, ObjectType::Table(kind), slot)
}

/// Where a frame can be mapped, and how copies of its capability behave.
pub(crate) const FRAMES: &[Operation] = &[
    retype(POOL, ObjectType::Frame, 0, FRAME, 3),
    map(FRAME, PAGE + 8),
    map(FRAME, PAGE + 0x800),
    map(FRAME, FAR),
    map(FRAME, 1 << 47),
    map(FRAME, 0x7FFF_FFFF_E000),
    map(FRAME, 0x7FFF_FFFF_F000),
    map(FRAME, 1 << 40),
    map(FRAME, 0xFF_FFFF_F000),
    map(FRAME, 1 << 63),
    map(FRAME, u64::MAX - 0xFFF),
    map(FRAME, u64::MAX),
    map_in(OTHER, FRAME, PAGE),
    map_in(EMPTY, FRAME, PAGE),
    make(POOL, ObjectType::VSpace, SPACE),
    AsidAssign(ASID_POOL, SPACE),
    map(EMPTY, PAGE),
    map(VSPACE, PAGE),
    map(LEAF, PAGE),
    map(POOL, PAGE),
    PageUnmap(LEAF),
    PageUnmap(EMPTY),
    PageUnmap(FRAME),
    map(FRAME, PAGE),
    map(FRAME, PAGE),
    map(FRAME, NEXT),
    map(FRAME, PAGE + 8),
    map(FRAME, 1 << 47),
    map(FRAME, FAR),
    map_in(SPACE, FRAME, PAGE),
    map_in(SPACE, FRAME, NEXT),
    map_in(SPACE, FRAME, PAGE + 8),
    map_in(OTHER, FRAME, PAGE),
    Store(PAGE, 0x5A),
    Load(PAGE),
    Load(NEXT),
    Store(NEXT, 1),
    // Every capability to a frame has its own mapping.
    copy(FRAME, A),
    map(A, NEXT),
    Load(NEXT),
    Store(NEXT, 0x5B),
    Load(PAGE),
    copy(A, B),
    map(B, NEXT),
    PageUnmap(B),
    Load(NEXT),
    map(A, NEXT),
    map(B, LAST),
    Load(LAST),
    relocate(B, C),
    map(C, LAST),
    map(C, NEXT),
    delete(C),
    Load(LAST),
    PageUnmap(A),
    PageUnmap(A),
    Load(NEXT),
    Load(PAGE),
    // Map over another frame.
    map(OTHER, PAGE),
    Load(PAGE),
    PageUnmap(FRAME),
    Load(PAGE),
    map(FRAME, NEXT),
    Load(NEXT),
    delete(OTHER),
    Load(PAGE),
    copy(FRAME, B),
    map(B, PAGE),
    map(A, LAST),
    revoke(FRAME),
    Load(PAGE),
    Load(LAST),
    Load(NEXT),
    copy(A, OTHER),
    delete(FRAME),
    Load(NEXT),
    map(THIRD, PAGE),
    Load(PAGE),
    PageUnmap(THIRD),
];

/// The effect of the rights of capabilities and mappings on loads and stores. `THIRD` exists.
pub(crate) const RIGHTS: &[Operation] = &[
    map(THIRD, PAGE),
    Store(PAGE, 1),
    map_with(Rights::Read, THIRD, PAGE),
    Store(PAGE, 2),
    Load(PAGE),
    map_with(Rights::Write, THIRD, PAGE),
    Load(PAGE),
    Store(PAGE, 3),
    map_with(Rights::None, THIRD, PAGE),
    Load(PAGE),
    map(THIRD, PAGE),
    Load(PAGE),
    Store(PAGE, 4),
    copy_with(Rights::Read, THIRD, A),
    map(A, NEXT),
    Store(NEXT, 5),
    Load(NEXT),
    map_with(Rights::Write, A, NEXT),
    Load(NEXT),
    copy(A, B),
    map(B, LAST),
    Store(LAST, 6),
    Load(LAST),
    copy_with(Rights::Write, THIRD, C),
    map(C, PAGE + 0x2000),
    Load(PAGE + 0x2000),
    Store(PAGE + 0x2000, 7),
    delete(C),
    copy_with(Rights::None, THIRD, C),
    map(C, PAGE + 0x2000),
    Load(PAGE + 0x2000),
    // Map again without any rights, then unmap.
    map_with(Rights::None, THIRD, PAGE),
    PageUnmap(THIRD),
    Load(PAGE),
    Load(LAST),
    delete(THIRD),
    Load(LAST),
];

/// Reused memory is zero, however it was freed.
pub(crate) const ZERO: &[Operation] = &[
    retype(POOL, ObjectType::Untyped, 12, UNTYPED, 1),
    make(UNTYPED, ObjectType::Frame, FRAME),
    map(FRAME, PAGE),
    Load(PAGE),
    Store(PAGE, 0x77),
    Store(PAGE + 0xFFF, 0x78),
    make(UNTYPED, ObjectType::Frame, OTHER),
    revoke(UNTYPED),
    Load(PAGE),
    make(UNTYPED, ObjectType::Frame, FRAME),
    map(FRAME, PAGE),
    Load(PAGE),
    Load(PAGE + 0xFFF),
    Store(PAGE, 0x79),
    delete(FRAME),
    Load(PAGE),
    make(UNTYPED, ObjectType::Frame, FRAME),
    map(FRAME, NEXT),
    Load(NEXT),
    Store(NEXT, 0x7A),
    // Freed and reused in two parts.
    revoke(UNTYPED),
    retype(UNTYPED, ObjectType::Untyped, 11, A, 2),
    delete(A),
    delete(B),
    make(UNTYPED, ObjectType::Frame, FRAME),
    map(FRAME, NEXT),
    Load(NEXT),
    Store(NEXT, 0x7B),
    // Delete the untyped capability: memory in use is not reused before the pool is revoked.
    delete(UNTYPED),
    Load(NEXT),
    make(POOL, ObjectType::Frame, OTHER),
    map(OTHER, PAGE),
    Load(PAGE),
    PageUnmap(FRAME),
    map(FRAME, NEXT),
    Load(NEXT),
];

/// Deletes all objects.
pub(crate) const END: &[Operation] = &[revoke(POOL), Load(PAGE), Load(NEXT), Load(LAST), Load(FAR)];
