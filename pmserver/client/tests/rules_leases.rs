// SPDX-License-Identifier: BSD-2-Clause
//! Leases over rings, holes, regions, grants, copies and several handles: PM-70 to PM-78.
#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used)]

mod bed;

use bed::{Bed, FORCE, NONE, READ, WRITE, count, n, why};
use pmserver_api::LockMode::{Exclusive, Read};
use pmserver_api::{AllocateFlags, CopyFlags, FrameState, PmError, Rights};

const NEW: CopyFlags = CopyFlags::NEW;
const SHARED: CopyFlags = CopyFlags::SHARED;
const MOVE: CopyFlags = CopyFlags::MOVE;
const ATOMIC: CopyFlags = CopyFlags::ATOMIC;
const WINDOW: u64 = 0x1000_0000;
const PAGE: u64 = 4096;
const LONG: u64 = 900_000;

#[test]
fn a_twin_of_a_frame_that_is_locked_for_reading_is_locked_as_well() {
    // PM-78, PM-72, PM-100, PM-77
    Bed::each(|bed| {
        let [mut owner, mut borrower, mut third] = bed.peers();
        let c = owner.filled(b"a");
        let twin = owner.empty();
        owner.copy((c, 0..1), (twin, 0), NEW | SHARED).unwrap();
        let lent = owner.lend(c, 0..1, &borrower, Rights::all()).weak;
        let twins = owner.lend(twin, 0..1, &third, Rights::all()).weak;
        third.map(twins, 0..1, WINDOW, WRITE).unwrap();
        third.store(b'b', WINDOW);
        let lease = borrower.lock(lent, 0..1, Read, LONG).unwrap();
        let locked = (PmError::Locked, 0, lease.deadline.get());
        assert!(owner.has(c, 0, FrameState::LOCKED));
        assert_eq!(third.load(WINDOW), b'b');
        let mapped = third.pm.remap(bed::at(WINDOW), count(1), READ).unwrap();
        assert_eq!(mapped.rights(), READ);
        assert_eq!(bed.refused(|| third.pm.remap(bed::at(WINDOW), count(1), WRITE)), locked);
        assert_eq!(bed.refused(|| owner.map(twin, 0..1, WINDOW, WRITE)), locked);
        let from = owner.filled(b"x");
        assert_eq!(bed.refused(|| owner.copy((from, 0..1), (twin, 0), NONE)), locked);
        assert_eq!(bed.refused(|| owner.copy((from, 0..1), (twin, 0), SHARED)), locked);
        assert_eq!(bed.refused(|| owner.copy((twin, 0..1), (from, 0), SHARED)), locked);
        assert_eq!(bed.refused(|| owner.copy((twin, 0..1), (from, 0), MOVE)), locked);
        assert_eq!(owner.copy((twin, 0..1), (from, 0), NONE), Ok(1), "reading is allowed");
        assert_eq!(bed.refused(|| third.lock(twins, 0..1, Exclusive, LONG)).0, PmError::Shared);
        borrower.pm.unlock(lease.lease).unwrap();
        assert!(!owner.has(twin, 0, FrameState::LOCKED));
        third.pm.remap(bed::at(WINDOW), count(1), WRITE).unwrap();
        third.store(b'c', WINDOW);
        assert_eq!((owner.get(c, 0), owner.get(from, 0)), (b'c', b'b'));
    });
}

#[test]
fn a_store_to_a_twin_of_a_frame_that_is_locked_for_reading_faults() {
    // PM-78, PM-72, PM-121
    Bed::each(|bed| {
        let [mut owner, mut borrower, mut third] = bed.peers();
        let c = owner.filled(b"a");
        let twin = owner.empty();
        owner.copy((c, 0..1), (twin, 0), NEW | SHARED).unwrap();
        let lent = owner.lend(c, 0..1, &borrower, Rights::all()).weak;
        let twins = owner.lend(twin, 0..1, &third, Rights::all()).weak;
        third.map(twins, 0..1, WINDOW, WRITE).unwrap();
        third.store(b'b', WINDOW);
        borrower.lock(lent, 0..1, Read, LONG).unwrap();
        assert!(third.store_faults(WINDOW));
        assert_eq!(owner.get(twin, 0), b'b');
    });
}

