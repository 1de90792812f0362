// SPDX-License-Identifier: BSD-2-Clause
//! Copies of copies, of shared, mapped, moved and missing frames: PM-160 to PM-165 together.
#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used)]

mod bed;

use bed::{Bed, FORCE, NONE, READ, WRITE, why};
use pmserver_api::LockMode::Read;
use pmserver_api::{CopyFlags, FrameState, MapFlags, PmError, Rights};

const NEW: CopyFlags = CopyFlags::NEW;
const SHARED: CopyFlags = CopyFlags::SHARED;
const MOVE: CopyFlags = CopyFlags::MOVE;
const ATOMIC: CopyFlags = CopyFlags::ATOMIC;
const WINDOW: u64 = 0x1000_0000;
const PAGE: u64 = 4096;

#[test]
fn a_chain_of_copies_that_comes_back_is_broken_by_each_store_alone() {
    // PM-160, PM-100, PM-13
    Bed::each(|bed| {
        let [mut peer, ..] = bed.peers();
        let c = peer.filled(b"abc");
        let before = bed.charges();
        for (from, to) in [(0, 1), (1, 2), (2, 0)] {
            peer.copy((c, from..from + 1), (c, to), NONE).unwrap();
        }
        assert_eq!(peer.bytes(c, 0..3), b"aaa");
        for number in 0..3 {
            assert!(peer.has(c, number, FrameState::COW | FrameState::BOUND));
        }
        peer.put(c, 1, b'x');
        assert_eq!(peer.bytes(c, 0..3), b"axa");
        assert!(!peer.has(c, 1, FrameState::COW));
        assert!(peer.has(c, 0, FrameState::COW) && peer.has(c, 2, FrameState::COW));
        peer.put(c, 2, b'y');
        assert_eq!(peer.bytes(c, 0..3), b"axy");
        assert!(!peer.has(c, 0, FrameState::COW), "the last one shares with none");
        assert_eq!(bed.charges(), before, "PM-13: nothing of that changes a charge");
    });
}

#[test]
fn a_mapping_of_the_destination_stays_whoever_has_it_and_shows_the_copy() {
    // PM-165, PM-124
    Bed::each(|bed| {
        let [mut owner, mut borrower, _] = bed.peers();
        let source = owner.filled(b"s");
        let c = owner.filled(b"d");
        let lent = owner.lend(c, 0..1, &borrower, Rights::WRITE);
        borrower.map(lent.weak, 0..1, WINDOW, WRITE).unwrap();
        owner.map(c, 0..1, WINDOW, READ).unwrap();
        owner.map(source, 0..1, WINDOW + PAGE, WRITE).unwrap();
        assert_eq!(borrower.load(WINDOW), b'd');
        owner.copy((source, 0..1), (c, 0), NONE).unwrap();
        assert_eq!((borrower.load(WINDOW), owner.load(WINDOW)), (b's', b's'));
        borrower.store(b'n', WINDOW);
        assert_eq!((owner.load(WINDOW), owner.load(WINDOW + PAGE)), (b'n', b's'));
        owner.copy((source, 0..1), (c, 0), NONE).unwrap();
        owner.store(b't', WINDOW + PAGE);
        assert_eq!((borrower.load(WINDOW), owner.load(WINDOW)), (b's', b's'));
        assert_eq!(owner.load(WINDOW + PAGE), b't');
    });
}

#[test]
fn a_plain_copy_into_a_ring_is_seen_by_all_of_it_and_a_shared_or_moved_one_leaves_it() {
    // PM-162, PM-165
    Bed::each(|bed| {
        let [mut peer, ..] = bed.peers();
        let c = peer.filled(b"abcx");
        peer.copy((c, 0..1), (c, 1), SHARED).unwrap();
        peer.copy((c, 0..1), (c, 2), SHARED).unwrap();
        assert_eq!(peer.bytes(c, 0..4), b"aaax");
        peer.copy((c, 3..4), (c, 1), NONE).unwrap();
        assert_eq!(peer.bytes(c, 0..4), b"xxxx", "written to all that are really shared with it");
        peer.put(c, 2, b'r');
        assert_eq!(peer.bytes(c, 0..4), b"rrrx", "a store in the ring leaves the source");
        peer.copy((c, 3..4), (c, 1), SHARED).unwrap();
        assert_eq!(peer.bytes(c, 0..4), b"rxrx");
        peer.put(c, 1, b'z');
        assert_eq!(peer.bytes(c, 0..4), b"rzrz");
        peer.copy((c, 3..4), (c, 2), MOVE).unwrap();
        assert_eq!(peer.bytes(c, 0..3), b"rzz");
        assert_eq!(peer.state(c, 3), FrameState::empty());
        peer.put(c, 2, b'm');
        assert_eq!(peer.bytes(c, 0..3), b"rmm", "what was moved has its relations still");
        assert!(!peer.has(c, 0, FrameState::SHARED), "frame 0 is left alone");
    });
}

