// SPDX-License-Identifier: BSD-2-Clause
//! The end of accounts, and its effect on peers that use them (R17; PM-76,
//! PM-121, PM-235, PM-236, PM-238, PM-251; S25, S26, S38, S39, S40).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{PAGE, Pm, World, at, filled, frames, info, page, peer, refusal};
use pmserver_api::{
    AccessKind, AccountHandle, AccountRights, AllocateFlags, CallError, ContainerHandle, CopyFlags,
    LimitFlags, LockMode, MapFlags, PmError, Rights,
};
use pmserver_core::config::{PeerConfig, Privileges};
use pmserver_core::{Fault, FaultOutcome};
use proto::limits::{CALL_FRAMES_MAX, LEASE_MICROS_MAX};
use proto::{ByteCount, Console, Message, Micros};

const OWN: AccountHandle = AccountHandle::OWN;
const PLAIN: AllocateFlags = AllocateFlags::empty();
const NO_FLAGS: LimitFlags = LimitFlags::empty();
const LONG: Micros = Micros::new(LEASE_MICROS_MAX);
const WRITE_NOW: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);
const INVALID_CAP: Option<PmError> = Some(PmError::InvalidCap);
const NO_RIGHT: Option<PmError> = Some(PmError::NoRight);
const DESTROY: u64 = 35;
/// Peers whose accounts have more frames than one call frees.
const WEALTHY: [PeerConfig; 2] = [wealthy(2), wealthy(3)];

const fn wealthy(peer: u8) -> PeerConfig<'static> {
    let limit = ByteCount::new(6 << 20);
    PeerConfig { peer, name: "peer", limit, privileges: Privileges::empty() }
}

struct Quiet;
impl Console for Quiet {
    fn write(&mut self, _: &[u8]) {}
}

fn filled_from(pm: &mut Pm, account: AccountHandle, count: u64) -> ContainerHandle {
    let container = pm.container_create(account).unwrap();
    assert_eq!(pm.allocate(container, at(0), frames(count), PLAIN), Ok(count));
    container
}

fn stop(world: &World, number: u64) {
    let fault = Fault::Access { address: 0, kind: AccessKind::Read };
    let outcome = world.0.borrow_mut().fault(peer(number), fault, &mut Quiet);
    assert_eq!(outcome, FaultOutcome::Stopped);
    while world.as_peer(1).reclaim().unwrap() > 0 {}
    world.check();
}

/// Objects of every kind that an account can pay for, in an account with a child, used by two
/// peers.
fn inhabited(world: &World) -> (AccountHandle, ContainerHandle, [AccountHandle; 2]) {
    let (mut pm, mut other) = (world.as_peer(2), world.as_peer(3));
    let child = pm.account_split(OWN, 100, NO_FLAGS).unwrap();
    let grandchild = pm.account_split(child, 40, NO_FLAGS).unwrap();
    let lent = pm.account_lend(child, peer(3), AccountRights::all()).unwrap();
    other.vspace_account(lent).unwrap();
    let container = filled_from(&mut other, lent, 20);
    other.map(container, at(0), frames(10), page(0), WRITE_NOW).unwrap();
    other.map(container, at(0), frames(10), page(1024), MapFlags::READ).unwrap();
    other.attach(container, at(10), 10, page(2048), MapFlags::READ).unwrap();
    other.ensure_tables(page(9000), frames(1)).unwrap();
    other.grant(container, at(12), frames(2), MapFlags::READ).unwrap();
    world.store(3, 7, page(4)).unwrap();
    let below = filled_from(&mut pm, grandchild, 20);
    pm.map(below, at(0), frames(20), page(0), WRITE_NOW).unwrap();
    pm.set_handler(below, at(0), 4, Some(peer(3)), 1).unwrap();
    (child, container, [grandchild, lent])
}

