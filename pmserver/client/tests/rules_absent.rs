// SPDX-License-Identifier: BSD-2-Clause
//! Frames that somebody else supplies, with all else that can be done to a frame: PM-280 to PM-284.
#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used)]

mod bed;

use bed::{Bed, FORCE, NONE, Peer, READ, WRITE, count, n, why};
use pmserver_api::LockMode::{Exclusive, Read};
use pmserver_api::{AllocateFlags, ContainerHandle, CopyFlags, FrameState, PmError, Rights};

const NEW: CopyFlags = CopyFlags::NEW;
const SHARED: CopyFlags = CopyFlags::SHARED;
const MOVE: CopyFlags = CopyFlags::MOVE;
const ATOMIC: CopyFlags = CopyFlags::ATOMIC;
const WINDOW: u64 = 0x1000_0000;
const PAGE: u64 = 4096;
const LONG: u64 = 900_000;

/// A container of the owner's with frames `0..4`, of which the handler supplies `0..2`.
fn absent(owner: &mut Peer, handler: &Peer) -> ContainerHandle {
    let c = owner.container(0..4);
    owner.pm.set_handler(c, n(0), 2, Some(handler.id), 7).unwrap();
    c
}

/// Has the handler supply whatever is asked with this byte.
fn attend(bed: &Bed, byte: u8) {
    let mut handler = bed.calm_peer(3);
    let page = handler.filled(&[byte]);
    bed.testbed.attend(move || {
        while let Some(fault) = handler.pm.next_fault().unwrap() {
            assert_eq!(fault.cookie, 7);
            handler.pm.supply(fault.fault, page, n(0)).unwrap();
        }
    });
}

#[test]
fn an_absent_frame_is_refused_to_whatever_would_need_its_contents() {
    // PM-280, PM-163, PM-164
    Bed::each(|bed| {
        let [mut owner, mut borrower, handler] = bed.peers();
        let c = absent(&mut owner, &handler);
        let d = owner.filled(b"de");
        let lent = owner.lend(c, 0..4, &borrower, Rights::all()).weak;
        let zero = (PmError::Absent, 0, 0);
        for flags in [NONE, ATOMIC, SHARED, MOVE, SHARED | ATOMIC] {
            assert_eq!(bed.refused(|| owner.copy((c, 0..1), (d, 0), flags)), zero, "{flags:?}");
        }
        assert_eq!(bed.refused(|| owner.pairs(c, d, &[(2, 0), (1, 1)], ATOMIC)).2, 1);
        assert_eq!(owner.get(d, 0), b'd');
        assert_eq!(why(owner.pairs(c, d, &[(2, 0), (1, 1)], NONE)), (PmError::Absent, 1, 1));
        assert_eq!(owner.bytes(d, 0..2), b"\0e");
        assert_eq!(bed.refused(|| borrower.pin(lent, 0..1, Read, LONG)), zero);
        assert_eq!(bed.refused(|| borrower.pin(lent, 0..3, Exclusive, LONG)), zero);
        assert_eq!(bed.refused(|| owner.map(c, 0..2, WINDOW, FORCE)), zero);
        assert_eq!(bed.refused(|| owner.pm.grant(c, n(0), count(1), READ)), zero);
        assert_eq!(owner.map(c, 0..2, WINDOW, WRITE).unwrap().count, 2, "it is mapped");
        assert_eq!(bed.refused(|| owner.pm.remap(bed::at(WINDOW), count(1), FORCE)).0, zero.0);
        assert!(owner.has(c, 0, FrameState::ABSENT | FrameState::MAPPED | FrameState::PRESENT));
        assert!(!owner.has(c, 0, FrameState::BOUND));
        assert!(!owner.has(c, 2, FrameState::ABSENT));
    });
}