#[test]
fn a_frame_that_was_moved_has_relations_memory_and_the_destinations_mappings() {
    // PM-162, PM-165
    Bed::each(|bed| {
        let [mut owner, mut borrower, _] = bed.peers();
        let c = owner.filled(b"ad");
        let copy = owner.empty();
        owner.copy((c, 0..1), (copy, 0), NEW).unwrap();
        let lent = owner.lend(c, 0..2, &borrower, Rights::WRITE);
        borrower.map(lent.weak, 0..2, WINDOW, WRITE).unwrap();
        assert_eq!(borrower.load(WINDOW + PAGE), b'd');
        let frames = owner.info().frames.get();
        owner.copy((c, 0..1), (c, 1), MOVE).unwrap();
        assert_eq!(owner.info().frames.get(), frames - PAGE);
        assert_eq!(borrower.load(WINDOW + PAGE), b'a');
        assert!(owner.has(c, 1, FrameState::COW | FrameState::MAPPED));
        borrower.store(b'n', WINDOW + PAGE);
        assert_eq!((owner.get(copy, 0), owner.get(c, 1)), (b'a', b'n'));
        assert!(borrower.load_faults(WINDOW), "the source's mapping is gone");
    });
}

#[test]
fn overlapping_ranges_are_read_before_anything_is_changed() {
    // PM-164, PM-163
    Bed::each(|bed| {
        let [mut peer, ..] = bed.peers();
        let c = peer.filled(b"abcde");
        assert_eq!(peer.copy((c, 0..4), (c, 1), NONE), Ok(4));
        assert_eq!(peer.bytes(c, 0..5), b"aabcd");
        assert_eq!(peer.copy((c, 1..5), (c, 0), NONE), Ok(4));
        assert_eq!(peer.bytes(c, 0..5), b"abcdd");
        peer.free(c, 3..4).unwrap();
        // 0 1 2 _ 4
        assert_eq!(why(peer.copy((c, 0..4), (c, 1), NONE)), (PmError::NotFound, 2, 3));
        assert_eq!(peer.bytes(c, 0..3), b"aab");
        assert_eq!(peer.get(c, 4), b'd');
        assert_eq!(why(peer.copy((c, 1..5), (c, 0), NONE)), (PmError::NotFound, 2, 3));
        assert_eq!(peer.bytes(c, 0..3), b"abb");
        assert_eq!(peer.copy((c, 0..3), (c, 0), NONE), Ok(3), "each to itself");
        assert_eq!(peer.bytes(c, 0..3), b"abb");
    });
}

#[test]
fn overlapping_ranges_are_apart_from_pinned_memory_by_where_it_was_before() {
    // PM-164, PM-166: 1 has the memory of 4, which is pinned, and 2 that of 5.
    Bed::each(|bed| {
        let [mut owner, mut driver, _] = bed.peers();
        let c = owner.filled(b"abcd");
        owner.copy((c, 1..3), (c, 4), NEW).unwrap();
        let lent = owner.lend(c, 4..5, &driver, Rights::all()).weak;
        let pin = driver.pin(lent, 4..5, Read, 900_000).unwrap();
        assert_eq!(owner.copy((c, 0..3), (c, 1), NONE), Ok(3));
        assert_eq!(owner.bytes(c, 0..6), b"aabcbc");
        let is_cow = [true, true, false, true, false, true];
        for (number, is_cow) in (0..).zip(is_cow) {
            assert_eq!(owner.has(c, number, FrameState::COW), is_cow, "{number}");
        }
        driver.pm.unlock(pin.lease.lease).unwrap();
    });
}

