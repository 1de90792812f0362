// SPDX-License-Identifier: BSD-2-Clause
//! Random operations on few frames that two peers map at few pages, so that parts of clusters meet
//! each other in all ways (decision 0040); with a kernel that refuses some invocations.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use std::collections::BTreeMap;

use crate::world::{Pm, World, at, equal_peers, frames, info, page, peer};
use pmserver_api::{
    AccountHandle, AllocateFlags, CallError, ContainerHandle, CopyFlags, DeallocateFlags,
    Disturbance, LeaseHandle, LockMode, MapFlags, Mapped, Rights,
};
use pmserver_core::config::Privileges;
use proptest::prelude::*;
use proto::limits::{FRAME_MAPPINGS_MAX, FRAME_MAPPINGS_OWNER};
use proto::{ByteCount, Micros};
use sim::Refusal;

const OWN: AccountHandle = AccountHandle::OWN;
const LONG: Micros = Micros::new(1_000_000);
/// Frames of each of the two containers, and pages of each of the two peers.
const FRAMES: u64 = 20;
const PAGES: u64 = 36;
/// Runs that a reply of `map` has room for.
const RUNS: usize = 6;
const FLAGS: [MapFlags; 4] = [
    MapFlags::READ,
    MapFlags::WRITE,
    MapFlags::WRITE.union(MapFlags::FORCE_WRITE),
    MapFlags::READ.union(MapFlags::FORCE_READ),
];

#[derive(Clone, Copy, Debug)]
enum What {
    Map(usize),
    Remap(usize),
    Unmap,
    Copy(u16),
    Load,
    Store(u8),
    Renew,
    Make,
    Grant,
    Lock(bool),
    Disturb(bool),
}

/// By a peer, of frames of a container, at a page or at frames of another container; the nth
/// invocation is refused.
type Step = (What, (bool, bool, bool), (u64, u64, u64), Option<u64>);

fn step() -> impl Strategy<Value = Step> {
    let what = prop_oneof![
        8 => (0..4_usize).prop_map(What::Map),
        2 => (0..4_usize).prop_map(What::Remap),
        5 => Just(What::Unmap),
        4 => (0..3_u16).prop_map(What::Copy),
        4 => Just(What::Load),
        8 => (1..=255_u8).prop_map(What::Store),
        1 => Just(What::Renew),
        1 => Just(What::Make),
        1 => Just(What::Grant),
        2 => any::<bool>().prop_map(What::Lock),
        1 => any::<bool>().prop_map(What::Disturb),
    ];
    let places = (0..FRAMES, 0..PAGES, prop_oneof![1..=3_u64, 4..=20_u64]);
    let refused = prop_oneof![5 => Just(None), 1 => (1..24_u64).prop_map(Some)];
    (what, any::<(bool, bool, bool)>(), places, refused)
}

/// What should be: the first byte of each frame, by container and number, and by peer and page the
/// frame that is mapped and whether it can be written to.
struct Scene {
    world: World,
    pms: [Pm; 2],
    containers: [ContainerHandle; 2],
    weak: [ContainerHandle; 2],
    bytes: BTreeMap<(usize, u64), u8>,
    mapped: BTreeMap<(usize, u64), ((usize, u64), bool)>,
    /// Whether the kernel may refuse something of this step.
    refuses: bool,
}

impl Scene {
    fn new() -> Self {
        let peers = equal_peers::<3>(ByteCount::new(1 << 20), Privileges::DISTURB);
        let world = World::with_peers(4 << 20, &peers);
        let mut pms = [2, 3].map(|number| world.as_peer(number));
        let containers = [0, 1].map(|_| pms[0].container_create(OWN).unwrap());
        let weak = containers.map(|container| {
            pms[0].share(container, at(0), FRAMES, peer(3), Rights::all(), LONG).unwrap().weak
        });
        let bytes = (0..2).flat_map(|of| (0..FRAMES).map(move |number| ((of, number), 0)));
        let (bytes, mapped) = (bytes.collect(), BTreeMap::new());
        let mut scene = Self { world, pms, containers, weak, bytes, mapped, refuses: false };
        for of in 0..2 {
            scene.make(of, 0, FRAMES);
        }
        scene
    }

    fn make(&mut self, of: usize, start: u64, count: u64) {
        let plain = AllocateFlags::empty();
        let made = self.pms[0].allocate(self.containers[of], at(start), frames(count), plain);
        assert_eq!(made, Ok(count));
    }

    /// Returns the handle with which a peer names a container.
    fn handle(&self, by: usize, of: usize) -> ContainerHandle {
        if by == 0 { self.containers[of] } else { self.weak[of] }
    }

    fn mappings(&self, frame: (usize, u64)) -> u16 {
        u16::try_from(self.mapped.values().filter(|(of, _)| *of == frame).count()).unwrap()
    }

