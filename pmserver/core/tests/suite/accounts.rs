// SPDX-License-Identifier: BSD-2-Clause
//! The tree of accounts: splitting, limits, lending, removing, and who pays for tables (protocol
//! O21, R16, R17, R25; PM-110 to PM-112, PM-230 to PM-251; S5, S35, S36, S41, S42, S49).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{PAGE, Pm, World, at, filled, frames, info, page, peer, refusal};
use pmserver_api::{
    AccountHandle, AccountInfo, AccountRights, AllocateFlags, CallError, ContainerHandle,
    DeallocateFlags, LimitFlags, MapFlags, PmError, Rights,
};
use proptest::prelude::*;
use proto::limits::{ACCOUNT_DEPTH_MAX, ACCOUNT_LOANS_MAX};
use proto::{Message, Micros, VirtAddr};

const OWN: AccountHandle = AccountHandle::OWN;
const PLAIN: AllocateFlags = AllocateFlags::empty();
const NO_FLAGS: LimitFlags = LimitFlags::empty();

fn used(pm: &mut Pm, account: AccountHandle) -> u64 {
    info(pm, account).used.get() / PAGE
}

fn filled_from(pm: &mut Pm, account: AccountHandle, count: u64) -> ContainerHandle {
    let container = pm.container_create(account).unwrap();
    assert_eq!(pm.allocate(container, at(0), frames(count), PLAIN), Ok(count));
    container
}

#[test]
fn a_charge_counts_in_all_accounts_above() {
    // PM-110, PM-230, PM-231
    let world = World::with_policy();
    let (mut pm, mut policy) = (world.as_peer(2), world.as_peer(1));
    let before = info(&mut policy, AccountHandle::POOL);
    let child = pm.account_split(OWN, 50, NO_FLAGS).unwrap();
    let grandchild = pm.account_split(child, 20, NO_FLAGS).unwrap();
    filled_from(&mut pm, grandchild, 12);
    let [own, of_child, of_grandchild] = [OWN, child, grandchild].map(|a| info(&mut pm, a));
    assert_eq!(of_grandchild.frames.get(), 12 * PAGE);
    assert_eq!((of_child.frames, own.frames), (of_grandchild.frames, of_grandchild.frames));
    assert_eq!(of_child.limit.get(), 50 * PAGE);
    assert_eq!((of_child.promised.get(), own.promised.get()), (20 * PAGE, 50 * PAGE));
    assert_eq!(own.free.get(), 0, "PM-111: of the pool alone");
    let kinds = own.frames.get() + own.tables.get() + own.slots.get() + own.records.get();
    assert_eq!(own.used.get(), kinds);
    let pool = info(&mut policy, AccountHandle::POOL);
    assert_eq!(pool.used.get() - before.used.get(), own.used.get());
    assert_eq!(pool.promised, before.promised, "what is promised by others is theirs");
}

#[test]
fn what_is_promised_cannot_be_used() {
    // PM-112, S42
    let world = World::with_policy();
    let mut pm = world.as_peer(2);
    let whole = info(&mut pm, OWN).limit.get() / PAGE;
    let child = pm.account_split(OWN, 100, NO_FLAGS).unwrap();
    let left = whole - 100 - used(&mut pm, OWN);
    let beyond = pm.account_split(OWN, u32::try_from(left + 1).unwrap(), NO_FLAGS);
    assert_eq!(refusal(beyond), Some(PmError::QuotaExceeded));
    assert_eq!(refusal(pm.account_split(OWN, u32::MAX, NO_FLAGS)), Some(PmError::QuotaExceeded));
    let container = pm.container_create(OWN).unwrap();
    let all = pm.allocate(container, at(0), frames(left + 1), AllocateFlags::PARTIAL);
    assert_eq!(refusal(all), Some(PmError::QuotaExceeded));
    assert_eq!(used(&mut pm, OWN), whole - 100);
    // Promised memory is available even if the parent is full.
    filled_from(&mut pm, child, 90);
}