#[test]
fn moving_onto_an_overlapping_range_shifts_it() {
    // PM-162, PM-164
    Bed::each(|bed| {
        let [mut peer, ..] = bed.peers();
        let c = peer.filled(b"abcde");
        let frames = peer.info().frames.get();
        assert_eq!(peer.copy((c, 0..4), (c, 1), MOVE), Ok(4));
        assert_eq!(peer.state(c, 0), FrameState::empty());
        assert_eq!(peer.bytes(c, 1..5), b"abcd");
        assert_eq!(peer.info().frames.get(), frames - PAGE);
        assert_eq!(peer.copy((c, 2..5), (c, 1), MOVE), Ok(3));
        assert_eq!(peer.state(c, 4), FrameState::empty());
        assert_eq!(peer.bytes(c, 1..4), b"bcd");
        assert_eq!(peer.info().frames.get(), frames - 2 * PAGE);
        assert_eq!(peer.copy((c, 1..4), (c, 1), MOVE), Ok(3), "each stays as it is");
        assert_eq!(peer.bytes(c, 1..4), b"bcd");
    });
}

#[test]
fn one_source_of_a_list_goes_to_itself_and_into_a_ring() {
    // PM-164, PM-165
    Bed::each(|bed| {
        let [mut peer, ..] = bed.peers();
        let c = peer.filled(b"abc");
        let ring = peer.empty();
        peer.copy((c, 1..2), (ring, 0), NEW | SHARED).unwrap();
        assert_eq!(peer.pairs(c, c, &[(0, 1), (0, 2), (0, 0)], NONE), Ok(3));
        assert_eq!(peer.bytes(c, 0..3), b"aaa");
        assert_eq!(peer.get(ring, 0), b'a');
        peer.put(ring, 0, b'r');
        assert_eq!(peer.bytes(c, 0..3), b"ara");
        assert_eq!(peer.pairs(c, c, &[(0, 1), (1, 0)], NONE), Ok(2), "an exchange by copies");
        assert_eq!((peer.bytes(c, 0..3), peer.get(ring, 0)), (b"raa".to_vec(), b'a'));
    });
}

#[test]
fn a_number_that_is_twice_a_destination_or_moved_twice_is_invalid_whatever_else_is() {
    // PM-164
    Bed::each(|bed| {
        let [mut peer, ..] = bed.peers();
        let c = peer.filled(b"ab");
        for (pairs, flags) in [
            (&[(0, 1), (9, 1)][..], NONE),
            (&[(9, 9), (9, 9)], NONE),
            (&[(0, 5), (1, 5)], NEW),
            (&[(0, 1), (0, 1)], ATOMIC),
            (&[(0, 5), (0, 6)], NEW | MOVE),
            (&[(0, 0), (0, 1)], MOVE),
        ] {
            assert_eq!(bed.refused(|| peer.pairs(c, c, pairs, flags)), (PmError::Invalid, 0, 0));
            assert_eq!(peer.bytes(c, 0..2), b"ab");
        }
    });
}

#[test]
fn a_shared_copy_that_overlaps_shares_the_memory_that_was_there_before() {
    // PM-164 over PM-162
    Bed::each(|bed| {
        let [mut peer, ..] = bed.peers();
        let c = peer.filled(b"abcd");
        assert_eq!(peer.copy((c, 0..3), (c, 1), SHARED), Ok(3));
        assert_eq!(peer.bytes(c, 0..4), b"aabc");
        peer.put(c, 1, b'x');
        assert_eq!(peer.bytes(c, 0..4), b"xxbc");
        peer.put(c, 3, b'y');
        assert_eq!(peer.bytes(c, 0..4), b"xxby");
    });
}

