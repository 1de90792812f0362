// SPDX-License-Identifier: BSD-2-Clause
//! CNodes: addresses, the derivation tree, deletion (seL4 manual, "Capability Spaces").
// Tests may fail by panicking.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod first_thread;

use first_thread::{FirstThread, ROOT, UNTYPED, X86, mapped_at, place, rights_of, source};
use sim::machine::{
    Cap, CapRights, Destination, Error, FrameRights, Invocation, LookupFault, Machine, ObjectType,
    Place, Source, Transfer,
};

fn lookup_failed(source: bool, fault: LookupFault) -> Result<u64, Error> {
    Err(Error::FailedLookup { source, fault })
}

/// A CNode of 2^4 slots, with a guard of 4 bits, in a slot of another CNode.
///
/// The first thread's root CNode cannot be the other one: it translates all 64 bits.
struct TwoLevels {
    thread: FirstThread,
    /// A root of 2^6 slots without a guard.
    root: u64,
}

const INNER_SLOT: u64 = 9;
const GUARD: u64 = 0b1010;

fn two_levels() -> TwoLevels {
    let mut thread = FirstThread::new(X86);
    let root = thread.make(ObjectType::CapTable, 6);
    let inner = thread.make(ObjectType::CapTable, 4);
    let to = Place { index: INNER_SLOT, depth: 6 };
    let how = Transfer::Mutate(GUARD << 6 | 4);
    thread.invoke(root, Invocation::Transfer { to, from: source(inner), how }).unwrap();
    TwoLevels { thread, root }
}

impl TwoLevels {
    fn copy_untyped_to(&mut self, index: u64, depth: u64) -> Result<u64, Error> {
        let how = Transfer::Copy(CapRights::ALL);
        let frame = self.thread.frame();
        let to = Place { index, depth };
        self.thread.invoke(self.root, Invocation::Transfer { to, from: source(frame), how })
    }
}

#[test]
fn an_address_is_walked_level_by_level_through_guards() {
    let mut two = two_levels();
    let path = |guard: u64, slot: u64| INNER_SLOT << 8 | guard << 4 | slot;
    assert_eq!(two.copy_untyped_to(path(GUARD, 3), 14), Ok(0));
    assert_eq!(two.copy_untyped_to(path(GUARD, 3), 14), Err(Error::DeleteFirst));
    let mismatch = LookupFault::GuardMismatch { guard: GUARD, bits_left: 8, bits_found: 4 };
    assert_eq!(two.copy_untyped_to(path(1, 4), 14), lookup_failed(false, mismatch));
}

#[test]
fn an_address_must_end_with_a_level() {
    let mut two = two_levels();
    let path = INNER_SLOT << 4 | GUARD;
    let inside = LookupFault::DepthMismatch { bits_found: 8, bits_left: 4 };
    assert_eq!(two.copy_untyped_to(path, 10), lookup_failed(false, inside));
    let beyond = LookupFault::DepthMismatch { bits_found: 0, bits_left: 2 };
    assert_eq!(two.copy_untyped_to(0b0001_0100, 8), lookup_failed(false, beyond), "not a CNode");
    let range = Err(Error::RangeError { min: 1, max: 64 });
    assert_eq!(two.copy_untyped_to(0, 0), range);
    assert_eq!(two.copy_untyped_to(0, 65), range);
}

#[test]
fn an_invoked_capability_may_leave_bits_of_its_address_unused() {
    let mut two = two_levels();
    let how = Transfer::Copy(CapRights::ALL);
    let untyped = two.thread.make(ObjectType::Untyped, 12);
    let to = Place { index: 5, depth: 6 };
    let root = two.root;
    two.thread.invoke(root, Invocation::Transfer { to, from: source(untyped), how }).unwrap();
    let cspace = two.thread.look(root);
    let found = two.thread.machine.look(cspace, 5 << 58 | 12_345).unwrap();
    assert!(matches!(found, Cap::Untyped { .. }));
    let through = two.thread.machine.look(cspace, INNER_SLOT << 58);
    let guard = LookupFault::GuardMismatch { guard: GUARD, bits_left: 58, bits_found: 4 };
    assert_eq!(through, Err(Error::CapFault(guard)), "the lookup continues through a CNode");
}

