// SPDX-License-Identifier: BSD-2-Clause
//! Frames above the limit (protocol R12, R16; PM-34, PM-240, PM-241, PM-260; S33, S34).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{
    PAGE, Pm, World, allocate_all, at, count, failure, filled, frames, info, page, pages, peer,
    refusal,
};
use pmserver_api::{
    AccountHandle, AccountRights, AllocateFlags, CopyFlags, DeallocateFlags, FrameState,
    LimitFlags, MapFlags, PmError,
};

const OWN: AccountHandle = AccountHandle::OWN;
const POOL: AccountHandle = AccountHandle::POOL;
const PLAIN: AllocateFlags = AllocateFlags::empty();
const PARTIAL: AllocateFlags = AllocateFlags::PARTIAL;
const EXTRA: AllocateFlags = AllocateFlags::EXTRA;
const FREE: DeallocateFlags = DeallocateFlags::empty();
const MAY: LimitFlags = LimitFlags::EXTRA;
const EXCESS: LimitFlags = LimitFlags::EXTRA.union(LimitFlags::EXCESS);

fn extra(pm: &mut Pm) -> u64 {
    pages(info(pm, OWN).extra)
}

#[test]
fn extra_needs_to_be_asked_for_and_allowed() {
    // PM-34, S33
    let world = World::with_policy();
    let (mut pm, mut holder) = (world.as_peer(2), world.as_peer(4));
    let container = pm.container_create(OWN).unwrap();
    for flags in [EXTRA, EXTRA | PARTIAL] {
        let refused = failure(pm.allocate(container, at(0), frames(4), flags));
        assert_eq!((refused.error, refused.done), (PmError::NotEligible, 0));
    }
    let split = pm.account_split(OWN, 10, MAY);
    assert_eq!(refusal(split), Some(PmError::NotEligible));

    let container = holder.container_create(OWN).unwrap();
    let (all, refused) = allocate_all(&mut holder, container, PLAIN);
    assert_eq!(refused.error, PmError::QuotaExceeded, "however much memory is free");
    assert!(info(&mut world.as_peer(1), POOL).free.get() > 100 * PAGE);
    assert_eq!(holder.allocate(container, at(all), frames(150), EXTRA), Ok(150));
    let after = info(&mut holder, OWN);
    assert_eq!(after.used, after.limit);
    assert_eq!(pages(after.frames) + pages(after.extra), all + 150);
    let marked = count(&mut holder, container, all + 150, FrameState::EXTRA);
    assert_eq!(marked, pages(after.extra));
    assert!(marked >= 150, "and the records for them took room within the limit: {marked}");
}

#[test]
fn a_refused_extra_allocation_changes_nothing() {
    // PM-4, PM-31
    let world = World::with_policy();
    let mut holder = world.as_peer(4);
    let container = holder.container_create(OWN).unwrap();
    allocate_all(&mut holder, container, PLAIN);
    holder.allocate(container, at(900), frames(100), EXTRA).unwrap();
    let before = info(&mut holder, OWN);
    let refused = failure(holder.allocate(container, at(801), frames(100), EXTRA));
    assert_eq!((refused.error, refused.done, refused.at), (PmError::Exists, 0, 900));
    assert_eq!(info(&mut holder, OWN), before);
}

#[test]
fn which_frames_are_extra_is_for_their_owner_to_know() {
    // PM-34, PM-260: room that is freed within the limit can be used for other frames
    let world = World::with_policy();
    let mut holder = world.as_peer(4);
    let container = holder.container_create(OWN).unwrap();
    let (all, _) = allocate_all(&mut holder, container, PLAIN);
    holder.allocate(container, at(all), frames(20), EXTRA).unwrap();
    let before = extra(&mut holder);
    let mapped = holder.map(container, at(0), frames(1), page(0), MapFlags::READ);
    assert_eq!(refusal(mapped), Some(PmError::NoTableQuota));
    holder.deallocate(container, at(0), frames(5), FREE).unwrap();
    assert_eq!(extra(&mut holder), before);
    holder.map(container, at(9), frames(1), page(0), MapFlags::READ).unwrap();
    holder.deallocate(container, at(all), frames(20), FREE).unwrap();
    assert_eq!(extra(&mut holder), before - 20);
}

