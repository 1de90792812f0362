// SPDX-License-Identifier: BSD-2-Clause
//! Regions: pages that are mapped with an accessed one (PM-203).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{Pm, World, at, count, equal_peers, filled, frames, info, page, peer, refusal};
use pmserver_api::{
    AccountHandle, ContainerHandle, CopyFlags, FrameState, LimitFlags, LockMode, MapFlags, PmError,
    Rights,
};
use pmserver_core::config::Privileges;
use proto::{ByteCount, Micros};

const OWN: AccountHandle = AccountHandle::OWN;
const WRITE: MapFlags = MapFlags::WRITE;
const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);
const LONG: Micros = Micros::new(1_000_000);
/// Where frames are given memory.
const ELSEWHERE: u64 = 600;

/// Peers 1 to 5 with room for clusters.
fn world() -> World {
    let peers = equal_peers::<5>(ByteCount::new(2 << 20), Privileges::empty());
    World::with_peers(16 << 20, &peers)
}

/// Frames of a peer that have memory and are not mapped, with their number in each.
fn stored(world: &World, number: u64, count: u64) -> (Pm, ContainerHandle) {
    let mut pm = world.as_peer(number);
    let container = filled(&mut pm, count);
    assert_eq!(
        pm.map(container, at(0), frames(count), page(ELSEWHERE), FORCED).unwrap().count,
        count
    );
    for place in 0..count {
        world.store(number, u8::try_from(place).unwrap(), page(ELSEWHERE + place)).unwrap();
    }
    pm.unmap(page(ELSEWHERE), frames(count)).unwrap();
    (pm, container)
}

/// Loads from pages in order, checks the bytes; returns at which ones pmserver did something.
fn faults(world: &World, number: u64, pages: std::ops::Range<u64>) -> Vec<u64> {
    let invocations = || world.0.borrow().kernel().invocations();
    pages
        .filter(|number_of_page| {
            let before = invocations();
            let byte = u8::try_from(*number_of_page).unwrap();
            assert_eq!(world.load(number, page(*number_of_page)), Ok(byte));
            invocations() > before
        })
        .collect()
}

#[test]
fn accesses_in_order_fault_at_fewer_and_fewer_pages() {
    let world = world();
    let (mut pm, container) = stored(&world, 2, 160);
    let before = info(&mut pm, OWN);
    pm.attach(container, at(0), 160, page(0), WRITE).unwrap();
    assert_eq!(faults(&world, 2, 0..160), [0, 8, 24, 56, 120]);
    // Elsewhere it begins again, and nothing behind the region is mapped.
    pm.detach(page(0)).unwrap();
    pm.attach(container, at(0), 14, page(0), WRITE).unwrap();
    assert_eq!(faults(&world, 2, 8..14), [8]);
    assert!(world.load(2, page(14)).is_err());
    pm.detach(page(0)).unwrap();
    // As few as three are mapped together.
    for (length, at_which) in [(3_u32, &[0][..]), (2, &[0, 1])] {
        pm.attach(container, at(0), length, page(0), WRITE).unwrap();
        assert_eq!(faults(&world, 2, 0..length.into()), at_which);
        pm.detach(page(0)).unwrap();
    }
    assert_eq!(info(&mut pm, OWN), before, "all of it was refunded");
}

#[test]
fn what_has_no_memory_or_is_copied_gets_what_an_access_gives_it() {
    let world = world();
    let (mut pm, container) = stored(&world, 2, 16);
    let copy = filled(&mut pm, 16);
    pm.copy((container, at(0)), (copy, at(0)), frames(16), CopyFlags::empty()).unwrap();
    pm.attach(copy, at(0), 16, page(0), WRITE).unwrap();
    assert_eq!(faults(&world, 2, 0..16), [0, 8]);
    for number in 0..16 {
        world.store(2, 100, page(number)).unwrap();
    }
    pm.attach(container, at(0), 16, page(32), WRITE).unwrap();
    for number in 0..16 {
        assert_eq!(world.load(2, page(32 + number)), Ok(u8::try_from(number).unwrap()));
    }
    let new = filled(&mut pm, 16);
    pm.attach(new, at(0), 16, page(64), WRITE).unwrap();
    world.store(2, 1, page(65)).unwrap();
    assert_eq!(world.load(2, page(64)), Ok(0));
    assert_eq!(count(&mut pm, new, 16, FrameState::BOUND), 1, "the one that was stored to");
    pm.detach(page(64)).unwrap();
    let part = filled(&mut pm, 8);
    pm.map(part, at(0), frames(5), page(96), FORCED).unwrap();
    pm.unmap(page(96), frames(5)).unwrap();
    pm.attach(part, at(0), 8, page(96), WRITE).unwrap();
    assert_eq!(world.load(2, page(96)), Ok(0));
    assert_eq!(count(&mut pm, part, 8, FrameState::MAPPED), 5, "those that have memory");
}

#[test]
fn a_lease_on_a_page_ahead_excludes_it() {
    let world = world();
    let (mut pm, container) = stored(&world, 2, 16);
    let shared = pm
        .share(container, at(5), 1, peer(3), Rights::READ | Rights::WRITE | Rights::LOCK, LONG)
        .unwrap();
    let mut other = world.as_peer(3);
    let lease = other.lock(shared.weak, at(5), frames(1), LockMode::Exclusive, LONG).unwrap();
    pm.attach(container, at(0), 16, page(0), WRITE).unwrap();
    assert_eq!(faults(&world, 2, 0..5), [0, 1, 2, 3, 4]);
    assert!(world.load(2, page(5)).is_err(), "it is leased to another");
    other.unlock(lease.lease).unwrap();
    faults(&world, 2, 5..16);
}

#[test]
fn with_little_room_only_the_accessed_page_is_mapped() {
    let world = world();
    let (mut pm, container) = stored(&world, 2, 16);
    let small = pm.account_split(OWN, 16, LimitFlags::empty()).unwrap();
    pm.vspace_account(small).unwrap();
    pm.attach(container, at(0), 16, page(0), WRITE).unwrap();
    assert_eq!(faults(&world, 2, 0..16).len(), 16);
}

#[test]
fn the_last_place_for_a_mapping_goes_to_who_accesses_the_page() {
    let world = world();
    let (mut pm, container) = stored(&world, 2, 8);
    // Three borrowers may map a frame; two of them and the owner touch page 0 alone.
    for borrower in [1, 3, 4] {
        let rights = Rights::READ | Rights::WRITE;
        let weak = pm.share(container, at(0), 8, peer(borrower), rights, LONG).unwrap().weak;
        world.as_peer(borrower).attach(weak, at(0), 8, page(0), WRITE).unwrap();
        assert_eq!(world.load(borrower, page(0)), Ok(0));
    }
    let weak = pm.share(container, at(0), 8, peer(5), Rights::READ, LONG).unwrap().weak;
    let mut last = world.as_peer(5);
    let refused = last.map(weak, at(0), frames(1), page(0), MapFlags::READ);
    assert_eq!(refusal(refused), Some(PmError::TooMany));
    assert_eq!(last.map(weak, at(1), frames(7), page(1), MapFlags::READ).unwrap().count, 7);
}
