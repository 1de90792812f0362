// SPDX-License-Identifier: BSD-2-Clause
//! Accounts that end, and peers that are stopped, in the middle of everything else.
#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used)]

mod bed;

use bed::{Bed, FORCE, NONE, Peer, READ, WRITE, count, n, why};
use pmserver_api::LockMode::{Exclusive, Read};
use pmserver_api::{
    AccountHandle, AccountRights, AllocateFlags, ContainerHandle, CopyFlags, FrameState,
    LimitFlags, PmError, Rights,
};

const NEW: CopyFlags = CopyFlags::NEW;
const SHARED: CopyFlags = CopyFlags::SHARED;
const MOVE: CopyFlags = CopyFlags::MOVE;
const ATOMIC: CopyFlags = CopyFlags::ATOMIC;
const WINDOW: u64 = 0x1000_0000;
const PAGE: u64 = 4096;
const LONG: u64 = 900_000;

fn split(peer: &mut Peer, pages: u32) -> AccountHandle {
    peer.pm.account_split(AccountHandle::OWN, pages, LimitFlags::empty()).unwrap()
}

fn filled(peer: &mut Peer, account: AccountHandle, bytes: &[u8]) -> ContainerHandle {
    let c = peer.pm.container_create(account).unwrap();
    for (number, byte) in (0..).zip(bytes) {
        peer.allocate(c, number..number + 1).unwrap();
        peer.put(c, number, *byte);
    }
    c
}

#[test]
fn an_account_goes_with_all_but_the_copies_and_twins_that_others_pay_for() {
    // PM-235, PM-238, PM-60
    Bed::each(|bed| {
        let [mut owner, mut borrower, _] = bed.peers();
        let before = bed.charges();
        let account = split(&mut owner, 50);
        let c = filled(&mut owner, account, b"abc");
        let own = owner.empty();
        owner.copy((c, 0..1), (own, 0), NEW).unwrap();
        owner.copy((c, 1..2), (own, 1), NEW | SHARED).unwrap();
        let lent = owner.lend(c, 0..3, &borrower, Rights::all()).weak;
        let theirs = borrower.empty();
        borrower.copy((lent, 2..3), (theirs, 0), NEW).unwrap();
        borrower.map(lent, 0..3, WINDOW, WRITE).unwrap();
        borrower.pm.attach(lent, n(0), 3, bed::at(0x2000_0000), READ).unwrap();
        assert_eq!(borrower.load(0x2000_0000), b'a');
        owner.pm.account_destroy(account).unwrap();
        assert_eq!(why(owner.pm.account_destroy(account)).0, PmError::InvalidCap);
        assert_eq!(why(owner.map(c, 0..1, WINDOW, READ)).0, PmError::InvalidCap);
        assert_eq!(why(borrower.map(lent, 0..1, WINDOW, READ)).0, PmError::InvalidCap);
        assert_eq!(owner.bytes(own, 0..2), b"ab");
        assert!(!owner.has(own, 0, FrameState::COW) && !owner.has(own, 1, FrameState::SHARED));
        assert_eq!(borrower.get(theirs, 0), b'c');
        owner.pm.container_destroy(own).unwrap();
        borrower.pm.container_destroy(theirs).unwrap();
        borrower.pm.detach(bed::at(0x2000_0000)).unwrap();
        assert_eq!(borrower.unmap(WINDOW, 3), 0);
        assert_eq!(bed.charges(), before);
        assert!(borrower.load_faults(WINDOW));
    });
}

