// SPDX-License-Identifier: BSD-2-Clause
//! Pins of large frames as a whole (PM-460), and pins without a deadline (PM-461).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{
    PAGE, Pm, World, all, at, byte_of, failure, filled, frames, info, page, peer, refusal,
};
use pmserver_api::{
    AccountHandle, BusRun, CallError, ContainerHandle, CopyFlags, DeallocateFlags, Failure,
    FrameState, LimitFlags, LockMode, MapFlags, Pinned, PmError, Rights, ShareHandle,
};
use pmserver_core::config::{PeerConfig, Privileges};
use proto::limits::PEER_PINNED_FRAMES_MAX;
use proto::{ByteCount, Micros};
use sim::SimKernel;

const OWN: AccountHandle = AccountHandle::OWN;
const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);
const LONG: Micros = Micros::new(1_000_000);
const SHORT: Micros = Micros::new(1000);
const LARGE: u64 = 512;

/// Peer 1 is a driver, peer 2 and 3 have memory, peer 4 sets policy. The pool has large frames.
fn world() -> World {
    World::over(SimKernel::new(64 << 20), &peers())
}

fn peers() -> [PeerConfig<'static>; 4] {
    let policy = Privileges::SET_POLICY | Privileges::READ_ACCOUNTS | Privileges::SUPERVISE;
    let owner = Privileges::DMA | Privileges::EXTRA;
    let privileges = [Privileges::DMA, owner, Privileges::empty(), policy];
    [1, 2, 3, 4].map(|peer| PeerConfig {
        peer,
        name: "peer",
        limit: ByteCount::new(13 << 20),
        privileges: privileges[usize::from(peer) - 1],
    })
}

/// A large frame of a peer's that the driver may use as it likes. It is mapped at a page.
fn lent(world: &World, number: u64) -> (Pm, ContainerHandle, (ShareHandle, ContainerHandle)) {
    let mut pm = world.as_peer(number);
    let container = filled_large(&mut pm);
    assert_eq!(pm.map(container, at(0), frames(LARGE), page(0), FORCED).unwrap().count, LARGE);
    for place in (0..LARGE).step_by(37) {
        world.store(number, byte_of(place), page(place)).unwrap();
    }
    let shared = pm.share(container, at(0), LARGE, peer(1), Rights::all(), LONG).unwrap();
    (pm, container, (shared.share, shared.weak))
}

fn filled_large(pm: &mut Pm) -> ContainerHandle {
    filled(pm, LARGE)
}

fn pin(pm: &mut Pm, of: ContainerHandle, mode: LockMode, ttl: Micros) -> Result<Pinned, CallError> {
    all(|| pm.pin(of, at(0), frames(LARGE), mode, ttl))
}

fn check_bytes(world: &World, number: u64, first_page: u64) {
    for place in (0..LARGE).step_by(37) {
        assert_eq!(world.load(number, page(first_page + place)), Ok(byte_of(place)), "{place}");
    }
}

fn state(pm: &mut Pm, container: ContainerHandle, number: u64) -> FrameState {
    pm.status(container, at(number), frames(1)).unwrap().frames[0]
}

#[test]
fn a_large_frame_is_pinned_in_one_run_and_stays_large() {
    // PM-460
    for mode in [LockMode::Exclusive, LockMode::Read] {
        let world = world();
        let (mut pm, container, (share, weak)) = lent(&world, 2);
        let mut driver = world.as_peer(1);
        let before = (info(&mut driver, OWN), info(&mut pm, OWN));
        let pinned = pin(&mut driver, weak, mode, LONG).unwrap();
        assert_eq!(pinned.bus.frames, LARGE);
        assert!(pinned.bus.address.is_multiple_of(LARGE * PAGE));
        let last = driver.bus_address(pinned.lease.lease, at(LARGE - 1)).unwrap();
        let address = pinned.bus.address + (LARGE - 1) * PAGE;
        assert_eq!(last, BusRun { address, frames: 1 });
        assert!(world.device_write(address, 0xAB));
        assert!(state(&mut pm, container, 300).contains(FrameState::PINNED | FrameState::LOCKED));
        let charged = info(&mut driver, OWN).frames.get() - before.0.frames.get();
        assert_eq!(charged, LARGE * PAGE, "PM-272");
        driver.unlock(pinned.lease.lease).unwrap();
        pm.unshare(share).unwrap();
        check_bytes(&world, 2, 0);
        assert_eq!(world.load(2, page(LARGE - 1)), Ok(0xAB));
        // It was never split: all of it is unmapped by one step.
        assert_eq!((info(&mut driver, OWN), info(&mut pm, OWN)), before);
        assert!(world.most_work() < 400_000, "{}", world.most_work());
    }
}