#[test]
fn two_handles_of_one_peer_are_two_holders() {
    // PM-71, PM-73
    Bed::each(|bed| {
        let [mut owner, mut borrower, _] = bed.peers();
        let c = owner.filled(b"ab");
        let first = owner.lend(c, 0..2, &borrower, Rights::all()).weak;
        let second = owner.lend(c, 0..2, &borrower, Rights::all()).weak;
        let lease = borrower.lock(first, 0..1, Exclusive, LONG).unwrap();
        let locked = (PmError::Locked, 0, lease.deadline.get());
        assert_eq!(bed.refused(|| borrower.map(second, 0..1, WINDOW, READ)), locked);
        assert_eq!(bed.refused(|| borrower.lock(second, 0..2, Read, LONG)), locked);
        assert_eq!(borrower.map(first, 0..1, WINDOW, WRITE).unwrap().count, 1);
        assert_eq!(borrower.map(second, 1..2, WINDOW + PAGE, WRITE).unwrap().count, 1);
        let own = borrower.container(0..1);
        assert_eq!(bed.refused(|| borrower.copy((second, 0..1), (own, 0), NONE)), locked);
        assert_eq!(borrower.copy((first, 0..1), (own, 0), NONE), Ok(1));
        assert_eq!(borrower.copy((own, 0..1), (first, 0), NONE), Ok(1));
        assert_eq!(bed.refused(|| borrower.copy((own, 0..1), (second, 0), NONE)), locked);
    });
}

#[test]
fn what_comes_into_a_locked_hole_is_locked_and_mapping_stops_at_a_lease() {
    // PM-70, PM-71, PM-80, PM-31
    Bed::each(|bed| {
        let [mut owner, mut borrower, _] = bed.peers();
        let c = owner.container(0..2);
        let lent = owner.lend(c, 0..16, &borrower, Rights::all()).weak;
        let lease = borrower.lock(lent, 4..8, Exclusive, LONG).unwrap();
        let locked = (PmError::Locked, 0, lease.deadline.get());
        // The range of the call, not the frames that it would get to.
        for flags in [AllocateFlags::empty(), AllocateFlags::PARTIAL, AllocateFlags::SQUASH] {
            assert_eq!(bed.refused(|| owner.allocate_with(c, 2..5, flags)), locked);
        }
        assert_eq!(owner.allocate(c, 2..4), Ok(2));
        assert_eq!(bed.refused(|| owner.free(c, 0..5)), locked);
        assert_eq!(bed.refused(|| owner.renew(c, 3..9)), locked);
        assert_eq!(owner.map(c, 0..8, WINDOW, WRITE).unwrap().count, 4);
        let d = owner.filled(b"xyz");
        let copied = bed.refused(|| owner.copy((d, 0..3), (c, 7), NEW | ATOMIC));
        assert_eq!(copied, locked);
        owner.pass(LONG);
        assert_eq!(owner.allocate(c, 4..8), Ok(4));
    });
}