#[test]
fn extra_frames_become_guaranteed_by_a_move() {
    // PM-34, PM-162
    let world = World::with_policy();
    let mut holder = world.as_peer(4);
    let container = holder.container_create(OWN).unwrap();
    let (all, _) = allocate_all(&mut holder, container, PLAIN);
    holder.allocate(container, at(all), frames(5), EXTRA).unwrap();
    let before = extra(&mut holder);
    let flags = CopyFlags::MOVE | CopyFlags::NEW;
    let to = (container, at(5000));
    let moved = holder.copy((container, at(all)), to, frames(2), flags);
    assert_eq!(refusal(moved), Some(PmError::QuotaExceeded));
    holder.deallocate(container, at(0), frames(8), FREE).unwrap();
    holder.copy((container, at(all)), to, frames(2), flags).unwrap();
    assert_eq!(extra(&mut holder), before - 2);
    // A moved frame that replaces another takes the charge of the replaced one.
    let onto = (container, at(20));
    holder.copy((container, at(all + 2)), onto, frames(2), CopyFlags::MOVE).unwrap();
    assert_eq!(extra(&mut holder), before - 4);
    // If the ranges overlap, a frame that is moved to a freed number brings its own charge.
    let onto = (container, at(all - 2));
    holder.copy((container, at(all - 3)), onto, frames(2), CopyFlags::MOVE).unwrap();
}

#[test]
fn a_limit_below_use_makes_the_newest_extra() {
    // PM-240, PM-241, S34
    let world = World::with_policy();
    let (mut policy, mut holder) = (world.as_peer(1), world.as_peer(4));
    let of_holder = AccountHandle::of_peer(peer(4));
    let container = filled(&mut holder, 60);
    holder.map(container, at(0), frames(60), page(0), MapFlags::WRITE).unwrap();
    world.store(4, 9, page(59)).unwrap();
    let used = u32::try_from(pages(info(&mut holder, OWN).used)).unwrap();
    for (flags, error) in [
        (MAY, PmError::QuotaExceeded),
        (LimitFlags::EXCESS, PmError::Invalid),
        (LimitFlags::empty(), PmError::QuotaExceeded),
    ] {
        let set = policy.account_set_limits(of_holder, used - 20, flags);
        assert_eq!(refusal(set), Some(error));
    }
    let fixed = used - 60;
    let set = policy.account_set_limits(of_holder, fixed - 1, EXCESS);
    assert_eq!(refusal(set), Some(PmError::QuotaExceeded), "what is no frame has to fit");
    assert_eq!(extra(&mut holder), 0);
    policy.account_set_limits(of_holder, used - 20, EXCESS).unwrap();
    assert_eq!(extra(&mut holder), 20);
    assert_eq!(count(&mut holder, container, 40, FrameState::EXTRA), 0);
    assert_eq!(count(&mut holder, container, 60, FrameState::PRESENT), 60);
    assert_eq!(world.load(4, page(59)), Ok(9), "nothing is lost by it");
    let more = holder.allocate(container, at(60), frames(1), PLAIN);
    assert_eq!(refusal(more), Some(PmError::QuotaExceeded));
    let own = holder.account_set_limits(OWN, 10, EXCESS);
    assert_eq!(refusal(own), Some(PmError::NoRight));
    policy.account_set_limits(of_holder, fixed, EXCESS).unwrap();
    assert_eq!(extra(&mut holder), 60);
}