#[test]
fn all_that_an_account_pays_for_goes_with_it_and_below_it() {
    // PM-235, S39, I4
    let world = World::with_policy();
    let (mut pm, mut other) = (world.as_peer(2), world.as_peer(3));
    let before = (info(&mut pm, OWN), info(&mut other, OWN));
    let (child, container, handles) = inhabited(&world);
    let shared = other.share(container, at(0), 20, peer(4), Rights::READ, LONG).unwrap();
    let mut borrower = world.as_peer(4);
    let borrower_before = info(&mut borrower, OWN);
    borrower.map(shared.weak, at(0), frames(5), page(0), MapFlags::READ).unwrap();
    assert_eq!(world.load(4, page(4)), Ok(7));

    pm.account_destroy(child).unwrap();
    assert_eq!((info(&mut pm, OWN), info(&mut other, OWN)), before);
    assert_eq!(info(&mut borrower, OWN), borrower_before);
    for number in 2..=4 {
        assert!(world.load(number, page(4)).is_err(), "whoever mapped it faults");
    }
    for handle in [child, handles[0], handles[1]] {
        assert_eq!(refusal(pm.account_info(handle)), INVALID_CAP);
        assert_eq!(refusal(other.container_create(handle)), INVALID_CAP);
        assert_eq!(refusal(pm.account_destroy(handle)), INVALID_CAP);
    }
    assert_eq!(refusal(other.allocate(container, at(99), frames(1), PLAIN)), INVALID_CAP);
    assert_eq!(
        refusal(borrower.map(shared.weak, at(0), frames(1), page(9), MapFlags::READ)),
        INVALID_CAP
    );
    // The parent can use what it had promised.
    pm.account_split(OWN, 100, NO_FLAGS).unwrap();
}

#[test]
fn a_loan_without_the_right_is_refused_until_the_account_is_gone() {
    // PM-235, PM-5: leaves go first
    for (all_above, all_below, refused) in [(200, 1, INVALID_CAP), (1, 200, NO_RIGHT)] {
        let world = World::with_peers(16 << 20, &WEALTHY);
        let (mut pm, mut other) = (world.as_peer(2), world.as_peer(3));
        let above = pm.account_split(OWN, 1000, NO_FLAGS).unwrap();
        let below = pm.account_split(above, 500, NO_FLAGS).unwrap();
        let lent = pm.account_lend(below, peer(3), AccountRights::ALLOCATE).unwrap();
        for (account, count) in [(above, all_above), (below, all_below)].repeat(2) {
            filled_from(&mut pm, account, count);
        }
        assert_eq!(refusal(other.account_destroy(lent)), NO_RIGHT);
        let first = world.raw(2, Message::new(DESTROY, [above.raw()]));
        assert_eq!(first.label(), PmError::Pending.status(), "there is more to free");
        assert_eq!(refusal(other.account_destroy(lent)), refused);
        pm.account_destroy(above).unwrap();
        assert_eq!(refusal(other.account_destroy(lent)), INVALID_CAP);
    }
}

