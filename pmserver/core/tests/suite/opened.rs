// SPDX-License-Identifier: BSD-2-Clause
//! What single frames and mappings are charged when they are made (PM-450), and what needs none.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use pmserver_api::{
    AccountHandle, AllocateFlags, CallError, ContainerHandle, CopyFlags, DeallocateFlags,
    FrameState, LimitFlags, LockMode, MapFlags, Marks, PmError, Rights,
};
use pmserver_core::config::{PeerConfig, Privileges};
use proto::{ByteCount, Micros};

use crate::world::{Pm, World, all, at, count, failure, frames, info, page, peer};

const OWN: AccountHandle = AccountHandle::OWN;
const PLAIN: AllocateFlags = AllocateFlags::empty();
const LONG: Micros = Micros::new(1_000_000);
const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);
/// A limit that leaves room to spare for clusters.
const LIMIT: u64 = 6 << 20;

/// Peer 1 sets policy and has a device, 2 and 3 are clients.
fn world() -> World {
    let policy = Privileges::SET_POLICY | Privileges::READ_ACCOUNTS | Privileges::DMA;
    let none = Privileges::empty();
    let peers = [(1, policy), (2, none), (3, none)].map(|(peer, privileges)| PeerConfig {
        peer,
        name: "peer",
        limit: ByteCount::new(LIMIT),
        privileges,
    });
    World::with_peers(32 << 20, &peers)
}

fn records(pm: &mut Pm) -> u64 {
    info(pm, OWN).records.get() / 4096
}

/// Allocates single frames until the account has no page left, and no record that is paid for.
fn exhaust(pm: &mut Pm) -> ContainerHandle {
    const CLUSTERS: u64 = 24;
    let rest = pm.container_create(OWN).unwrap();
    let clusters = pm.container_create(OWN).unwrap();
    for cluster in 0..CLUSTERS {
        pm.allocate(clusters, at(16 * cluster), frames(8), PLAIN).unwrap();
    }
    let mut number = 1;
    for _ in 0..2 {
        // At odd numbers each has a record of its own.
        while pm.allocate(rest, at(number), frames(1), PLAIN).is_ok() {
            number += 2;
        }
    }
    let mut open = |cluster| pm.mark(clusters, at(16 * cluster), frames(1), Marks::DISCARDABLE);
    assert!((0..CLUSTERS).any(|cluster| open(cluster).is_err()), "all could be opened");
    rest
}

/// Eight frames that are mapped by their owner and by a borrower, in an account without room.
struct Full {
    world: World,
    container: ContainerHandle,
    rest: ContainerHandle,
}

impl Full {
    fn new() -> Self {
        let world = world();
        let (mut pm, mut borrower) = (world.as_peer(2), world.as_peer(3));
        let container = pm.container_create(OWN).unwrap();
        pm.allocate(container, at(8), frames(8), PLAIN).unwrap();
        assert_eq!(pm.map(container, at(8), frames(8), page(0), FORCED).unwrap().count, 8);
        let shared = pm.share(container, at(8), 8, peer(3), Rights::all(), LONG).unwrap();
        assert_eq!(borrower.map(shared.weak, at(8), frames(8), page(8), FORCED).unwrap().count, 8);
        let rest = exhaust(&mut pm);
        exhaust(&mut borrower);
        Self { world, container, rest }
    }
}

#[test]
fn many_pages_are_charged_twenty_bytes_each() {
    let world = world();
    let mut pm = world.as_peer(2);
    let container = pm.container_create(OWN).unwrap();
    let before = records(&mut pm);
    for first in (0..1024).step_by(256) {
        pm.allocate(container, at(first), frames(256), PLAIN).unwrap();
        let mut done = 0;
        while done < 256 {
            let (start, rest) = (first + done, frames(256 - done));
            done += pm.map(container, at(start), rest, page(start), FORCED).unwrap().count;
        }
    }
    let bytes = (records(&mut pm) - before) * 4096;
    assert!(bytes <= 25 * 1024, "{} bytes each", bytes / 1024);
    assert_eq!(count(&mut pm, container, 1024, FrameState::BOUND), 1024);
}

#[test]
fn an_account_without_room_is_refused_what_needs_a_record_for_one_frame() {
    let full = Full::new();
    let (mut pm, container) = (full.world.as_peer(2), full.container);
    let quota = |result: Result<u64, CallError>| failure(result).error == PmError::QuotaExceeded;
    assert!(quota(pm.mark(container, at(9), frames(1), Marks::DISCARDABLE)));
    let shared = pm.copy((container, at(9)), (container, at(10)), frames(1), CopyFlags::SHARED);
    assert!(quota(shared));
    let remapped = failure(pm.remap(page(3), frames(1), MapFlags::READ));
    assert_eq!(remapped.error, PmError::NoTableQuota);
    // With a page it is done, and is charged for that.
    pm.deallocate(full.rest, at(1), frames(1), DeallocateFlags::empty()).unwrap();
    let before = records(&mut pm);
    assert_eq!(pm.mark(container, at(9), frames(1), Marks::DISCARDABLE), Ok(1));
    assert_eq!(records(&mut pm), before + 1);
    for number in 0..8 {
        assert_eq!(full.world.load(2, page(number)), Ok(0));
        assert_eq!(full.world.load(3, page(8 + number)), Ok(0));
    }
}