#[test]
fn an_atomic_copy_that_fails_at_its_last_frame_did_nothing() {
    // PM-163, PM-4
    Bed::each(|bed| {
        let [mut owner, mut borrower, _] = bed.peers();
        let source = owner.filled(b"abc");
        let c = owner.filled(b"wxyz");
        owner.copy((c, 0..1), (c, 1), SHARED).unwrap();
        let lent = owner.lend(c, 0..4, &borrower, Rights::WRITE);
        borrower.map(lent.weak, 0..4, WINDOW, WRITE).unwrap();
        let states: Vec<_> = (0..4).map(|number| owner.state(c, number)).collect();
        for flags in [NONE, SHARED, MOVE] {
            let refusal = bed.refused(|| owner.copy((source, 0..4), (c, 0), flags | ATOMIC));
            assert_eq!(refusal, (PmError::NotFound, 0, 3), "{flags:?}");
            let refusal = bed.refused(|| owner.copy((source, 0..3), (c, 2), flags | ATOMIC));
            assert_eq!(refusal, (PmError::NotFound, 0, 4), "{flags:?}");
            let new = flags | NEW | ATOMIC;
            let refusal = bed.refused(|| owner.pairs(source, c, &[(0, 9), (1, 8), (2, 3)], new));
            assert_eq!(refusal, (PmError::Exists, 0, 3), "{flags:?}");
            assert_eq!(owner.bytes(source, 0..3), b"abc");
            assert_eq!(owner.bytes(c, 0..4), b"wwyz");
            let now: Vec<_> = (0..4).map(|number| owner.state(c, number)).collect();
            assert_eq!(now, states);
            assert_eq!(borrower.load(WINDOW + PAGE), b'w');
        }
        owner.put(c, 0, b'r');
        assert_eq!(borrower.load(WINDOW + PAGE), b'r', "the ring is what it was");
    });
}

#[test]
fn a_ring_has_eight_and_a_ninth_has_room_when_one_has_left() {
    // PM-162, PM-163, PM-165
    Bed::each(|bed| {
        let [mut peer, mut other, _] = bed.peers();
        let c = peer.filled(b"a");
        let d = peer.empty();
        for number in 0..7 {
            peer.copy((c, 0..1), (d, number), NEW | SHARED).unwrap();
        }
        let refusal = bed.refused(|| peer.copy((c, 0..1), (d, 7), NEW | SHARED));
        assert_eq!(refusal.0, PmError::TooMany);
        assert_eq!(peer.copy((d, 3..4), (c, 0), SHARED), Ok(1), "it is one of them already");
        let lent = peer.lend(c, 0..1, &other, Rights::WRITE);
        other.put(lent.weak, 0, b'w');
        assert_eq!(peer.bytes(d, 0..7), b"wwwwwww");
        peer.renew(d, 2..3).unwrap();
        assert_eq!(peer.bytes(d, 0..4), b"ww\0w");
        peer.copy((c, 0..1), (d, 7), NEW | SHARED).unwrap();
        assert_eq!(peer.copy((c, 0..1), (d, 7), MOVE), Ok(1), "into its own ring");
        assert_eq!(peer.state(c, 0), FrameState::empty());
        peer.put(d, 7, b'm');
        assert_eq!(peer.bytes(d, 0..8), b"mm\0mmmmm");
    });
}

#[test]
fn a_ring_that_nobody_wrote_to_is_one_memory_as_well() {
    // PM-162, PM-87, PM-160
    Bed::each(|bed| {
        let [mut peer, ..] = bed.peers();
        let c = peer.container(0..2);
        let d = peer.filled(b"dd");
        peer.copy((c, 0..1), (d, 0), SHARED).unwrap();
        assert_eq!((peer.get(c, 0), peer.get(d, 0)), (0, 0));
        peer.map(c, 0..1, WINDOW, READ).unwrap();
        assert_eq!(peer.load(WINDOW), 0);
        peer.put(d, 0, b'w');
        assert_eq!(peer.load(WINDOW), b'w', "a mapping from before sees the store as well");
        // A copy of a frame without memory is one that reads as zero, in all of the ring.
        peer.copy((c, 1..2), (d, 0), NONE).unwrap();
        assert_eq!((peer.load(WINDOW), peer.get(d, 0)), (0, 0));
        peer.put(c, 0, b'v');
        assert_eq!((peer.get(d, 0), peer.get(c, 1)), (b'v', 0));
    });
}

