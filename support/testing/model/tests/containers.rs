// SPDX-License-Identifier: BSD-2-Clause
//! The model against the acceptance scenarios that are about frames and their contents.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod world;

use model::Touch::{Done, Faulted};
use pmserver_api::{
    AllocateFlags, ContainerHandle, CopyFlags, DeallocateFlags, FrameState, LockMode, MapFlags,
    PmError, Request, Rights,
};
use world::{C, D, DONE, PLAIN, S, World, count, frames, number, refused, terms};

const RW: MapFlags = MapFlags::READ.union(MapFlags::WRITE);
const COPY: CopyFlags = CopyFlags::empty();

#[test]
fn untouched_frames_are_charged_and_read_as_zero() {
    // S1, PM-30
    let mut world = World::new();
    let container = world.filled(C, 8);
    assert_eq!(world.charge(C), 8);
    world.map(C, (container, 0), 8, 0, RW).unwrap();
    for number in 0..3 {
        assert_eq!(world.store(C, number, 1), Done(1));
    }
    assert_eq!(world.load(C, 7), Done(0));
    let bound = world.states(C, frames(container, 0, 8));
    let bound = bound.iter().filter(|state| state.contains(FrameState::BOUND));
    assert_eq!(bound.count(), 3);
}

#[test]
fn a_frame_in_the_way_stops_all_or_what_comes_after() {
    // S2, S3, PM-31
    let mut world = World::new();
    let container = world.create(C);
    assert_eq!(world.allocate(C, container, 5, 1, PLAIN), number(1));
    assert_eq!(world.allocate(C, container, 0, 10, PLAIN), refused(PmError::Exists, 0, 5));
    assert_eq!(world.charge(C), 1);
    let partial = world.allocate(C, container, 0, 10, AllocateFlags::PARTIAL);
    assert_eq!(partial, refused(PmError::Exists, 5, 5));
    assert_eq!(world.charge(C), 6);
}

#[test]
fn a_squashed_frame_leaves_its_copy_alone() {
    // S4, PM-32
    let mut world = World::new();
    let container = world.create(C);
    world.allocate(C, container, 5, 1, PLAIN).unwrap();
    world.map(C, (container, 5), 1, 0, RW).unwrap();
    assert_eq!(world.store(C, 0, 7), Done(7));
    assert_eq!(world.copy(C, (container, 5), (container, 50), 1, CopyFlags::NEW), number(1));
    let before = world.charge(C);
    assert_eq!(world.allocate(C, container, 0, 10, AllocateFlags::SQUASH), number(10));
    assert_eq!(world.charge(C), before + 9);
    assert_eq!(world.load(C, 0), Faulted, "the mapping went with the frame");
    world.map(C, (container, 5), 1, 0, RW).unwrap();
    world.map(C, (container, 50), 1, 1, RW).unwrap();
    assert_eq!((world.load(C, 0), world.load(C, 1)), (Done(0), Done(7)));
}

#[test]
fn a_limit_is_all_or_nothing_or_as_far_as_it_goes() {
    // S5
    for (room, partial) in [(4, true), (4, false), (1, true), (0, true)] {
        let mut world = World::new();
        let container = world.create(S);
        world.allocate(S, container, 1000, 100 - room, PLAIN).unwrap();
        let flags = if partial { AllocateFlags::PARTIAL } else { PLAIN };
        let done = if partial { room } else { 0 };
        let answer = world.allocate(S, container, 0, 10, flags);
        assert_eq!(answer, refused(PmError::QuotaExceeded, done, room));
        assert_eq!(world.charge(S), 100 - room + done);
    }
}

#[test]
fn nobody_reads_what_another_freed() {
    // S7, PM-30
    let mut world = World::new();
    let secret = world.filled(S, 1);
    world.map(S, (secret, 0), 1, 0, RW).unwrap();
    assert_eq!(world.store(S, 0, 77), Done(77));
    assert_eq!(world.deallocate(S, secret, 0, 1), number(1));
    let fresh = world.filled(C, 1);
    world.map(C, (fresh, 0), 1, 0, RW).unwrap();
    assert_eq!(world.load(C, 0), Done(0));
}

