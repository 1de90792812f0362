// SPDX-License-Identifier: BSD-2-Clause
//! What is kept of a large frame that its owner has unmapped: nothing that anybody can tell (PM-90,
//! PM-448).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{
    Pm, World, all, at, byte_of, equal_peers, filled, frames, info, page, peer, refusal,
};
use pmserver_api::{
    AccountHandle, AccountInfo, AllocateFlags, ContainerHandle, CopyFlags, DeallocateFlags,
    LockMode, MapFlags, PmError, Rights,
};
use pmserver_core::config::Privileges;
use proto::{ByteCount, Micros};
use sim::InvocationKind;

const OWN: AccountHandle = AccountHandle::OWN;
const WRITE: MapFlags = MapFlags::WRITE;
const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);
const LONG: Micros = Micros::new(1_000_000);
const LARGE: u64 = 512;
/// Where the frames are mapped, in pages.
const PLACE: u64 = 512;
const ELSEWHERE: u64 = 2048;
const OWNER: u64 = 2;

/// A large frame that its owner has filled and unmapped.
struct Stage {
    world: World,
    pm: Pm,
    container: ContainerHandle,
    /// What its owner is charged.
    before: AccountInfo,
}

impl Stage {
    fn new() -> Self {
        let peers = equal_peers::<3>(ByteCount::new(12 << 20), Privileges::READ_ACCOUNTS);
        let world = World::with_peers(64 << 20, &peers);
        let mut pm = world.as_peer(OWNER);
        let container = large(&mut pm);
        let before = info(&mut pm, OWN);
        let mut stage = Self { world, pm, container, before };
        stage.map(container, PLACE, FORCED);
        for place in (0..LARGE).step_by(37) {
            stage.world.store(OWNER, byte_of(place), page(PLACE + place)).unwrap();
        }
        stage.unmap(PLACE);
        stage
    }

    fn map(&mut self, container: ContainerHandle, to: u64, flags: MapFlags) {
        let all_frames = frames(LARGE);
        let mapped = self.pm.map(container, at(0), all_frames, page(to), flags).unwrap();
        assert_eq!(mapped.count, LARGE);
        assert_eq!(mapped.rights(), flags.intersection(WRITE) | MapFlags::READ);
    }

    fn unmap(&mut self, from: u64) {
        assert_eq!(self.pm.unmap(page(from), frames(LARGE)), Ok(LARGE));
    }

    /// Maps the frames, looks at them, and unmaps them.
    fn round(&mut self, to: u64) {
        self.map(self.container, to, WRITE);
        for place in (0..LARGE).step_by(37) {
            assert_eq!(self.world.load(OWNER, page(to + place)), Ok(byte_of(place)));
        }
        self.unmap(to);
    }

    fn counts(&self) -> [u64; 6] {
        use InvocationKind::{Copy, Delete, PageMap, PageUnmap, Retype, Revoke};
        let kinds = [PageMap, PageUnmap, Copy, Delete, Retype, Revoke];
        kinds.map(|kind| self.world.0.borrow().kernel().count(kind))
    }
}

fn large(pm: &mut Pm) -> ContainerHandle {
    let container = pm.container_create(OWN).unwrap();
    pm.allocate(container, at(0), frames(LARGE), AllocateFlags::empty()).unwrap();
    container
}

#[test]
fn mapping_and_unmapping_again_is_one_invocation_each() {
    let mut stage = Stage::new();
    stage.round(PLACE);
    let [map, unmap, others @ ..] = stage.counts();
    stage.map(stage.container, PLACE, MapFlags::READ);
    stage.unmap(PLACE);
    stage.round(PLACE);
    let [mapped, unmapped, others_after @ ..] = stage.counts();
    assert_eq!((mapped - map, unmapped - unmap, others_after), (2, 2, others));
}

#[test]
fn nothing_is_mapped_and_another_call_passes_over_it() {
    let mut stage = Stage::new();
    assert_eq!(stage.pm.unmap(page(PLACE), frames(LARGE)), Ok(0));
    assert_eq!(stage.pm.unmap(page(PLACE + 7), frames(1)), Ok(0));
    for place in [0, 255, LARGE - 1] {
        stage.round(PLACE);
        assert!(stage.world.load(OWNER, page(PLACE + place)).is_err(), "page {place}");
        stage.round(PLACE);
        assert!(stage.world.store(OWNER, 9, page(PLACE + place)).is_err(), "page {place}");
    }
    stage.round(PLACE);
    assert_eq!(refusal(stage.pm.remap(page(PLACE), frames(1), WRITE)), Some(PmError::NotFound));
}

#[test]
fn the_charges_are_back_for_whoever_asks() {
    let mut stage = Stage::new();
    assert_eq!(info(&mut stage.pm, OWN), stage.before);
    let mut other = stage.world.as_peer(3);
    let before = info(&mut other, AccountHandle::POOL);
    stage.round(PLACE);
    assert_eq!(info(&mut other, AccountHandle::POOL), before);
    // What is left can be had to the last page.
    stage.round(PLACE);
    let room = info(&mut stage.pm, OWN);
    let room = (room.limit.get() - room.used.get()) / 4096;
    let fill = |stage: &mut Stage| {
        let container = stage.pm.container_create(OWN).unwrap();
        let mut number = 1;
        for count in [61, 7, 1] {
            let more = |pm: &mut Pm, number| {
                pm.allocate(container, at(number), frames(count), AllocateFlags::empty())
            };
            while more(&mut stage.pm, number).is_ok() {
                number += count;
            }
        }
        assert!(number > room / 2, "most of it is frames");
        stage.pm.container_destroy(container).unwrap();
        number
    };
    let without = fill(&mut stage);
    stage.round(PLACE);
    assert_eq!(fill(&mut stage), without);
}