#[test]
fn an_absent_frame_that_is_copied_into_is_supplied_by_that() {
    // PM-280, PM-160, PM-161
    Bed::each(|bed| {
        let [mut owner, mut borrower, handler] = bed.peers();
        let c = absent(&mut owner, &handler);
        let d = owner.filled(b"de");
        let lent = owner.lend(c, 0..4, &borrower, Rights::WRITE).weak;
        borrower.map(lent, 0..4, WINDOW, WRITE).unwrap();
        let charges = bed.charges();
        assert_eq!(owner.copy((d, 0..2), (c, 0), NONE), Ok(2));
        assert_eq!(bed.charges(), charges);
        assert!(!owner.has(c, 0, FrameState::ABSENT) && !owner.has(c, 1, FrameState::ABSENT));
        assert_eq!((borrower.load(WINDOW), borrower.load(WINDOW + PAGE)), (b'd', b'e'));
        borrower.store(b'x', WINDOW);
        assert_eq!(owner.bytes(d, 0..2), b"de");
        // And absent again when it is renewed, or allocated anew.
        owner.renew(c, 0..1).unwrap();
        assert!(owner.has(c, 0, FrameState::ABSENT));
        owner.allocate_with(c, 1..2, AllocateFlags::SQUASH).unwrap();
        assert!(owner.has(c, 1, FrameState::ABSENT));
        owner.copy((d, 0..1), (c, 0), MOVE).unwrap();
        assert_eq!(owner.get(c, 0), b'd');
        owner.free(c, 0..1).unwrap();
        assert_eq!(owner.copy((d, 1..2), (c, 0), NEW | SHARED), Ok(1));
        assert_eq!(owner.get(c, 0), b'e');
    });
}

#[test]
fn who_touches_goes_on_with_what_the_handler_supplies_and_nobody_pays() {
    // PM-280, PM-282, PM-124, PM-200
    Bed::each(|bed| {
        let [mut owner, mut borrower, handler] = bed.peers();
        let c = absent(&mut owner, &handler);
        let lent = owner.lend(c, 0..2, &borrower, Rights::WRITE).weak;
        attend(bed, b'h');
        borrower.map(lent, 0..1, WINDOW, WRITE).unwrap();
        borrower.pm.attach(lent, n(0), 2, bed::at(0x2000_0000), READ).unwrap();
        owner.map(c, 0..2, WINDOW, READ).unwrap();
        let charges = bed.charges();
        assert_eq!(borrower.load(WINDOW), b'h');
        assert_eq!(bed.charges(), charges, "nothing is charged");
        assert!(owner.has(c, 0, FrameState::COW | FrameState::BOUND));
        borrower.store(b'w', WINDOW);
        assert_eq!(owner.load(WINDOW), b'w');
        assert_eq!(borrower.load(0x2000_0000 + PAGE), b'h', "through a region as well");
        assert_eq!(owner.load(WINDOW + PAGE), b'h');
        owner.renew(c, 0..2).unwrap();
        assert!(owner.has(c, 1, FrameState::ABSENT));
        assert_eq!(borrower.load(0x2000_0000), b'h', "and again after a renewal");
    });
}

#[test]
fn a_range_that_is_over_reads_as_zero_and_what_was_supplied_stays() {
    // PM-284
    Bed::each(|bed| {
        let [mut owner, mut borrower, handler] = bed.peers();
        let before = owner.info();
        let c = absent(&mut owner, &handler);
        let lent = owner.lend(c, 0..2, &borrower, Rights::WRITE).weak;
        attend(bed, b'h');
        borrower.map(lent, 0..2, WINDOW, WRITE).unwrap();
        assert_eq!(borrower.load(WINDOW), b'h');
        let exists = bed.refused(|| owner.pm.set_handler(c, n(1), 5, Some(handler.id), 8));
        assert_eq!(exists.0, PmError::Exists);
        let missing = bed.refused(|| owner.pm.set_handler(c, n(1), 1, None, 0));
        assert_eq!(missing.0, PmError::NotFound);
        owner.pm.set_handler(c, n(0), 2, None, 0).unwrap();
        assert_eq!((borrower.load(WINDOW), borrower.load(WINDOW + PAGE)), (b'h', 0));
        for start in [10, 20, 30, 40] {
            owner.pm.set_handler(c, n(start), 10, Some(handler.id), 1).unwrap();
        }
        let fifth = bed.refused(|| owner.pm.set_handler(c, n(50), 1, Some(handler.id), 1));
        assert_eq!(fifth.0, PmError::TooMany);
        owner.pm.container_destroy(c).unwrap();
        assert_eq!(owner.info(), before);
    });
}

