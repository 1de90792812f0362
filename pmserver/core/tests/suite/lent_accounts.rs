// SPDX-License-Identifier: BSD-2-Clause
//! The limit that was lent bounds what is charged, at every moment and by every path, also after
//! the account was removed or recalled (PM-237, PM-246, PM-341).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{
    Pm, World, allocate_all, at, equal_peers, filled, frames, info, page, pages, peer, refusal,
};
use pmserver_api::{
    AccountHandle, AccountRights, AllocateFlags, CallError, ContainerHandle, CopyFlags,
    DeallocateFlags, LimitFlags, MapFlags, PmError, Rights,
};
use pmserver_core::config::Privileges;
use proto::{ByteCount, Micros};

const OWN: AccountHandle = AccountHandle::OWN;
const POOL: AccountHandle = AccountHandle::POOL;
const PLAIN: AllocateFlags = AllocateFlags::empty();
const FREE: DeallocateFlags = DeallocateFlags::empty();
const NONE: LimitFlags = LimitFlags::empty();
const LONG: Micros = Micros::new(1_000_000);

/// Peer 3 has a container and its VSpace in an account that peer 2 has lent to it.
struct Lent {
    world: World,
    lender: Pm,
    borrower: Pm,
    account: AccountHandle,
    lent: AccountHandle,
    container: ContainerHandle,
}

fn lent(limit: u32) -> Lent {
    let world = World::with_policy();
    let (mut lender, mut borrower) = (world.as_peer(2), world.as_peer(3));
    let account = lender.account_split(OWN, limit, NONE).unwrap();
    let lent = lender.account_lend(account, peer(3), AccountRights::ALLOCATE).unwrap();
    let container = borrower.container_create(lent).unwrap();
    borrower.vspace_account(lent).unwrap();
    Lent { world, lender, borrower, account, lent, container }
}

/// Tries everything that charges a container or the VSpace of the borrower.
fn charges_nothing(lent: &mut Lent) {
    let before = info(&mut lent.lender, OWN);
    let borrower = &mut lent.borrower;
    let own = filled(borrower, 4);
    let quota = Some(PmError::QuotaExceeded);
    for flags in [PLAIN, AllocateFlags::PARTIAL] {
        let refused = borrower.allocate(lent.container, at(100), frames(4), flags);
        assert_eq!(refusal(refused), quota);
    }
    assert_eq!(refusal(borrower.allocate_anywhere(lent.container, frames(1), PLAIN)), quota);
    for flags in
        [CopyFlags::NEW, CopyFlags::NEW | CopyFlags::MOVE, CopyFlags::NEW | CopyFlags::SHARED]
    {
        let refused = borrower.copy((own, at(0)), (lent.container, at(200)), frames(1), flags);
        assert_eq!(refusal(refused), quota, "{flags:?}");
    }
    let refused = borrower.share(lent.container, at(0), 1, peer(2), Rights::READ, LONG);
    assert_eq!(refusal(refused), quota);
    let refused = borrower.set_handler(lent.container, at(500), 1, Some(peer(2)), 0);
    assert_eq!(refusal(refused), quota);
    let tables = Some(PmError::NoTableQuota);
    let refused = borrower.map(own, at(0), frames(1), page(600), MapFlags::READ);
    assert_eq!(refusal(refused), tables);
    assert_eq!(refusal(borrower.ensure_tables(page(5000), frames(1))), tables);
    let refused = borrower.attach(own, at(0), 4, page(700), MapFlags::READ);
    assert_eq!(refusal(refused), tables);
    assert_eq!(refusal(borrower.grant(own, at(0), frames(1), MapFlags::READ)), tables);
    assert_eq!(info(&mut lent.lender, OWN), before);
}