#[test]
fn holes_are_passed_over_unless_strict() {
    // S8, PM-40, PM-41
    let mut world = World::new();
    let container = world.filled(C, 4);
    let strict =
        Request::Deallocate { frames: frames(container, 2, 8), flags: DeallocateFlags::STRICT };
    assert_eq!(world.call(C, strict), refused(PmError::NotFound, 0, 4));
    assert_eq!(world.charge(C), 4);
    assert_eq!(world.deallocate(C, container, 2, 8), number(2));
}

#[test]
fn renewed_frames_read_as_zero_and_their_copies_do_not() {
    // PM-145
    let mut world = World::new();
    let container = world.filled(C, 1);
    world.map(C, (container, 0), 1, 0, RW).unwrap();
    assert_eq!(world.store(C, 0, 5), Done(5));
    assert_eq!(world.copy(C, (container, 0), (container, 1), 1, CopyFlags::NEW), number(1));
    assert_eq!(world.call(C, Request::Renew { frames: frames(container, 0, 1) }), number(1));
    assert_eq!(world.load(C, 0), Faulted);
    world.map(C, (container, 0), 2, 0, RW).unwrap();
    assert_eq!((world.load(C, 0), world.load(C, 1)), (Done(0), Done(5)));
}

#[test]
fn a_cache_and_its_copies_are_apart() {
    // S23, S24, PM-160
    let mut world = World::new();
    let cache = world.filled(S, 1);
    world.map(S, (cache, 0), 1, 0, RW).unwrap();
    assert_eq!(world.store(S, 0, 42), Done(42));
    let lent = world.create_with(C, 1, terms(S, Rights::all()));
    let copied = world.copy(S, (cache, 0), (lent.shared.weak, 0), 1, COPY);
    assert_eq!(copied, number(1));
    assert_eq!((world.charge(S), world.charge(C)), (1, 1), "each pays for its own");
    assert_eq!(world.store(S, 0, 43), Done(43));
    assert_eq!(world.unshare(C, lent.shared.share), DONE);
    world.map(C, (lent.container, 0), 1, 0, MapFlags::READ).unwrap();
    assert_eq!(world.load(C, 0), Done(42));
    assert_eq!(world.deallocate(S, cache, 0, 1), number(1));
    assert_eq!(world.load(C, 0), Done(42));
}

#[test]
fn what_is_really_shared_outlives_either() {
    // S25, PM-162
    let mut world = World::new();
    let (a, b) = (world.filled(C, 1), world.filled(C, 1));
    assert_eq!(world.copy(C, (a, 0), (b, 0), 1, CopyFlags::SHARED), number(1));
    world.map(C, (a, 0), 1, 0, RW).unwrap();
    world.map(C, (b, 0), 1, 1, RW).unwrap();
    assert_eq!(world.store(C, 0, 3), Done(3));
    assert_eq!(world.load(C, 1), Done(3));
    assert_eq!(world.call(C, Request::ContainerDestroy { container: a }), DONE);
    assert_eq!((world.load(C, 1), world.charge(C)), (Done(3), 1));
    let busy = frames(b, 0, 1);
    assert!(world.lock(C, busy, LockMode::Exclusive, 50_000).is_ok(), "shared with none any more");
}