#[test]
fn a_limit_is_between_what_is_used_and_what_the_parent_has() {
    // PM-240, S42
    let world = World::with_policy();
    let mut pm = world.as_peer(2);
    let child = pm.account_split(OWN, 50, NO_FLAGS).unwrap();
    let grandchild = pm.account_split(child, 20, NO_FLAGS).unwrap();
    filled_from(&mut pm, child, 10);
    let own = u32::try_from(used(&mut pm, child)).unwrap();
    let before = info(&mut pm, child);
    for limit in [own + 19, 0, u32::MAX] {
        let set = pm.account_set_limits(child, limit, NO_FLAGS);
        assert_eq!(refusal(set), Some(PmError::QuotaExceeded), "{limit}");
    }
    assert_eq!(info(&mut pm, child), before);
    pm.account_set_limits(child, own + 20, NO_FLAGS).unwrap();
    assert_eq!(info(&mut pm, OWN).promised.get(), u64::from(own + 20) * PAGE);
    let beyond = pm.account_set_limits(grandchild, 21, NO_FLAGS);
    assert_eq!(refusal(beyond), Some(PmError::QuotaExceeded));
    pm.account_set_limits(grandchild, 0, NO_FLAGS).unwrap();
    assert_eq!(refusal(pm.container_create(grandchild)), Some(PmError::QuotaExceeded));
}

#[test]
fn quota_says_how_far_it_came() {
    // S5
    let world = World::with_policy();
    let mut pm = world.as_peer(2);
    let child = pm.account_split(OWN, 40, NO_FLAGS).unwrap();
    let container = filled_from(&mut pm, child, 10);
    pm.deallocate(container, at(0), frames(9), DeallocateFlags::empty()).unwrap();
    let base = u32::try_from(used(&mut pm, child)).unwrap();
    for (room, flags, done) in
        [(4, PLAIN, 0), (4, AllocateFlags::PARTIAL, 4), (1, AllocateFlags::PARTIAL, 1)]
    {
        pm.account_set_limits(child, base + room, NO_FLAGS).unwrap();
        let result = pm.allocate(container, at(0), frames(9), flags);
        let Err(CallError::Refused(failure)) = result else { panic!("{result:?}") };
        assert_eq!(failure.error, PmError::QuotaExceeded);
        assert_eq!((failure.done, failure.at), (done, u64::from(room)));
        assert_eq!(used(&mut pm, child), u64::from(base) + done);
        pm.deallocate(container, at(0), frames(9), DeallocateFlags::empty()).unwrap();
    }
}

#[test]
fn a_handle_gives_what_its_rights_say_and_to_its_holder_alone() {
    // PM-5, PM-245, PM-246
    let world = World::with_policy();
    let (mut pm, mut other) = (world.as_peer(2), world.as_peer(3));
    let child = pm.account_split(OWN, 50, NO_FLAGS).unwrap();
    for handle in [child, AccountHandle::from_raw(child.raw() ^ 1)] {
        assert_eq!(refusal(other.account_info(handle)), Some(PmError::InvalidCap));
    }
    let all = AccountRights::all();
    for right in all {
        let lent = pm.account_lend(child, peer(3), all.difference(right)).unwrap();
        let refused = match right {
            AccountRights::ALLOCATE => refusal(other.container_create(lent)),
            AccountRights::READ => refusal(other.account_info(lent)),
            AccountRights::SET => refusal(other.account_set_limits(lent, 50, NO_FLAGS)),
            AccountRights::DESTROY => refusal(other.account_destroy(lent)),
            _ => refusal(other.account_remove(lent)),
        };
        assert_eq!(refused, Some(PmError::NoRight), "{right:?}");
        assert_eq!(refusal(pm.account_info(lent)), Some(PmError::InvalidCap), "not the lender's");
        pm.account_recall(lent).unwrap();
        assert_eq!(refusal(other.account_info(lent)), Some(PmError::InvalidCap));
        assert_eq!(refusal(pm.account_recall(lent)), Some(PmError::InvalidCap));
    }
    let lent = pm.account_lend(child, peer(3), AccountRights::ALLOCATE).unwrap();
    let container = filled_from(&mut other, lent, 5);
    let again = other.account_lend(lent, peer(1), AccountRights::ALLOCATE);
    assert_eq!(refusal(again), Some(PmError::NoRight), "who borrowed it does not lend it");
    assert_eq!(refusal(other.account_recall(lent)), Some(PmError::InvalidCap));
    pm.account_recall(lent).unwrap();
    assert_eq!(refusal(other.allocate(container, at(5), frames(5), PLAIN)), QUOTA);
    assert_eq!(info(&mut pm, child).frames.get(), 5 * PAGE, "what was made stays");
}