#[test]
fn frames_without_memory_get_a_large_frame_when_they_are_pinned() {
    let world = world();
    let mut pm = world.as_peer(2);
    let container = filled_large(&mut pm);
    let pinned = pin(&mut pm, container, LockMode::Exclusive, LONG).unwrap();
    assert_eq!(pinned.bus.frames, LARGE);
    // Bound one by one there is none.
    let container = filled_large(&mut pm);
    pm.map(container, at(3), frames(1), page(0), FORCED).unwrap();
    let refused = pin(&mut pm, container, LockMode::Exclusive, LONG);
    assert_eq!(refusal(refused), Some(PmError::TooMany));
    let pinned = all(|| pm.pin(container, at(0), frames(256), LockMode::Exclusive, LONG)).unwrap();
    assert!(pinned.bus.frames < LARGE);
}

#[test]
fn a_part_of_a_large_frame_is_pinned_once_that_is_split_and_unmapped() {
    // PM-270
    let world = world();
    let (_, _, (_, weak)) = lent(&world, 2);
    let mut driver = world.as_peer(1);
    for start in [0, 256, 0] {
        let pin = || driver.pin(weak, at(start), frames(256), LockMode::Exclusive, LONG);
        let pinned = all(pin).unwrap();
        driver.unlock(pinned.lease.lease).unwrap();
        // Mapped again one by one.
        for place in 0..LARGE {
            assert!(world.load(2, page(place)).is_ok());
        }
    }
    check_bytes(&world, 2, 0);
}

#[test]
fn what_needs_a_part_waits_for_the_pin() {
    // PM-460
    let world = world();
    let mut pm = world.as_peer(2);
    let container = filled_large(&mut pm);
    let pinned = pin(&mut pm, container, LockMode::Exclusive, LONG).unwrap();
    let part = all(|| pm.map(container, at(7), frames(1), page(0), FORCED));
    let at_end = pinned.lease.deadline.get();
    assert_eq!(failure(part), Failure { error: PmError::Pending, done: 0, at: at_end });
    let all_of_it = pm.map(container, at(0), frames(LARGE), page(0), FORCED).unwrap();
    assert_eq!(all_of_it.count, LARGE, "not what needs no part");
    let part = all(|| pm.unmap(page(8), frames(8)));
    assert_eq!(failure(part), Failure { error: PmError::Pending, done: 0, at: at_end });
    world.store(2, 0x44, page(9)).unwrap();
    let bus = pm.bus_address(pinned.lease.lease, at(9)).unwrap();
    assert!(world.device_write(bus.address + 1, 0x55));
    assert_eq!(world.load(2, page(9)), Ok(0x44));
    pm.unlock(pinned.lease.lease).unwrap();
    assert_eq!(all(|| pm.unmap(page(8), frames(8))), Ok(8));
    assert_eq!(world.load(2, page(9).checked_add(PAGE * 8).unwrap()), Ok(0));
}