#[test]
fn the_answers_of_handlers_that_are_not_answers() {
    // PM-282, PM-283
    Bed::each(|bed| {
        let [mut owner, mut borrower, mut handler] = bed.peers();
        let c = absent(&mut owner, &handler);
        let page = handler.filled(b"h");
        let unread = owner.filled(b"s");
        let lent = owner.lend(c, 0..2, &borrower, Rights::WRITE).weak;
        borrower.map(lent, 0..2, WINDOW, READ).unwrap();
        let mut served = bed.calm_peer(3);
        let mut stranger = bed.calm_peer(1);
        bed.testbed.attend(move || {
            let Some(fault) = served.pm.next_fault().unwrap() else { return };
            let caps = [
                why(stranger.pm.supply(fault.fault, unread, n(0))).0,
                why(stranger.pm.refuse(fault.fault)).0,
                why(served.pm.supply(fault.fault, unread, n(0))).0,
            ];
            assert_eq!(caps, [PmError::InvalidCap; 3]);
            assert_eq!(why(served.pm.supply(fault.fault, page, n(1))), (PmError::NotFound, 0, 1));
            served.pm.supply(fault.fault, page, n(0)).unwrap();
            assert_eq!(why(served.pm.refuse(fault.fault)).0, PmError::InvalidCap);
        });
        assert_eq!(borrower.load(WINDOW), b'h');
        assert_eq!(handler.pm.next_fault().unwrap(), None);
        let own = handler.container(0..1);
        handler.pm.set_handler(own, n(0), 1, Some(handler.id), 1).unwrap();
        handler.map(own, 0..1, WINDOW, READ).unwrap();
        assert!(handler.load_faults(WINDOW), "the one who touches it is the handler");
        assert!(borrower.load_faults(WINDOW + PAGE), "the handler is stopped");
    });
}

#[test]
fn a_handler_that_does_not_answer_costs_one_second() {
    // PM-283, PM-121
    let bed = Bed::calm();
    let [mut owner, mut borrower, handler] = bed.peers();
    let c = absent(&mut owner, &handler);
    let lent = owner.lend(c, 0..2, &borrower, Rights::WRITE).weak;
    borrower.map(lent, 0..2, WINDOW, READ).unwrap();
    let testbed = bed.testbed.clone();
    bed.testbed.attend(move || testbed.advance(10_000));
    let before = owner.pm.clock().unwrap().get();
    assert!(borrower.load_faults(WINDOW));
    let waited = owner.pm.clock().unwrap().get() - before;
    assert!((1_000_000..1_100_000).contains(&waited), "{waited}");
    bed.testbed.check();
}

#[test]
fn a_lease_on_absent_frames_is_one_like_any_other() {
    // PM-70, PM-71, PM-282, PM-280
    Bed::each(|bed| {
        let [mut owner, mut borrower, handler] = bed.peers();
        let c = absent(&mut owner, &handler);
        let lent = owner.lend(c, 0..4, &borrower, Rights::all()).weak;
        attend(bed, b'h');
        let lease = borrower.lock(lent, 0..2, Exclusive, LONG).unwrap();
        borrower.map(lent, 0..2, WINDOW, WRITE).unwrap();
        assert_eq!(borrower.load(WINDOW), b'h', "it is supplied to the holder");
        borrower.store(b'b', WINDOW);
        let locked = (PmError::Locked, 0, lease.deadline.get());
        assert_eq!(bed.refused(|| owner.map(c, 1..2, WINDOW, READ)), locked);
        let d = owner.container(0..1);
        assert_eq!(bed.refused(|| owner.copy((c, 1..2), (d, 0), NONE)), locked, "leases first");
        borrower.pm.unlock(lease.lease).unwrap();
        let absent = bed.refused(|| owner.copy((c, 1..2), (d, 0), NONE));
        assert_eq!(absent, (PmError::Absent, 0, 1));
        assert_eq!(owner.get(c, 0), b'b');
    });
}

#[test]
fn a_moved_or_shared_frame_leaves_the_range_with_what_it_has() {
    // PM-280, PM-162
    Bed::each(|bed| {
        let [mut owner, mut borrower, handler] = bed.peers();
        let c = absent(&mut owner, &handler);
        attend(bed, b'h');
        let lent = owner.lend(c, 0..2, &borrower, Rights::READ).weak;
        assert_eq!(borrower.get(lent, 0), b'h');
        let d = owner.filled(b"de");
        assert_eq!(owner.copy((c, 0..1), (d, 0), MOVE), Ok(1));
        assert_eq!(owner.get(d, 0), b'h');
        assert_eq!(owner.state(c, 0).bits() & FrameState::PRESENT.bits(), 0);
        // What comes into the range with contents is not absent; what has none is.
        assert_eq!(owner.copy((d, 0..1), (c, 0), NEW | MOVE), Ok(1));
        assert!(!owner.has(c, 0, FrameState::ABSENT));
        assert_eq!(owner.copy((d, 1..2), (c, 1), SHARED), Ok(1));
        owner.put(c, 1, b'x');
        assert_eq!(owner.get(d, 1), b'x');
        owner.renew(c, 1..2).unwrap();
        assert!(owner.has(c, 1, FrameState::ABSENT));
        assert_eq!(owner.get(d, 1), b'x');
        assert_eq!(borrower.get(lent, 1), b'h');
    });
}