#[test]
fn lending_has_bounds() {
    // PM-245
    let world = World::with_policy();
    let mut pm = world.as_peer(2);
    let child = pm.account_split(OWN, 50, NO_FLAGS).unwrap();
    let rights = AccountRights::READ;
    for (to, rights) in [(2, rights), (9, rights), (3, AccountRights::empty())] {
        assert_eq!(refusal(pm.account_lend(child, peer(to), rights)), Some(PmError::Invalid));
    }
    let own = pm.account_lend(OWN, peer(3), rights);
    assert_eq!(refusal(own), Some(PmError::NoRight), "the peer that split it off");
    for _ in 0..ACCOUNT_LOANS_MAX {
        pm.account_lend(child, peer(3), rights).unwrap();
    }
    assert_eq!(refusal(pm.account_lend(child, peer(3), rights)), Some(PmError::TooMany));
}

#[test]
fn a_tree_of_accounts_is_only_so_deep() {
    // D6: a charge walks all accounts above
    let world = World::with_policy();
    let mut pm = world.as_peer(2);
    let mut account = OWN;
    // The pool's account and the peer's own count, too.
    for (_, limit) in (2..ACCOUNT_DEPTH_MAX).zip((0..100).rev().step_by(2)) {
        account = pm.account_split(account, limit, NO_FLAGS).unwrap();
    }
    assert_eq!(refusal(pm.account_split(account, 1, NO_FLAGS)), Some(PmError::TooMany));
}

#[test]
fn policy_is_for_the_peer_that_sets_it() {
    // PM-240, and the rights to accounts with small numbers
    let world = World::with_policy();
    let (mut policy, mut pm) = (world.as_peer(1), world.as_peer(2));
    let of_client = AccountHandle::of_peer(peer(2));
    policy.account_set_limits(of_client, 64, NO_FLAGS).unwrap();
    assert_eq!(info(&mut pm, OWN).limit.get(), 64 * PAGE);
    assert_eq!(refusal(policy.account_set_limits(of_client, 1 << 20, NO_FLAGS)), QUOTA);
    for account in [OWN, of_client, AccountHandle::of_peer(peer(3))] {
        let set = pm.account_set_limits(account, 32, NO_FLAGS);
        assert_eq!(refusal(set), Some(PmError::NoRight));
        assert_eq!(refusal(pm.account_destroy(account)), Some(PmError::NoRight));
        assert_eq!(refusal(policy.account_remove(account)), Some(PmError::NoRight));
    }
    assert_eq!(refusal(pm.account_split(AccountHandle::POOL, 1, NO_FLAGS)), NO_RIGHT);
    let account = policy.account_split(AccountHandle::POOL, 30, NO_FLAGS).unwrap();
    filled_from(&mut policy, account, 20);
    assert_eq!(refusal(policy.container_create(AccountHandle::POOL)), NO_RIGHT);
    assert_eq!(refusal(policy.account_destroy(AccountHandle::POOL)), NO_RIGHT);
    assert_eq!(refusal(policy.account_set_limits(AccountHandle::POOL, 1, NO_FLAGS)), NO_RIGHT);
    assert_eq!(refusal(policy.container_create(of_client)), NO_RIGHT);
    let absent = AccountHandle::of_peer(peer(9));
    assert_eq!(refusal(policy.account_info(absent)), Some(PmError::InvalidCap));
}

const QUOTA: Option<PmError> = Some(PmError::QuotaExceeded);
const NO_RIGHT: Option<PmError> = Some(PmError::NoRight);

#[test]
fn the_sum_of_all_limits_is_there() {
    // I2
    let world = World::with_policy();
    let mut policy = world.as_peer(1);
    let pool = info(&mut policy, AccountHandle::POOL);
    let peers: u64 = (1..=4)
        .map(|number| info(&mut policy, AccountHandle::of_peer(peer(number))).used.get())
        .sum();
    let own = pool.used.get() - peers;
    let spare = u32::try_from((pool.limit.get() - pool.promised.get() - own) / PAGE).unwrap();
    let beyond = policy.account_split(AccountHandle::POOL, spare + 1, NO_FLAGS);
    assert_eq!(refusal(beyond), QUOTA);
    policy.account_split(AccountHandle::POOL, spare - 1, NO_FLAGS).unwrap();
}