#[test]
fn a_guard_that_does_not_fit_is_refused() {
    let mut thread = FirstThread::new(X86);
    let node = thread.make(ObjectType::CapTable, 4);
    let to = thread.slot();
    assert_eq!(thread.transfer(node, to, Transfer::Mutate(61)), Err(Error::IllegalOperation));
    assert_eq!(thread.transfer(node, to, Transfer::Mutate(60)), Ok(0));
}

#[test]
fn copying_needs_a_source_and_an_empty_destination() {
    let mut thread = FirstThread::new(X86);
    let (frame, other) = (thread.frame(), thread.frame());
    let copy = Transfer::Copy(CapRights::ALL);
    assert_eq!(thread.transfer(frame, other, copy), Err(Error::DeleteFirst));
    let (empty, to) = (thread.slot(), thread.slot());
    let missing = LookupFault::MissingCapability { bits_left: 64 };
    assert_eq!(thread.transfer(empty, to, copy), lookup_failed(true, missing));
    let from = Source { root: frame, index: 0, depth: 64 };
    let result = thread.invoke(ROOT, Invocation::Transfer { to: place(to), from, how: copy });
    assert_eq!(result, lookup_failed(true, LookupFault::InvalidRoot));
}

#[test]
fn a_copied_frame_has_fewer_rights_and_never_more() {
    let mut thread = FirstThread::new(X86);
    let frame = thread.frame();
    let (reader, again, nothing) = (thread.slot(), thread.slot(), thread.slot());
    thread.transfer(frame, reader, Transfer::Copy(CapRights::READ)).unwrap();
    thread.transfer(reader, again, Transfer::Copy(CapRights::ALL)).unwrap();
    let write_only = CapRights { read: false, write: true };
    thread.transfer(frame, nothing, Transfer::Copy(write_only)).unwrap();
    assert_eq!(rights_of(thread.look(frame)), FrameRights::ReadWrite);
    assert_eq!(rights_of(thread.look(reader)), FrameRights::ReadOnly);
    assert_eq!(rights_of(thread.look(again)), FrameRights::ReadOnly);
    assert_eq!(rights_of(thread.look(nothing)), FrameRights::KernelOnly);
}

#[test]
fn revoking_deletes_what_was_derived_and_keeps_the_rest() {
    let mut thread = FirstThread::new(X86);
    let (frame, other) = (thread.frame(), thread.frame());
    let copy = thread.copy(frame).unwrap();
    let of_copy = thread.copy(copy).unwrap();
    let of_other = thread.copy(other).unwrap();
    thread.revoke(copy);
    assert!(!thread.look(of_copy).is_null(), "a copy of a frame has no children");
    thread.revoke(frame);
    assert_eq!((thread.look(copy), thread.look(of_copy)), (Cap::Null, Cap::Null));
    assert!(!thread.look(frame).is_null() && !thread.look(of_other).is_null());
}

#[test]
fn children_of_a_deleted_capability_become_children_of_its_parent() {
    let mut thread = FirstThread::new(X86);
    let small = thread.make(ObjectType::Untyped, 12);
    let frame = thread.retype(small, ObjectType::Frame, 0).unwrap();
    let copy = thread.copy(frame).unwrap();
    thread.delete(frame);
    assert!(!thread.look(copy).is_null());
    let refused = thread.retype(small, ObjectType::Frame, 0);
    assert_eq!(refused, Err(Error::NotEnoughMemory { left: 0 }), "the memory is still in use");
    thread.revoke(small);
    assert_eq!(thread.look(copy), Cap::Null);
}

#[test]
fn a_moved_capability_keeps_its_place_in_the_tree() {
    let mut thread = FirstThread::new(X86);
    let frame = thread.frame();
    let copy = thread.copy(frame).unwrap();
    let to = thread.slot();
    thread.transfer(frame, to, Transfer::Move).unwrap();
    assert_eq!(thread.look(frame), Cap::Null);
    thread.revoke(to);
    assert_eq!(thread.look(copy), Cap::Null);
}