#[test]
fn nobody_is_charged_for_what_another_does() {
    // The borrower's mappings of eight frames stay in one record: its account has no room at all.
    let full = Full::new();
    let (mut pm, container) = (full.world.as_peer(2), full.container);
    let before = info(&mut full.world.as_peer(3), OWN);
    pm.deallocate(full.rest, at(1), frames(1), DeallocateFlags::empty()).unwrap();
    assert_eq!(pm.mark(container, at(9), frames(1), Marks::DISCARDABLE), Ok(1));
    full.world.store(2, 7, page(1)).unwrap();
    assert_eq!(full.world.load(3, page(9)), Ok(7));
    // What is unmapped of one frame is that one alone.
    assert_eq!(pm.deallocate(container, at(10), frames(1), DeallocateFlags::empty()), Ok(1));
    assert!(full.world.load(3, page(10)).is_err() && full.world.load(3, page(11)).is_ok());
    assert_eq!(info(&mut full.world.as_peer(3), OWN), before);
}

#[test]
fn a_frame_in_the_middle_is_freed_without_a_page_for_records() {
    let full = Full::new();
    let (mut pm, container) = (full.world.as_peer(2), full.container);
    let before = info(&mut pm, OWN);
    let flags = DeallocateFlags::STRICT;
    assert_eq!(pm.deallocate(container, at(10), frames(2), flags), Ok(2));
    let after = info(&mut pm, OWN);
    assert_eq!(before.frames.get() - after.frames.get(), 2 * 4096);
    assert_eq!(before.records, after.records);
    assert_eq!(failure(pm.deallocate(container, at(9), frames(2), flags)).at, 10);
    // A lease on a part keeps that part, whatever becomes of the container.
    pm.lock(container, at(12), frames(1), LockMode::Read, LONG).unwrap();
    let destroyed = failure(pm.container_destroy(container));
    assert_eq!(destroyed.error, PmError::Pending);
    let left = info(&mut pm, OWN).frames.get();
    assert_eq!(after.frames.get() - left, 5 * 4096, "of six one is leased");
    full.world.advance(LONG.get());
    all(|| pm.container_destroy(container)).unwrap();
    full.world.check();
}

#[test]
fn a_place_that_was_freed_is_filled_again() {
    let world = world();
    let mut pm = world.as_peer(2);
    let container = pm.container_create(OWN).unwrap();
    pm.allocate(container, at(8), frames(8), PLAIN).unwrap();
    pm.map(container, at(8), frames(8), page(0), FORCED).unwrap();
    world.store(2, 5, page(3)).unwrap();
    for number in [10, 15, 8] {
        assert_eq!(pm.deallocate(container, at(number), frames(1), DeallocateFlags::STRICT), Ok(1));
        assert!(world.load(2, page(number - 8)).is_err());
    }
    assert_eq!(failure(pm.allocate(container, at(9), frames(2), PLAIN)).at, 9);
    for number in [15, 8, 10] {
        assert_eq!(pm.allocate(container, at(number), frames(1), PLAIN), Ok(1));
        pm.map(container, at(number), frames(1), page(number - 8), FORCED).unwrap();
        assert_eq!(world.load(2, page(number - 8)), Ok(0));
    }
    assert_eq!(world.load(2, page(3)), Ok(5));
    assert_eq!(count(&mut pm, container, 16, FrameState::PRESENT), 8);
    all(|| pm.container_destroy(container)).unwrap();
}

#[test]
fn who_may_have_extra_frames_pays_for_single_ones_before() {
    // PM-240, PM-241: a lower limit with EXCESS is not refused for want of a record.
    let world = world();
    let (mut policy, mut pm) = (world.as_peer(1), world.as_peer(2));
    let handle = AccountHandle::of_peer(peer(2));
    let container = pm.container_create(OWN).unwrap();
    pm.allocate(container, at(0), frames(256), PLAIN).unwrap();
    let before = info(&mut pm, OWN);
    let limit = |bytes: u64| u32::try_from(bytes / 4096).unwrap();
    policy.account_set_limits(handle, limit(LIMIT), LimitFlags::EXTRA).unwrap();
    assert_eq!(records(&mut pm), before.records.get() / 4096 + 4, "256 records of single frames");
    policy.account_set_limits(handle, limit(LIMIT), LimitFlags::empty()).unwrap();
    assert_eq!(info(&mut pm, OWN), before);
    exhaust(&mut pm);
    let refused = policy.account_set_limits(handle, limit(LIMIT), LimitFlags::EXTRA);
    assert_eq!(failure(refused).error, PmError::QuotaExceeded);
    pm.deallocate(container, at(0), frames(8), DeallocateFlags::empty()).unwrap();
    policy.account_set_limits(handle, limit(LIMIT), LimitFlags::EXTRA).unwrap();
    let excess = LimitFlags::EXTRA | LimitFlags::EXCESS;
    let lower = limit(info(&mut pm, OWN).used.get() - 3 * 4096);
    policy.account_set_limits(handle, lower, excess).unwrap();
    assert_eq!(info(&mut pm, OWN).extra.get(), 3 * 4096);
}
