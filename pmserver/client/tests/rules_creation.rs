// SPDX-License-Identifier: BSD-2-Clause
//! Containers that are made of others, frames without contents in ranges that others supply, and
//! what a mapping was asked for.
#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used)]

mod bed;

use bed::{Bed, FORCE, NONE, READ, WRITE, at, count, micros, n, why};
use pmserver_api::LockMode::{Exclusive, Read};
use pmserver_api::{
    AccountHandle, CopyFlags, FrameList, FrameState, Frames, LimitFlags, MapFlags, PmError, Rights,
    ShareTerms,
};

const NEW: CopyFlags = CopyFlags::NEW;
const SHARED: CopyFlags = CopyFlags::SHARED;
const MOVE: CopyFlags = CopyFlags::MOVE;
const WINDOW: u64 = 0x1000_0000;
const PAGE: u64 = 4096;
const LONG: u64 = 900_000;
const OWN: AccountHandle = AccountHandle::OWN;

#[test]
fn a_container_that_cannot_be_made_in_whole_is_not_made() {
    // PM-170, PM-4, PM-51, PM-163
    Bed::each(|bed| {
        let [mut owner, mut other, mut third] = bed.peers();
        let c = owner.filled(b"abc\0");
        owner.allocate(c, 5..6).unwrap();
        owner.pm.set_handler(c, n(5), 1, Some(third.id), 1).unwrap();
        let lent = owner.lend(c, 0..6, &other, Rights::all()).weak;
        let reads = owner.lend(c, 0..2, &third, Rights::LOCK).weak;
        let terms =
            ShareTerms { peer: owner.id, rights: Rights::READ, lease_max: micros(9), once: false };
        let frames =
            |start, frames| Frames { container: lent, start: n(start), count: count(frames) };
        let from = bed.refused(|| other.pm.create_from(OWN, frames(1, 4), terms));
        assert_eq!(from, (PmError::NotFound, 0, 4));
        let from = bed.refused(|| other.pm.create_from(OWN, frames(5, 1), terms));
        assert_eq!(from, (PmError::Absent, 0, 5));
        let range = bed.refused(|| other.pm.create_from(OWN, frames(5, 2), terms));
        assert_eq!(range, (PmError::NoRight, 0, 0));
        let list = |numbers: &[u64]| {
            let numbers: Vec<_> = numbers.iter().map(|number| n(*number)).collect();
            FrameList::new(&numbers).unwrap()
        };
        let gather = bed.refused(|| other.pm.create_gather(OWN, lent, list(&[0, 2, 4]), terms));
        assert_eq!(gather, (PmError::NotFound, 0, 4));
        let read = bed.refused(|| third.pm.create_gather(OWN, reads, list(&[0]), terms));
        assert_eq!(read, (PmError::NoRight, 0, 0));
        for wrong in [
            ShareTerms { peer: other.id, ..terms },
            ShareTerms { rights: Rights::empty(), ..terms },
        ] {
            let share = bed.refused(|| other.pm.create_from(OWN, frames(0, 3), wrong));
            assert_eq!(share, (PmError::Invalid, 0, 0));
            let with = bed.refused(|| other.pm.create_with(OWN, count(3), wrong));
            assert_eq!(with, (PmError::Invalid, 0, 0));
        }
        let poor = other.pm.account_split(OWN, 4, LimitFlags::empty()).unwrap();
        let quota = bed.refused(|| other.pm.create_with(poor, count(9), terms));
        assert_eq!(quota.0, PmError::QuotaExceeded);
        let quota = bed.refused(|| other.pm.create_gather(poor, lent, list(&[0; 13]), terms));
        assert_eq!(quota.0, PmError::QuotaExceeded);
        let made = other.pm.create_gather(OWN, lent, list(&[2, 0, 2, 3]), terms).unwrap();
        assert_eq!(owner.bytes(made.shared.weak, 0..4), b"cac\0");
        other.put(made.container, 0, b'x');
        assert_eq!(other.bytes(made.container, 0..3), b"xac");
        let lease = owner.lock(c, 0..1, Exclusive, LONG).unwrap();
        let locked = bed.refused(|| other.pm.create_from(OWN, frames(0, 3), terms));
        assert_eq!(locked, (PmError::Locked, 0, lease.deadline.get()));
    });
}

#[test]
fn what_has_contents_leaves_a_range_and_what_has_none_comes_under_it() {
    // PM-280, PM-162, PM-160, PM-284
    Bed::each(|bed| {
        let [mut owner, _, third] = bed.peers();
        let c = owner.container(0..4);
        owner.pm.set_handler(c, n(0), 4, Some(third.id), 1).unwrap();
        let d = owner.container(0..4);
        // Without contents, from outside: moved it is a frame of the range like any other.
        assert_eq!(owner.copy((d, 0..1), (c, 0), MOVE), Ok(1));
        assert!(owner.has(c, 0, FrameState::ABSENT | FrameState::PRESENT));
        owner.put(d, 1, b'd');
        owner.copy((d, 1..2), (c, 1), NONE).unwrap();
        owner.free(d, 1..2).unwrap();
        assert!(!owner.has(c, 1, FrameState::ABSENT));
        owner.renew(c, 1..2).unwrap();
        assert!(owner.has(c, 1, FrameState::ABSENT));
        // A store outside gives the twin inside its contents.
        owner.copy((d, 2..3), (c, 2), SHARED).unwrap();
        owner.put(d, 2, b's');
        assert!(!owner.has(c, 2, FrameState::ABSENT));
        assert_eq!(owner.get(c, 2), b's');
        owner.pm.set_handler(c, n(0), 4, None, 0).unwrap();
        assert_eq!(owner.bytes(c, 0..4), b"\0\0s\0");
    });
}