#[test]
fn a_badge_can_be_set_once_and_makes_a_parent() {
    let mut thread = FirstThread::new(X86);
    let plain = thread.make(ObjectType::Notification, 0);
    let (badged, again, copy) = (thread.slot(), thread.slot(), thread.slot());
    let mint = |badge| Transfer::Mint(CapRights::ALL, badge);
    thread.transfer(plain, badged, mint(6)).unwrap();
    assert_eq!(thread.transfer(badged, again, mint(7)), Err(Error::IllegalOperation));
    assert_eq!(thread.transfer(plain, again, Transfer::Mutate(7)), Err(Error::IllegalOperation));
    thread.transfer(badged, copy, Transfer::Copy(CapRights::READ)).unwrap();
    thread.revoke(badged);
    assert_eq!(thread.look(copy), Cap::Null);
    thread.invoke(badged, Invocation::Signal).unwrap();
    assert_eq!(thread.invoke(plain, Invocation::Poll), Ok(6));
    assert_eq!(thread.invoke(plain, Invocation::Poll), Ok(0));
}

#[test]
fn a_reader_of_a_notification_cannot_signal() {
    let mut thread = FirstThread::new(X86);
    let plain = thread.make(ObjectType::Notification, 0);
    let reader = thread.slot();
    thread.transfer(plain, reader, Transfer::Copy(CapRights::READ)).unwrap();
    assert_eq!(thread.invoke(reader, Invocation::Signal), Err(Error::InvalidCapability(0)));
}

#[test]
fn deleting_the_last_capability_to_a_cnode_deletes_its_contents() {
    let mut thread = FirstThread::new(X86);
    let node = thread.make(ObjectType::CapTable, 2);
    let vspace = thread.vspace();
    thread.tables(vspace, 0);
    let frame = thread.frame();
    let inside = Invocation::Transfer {
        to: Place { index: 3, depth: 2 },
        from: source(frame),
        how: Transfer::Move,
    };
    let other = thread.copy(node).unwrap();
    thread.map(frame, vspace, 0x1000).unwrap();
    thread.invoke(node, inside).unwrap();
    thread.delete(node);
    let at = |thread: &FirstThread| {
        thread.machine.translate(thread.look(vspace), 0x1000, sim::machine::Access::Read)
    };
    assert!(at(&thread).is_some(), "another capability to the CNode exists");
    thread.delete(other);
    assert_eq!(at(&thread), None, "deleting the capability unmapped the frame");
}

#[test]
fn a_cnode_inside_a_deleted_cnode_stays_until_its_memory_is_revoked() {
    let mut thread = FirstThread::new(X86);
    let outer = thread.make(ObjectType::CapTable, 1);
    let small = thread.make(ObjectType::Untyped, 12);
    let inner = thread.retype(small, ObjectType::CapTable, 1).unwrap();
    let frame = thread.frame();
    let copy = thread.copy(frame).unwrap();
    let moved = |from, index| Invocation::Transfer {
        to: Place { index, depth: 1 },
        from: source(from),
        how: Transfer::Move,
    };
    thread.invoke(inner, moved(copy, 1)).unwrap();
    thread.invoke(outer, moved(inner, 1)).unwrap();
    thread.delete(outer);
    let refused = thread.retype(small, ObjectType::Untyped, 12);
    assert_eq!(refused, Err(Error::NotEnoughMemory { left: 4096 - 64 }));
    thread.revoke(small);
    thread.retype(small, ObjectType::Untyped, 12).unwrap();
}

#[test]
fn a_cnode_that_contains_itself_can_be_deleted() {
    let mut thread = FirstThread::new(X86);
    let small = thread.make(ObjectType::Untyped, 12);
    let node = thread.retype(small, ObjectType::CapTable, 2).unwrap();
    let copy = |index| Invocation::Transfer {
        to: Place { index, depth: 2 },
        from: source(node),
        how: Transfer::Copy(CapRights::ALL),
    };
    thread.invoke(node, copy(0)).unwrap();
    thread.invoke(node, copy(2)).unwrap();
    thread.revoke(small);
    assert_eq!(thread.look(node), Cap::Null);
    thread.retype(small, ObjectType::Untyped, 12).unwrap();
}

