// SPDX-License-Identifier: BSD-2-Clause
//! What the model believes the server, because only the server knows it.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod world;

use model::{Answer, Touch};
use pmserver_api::{
    AccountHandle, AccountRights, AllocateFlags, ContainerHandle, CopyFlags, FrameState, Frames,
    LimitFlags, LockMode, MapFlags, PmError, Reply, Request, Rights, Status,
};
use proto::Micros;
use world::{C, D, LEASE, S, World, at, count, frames, number, page, peer, refused, terms};

const RW: MapFlags = MapFlags::READ.union(MapFlags::WRITE);

impl World {
    fn believes(&mut self, caller: u64, request: Request, answer: Answer) -> bool {
        let now = Micros::new(self.now);
        self.model.call(peer(caller), &request, now, Some(&answer)).allows(&answer)
    }
}

#[test]
fn pm_383_the_kernel_may_refuse_what_is_mapped_again() {
    let mut world = World::new();
    let container = world.filled(C, 4);
    world.map(C, (container, 0), 4, 0, MapFlags::READ).unwrap();
    let remap = Request::Remap { vaddr: page(0), count: count(4), flags: RW };
    let refusal = refused(PmError::Invalid, 0, 0);
    assert!(!world.clone().believes(C, remap, refusal));
    world.model.doubt_kernel(true);
    assert!(world.believes(C, remap, refusal));
    world.model.doubt_kernel(false);
    // Nothing has changed: a store is still a fault.
    assert_eq!(world.store(C, 0, 1), Touch::Faulted);
    let unmap = Request::Unmap { vaddr: page(0), count: count(4) };
    assert_eq!(world.call(C, unmap), number(4));
}

/// C maps a frame of D that S has to supply.
fn lent_by_d(world: &mut World) {
    let lent = world.create_with(D, 2, terms(C, Rights::all()));
    let (container, cookie) = (lent.container, 7);
    let set =
        Request::SetHandler { container, start: at(0), count: 2, handler: Some(peer(S)), cookie };
    assert!(matches!(world.call(D, set), Ok(Reply::Range(_))));
    world.map(C, (lent.shared.weak, 0), 1, 0, RW).unwrap();
}

/// D is stopped, and `reclaim` has taken away nobody knows which part of what D had.
fn stop_d(world: &mut World) {
    world.fault(D);
    assert!(world.believes(C, Request::Reclaim, number(1)));
}

#[test]
fn pm_130_what_is_mapped_again_goes_when_teardown_comes_to_it() {
    for was_there in [0, 1] {
        let mut world = World::new();
        lent_by_d(&mut world);
        stop_d(&mut world);
        let remap = Request::Remap { vaddr: page(0), count: count(1), flags: MapFlags::READ };
        assert!(matches!(world.call(C, remap), Ok(Reply::Mapped(_))));
        let unmap = Request::Unmap { vaddr: page(0), count: count(1) };
        assert!(world.believes(C, unmap, number(was_there)));
    }
}

#[test]
fn pm_351_a_wait_may_be_over_when_teardown_has_come_to_its_container() {
    let nothing = Ok(Reply::Fault(None));
    let mut world = World::new();
    lent_by_d(&mut world);
    assert_eq!(world.load(C, 0), Touch::Waits);
    assert!(!world.clone().believes(S, Request::NextFault, nothing));
    stop_d(&mut world);
    let mut ended = world.clone();
    assert!(ended.believes(S, Request::NextFault, nothing));
    assert_eq!(ended.call(S, Request::NextFault), nothing, "it does not come back");
    let Ok(Reply::Fault(Some(told))) = world.call(S, Request::NextFault) else {
        panic!("it may be told, too")
    };
    let refuse = Request::Refuse { fault: told.fault };
    let gone = refused(PmError::InvalidCap, 0, 0);
    assert!(world.clone().believes(S, refuse, gone));
    assert!(world.believes(S, refuse, Ok(Reply::Done)));
}