#[test]
fn nothing_is_charged_to_an_account_that_is_being_destroyed() {
    // PM-235, PM-236, D6: disabled first, then in steps
    let world = World::with_policy();
    let (mut pm, mut other) = (world.as_peer(2), world.as_peer(3));
    let child = pm.account_split(OWN, 110, NO_FLAGS).unwrap();
    let lent = pm.account_lend(child, peer(3), AccountRights::all()).unwrap();
    let grandchild = pm.account_split(child, 20, NO_FLAGS).unwrap();
    other.vspace_account(lent).unwrap();
    let mut containers = Vec::new();
    for _ in 0..300 {
        containers.push(other.container_create(lent).unwrap());
    }
    let below = filled_from(&mut pm, grandchild, 4);
    let first = filled_from(&mut other, lent, 4);
    let reply = world.raw(2, Message::new(DESTROY, [child.raw()]));
    assert_eq!((reply.label(), reply.registers()), (PmError::Pending.status(), &[256, 0][..]));
    for handle in [child, grandchild] {
        assert_eq!(refusal(pm.account_info(handle)), INVALID_CAP);
        assert_eq!(refusal(pm.account_split(handle, 0, NO_FLAGS)), INVALID_CAP);
        assert_eq!(refusal(pm.account_remove(handle)), INVALID_CAP);
        let lend = pm.account_lend(handle, peer(4), AccountRights::READ);
        assert_eq!(refusal(lend), INVALID_CAP);
    }
    assert_eq!(refusal(pm.account_recall(lent)), INVALID_CAP);
    assert_eq!(refusal(other.container_create(lent)), INVALID_CAP);
    assert_eq!(refusal(pm.allocate(below, at(9), frames(1), PLAIN)), INVALID_CAP, "a leaf first");
    let more = refusal(other.allocate(first, at(9), frames(1), PLAIN));
    assert!([INVALID_CAP, Some(PmError::QuotaExceeded)].contains(&more), "{more:?}");
    // The object that was made first is reached last.
    let oldest = containers[0];
    let shared = other.share(oldest, at(0), 1, peer(2), Rights::READ, LONG);
    assert_eq!(refusal(shared), Some(PmError::QuotaExceeded), "not even where a cell is free");
    let own = filled(&mut other, 1);
    let mapped = refusal(other.map(own, at(0), frames(1), page(0), MapFlags::READ));
    assert_eq!(mapped, Some(PmError::NoTableQuota));
    // Any peer with the right can continue.
    other.account_destroy(lent).unwrap();
    assert_eq!(info(&mut pm, OWN).promised.get(), 0);
}

#[test]
fn destroying_is_bounded_and_reclaim_does_the_rest() {
    // PM-130, PM-236, D6
    let world = World::with_policy().unchecked();
    let mut pm = world.as_peer(2);
    let before = info(&mut pm, OWN);
    let child = pm.account_split(OWN, 44, NO_FLAGS).unwrap();
    filled_from(&mut pm, child, 5);
    let (mut last, mut accounts) = (child, 0);
    for limit in (4..24).rev().step_by(2) {
        last = pm.account_split(last, limit, NO_FLAGS).unwrap();
    }
    for parent in [child, last] {
        while pm.account_split(parent, 0, NO_FLAGS).is_ok() {
            accounts += 1;
        }
    }
    assert!(accounts > 600, "{accounts} accounts");
    world.check();
    let reply = world.raw(2, Message::new(DESTROY, [child.raw()]));
    assert_eq!(reply.label(), PmError::Pending.status());
    assert!(reply.registers()[0] <= CALL_FRAMES_MAX && reply.registers()[1] == 0);
    let mut steps = 0;
    while world.as_peer(3).reclaim().unwrap() > 0 {
        steps += 1;
    }
    assert!(steps >= 6, "{steps} steps of 64");
    assert_eq!(info(&mut pm, OWN), before);
    world.check();
}

#[test]
fn what_a_lease_keeps_is_freed_when_it_ends_and_the_rest_before() {
    // PM-236, S40
    let world = World::with_policy();
    let (mut pm, mut borrower) = (world.as_peer(2), world.as_peer(3));
    let before = info(&mut pm, OWN);
    let child = pm.account_split(OWN, 110, NO_FLAGS).unwrap();
    let grandchild = pm.account_split(child, 50, NO_FLAGS).unwrap();
    let container = filled_from(&mut pm, grandchild, 30);
    filled_from(&mut pm, child, 30);
    let shared = pm.share(container, at(0), 30, peer(3), Rights::all(), LONG).unwrap();
    let lease = borrower.lock(shared.weak, at(5), frames(2), LockMode::Read, LONG).unwrap();
    let destroyed = pm.account_destroy(child);
    let Err(CallError::Refused(failure)) = destroyed else { panic!("{destroyed:?}") };
    assert_eq!((failure.error, failure.at), (PmError::Pending, lease.deadline.get()));
    let kept = info(&mut pm, OWN);
    assert_eq!(kept.frames.get(), 2 * PAGE, "what no lease covers is gone");
    assert_eq!(kept.promised.get(), 110 * PAGE, "until nothing is left it stays promised");
    world.advance(LEASE_MICROS_MAX);
    assert_eq!(pm.account_destroy(child), Ok(()));
    assert_eq!(info(&mut pm, OWN), before);
}

