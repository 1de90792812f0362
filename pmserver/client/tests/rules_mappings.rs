// SPDX-License-Identifier: BSD-2-Clause
//! Mappings, regions and grants of one frame by several peers, and what takes them away.
#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used)]

mod bed;

use bed::{Bed, FORCE, NONE, READ, WRITE, count, n, why};
use pmserver_api::LockMode::{Exclusive, Read};
use pmserver_api::{CopyFlags, FrameState, MapFlags, PmError, Rights};

const NEW: CopyFlags = CopyFlags::NEW;
const SHARED: CopyFlags = CopyFlags::SHARED;
const WINDOW: u64 = 0x1000_0000;
const REGION: u64 = 0x2000_0000;
const PAGE: u64 = 4096;
const LONG: u64 = 900_000;

#[test]
fn unsharing_takes_mappings_grants_and_regions_of_this_share_alone() {
    // PM-60, PM-63, PM-200, PM-212, PM-85
    Bed::each(|bed| {
        let [mut owner, mut one, mut two] = bed.peers();
        let before = (one.info(), two.info());
        let c = owner.filled(b"abcd");
        let first = owner.lend(c, 0..4, &one, Rights::all());
        let second = owner.lend(c, 0..4, &one, Rights::READ);
        let third = owner.lend(c, 0..4, &two, Rights::all());
        one.map(first.weak, 0..2, WINDOW, WRITE).unwrap();
        one.map(second.weak, 2..4, WINDOW + 2 * PAGE, READ).unwrap();
        one.pm.attach(first.weak, n(0), 4, bed::at(REGION), READ).unwrap();
        assert_eq!(one.load(REGION + 3 * PAGE), b'd');
        one.pm.grant(first.weak, n(0), count(1), READ).unwrap();
        two.map(third.weak, 0..4, WINDOW, WRITE).unwrap();
        let lease = two.lock(third.weak, 0..4, Read, LONG).unwrap();
        owner.pm.unshare(first.share).unwrap();
        assert_eq!(why(owner.pm.unshare(first.share)).0, PmError::InvalidCap);
        assert_eq!(why(one.map(first.weak, 0..1, WINDOW, READ)).0, PmError::InvalidCap);
        assert_eq!(one.load(WINDOW + 2 * PAGE), b'c');
        two.store(b'x', WINDOW);
        two.pm.unlock(lease.lease).unwrap();
        owner.pm.unshare(third.share).unwrap();
        assert_eq!(two.unmap(WINDOW, 4), 0, "nothing is left");
        assert_eq!(two.info(), before.1);
        assert_eq!(one.unmap(WINDOW, 4), 2, "what the other handle mapped");
        one.pm.detach(bed::at(REGION)).unwrap();
        assert_eq!(one.info(), before.0);
        assert_eq!(owner.get(c, 0), b'x');
        assert!(!owner.has(c, 0, FrameState::MAPPED));
        one.pm.attach(second.weak, n(0), 4, bed::at(REGION), READ).unwrap();
        assert_eq!(one.load(REGION), b'x');
        owner.pm.unshare(second.share).unwrap();
        assert!(!owner.has(c, 0, FrameState::SHARED));
        assert!(one.load_faults(REGION), "a region whose handle is gone");
    });
}

#[test]
fn a_handle_is_another_ones_when_its_number_is_used_again() {
    // PM-5, PM-21, PM-75
    Bed::each(|bed| {
        let [mut owner, mut one, mut two] = bed.peers();
        let mut old = Vec::new();
        for round in 0..40 {
            let c = owner.container(0..1);
            let lent = owner.lend(c, 0..1, &one, Rights::all());
            let lease = one.lock(lent.weak, 0..1, Read, LONG).unwrap();
            one.pm.unlock(lease.lease).unwrap();
            for (container, share, weak, lease) in &old {
                assert_ne!((*container, *weak), (c, lent.weak), "{round}");
                assert_eq!(why(owner.pm.unshare(*share)).0, PmError::InvalidCap);
                assert_eq!(why(owner.free(*container, 0..1)).0, PmError::InvalidCap);
                assert_eq!(why(one.lock(*weak, 0..1, Read, 9)).0, PmError::InvalidCap);
                assert_eq!(why(one.pm.unlock(*lease)).0, PmError::InvalidCap);
            }
            for stranger in [lent.weak, c] {
                assert_eq!(why(two.map(stranger, 0..1, WINDOW, READ)).0, PmError::InvalidCap);
            }
            assert_eq!(why(two.pm.unshare(lent.share)).0, PmError::InvalidCap);
            assert_eq!(c.owner(), Some(owner.id));
            assert_eq!(lent.weak.owner(), Some(owner.id), "it tells who has lent it");
            owner.pm.container_destroy(c).unwrap();
            old.push((c, lent.share, lent.weak, lease.lease));
            if old.len() > 4 {
                old.remove(0);
            }
        }
    });
}

