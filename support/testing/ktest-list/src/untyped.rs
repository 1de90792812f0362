// SPDX-License-Identifier: BSD-2-Clause
//! Untyped memory: what Retype refuses, the watermark and its reset, and destinations.

use crate::operation::{
    Destination, Node, ObjectType, Operation, Place, Slot, TableKind, at, copy, delete, make,
    relocate, retype, revoke, under,
};
use crate::{POOL, POOL_SIZE_BITS};

const A: Slot = Slot(8);
const B: Slot = Slot(9);
const C: Slot = Slot(10);
const D: Slot = Slot(11);
const EMPTY: Slot = Slot(30);
const MANY: Slot = Slot(256);
const CNODE: Slot = Slot(20);

use ObjectType::{Frame, Notification, Tcb, Untyped, VSpace};

/// Retype with all kinds of sizes and counts, and of objects that are not untyped.
pub(crate) const RETYPE: &[Operation] = &[
    make(POOL, Frame, A),
    make(POOL, Frame, A),
    retype(POOL, Frame, 0, Slot(7), 3),
    retype(POOL, Frame, 0, C, 0),
    retype(POOL, Notification, 0, MANY, 257),
    retype(POOL, Notification, 0, MANY, 256),
    retype(POOL, Notification, 0, MANY, 257),
    make(POOL, Tcb, B),
    make(POOL, VSpace, C),
    make(POOL, ObjectType::Table(TableKind::PageTable), D),
    retype(POOL, Frame, 5, Slot(12), 1),
    retype(POOL, Frame, 63, Slot(13), 1),
    retype(POOL, Frame, 64, EMPTY, 1),
    retype(POOL, Untyped, 0, EMPTY, 1),
    retype(POOL, Untyped, 3, EMPTY, 1),
    retype(POOL, Untyped, 4, Slot(14), 1),
    retype(POOL, Untyped, POOL_SIZE_BITS, EMPTY, 1),
    retype(POOL, Untyped, 47, EMPTY, 1),
    retype(POOL, Untyped, 48, EMPTY, 1),
    retype(POOL, Untyped, 63, EMPTY, 1),
    retype(POOL, Untyped, 64, EMPTY, 1),
    retype(POOL, Untyped, u64::MAX, EMPTY, 1),
    retype(POOL, ObjectType::CNode, 0, EMPTY, 1),
    retype(POOL, ObjectType::CNode, 1, Slot(15), 1),
    retype(POOL, ObjectType::CNode, 42, EMPTY, 1),
    retype(POOL, ObjectType::CNode, 43, EMPTY, 1),
    retype(POOL, ObjectType::CNode, 60, EMPTY, 1),
    retype(POOL, ObjectType::CNode, 64, EMPTY, 1),
    // Several errors at once: which one does the kernel report?
    retype(POOL, Untyped, 3, A, 257),
    retype(POOL, Frame, 0, A, 257),
    retype(POOL, Untyped, POOL_SIZE_BITS, A, 1),
    // Retype an empty slot, and objects that are not untyped.
    make(EMPTY, Frame, Slot(16)),
    make(A, Frame, Slot(16)),
    make(B, Frame, Slot(16)),
    make(Slot(15), Frame, Slot(16)),
    revoke(POOL),
    make(A, Frame, Slot(16)),
    make(POOL, Frame, A),
    revoke(POOL),
];