#[test]
fn a_removed_account_does_not_give_the_borrower_the_one_above() {
    let mut lent = lent(8);
    lent.borrower.allocate(lent.container, at(0), frames(2), PLAIN).unwrap();
    let mapped = lent.borrower.map(lent.container, at(0), frames(1), page(0), MapFlags::WRITE);
    mapped.unwrap();
    let before = info(&mut lent.lender, lent.account);
    let own = info(&mut lent.lender, OWN);
    lent.lender.account_remove(lent.account).unwrap();
    let after = info(&mut lent.lender, OWN);
    assert!(pages(after.used) <= pages(own.used), "no charge changes");
    // What was left of the limit can be charged, by whatever path, and freed and charged again no
    // further.
    let left = pages(before.limit) - pages(before.used);
    assert!(left > 1);
    let mut quiet = lent.world.clone().unchecked().as_peer(3);
    let refused = quiet.allocate(lent.container, at(10), frames(left + 1), PLAIN);
    assert_eq!(refusal(refused), Some(PmError::QuotaExceeded), "all or nothing");
    assert_eq!(info(&mut lent.lender, OWN), after);
    assert_eq!(quiet.allocate(lent.container, at(10), frames(left), PLAIN), Ok(left));
    assert_eq!(pages(info(&mut lent.lender, OWN).used), pages(after.used) + left);
    charges_nothing(&mut lent);
    // What is there stays, and can be given back.
    lent.world.store(3, 1, page(0)).unwrap();
    assert_eq!(lent.borrower.unmap(page(0), frames(1)), Ok(1));
    assert_eq!(lent.borrower.deallocate(lent.container, at(0), frames(20), FREE), Ok(2 + left));
    charges_nothing(&mut lent);
    lent.borrower.container_destroy(lent.container).unwrap();
    lent.borrower.vspace_account(OWN).unwrap();
    let own = filled(&mut lent.borrower, 1);
    lent.borrower.map(own, at(0), frames(1), page(0), MapFlags::WRITE).unwrap();
}

#[test]
fn several_borrowers_of_a_removed_account_have_its_limit_together() {
    let mut lent = lent(20);
    let mut third = lent.world.as_peer(4);
    let also = lent.lender.account_lend(lent.account, peer(4), AccountRights::ALLOCATE).unwrap();
    let theirs = third.container_create(also).unwrap();
    lent.lender.account_remove(lent.account).unwrap();
    let quiet = lent.world.clone().unchecked();
    let mut taken = 0;
    for (number, container) in [(3, lent.container), (4, theirs)] {
        let (end, _) = allocate_all(&mut quiet.as_peer(number), container, PLAIN);
        assert!(end > 0);
        taken += end;
    }
    assert!(taken <= 20, "{taken}");
    lent.world.check();
}

#[test]
fn two_removals_leave_no_more_than_each_limit() {
    let world = World::with_policy();
    let (mut pm, mut borrower) = (world.as_peer(2), world.as_peer(3));
    let above = pm.account_split(OWN, 10, NONE).unwrap();
    let below = pm.account_split(above, 4, NONE).unwrap();
    let lent = pm.account_lend(below, peer(3), AccountRights::ALLOCATE).unwrap();
    let container = borrower.container_create(lent).unwrap();
    pm.account_remove(below).unwrap();
    pm.account_remove(above).unwrap();
    let (end, _) = allocate_all(&mut world.clone().unchecked().as_peer(3), container, PLAIN);
    assert!((1..4).contains(&end), "{end}");
    let again = borrower.allocate(container, at(99), frames(1), PLAIN);
    assert_eq!(refusal(again), Some(PmError::QuotaExceeded));
}

