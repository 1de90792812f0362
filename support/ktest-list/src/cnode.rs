// SPDX-License-Identifier: BSD-2-Clause
//! CNodes: Copy, Mint, Move, Mutate, Delete, Revoke; badges, guards, addresses; what deletion does.

use crate::operation::{
    Node, ObjectType, Operation, Place, Rights, Slot, TableKind, Transfer, at, copy, copy_with,
    delete, make, mint, mutate, relocate, retype, revoke, under,
};
use crate::{ASID_POOL, POOL, VSPACE};

const NOTIFICATION: Slot = Slot(8);
const FRAME: Slot = Slot(9);
const CNODE: Slot = Slot(20);
const INNER: Slot = Slot(21);
const EMPTY: Slot = Slot(30);
const A: Slot = Slot(10);
const B: Slot = Slot(11);
const C: Slot = Slot(12);
const D: Slot = Slot(13);
const E: Slot = Slot(14);
const F: Slot = Slot(15);

use Operation::{Poll, Signal};

/// Copies between two places that need not be slots of the first thread's CNode.
const fn copy_between(from: Place, to: Place) -> Operation {
    Operation::Transfer(Transfer::Copy(Rights::All), to, from)
}

const fn move_between(from: Place, to: Place) -> Operation {
    Operation::Transfer(Transfer::Move, to, from)
}

/// CNode data: a guard and its bits.
const fn guard(value: u64, bits: u64) -> u64 {
    value << 6 | bits
}

/// Empty sources, full destinations, what can be copied at all.
pub(crate) const TRANSFERS: &[Operation] = &[
    make(POOL, ObjectType::Notification, NOTIFICATION),
    make(POOL, ObjectType::Frame, FRAME),
    copy(NOTIFICATION, A),
    copy(NOTIFICATION, A),
    copy(NOTIFICATION, NOTIFICATION),
    relocate(NOTIFICATION, NOTIFICATION),
    mutate(0, FRAME, FRAME),
    copy(EMPTY, B),
    mint(1, EMPTY, B),
    relocate(EMPTY, B),
    mutate(0, EMPTY, B),
    copy(EMPTY, A),
    relocate(EMPTY, EMPTY),
    relocate(FRAME, B),
    relocate(FRAME, C),
    copy(B, FRAME),
    mint(7, B, C),
    mutate(7, C, D),
    mutate(7, NOTIFICATION, E),
    mutate(0, NOTIFICATION, E),
    copy_with(Rights::None, NOTIFICATION, E),
    copy_with(Rights::None, FRAME, F),
    copy(E, Slot(16)),
    make(POOL, ObjectType::Tcb, Slot(17)),
    copy(Slot(17), Slot(18)),
    mint(1, Slot(17), Slot(19)),
    make(POOL, ObjectType::Table(TableKind::PageTable), Slot(22)),
    copy(Slot(22), Slot(23)),
    relocate(Slot(22), Slot(23)),
    make(POOL, ObjectType::VSpace, Slot(24)),
    copy(Slot(24), Slot(25)),
    relocate(Slot(24), Slot(25)),
    copy(VSPACE, Slot(26)),
    copy(ASID_POOL, Slot(27)),
    copy(POOL, Slot(28)),
    mint(1, POOL, Slot(28)),
    relocate(POOL, Slot(28)),
    relocate(Slot(28), POOL),
    delete(Slot(26)),
    delete(Slot(27)),
    delete(EMPTY),
    revoke(EMPTY),
    // Not a CNode that is invoked.
    copy_between(at(NOTIFICATION), under(FRAME, 0, 64)),
    copy_between(at(NOTIFICATION), under(EMPTY, 0, 64)),
    Operation::Delete(under(Slot(17), 0, 64)),
    Operation::Revoke(under(POOL, 0, 64)),
    revoke(POOL),
    copy(NOTIFICATION, EMPTY),
];