#[test]
fn cnodes_that_contain_each_other_are_deleted_with_their_memory() {
    let mut thread = FirstThread::new(X86);
    let small = thread.make(ObjectType::Untyped, 12);
    let nodes = [(); 2].map(|()| thread.retype(small, ObjectType::CapTable, 1).unwrap());
    let frame = thread.frame();
    let put = |from, index, how| Invocation::Transfer {
        to: Place { index, depth: 1 },
        from: source(from),
        how,
    };
    let copy = Transfer::Copy(CapRights::ALL);
    thread.invoke(nodes[0], put(frame, 1, copy)).unwrap();
    thread.invoke(nodes[1], put(frame, 1, copy)).unwrap();
    thread.invoke(nodes[1], put(nodes[0], 0, copy)).unwrap();
    thread.invoke(nodes[0], put(nodes[1], 0, Transfer::Move)).unwrap();
    thread.delete(nodes[0]);
    thread.revoke(small);
    thread.retype(small, ObjectType::Untyped, 12).unwrap();
    let copies = thread.retype(frame, ObjectType::Frame, 0);
    assert_eq!(copies, Err(Error::IllegalOperation), "the frame itself is still there");
}

#[test]
fn when_the_first_capability_with_a_badge_is_deleted_the_next_becomes_the_first() {
    let mut thread = FirstThread::new(X86);
    let plain = thread.make(ObjectType::Notification, 0);
    let (first, copy, second) = (thread.slot(), thread.slot(), thread.slot());
    let mint = Transfer::Mint(CapRights::ALL, 6);
    thread.transfer(plain, first, mint).unwrap();
    thread.transfer(first, copy, Transfer::Copy(CapRights::ALL)).unwrap();
    thread.delete(first);
    thread.transfer(plain, second, mint).unwrap();
    thread.revoke(second);
    assert!(!thread.look(copy).is_null(), "the same badge, but not a child of this one");
    thread.revoke(plain);
    assert_eq!((thread.look(copy), thread.look(second)), (Cap::Null, Cap::Null));
}

#[test]
fn only_a_mapped_table_can_be_copied_and_a_copied_frame_is_not_mapped() {
    let mut thread = FirstThread::new(X86);
    let vspace = thread.vspace();
    let tables = thread.tables(vspace, 0);
    let frame = thread.frame();
    thread.map(frame, vspace, 0).unwrap();
    let copy = thread.copy(frame).unwrap();
    assert_eq!(mapped_at(thread.look(copy)), None);
    let spare = thread.table(sim::machine::TableKind::PageTable);
    assert_eq!(thread.copy(spare), Err(Error::IllegalOperation));
    assert!(thread.copy(tables[2]).is_ok());
    let unnumbered = thread.make(ObjectType::VSpace, 0);
    assert_eq!(thread.copy(unnumbered), Err(Error::IllegalOperation));
}

#[test]
fn a_missing_capability_is_a_fault_or_an_error() {
    let mut thread = FirstThread::new(X86);
    let nowhere = 1 << 40;
    let guard = LookupFault::GuardMismatch { guard: 0, bits_left: 64, bits_found: 48 };
    let fault = Err(Error::CapFault(guard));
    assert_eq!(thread.invoke(nowhere, Invocation::PageUnmap), fault);
    let to = Destination { root: nowhere, index: 0, depth: 0, offset: 0, count: 1 };
    assert_eq!(thread.retype_to(UNTYPED, ObjectType::Frame, 0, to), fault);
    let empty = Machine::ROOT_EMPTY + 50;
    assert_eq!(thread.invoke(empty, Invocation::PageUnmap), Err(Error::InvalidCapability(0)));
    assert_eq!(thread.invoke(ROOT, Invocation::PageUnmap), Err(Error::IllegalOperation));
}