#[test]
fn who_may_set_a_limit_may_not_exceed_it_without_the_privilege() {
    // PM-231, PM-241: SET comes with splitting off or with a loan, EXCESS only with set_policy
    let world = World::with_policy();
    let (mut holder, mut borrower) = (world.as_peer(4), world.as_peer(2));
    let child = holder.account_split(OWN, 40, MAY).unwrap();
    let container = holder.container_create(child).unwrap();
    holder.allocate(container, at(0), frames(20), PLAIN).unwrap();
    let lent = holder.account_lend(child, peer(2), AccountRights::all()).unwrap();
    let before = info(&mut holder, child);
    for limit in [1, 10, 40, 41] {
        let refused = holder.account_set_limits(child, limit, EXCESS);
        assert_eq!(refusal(refused), Some(PmError::NoRight), "{limit}");
        let refused = borrower.account_set_limits(lent, limit, EXCESS);
        assert_eq!(refusal(refused), Some(PmError::NoRight), "{limit}");
    }
    assert_eq!(info(&mut holder, child), before);
    let mut policy = world.as_peer(1);
    let split = policy.account_split(POOL, 4, EXCESS);
    assert_eq!(refusal(split), Some(PmError::Invalid), "a new account exceeds nothing");
}

#[test]
fn lowering_a_limit_far_takes_steps() {
    // PM-241, D6
    let world = World::with_policy();
    let mut policy = world.as_peer(1);
    let account = policy.account_split(POOL, 330, MAY).unwrap();
    let container = policy.container_create(account).unwrap();
    allocate_all(&mut policy, container, PLAIN);
    // 37: account_set_limits.
    let message = proto::Message::new(37, [account.raw(), 20, 3]);
    let reply = world.raw(1, message);
    assert_eq!((reply.label(), reply.registers()), (PmError::Pending.status(), &[256, 0][..]));
    assert_eq!(pages(info(&mut policy, account).extra), 256);
    policy.account_set_limits(account, 20, EXCESS).unwrap();
    assert_eq!(pages(info(&mut policy, account).limit), 20);
}

#[test]
fn extra_frames_are_inherited_and_end_with_their_account() {
    // PM-235, PM-237, PM-240
    let world = World::with_policy();
    let mut holder = world.as_peer(4);
    let child = holder.account_split(OWN, 20, MAY).unwrap();
    let container = holder.container_create(child).unwrap();
    holder.allocate(container, at(0), frames(50), EXTRA).unwrap();
    let before = extra(&mut holder);
    assert!(before >= 30);
    holder.account_set_limits(child, 60, LimitFlags::empty()).unwrap();
    assert_eq!(extra(&mut holder), before, "what is there stays, allowed or not");
    let more = holder.allocate(container, at(50), frames(50), EXTRA);
    assert_eq!(refusal(more), Some(PmError::NotEligible));
    holder.account_remove(child).unwrap();
    assert_eq!(extra(&mut holder), before);
    let child = holder.account_split(OWN, 20, MAY).unwrap();
    let other = holder.container_create(child).unwrap();
    holder.allocate(other, at(0), frames(50), EXTRA).unwrap();
    holder.account_destroy(child).unwrap();
    assert_eq!(extra(&mut holder), before);
    holder.container_destroy(container).unwrap();
    assert_eq!(extra(&mut holder), 0);
    // An account without the right cannot pass it on, and losing it affects all accounts below.
    let child = holder.account_split(OWN, 20, MAY).unwrap();
    let of_holder = AccountHandle::of_peer(peer(4));
    world.as_peer(1).account_set_limits(of_holder, 128, LimitFlags::empty()).unwrap();
    let container = holder.container_create(child).unwrap();
    let refused = holder.allocate(container, at(0), frames(1), EXTRA);
    assert_eq!(refusal(refused), Some(PmError::NotEligible));
    let set = holder.account_set_limits(child, 20, MAY);
    assert_eq!(refusal(set), Some(PmError::NotEligible));
}
