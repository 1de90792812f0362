// SPDX-License-Identifier: BSD-2-Clause
//! What is kept of a large frame that was taken and given back (PM-436), or unmapped: nothing that
//! anybody can use, and nothing that is in anybody's way.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{Pm, World, all, at, equal_peers, filled, frames, info, page, peer, refusal};
use pmserver_api::{
    AccountHandle, AccountInfo, AllocateFlags, CallError, ContainerHandle, DeallocateFlags, Lease,
    LockMode, MapFlags, PmError, Rights, ShareTerms, Shared,
};
use pmserver_core::config::{PeerConfig, Privileges};
use proto::{ByteCount, Micros, PeerId};
use sim::InvocationKind;

const OWN: AccountHandle = AccountHandle::OWN;
const LEASE: Micros = Micros::new(1000);
const WRITE: MapFlags = MapFlags::WRITE;
const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);
const LARGE: u64 = 512;
/// Where the owner, and where the borrower has the frames, in pages.
const PLACE: u64 = 512;
const ELSEWHERE: u64 = 2048;
const OWNER: u64 = 2;
const BORROWER: u64 = 1;

/// A large frame that its owner has mapped, and lends to be taken.
struct Stage {
    world: World,
    owner: Pm,
    borrower: Pm,
    container: ContainerHandle,
    shared: Shared,
}

fn terms(peer: PeerId) -> ShareTerms {
    ShareTerms { peer, rights: Rights::WRITE, lease_max: LEASE, once: true }
}

impl Stage {
    fn new() -> Self {
        let peers = equal_peers::<3>(ByteCount::new(12 << 20), Privileges::empty());
        let world = World::with_peers(64 << 20, &peers);
        let (mut owner, borrower) = (world.as_peer(OWNER), world.as_peer(BORROWER));
        let container = owner.container_create(OWN).unwrap();
        owner.allocate(container, at(0), frames(LARGE), AllocateFlags::empty()).unwrap();
        owner.map(container, at(0), frames(LARGE), page(PLACE), FORCED).unwrap();
        let shared = owner.share_on(container, at(0), LARGE, terms(peer(BORROWER))).unwrap();
        Self { world, owner, borrower, container, shared }
    }

    /// One that was taken and given back.
    fn kept() -> Self {
        let mut stage = Self::new();
        stage.round(PLACE);
        stage
    }

    fn take(&mut self, to: u64, flags: MapFlags) -> Result<Lease, CallError> {
        self.owner.arm(self.shared.share).unwrap();
        let (borrower, weak) = (&mut self.borrower, self.shared.weak);
        all(|| borrower.take(weak, at(0), frames(LARGE), page(to), flags))
    }

    /// Takes the frames to a page, stores a byte in the last of them and gives them back.
    fn round(&mut self, to: u64) {
        let lease = self.take(to, WRITE).unwrap();
        let last = LARGE - 1;
        let before = self.world.load(OWNER, page(PLACE + last)).unwrap();
        self.world.store(BORROWER, before + 1, page(to + last)).unwrap();
        all(|| self.borrower.unlock(lease.lease)).unwrap();
        self.has_none(to);
        assert_eq!(self.owner.disarm(self.shared.share), Ok(false));
        assert_eq!(self.world.load(OWNER, page(PLACE + last)), Ok(before + 1));
        self.world.check();
    }

    fn has_none(&self, at: u64) {
        for number in [0, 255, LARGE - 1] {
            assert!(self.world.load(BORROWER, page(at + number)).is_err(), "page {number}");
            assert!(self.world.store(BORROWER, 9, page(at + number)).is_err(), "page {number}");
        }
    }

    fn count(&self, kind: InvocationKind) -> u64 {
        self.world.0.borrow().kernel().count(kind)
    }
}

#[test]
fn the_next_take_at_the_same_place_is_one_invocation() {
    let mut stage = Stage::kept();
    let kinds = [InvocationKind::PageMap, InvocationKind::Copy, InvocationKind::Delete];
    let before = kinds.map(|kind| stage.count(kind));
    let unmapped = stage.count(InvocationKind::PageUnmap);
    stage.round(PLACE);
    stage.round(PLACE);
    let after = kinds.map(|kind| stage.count(kind));
    assert_eq!(after, [before[0] + 2, before[1], before[2]]);
    assert_eq!(stage.count(InvocationKind::PageUnmap), unmapped + 2);
}