#[test]
fn a_parent_inherits_with_the_same_charges() {
    // PM-237, S41
    let world = World::with_policy();
    let (mut pm, mut other) = (world.as_peer(2), world.as_peer(3));
    let child = pm.account_split(OWN, 80, NO_FLAGS).unwrap();
    let grandchild = pm.account_split(child, 20, NO_FLAGS).unwrap();
    let of_grandchild = filled_from(&mut pm, grandchild, 7);
    let rights = AccountRights::ALLOCATE | AccountRights::READ;
    let lent = pm.account_lend(child, peer(3), rights).unwrap();
    let container = filled_from(&mut other, lent, 40);
    other.vspace_account(lent).unwrap();
    other.map(container, at(0), frames(40), page(0), MapFlags::WRITE).unwrap();
    other.map(container, at(0), frames(20), page(4096), MapFlags::WRITE).unwrap();
    world.store(3, 9, page(5)).unwrap();
    assert_eq!(refusal(other.account_remove(lent)), NO_RIGHT);

    let before = info(&mut pm, OWN);
    let of_child = info(&mut pm, child);
    pm.account_remove(child).unwrap();
    let after = info(&mut pm, OWN);
    let kinds = |info: &AccountInfo| [info.frames, info.tables, info.slots];
    assert_eq!(kinds(&after), kinds(&before), "no charge changes");
    assert!(before.records.get() - after.records.get() <= PAGE, "but that for the account itself");
    assert_eq!(after.promised.get(), 20 * PAGE);
    assert!(of_child.tables.get() > 0);
    for handle in [child, lent] {
        for pm in [&mut pm, &mut other] {
            assert_eq!(refusal(pm.account_info(handle)), Some(PmError::InvalidCap));
            assert_eq!(refusal(pm.container_create(handle)), Some(PmError::InvalidCap));
        }
    }
    // Ownership is unchanged, and owners can go on as before.
    assert_eq!(world.load(3, page(5)), Ok(9));
    assert_eq!(other.allocate(container, at(40), frames(8), PLAIN), Ok(8));
    assert_eq!(pm.allocate(of_grandchild, at(7), frames(8), PLAIN), Ok(8));
    assert_eq!(refusal(pm.allocate(container, at(99), frames(1), PLAIN)), INVALID_CAP);
    pm.account_destroy(grandchild).unwrap();
    other.container_destroy(container).unwrap();
    other.unmap(page(0), frames(256)).unwrap();
    let last = info(&mut pm, OWN);
    assert_eq!(kinds(&last), kinds(&AccountInfo::default()), "all that was inherited can go");
    assert_eq!(last.promised.get(), 0);
}

const INVALID_CAP: Option<PmError> = Some(PmError::InvalidCap);

#[test]
fn inheriting_takes_steps_and_the_books_are_right_between_them() {
    // PM-236, PM-237, D6
    let world = World::with_policy();
    let mut pm = world.as_peer(2);
    let child = pm.account_split(OWN, 100, NO_FLAGS).unwrap();
    let mut containers = Vec::new();
    for _ in 0..300 {
        containers.push(pm.container_create(child).unwrap());
    }
    filled_from(&mut pm, child, 60);
    let before = info(&mut pm, OWN);
    let reply = world.raw(2, Message::new(36, [child.raw()]));
    assert_eq!(reply.label(), PmError::Pending.status());
    assert_eq!(reply.registers(), [256, 0]);
    assert_eq!(refusal(pm.account_info(child)), INVALID_CAP);
    assert_eq!(info(&mut pm, OWN).promised.get(), 0, "it is the parent's at once");
    // Meanwhile everything works, in what was transferred already and in what was not.
    for container in [containers[0], containers[299]] {
        assert_eq!(pm.allocate(container, at(0), frames(5), PLAIN), Ok(5));
        pm.container_destroy(container).unwrap();
    }
    // Any peer's `reclaim` finishes it.
    while world.as_peer(3).reclaim().unwrap() > 0 {}
    assert_eq!(info(&mut pm, OWN).frames, before.frames);
    for container in &containers[1..299] {
        pm.container_destroy(*container).unwrap();
    }
    assert_eq!(info(&mut pm, OWN).frames.get(), 60 * PAGE);
}

