// SPDX-License-Identifier: BSD-2-Clause
//! What a mapping needs is charged when it is made, so that no later access is a fault for want of
//! quota, whatever others do to the same memory (PM-340, PM-124; decision 0007).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{Pm, World, allocate_all, at, filled, frames, info, page, peer, refusal};
use pmserver_api::{
    AccountHandle, AllocateFlags, ContainerHandle, CopyFlags, LimitFlags, LockMode, MapFlags,
    PmError, Rights,
};
use proto::Micros;

const OWN: AccountHandle = AccountHandle::OWN;
const PLAIN: AllocateFlags = AllocateFlags::empty();
const LONG: Micros = Micros::new(1_000_000);

/// Peer 2 owns a container that peer 3 may use, and both have mapped it for writing.
struct Both {
    world: World,
    owner: Pm,
    borrower: Pm,
    container: ContainerHandle,
    weak: ContainerHandle,
}

fn both(count: u64) -> Both {
    let world = World::with_policy();
    let (mut owner, mut borrower) = (world.as_peer(2), world.as_peer(3));
    let container = filled(&mut owner, count);
    let rights = Rights::READ | Rights::WRITE | Rights::LOCK;
    let weak = owner.share(container, at(0), count, peer(3), rights, LONG).unwrap().weak;
    owner.map(container, at(0), frames(count), page(0), MapFlags::WRITE).unwrap();
    borrower.map(weak, at(0), frames(count), page(0), MapFlags::WRITE).unwrap();
    Both { world, owner, borrower, container, weak }
}

/// Uses up all that a peer may use.
fn exhaust(world: &World, number: u64) {
    let mut quiet = world.clone().unchecked().as_peer(number);
    let rest = quiet.container_create(OWN).unwrap();
    let (end, _) = allocate_all(&mut quiet, rest, PLAIN);
    while quiet.allocate(rest, at(end + 100), frames(1), PLAIN).is_ok() {}
    let own = info(&mut quiet, OWN);
    assert_eq!(own.limit, own.used);
}

#[test]
fn who_touches_first_does_not_make_the_mappings_of_others_cost_more() {
    let both = both(3);
    exhaust(&both.world, 2);
    exhaust(&both.world, 3);
    both.world.store(3, 1, page(0)).unwrap();
    assert_eq!(both.world.load(2, page(0)), Ok(1));
    both.world.store(2, 2, page(1)).unwrap();
    assert_eq!(both.world.load(3, page(1)), Ok(2));
    assert_eq!(both.world.load(3, page(2)), Ok(0), "the page of zeros, too");
    assert_eq!(both.world.load(2, page(2)), Ok(0));
}

#[test]
fn what_was_taken_away_comes_back_without_a_charge() {
    let mut both = both(4);
    let copies = filled(&mut both.owner, 4);
    both.owner.map(copies, at(0), frames(4), page(8), MapFlags::WRITE).unwrap();
    exhaust(&both.world, 2);
    exhaust(&both.world, 3);
    for number in 0..4 {
        both.world.store(3, 7, page(number)).unwrap();
    }
    // Copy-on-write siblings: both mappings are of one page until one of them is written to.
    let (from, to) = ((both.container, at(0)), (copies, at(0)));
    assert_eq!(both.owner.copy(from, to, frames(4), CopyFlags::empty()), Ok(4));
    for number in 0..4 {
        assert_eq!(both.world.load(2, page(number)), Ok(7));
        assert_eq!(both.world.load(2, page(8 + number)), Ok(7));
        both.world.store(2, 8, page(8 + number)).unwrap();
        assert_eq!(both.world.load(3, page(number)), Ok(7));
    }
    // One memory: rings have one page, and lose it together.
    assert_eq!(both.owner.copy(from, to, frames(4), CopyFlags::SHARED), Ok(4));
    assert_eq!(both.world.load(2, page(8)), Ok(7));
    both.world.store(2, 9, page(8)).unwrap();
    assert_eq!(both.world.load(3, page(0)), Ok(9));
    // A lease takes the owner's mappings away.
    let lease = both.borrower.lock(both.weak, at(0), frames(4), LockMode::Read, LONG).unwrap();
    assert_eq!(both.world.load(2, page(0)), Ok(9));
    both.borrower.unlock(lease.lease).unwrap();
    both.world.store(2, 10, page(0)).unwrap();
    assert_eq!(both.world.load(3, page(0)), Ok(10));
    assert_eq!(both.owner.renew(copies, at(0), frames(4)), Ok(4));
    assert_eq!(both.world.load(3, page(0)), Ok(10));
}

#[test]
fn a_mapping_that_cannot_be_paid_for_is_refused_when_it_is_made() {
    let world = World::with_policy();
    let mut pm = world.as_peer(2);
    let container = filled(&mut pm, 2);
    let account = pm.account_split(OWN, 3, LimitFlags::empty()).unwrap();
    pm.vspace_account(account).unwrap();
    let before = info(&mut pm, account);
    // A page table, a page of records and one of slots.
    assert_eq!(pm.map(container, at(0), frames(1), page(0), MapFlags::READ).unwrap().count, 1);
    let full = info(&mut pm, account);
    assert_eq!(full.used, full.limit, "{full:?}");
    pm.unmap(page(0), frames(1)).unwrap();
    assert_eq!(info(&mut pm, account), before);
    pm.vspace_account(OWN).unwrap();
    let smaller = pm.account_split(OWN, 2, LimitFlags::empty()).unwrap();
    pm.vspace_account(smaller).unwrap();
    let before = info(&mut pm, smaller);
    let refused = pm.map(container, at(0), frames(1), page(0), MapFlags::READ);
    assert_eq!(refusal(refused), Some(PmError::NoTableQuota));
    assert_eq!(info(&mut pm, smaller), before);
}

#[test]
fn a_mapping_whose_record_cannot_be_paid_for_takes_no_slot() {
    let world = World::with_policy();
    let mut pm = world.as_peer(2);
    let container = filled(&mut pm, 100);
    // A page table, and a page of records, which is full before that of slots is.
    let account = pm.account_split(OWN, 3, LimitFlags::empty()).unwrap();
    pm.vspace_account(account).unwrap();
    let before = info(&mut pm, account);
    let mut map =
        |number| pm.map(container, at(number), frames(1), page(2 * number), MapFlags::READ);
    let mapped = (0..100).take_while(|number| map(*number).is_ok()).count() as u64;
    assert!((10..99).contains(&mapped), "{mapped}");
    for _ in 0..200 {
        assert_eq!(refusal(map(mapped)), Some(PmError::NoTableQuota));
    }
    pm.unmap(page(0), frames(2 * mapped)).unwrap();
    assert_eq!(info(&mut pm, account), before);
}