#[test]
fn another_place_or_other_rights_are_as_good() {
    let mut stage = Stage::kept();
    stage.round(ELSEWHERE);
    stage.has_none(PLACE);
    stage.round(PLACE);
    let lease = stage.take(PLACE, MapFlags::READ).unwrap();
    assert_eq!(stage.world.load(BORROWER, page(PLACE + LARGE - 1)), Ok(3));
    assert!(stage.world.store(BORROWER, 1, page(PLACE)).is_err(), "it was taken for reading");
    stage.borrower.unlock(lease.lease).unwrap();
    stage.has_none(PLACE);
    stage.round(PLACE);
}

#[test]
fn it_is_in_nobodys_way() {
    // Single frames, clusters and a large frame in the same place.
    for count in [1, 5, 256, LARGE] {
        let mut stage = Stage::kept();
        let other = filled(&mut stage.borrower, count);
        let mut done = 0;
        while done < count {
            let (start, left) = (at(done), frames(count - done));
            let to = page(PLACE + done);
            done += stage.borrower.map(other, start, left, to, WRITE).unwrap().count;
        }
        stage.world.store(BORROWER, 77, page(PLACE)).unwrap();
        assert_ne!(stage.world.load(OWNER, page(PLACE)), Ok(77));
        assert_eq!(refusal(stage.take(PLACE, WRITE)), Some(PmError::Occupied), "{count}");
        stage.owner.disarm(stage.shared.share).unwrap();
        stage.round(ELSEWHERE);
        all(|| stage.borrower.unmap(page(PLACE), frames(count))).unwrap();
        stage.round(PLACE);
    }
}

#[test]
fn unmapping_the_place_gives_back_what_it_is_charged() {
    let mut stage = Stage::new();
    let before = info(&mut stage.borrower, OWN);
    stage.round(PLACE);
    assert!(info(&mut stage.borrower, OWN).used > before.used, "it is charged");
    assert_eq!(stage.borrower.unmap(page(PLACE + 100), frames(1)), Ok(0), "nothing is mapped");
    assert_eq!(info(&mut stage.borrower, OWN), before);
    stage.round(PLACE);
    stage.owner.unshare(stage.shared.share).unwrap();
    assert_eq!(info(&mut stage.borrower, OWN), before);
}

#[test]
fn it_goes_with_the_frame_the_share_and_the_vspace() {
    let holes = DeallocateFlags::empty();
    let mut stage = Stage::kept();
    let all_frames = frames(LARGE);
    assert_eq!(stage.owner.deallocate(stage.container, at(0), all_frames, holes), Ok(LARGE));
    stage.world.check();
    let mut stage = Stage::kept();
    all(|| stage.owner.container_destroy(stage.container)).unwrap();
    stage.world.check();
    let mut stage = Stage::kept();
    stage.borrower.vspace_account(OWN).unwrap();
    stage.world.check();
    stage.round(PLACE);
}

#[test]
fn who_needs_a_part_or_another_mapping_gets_it() {
    let mut stage = Stage::kept();
    let rights = Rights::READ | Rights::LOCK;
    let second = stage.owner.share(stage.container, at(0), LARGE, peer(3), rights, LEASE).unwrap();
    let mut other = stage.world.as_peer(3);
    let all_frames = frames(LARGE);
    let mapped = other.map(second.weak, at(0), all_frames, page(PLACE), MapFlags::READ).unwrap();
    assert_eq!(mapped.count, LARGE);
    assert_eq!(stage.world.load(3, page(PLACE + LARGE - 1)), Ok(1));
    stage.round(PLACE);
    all(|| other.lock(second.weak, at(7), frames(3), LockMode::Read, LEASE)).unwrap();
    stage.world.check();
    stage.world.advance(LEASE.get());
    stage.round(PLACE);
    stage.round(PLACE);
}