#[test]
fn a_removed_account_can_be_its_childrens_and_its_parents_end() {
    // PM-235, PM-237: several removals at once, each unfinished
    let world = World::with_policy();
    let mut pm = world.as_peer(2);
    let before = info(&mut pm, OWN);
    let a = pm.account_split(OWN, 100, NO_FLAGS).unwrap();
    let b = pm.account_split(a, 60, NO_FLAGS).unwrap();
    let c = pm.account_split(b, 20, NO_FLAGS).unwrap();
    for _ in 0..300 {
        pm.container_create(b).unwrap();
    }
    let of_c = filled_from(&mut pm, c, 8);
    for account in [b, a] {
        let reply = world.raw(2, Message::new(36, [account.raw()]));
        assert_eq!(reply.label(), PmError::Pending.status(), "not to its end");
    }
    assert_eq!(pm.allocate(of_c, at(8), frames(8), PLAIN), Ok(8));
    assert_eq!(info(&mut pm, OWN).promised.get(), 20 * PAGE);
    let d = pm.account_split(OWN, 5, NO_FLAGS).unwrap();
    pm.account_destroy(c).unwrap();
    while pm.reclaim().unwrap() > 0 {}
    assert_eq!(info(&mut pm, OWN).frames.get(), 0);
    pm.account_destroy(d).unwrap();
    assert_eq!(info(&mut pm, OWN).promised, before.promised);
}

#[test]
fn tables_are_on_the_account_that_was_named_for_them() {
    // PM-250, R25, S35, S36
    let world = World::with_policy();
    let (mut pm, mut other) = (world.as_peer(2), world.as_peer(3));
    let account = pm.account_split(OWN, 60, NO_FLAGS).unwrap();
    let lent = pm.account_lend(account, peer(3), AccountRights::ALLOCATE).unwrap();
    let (before, frames_before) = (info(&mut pm, account), info(&mut other, OWN));
    other.vspace_account(lent).unwrap();
    let container = filled(&mut other, 64);
    let mut area = 0;
    let refused = loop {
        let vaddr = VirtAddr::new_page(0x4000_0000 + (area << 21)).unwrap();
        match other.map(container, at(area), frames(1), vaddr, MapFlags::READ) {
            Ok(_) => area += 1,
            Err(error) => break error.refusal(),
        }
    };
    assert_eq!(refused, Some(PmError::NoTableQuota));
    assert!(area > 50, "{area} leaf tables");
    assert!(info(&mut pm, account).tables.get() >= area * PAGE);
    assert_eq!(info(&mut other, OWN).tables, frames_before.tables);
    for area in 0..area {
        let vaddr = VirtAddr::new_page(0x4000_0000 + (area << 21)).unwrap();
        other.unmap(vaddr, frames(1)).unwrap();
    }
    let after = info(&mut pm, account);
    assert_eq!(after.used, before.used);
}

#[test]
fn who_pays_for_a_vspace_changes_only_while_it_is_empty() {
    // PM-250
    let world = World::with_policy();
    let mut pm = world.as_peer(2);
    let account = pm.account_split(OWN, 60, NO_FLAGS).unwrap();
    let container = filled(&mut pm, 4);
    pm.map(container, at(0), frames(2), page(3), MapFlags::READ).unwrap();
    let occupied = pm.vspace_account(account);
    let Err(CallError::Refused(failure)) = occupied else { panic!("{occupied:?}") };
    assert_eq!((failure.error, failure.at), (PmError::Occupied, page(3).get()));
    pm.unmap(page(0), frames(9)).unwrap();
    pm.ensure_tables(page(0), frames(1)).unwrap();
    let occupied = pm.vspace_account(account);
    let Err(CallError::Refused(failure)) = occupied else { panic!("{occupied:?}") };
    assert_eq!((failure.error, failure.at), (PmError::Occupied, 0));
    pm.unmap(page(0), frames(1)).unwrap();
    pm.attach(container, at(0), 4, page(0), MapFlags::READ).unwrap();
    assert_eq!(refusal(pm.vspace_account(account)), Some(PmError::Occupied));
    pm.detach(page(0)).unwrap();
    pm.vspace_account(account).unwrap();
    assert_eq!(refusal(pm.vspace_account(AccountHandle::POOL)), NO_RIGHT);
}

