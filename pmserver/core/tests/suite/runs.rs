// SPDX-License-Identifier: BSD-2-Clause
//! Runs: many frames in one record, for as long as nothing happens to one of them (decision 0037).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{
    World, allocate_all, at, count, failure, frames, info, page, pages, peer, states,
};
use pmserver_api::{
    AccountHandle, AllocateFlags, CopyFlags, DeallocateFlags, FrameState, LimitFlags, LockMode,
    MapFlags, Marks, PmError, Rights,
};
use pmserver_core::config::{PeerConfig, Privileges};
use proto::{ByteCount, Micros};

const OWN: AccountHandle = AccountHandle::OWN;
const PLAIN: AllocateFlags = AllocateFlags::empty();
const HOLES: DeallocateFlags = DeallocateFlags::empty();
const LONG: Micros = Micros::new(1_000_000);

/// A world in which peers may have 1,024 pages each, and peer 1 sets limits.
fn roomy() -> World {
    let policy = Privileges::SET_POLICY | Privileges::READ_ACCOUNTS;
    let privileges = [(1, policy), (2, Privileges::EXTRA), (3, Privileges::empty())];
    let limit = ByteCount::new(4 << 20);
    let peers =
        privileges.map(|(peer, privileges)| PeerConfig { peer, name: "peer", limit, privileges });
    World::with_peers(16 << 20, &peers)
}

#[test]
fn many_frames_take_as_little_work_as_few() {
    let world = roomy();
    let mut pm = world.as_peer(2);
    let container = pm.container_create(OWN).unwrap();
    // The first one takes pages for records and counts.
    pm.allocate(container, at(0), frames(1), PLAIN).unwrap();
    let before = info(&mut pm, OWN);
    for _ in 0..2 {
        pm.allocate(container, at(256), frames(256), PLAIN).unwrap();
        let taken = info(&mut pm, OWN);
        assert_eq!(pages(taken.frames) - pages(before.frames), 256);
        assert!(pages(taken.records) - pages(before.records) >= 4, "set aside for single frames");
        assert_eq!(pm.deallocate(container, at(256), frames(256), HOLES), Ok(256));
    }
    assert!(world.most_work() < 12_000, "{}", world.most_work());
    assert_eq!(info(&mut pm, OWN), before);
}

#[test]
fn single_frames_of_a_run_are_paid_for() {
    let world = roomy();
    let mut pm = world.as_peer(2);
    let container = pm.container_create(OWN).unwrap();
    pm.allocate(container, at(512), frames(256), PLAIN).unwrap();
    pm.allocate(container, at(768), frames(256), PLAIN).unwrap();
    pm.map(container, at(512), frames(1), page(0), MapFlags::WRITE).unwrap();
    let rest = pm.container_create(OWN).unwrap();
    let (end, _) = allocate_all(&mut pm, rest, PLAIN);
    while pm.allocate(rest, at(end + 4096), frames(1), PLAIN).is_ok() {}
    assert_eq!(info(&mut pm, OWN).used, info(&mut pm, OWN).limit);
    world.store(2, 7, page(0)).unwrap();
    // Each copy needs the records of two single frames, in an account that has no room.
    for number in 1..=255 {
        let (from, to) = ((container, at(512)), (container, at(512 + 2 * number)));
        assert_eq!(pm.copy(from, to, frames(1), CopyFlags::SHARED).is_ok(), number < 8);
        let to = (container, at(513 + 2 * number));
        assert_eq!(pm.copy((container, at(512)), to, frames(1), CopyFlags::empty()), Ok(1));
    }
    assert_eq!(count(&mut pm, container, 1024, FrameState::BOUND), 1 + 7 + 255);
    let own = info(&mut pm, OWN);
    assert!(pages(own.limit) - pages(own.used) <= 1, "no run is left to be counted");
    world.check();
}