#[test]
fn what_splits_the_frame_makes_no_mappings_of_it() {
    let mut stage = Stage::kept();
    let container = stage.container;
    let holes = DeallocateFlags::empty();
    all(|| stage.owner.deallocate(container, at(7), frames(3), holes)).unwrap();
    stage.world.check();
    stage.has_none(PLACE);
    stage.owner.allocate(container, at(7), frames(3), AllocateFlags::empty()).unwrap();
    stage.round(PLACE);
}

#[test]
fn a_kernel_that_refuses_changes_nothing() {
    for nth in 1..12 {
        let mut stage = Stage::kept();
        stage.world.fail_nth(Some(nth));
        let taken = stage.take(PLACE, WRITE);
        stage.world.fail_nth(None);
        stage.world.check();
        let lease = taken.unwrap_or_else(|error| {
            assert_eq!(error.refusal(), Some(PmError::Kernel));
            stage.has_none(PLACE);
            stage.take(PLACE, WRITE).unwrap()
        });
        stage.world.fail_nth(Some(nth));
        let given = stage.borrower.unlock(lease.lease);
        stage.world.fail_nth(None);
        stage.world.check();
        if given.is_err() {
            assert_eq!(refusal(stage.owner.disarm(stage.shared.share)), Some(PmError::Locked));
            stage.borrower.unlock(lease.lease).unwrap();
        }
        stage.has_none(PLACE);
        stage.round(PLACE);
    }
}

/// A world whose borrower has taken and given back more than one call removes: each record is the
/// last one in its page tables. Returns also what the borrower was charged before.
fn kept_far_apart() -> (World, AccountInfo) {
    const FRAMES: u64 = 60;
    /// From one table of the highest level, and of the next one, to the next, in pages.
    const FAR: u64 = 1 << 27;
    const NEAR: u64 = 1 << 18;
    let peers = [2, 1].map(|peer| PeerConfig {
        peer,
        name: "peer",
        limit: ByteCount::new(if peer == 2 { 128 << 20 } else { 8 << 20 }),
        privileges: Privileges::empty(),
    });
    let world = World::with_peers(256 << 20, &peers).unchecked();
    let (mut owner, mut borrower) = (world.as_peer(OWNER), world.as_peer(BORROWER));
    let before = info(&mut borrower, OWN);
    let mut place = 0;
    for _ in 0..FRAMES {
        let container = owner.container_create(OWN).unwrap();
        owner.allocate(container, at(0), frames(LARGE), AllocateFlags::empty()).unwrap();
        for _ in 0..2 {
            let shared = owner.share_on(container, at(0), LARGE, terms(peer(BORROWER))).unwrap();
            owner.arm(shared.share).unwrap();
            let to = page(PLACE + (place % 30) * FAR + place / 30 * NEAR);
            let lease = borrower.take(shared.weak, at(0), frames(LARGE), to, WRITE).unwrap();
            borrower.unlock(lease.lease).unwrap();
            place += 1;
        }
    }
    world.check();
    (world, before)
}

#[test]
fn what_is_kept_in_a_large_region_is_given_back_within_the_bound_on_a_call() {
    // PM-436, PM-320
    let (world, before) = kept_far_apart();
    let mut borrower = world.as_peer(BORROWER);
    let container = filled(&mut borrower, 1);
    borrower.attach(container, at(0), u32::MAX, page(0), WRITE).unwrap();
    let mut calls = 0;
    all(|| {
        calls += 1;
        borrower.detach(page(0))
    })
    .unwrap();
    assert!(calls > 1, "it is more than one call does");
    world.check();
    borrower.container_destroy(container).unwrap();
    assert_eq!(info(&mut borrower, OWN), before);
}

#[test]
fn who_pays_for_a_vspace_changes_when_all_that_was_kept_is_given_back() {
    // PM-436, PM-320
    let (world, before) = kept_far_apart();
    let mut borrower = world.as_peer(BORROWER);
    assert_eq!(refusal(borrower.vspace_account(OWN)), Some(PmError::Pending));
    all(|| borrower.vspace_account(OWN)).unwrap();
    world.check();
    assert_eq!(info(&mut borrower, OWN), before);
}