#[test]
fn reclaim_ends_what_a_lease_kept() {
    // PM-130, PM-236
    let world = World::with_policy();
    let mut pm = world.as_peer(2);
    let before = info(&mut pm, OWN);
    let child = pm.account_split(OWN, 110, NO_FLAGS).unwrap();
    let container = filled_from(&mut pm, child, 3);
    pm.lock(container, at(0), frames(3), LockMode::Read, LONG).unwrap();
    assert_eq!(refusal(pm.account_destroy(child)), Some(PmError::Pending));
    assert_ne!(pm.reclaim(), Ok(0));
    world.advance(LEASE_MICROS_MAX);
    while world.as_peer(3).reclaim().unwrap() > 0 {}
    assert_eq!(info(&mut pm, OWN), before);
    assert_eq!(refusal(pm.account_destroy(child)), INVALID_CAP);
}

#[test]
fn leases_of_a_peer_end_with_its_own_account() {
    // PM-76, S18
    let world = World::with_policy();
    let (mut policy, mut pm, mut other) = (world.as_peer(1), world.as_peer(2), world.as_peer(3));
    let container = filled(&mut pm, 4);
    let shared = pm.share(container, at(0), 4, peer(3), Rights::all(), LONG).unwrap();
    other.lock(shared.weak, at(0), frames(4), LockMode::Exclusive, LONG).unwrap();
    pm.map(container, at(0), frames(1), page(0), WRITE_NOW).unwrap_err();
    policy.account_destroy(AccountHandle::of_peer(peer(3))).unwrap();
    pm.map(container, at(0), frames(1), page(0), WRITE_NOW).unwrap();
    for account in [OWN, AccountHandle::of_peer(peer(3))] {
        assert_eq!(refusal(other.account_info(account)), INVALID_CAP);
    }
    assert_eq!(refusal(policy.account_info(AccountHandle::of_peer(peer(3)))), INVALID_CAP);
    // The peer runs on, but can only use accounts that others lend it.
    let locked = other.lock(shared.weak, at(1), frames(1), LockMode::Read, LONG);
    assert_eq!(refusal(locked), Some(PmError::QuotaExceeded));
    let mapped = other.map(shared.weak, at(0), frames(1), page(0), MapFlags::READ);
    assert_eq!(refusal(mapped), Some(PmError::NoTableQuota));
    let account = pm.account_split(OWN, 20, NO_FLAGS).unwrap();
    let lent = pm.account_lend(account, peer(3), AccountRights::ALLOCATE).unwrap();
    other.vspace_account(lent).unwrap();
    other.map(shared.weak, at(0), frames(1), page(0), MapFlags::READ).unwrap();
    filled_from(&mut other, lent, 3);
}

#[test]
fn a_vspace_outlives_the_account_that_paid_for_it() {
    // PM-251, S38
    let world = World::with_policy();
    let (mut pm, mut other) = (world.as_peer(2), world.as_peer(3));
    let tables = pm.account_split(OWN, 40, NO_FLAGS).unwrap();
    let lent = pm.account_lend(tables, peer(3), AccountRights::ALLOCATE).unwrap();
    other.vspace_account(lent).unwrap();
    let container = filled(&mut other, 8);
    other.map(container, at(0), frames(8), page(0), MapFlags::WRITE).unwrap();
    world.store(3, 42, page(3)).unwrap();
    pm.account_destroy(tables).unwrap();
    assert!(world.load(3, page(3)).is_err());
    let mapped = other.map(container, at(0), frames(8), page(0), MapFlags::WRITE);
    assert_eq!(refusal(mapped), Some(PmError::NoTableQuota));
    other.vspace_account(OWN).unwrap();
    other.map(container, at(0), frames(8), page(0), MapFlags::WRITE).unwrap();
    assert_eq!(world.load(3, page(3)), Ok(42), "frames and contents are not affected");
}