#[test]
fn the_owners_own_lease_is_in_the_way_of_borrowers_alone() {
    // PM-72, PM-34, PM-42, PM-166
    Bed::each(|bed| {
        let [mut owner, mut borrower, _] = bed.peers();
        let c = owner.filled(b"abc");
        let lent = owner.lend(c, 0..3, &borrower, Rights::all());
        borrower.map(lent.weak, 0..3, WINDOW, WRITE).unwrap();
        borrower.store(b'z', WINDOW);
        let lease = owner.lock(c, 0..3, Read, LONG).unwrap();
        let locked = (PmError::Locked, 0, lease.deadline.get());
        owner.put(c, 0, b'o');
        assert_eq!(borrower.load(WINDOW), b'o');
        let own = borrower.filled(b"q");
        assert_eq!(bed.refused(|| borrower.copy((own, 0..1), (lent.weak, 0), NONE)), locked);
        assert_eq!(bed.refused(|| borrower.map(lent.weak, 0..1, 0x2000_0000, FORCE)), locked);
        assert_eq!(bed.refused(|| borrower.lock(lent.weak, 0..1, Exclusive, LONG)), locked);
        let shared = borrower.lock(lent.weak, 0..1, Read, LONG).unwrap();
        // Now both are in each other's way for writing, and neither for reading.
        assert_eq!(bed.refused(|| owner.renew(c, 0..1)).0, PmError::Locked);
        assert_eq!(borrower.load(WINDOW), b'o');
        borrower.pm.unlock(shared.lease).unwrap();
        assert_eq!(owner.renew(c, 0..1), Ok(1), "one's own lease is not");
        let d = owner.container(0..1);
        assert_eq!(bed.refused(|| owner.copy((c, 1..2), (d, 0), SHARED)), locked);
        assert_eq!(bed.refused(|| owner.copy((c, 1..2), (d, 1), MOVE | NEW)), locked);
        assert_eq!(bed.refused(|| owner.copy((d, 0..1), (c, 1), SHARED)), locked);
        assert_eq!(owner.copy((c, 1..2), (d, 0), NONE), Ok(1));
        assert_eq!(owner.copy((d, 0..1), (c, 2), NONE), Ok(1));
        assert_eq!(owner.free(c, 0..3), Ok(3));
        assert!(borrower.load_faults(WINDOW));
    });
}

#[test]
fn several_read_leases_are_told_by_the_latest_deadline() {
    // PM-73, PM-24, PM-61
    Bed::each(|bed| {
        let [mut owner, mut one, mut two] = bed.peers();
        let before = owner.info();
        let c = owner.filled(b"abcd");
        let ones = owner.lend(c, 0..4, &one, Rights::all());
        let twos = owner.lend(c, 0..4, &two, Rights::all());
        let late = one.lock(ones.weak, 0..2, Read, 800_000).unwrap();
        let early = two.lock(twos.weak, 1..3, Read, 300_000).unwrap();
        assert!(early.deadline < late.deadline);
        let latest = (PmError::Locked, 0, late.deadline.get());
        assert_eq!(bed.refused(|| owner.lock(c, 0..4, Exclusive, LONG)), latest);
        assert_eq!(bed.refused(|| two.lock(twos.weak, 1..2, Exclusive, LONG)), latest);
        let first = bed.refused(|| owner.pm.unshare(twos.share));
        assert_eq!(first, (PmError::Locked, 0, early.deadline.get()), "its own leases alone");
        assert_eq!(why(two.lock(twos.weak, 3..4, Read, 10)).0, PmError::Revoking);
        two.map(twos.weak, 2..3, WINDOW, READ).unwrap();
        assert_eq!(two.load(WINDOW), b'c', "until then it is there");
        let (error, freed, deadline) = why(owner.pm.container_destroy(c));
        assert_eq!((error, freed), (PmError::Pending, 1), "frame 3 alone has no lease");
        assert_eq!(deadline, late.deadline.get());
        owner.pass(late.deadline.get());
        owner.pm.container_destroy(c).unwrap();
        assert_eq!(owner.info(), before);
    });
}

#[test]
fn a_region_obeys_leases_at_the_access_and_not_before() {
    // PM-200, PM-71, PM-77
    Bed::each(|bed| {
        let [mut owner, mut borrower, _] = bed.peers();
        let c = owner.filled(b"ab");
        let lent = owner.lend(c, 0..2, &borrower, Rights::all()).weak;
        owner.pm.attach(c, n(0), 2, bed::at(WINDOW), WRITE).unwrap();
        assert_eq!(owner.load(WINDOW), b'a');
        let lease = borrower.lock(lent, 0..2, Exclusive, 50_000).unwrap();
        // Made while the lease is there, of which it knows nothing.
        owner.pm.attach(c, n(0), 2, bed::at(WINDOW + 0x10_0000), READ).unwrap();
        borrower.map(lent, 0..2, WINDOW, WRITE).unwrap();
        borrower.store(b'n', WINDOW + PAGE);
        owner.pass(lease.deadline.get());
        assert_eq!(owner.load(WINDOW + 0x10_0000 + PAGE), b'n');
        owner.store(b'o', WINDOW);
        assert_eq!(borrower.load(WINDOW), b'o');
        borrower.lock(lent, 1..2, Exclusive, LONG).unwrap();
        owner.store(b'p', WINDOW);
        assert!(owner.load_faults(WINDOW + 0x10_0000 + PAGE));
    });
}