#[test]
fn pm_203_pages_behind_an_accessed_one_may_be_mapped() {
    let mut world = World::new();
    let container = world.filled(C, 80);
    world.map(C, (container, 0), 70, 0, RW | MapFlags::FORCE_WRITE).unwrap();
    let (start, flags) = (at(0), RW);
    let region = Request::Attach { container, start, vaddr: page(100), count: 80, flags };
    assert_eq!(world.call(C, region), Ok(Reply::Done));
    assert_eq!(world.load(C, 102), Touch::Done(0));
    let unmapped = |first, all, told| {
        let unmap = Request::Unmap { vaddr: page(first), count: count(all) };
        world.clone().believes(C, unmap, number(told))
    };
    // At most 64 with that page, and none before it.
    assert!(unmapped(102, 80, 1) && unmapped(102, 80, 64) && unmapped(103, 80, 63));
    assert!(!unmapped(102, 80, 0) && !unmapped(102, 80, 65) && !unmapped(100, 2, 1));
    // Of 64 frames at aligned numbers and addresses those before it, too.
    let region = Request::Attach { container, start, vaddr: page(256), count: 80, flags };
    assert_eq!(world.call(C, region), Ok(Reply::Done));
    assert_eq!(world.load(C, 258), Touch::Done(0));
    let unmapped_there = |first, all, told| {
        let unmap = Request::Unmap { vaddr: page(first), count: count(all) };
        world.clone().believes(C, unmap, number(told))
    };
    assert!(unmapped_there(256, 2, 0) && unmapped_there(256, 2, 2) && unmapped_there(256, 64, 64));
    // The access to one is no fault, be it mapped or not.
    let now = Micros::new(world.now);
    let access = model::Access::Load;
    let seen = Some(Touch::Faulted);
    assert_eq!(world.model.touch(peer(C), page(110), access, now, seen), Touch::Done(0));
}

#[test]
fn pm_200_a_region_maps_where_an_access_finds_that_a_mapping_is_gone() {
    let mut world = World::new();
    let lent = world.create_with(D, 1, terms(C, Rights::all()));
    world.map(C, (lent.shared.weak, 0), 1, 0, RW).unwrap();
    assert_eq!(world.store(C, 0, 7), Touch::Done(7));
    let container = world.filled(C, 1);
    world.map(C, (container, 0), 1, 9, RW).unwrap();
    assert_eq!(world.store(C, 9, 5), Touch::Done(5));
    let (start, flags) = (at(0), MapFlags::READ);
    let region = Request::Attach { container, start, vaddr: page(0), count: 1, flags };
    assert_eq!(world.call(C, region), Ok(Reply::Done));
    stop_d(&mut world);
    let (store, load) = (model::Access::Store(8), model::Access::Load);
    for (seen, loaded) in [(Touch::Done(8), 8), (Touch::Faulted, 5)] {
        let mut model = world.model.clone();
        let now = Micros::new(world.now);
        assert_eq!(model.touch(peer(C), page(0), store, now, Some(seen)), seen);
        // The region has mapped its frame, to which nobody may store here.
        let direct = model.touch_directly(peer(C), page(0), load, now, Some(Touch::Done(loaded)));
        assert_eq!(direct, Touch::Done(loaded));
    }
}

#[test]
fn pm_235_an_account_may_be_gone_with_one_above_it() {
    let mut world = World::new();
    let flags = LimitFlags::empty();
    let split = |account| Request::AccountSplit { account, limit_pages: 20, flags };
    let Ok(Reply::Account(above)) = world.call(C, split(AccountHandle::OWN)) else {
        panic!("it has room")
    };
    let Ok(Reply::Account(below)) = world.call(C, split(above)) else { panic!("it has room") };
    let (rights, to) = (AccountRights::READ, peer(S));
    let lend = Request::AccountLend { account: below, peer: to, rights };
    let Ok(Reply::Account(lent)) = world.call(C, lend) else { panic!("it is lent") };
    let destroy = |account| Request::AccountDestroy { account };
    let gone = refused(PmError::InvalidCap, 0, 0);
    assert!(!world.clone().believes(S, destroy(lent), gone));
    assert!(world.believes(C, destroy(above), refused(PmError::Pending, 1, 0)));
    assert!(world.clone().believes(S, destroy(lent), gone));
    assert!(world.believes(S, destroy(lent), refused(PmError::NoRight, 0, 0)));
}

#[test]
fn pm_150_a_range_that_is_far_behind_is_not_found() {
    let too_many = refused(PmError::TooMany, 0, 0);
    for (last, frames, is_possible) in
        [(u64::MAX - 1, 100, true), (u64::MAX, 3, false), (200, 100, false)]
    {
        let mut world = World::new();
        let container = world.filled(C, frames);
        world.allocate(C, container, last, 1, AllocateFlags::empty()).unwrap();
        let flags = AllocateFlags::empty();
        let anywhere = Request::AllocateAnywhere { container, count: count(7), flags };
        assert_eq!(world.believes(C, anywhere, too_many), is_possible, "{last} {frames}");
    }
}