#[test]
fn really_shared_frames_stay_with_the_other() {
    // PM-238, S25
    let world = World::with_policy();
    let mut pm = world.as_peer(2);
    let child = pm.account_split(OWN, 40, NO_FLAGS).unwrap();
    let (from, to) = (filled_from(&mut pm, child, 4), filled(&mut pm, 4));
    pm.copy((from, at(0)), (to, at(0)), frames(4), CopyFlags::SHARED).unwrap();
    pm.map(from, at(0), frames(4), page(0), WRITE_NOW).unwrap();
    pm.map(to, at(0), frames(4), page(16), WRITE_NOW).unwrap();
    world.store(2, 5, page(1)).unwrap();
    let charged = info(&mut pm, OWN).frames.get();
    pm.account_destroy(child).unwrap();
    assert_eq!(world.load(2, page(17)), Ok(5));
    world.store(2, 6, page(17)).unwrap();
    assert!(world.load(2, page(1)).is_err());
    assert_eq!(info(&mut pm, OWN).frames.get(), charged - 4 * PAGE);
}

#[test]
fn a_weak_holder_outlives_the_owner() {
    // S26
    let world = World::with_policy();
    let (mut pm, mut other) = (world.as_peer(2), world.as_peer(3));
    let container = filled(&mut pm, 4);
    let shared = pm.share(container, at(0), 4, peer(3), Rights::all(), LONG).unwrap();
    other.map(shared.weak, at(0), frames(4), page(0), WRITE_NOW).unwrap();
    let before = info(&mut other, OWN);
    world.as_peer(1).account_destroy(AccountHandle::of_peer(peer(2))).unwrap();
    assert!(world.load(3, page(0)).is_err());
    let mapped = other.map(shared.weak, at(0), frames(4), page(0), MapFlags::READ);
    assert_eq!(refusal(mapped), INVALID_CAP);
    assert!(info(&mut other, OWN).used < before.used, "its mappings are no cost any more");
    filled(&mut other, 1);
}

#[test]
fn containers_end_with_their_owner_in_whatever_account() {
    // PM-20, PM-121
    let world = World::with_policy();
    let (mut pm, mut doomed) = (world.as_peer(2), world.as_peer(3));
    let child = pm.account_split(OWN, 60, NO_FLAGS).unwrap();
    let lent = pm.account_lend(child, peer(3), AccountRights::ALLOCATE).unwrap();
    let before = info(&mut pm, child);
    let container = filled_from(&mut doomed, lent, 30);
    let stays = filled_from(&mut pm, child, 5);
    let shared = doomed.share(container, at(0), 30, peer(2), Rights::READ, LONG).unwrap();
    pm.account_recall(lent).unwrap();
    stop(&world, 3);
    let mapped = pm.map(shared.weak, at(0), frames(1), page(0), MapFlags::READ);
    assert_eq!(refusal(mapped), INVALID_CAP);
    assert_eq!(info(&mut pm, child).frames.get(), before.frames.get() + 5 * PAGE);
    pm.map(stays, at(0), frames(5), page(0), MapFlags::READ).unwrap();
    pm.account_destroy(child).unwrap();
}