#[test]
fn write_on_a_copy_is_granted_as_read_unless_forced() {
    // S28, PM-86
    let mut world = World::new();
    let container = world.filled(C, 1);
    world.map(C, (container, 0), 1, 0, RW).unwrap();
    assert_eq!(world.store(C, 0, 1), Done(1));
    assert_eq!(world.copy(C, (container, 0), (container, 1), 1, CopyFlags::NEW), number(1));
    assert_eq!(world.map(C, (container, 1), 1, 1, RW), Ok(MapFlags::READ));
    let forced = MapFlags::WRITE | MapFlags::FORCE_WRITE;
    assert_eq!(world.map(C, (container, 1), 1, 2, forced), Ok(RW));
    assert_eq!(world.map(C, (container, 0), 1, 3, RW), Ok(RW), "it shares with none any more");
    assert_eq!(world.map(C, (container, 1), 1, 4, MapFlags::FORCE_WRITE), Ok(MapFlags::READ));
    assert_eq!(world.store(C, 1, 2), Done(2), "it was asked for with WRITE");
    assert_eq!((world.load(C, 0), world.load(C, 2)), (Done(1), Done(2)));
}

#[test]
fn a_copy_stops_at_a_hole_or_does_nothing() {
    // S46, PM-163
    let mut world = World::new();
    let source = world.filled(C, 2);
    let to = world.create(C);
    let stopped = world.copy(C, (source, 0), (to, 0), 4, CopyFlags::NEW);
    assert_eq!(stopped, refused(PmError::NotFound, 2, 2));
    assert_eq!(world.deallocate(C, to, 0, 4), number(2));
    let atomic = world.copy(C, (source, 0), (to, 0), 4, CopyFlags::NEW | CopyFlags::ATOMIC);
    assert_eq!(atomic, refused(PmError::NotFound, 0, 2));
    assert_eq!(world.deallocate(C, to, 0, 4), number(0));
}

#[test]
fn overlapping_ranges_are_read_before_anything_changes() {
    // PM-164
    let mut world = World::new();
    let container = world.filled(C, 4);
    world.map(C, (container, 0), 4, 0, RW).unwrap();
    for number in 0..4 {
        assert_eq!(world.store(C, number, 10 + number), Done(10 + number));
    }
    assert_eq!(world.copy(C, (container, 0), (container, 1), 3, COPY), number(3));
    let after = [0, 1, 2, 3].map(|number| world.load(C, number));
    assert_eq!(after, [Done(10), Done(10), Done(11), Done(12)]);
    assert_eq!(world.copy(C, (container, 1), (container, 0), 3, CopyFlags::MOVE), number(3));
    let state = world.states(C, frames(container, 0, 4));
    assert_eq!(state.iter().filter(|state| state.contains(FrameState::PRESENT)).count(), 3);
}

#[test]
fn a_copy_of_pinned_memory_is_apart_from_it_and_what_moves_on_is_not() {
    // PM-164, PM-166: 1 has the memory of 4, which is pinned, and 2 that of 5.
    let mut world = World::new();
    let container = world.filled(D, 4);
    world.map(D, (container, 0), 4, 0, RW).unwrap();
    for number in 0..4 {
        assert_eq!(world.store(D, number, 10 + number), Done(10 + number));
    }
    assert_eq!(world.copy(D, (container, 1), (container, 4), 2, CopyFlags::NEW), number(2));
    let (mode, ttl) = (LockMode::Read, proto::Micros::new(50_000));
    assert!(world.call(D, Request::Pin { frames: frames(container, 4, 1), mode, ttl }).is_ok());
    assert_eq!(world.copy(D, (container, 0), (container, 1), 3, COPY), number(3));
    let states = world.states(D, frames(container, 0, 6));
    let are_cow: Vec<bool> = states.iter().map(|it| it.contains(FrameState::COW)).collect();
    assert_eq!(are_cow[..6], [true, true, false, true, false, true]);
}