#[test]
fn what_is_left_is_spent_as_far_as_it_goes() {
    // PM-31, PM-341: it pays for pages of records, too, so not for as many frames as it has pages.
    let peers = equal_peers::<3>(ByteCount::new(12 << 20), Privileges::READ_ACCOUNTS);
    for left in 2..120 {
        let world = World::with_peers(64 << 20, &peers);
        let (mut pm, mut borrower) = (world.as_peer(2), world.as_peer(3));
        let above = pm.account_split(OWN, 300, NONE).unwrap();
        let below = pm.account_split(above, 200, NONE).unwrap();
        let lent = pm.account_lend(below, peer(3), AccountRights::ALLOCATE).unwrap();
        let container = borrower.container_create(lent).unwrap();
        let used = u32::try_from(pages(info(&mut pm, below).used)).unwrap();
        let left_over = u32::try_from(left).unwrap();
        pm.account_set_limits(below, used + left_over, NONE).unwrap();
        pm.account_remove(below).unwrap();
        let made = match borrower.allocate(container, at(0), frames(left), AllocateFlags::PARTIAL) {
            Err(CallError::Refused(failure)) => failure.done,
            made => made.unwrap(),
        };
        assert!(made + 4 >= left && made > 0, "{left}: {made}");
    }
}

#[test]
fn a_recalled_account_is_charged_nothing_new_for_its_borrower() {
    let mut lent = lent(40);
    lent.borrower.allocate(lent.container, at(0), frames(2), PLAIN).unwrap();
    let mapped = lent.borrower.map(lent.container, at(0), frames(2), page(0), MapFlags::WRITE);
    mapped.unwrap();
    lent.lender.account_recall(lent.lent).unwrap();
    charges_nothing(&mut lent);
    lent.world.store(3, 1, page(0)).unwrap();
    assert_eq!(lent.world.load(3, page(1)), Ok(0));
    // Lent again, it is charged again; without ALLOCATE it is not.
    let read = lent.lender.account_lend(lent.account, peer(3), AccountRights::READ).unwrap();
    charges_nothing(&mut lent);
    lent.lender.account_recall(read).unwrap();
    lent.lender.account_lend(lent.account, peer(3), AccountRights::ALLOCATE).unwrap();
    assert_eq!(lent.borrower.allocate(lent.container, at(9), frames(1), PLAIN), Ok(1));
    let container = lent.container;
    lent.borrower.map(container, at(9), frames(1), page(9), MapFlags::READ).unwrap();
}

#[test]
fn a_touch_in_a_region_charges_nothing_after_the_recall() {
    let mut lent = lent(40);
    lent.borrower.allocate(lent.container, at(0), frames(2), PLAIN).unwrap();
    lent.borrower.attach(lent.container, at(0), 2, page(0), MapFlags::WRITE).unwrap();
    lent.world.store(3, 1, page(0)).unwrap();
    lent.lender.account_recall(lent.lent).unwrap();
    let before = info(&mut lent.lender, lent.account);
    lent.world.store(3, 1, page(0)).unwrap();
    assert!(lent.world.store(3, 1, page(1)).is_err());
    assert_eq!(info(&mut lent.lender, lent.account), before);
}

#[test]
fn an_account_below_a_removed_one_keeps_its_limit_and_no_more() {
    let mut lent = lent(40);
    let below = lent.borrower.account_split(lent.lent, 8, NONE).unwrap();
    let container = lent.borrower.container_create(below).unwrap();
    lent.lender.account_remove(lent.account).unwrap();
    let mut quiet = lent.world.clone().unchecked().as_peer(3);
    let (end, failure) = allocate_all(&mut quiet, container, PLAIN);
    assert_eq!(failure.error, PmError::QuotaExceeded);
    assert!((1..8).contains(&end), "{end}");
    // Its own account removed, there is what is left of the first, and no more.
    lent.borrower.account_remove(below).unwrap();
    let (more, failure) = allocate_all(&mut quiet, lent.container, PLAIN);
    assert_eq!(failure.error, PmError::QuotaExceeded);
    assert!(end + more < 40, "{end} and {more}");
    charges_nothing(&mut lent);
    lent.world.check();
}