#[test]
fn it_is_in_nobodys_way() {
    for count in [1, 5, 256, LARGE] {
        let mut stage = Stage::new();
        let other = filled(&mut stage.pm, count);
        stage.round(PLACE);
        let mut done = 0;
        while done < count {
            let (start, left) = (at(done), frames(count - done));
            done += stage.pm.map(other, start, left, page(PLACE + done), WRITE).unwrap().count;
        }
        stage.world.store(OWNER, 77, page(PLACE)).unwrap();
        stage.round(ELSEWHERE);
        assert_eq!(stage.world.load(OWNER, page(PLACE)), Ok(77), "{count}");
        all(|| stage.pm.unmap(page(PLACE), frames(count))).unwrap();
        stage.round(PLACE);
    }
}

#[test]
fn two_frames_in_turn_and_in_two_places() {
    let mut stage = Stage::new();
    let second = large(&mut stage.pm);
    stage.map(second, PLACE, FORCED);
    stage.world.store(OWNER, 77, page(PLACE)).unwrap();
    for (own, others) in [(PLACE, ELSEWHERE), (PLACE, PLACE), (ELSEWHERE, PLACE)] {
        let _ = stage.pm.unmap(page(PLACE), frames(LARGE)).unwrap();
        stage.round(own);
        stage.map(second, others, WRITE);
        assert_eq!(stage.world.load(OWNER, page(others)), Ok(77));
        stage.unmap(others);
        stage.round(own);
    }
}

#[test]
fn what_happens_to_the_frame_meanwhile_is_seen() {
    // Other contents, which it shares copy-on-write then.
    let mut stage = Stage::new();
    let source = large(&mut stage.pm);
    stage.map(source, ELSEWHERE, FORCED);
    stage.world.store(OWNER, 99, page(ELSEWHERE)).unwrap();
    stage.round(PLACE);
    let (from, to) = ((source, at(0)), (stage.container, at(0)));
    all(|| stage.pm.copy(from, to, frames(LARGE), CopyFlags::empty())).unwrap();
    let all_frames = frames(LARGE);
    let mapped = stage.pm.map(stage.container, at(0), all_frames, page(PLACE), WRITE).unwrap();
    assert_eq!((mapped.count, mapped.rights()), (LARGE, MapFlags::READ));
    assert_eq!(stage.world.load(OWNER, page(PLACE)), Ok(99));
    stage.world.check();
    // Another that shares it copy-on-write then: with FORCE_WRITE it is copied first.
    let mut stage = Stage::new();
    let other = large(&mut stage.pm);
    stage.round(PLACE);
    let (from, to) = ((stage.container, at(0)), (other, at(0)));
    all(|| stage.pm.copy(from, to, frames(LARGE), CopyFlags::empty())).unwrap();
    let to = page(PLACE);
    let forced = all(|| stage.pm.map(stage.container, at(0), all_frames, to, FORCED)).unwrap();
    assert_eq!(forced.rights(), WRITE | MapFlags::READ);
    stage.world.check();
    // Nothing: then there is no memory, and what is mapped shows zeros.
    let mut stage = Stage::new();
    stage.pm.allocate(stage.container, at(LARGE), all_frames, AllocateFlags::empty()).unwrap();
    stage.round(PLACE);
    let (from, to) = ((stage.container, at(LARGE)), (stage.container, at(0)));
    assert_eq!(stage.pm.copy(from, to, all_frames, CopyFlags::empty()), Ok(LARGE));
    stage.world.check();
    stage.map(stage.container, PLACE, FORCED);
    assert_eq!(stage.world.load(OWNER, page(PLACE + 37)), Ok(0));
    // A borrower who locks it, and one who maps it.
    let mut stage = Stage::new();
    let rights = Rights::all();
    let shared = stage.pm.share(stage.container, at(0), LARGE, peer(3), rights, LONG).unwrap();
    let mut other = stage.world.as_peer(3);
    stage.round(PLACE);
    all(|| other.lock(shared.weak, at(7), frames(3), LockMode::Exclusive, LONG)).unwrap();
    let own = stage.pm.map(stage.container, at(0), all_frames, page(PLACE), WRITE);
    assert!(own.is_err() || own.unwrap().count < LARGE);
    stage.world.advance(LONG.get());
    // None of it is left.
    let mut stage = Stage::new();
    let holes = DeallocateFlags::empty();
    assert_eq!(stage.pm.deallocate(stage.container, at(0), all_frames, holes), Ok(LARGE));
    let own = stage.pm.map(stage.container, at(0), all_frames, page(PLACE), WRITE);
    assert_eq!(refusal(own), Some(PmError::NotFound));
}

#[test]
fn a_kernel_that_refuses_changes_nothing() {
    for nth in 1..12 {
        let mut stage = Stage::new();
        for to in [PLACE, ELSEWHERE] {
            stage.world.fail_nth(Some(nth));
            let mapped = stage.pm.map(stage.container, at(0), frames(LARGE), page(to), WRITE);
            stage.world.fail_nth(None);
            stage.world.check();
            if mapped.is_err() {
                // Instead, they may be mapped one by one.
                assert!(refusal(mapped).is_some());
                break;
            }
            stage.world.fail_nth(Some(nth));
            let unmapped = stage.pm.unmap(page(to), frames(LARGE));
            stage.world.fail_nth(None);
            stage.world.check();
            if unmapped.is_err() {
                assert_eq!(refusal(unmapped), Some(PmError::Kernel));
                stage.unmap(to);
            }
            assert!(stage.world.load(OWNER, page(to)).is_err());
            stage.round(to);
        }
    }
}