#[test]
fn an_account_that_a_lease_keeps_is_gone_for_everything_else() {
    // PM-235, PM-236, S40
    Bed::each(|bed| {
        let [mut owner, mut borrower, _] = bed.peers();
        let before = bed.charges();
        let account = split(&mut owner, 60);
        let child = owner.pm.account_split(account, 20, LimitFlags::empty()).unwrap();
        let c = filled(&mut owner, child, b"abc");
        let d = filled(&mut owner, account, b"d");
        let own = owner.container(0..1);
        let lent = owner.lend(c, 0..3, &borrower, Rights::all()).weak;
        let lease = borrower.lock(lent, 1..2, Exclusive, 100_000).unwrap();
        borrower.map(lent, 0..3, WINDOW, WRITE).unwrap();
        let (error, _, deadline) = why(owner.pm.account_destroy(account));
        assert_eq!((error, deadline), (PmError::Pending, lease.deadline.get()));
        let gone = [
            why(owner.pm.container_create(account)).0,
            why(owner.pm.container_create(child)).0,
            why(owner.pm.account_info(account)).0,
            why(owner.pm.account_split(account, 1, LimitFlags::empty())).0,
            why(owner.pm.account_destroy(child)).0,
            why(owner.pm.account_remove(account)).0,
            why(owner.pm.vspace_account(child)).0,
            why(owner.map(d, 0..1, WINDOW, READ)).0,
            why(owner.allocate(c, 5..6)).0,
            why(owner.copy((c, 0..1), (own, 0), NONE)).0,
        ];
        assert_eq!(gone[..4], [PmError::InvalidCap; 4]);
        assert_eq!(gone[5..], [PmError::InvalidCap; 5]);
        let (error, _, deadline) = why(owner.pm.account_destroy(account));
        assert_eq!((error, deadline), (PmError::Pending, lease.deadline.get()));
        owner.pass(100_000);
        owner.pm.account_destroy(account).unwrap();
        owner.pm.container_destroy(own).unwrap();
        borrower.unmap(WINDOW, 3);
        assert_eq!(bed.charges(), before);
    });
}

#[test]
fn a_removed_account_leaves_everything_as_it_is_to_its_parent() {
    // PM-237, PM-230, PM-246
    Bed::each(|bed| {
        let [mut owner, mut other, _] = bed.peers();
        let account = split(&mut owner, 60);
        let child = owner.pm.account_split(account, 20, LimitFlags::empty()).unwrap();
        let lent = owner.pm.account_lend(account, other.id, AccountRights::ALLOCATE).unwrap();
        let theirs = filled(&mut other, lent, b"ab");
        other.pm.vspace_account(lent).unwrap();
        other.map(theirs, 0..2, WINDOW, WRITE).unwrap();
        other.lock(theirs, 0..1, Exclusive, LONG).unwrap();
        let grandchildren = filled(&mut owner, child, b"x");
        let info = owner.info();
        owner.pm.account_remove(account).unwrap();
        let now = owner.info();
        assert_eq!((now.frames, now.tables, now.slots), (info.frames, info.tables, info.slots));
        assert_eq!(now.promised.get(), 20 * PAGE, "the child's is promised by the owner now");
        assert!(now.used <= info.used, "no more than before");
        assert_eq!(why(other.pm.container_create(lent)).0, PmError::InvalidCap);
        assert_eq!(why(owner.pm.account_info(account)).0, PmError::InvalidCap);
        assert_eq!(owner.pm.account_info(child).unwrap().limit.get(), 20 * PAGE);
        other.store(b'n', WINDOW + PAGE);
        assert_eq!(other.allocate(theirs, 2..4), Ok(2), "it is still its container");
        assert_eq!(owner.info().frames.get(), info.frames.get() + 2 * PAGE);
        assert_eq!(why(owner.map(theirs, 0..1, WINDOW, READ)).0, PmError::InvalidCap);
        owner.pm.account_destroy(child).unwrap();
        assert_eq!(why(owner.map(grandchildren, 0..1, WINDOW, READ)).0, PmError::InvalidCap);
        assert_eq!(other.load(WINDOW + PAGE), b'n');
    });
}