#[test]
fn a_frame_has_four_mappings_and_grants_of_which_the_last_is_the_owners() {
    // PM-84, PM-80, PM-200, PM-211
    let bed = Bed::calm();
    let [mut owner, mut one, mut two] = bed.peers();
    let c = owner.filled(b"ab");
    let ones = owner.lend(c, 0..2, &one, Rights::all()).weak;
    let twos = owner.lend(c, 0..2, &two, Rights::all()).weak;
    one.map(ones, 0..1, WINDOW, READ).unwrap();
    let granted = two.pm.grant(twos, n(0), count(2), WRITE).unwrap();
    assert_eq!((granted.count, granted.rights), (2, READ | WRITE));
    two.map(twos, 0..1, WINDOW, READ).unwrap();
    let many = (PmError::TooMany, 0, 0);
    assert_eq!(bed.refused(|| one.map(ones, 0..2, WINDOW + PAGE, READ)), many);
    assert_eq!(bed.refused(|| two.pm.grant(twos, n(0), count(1), READ)), many);
    assert_eq!(owner.map(c, 0..1, WINDOW, WRITE).unwrap().count, 1);
    assert_eq!(bed.refused(|| owner.map(c, 0..1, WINDOW + PAGE, READ)), many);
    assert_eq!(two.pm.ungrant(granted.address, count(2)), Ok(2));
    assert_eq!(two.pm.ungrant(granted.address, count(2)), Ok(0), "it is not there");
    assert_eq!(owner.map(c, 0..1, WINDOW + PAGE, READ).unwrap().count, 1);
    bed.testbed.check();
}

#[test]
fn grants_are_taken_by_what_they_would_allow_against() {
    // PM-165, PM-71, PM-72, PM-212, PM-210
    let taken = |what: u32| {
        let bed = Bed::calm();
        let [mut owner, mut one, mut two] = bed.peers();
        let c = owner.filled(b"abc");
        let other = owner.filled(b"x");
        let ones = owner.lend(c, 0..3, &one, Rights::all()).weak;
        let twos = owner.lend(c, 0..3, &two, Rights::all()).weak;
        let read = one.pm.grant(ones, n(0), count(1), READ).unwrap();
        let write = one.pm.grant(ones, n(1), count(1), WRITE).unwrap();
        match what {
            0 => owner.copy((c, 0..2), (c, 10), NEW).map(drop).unwrap(),
            1 => owner.pairs(other, c, &[(0, 0)], NONE).map(drop).unwrap(),
            2 => two.lock(twos, 0..2, Read, LONG).map(drop).unwrap(),
            3 => two.lock(twos, 0..2, Exclusive, LONG).map(drop).unwrap(),
            4 => owner.renew(c, 0..2).map(drop).unwrap(),
            5 => one.lock(ones, 0..2, Exclusive, LONG).map(drop).unwrap(),
            _ => owner.free(c, 1..2).map(drop).unwrap(),
        }
        bed.testbed.check();
        let left = [read, write].map(|grant| one.pm.ungrant(grant.address, count(1)).unwrap());
        (what, left)
    };
    let left = [0, 1, 2, 3, 4, 5, 6].map(taken);
    let expected = [[1, 0], [0, 1], [1, 0], [0, 0], [0, 0], [1, 1], [1, 0]];
    for ((what, left), expected) in left.into_iter().zip(expected) {
        assert_eq!(left, expected, "case {what}");
    }
}

#[test]
fn a_grant_of_frames_with_other_rights_stops_where_they_differ() {
    // PM-210, PM-211, PM-86
    let bed = Bed::calm();
    let [mut owner, ..] = bed.peers();
    let c = owner.filled(b"a\0cd");
    let copy = owner.empty();
    owner.copy((c, 2..4), (copy, 0), NEW).unwrap();
    let first = owner.pm.grant(c, n(0), count(4), WRITE).unwrap();
    assert_eq!((first.count, first.rights), (2, READ | WRITE));
    assert!(owner.has(c, 1, FrameState::BOUND), "memory at once");
    let second = owner.pm.grant(c, n(2), count(2), WRITE).unwrap();
    assert_eq!((second.count, second.rights), (2, READ));
    assert!(owner.has(c, 2, FrameState::COW));
    owner.pm.ungrant(second.address, count(2)).unwrap();
    let forced = owner.pm.grant(c, n(2), count(3), FORCE).unwrap();
    assert_eq!((forced.count, forced.rights), (2, READ | WRITE));
    assert!(!owner.has(c, 2, FrameState::COW));
    assert_eq!(owner.bytes(copy, 0..2), b"cd");
    let executed = bed.refused(|| owner.pm.grant(c, n(0), count(1), MapFlags::EXECUTE));
    assert_eq!(executed.0, PmError::Invalid, "of grants there are three rights");
    bed.testbed.check();
}