/// Returns a container of D with three frames that have one memory, if they were not copied apart:
/// they may be when they are pinned, if more frames had that memory once than a server knows.
fn copies_of_one(world: &mut World, most: u64) -> ContainerHandle {
    let container = world.filled(D, 1);
    world.map(D, (container, 0), 1, 0, RW).unwrap();
    assert_eq!(world.store(D, 0, 1), Touch::Done(1));
    for to in 1..most {
        world.copy(D, (container, 0), (container, to), 1, CopyFlags::NEW).unwrap();
    }
    world.deallocate(D, container, 3, 10).unwrap();
    container
}

fn pin(world: &mut World, container: ContainerHandle, first: u64, all: u64) {
    let (frames, ttl) = (frames(container, first, all), Micros::new(LEASE));
    let pin = Request::Pin { frames, mode: LockMode::Read, ttl };
    assert!(matches!(world.call(D, pin), Ok(Reply::Pinned(_))));
}

/// Returns whether a frame may have the memory of another, and whether it may have its own.
fn may_be_cow_or_apart(world: &World, container: ContainerHandle, number: u64) -> (bool, bool) {
    let may_be = |state| {
        let mut states = [FrameState::empty(); 24];
        states[0] = state;
        let answer = Ok(Reply::Status(Status { count: 1, frames: states }));
        let request = Request::Status { frames: frames(container, number, 1) };
        world.clone().believes(D, request, answer)
    };
    let apart = FrameState::PRESENT | FrameState::BOUND;
    let pinned = apart | FrameState::LOCKED | FrameState::PINNED;
    let cow = FrameState::COW;
    (may_be(apart | cow) || may_be(pinned | cow), may_be(apart) || may_be(pinned))
}

#[test]
fn pm_400_a_frame_may_have_left_the_memory_of_one_that_is_pinned() {
    for (most, may_be_apart) in [(3, false), (6, true)] {
        let mut world = World::new();
        let container = copies_of_one(&mut world, most);
        pin(&mut world, container, 1, 1);
        let copied_from = |from| {
            let mut world = world.clone();
            world.copy(D, (container, from), (container, 9), 1, CopyFlags::NEW).unwrap();
            may_be_cow_or_apart(&world, container, 9)
        };
        assert_eq!(copied_from(0), (may_be_apart, true), "PM-166");
        assert_eq!(copied_from(1), (false, true), "this one is pinned");
    }
}

#[test]
fn pm_400_a_frame_may_have_left_the_memory_of_one_before_it_in_the_pin() {
    for (most, may_be_apart) in [(3, false), (6, true)] {
        let mut world = World::new();
        let container = copies_of_one(&mut world, most);
        pin(&mut world, container, 1, 2);
        assert_eq!(may_be_cow_or_apart(&world, container, 2), (may_be_apart, true));
    }
}

#[test]
fn pm_32_a_part_that_goes_on_may_have_been_short_of_memory() {
    let pending = refused(PmError::Pending, 5, 0);
    for (flags, may_be_missing) in [(AllocateFlags::empty(), false), (AllocateFlags::PARTIAL, true)]
    {
        let mut world = World::new();
        let container = world.filled(C, 100);
        let (frames, flags) = (frames(container, 0, 199), flags | AllocateFlags::SQUASH);
        assert!(world.believes(C, Request::Allocate { frames, flags }, pending));
        let mut told = |number, is_there| {
            let mut states = [FrameState::empty(); 24];
            states[0].set(FrameState::PRESENT, is_there);
            let request =
                Request::Status { frames: Frames { start: at(number), count: count(1), ..frames } };
            world.believes(C, request, Ok(Reply::Status(Status { count: 1, frames: states })))
        };
        assert!(told(99, true) && !told(99, false), "it was there before");
        assert!(told(197, true) && !told(197, false), "it was made");
        assert_eq!(told(198, false), may_be_missing);
        assert_eq!(told(198, true), !may_be_missing);
    }
}

#[test]
fn pm_323_few_frames_with_many_grants_may_be_too_many() {
    let mut world = World::new();
    let (from, to) = (world.filled(C, 15), world.filled(C, 15));
    let copy = |of| Request::Copy {
        source: from,
        source_start: at(0),
        destination: to,
        destination_start: at(0),
        count: count(of),
        flags: CopyFlags::ATOMIC,
    };
    let refusal = refused(PmError::TooMany, 0, 1);
    assert!(!world.clone().believes(C, copy(15), refusal));
    for container in [from, to].repeat(4) {
        let grant = Request::Grant { frames: frames(container, 0, 15), rights: RW };
        assert!(matches!(world.call(C, grant), Ok(Reply::Granted(_))));
    }
    assert!(!world.clone().believes(C, copy(2), refusal));
    assert!(world.believes(C, copy(15), refusal));
}