#[test]
fn one_that_exhausts_its_account_is_alone_with_that() {
    // S49
    let world = World::with_policy().unchecked();
    let (mut hostile, mut other) = (world.as_peer(2), world.as_peer(3));
    let mut policy = world.as_peer(1);
    policy.account_set_limits(AccountHandle::of_peer(peer(2)), 20, NO_FLAGS).unwrap();
    let mut account = OWN;
    let mut made = 0;
    loop {
        let split = hostile.account_split(account, 0, NO_FLAGS);
        made += u32::from(split.is_ok());
        match refusal(split) {
            None => {}
            Some(PmError::TooMany) => account = OWN,
            error => {
                assert_eq!(error, QUOTA);
                break;
            }
        }
    }
    assert!(made > 600, "{made} accounts");
    world.check();
    let container = filled(&mut other, 100);
    let shared = other.share(container, at(0), 9, peer(2), Rights::READ, Micros::new(1)).unwrap();
    assert_eq!(refusal(hostile.container_create(OWN)), QUOTA);
    assert_eq!(other.unshare(shared.share), Ok(()));
    policy.account_destroy(AccountHandle::of_peer(peer(2))).unwrap();
    world.check();
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Split(usize, u32),
    Limit(usize, u32),
    Make(usize, u64),
    Free(usize),
    Remove(usize),
    Destroy(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let pick = 0usize..16;
    prop_oneof![
        3 => (pick.clone(), 0u32..40).prop_map(|(of, limit)| Step::Split(of, limit)),
        2 => (pick.clone(), 0u32..60).prop_map(|(of, limit)| Step::Limit(of, limit)),
        4 => (pick.clone(), 1u64..12).prop_map(|(of, count)| Step::Make(of, count)),
        2 => pick.clone().prop_map(Step::Free),
        1 => pick.clone().prop_map(Step::Remove),
        1 => pick.prop_map(Step::Destroy),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Random operations on a tree of accounts: the invariants hold after each call, and destroying
    /// the tree returns every counter to its first value (I4).
    #[test]
    fn a_tree_of_accounts_leaves_nothing_behind(steps in prop::collection::vec(step(), 1..80)) {
        let world = World::with_policy();
        let mut pm = world.as_peer(2);
        let before = info(&mut pm, OWN);
        let root = pm.account_split(OWN, 120, NO_FLAGS).unwrap();
        let mut accounts = vec![root];
        let mut containers = Vec::new();
        for step in steps {
            let account = |of: usize| accounts[of % accounts.len()];
            match step {
                Step::Split(of, limit) => {
                    accounts.extend(pm.account_split(account(of), limit, NO_FLAGS));
                }
                Step::Limit(of, limit) => {
                    let _ = pm.account_set_limits(account(of), limit, NO_FLAGS);
                }
                Step::Make(of, count) => {
                    if let Ok(container) = pm.container_create(account(of)) {
                        let flags = AllocateFlags::PARTIAL;
                        let _ = pm.allocate(container, at(0), frames(count), flags);
                        containers.push(container);
                    }
                }
                Step::Free(of) if !containers.is_empty() => {
                    let _ = pm.container_destroy(containers.swap_remove(of % containers.len()));
                }
                Step::Free(_) => {}
                Step::Remove(of) if account(of) != root => {
                    let _ = pm.account_remove(account(of));
                }
                Step::Remove(_) => {}
                Step::Destroy(of) if account(of) != root => {
                    let _ = pm.account_destroy(account(of));
                }
                Step::Destroy(_) => {}
            }
        }
        pm.account_destroy(root).unwrap();
        prop_assert_eq!(info(&mut pm, OWN), before);
    }
}

#[test]
fn a_part_of_an_allocation_anywhere_is_a_success_that_says_where_it_is() {
    // PM-150
    let world = World::with_policy();
    let mut pm = world.as_peer(2);
    let account = pm.account_split(OWN, 12, NO_FLAGS).unwrap();
    let container = filled_from(&mut pm, account, 4);
    let partial = AllocateFlags::PARTIAL;
    assert_eq!(refusal(pm.allocate_anywhere(container, frames(20), PLAIN)), QUOTA);
    let placed = pm.allocate_anywhere(container, frames(20), partial).unwrap();
    assert!(placed.count > 0 && placed.count < 20, "{placed:?}");
    assert_eq!(
        pm.map(container, placed.start, frames(placed.count), page(0), MapFlags::READ)
            .unwrap()
            .count,
        placed.count
    );
    assert_eq!(refusal(pm.allocate_anywhere(container, frames(20), partial)), QUOTA);
}