#[test]
fn the_parent_pays_for_what_a_device_may_still_write_to() {
    // PM-235, PM-273: the pages of an expired pin cannot be freed, but the account must go
    let peers = [(1, Privileges::all()), (2, Privileges::DMA)].map(|(peer, privileges)| {
        PeerConfig { peer, name: "peer", limit: ByteCount::new(512 << 10), privileges }
    });
    let world = World::with_peers(4 << 20, &peers);
    let (mut policy, mut driver) = (world.as_peer(1), world.as_peer(2));
    let before = info(&mut policy, AccountHandle::POOL);
    let container = filled(&mut policy, 4);
    let shared = policy.share(container, at(0), 4, peer(2), Rights::all(), LONG).unwrap();
    let pin = driver.pin(shared.weak, at(0), frames(4), LockMode::Exclusive, LONG).unwrap();
    world.advance(LEASE_MICROS_MAX);
    policy.account_destroy(AccountHandle::of_peer(peer(2))).unwrap();
    policy.container_destroy(container).unwrap();
    let kept = info(&mut policy, AccountHandle::POOL);
    assert_eq!(kept.frames.get() - before.frames.get(), 4 * PAGE);
    driver.unlock(pin.lease.lease).unwrap();
    let after = info(&mut policy, AccountHandle::POOL);
    assert_eq!((after.frames, after.slots), (before.frames, before.slots));
    assert!(after.used <= before.used);
}

#[test]
fn whatever_the_kernel_refuses_nothing_is_lost_of_an_account() {
    // I1, I4: every call checks the invariants
    let mut n = 1;
    loop {
        let world = World::with_policy();
        let (mut pm, mut other) = (world.as_peer(2), world.as_peer(3));
        let before = (info(&mut pm, OWN), info(&mut other, OWN));
        let (child, ..) = inhabited(&world);
        world.fail_nth(Some(n));
        let first = pm.account_destroy(child);
        world.fail_nth(None);
        let refused = first.is_err();
        if refused {
            assert_eq!(refusal(first), Some(PmError::Kernel), "the {n}th invocation");
            pm.account_destroy(child).unwrap();
        }
        // A table that the kernel refused to remove goes with the next operation in its range.
        pm.unmap(page(0), frames(1)).unwrap();
        assert_eq!((info(&mut pm, OWN), info(&mut other, OWN)), before, "the {n}th invocation");
        n += 1;
        if !refused && n > 150 {
            break;
        }
    }
}

#[test]
fn what_a_lease_kept_of_a_container_is_freed_in_the_account_above() {
    // PM-61, PM-237: it was being destroyed when its account was removed
    let world = World::with_policy();
    let mut pm = world.as_peer(2);
    let before = info(&mut pm, OWN);
    let child = pm.account_split(OWN, 60, NO_FLAGS).unwrap();
    let container = filled_from(&mut pm, child, 20);
    let shared = pm.share(container, at(0), 20, peer(3), Rights::all(), LONG).unwrap();
    let mut borrower = world.as_peer(3);
    borrower.lock(shared.weak, at(0), frames(20), LockMode::Read, LONG).unwrap();
    assert_eq!(refusal(pm.container_destroy(container)), Some(PmError::Pending));
    pm.account_remove(child).unwrap();
    world.advance(LONG.get());
    for _ in 0..20 {
        pm.reclaim().unwrap();
    }
    assert_eq!(info(&mut pm, OWN), before);
}

#[test]
fn nothing_is_pinned_at_the_cost_of_an_account_that_is_being_destroyed() {
    // PM-235, PM-272
    let peers = [(1, Privileges::all()), (2, Privileges::DMA)].map(|(peer, privileges)| {
        PeerConfig { peer, name: "peer", limit: ByteCount::new(512 << 10), privileges }
    });
    let world = World::with_peers(4 << 20, &peers);
    let (mut policy, mut driver) = (world.as_peer(1), world.as_peer(2));
    let container = filled(&mut policy, 4);
    let shared = policy.share(container, at(0), 4, peer(2), Rights::all(), LONG).unwrap();
    let kept = filled(&mut driver, 1);
    let weak = driver.share(kept, at(0), 1, peer(1), Rights::all(), LONG).unwrap().weak;
    policy.lock(weak, at(0), frames(1), LockMode::Read, LONG).unwrap();
    let destroyed = policy.account_destroy(AccountHandle::of_peer(peer(2)));
    assert_eq!(refusal(destroyed), Some(PmError::Pending));
    let pin = driver.pin(shared.weak, at(0), frames(4), LockMode::Read, LONG);
    assert_eq!(refusal(pin), Some(PmError::QuotaExceeded));
}
