// SPDX-License-Identifier: BSD-2-Clause
//! What takes several calls, with leases and other peers in between.
#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used)]

mod bed;

use bed::{Bed, READ, WRITE, at, count, n, why};
use pmserver_api::LockMode::{Exclusive, Read};
use pmserver_api::{AccountHandle, CopyFlags, LimitFlags, PmError, Request, Rights};
use proto::{Message, Transport};

const WINDOW: u64 = 0x1000_0000;
const PAGE: u64 = 4096;

/// Error, `done` and `at` of a reply, or nothing.
fn told(reply: &Message) -> Option<(u64, u64, u64)> {
    let [done, at] = reply.exactly().unwrap_or_default();
    (reply.label() != 0).then_some((reply.label(), done, at))
}

#[test]
fn what_is_freed_in_steps_is_gone_for_all_others_from_the_first_on() {
    // PM-21, PM-23, PM-24, PM-22, PM-9
    Bed::each(|bed| {
        let [mut owner, mut other, _] = bed.peers();
        let before = bed.charges();
        let c = owner.empty();
        for start in (0..600).step_by(200) {
            owner.allocate(c, start..start + 200).unwrap();
        }
        let lent = owner.lend(c, 0..600, &other, Rights::all());
        for start in (0..600).step_by(200) {
            let vaddr = WINDOW + start * PAGE;
            assert_eq!(other.map(lent.weak, start..start + 200, vaddr, WRITE).unwrap().count, 200);
        }
        let lease = other.lock(lent.weak, 590..600, Read, 300_000).unwrap();
        let mut channel = bed.testbed.channel(1);
        let destroy = Request::ContainerDestroy { container: c }.encode();
        let (error, done, next) = told(&channel.call(destroy)).unwrap();
        assert_eq!((error, next), (PmError::Pending.status(), 0));
        assert!((1..=256).contains(&done));
        assert_eq!(why(owner.allocate(c, 700..701)).0, PmError::InvalidCap);
        assert_eq!(why(other.map(lent.weak, 0..1, 0x2000_0000, READ)).0, PmError::InvalidCap);
        bed.testbed.check();
        let mut freed = done;
        while let Some((error, done, next)) = told(&channel.call(destroy)) {
            assert_eq!(error, PmError::Pending.status());
            freed += done;
            bed.testbed.check();
            if next != 0 {
                assert_eq!((next, freed), (lease.deadline.get(), 590));
                owner.pass(300_000);
            }
        }
        assert_eq!(freed, 590, "the last call succeeds and tells no number");
        assert_eq!(other.unmap(WINDOW, 256) + other.unmap(WINDOW + 256 * PAGE, 256), 0);
        assert_eq!(bed.charges(), before);
        assert!(other.load_faults(WINDOW));
    });
}

#[test]
fn unsharing_in_steps_leaves_the_owner_its_own() {
    // PM-60, PM-62, PM-61
    Bed::each(|bed| {
        let [mut owner, mut other, _] = bed.peers();
        let before = other.info();
        let c = owner.empty();
        let lent = owner.lend(c, 0..600, &other, Rights::all());
        for start in (0..600).step_by(200) {
            owner.allocate(c, start..start + 200).unwrap();
            other.map(lent.weak, start..start + 200, WINDOW + start * PAGE, WRITE).unwrap();
            owner.map(c, start..start + 200, WINDOW + start * PAGE, WRITE).unwrap();
        }
        other.store(b'o', WINDOW);
        let mut channel = bed.testbed.channel(1);
        let unshare = Request::Unshare { share: lent.share }.encode();
        let mut steps = 0;
        while let Some((error, _, next)) = told(&channel.call(unshare)) {
            assert_eq!((error, next), (PmError::Pending.status(), 0));
            let locked = why(other.lock(lent.weak, 0..1, Exclusive, 9)).0;
            assert!(matches!(locked, PmError::Revoking | PmError::InvalidCap), "{locked:?}");
            steps += 1;
            bed.testbed.check();
        }
        assert!((2..10).contains(&steps), "{steps}");
        assert_eq!(other.info(), before);
        owner.store(b'x', WINDOW + 599 * PAGE);
        assert_eq!(owner.load(WINDOW), b'o');
        assert!(other.load_faults(WINDOW));
    });
}

#[test]
fn a_twins_container_that_a_lease_reaches_ends_without_its_twin() {
    // PM-22, PM-24, PM-238, PM-78
    Bed::each(|bed| {
        let [mut owner, mut other, _] = bed.peers();
        let before = bed.charges();
        let account = owner.pm.account_split(AccountHandle::OWN, 60, LimitFlags::EXTRA).unwrap();
        let c = owner.filled(b"ab");
        let twin = owner.pm.container_create(account).unwrap();
        owner.copy((c, 0..2), (twin, 0), CopyFlags::NEW | CopyFlags::SHARED).unwrap();
        let lent = owner.lend(c, 0..2, &other, Rights::all());
        other.map(lent.weak, 0..2, WINDOW, WRITE).unwrap();
        other.lock(lent.weak, 0..2, Read, 200_000).unwrap();
        if let Err(error) = owner.pm.account_destroy(account) {
            assert_eq!(why::<()>(Err(error)).0, PmError::Pending);
            owner.pass(200_000);
            owner.pm.account_destroy(account).unwrap();
        }
        assert_eq!((other.load(WINDOW), other.load(WINDOW + PAGE)), (b'a', b'b'));
        other.store(b'x', WINDOW);
        owner.pass(200_000);
        assert_eq!(owner.bytes(c, 0..2), b"xb");
        owner.pm.container_destroy(c).unwrap();
        other.unmap(WINDOW, 2);
        assert_eq!(bed.charges(), before);
    });
}

#[test]
fn regions_and_grants_have_bounds_that_come_back() {
    // PM-201, PM-211, PM-212, PM-202
    let bed = Bed::calm();
    let [mut owner, ..] = bed.peers();
    let before = owner.info();
    let c = owner.container(0..200);
    let made = owner.info();
    for region in 0..16 {
        owner.pm.attach(c, n(0), 1 << 20, at(0x10_0000_0000 + (region << 32)), READ).unwrap();
    }
    let many = bed.refused(|| owner.pm.attach(c, n(0), 1, at(WINDOW), READ));
    assert_eq!(many.0, PmError::TooMany);
    for page in [0, 100, 199] {
        assert_eq!(owner.load(0x10_0000_0000 + page * PAGE), 0);
    }
    for region in 0..16 {
        owner.pm.detach(at(0x10_0000_0000 + (region << 32))).unwrap();
    }
    assert_eq!(owner.info(), made);
    let first = owner.pm.grant(c, n(0), count(200), READ).unwrap();
    assert_eq!(first.count, 128);
    let many = bed.refused(|| owner.pm.grant(c, n(128), count(1), READ));
    assert_eq!(many.0, PmError::TooMany);
    assert_eq!(owner.free(c, 0..64), Ok(64));
    let second = owner.pm.grant(c, n(128), count(72), READ).unwrap();
    assert_eq!(second.count, 64);
    assert_eq!(owner.pm.ungrant(first.address, count(128)), Ok(128));
    bed.testbed.check();
    owner.pm.container_destroy(c).unwrap();
    assert_eq!(owner.info(), before);
}