#[test]
fn copies_of_a_large_frame_leave_it_while_it_is_pinned() {
    // PM-400, S20
    let world = world();
    let (mut pm, container, (_, weak)) = lent(&world, 2);
    let mut driver = world.as_peer(1);
    let copy = filled_large(&mut pm);
    let copied = || pm_copy(&world, container, copy);
    assert_eq!(copied(), Ok(LARGE));
    assert_eq!(
        pm.map(copy, at(0), frames(LARGE), page(LARGE), MapFlags::WRITE).unwrap().count,
        LARGE
    );
    let pinned = pin(&mut driver, weak, LockMode::Read, LONG).unwrap();
    // A store to the copy leaves the pinned frame where it is.
    world.store(2, 0x77, page(LARGE + 5)).unwrap();
    assert_eq!(driver.bus_address(pinned.lease.lease, at(0)), Ok(pinned.bus));
    check_bytes(&world, 2, 0);
    check_bytes(&world, 2, LARGE);
    assert_eq!(world.load(2, page(LARGE + 5)), Ok(0x77));
    assert_eq!(world.load(2, page(5)), Ok(0));
    // One that is made meanwhile is one memory with it until then.
    let other = filled_large(&mut pm);
    assert_eq!(pm_copy(&world, container, other), Ok(LARGE));
    assert!(state(&mut pm, other, 9).contains(FrameState::COW));
    assert_eq!(driver.bus_address(pinned.lease.lease, at(0)), Ok(pinned.bus));
    driver.unlock(pinned.lease.lease).unwrap();
    // A device that writes gets it alone.
    let pinned = pin(&mut driver, weak, LockMode::Exclusive, LONG).unwrap();
    assert_eq!(pinned.bus.frames, LARGE);
    assert!(world.device_write(pinned.bus.address, 0x99));
    assert!(!state(&mut pm, other, 9).contains(FrameState::COW));
    pm.map(other, at(0), frames(256), page(2 * LARGE), MapFlags::READ).unwrap();
    assert_eq!(world.load(2, page(2 * LARGE)), Ok(byte_of(0)));
}

fn pm_copy(world: &World, from: ContainerHandle, to: ContainerHandle) -> Result<u64, CallError> {
    let mut pm = world.as_peer(2);
    all(|| pm.copy((from, at(0)), (to, at(0)), frames(LARGE), CopyFlags::empty()))
}

#[test]
fn a_large_frame_whose_pin_runs_out_moves_and_its_memory_is_in_quarantine() {
    // PM-273, S19
    let world = world();
    let (mut pm, container, (_, weak)) = lent(&world, 2);
    let mut driver = world.as_peer(1);
    let before = info(&mut driver, OWN);
    let pinned = pin(&mut driver, weak, LockMode::Exclusive, SHORT).unwrap();
    assert!(world.device_write(pinned.bus.address + PAGE, 0x11));
    world.advance(SHORT.get());
    let mapped = all(|| pm.map(container, at(0), frames(256), page(LARGE), MapFlags::READ));
    assert_eq!(mapped.unwrap().count, 256);
    assert!(world.device_write(pinned.bus.address + PAGE, 0x66), "it goes on");
    assert_eq!(world.load(2, page(LARGE + 1)), Ok(0x11));
    check_bytes(&world, 2, 0);
    for number in [0, 77, LARGE - 1] {
        let expected = FrameState::TAKEN_OVER | FrameState::PINNED;
        assert_eq!(state(&mut pm, container, number) & expected, FrameState::TAKEN_OVER);
    }
    let kept = info(&mut driver, OWN).frames.get() - before.frames.get();
    assert_eq!(kept, LARGE * PAGE, "at the driver's cost");
    driver.unlock(pinned.lease.lease).unwrap();
    assert_eq!(info(&mut driver, OWN), before);
    // A pin of a part clears the mark of that part.
    all(|| driver.pin(weak, at(77), frames(1), LockMode::Read, LONG)).unwrap();
    assert!(!state(&mut pm, container, 77).contains(FrameState::TAKEN_OVER));
    assert!(state(&mut pm, container, 78).contains(FrameState::TAKEN_OVER));
}

#[test]
fn a_release_in_time_moves_nothing_though_moving_has_begun() {
    let world = world();
    let (mut pm, container, (_, weak)) = lent(&world, 2);
    let mut driver = world.as_peer(1);
    let before = info(&mut driver, OWN);
    let pinned = pin(&mut driver, weak, LockMode::Exclusive, SHORT).unwrap();
    world.advance(SHORT.get());
    let begun = pm.map(container, at(0), frames(256), page(LARGE), MapFlags::READ);
    assert_eq!(failure(begun), Failure { error: PmError::Pending, done: 0, at: 0 });
    driver.unlock(pinned.lease.lease).unwrap();
    assert_eq!(info(&mut driver, OWN), before);
    check_bytes(&world, 2, 0);
    assert!(!state(&mut pm, container, 0).contains(FrameState::TAKEN_OVER));
}