#[test]
fn a_seventh_run_is_left_to_the_next_call() {
    // PM-80, PM-86, PM-83, PM-90
    Bed::each(|bed| {
        let [mut peer, ..] = bed.peers();
        let c = peer.filled(b"abcdefghij");
        let copy = peer.empty();
        for number in [0, 2, 4, 6, 8] {
            peer.pairs(c, copy, &[(number, number)], NEW).unwrap();
        }
        let mapped = peer.map(c, 0..10, WINDOW, WRITE).unwrap();
        assert_eq!((mapped.count, mapped.runs().count()), (6, 6));
        let again = bed.refused(|| peer.map(c, 0..10, WINDOW, WRITE));
        assert_eq!(again, (PmError::Occupied, 0, WINDOW));
        peer.unmap(WINDOW + PAGE, 1);
        let until = peer.map(c, 1..9, WINDOW + PAGE, READ).unwrap();
        assert_eq!((until.count, until.rights()), (1, READ), "up to what is occupied");
        let rest = peer.map(c, 6..10, WINDOW + 6 * PAGE, WRITE).unwrap();
        assert_eq!(rest.count, 4);
        let all = peer.pm.remap(bed::at(WINDOW), count(11), READ).unwrap();
        assert_eq!((all.count, all.rights()), (10, READ));
        let none = bed.refused(|| peer.pm.remap(bed::at(WINDOW + 10 * PAGE), count(1), READ));
        assert_eq!(none, (PmError::NotFound, 0, WINDOW + 10 * PAGE));
        assert_eq!(peer.unmap(WINDOW - PAGE, 20), 10);
    });
}

#[test]
fn a_region_shows_what_its_frames_are_at_the_access() {
    // PM-200, PM-201, PM-202, PM-124
    Bed::each(|bed| {
        let [mut owner, mut user, _] = bed.peers();
        let before = user.info();
        let c = owner.filled(b"ab");
        let lent = owner.lend(c, 0..8, &user, Rights::READ).weak;
        let no = bed.refused(|| user.pm.attach(lent, n(0), 8, bed::at(REGION), WRITE));
        assert_eq!(no, (PmError::NoRight, 0, 0));
        let no = bed.refused(|| user.pm.attach(lent, n(0), 9, bed::at(REGION), READ));
        assert_eq!(no, (PmError::NoRight, 0, 0));
        user.pm.attach(lent, n(0), 8, bed::at(REGION), READ).unwrap();
        let over = bed.refused(|| user.pm.attach(lent, n(0), 1, bed::at(REGION + 7 * PAGE), READ));
        assert_eq!(over.0, PmError::Occupied);
        assert_eq!(user.load(REGION), b'a');
        owner.free(c, 0..1).unwrap();
        owner.copy((c, 1..2), (c, 0), NEW | SHARED).unwrap();
        assert_eq!(user.load(REGION), b'b', "the frame of this number now");
        owner.put(c, 1, b'n');
        assert_eq!(user.load(REGION), b'n');
        owner.renew(c, 0..1).unwrap();
        assert_eq!(user.load(REGION), 0);
        owner.allocate(c, 5..6).unwrap();
        assert_eq!(user.load(REGION + 5 * PAGE), 0, "allocated later");
        let own = user.filled(b"o");
        user.map(own, 0..1, REGION + 3 * PAGE, READ).unwrap();
        assert_eq!(user.load(REGION + 3 * PAGE), b'o', "what is mapped there comes first");
        user.pm.detach(bed::at(REGION)).unwrap();
        let again = bed.refused(|| user.pm.detach(bed::at(REGION)));
        assert_eq!((again.0, again.2), (PmError::NotFound, REGION));
        assert_eq!(user.unmap(REGION, 8), 0, "all that was mapped in it");
        user.pm.container_destroy(own).unwrap();
        assert_eq!(user.info(), before);
        assert!(user.load_faults(REGION));
    });
}