#[test]
fn a_pin_for_writing_leaves_copies_alone() {
    // S20, PM-270
    let mut world = World::new();
    let container = world.filled(D, 1);
    world.map(D, (container, 0), 1, 0, RW).unwrap();
    assert_eq!(world.store(D, 0, 9), Done(9));
    assert_eq!(world.copy(D, (container, 0), (container, 1), 1, CopyFlags::NEW), number(1));
    let (mode, ttl) = (LockMode::Exclusive, proto::Micros::new(50_000));
    let pin = Request::Pin { frames: frames(container, 0, 1), mode, ttl };
    assert!(world.call(D, pin).is_ok());
    assert_eq!(world.charge(D), 3, "the pinned one is paid twice (PM-272)");
    assert!(!world.states(D, frames(container, 1, 1))[0].contains(FrameState::COW));
    world.now += 100_000;
    let state = world.states(D, frames(container, 0, 1))[0];
    assert!(state.contains(FrameState::TAKEN_OVER), "PM-273: {state:?}");
    assert_eq!(world.charge(D), 3);
    assert_eq!(world.error(C, pin), Some(PmError::InvalidCap));
}

#[test]
fn a_pin_that_has_run_out_ends_before_a_frame_of_its_ring_is_used() {
    // PM-273, PM-165
    let mut world = World::new();
    let (container, twin) = (world.filled(D, 2), world.create(D));
    let shared = CopyFlags::NEW | CopyFlags::SHARED;
    assert_eq!(world.copy(D, (container, 0), (twin, 0), 1, shared), number(1));
    let (mode, ttl) = (LockMode::Read, proto::Micros::new(50_000));
    let pin = |container| Request::Pin { frames: frames(container, 0, 1), mode, ttl };
    assert!(world.call(D, pin(twin)).is_ok());
    world.now += 100_000;
    let mut again = world.clone();
    // A copy: what is moved to has not been under the pin.
    assert_eq!(world.copy(D, (container, 0), (container, 1), 1, CopyFlags::MOVE), number(1));
    for (container, number, is_taken_over) in [(twin, 0, true), (container, 1, false)] {
        let state = world.states(D, frames(container, number, 1))[0];
        assert_eq!(state.contains(FrameState::TAKEN_OVER), is_taken_over, "{state:?}");
    }
    // A pin: it ends the state.
    assert!(again.call(D, pin(container)).is_ok());
    for container in [twin, container] {
        let state = again.states(D, frames(container, 0, 1))[0];
        assert!(!state.contains(FrameState::TAKEN_OVER), "{state:?}");
    }
}

#[test]
fn numbers_end_where_they_end() {
    // S50, PM-7
    let mut world = World::new();
    let container = world.create(C);
    assert_eq!(world.allocate(C, container, u64::MAX, 1, PLAIN), number(1));
    assert_eq!(world.allocate(C, container, u64::MAX, 2, PLAIN), refused(PmError::Invalid, 0, 0));
    let both = MapFlags::WRITE | MapFlags::EXECUTE;
    assert_eq!(world.map(C, (container, u64::MAX), 1, 0, both), Err(PmError::Invalid));
    world.map(C, (container, u64::MAX), 1, 0, RW).unwrap();
    assert_eq!(world.map(C, (container, u64::MAX), 1, 0, RW), Err(PmError::Occupied));
    let last = proto::VirtAddr::new_page((1 << 47) - 4096).unwrap();
    let far = Request::Unmap { vaddr: last, count: count(2) };
    assert_eq!(world.error(C, far), Some(PmError::Invalid));
}

#[test]
fn handles_are_nobody_elses_and_do_not_come_back() {
    // S51, PM-5
    let mut world = World::new();
    let container = world.filled(C, 1);
    let foreign = world.allocate(S, container, 9, 1, PLAIN);
    assert_eq!(foreign, refused(PmError::InvalidCap, 0, 0));
    assert_eq!(container.owner(), Some(world::peer(C)));
    assert_eq!(world.call(C, Request::ContainerDestroy { container }), DONE);
    assert_ne!(world.create(C), container);
    for raw in [0, 1, container.raw(), u64::MAX] {
        let handle = ContainerHandle::from_raw(raw);
        let answer = world.allocate(C, handle, 9, 1, PLAIN);
        assert_eq!(answer, refused(PmError::InvalidCap, 0, 0));
    }
    let gone = world.copy(C, (container, 0), (container, 1), 1, COPY);
    assert_eq!(gone, refused(PmError::InvalidCap, 0, 0));
}