    fn map(
        &mut self,
        by: usize,
        of: usize,
        (start, first, count): (u64, u64, u64),
        flags: MapFlags,
    ) {
        let handle = self.handle(by, of);
        let mapped = self.pms[by].map(handle, at(start), frames(count), page(first), flags);
        let is_told = self.is_told(&mapped);
        let done = mapped.as_ref().map_or(0, |mapped| mapped.count);
        let reserved = if by == 0 { 0 } else { FRAME_MAPPINGS_OWNER };
        for place in 0..count {
            let (frame, at) = ((of, start + place), (by, first + place));
            let is_free = !self.mapped.contains_key(&at)
                && self.mappings(frame) < FRAME_MAPPINGS_MAX - reserved;
            if place >= done {
                assert!(!is_free || is_told, "map stops at {place}: {mapped:?}");
                break;
            }
            assert!(is_free, "map goes on at {place}: {mapped:?}");
            self.mapped.insert(at, (frame, flags.contains(MapFlags::WRITE)));
        }
    }

    fn remap(&mut self, by: usize, first: u64, count: u64, flags: MapFlags) {
        let mapped = self.pms[by].remap(page(first), frames(count), flags);
        let is_told = self.is_told(&mapped);
        let done = mapped.as_ref().map_or(0, |mapped| mapped.count);
        for place in 0..count {
            let there = self.mapped.get_mut(&(by, first + place));
            match there {
                Some((_, is_written)) if place < done => {
                    *is_written = flags.contains(MapFlags::WRITE);
                }
                there => {
                    assert!(place >= done && (there.is_none() || is_told), "{mapped:?}");
                    break;
                }
            }
        }
    }

    /// Returns whether a map may have stopped for something that is not modelled here.
    fn is_told(&self, mapped: &Result<Mapped, CallError>) -> bool {
        let is_full = |mapped: &Mapped| mapped.runs().count() == RUNS;
        self.refuses || mapped.as_ref().is_ok_and(is_full)
    }

    fn unmap(&mut self, by: usize, first: u64, count: u64) {
        let unmapped = self.pms[by].unmap(page(first), frames(count));
        let there = self.mapped.range((by, first)..(by, first + count));
        let there: Vec<(usize, u64)> = there.map(|(at, _)| *at).collect();
        let done = done_of(&unmapped);
        assert!(unmapped.is_err() || done == there.len(), "{unmapped:?} of {there:?}");
        for at in there.into_iter().take(done) {
            self.mapped.remove(&at);
        }
    }

    fn copy(&mut self, from: (usize, u64), to: (usize, u64), count: u64, how: u16) {
        let count = count.min(FRAMES - from.1).min(FRAMES - to.1);
        let flags = if how == 1 { CopyFlags::ATOMIC } else { CopyFlags::empty() };
        let (source, copy) = (self.containers[from.0], self.containers[to.0]);
        let copied = self.pms[0].copy((source, at(from.1)), (copy, at(to.1)), frames(count), flags);
        let done = u64::try_from(done_of(&copied)).unwrap();
        let old: Vec<u8> = (0..done).map(|place| self.bytes[&(from.0, from.1 + place)]).collect();
        for (place, byte) in (0..).zip(old) {
            self.bytes.insert((to.0, to.1 + place), byte);
        }
    }

    fn load(&self, by: usize, first: u64) {
        let seen = self.world.load(number(by), page(first));
        let there = self.mapped.get(&(by, first));
        assert_eq!(seen.ok(), there.map(|(frame, _)| self.bytes[frame]), "{by} {first}");
    }

    fn store(&mut self, by: usize, first: u64, byte: u8) {
        let stored = self.world.store(number(by), byte, page(first));
        let there = self.mapped.get(&(by, first)).filter(|(_, is_written)| *is_written);
        assert_eq!(stored.is_ok(), there.is_some(), "{by} {first}");
        if let Some((frame, _)) = there {
            self.bytes.insert(*frame, byte);
        }
    }

    /// Makes frames anew, or gives them other memory.
    fn clear(&mut self, of: usize, (start, count): (u64, u64), is_made: bool) {
        let container = self.containers[of];
        if is_made {
            let holes = DeallocateFlags::empty();
            let freed = self.pms[0].deallocate(container, at(start), frames(count), holes);
            let done = u64::try_from(done_of(&freed)).unwrap();
            self.world.0.borrow_mut().kernel_mut().refuse(None);
            if done > 0 {
                self.make(of, start, done);
            }
            self.cleared(of, start, done, start + done..start + count);
            return;
        }
        let renewed = self.pms[0].renew(container, at(start), frames(count));
        self.world.0.borrow_mut().kernel_mut().refuse(None);
        let done = u64::try_from(done_of(&renewed)).unwrap();
        self.cleared(of, start, done, start + done..start + count);
    }