#[test]
fn the_last_frame_number_is_one_like_any_other() {
    // PM-7, PM-150, R1
    const LAST: u64 = u64::MAX;
    Bed::each(|bed| {
        let [mut owner, mut borrower, _] = bed.peers();
        let c = owner.filled(b"a");
        assert_eq!(owner.pm.allocate(c, bed::n(LAST), bed::count(1), Default::default()), Ok(1));
        let refusal =
            bed.refused(|| owner.pm.allocate(c, bed::n(LAST), bed::count(2), Default::default()));
        assert_eq!(refusal, (PmError::Invalid, 0, 0));
        assert_eq!(owner.pairs(c, c, &[(0, LAST)], NONE), Ok(1));
        let refusal = bed.refused(|| owner.pairs(c, c, &[(0, LAST)], NEW));
        assert_eq!(refusal, (PmError::Exists, 0, LAST));
        let lent = owner.pm.share(c, bed::n(LAST), 1, borrower.id, Rights::WRITE, bed::micros(1));
        let weak = lent.unwrap().weak;
        borrower.pm.map(weak, bed::n(LAST), bed::count(1), bed::at(WINDOW), WRITE).unwrap();
        assert_eq!(borrower.load(WINDOW), b'a');
        assert_eq!(owner.pairs(c, c, &[(LAST, LAST - 1)], NEW), Ok(1));
        borrower.store(b'b', WINDOW);
        assert_eq!(owner.get(c, LAST - 1), b'a');
        let both = owner.pm.renew(c, bed::n(LAST - 1), bed::count(2));
        assert_eq!(both, Ok(2));
        let placed = owner.pm.allocate_anywhere(c, bed::count(256), Default::default()).unwrap();
        assert_eq!(placed.count, 256);
        assert!(!(LAST - 257..=LAST).contains(&placed.start.get()));
        assert!(borrower.load_faults(WINDOW));
    });
}

#[test]
fn what_is_reported_as_readable_is_written_by_the_first_store_all_the_same() {
    // PM-86, PM-87, PM-80, PM-124
    Bed::each(|bed| {
        let [mut peer, ..] = bed.peers();
        let c = peer.filled(b"a\0cdef");
        let d = peer.empty();
        peer.copy((c, 0..1), (d, 0), NEW).unwrap();
        peer.copy((c, 3..4), (d, 3), NEW).unwrap();
        peer.copy((c, 4..5), (d, 4), NEW | SHARED).unwrap();
        let mapped = peer.map(c, 0..6, WINDOW, WRITE).unwrap();
        let runs: Vec<_> = mapped.runs().map(|run| (run.count, run.rights)).collect();
        let written = READ | WRITE;
        assert_eq!(runs, [(1, READ), (2, written), (1, READ), (2, written)]);
        for page in 0..6 {
            peer.store(b'w', WINDOW + page * PAGE);
        }
        assert_eq!(peer.bytes(c, 0..6), b"wwwwww");
        assert_eq!((peer.get(d, 0), peer.get(d, 3), peer.get(d, 4)), (b'a', b'd', b'w'));
        let again = peer.pm.remap(bed::at(WINDOW), bed::count(6), WRITE).unwrap();
        assert_eq!((again.count, again.rights()), (6, written), "it shares with none any more");
    });
}

#[test]
fn force_write_ends_the_relation_of_a_whole_ring_with_others() {
    // PM-86, PM-162
    Bed::each(|bed| {
        let [mut peer, mut other, _] = bed.peers();
        let c = peer.filled(b"a");
        let ring = peer.empty();
        peer.copy((c, 0..1), (ring, 0), NEW | SHARED).unwrap();
        let lent = peer.lend(ring, 0..1, &other, Rights::WRITE);
        let cow = other.empty();
        other.copy((lent.weak, 0..1), (cow, 0), NEW).unwrap();
        assert!(peer.has(c, 0, FrameState::COW | FrameState::SHARED));
        other.map(lent.weak, 0..1, WINDOW, READ).unwrap();
        let only = peer.map(c, 0..1, WINDOW, MapFlags::FORCE_WRITE).unwrap();
        assert_eq!(only.rights(), READ, "without WRITE the same as READ");
        assert!(peer.has(c, 0, FrameState::COW));
        peer.unmap(WINDOW, 1);
        let mapped = peer.map(c, 0..1, WINDOW, FORCE).unwrap();
        assert_eq!(mapped.rights(), READ | WRITE);
        assert!(!peer.has(c, 0, FrameState::COW) && !peer.has(ring, 0, FrameState::COW));
        assert!(!other.has(cow, 0, FrameState::COW));
        peer.store(b'n', WINDOW);
        assert_eq!(other.load(WINDOW), b'n');
        assert_eq!(other.get(cow, 0), b'a');
    });
}