#[test]
fn removing_its_own_account_leaves_the_owner_what_it_may_use_itself() {
    let world = World::with_policy();
    let mut pm = world.as_peer(2);
    let account = pm.account_split(OWN, 4, NONE).unwrap();
    let container = pm.container_create(account).unwrap();
    pm.account_remove(account).unwrap();
    assert_eq!(pm.allocate(container, at(0), frames(20), PLAIN), Ok(20));
    // The peer that splits accounts off the pool may not use the pool itself.
    let mut policy = world.as_peer(1);
    let account = policy.account_split(POOL, 4, NONE).unwrap();
    let container = policy.container_create(account).unwrap();
    policy.account_remove(account).unwrap();
    let refused = policy.allocate(container, at(0), frames(20), PLAIN);
    assert_eq!(refusal(refused), Some(PmError::QuotaExceeded));
}

#[test]
fn what_is_left_is_spent_within_a_call_too() {
    // PM-341: some calls need a page for a frame and one for its record, where one page is left
    for left in 1..80 {
        let mut lent = lent(100);
        let used = info(&mut lent.lender, lent.account).used;
        let limit = u32::try_from(pages(used) + left).unwrap();
        lent.lender.account_set_limits(lent.account, limit, NONE).unwrap();
        lent.lender.account_remove(lent.account).unwrap();
        let before = pages(info(&mut lent.lender, OWN).used);
        let mut quiet = lent.world.clone().unchecked().as_peer(3);
        let (_, failure) = allocate_all(&mut quiet, lent.container, PLAIN);
        assert_eq!(failure.error, PmError::QuotaExceeded);
        let after = pages(info(&mut lent.lender, OWN).used);
        assert!(after <= before + left, "{left}: {before}, {after}");
    }
}

#[test]
fn what_two_accounts_leave_adds_up() {
    // PM-341
    let mut first = lent(8);
    let second = first.lender.account_split(OWN, 6, NONE).unwrap();
    first.lender.account_lend(second, peer(3), AccountRights::ALLOCATE).unwrap();
    let left: u64 = [first.account, second]
        .map(|account| info(&mut first.lender, account))
        .map(|info| pages(info.limit) - pages(info.used))
        .iter()
        .sum();
    first.lender.account_remove(first.account).unwrap();
    first.lender.account_remove(second).unwrap();
    let before = pages(info(&mut first.lender, OWN).used);
    let mut quiet = first.world.clone().unchecked().as_peer(3);
    let (_, failure) = allocate_all(&mut quiet, first.container, PLAIN);
    assert_eq!(failure.error, PmError::QuotaExceeded);
    assert_eq!(pages(info(&mut first.lender, OWN).used), before + left);
}

#[test]
fn of_more_rests_than_four_the_smallest_goes() {
    // PM-341
    let world = World::with_policy();
    let (mut pm, mut borrower) = (world.as_peer(2), world.as_peer(3));
    let sizes = [9, 5, 12, 7, 8];
    let containers = sizes.map(|size| {
        let above = pm.account_split(OWN, size + 4, NONE).unwrap();
        let below = pm.account_split(above, size, NONE).unwrap();
        let lent = pm.account_lend(below, peer(3), AccountRights::ALLOCATE).unwrap();
        let container = borrower.container_create(lent).unwrap();
        pm.account_remove(below).unwrap();
        container
    });
    let charged = containers
        .map(|container| borrower.allocate(container, at(0), frames(1), PLAIN))
        .map(|allocated| allocated.is_ok());
    assert_eq!(charged, [true, false, true, true, true]);
}

/// Has peer 2 split an account for peer 3 off another that it has split off, with a container of
/// peer 3, and remove it: the account above, and the container.
fn left_below(world: &World, limit: u32, above: u32) -> (AccountHandle, ContainerHandle) {
    let (mut pm, mut borrower) = (world.as_peer(2), world.as_peer(3));
    let above = pm.account_split(OWN, above, NONE).unwrap();
    let below = pm.account_split(above, limit, NONE).unwrap();
    let lent = pm.account_lend(below, peer(3), AccountRights::ALLOCATE).unwrap();
    let container = borrower.container_create(lent).unwrap();
    pm.account_remove(below).unwrap();
    (above, container)
}