/// Badges, rights to send, and which copies Revoke takes.
pub(crate) const BADGES: &[Operation] = &[
    make(POOL, ObjectType::Notification, NOTIFICATION),
    Poll(NOTIFICATION),
    Signal(NOTIFICATION),
    Poll(NOTIFICATION),
    mint(5, NOTIFICATION, A),
    mint(6, A, EMPTY),
    mint(0, A, EMPTY),
    copy(A, B),
    Signal(A),
    Poll(NOTIFICATION),
    Poll(NOTIFICATION),
    mint(2, NOTIFICATION, C),
    Signal(B),
    Signal(C),
    Poll(A),
    mint(0, NOTIFICATION, D),
    mint(8, D, E),
    Signal(E),
    Poll(D),
    copy_with(Rights::Read, NOTIFICATION, F),
    Signal(F),
    copy(F, Slot(16)),
    Signal(Slot(16)),
    copy_with(Rights::Write, NOTIFICATION, Slot(17)),
    Signal(Slot(17)),
    Signal(EMPTY),
    // The first with a badge is the parent of its copies; a copy is nobody's.
    revoke(B),
    Signal(A),
    revoke(A),
    Signal(B),
    Signal(A),
    Signal(C),
    Poll(NOTIFICATION),
    copy(C, B),
    relocate(C, Slot(18)),
    revoke(Slot(18)),
    Signal(B),
    revoke(D),
    Signal(E),
    Signal(Slot(18)),
    delete(A),
    revoke(NOTIFICATION),
    Signal(Slot(18)),
    Signal(D),
    Signal(NOTIFICATION),
    Poll(NOTIFICATION),
    // The original can go first.
    copy(NOTIFICATION, A),
    mint(3, A, B),
    delete(NOTIFICATION),
    Signal(B),
    Poll(A),
    revoke(A),
    Signal(B),
    // Two families of the same badge; the second loses its first.
    make(POOL, ObjectType::Notification, NOTIFICATION),
    mint(5, NOTIFICATION, C),
    copy(C, D),
    mint(5, NOTIFICATION, E),
    copy(E, F),
    revoke(E),
    Signal(F),
    Signal(C),
    Signal(D),
    delete(C),
    revoke(E),
    Signal(D),
    delete(E),
    Signal(D),
    revoke(NOTIFICATION),
    Signal(D),
    revoke(POOL),
    Signal(A),
    Signal(B),
];

/// Depths, guards and CNodes in CNodes.
pub(crate) const ADDRESSES: &[Operation] = &[
    make(POOL, ObjectType::Notification, NOTIFICATION),
    make(POOL, ObjectType::Frame, FRAME),
    retype(POOL, ObjectType::CNode, 4, CNODE, 2),
    copy_between(at(NOTIFICATION), under(CNODE, 3, 4)),
    copy_between(at(NOTIFICATION), under(CNODE, 3, 4)),
    copy_between(at(NOTIFICATION), under(CNODE, 19, 4)),
    copy_between(at(NOTIFICATION), under(CNODE, 16, 4)),
    copy_between(under(CNODE, 0, 4), at(A)),
    copy_between(under(CNODE, 1, 4), at(B)),
    copy_between(at(NOTIFICATION), under(CNODE, 4, 0)),
    copy_between(at(NOTIFICATION), under(CNODE, 4, 1)),
    copy_between(at(NOTIFICATION), under(CNODE, 4, 3)),
    copy_between(at(NOTIFICATION), under(CNODE, 4, 5)),
    copy_between(at(NOTIFICATION), under(CNODE, 3, 64)),
    copy_between(at(NOTIFICATION), under(CNODE, 4, 65)),
    copy_between(at(NOTIFICATION), under(CNODE, 4, 255)),
    copy_between(under(CNODE, 4, 0), at(B)),
    copy_between(under(CNODE, 4, 3), at(B)),
    copy_between(under(CNODE, 4, 65), at(B)),
    copy_between(under(FRAME, 4, 4), at(B)),
    copy_between(under(FRAME, 4, 0), at(B)),
    copy_between(under(EMPTY, 4, 4), at(B)),
    // A full destination is named before a bad source.
    copy_between(under(FRAME, 4, 4), at(A)),
    Operation::Delete(under(CNODE, 4, 3)),
    Operation::Delete(under(CNODE, 4, 0)),
    Operation::Revoke(under(CNODE, 4, 65)),
    // Two levels.
    copy_between(at(INNER), under(CNODE, 1, 4)),
    copy_between(at(NOTIFICATION), under(CNODE, 0x12, 8)),
    copy_between(at(NOTIFICATION), under(INNER, 2, 4)),
    copy_between(under(CNODE, 0x12, 8), under(CNODE, 0x15, 8)),
    copy_between(under(INNER, 5, 4), under(INNER, 6, 4)),
    copy_between(at(NOTIFICATION), under(CNODE, 0x12, 6)),
    copy_between(at(NOTIFICATION), under(CNODE, 0x122, 12)),
    copy_between(at(NOTIFICATION), under(CNODE, 0x177, 12)),
    copy_between(at(NOTIFICATION), under(CNODE, 0x35, 8)),
    copy_between(at(NOTIFICATION), under(CNODE, 0x75, 8)),
    copy_between(under(CNODE, 0x19, 8), at(B)),
    copy_between(under(CNODE, 0x35, 8), at(B)),
    // Guards.
    mutate(guard(0xA, 4), INNER, C),
    copy_between(at(NOTIFICATION), under(C, 0xA3, 8)),
    copy_between(at(NOTIFICATION), under(C, 0xB3, 8)),
    copy_between(at(NOTIFICATION), under(C, 0xA3, 7)),
    copy_between(at(NOTIFICATION), under(C, 0xA, 3)),
    copy_between(at(NOTIFICATION), under(C, 0xA, 4)),
    mint(guard(0, 0), C, D),
    copy_between(under(D, 3, 4), at(B)),
    mint(guard(0, 60), C, E),
    copy_between(under(E, 3, 64), under(E, 4, 64)),
    copy_between(under(E, 1 << 63 | 3, 64), under(E, 4, 64)),
    mint(guard(0, 61), C, F),
    mint(guard(0, 63), C, F),
    mutate(guard(0, 61), C, F),
    mint(guard(0xFFF, 4), C, F),
    copy_between(at(NOTIFICATION), under(F, 0xF8, 8)),
    copy_with(Rights::None, C, Slot(16)),
    copy_between(at(NOTIFICATION), under(Slot(16), 0xA9, 8)),
    revoke(POOL),
];