#[test]
fn copies_outlive_their_sources_in_every_way_to_lose_one() {
    // PM-32, PM-40, PM-145, PM-22, PM-238
    Bed::each(|bed| {
        let [mut owner, mut borrower, _] = bed.peers();
        let c = owner.filled(b"abcd");
        let lent = owner.lend(c, 0..4, &borrower, Rights::READ);
        let before = borrower.info();
        let d = borrower.empty();
        borrower.copy((lent.weak, 0..4), (d, 0), NEW).unwrap();
        borrower.map(d, 0..4, WINDOW, WRITE).unwrap();
        owner.renew(c, 0..1).unwrap();
        owner.free(c, 1..2).unwrap();
        owner.allocate_with(c, 2..3, pmserver_api::AllocateFlags::SQUASH).unwrap();
        assert_eq!(owner.bytes(c, 2..4), b"\0d");
        owner.pm.container_destroy(c).unwrap();
        for (page, byte) in (0..).zip(b"abcd") {
            assert_eq!(borrower.load(WINDOW + page * PAGE), *byte);
            assert!(!borrower.has(d, page, FrameState::COW));
            borrower.store(b'x', WINDOW + page * PAGE);
        }
        assert_eq!(why(borrower.copy((lent.weak, 0..1), (d, 0), NONE)).0, PmError::InvalidCap);
        borrower.pm.container_destroy(d).unwrap();
        assert_eq!(borrower.info(), before);
    });
}

#[test]
fn what_a_weak_handle_may_copy_is_what_its_rights_and_range_say() {
    // PM-6, PM-161, PM-162, lesson 16
    Bed::each(|bed| {
        let [mut owner, mut borrower, _] = bed.peers();
        let c = owner.filled(b"abcd");
        let own = borrower.filled(b"wx");
        let read = owner.lend(c, 1..3, &borrower, Rights::READ).weak;
        let write = owner.lend(c, 1..3, &borrower, Rights::WRITE).weak;
        let lock = owner.lend(c, 1..3, &borrower, Rights::LOCK).weak;
        let no = (PmError::NoRight, 0, 0);
        for flags in [SHARED, MOVE, SHARED | NEW, MOVE | NEW] {
            let to = if flags.contains(NEW) { 9 } else { 0 };
            assert_eq!(bed.refused(|| borrower.copy((write, 1..2), (own, to), flags)), no);
        }
        assert_eq!(bed.refused(|| borrower.copy((own, 0..1), (write, 1), SHARED)), no);
        assert_eq!(bed.refused(|| borrower.copy((own, 0..1), (write, 1), MOVE)), no);
        assert_eq!(bed.refused(|| borrower.copy((own, 0..1), (write, 1), NEW)), no);
        assert_eq!(bed.refused(|| borrower.copy((own, 0..1), (read, 1), NONE)), no);
        assert_eq!(bed.refused(|| borrower.copy((lock, 1..2), (own, 0), NONE)), no);
        assert_eq!(bed.refused(|| borrower.copy((read, 0..2), (own, 0), NONE)), no);
        assert_eq!(bed.refused(|| borrower.copy((read, 2..4), (own, 0), NONE)), no);
        assert_eq!(bed.refused(|| borrower.copy((own, 0..2), (write, 2), NONE)), no);
        assert_eq!(borrower.copy((write, 1..3), (own, 0), NONE), Ok(2), "WRITE implies READ");
        assert_eq!(borrower.pairs(read, write, &[(1, 2), (2, 1)], NONE), Ok(2), "one container");
        assert_eq!(owner.bytes(c, 0..4), b"acbd");
        assert_eq!(borrower.bytes(own, 0..2), b"bc");
    });
}