#[test]
fn a_lease_that_ends_with_its_peer_lets_everybody_on_at_once() {
    // PM-76, PM-77, PM-121
    Bed::each(|bed| {
        let [mut owner, mut borrower, mut third] = bed.peers();
        let c = owner.filled(b"ab");
        let twin = owner.empty();
        owner.copy((c, 0..1), (twin, 0), NEW | SHARED).unwrap();
        let lent = owner.lend(c, 0..2, &borrower, Rights::all()).weak;
        let thirds = owner.lend(c, 0..2, &third, Rights::all()).weak;
        owner.map(c, 0..2, WINDOW, WRITE).unwrap();
        third.map(thirds, 0..2, WINDOW, WRITE).unwrap();
        borrower.lock(lent, 0..1, Read, LONG).unwrap();
        borrower.lock(lent, 1..2, Exclusive, LONG).unwrap();
        borrower.map(lent, 0..2, WINDOW, WRITE).unwrap();
        borrower.store(b'l', WINDOW + PAGE);
        assert!(borrower.load_faults(0x5000_0000), "and it is stopped");
        owner.store(b'o', WINDOW);
        third.store(b't', WINDOW + PAGE);
        assert_eq!((third.load(WINDOW), owner.load(WINDOW + PAGE)), (b'o', b't'));
        assert!(!owner.has(twin, 0, FrameState::LOCKED));
        assert_eq!(owner.free(c, 0..2), Ok(2));
        assert_eq!(owner.get(twin, 0), b'o');
        assert_eq!(why(borrower.pm.whoami()).0, PmError::InvalidCap);
    });
}

#[test]
fn the_bounds_on_leases_leave_the_owner_two() {
    // PM-74, PM-52, PM-75
    Bed::each(|bed| {
        let [mut owner, mut one, mut two] = bed.peers();
        let c = owner.container(0..4);
        let mut held = Vec::new();
        for round in 0..4 {
            let peer = if round % 2 == 0 { &mut one } else { &mut two };
            let lent = owner.lend(c, 0..4, peer, Rights::all());
            for taken in 0..4 {
                let lease = peer.lock(lent.weak, 0..4, Read, LONG);
                if round * 4 + taken < 14 {
                    held.push((round % 2, lease.unwrap()));
                } else {
                    assert_eq!(why(lease).0, PmError::TooMany, "{round} {taken}");
                }
            }
            if round < 3 {
                let fifth = bed.refused(|| peer.lock(lent.weak, 0..4, Read, LONG));
                assert_eq!(fifth.0, PmError::TooMany);
            }
        }
        owner.lock(c, 0..1, Read, LONG).unwrap();
        let last = owner.lock(c, 0..1, Read, LONG).unwrap();
        assert_eq!(bed.refused(|| owner.lock(c, 0..1, Read, LONG)).0, PmError::TooMany);
        owner.pm.unlock(last.lease).unwrap();
        assert_eq!(why(owner.pm.unlock(last.lease)).0, PmError::InvalidCap);
        for (whose, lease) in held {
            let (right, wrong) =
                if whose == 0 { (&mut one, &mut two) } else { (&mut two, &mut one) };
            assert_eq!(why(wrong.pm.unlock(lease.lease)).0, PmError::InvalidCap);
            right.pm.unlock(lease.lease).unwrap();
        }
        assert_eq!(bed.refused(|| owner.lock(c, 0..1, Read, 0)).0, PmError::Invalid);
    });
}