/// Deletion of CNodes with something in them, also with themselves.
pub(crate) const DELETION: &[Operation] = &[
    make(POOL, ObjectType::Notification, NOTIFICATION),
    retype(POOL, ObjectType::CNode, 2, CNODE, 3),
    mint(4, NOTIFICATION, A),
    move_between(at(A), under(CNODE, 2, 2)),
    copy_between(under(CNODE, 2, 2), at(B)),
    // The last capability to a CNode takes along what is in it.
    copy(CNODE, C),
    delete(CNODE),
    copy_between(under(C, 2, 2), at(D)),
    delete(D),
    delete(C),
    Signal(B),
    revoke(NOTIFICATION),
    Signal(B),
    // A CNode in a CNode in a CNode.
    move_between(at(Slot(22)), under(INNER, 1, 2)),
    copy_between(at(NOTIFICATION), under(INNER, 0b0110, 4)),
    delete(INNER),
    Signal(NOTIFICATION),
    revoke(POOL),
    Signal(NOTIFICATION),
    // One that holds itself, and one that is reached through itself alone.
    retype(POOL, ObjectType::CNode, 2, CNODE, 2),
    copy_between(at(CNODE), under(CNODE, 1, 2)),
    copy_between(at(CNODE), under(CNODE, 0b0110, 4)),
    copy_between(under(CNODE, 0b01_01_01_10, 8), at(A)),
    delete(A),
    delete(CNODE),
    copy_between(at(INNER), under(INNER, 0, 2)),
    move_between(at(INNER), under(INNER, 3, 2)),
    retype(POOL, ObjectType::CNode, 2, CNODE, 2),
    // Two that hold each other.
    copy_between(at(CNODE), under(INNER, 0, 2)),
    copy_between(at(INNER), under(CNODE, 0, 2)),
    delete(CNODE),
    copy_between(under(INNER, 0b0000, 4), at(A)),
    delete(INNER),
    copy_between(under(A, 0b0000, 4), at(B)),
    delete(A),
    copy_between(under(B, 0b0000, 4), at(C)),
    delete(B),
    delete(C),
    revoke(POOL),
    retype(POOL, ObjectType::CNode, 2, CNODE, 1),
    copy_between(at(CNODE), under(CNODE, 0, 2)),
    copy_between(under(CNODE, 0, 2), at(A)),
    // Revoking through a place in the CNode that goes.
    make(POOL, ObjectType::Notification, NOTIFICATION),
    copy_between(at(NOTIFICATION), under(CNODE, 1, 2)),
    copy_between(under(CNODE, 1, 2), at(B)),
    Operation::Revoke(under(CNODE, 1, 2)),
    Signal(B),
    revoke(NOTIFICATION),
    Signal(B),
    copy_between(under(CNODE, 1, 2), at(C)),
    revoke(CNODE),
    copy(A, C),
    copy_between(under(CNODE, 0, 2), at(C)),
    Operation::Delete(Place { node: Node::In(CNODE), index: 0, depth: 2 }),
    delete(CNODE),
    revoke(POOL),
    make(POOL, ObjectType::Frame, A),
    revoke(POOL),
];