#[test]
fn a_part_of_a_run_is_freed_marked_and_reported() {
    let world = roomy();
    let mut pm = world.as_peer(2);
    let container = pm.container_create(OWN).unwrap();
    let before = info(&mut pm, OWN);
    pm.allocate(container, at(5), frames(200), PLAIN).unwrap();
    pm.allocate(container, at(205), frames(200), PLAIN).unwrap();
    assert_eq!(pm.deallocate(container, at(100), frames(10), DeallocateFlags::STRICT), Ok(10));
    assert_eq!(pages(info(&mut pm, OWN).frames) - pages(before.frames), 390);
    let strict = pm.deallocate(container, at(90), frames(20), DeallocateFlags::STRICT);
    assert_eq!((failure(strict).error, failure(strict).at), (PmError::NotFound, 100));
    assert_eq!(pm.mark(container, at(150), frames(100), Marks::DISCARDABLE), Ok(100));
    let all = states(&mut pm, container, 410);
    for (number, state) in (0..).zip(all) {
        let is_there = (5..405).contains(&number) && !(100..110).contains(&number);
        assert_eq!(state.contains(FrameState::PRESENT), is_there, "{number}");
        let is_marked = (150..250).contains(&number);
        assert_eq!(state.contains(FrameState::DISCARDABLE), is_marked, "{number}");
    }
    let again = failure(pm.allocate(container, at(96), frames(4), PLAIN));
    assert_eq!((again.error, again.at), (PmError::Exists, 96));
    let partly = failure(pm.allocate(container, at(100), frames(64), AllocateFlags::PARTIAL));
    assert_eq!((partly.error, partly.done, partly.at), (PmError::Exists, 10, 110));
    assert_eq!(pm.renew(container, at(0), frames(256)), Ok(251));
    let placed = pm.allocate_anywhere(container, frames(64), PLAIN).unwrap();
    assert_eq!(placed.start, at(405));
    for start in [0, 256] {
        pm.deallocate(container, at(start), frames(256), HOLES).unwrap();
    }
    assert_eq!(info(&mut pm, OWN), before);
}

#[test]
fn the_newest_frames_of_a_run_become_extra() {
    let world = roomy();
    let (mut policy, mut pm) = (world.as_peer(1), world.as_peer(2));
    let container = pm.container_create(OWN).unwrap();
    pm.allocate(container, at(0), frames(256), PLAIN).unwrap();
    let own = info(&mut pm, OWN);
    let less = pages(own.used) - 100;
    let account = AccountHandle::of_peer(peer(2));
    let flags = LimitFlags::EXTRA | LimitFlags::EXCESS;
    policy.account_set_limits(account, u32::try_from(less).unwrap(), flags).unwrap();
    let all = states(&mut pm, container, 256);
    for (number, state) in (0..).zip(all) {
        assert_eq!(state.contains(FrameState::EXTRA), number >= 156, "{number}");
    }
    world.check();
}

#[test]
fn an_account_with_runs_goes_while_a_lease_keeps_some() {
    let world = roomy();
    let (mut policy, mut pm, mut other) = (world.as_peer(1), world.as_peer(2), world.as_peer(3));
    let before = info(&mut policy, AccountHandle::POOL);
    let container = pm.container_create(OWN).unwrap();
    pm.allocate(container, at(0), frames(256), PLAIN).unwrap();
    pm.allocate(container, at(256), frames(256), PLAIN).unwrap();
    let shared = pm.share(container, at(0), 512, peer(3), Rights::all(), LONG).unwrap();
    other.lock(shared.weak, at(30), frames(200), LockMode::Read, LONG).unwrap();
    let account = AccountHandle::of_peer(peer(2));
    let end = |policy: &mut crate::world::Pm| loop {
        match failure(policy.account_destroy(account)) {
            refused if refused.error == PmError::Pending && refused.at == 0 => {}
            refused => return refused.error,
        }
    };
    assert_eq!(end(&mut policy), PmError::Pending);
    assert_eq!(pages(info(&mut policy, AccountHandle::POOL).frames) - pages(before.frames), 200);
    world.advance(LONG.get() + 1);
    while policy.reclaim().unwrap() > 0 {}
    let after = info(&mut policy, AccountHandle::POOL);
    assert_eq!(after.frames, before.frames);
    world.check();
}

#[test]
fn a_few_frames_take_no_page_more_for_records_where_there_is_little_room() {
    // PM-15
    for (limit, more) in [(200, 0), (1000, 1)] {
        let world = roomy();
        let (mut policy, mut pm) = (world.as_peer(1), world.as_peer(2));
        let account = AccountHandle::of_peer(peer(2));
        policy.account_set_limits(account, limit, LimitFlags::empty()).unwrap();
        let container = pm.container_create(OWN).unwrap();
        let before = info(&mut pm, OWN);
        pm.allocate(container, at(0), frames(8), PLAIN).unwrap();
        let after = info(&mut pm, OWN);
        assert_eq!(pages(after.records) - pages(before.records), more, "{limit}");
    }
}