    fn cleared(&mut self, of: usize, start: u64, count: u64, rest: std::ops::Range<u64>) {
        if self.refuses {
            // Mappings of the frames at which the kernel refused may be gone (PM-4).
            let world = self.world.clone();
            let is_there = |at: &(usize, u64)| world.load(number(at.0), page(at.1)).is_ok();
            let may_be_gone = |frame: &(usize, u64)| frame.0 == of && rest.contains(&frame.1);
            self.mapped.retain(|at, (frame, _)| !may_be_gone(frame) || is_there(at));
        }
        let range = start..start + count;
        for number in range.clone() {
            self.bytes.insert((of, number), 0);
        }
        self.mapped.retain(|_, (frame, _)| frame.0 != of || !range.contains(&frame.1));
    }

    /// Grants frames and takes them back, which leaves nothing.
    fn grant(&mut self, by: usize, of: usize, start: u64, count: u64) {
        let handle = self.handle(by, of);
        if let Ok(granted) = self.pms[by].grant(handle, at(start), frames(count), MapFlags::READ) {
            self.world.0.borrow_mut().kernel_mut().refuse(None);
            let count = granted.count;
            assert_eq!(self.pms[by].ungrant(granted.address, frames(count)), Ok(count));
        }
    }

    fn lock(&mut self, by: usize, of: usize, (start, count): (u64, u64), is_exclusive: bool) {
        let mode = if is_exclusive { LockMode::Exclusive } else { LockMode::Read };
        let handle = self.handle(by, of);
        let Ok(lease) = self.pms[by].lock(handle, at(start), frames(count), mode, LONG) else {
            assert!(self.refuses);
            return;
        };
        self.world.0.borrow_mut().kernel_mut().refuse(None);
        let others = self.mapped.iter().filter(|(at, (frame, _))| {
            at.0 != by && frame.0 == of && (start..start + count).contains(&frame.1)
        });
        for (at, _) in others.clone().take(2) {
            assert_eq!(self.world.load(number(at.0), page(at.1)).is_ok(), !is_exclusive);
            assert!(self.world.store(number(at.0), 1, page(at.1)).is_err());
        }
        let lease: LeaseHandle = lease.lease;
        self.pms[by].unlock(lease).unwrap();
    }

    fn run(&mut self, (what, (by, of, to), (start, first, count), refused): Step) {
        let (by, of, to) = (usize::from(by), usize::from(of), usize::from(to));
        let of_frames = count.min(FRAMES - start);
        let is_access = matches!(what, What::Load | What::Store(_));
        let refused = refused.filter(|_| !is_access);
        self.refuses = refused.is_some();
        let refusal = refused.map(|nth| Refusal { nth, error: 0 });
        self.world.0.borrow_mut().kernel_mut().refuse(refusal);
        match what {
            What::Map(flags) => {
                let count = of_frames.min(PAGES - first);
                self.map(by, of, (start, first, count), FLAGS[flags]);
            }
            What::Remap(flags) => self.remap(by, first, count, FLAGS[flags]),
            What::Unmap => self.unmap(by, first, count),
            What::Copy(how) => self.copy((of, start), (to, first % FRAMES), count, how),
            What::Load => self.load(by, first),
            What::Store(byte) => self.store(by, first, byte),
            What::Renew => self.clear(of, (start, of_frames), false),
            What::Make => self.clear(of, (start, of_frames), true),
            What::Grant => self.grant(by, of, start, of_frames),
            What::Lock(is_exclusive) => self.lock(by, of, (start, of_frames), is_exclusive),
            What::Disturb(moves) => {
                let what = if moves { Disturbance::Move } else { Disturbance::Unmap };
                let _ = self.pms[0].disturb(what, 0);
            }
        }
        self.world.0.borrow_mut().kernel_mut().refuse(None);
    }

    fn end(&mut self) {
        for by in 0..2 {
            for place in 0..PAGES {
                self.load(by, place);
            }
        }
        self.unmap(1, 0, PAGES);
        self.unmap(0, 0, PAGES / 2);
        for container in self.containers {
            self.pms[0].container_destroy(container).unwrap();
        }
    }
}

/// Returns how many frames a call did, with or without an error.
fn done_of(result: &Result<u64, CallError>) -> usize {
    let done = match result {
        Ok(done) => *done,
        Err(CallError::Refused(failure)) => failure.done,
        Err(other) => panic!("{other:?}"),
    };
    usize::try_from(done).unwrap()
}

fn number(by: usize) -> u64 {
    if by == 0 { 2 } else { 3 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// What a call says is what is mapped, every mapping shows what was last stored to its frame or
    /// copied to it, and in the end all is paid back.
    #[test]
    fn parts_of_clusters_are_what_they_should_be(
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let world = Scene::new();
        let accounts = |scene: &mut Scene| [0, 1].map(|by: usize| info(&mut scene.pms[by], OWN));
        let mut scene = world;
        let mut empty = Scene::new();
        empty.end();
        let before = accounts(&mut empty);
        for step in steps {
            scene.run(step);
        }
        scene.end();
        prop_assert_eq!(accounts(&mut scene), before);
    }
}