#[test]
fn a_peer_pins_so_many_frames_and_no_more() {
    // PM-270
    let world = world();
    let mut driver = world.as_peer(1);
    let lent = [2, 2, 3, 3, 3].map(|number| {
        let mut pm = world.as_peer(number);
        let container = filled_large(&mut pm);
        pm.share(container, at(0), LARGE, peer(1), Rights::all(), LONG).unwrap().weak
    });
    let [first, .., last] = lent.map(|weak| {
        let few = || driver_pin(&world, weak, PEER_PINNED_FRAMES_MAX % LARGE);
        pin(&mut driver, weak, LockMode::Read, LONG).or_else(|_| few()).unwrap()
    });
    let more = driver_pin(&world, lent[4], 1);
    assert_eq!(refusal(more), Some(PmError::TooMany));
    driver.unlock(first.lease.lease).unwrap();
    let twice = driver_pin(&world, lent[4], 1);
    let at = last.lease.deadline.get();
    assert_eq!(failure(twice), Failure { error: PmError::Locked, done: 0, at });
    driver_pin(&world, lent[0], 1).unwrap();
}

fn driver_pin(world: &World, of: ContainerHandle, count: u64) -> Result<Pinned, CallError> {
    let mut driver = world.as_peer(1);
    all(|| driver.pin(of, at(0), frames(count), LockMode::Read, LONG))
}

#[test]
fn pins_that_have_run_out_elsewhere_do_not_count() {
    // PM-344, PM-272
    let world = World::over(SimKernel::new(64 << 20).with_iommu(), &peers());
    let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
    let before = info(&mut driver, OWN);
    let lent: Vec<ContainerHandle> = std::iter::repeat_with(|| {
        let container = filled(&mut pm, 256);
        pm.share(container, at(0), 256, peer(1), Rights::all(), LONG).unwrap().weak
    })
    .take(9)
    .collect();
    for start in (0..PEER_PINNED_FRAMES_MAX).step_by(64) {
        let weak = lent[usize::try_from(start / 256).unwrap()];
        driver.pin(weak, at(start % 256), frames(64), LockMode::Read, LONG).unwrap();
        let large = driver.pin(weak, at(0), frames(LARGE), LockMode::Read, LONG);
        assert!(refusal(large).is_some(), "a device behind an IOMMU has no large frames");
    }
    let last = || world.as_peer(1).pin(lent[8], at(200), frames(1), LockMode::Read, LONG);
    assert_eq!(refusal(last()), Some(PmError::TooMany));
    world.advance(LONG.get());
    // Ending them takes more than one call (PM-325).
    assert_eq!(refusal(last()), Some(PmError::Pending));
    driver.unlock(all(last).unwrap().lease.lease).unwrap();
    assert_eq!(info(&mut driver, OWN), before);
}

#[test]
fn a_pin_without_a_deadline_is_for_memory_of_ones_own() {
    // PM-461
    let world = world();
    let mut driver = world.as_peer(1);
    let (_, _, (_, weak)) = lent(&world, 2);
    let of_others = driver.pin(weak, at(0), frames(3), LockMode::Exclusive, Micros::NEVER);
    assert_eq!(refusal(of_others), Some(PmError::NoRight));
    let before = info(&mut driver, OWN);
    let container = filled(&mut driver, 3);
    let reading = driver.pin(container, at(0), frames(3), LockMode::Read, Micros::NEVER);
    assert_eq!(refusal(reading), Some(PmError::Invalid));
    let large = filled_large(&mut driver);
    assert_eq!(
        refusal(pin(&mut driver, large, LockMode::Exclusive, Micros::NEVER)),
        Some(PmError::TooMany)
    );
    driver.container_destroy(large).unwrap();
    let rings =
        driver.pin(container, at(0), frames(3), LockMode::Exclusive, Micros::NEVER).unwrap();
    assert_eq!(rings.lease.deadline, Micros::NEVER);
    driver.map(container, at(0), frames(3), page(0), FORCED).unwrap();
    world.advance(1 << 40);
    assert_eq!(driver.bus_address(rings.lease.lease, at(0)), Ok(rings.bus));
    assert!(state(&mut driver, container, 0).contains(FrameState::PINNED));
    let freed = driver.deallocate(container, at(0), frames(3), DeallocateFlags::empty());
    assert_eq!(failure(freed), Failure { error: PmError::Locked, done: 0, at: u64::MAX });
    driver.unlock(rings.lease.lease).unwrap();
    driver.unmap(page(0), frames(3)).unwrap();
    driver.container_destroy(container).unwrap();
    assert_eq!(info(&mut driver, OWN), before);
}