#[test]
fn a_mapping_is_what_it_was_asked_for_whatever_its_handle_allows() {
    // PM-81, PM-124, PM-140
    Bed::each(|bed| {
        let [mut owner, mut other, _] = bed.peers();
        let c = owner.filled(b"ab");
        let reads = owner.lend(c, 0..2, &other, Rights::READ).weak;
        let writes = owner.lend(c, 0..2, &other, Rights::WRITE).weak;
        other.map(reads, 0..1, WINDOW, READ).unwrap();
        other.map(writes, 1..2, WINDOW + PAGE, READ).unwrap();
        let no = bed.refused(|| other.pm.remap(at(WINDOW), count(2), WRITE));
        assert_eq!(no, (PmError::NoRight, 0, 0));
        let one = other.pm.remap(at(WINDOW + PAGE), count(1), WRITE).unwrap();
        assert_eq!(one.rights(), READ | WRITE);
        other.store(b'w', WINDOW + PAGE);
        other.pm.remap(at(WINDOW + PAGE), count(1), READ).unwrap();
        for flags in [MapFlags::empty(), WRITE | MapFlags::EXECUTE] {
            let refusal = bed.refused(|| other.pm.remap(at(WINDOW), count(1), flags));
            assert_eq!(refusal, (PmError::Invalid, 0, 0));
            assert_eq!(bed.refused(|| other.map(writes, 0..1, 0x2000_0000, flags)).0, refusal.0);
            let attach = bed.refused(|| other.pm.attach(writes, n(0), 1, at(0x2000_0000), flags));
            assert_eq!(attach.0, refusal.0);
        }
        assert_eq!(owner.bytes(c, 0..2), b"aw");
        let none = (PmError::NotFound, 0, WINDOW + 2 * PAGE);
        assert_eq!(bed.refused(|| other.pm.remap(at(WINDOW + 2 * PAGE), count(1), READ)), none);
        assert!(other.store_faults(WINDOW + PAGE), "it was asked for with READ at last");
    });
}

#[test]
fn tables_that_were_made_ahead_are_paid_for_until_they_are_unmapped() {
    // PM-220, PM-85, PM-250
    Bed::each(|bed| {
        let [mut owner, ..] = bed.peers();
        let account = owner.pm.account_split(OWN, 40, LimitFlags::empty()).unwrap();
        let before = owner.info();
        let made = owner.pm.ensure_tables(at(WINDOW), count(256)).unwrap();
        assert!(made > 0);
        assert_eq!(owner.pm.ensure_tables(at(WINDOW), count(256)), Ok(0));
        assert_eq!(owner.info().tables.get(), before.tables.get() + made * PAGE);
        let occupied = bed.refused(|| owner.pm.vspace_account(account));
        assert_eq!(occupied, (PmError::Occupied, 0, 0), "tables, and no mapping");
        assert_eq!(owner.unmap(WINDOW, 256), 0);
        assert_eq!(owner.info(), before);
        owner.pm.vspace_account(account).unwrap();
        let c = owner.filled(b"a");
        let frames = owner.pm.account_info(account).unwrap().frames;
        let mapped = owner.map(c, 0..1, WINDOW, FORCE).unwrap();
        assert_eq!((mapped.count, frames.get()), (1, 0));
        assert!(owner.pm.account_info(account).unwrap().tables.get() > 0);
        assert_eq!(owner.unmap(WINDOW, 1), 1);
        assert_eq!(owner.pm.account_info(account).unwrap().used.get(), 0);
    });
}

#[test]
fn a_read_lease_of_the_source_is_no_hindrance_and_one_of_the_destination_is() {
    // PM-166, PM-72, PM-71, PM-13
    Bed::each(|bed| {
        let [mut owner, mut one, mut two] = bed.peers();
        let c = owner.filled(b"ab");
        let ones = owner.lend(c, 0..2, &one, Rights::all()).weak;
        let twos = owner.lend(c, 0..2, &two, Rights::all()).weak;
        let lease = one.lock(ones, 0..1, Read, LONG).unwrap();
        let locked = (PmError::Locked, 0, lease.deadline.get());
        let d = two.filled(b"x");
        assert_eq!(two.copy((twos, 0..2), (d, 1), NEW), Ok(2));
        assert_eq!(bed.refused(|| two.copy((d, 0..1), (twos, 0), NONE)), locked);
        assert_eq!(two.copy((d, 0..1), (twos, 1), NONE), Ok(1));
        // The holder writes through its own handle: its copy is broken, the other's is not touched.
        one.put(ones, 0, b'h');
        assert_eq!((owner.bytes(c, 0..2), two.bytes(d, 0..3)), (b"hx".into(), b"xab".into()));
        assert_eq!(one.copy((ones, 0..1), (ones, 1), NONE), Ok(1));
        assert_eq!(bed.refused(|| one.copy((ones, 1..2), (twos, 0), NONE)).0, PmError::InvalidCap);
        one.pm.unlock(lease.lease).unwrap();
        assert_eq!(why(one.pm.unlock(lease.lease)), (PmError::InvalidCap, 0, 0));
    });
}
