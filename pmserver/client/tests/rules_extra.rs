// SPDX-License-Identifier: BSD-2-Clause
//! Extra frames, dropped and kept, with all else that can be done to a frame: PM-260 to PM-264.
#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used)]

mod bed;

use bed::{Bed, FORCE, NONE, Peer, READ, WRITE, count, n, why};
use pmserver_api::LockMode::{Exclusive, Read};
use pmserver_api::{
    AccountHandle, AllocateFlags, CallError, ContainerHandle, CopyFlags, FrameState, LimitFlags,
    Marks, PmError, Rights,
};

const NEW: CopyFlags = CopyFlags::NEW;
const SHARED: CopyFlags = CopyFlags::SHARED;
const MOVE: CopyFlags = CopyFlags::MOVE;
const EXTRA: AllocateFlags = AllocateFlags::EXTRA;
const WINDOW: u64 = 0x1000_0000;
const PAGE: u64 = 4096;
const LONG: u64 = 900_000;

/// An account at its limit, and a container of it.
fn full(peer: &mut Peer, pages: u32) -> (AccountHandle, ContainerHandle) {
    let account = peer.pm.account_split(AccountHandle::OWN, pages, LimitFlags::EXTRA).unwrap();
    let c = peer.pm.container_create(account).unwrap();
    let partial = AllocateFlags::PARTIAL;
    assert_eq!(why(peer.allocate_with(c, 1000..1200, partial)).0, PmError::QuotaExceeded);
    (account, c)
}

fn extra(peer: &mut Peer, account: AccountHandle) -> u64 {
    peer.pm.account_info(account).unwrap().extra.get() / PAGE
}

/// Has somebody take what memory there is as extra frames, and then ask for what it was promised.
fn press(peer: &mut Peer) -> Result<u64, CallError> {
    let account = peer.pm.account_split(AccountHandle::OWN, 300, LimitFlags::EXTRA).unwrap();
    let c = peer.pm.container_create(account).unwrap();
    let flags = EXTRA | AllocateFlags::PARTIAL;
    let mut start = 0;
    let refusal = loop {
        match peer.allocate_with(c, start..start + 64, flags) {
            Ok(done) => start += done,
            Err(error) => break why::<()>(Err(error)),
        }
    };
    assert_eq!(refusal.0, PmError::NoMemory);
    let own = peer.empty();
    peer.allocate(own, 0..64)
}

#[test]
fn frames_beyond_the_limit_are_extra_and_the_others_never_become_it() {
    // PM-34, PM-261, PM-100, PM-13
    Bed::each(|bed| {
        let [mut owner, ..] = bed.peers();
        let (account, c) = full(&mut owner, 30);
        let used = owner.pm.account_info(account).unwrap().used;
        assert_eq!(owner.allocate_with(c, 0..8, EXTRA), Ok(8));
        let above = extra(&mut owner, account);
        assert!(above >= 8, "{above}");
        assert!(owner.pm.account_info(account).unwrap().used >= used);
        assert!(owner.has(c, 7, FrameState::EXTRA) && !owner.has(c, 1000, FrameState::EXTRA));
        let charges = bed.charges();
        owner.put(c, 0, b'a');
        owner.copy((c, 0..1), (c, 1), NONE).unwrap();
        owner.copy((c, 0..1), (c, 2), SHARED).unwrap();
        owner.put(c, 1, b'b');
        owner.renew(c, 2..3).unwrap();
        assert_eq!(owner.allocate_with(c, 3..4, EXTRA | AllocateFlags::SQUASH), Ok(1));
        assert_eq!(bed.charges(), charges, "all of that is free of charge");
        assert_eq!(owner.bytes(c, 0..4), b"ab\0\0");
        assert_eq!(owner.free(c, 0..8), Ok(8));
        assert_eq!(owner.allocate(c, 500..501).map_err(|_| ()), Err(()));
        owner.pm.account_destroy(account).unwrap();
    });
}

#[test]
fn without_the_right_to_them_nothing_is_extra() {
    // PM-34, PM-230, PM-240, S33
    Bed::each(|bed| {
        let [mut owner, ..] = bed.peers();
        let none = LimitFlags::empty();
        let plain = owner.pm.account_split(AccountHandle::OWN, 40, none).unwrap();
        let c = owner.pm.container_create(plain).unwrap();
        let refusal = bed.refused(|| owner.allocate_with(c, 0..100, EXTRA));
        assert_eq!((refusal.0, refusal.1), (PmError::NotEligible, 0));
        let child = bed.refused(|| owner.pm.account_split(plain, 5, LimitFlags::EXTRA));
        assert_eq!(child.0, PmError::NotEligible);
        owner.pm.account_set_limits(plain, 40, LimitFlags::EXTRA).unwrap();
        owner.allocate_with(c, 0..100, EXTRA).unwrap();
        assert!(extra(&mut owner, plain) >= 60);
        owner.pm.account_destroy(plain).unwrap();
    });
}

