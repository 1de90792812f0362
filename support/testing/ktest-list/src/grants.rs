// SPDX-License-Identifier: BSD-2-Clause
//! Frames in the CSpace of another domain: a CNode in a CNode, with a guard between the two so that
//! addresses have all 64 bits; and physical addresses. These sections run after `tables::TABLES_…`
//! and before `paging::END`.

use crate::operation::{
    ObjectType, Operation, Place, Rights, Slot, TableKind, Transfer, at, copy, copy_between,
    delete, guard, make, retype, revoke, under,
};
use crate::paging::{A, B, C, EMPTY, FAR, FRAME, LEAF, NEXT, OTHER, PAGE, UNTYPED, map, map_with};
use crate::{POOL, VSPACE};

use Operation::{Load, PageAddress, PageUnmap, Store};

/// The root CNode of the domain that holds the grants, of 64 slots.
const HOLDER: Slot = Slot(20);
/// The CNode with the granted frames, of 128 slots.
const NODE: Slot = Slot(21);

/// A slot of the CNode, addressed from the CNode itself.
const fn in_node(index: u64) -> Place {
    under(NODE, index, 7)
}

/// The same slot, addressed from the holder's root.
const fn held(index: u64) -> Place {
    under(HOLDER, 40 << 58 | index, 64)
}

const fn copy_read(from: Slot, to: Place) -> Operation {
    Operation::Transfer(Transfer::Copy(Rights::Read), to, at(from))
}

const fn install(from: Slot) -> Operation {
    let how = Transfer::Mint(Rights::All, guard(0, 51));
    Operation::Transfer(how, under(HOLDER, 40, 6), at(from))
}

/// What the holder's addresses resolve to, and what is deleted with the page of the CNode.
pub(crate) const GRANTS: &[Operation] = &[
    retype(POOL, ObjectType::CNode, 6, HOLDER, 1),
    retype(POOL, ObjectType::Untyped, 12, UNTYPED, 1),
    retype(UNTYPED, ObjectType::CNode, 7, NODE, 1),
    make(POOL, ObjectType::Frame, FRAME),
    make(POOL, ObjectType::Frame, OTHER),
    install(NODE),
    install(NODE),
    copy_read(FRAME, in_node(5)),
    copy_between(at(OTHER), in_node(127)),
    // All the bits between the two indices are the guard.
    copy_between(held(5), at(A)),
    copy_between(held(127), at(B)),
    copy_between(held(0), at(C)),
    copy_between(held(128 | 5), at(C)),
    copy_between(held(1 << 57 | 5), at(C)),
    copy_between(held(1 << 30 | 5), at(C)),
    copy_between(under(HOLDER, 41 << 58 | 5, 64), at(C)),
    copy_between(under(HOLDER, 40 << 51 | 5, 57), at(C)),
    copy_between(under(HOLDER, 40 << 51, 57), at(C)),
    copy_between(held(5), held(6)),
    Operation::Delete(held(6)),
    Operation::Delete(held(1 << 30 | 5)),
    // A capability never regains rights.
    map(A, PAGE),
    Load(PAGE),
    Store(PAGE, 1),
    map(B, NEXT),
    Store(NEXT, 2),
    Load(NEXT),
    // Deleting one capability removes only the mapping made with it.
    map_with(Rights::Read, FRAME, FAR),
    Operation::Delete(held(5)),
    copy_between(held(5), at(C)),
    Load(PAGE),
    delete(A),
    Load(PAGE),
    // Revoking its page deletes the CNode, also in the holder's root, with its contents.
    revoke(UNTYPED),
    copy_between(held(127), at(C)),
    copy_between(in_node(127), at(C)),
    Load(NEXT),
    retype(UNTYPED, ObjectType::CNode, 7, NODE, 1),
    install(NODE),
    copy_between(held(127), at(C)),
    copy_between(at(OTHER), in_node(127)),
    copy_between(held(127), at(C)),
    revoke(OTHER),
    copy_between(held(127), at(A)),
    Load(NEXT),
    delete(HOLDER),
    copy_between(at(FRAME), in_node(0)),
    copy_between(held(0), at(A)),
];

/// Physical addresses: frames are made in order from the start of the untyped memory.
pub(crate) const WHERE: &[Operation] = &[
    retype(POOL, ObjectType::Frame, 0, FRAME, 3),
    PageAddress(FRAME),
    PageAddress(OTHER),
    PageAddress(Slot(10)),
    copy(OTHER, A),
    PageAddress(A),
    map(A, PAGE),
    PageAddress(A),
    PageUnmap(A),
    retype(POOL, ObjectType::Untyped, 16, UNTYPED, 1),
    make(UNTYPED, ObjectType::Frame, B),
    PageAddress(B),
    revoke(UNTYPED),
    PageAddress(B),
    make(UNTYPED, ObjectType::Frame, B),
    PageAddress(B),
    make(POOL, ObjectType::Table(TableKind::PageTable), C),
    PageAddress(C),
    PageAddress(LEAF),
    PageAddress(UNTYPED),
    PageAddress(VSPACE),
    PageAddress(EMPTY),
];
