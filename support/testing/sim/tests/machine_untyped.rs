// SPDX-License-Identifier: BSD-2-Clause
//! Untyped memory: Retype, the watermark and its reset (seL4 manual, "Memory Allocation",
//! "Untyped Retype").
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

use first_thread::{ARM, FirstThread, ROOT, UNTYPED, X86, base_of, root_window};
use sim::machine::{Cap, Destination, Error, FAN_OUT_MAX, LookupFault, ObjectType, TableKind};

fn watermark(thread: &FirstThread, untyped: u64) -> u64 {
    match thread.look(untyped) {
        Cap::Untyped { free, .. } => free,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_watermark_is_aligned_to_the_object_and_advances_by_its_size() {
    let mut thread = FirstThread::new(X86);
    let small = thread.make(ObjectType::Untyped, 4);
    assert_eq!((base_of(thread.look(small)), watermark(&thread, UNTYPED)), (0, 16));
    let frame = thread.frame();
    assert_eq!((base_of(thread.look(frame)), watermark(&thread, UNTYPED)), (4096, 8192));
    let node = thread.make(ObjectType::CapTable, 1);
    assert_eq!((base_of(thread.look(node)), watermark(&thread, UNTYPED)), (8192, 8192 + 64));
}

#[test]
fn one_retype_can_make_several_objects() {
    let mut thread = FirstThread::new(X86);
    let first = thread.slot();
    let row = root_window(first, FAN_OUT_MAX);
    thread.retype_to(UNTYPED, ObjectType::Frame, 0, row).unwrap();
    for number in 0..FAN_OUT_MAX {
        assert_eq!(base_of(thread.look(first + number)), number * 4096);
    }
}

#[test]
fn the_number_of_objects_of_one_retype_is_limited() {
    let mut thread = FirstThread::new(X86);
    let first = thread.slot();
    let range = Error::RangeError { min: 1, max: 256 };
    for count in [0, 257] {
        let result = thread.retype_to(UNTYPED, ObjectType::Untyped, 4, root_window(first, count));
        assert_eq!(result, Err(range), "{count}");
    }
}

#[test]
fn a_full_untyped_reports_how_much_is_left() {
    let mut thread = FirstThread::new(X86);
    let small = thread.make(ObjectType::Untyped, 13);
    thread.retype(small, ObjectType::Frame, 0).unwrap();
    let two = root_window(40, 2);
    let refused = thread.retype_to(small, ObjectType::Frame, 0, two);
    assert_eq!(refused, Err(Error::NotEnoughMemory { left: 4096 }));
    thread.retype(small, ObjectType::Frame, 0).unwrap();
    let refused = thread.retype(small, ObjectType::Untyped, 4);
    assert_eq!(refused, Err(Error::NotEnoughMemory { left: 0 }));
}

#[test]
fn deleting_one_of_two_children_frees_nothing_and_deleting_both_frees_all() {
    let mut thread = FirstThread::new(X86);
    let small = thread.make(ObjectType::Untyped, 13);
    let first = thread.retype(small, ObjectType::Frame, 0).unwrap();
    let second = thread.retype(small, ObjectType::Frame, 0).unwrap();
    thread.delete(second);
    let refused = thread.retype(small, ObjectType::Frame, 0);
    assert_eq!(refused, Err(Error::NotEnoughMemory { left: 0 }));
    thread.delete(first);
    let again = thread.retype(small, ObjectType::Frame, 0).unwrap();
    assert_eq!(base_of(thread.look(again)), base_of(thread.look(small)));
}

#[test]
fn a_reset_zeroes_the_memory_that_was_used() {
    let mut thread = FirstThread::new(X86);
    let small = thread.make(ObjectType::Untyped, 12);
    let frame = thread.retype(small, ObjectType::Frame, 0).unwrap();
    let base = base_of(thread.look(frame));
    thread.machine.page_mut(base).0[17] = 99;
    thread.delete(frame);
    assert_eq!(thread.machine.page(base).0[17], 99, "nothing is cleared before the memory is used");
    thread.retype(small, ObjectType::Frame, 0).unwrap();
    assert_eq!(thread.machine.page(base).0[17], 0);
}

#[test]
fn an_occupied_destination_is_refused_and_nothing_is_made() {
    let mut thread = FirstThread::new(X86);
    let (first, taken) = (100, 101);
    thread.retype_to(UNTYPED, ObjectType::Frame, 0, root_window(taken, 1)).unwrap();
    let before = watermark(&thread, UNTYPED);
    let refused = thread.retype_to(UNTYPED, ObjectType::Frame, 0, root_window(first, 2));
    assert_eq!(refused, Err(Error::DeleteFirst));
    assert_eq!((thread.look(first), watermark(&thread, UNTYPED)), (Cap::Null, before));
}

#[test]
fn a_window_must_lie_in_its_cnode() {
    let mut thread = FirstThread::new(X86);
    let node = thread.make(ObjectType::CapTable, 3);
    let to = |offset, count| Destination { root: node, index: 0, depth: 0, offset, count };
    let at = |thread: &mut FirstThread, to| thread.retype_to(UNTYPED, ObjectType::Frame, 0, to);
    assert_eq!(at(&mut thread, to(8, 1)), Err(Error::RangeError { min: 0, max: 7 }));
    assert_eq!(at(&mut thread, to(6, 3)), Err(Error::RangeError { min: 1, max: 2 }));
    assert_eq!(at(&mut thread, to(6, 2)), Ok(0));
}

#[test]
fn the_destination_can_be_given_by_an_address() {
    let mut thread = FirstThread::new(X86);
    let node = thread.make(ObjectType::CapTable, 3);
    let to = |index| Destination { root: ROOT, index, depth: 64, offset: 2, count: 1 };
    thread.retype_to(UNTYPED, ObjectType::Frame, 0, to(node)).unwrap();
    let empty = thread.slot();
    let fault = LookupFault::MissingCapability { bits_left: 64 };
    let refused = thread.retype_to(UNTYPED, ObjectType::Frame, 0, to(empty));
    assert_eq!(refused, Err(Error::FailedLookup { source: false, fault }), "not a CNode");
}

#[test]
fn invalid_sizes_are_refused() {
    let mut thread = FirstThread::new(X86);
    let range = Err(Error::RangeError { min: 0, max: 47 });
    assert_eq!(thread.retype(UNTYPED, ObjectType::Untyped, 48), range);
    assert_eq!(thread.retype(UNTYPED, ObjectType::Untyped, u64::MAX), range);
    assert_eq!(thread.retype(UNTYPED, ObjectType::CapTable, 43), range);
    assert_eq!(
        thread.retype(UNTYPED, ObjectType::Frame, 64),
        range,
        "even for a type with a fixed size"
    );
    let small = Err(Error::InvalidArgument(1));
    assert_eq!(thread.retype(UNTYPED, ObjectType::Untyped, 3), small);
    assert_eq!(thread.retype(UNTYPED, ObjectType::CapTable, 0), small);
}

#[test]
fn an_object_type_of_another_architecture_is_refused() {
    let mut thread = FirstThread::new(ARM);
    let directory = ObjectType::Table(TableKind::PageDirectory);
    assert_eq!(thread.retype(UNTYPED, directory, 0), Err(Error::InvalidArgument(0)));
}

#[test]
fn untyped_memory_with_children_cannot_be_copied_and_a_copy_takes_all_of_it() {
    let mut thread = FirstThread::new(X86);
    let small = thread.make(ObjectType::Untyped, 12);
    let copy = thread.copy(small).unwrap();
    assert_eq!(thread.copy(small), Err(Error::RevokeFirst), "the copy is a child");
    let refused = thread.retype(small, ObjectType::Frame, 0);
    assert_eq!(refused, Err(Error::NotEnoughMemory { left: 0 }));
    let frame = thread.retype(copy, ObjectType::Frame, 0).unwrap();
    thread.revoke(small);
    assert_eq!((thread.look(copy), thread.look(frame)), (Cap::Null, Cap::Null));
    thread.retype(small, ObjectType::Frame, 0).unwrap();
}

#[test]
fn only_untyped_memory_can_be_retyped() {
    let mut thread = FirstThread::new(X86);
    let frame = thread.frame();
    assert_eq!(thread.retype(frame, ObjectType::Frame, 0), Err(Error::IllegalOperation));
    let empty = thread.slot();
    let refused = thread.retype(empty, ObjectType::Frame, 0);
    assert_eq!(refused, Err(Error::InvalidCapability(0)));
}