/// How much memory is left, and when all of it becomes free again.
pub(crate) const WATERMARK: &[Operation] = &[
    retype(POOL, Untyped, 12, A, 1),
    make(A, Frame, B),
    make(A, Frame, C),
    make(A, Notification, C),
    delete(B),
    make(A, Notification, C),
    make(A, Frame, B),
    retype(A, Notification, 0, MANY, 64),
    retype(A, Notification, 0, MANY, 62),
    retype(A, Notification, 0, MANY, 1),
    make(A, Notification, D),
    make(A, Notification, EMPTY),
    retype(A, Untyped, 4, EMPTY, 1),
    revoke(A),
    retype(A, Notification, 0, MANY, 65),
    retype(A, Notification, 0, MANY, 64),
    revoke(A),
    // Aligned to the size of what is made.
    retype(POOL, Untyped, 14, B, 1),
    make(B, Notification, C),
    retype(B, Frame, 0, MANY, 4),
    retype(B, Frame, 0, MANY, 2),
    make(B, Frame, D),
    make(B, Notification, EMPTY),
    revoke(B),
    retype(B, Untyped, 4, C, 1),
    make(B, Tcb, D),
    make(B, Tcb, Slot(12)),
    retype(B, ObjectType::CNode, 7, Slot(13), 1),
    retype(B, ObjectType::CNode, 7, Slot(14), 1),
    retype(B, ObjectType::CNode, 7, Slot(15), 1),
    revoke(B),
    // A copy of an untyped capability takes all the memory from the original.
    retype(POOL, Untyped, 14, Slot(17), 1),
    copy(Slot(17), Slot(18)),
    make(Slot(17), Frame, EMPTY),
    retype(Slot(18), Frame, 0, MANY, 4),
    revoke(Slot(17)),
    make(Slot(17), Frame, EMPTY),
    delete(EMPTY),
    copy(B, C),
    make(B, Frame, D),
    make(C, Frame, D),
    copy(C, EMPTY),
    copy(B, EMPTY),
    relocate(C, Slot(12)),
    retype(Slot(12), Frame, 0, MANY, 3),
    make(Slot(12), Frame, EMPTY),
    delete(B),
    make(Slot(12), Frame, EMPTY),
    revoke(Slot(12)),
    make(Slot(12), Frame, EMPTY),
    make(POOL, Frame, B),
    // Revoke also deletes indirect descendants.
    retype(Slot(12), Untyped, 12, Slot(13), 1),
    retype(Slot(13), Notification, 0, Slot(14), 2),
    revoke(POOL),
    copy(Slot(14), A),
    copy(Slot(13), A),
    copy(Slot(12), A),
    retype(POOL, Untyped, POOL_SIZE_BITS, A, 1),
    make(POOL, Notification, B),
    make(A, Notification, B),
    revoke(POOL),
];

const fn into(root: Node, index: u64, depth: u8, offset: u64, count: u64) -> Operation {
    let cnode = Place { node: root, index, depth };
    Operation::Retype(POOL, Notification, 0, Destination { cnode, offset, count })
}

/// CNodes as destinations of Retype.
pub(crate) const DESTINATIONS: &[Operation] = &[
    retype(POOL, ObjectType::CNode, 4, CNODE, 1),
    make(POOL, Frame, A),
    into(Node::In(CNODE), 0, 0, 15, 1),
    into(Node::In(CNODE), 0, 0, 15, 1),
    into(Node::In(CNODE), 0, 0, 16, 1),
    into(Node::In(CNODE), 0, 0, u64::MAX, 1),
    into(Node::In(CNODE), 0, 0, 14, 3),
    into(Node::In(CNODE), 0, 0, 0, 17),
    into(Node::In(CNODE), 0, 0, 0, 256),
    into(Node::In(CNODE), 0, 0, 0, 257),
    into(Node::In(CNODE), 0, 0, 0, u64::MAX),
    into(Node::In(CNODE), 0, 0, 0, 0),
    into(Node::In(CNODE), 0, 0, 16, 0),
    into(Node::In(CNODE), 0, 0, 0, 15),
    into(Node::In(CNODE), 0, 0, 0, 16),
    into(Node::Root, CNODE.0, 64, 0, 1),
    Operation::Delete(under(CNODE, 3, 4)),
    into(Node::Root, CNODE.0, 64, 3, 1),
    into(Node::Root, CNODE.0, 64, 16, 1),
    into(Node::Root, CNODE.0, 65, 3, 1),
    into(Node::Root, A.0, 64, 3, 1),
    into(Node::Root, EMPTY.0, 64, 3, 1),
    into(Node::In(A), 0, 0, 3, 1),
    into(Node::In(A), 0, 4, 3, 1),
    into(Node::In(EMPTY), 0, 0, 3, 1),
    into(Node::In(CNODE), 3, 4, 3, 1),
    into(Node::In(CNODE), 3, 3, 3, 1),
    into(Node::In(CNODE), 3, 5, 3, 1),
    // A CNode in a CNode.
    Operation::Delete(under(CNODE, 5, 4)),
    Operation::Retype(
        POOL,
        ObjectType::CNode,
        2,
        Destination { cnode: at(CNODE), offset: 5, count: 1 },
    ),
    into(Node::In(CNODE), 5, 4, 0, 4),
    into(Node::In(CNODE), 5, 4, 0, 5),
    into(Node::In(CNODE), 5, 4, 4, 1),
    revoke(POOL),
];