#[test]
fn a_vspace_without_its_account_maps_again_when_another_pays() {
    // PM-250, PM-251, S38, PM-200
    Bed::each(|bed| {
        let [mut owner, mut user, _] = bed.peers();
        let account = split(&mut owner, 60);
        let lent = owner.pm.account_lend(account, user.id, AccountRights::ALLOCATE).unwrap();
        user.pm.vspace_account(lent).unwrap();
        let before = user.info();
        let c = user.filled(b"ab");
        let made = user.info();
        user.map(c, 0..2, WINDOW, WRITE).unwrap();
        user.pm.attach(c, n(0), 2, bed::at(0x2000_0000), WRITE).unwrap();
        assert_eq!(user.load(0x2000_0000), b'a');
        assert_eq!(user.pm.grant(c, n(1), count(1), READ).unwrap().count, 1);
        let refusal = why(user.pm.vspace_account(AccountHandle::OWN));
        assert_eq!((refusal.0, refusal.2), (PmError::Occupied, WINDOW));
        assert_eq!(user.info(), made, "the other account pays for tables and records");
        owner.pm.account_destroy(account).unwrap();
        let none = PmError::NoTableQuota;
        assert_eq!(bed.refused(|| user.map(c, 0..1, WINDOW, WRITE)), (none, 0, 0));
        assert_eq!(bed.refused(|| user.pm.grant(c, n(0), count(1), READ)).0, none);
        assert_eq!(bed.refused(|| user.pm.ensure_tables(bed::at(WINDOW), count(1))).0, none);
        let attached = bed.refused(|| user.pm.attach(c, n(0), 2, bed::at(0x2000_0000), WRITE));
        assert_eq!(attached.0, none);
        assert!(user.pm.detach(bed::at(0x2000_0000)).is_err());
        assert_eq!(user.unmap(WINDOW, 2), 0);
        assert!(!user.has(c, 0, FrameState::MAPPED) && !user.has(c, 1, FrameState::MAPPED));
        user.pm.vspace_account(AccountHandle::OWN).unwrap();
        assert_eq!(user.bytes(c, 0..2), b"ab");
        user.pm.container_destroy(c).unwrap();
        assert_eq!(user.info(), before);
    });
}

#[test]
fn a_stopped_peer_leaves_what_others_pay_for() {
    // PM-121, PM-8, PM-20, PM-51, S25, S26
    Bed::each(|bed| {
        let [mut owner, mut borrower, mut third] = bed.peers();
        let before = borrower.info();
        let c = owner.filled(b"abc");
        let lent = owner.lend(c, 0..3, &borrower, Rights::all());
        let back = owner.lend(c, 0..3, &third, Rights::all());
        let theirs = borrower.filled(b"xy");
        let shared = borrower.lend(theirs, 0..2, &owner, Rights::all());
        borrower.map(lent.weak, 0..3, WINDOW, WRITE).unwrap();
        borrower.lock(lent.weak, 0..1, Read, LONG).unwrap();
        borrower.pin(lent.weak, 1..2, Exclusive, LONG).unwrap();
        owner.map(shared.weak, 0..2, WINDOW, WRITE).unwrap();
        let mine = owner.empty();
        owner.copy((shared.weak, 0..2), (mine, 0), NEW).unwrap();
        borrower.pm.set_handler(theirs, n(5), 1, Some(third.id), 1).unwrap();
        owner.pm.set_handler(c, n(9), 1, Some(borrower.id), 1).unwrap();
        assert!(borrower.store_faults(0x6000_0000));
        while owner.pm.reclaim().unwrap() > 0 {}
        assert_eq!(owner.bytes(mine, 0..2), b"xy");
        assert_eq!(why(owner.map(shared.weak, 0..1, WINDOW, READ)).0, PmError::InvalidCap);
        assert_eq!(owner.free(c, 0..1), Ok(1), "its leases end");
        let share = owner.pm.share(c, n(0), 1, borrower.id, Rights::READ, bed::micros(1));
        assert_eq!(why(share).0, PmError::Invalid);
        assert!(third.pm.map(back.weak, n(2), count(1), bed::at(WINDOW), WRITE).is_ok());
        let quarantined = third.pm.account_info(AccountHandle::of_peer(borrower.id)).unwrap();
        owner.pm.device_reset(borrower.id).unwrap();
        let left = third.pm.account_info(AccountHandle::of_peer(borrower.id)).unwrap();
        assert_eq!(left.used, before.used, "of {quarantined:?}");
        assert!(third.pm.unshare(back.share).is_err(), "it is not its share");
        owner.pm.unshare(back.share).unwrap();
        assert_eq!(owner.unmap(WINDOW, 2), 0);
        assert!(owner.load_faults(WINDOW));
    });
}