#[test]
fn a_pin_without_a_deadline_ends_with_its_container_and_its_holder() {
    // PM-461, PM-273
    for stops in [false, true] {
        let world = world();
        let mut driver = world.as_peer(1);
        let before = info(&mut driver, OWN);
        let container = filled(&mut driver, 3);
        let rings =
            driver.pin(container, at(0), frames(3), LockMode::Exclusive, Micros::NEVER).unwrap();
        let mut policy = world.as_peer(4);
        if stops {
            let account = AccountHandle::of_peer(peer(1));
            all(|| policy.account_destroy(account)).unwrap();
        } else {
            driver.container_destroy(container).unwrap();
            let kept = info(&mut driver, OWN).frames.get() - before.frames.get();
            assert_eq!(kept, 3 * PAGE, "the memory is in quarantine");
        }
        assert!(world.device_write(rings.bus.address, 0x66));
        policy.device_reset(peer(1)).unwrap();
        if !stops {
            assert_eq!(info(&mut driver, OWN), before);
        }
    }
}

#[test]
fn frames_under_a_pin_without_a_deadline_do_not_become_extra() {
    // PM-461
    let world = world();
    let (mut pm, mut policy) = (world.as_peer(2), world.as_peer(4));
    let account = AccountHandle::of_peer(peer(2));
    let container = filled(&mut pm, 8);
    let rings = pm.pin(container, at(4), frames(4), LockMode::Exclusive, Micros::NEVER).unwrap();
    let used = info(&mut pm, OWN).used.get() / PAGE;
    let flags = LimitFlags::EXTRA | LimitFlags::EXCESS;
    let limit = |less: u64| u32::try_from(used - less).unwrap();
    policy.account_set_limits(account, limit(4), flags).unwrap();
    let extra = |pm: &mut Pm, number| state(pm, container, number).contains(FrameState::EXTRA);
    assert_eq!([0, 3, 4, 7].map(|number| extra(&mut pm, number)), [true, true, false, false]);
    let refused = policy.account_set_limits(account, limit(5), flags);
    assert_eq!(refusal(refused), Some(PmError::QuotaExceeded));
    let refused = pm.pin(container, at(0), frames(1), LockMode::Exclusive, Micros::NEVER);
    assert!(refused.is_err());
    pm.unlock(rings.lease.lease).unwrap();
    policy.account_set_limits(account, limit(9), flags).unwrap();
    assert!(extra(&mut pm, 7));
}

#[test]
fn a_pin_that_ends_while_a_large_frame_is_being_split_loses_nothing() {
    // PM-400: each of two copies has two mappings, so that one call cannot replace both.
    for late in [false, true] {
        let world = world();
        let mut pm = world.as_peer(2);
        let all_at = |pm: &mut Pm, of, first| {
            assert_eq!(pm.map(of, at(0), frames(LARGE), page(first), FORCED).unwrap().count, LARGE);
        };
        let source = filled_large(&mut pm);
        all_at(&mut pm, source, 0);
        for place in (0..LARGE).step_by(37) {
            world.store(2, byte_of(place), page(place)).unwrap();
        }
        let copy = filled(&mut pm, LARGE);
        let (from, to) = ((source, at(0)), (copy, at(0)));
        assert_eq!(pm.copy(from, to, frames(LARGE), CopyFlags::empty()), Ok(LARGE));
        for (of, first) in [(source, LARGE), (copy, 2 * LARGE), (copy, 3 * LARGE)] {
            let mapped = pm.map(of, at(0), frames(LARGE), page(first), MapFlags::READ).unwrap();
            assert_eq!(mapped.count, LARGE);
        }
        // As soon as the pages of the first one are its own, the other is still large.
        let pinned = all(|| pm.pin(source, at(5), frames(2), LockMode::Read, SHORT)).unwrap();
        if late {
            world.advance(SHORT.get());
            assert!(state(&mut pm, source, 5).contains(FrameState::TAKEN_OVER));
        }
        assert_eq!(all(|| pm.deallocate(copy, at(3), frames(1), DeallocateFlags::empty())), Ok(1));
        pm.unlock(pinned.lease.lease).unwrap();
        check_bytes(&world, 2, 0);
        all(|| pm.container_destroy(source)).unwrap();
        all(|| pm.container_destroy(copy)).unwrap();
    }
}