#[test]
fn a_pinned_frame_is_copied_by_bytes_and_stays_where_it_is() {
    // PM-166, PM-270, PM-271, PM-78, PM-100
    Bed::each(|bed| {
        let [mut owner, mut driver, _] = bed.peers();
        let c = owner.filled(b"a");
        let twin = owner.empty();
        owner.copy((c, 0..1), (twin, 0), NEW | SHARED).unwrap();
        let lent = owner.lend(c, 0..1, &driver, Rights::all()).weak;
        let pin = driver.pin(lent, 0..1, Read, LONG).unwrap();
        assert!(owner.has(c, 0, FrameState::PINNED | FrameState::LOCKED));
        let d = owner.container(0..3);
        for (number, source) in [(0, c), (1, twin)] {
            assert_eq!(owner.copy((source, 0..1), (d, number), NONE), Ok(1));
            assert!(!owner.has(d, number, FrameState::COW), "frame {number} is copied by bytes");
        }
        assert!(!owner.has(c, 0, FrameState::COW) && !owner.has(twin, 0, FrameState::COW));
        owner.put(d, 0, b'x');
        assert_eq!(owner.bytes(d, 0..2), b"xa");
        let locked = (PmError::Locked, 0, pin.lease.deadline.get());
        for source in [c, twin] {
            assert_eq!(bed.refused(|| owner.copy((d, 0..1), (source, 0), NONE)), locked);
            assert_eq!(bed.refused(|| owner.copy((source, 0..1), (d, 2), SHARED)), locked);
            assert_eq!(bed.refused(|| owner.copy((source, 0..1), (d, 2), MOVE)), locked);
        }
        let run = driver.pm.bus_address(pin.lease.lease, n(0)).unwrap();
        assert_eq!(run, pin.bus);
        driver.pm.unlock(pin.lease.lease).unwrap();
        owner.put(twin, 0, b'y');
        assert_eq!((owner.get(c, 0), owner.bytes(d, 0..2)), (b'y', b"xa".to_vec()));
    });
}

#[test]
fn what_is_pinned_for_writing_shares_its_memory_with_none() {
    // PM-270, PM-166, PM-272, S20
    Bed::each(|bed| {
        let [mut owner, mut driver, _] = bed.peers();
        let c = owner.filled(b"a\0c");
        let copy = owner.empty();
        owner.copy((c, 0..3), (copy, 0), NEW).unwrap();
        let lent = owner.lend(c, 0..4, &driver, Rights::all()).weak;
        let missing = bed.refused(|| driver.pin(lent, 0..4, Exclusive, LONG));
        assert_eq!(missing, (PmError::NotFound, 0, 3));
        assert!(owner.has(c, 0, FrameState::COW), "a pin that is refused broke nothing");
        let before = (owner.info(), driver.info());
        let pin = driver.pin(lent, 0..3, Exclusive, LONG).unwrap();
        let now = driver.info();
        assert_eq!(now.frames.get(), before.1.frames.get() + 3 * PAGE);
        for number in 0..3 {
            assert!(owner.has(c, number, FrameState::PINNED | FrameState::BOUND));
            assert!(!owner.has(c, number, FrameState::COW));
        }
        assert!(!owner.has(copy, 0, FrameState::COW));
        driver.map(lent, 0..3, WINDOW, WRITE).unwrap();
        driver.store(b'd', WINDOW);
        assert_eq!(owner.bytes(copy, 0..3), b"a\0c");
        let locked = (PmError::Locked, 0, pin.lease.deadline.get());
        let own = driver.container(0..1);
        assert_eq!(bed.refused(|| driver.copy((lent, 0..1), (own, 0), NONE)), locked);
        assert_eq!(bed.refused(|| driver.copy((own, 0..1), (lent, 0), NONE)), locked);
        driver.unmap(WINDOW, 3);
        driver.pm.container_destroy(own).unwrap();
        driver.pm.unlock(pin.lease.lease).unwrap();
        assert_eq!((owner.info(), driver.info()), before);
        assert_eq!(owner.get(c, 0), b'd');
    });
}