/// Returns how many frames peer 3 can have in a container.
fn can_have(world: &World, container: ContainerHandle) -> u64 {
    let (count, failure) = allocate_all(&mut world.as_peer(3), container, PLAIN);
    assert_eq!(failure.error, PmError::QuotaExceeded);
    count
}

#[test]
fn what_is_charged_to_one_account_spends_nothing_of_another() {
    // PM-341
    let world = World::with_policy();
    let (_, first) = left_below(&world, 9, 20);
    let (_, second) = left_below(&world, 9, 20);
    let count = can_have(&world, first);
    assert!(count > 3);
    assert_eq!(can_have(&world, second), count);
}

#[test]
fn what_was_left_of_an_account_that_is_gone_is_nothing_of_the_next() {
    // PM-341: its records are used for an account that is nobody's but the lender's.
    let mut lent = lent(8);
    let (world, lender) = (&lent.world, &mut lent.lender);
    let (above, _) = left_below(world, 5, 20);
    lender.account_destroy(above).unwrap();
    while lender.reclaim().unwrap() > 0 {}
    let next = lender.account_split(OWN, 9, NONE).unwrap();
    let info = info(lender, lent.account);
    lender.account_remove(lent.account).unwrap();
    lender.account_remove(next).unwrap();
    assert_eq!(can_have(world, lent.container), pages(info.limit) - pages(info.used));
}

#[test]
fn what_is_left_twice_is_no_more_than_what_was_left_last() {
    // PM-341: the account above has less room by then than the one below had left.
    let world = World::with_policy();
    let mut pm = world.as_peer(2);
    let (above, container) = left_below(&world, 9, 20);
    let ballast = pm.container_create(above).unwrap();
    let room = |pm: &mut Pm| {
        let info = info(pm, above);
        pages(info.limit) - pages(info.used)
    };
    let count = room(&mut pm) - 2;
    pm.allocate(ballast, at(0), frames(count), PLAIN).unwrap();
    assert_eq!(room(&mut pm), 2);
    pm.account_remove(above).unwrap();
    assert_eq!(can_have(&world, container), 2);
}

#[test]
fn an_account_that_is_destroyed_leaves_its_borrowers_nothing() {
    // PM-235, PM-341
    for destroyed in [false, true] {
        let mut lent = lent(8);
        let (lender, account) = (&mut lent.lender, lent.account);
        let info = info(lender, account);
        let left = pages(info.limit) - pages(info.used);
        let second = lender.account_split(OWN, 6, NONE).unwrap();
        lender.account_lend(second, peer(3), AccountRights::ALLOCATE).unwrap();
        lender.account_remove(account).unwrap();
        if destroyed {
            lender.account_destroy(second).unwrap();
        }
        assert_eq!(can_have(&lent.world, lent.container), left);
    }
}

#[test]
fn the_account_above_gets_what_grants_of_the_borrower_cost() {
    // PM-237: with the same charges, and they are refunded to it.
    let mut lent = lent(12);
    lent.borrower.allocate(lent.container, at(0), frames(2), PLAIN).unwrap();
    let before = info(&mut lent.lender, lent.account);
    let granted = lent.borrower.grant(lent.container, at(0), frames(2), MapFlags::READ).unwrap();
    let after = info(&mut lent.lender, lent.account);
    let cost = pages(after.used) - pages(before.used);
    assert!(cost > 0);
    lent.lender.account_remove(lent.account).unwrap();
    let used = pages(info(&mut lent.lender, OWN).used);
    assert_eq!(lent.borrower.ungrant(granted.address, frames(2)), Ok(2));
    assert_eq!(pages(info(&mut lent.lender, OWN).used), used - cost);
}