#[test]
fn a_dropped_frame_is_not_there_and_everybody_is_told_why() {
    // PM-262, PM-260, PM-261, PM-263, PM-264, PM-100
    Bed::each(|bed| {
        let [mut owner, mut borrower, mut greedy] = bed.peers();
        let (account, c) = full(&mut owner, 30);
        owner.put(c, 1000, b'g');
        owner.allocate_with(c, 0..8, EXTRA).unwrap();
        for number in 0..8 {
            owner.put(c, number, b'a');
        }
        let lent = owner.lend(c, 0..8, &borrower, Rights::all()).weak;
        let kept = borrower.empty();
        borrower.copy((lent, 1..2), (kept, 0), NEW).unwrap();
        borrower.map(lent, 0..8, WINDOW, READ).unwrap();
        assert_eq!(owner.pm.mark(c, n(0), count(6), Marks::DISCARDABLE), Ok(6));
        let marked = owner.pm.mark(c, n(1000), count(1), Marks::DISCARDABLE);
        assert_eq!(marked, Ok(1));
        assert_eq!(owner.pm.mark(c, n(5), count(1), Marks::empty()), Ok(1));
        let pin = borrower.pin(lent, 2..3, Read, LONG).unwrap();
        let lease = borrower.lock(lent, 3..4, Exclusive, LONG).unwrap();
        let before = extra(&mut owner, account);
        let pressed = why(press(&mut greedy));
        assert_eq!((pressed.0, pressed.1), (PmError::Pending, 0));
        assert!(pressed.2 > greedy.pm.clock().unwrap().get());
        let gone: Vec<u64> =
            (0..8).filter(|number| owner.has(c, *number, FrameState::DISCARDED)).collect();
        assert_eq!(gone, [0, 1, 4], "not those that are leased, pinned or not marked");
        assert!(extra(&mut owner, account) <= before - 3);
        assert!(!owner.has(c, 0, FrameState::PRESENT) && owner.has(c, 1000, FrameState::PRESENT));
        let discarded = |number| (PmError::Discarded, 0, number);
        assert_eq!(bed.refused(|| owner.map(c, 4..5, 0x2000_0000, READ)), discarded(4));
        assert_eq!(bed.refused(|| borrower.map(lent, 0..1, 0x2000_0000, FORCE)), discarded(0));
        assert_eq!(bed.refused(|| borrower.copy((lent, 1..2), (kept, 0), NONE)), discarded(1));
        assert_eq!(bed.refused(|| owner.copy((c, 1..2), (c, 5), MOVE)), discarded(1));
        assert_eq!(bed.refused(|| owner.copy((c, 1..2), (c, 5), SHARED)), discarded(1));
        assert_eq!(borrower.get(kept, 0), b'a', "a copy keeps it");
        assert_eq!(borrower.pm.bus_address(pin.lease.lease, n(2)), Ok(pin.bus));
        assert_eq!(borrower.unmap(WINDOW, 8), 5, "the mappings are gone");
        borrower.pm.unlock(lease.lease).unwrap();
        borrower.pm.unlock(pin.lease.lease).unwrap();
        assert_eq!(owner.free(c, 0..8), Ok(5), "what was dropped is not there to deallocate");
        assert_eq!(owner.get(c, 1000), b'g');
        owner.pm.account_destroy(account).unwrap();
    });
}

#[test]
fn a_lower_limit_makes_the_newest_frames_extra_and_drops_nothing() {
    // PM-240, PM-241, S34
    Bed::each(|bed| {
        let [mut owner, mut borrower, mut policy] = bed.peers();
        let c = owner.filled(b"abcdefgh");
        owner.map(c, 0..8, WINDOW, WRITE).unwrap();
        let lent = owner.lend(c, 0..8, &borrower, Rights::all()).weak;
        borrower.lock(lent, 6..7, Read, LONG).unwrap();
        let account = AccountHandle::of_peer(owner.id);
        let info = policy.pm.account_info(account).unwrap();
        let limit = u32::try_from(info.used.get() / PAGE - 4).unwrap();
        let none = LimitFlags::empty();
        let under = bed.refused(|| policy.pm.account_set_limits(account, limit, none));
        assert_eq!(under.0, PmError::QuotaExceeded);
        let excess = LimitFlags::EXCESS;
        let alone = bed.refused(|| policy.pm.account_set_limits(account, limit, excess));
        assert_eq!(alone.0, PmError::Invalid, "EXCESS needs EXTRA");
        policy.pm.account_set_limits(account, limit, LimitFlags::EXTRA | excess).unwrap();
        let states: Vec<_> = (0..8).map(|i| owner.has(c, i, FrameState::EXTRA)).collect();
        assert_eq!(states, [false, false, false, false, true, true, true, true]);
        let now = owner.info();
        assert_eq!(now.used.get(), u64::from(limit) * PAGE);
        assert_eq!(now.extra.get(), 4 * PAGE);
        for (page, byte) in (0..).zip(b"abcdefgh") {
            assert_eq!(owner.load(WINDOW + page * PAGE), *byte);
        }
        assert_eq!(bed.refused(|| owner.allocate(c, 9..10)).0, PmError::QuotaExceeded);
        let impossible = LimitFlags::EXTRA | excess;
        let nothing = bed.refused(|| policy.pm.account_set_limits(account, 0, impossible));
        assert_eq!(nothing.0, PmError::QuotaExceeded, "what is not a frame has to fit");
    });
}