#[test]
fn charges_at_the_very_limit_are_refused_in_whole_or_from_there_on() {
    // PM-31, PM-161, PM-162, PM-163, S5, PM-32
    Bed::each(|bed| {
        let [mut owner, ..] = bed.peers();
        let account = split(&mut owner, 40);
        let c = owner.pm.container_create(account).unwrap();
        owner.allocate(c, 0..10).unwrap();
        let room = |owner: &mut Peer| {
            let info = owner.pm.account_info(account).unwrap();
            (info.limit.get() - info.used.get()) / PAGE
        };
        let fits = room(&mut owner);
        let (error, _, at) = bed.refused(|| owner.allocate(c, 100..100 + fits + 1));
        assert_eq!(error, PmError::QuotaExceeded);
        assert!((100..=100 + fits).contains(&at));
        let partial = why(owner.allocate_with(c, 100..150, AllocateFlags::PARTIAL));
        assert_eq!((partial.0, partial.2), (PmError::QuotaExceeded, 100 + partial.1));
        assert!(partial.1 >= 1);
        let (done, last) = (partial.1, partial.2);
        let refusal =
            bed.refused(|| owner.allocate_with(c, last..last + 2, AllocateFlags::PARTIAL));
        assert_eq!(refusal, (PmError::QuotaExceeded, 0, last));
        let squash = AllocateFlags::SQUASH;
        assert_eq!(owner.allocate_with(c, 100..100 + done, squash), Ok(done), "no net charge");
        let refusal = bed.refused(|| owner.allocate_with(c, 100..101 + done, squash));
        assert_eq!(refusal, (PmError::QuotaExceeded, 0, last));
        owner.put(c, 0, b'm');
        let full = (PmError::QuotaExceeded, 0, 200);
        for flags in [NEW, NEW | ATOMIC, NEW | SHARED] {
            assert_eq!(bed.refused(|| owner.copy((c, 0..2), (c, 200), flags)), full);
        }
        owner.free(c, 100..101).unwrap();
        let cut = (PmError::QuotaExceeded, 0, 201);
        assert_eq!(bed.refused(|| owner.copy((c, 0..2), (c, 200), NEW | ATOMIC)), cut);
        assert_eq!(why(owner.copy((c, 0..2), (c, 200), NEW)), (cut.0, 1, cut.2));
        assert_eq!(owner.get(c, 200), b'm');
        let before = bed.charges();
        assert_eq!(owner.copy((c, 0..1), (c, 300), NEW | MOVE), Ok(1), "moving needs no room");
        assert_eq!(bed.charges(), before);
        assert_eq!(owner.get(c, 300), b'm');
    });
}

#[test]
fn moving_to_another_account_moves_the_charge() {
    // PM-161, PM-162, A3
    Bed::each(|bed| {
        let [mut owner, ..] = bed.peers();
        let (rich, poor) = (split(&mut owner, 60), split(&mut owner, 6));
        let c = filled(&mut owner, rich, b"abcdefgh");
        let d = owner.pm.container_create(poor).unwrap();
        let frames =
            |owner: &mut Peer, account| owner.pm.account_info(account).unwrap().frames.get() / PAGE;
        let refusal = bed.refused(|| owner.copy((c, 0..8), (d, 0), NEW | MOVE | ATOMIC));
        assert_eq!((refusal.0, refusal.1), (PmError::QuotaExceeded, 0));
        assert_eq!(owner.bytes(c, 0..8), b"abcdefgh");
        let (error, done, at) = why(owner.copy((c, 0..8), (d, 0), NEW | MOVE));
        assert_eq!((error, at), (PmError::QuotaExceeded, done));
        assert!((1..8).contains(&done));
        assert_eq!((frames(&mut owner, rich), frames(&mut owner, poor)), (8 - done, done));
        assert_eq!(owner.get(d, 0), b'a');
        assert_eq!(owner.state(c, 0), FrameState::empty());
        assert_eq!(owner.get(c, done), b"abcdefgh"[usize::try_from(done).unwrap()]);
        owner.pm.account_destroy(poor).unwrap();
        owner.map(c, done..8, WINDOW, FORCE).unwrap();
        owner.pm.account_destroy(rich).unwrap();
    });
}
