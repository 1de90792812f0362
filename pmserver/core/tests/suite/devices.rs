// SPDX-License-Identifier: BSD-2-Clause
//! Pins, with a device that keeps writing (O13, O22, S19 to S21; PM-155, PM-270 to
//! PM-274).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{PAGE, Pm, World, at, filled, frames, page, peer, states};
use pmserver_api::{
    AccountHandle, AllocateFlags, CallError, CopyFlags, DeallocateFlags, FrameState, LimitFlags,
    LockMode, MapFlags, PmError, Rights, Shared,
};
use pmserver_core::config::{PeerConfig, Privileges};
use proto::{ByteCount, Micros, VirtAddr};
use sim::Refusal;

const LONG: Micros = Micros::new(1_000_000);
const SHORT: Micros = Micros::new(1000);
const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);

fn refusal<T>(result: Result<T, CallError>) -> Option<PmError> {
    result.err().and_then(|error| error.refusal())
}

/// A container of the client's that the driver may use as it likes.
fn lent(pm: &mut Pm, count: u64) -> (pmserver_api::ContainerHandle, Shared) {
    let container = filled(pm, count);
    let shared = pm.share(container, at(0), count, peer(1), Rights::all(), LONG).unwrap();
    (container, shared)
}

fn state(pm: &mut Pm, container: pmserver_api::ContainerHandle, number: u64) -> FrameState {
    pm.status(container, at(number), frames(1)).unwrap().frames[0]
}

#[test]
fn what_a_device_writes_in_time_is_there() {
    for has_iommu in [false, true] {
        let world = World::with_devices(has_iommu);
        let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
        let (container, shared) = lent(&mut pm, 4);
        let before = driver.account_info(AccountHandle::OWN).unwrap();
        let pinned = driver.pin(shared.weak, at(0), frames(4), LockMode::Exclusive, LONG).unwrap();
        let charged = driver.account_info(AccountHandle::OWN).unwrap();
        assert_eq!(charged.frames.get() - before.frames.get(), 4 * PAGE, "PM-272");
        for number in 0..4 {
            let bus = driver.bus_address(pinned.lease.lease, at(number)).unwrap();
            assert!(world.device_write(bus.address, 0xD0 + number as u8));
        }
        assert!(state(&mut pm, container, 2).contains(FrameState::PINNED | FrameState::LOCKED));
        driver.unlock(pinned.lease.lease).unwrap();
        assert_eq!(driver.account_info(AccountHandle::OWN).unwrap(), before);
        pm.map(container, at(0), frames(4), page(0), MapFlags::READ).unwrap();
        for number in 0..4 {
            assert_eq!(world.load(2, page(number)), Ok(0xD0 + number as u8));
        }
        assert_eq!(world.device_write(pinned.bus.address, 1), !has_iommu, "PM-274");
    }
}

#[test]
fn a_device_that_is_late_reaches_nobodys_data() {
    // S19 without an IOMMU
    let world = World::with_devices(false);
    let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
    let (container, shared) = lent(&mut pm, 2);
    let before = driver.account_info(AccountHandle::OWN).unwrap();
    let pinned = driver.pin(shared.weak, at(0), frames(2), LockMode::Exclusive, SHORT).unwrap();
    let bus =
        [0, 1].map(|number| driver.bus_address(pinned.lease.lease, at(number)).unwrap().address);
    assert!(world.device_write(bus[0], 0x11));
    world.advance(SHORT.get());
    pm.map(container, at(0), frames(2), page(0), FORCED).unwrap();
    assert_eq!(world.load(2, page(0)), Ok(0x11), "what was written in time");
    assert!(world.device_write(bus[0], 0x66) && world.device_write(bus[1], 0x66));
    assert_eq!((world.load(2, page(0)), world.load(2, page(1))), (Ok(0x11), Ok(0)));
    assert!(state(&mut pm, container, 0).contains(FrameState::TAKEN_OVER));
    let refused = driver.bus_address(pinned.lease.lease, at(0));
    assert_eq!(refusal(refused), Some(PmError::InvalidCap), "PM-271");
    let kept = driver.account_info(AccountHandle::OWN).unwrap();
    assert_eq!(kept.frames.get() - before.frames.get(), 2 * PAGE, "at the driver's cost");
    // Even if all memory is given to others, the device reaches none of it.
    let mut others = Vec::new();
    while let Ok(other) = pm.container_create(AccountHandle::OWN) {
        others.push(other);
        let place = page(others.len() as u64 * 64);
        if pm.allocate(other, at(0), frames(50), pmserver_api::AllocateFlags::empty()).is_err()
            || pm.map(other, at(0), frames(50), place, FORCED).is_err()
        {
            others.pop();
            break;
        }
    }
    assert!(world.device_write(bus[0], 0x77));
    for number in 1..=others.len() as u64 {
        assert!((0..50).all(|index| world.load(2, page(number * 64 + index)) == Ok(0)));
    }
    driver.unlock(pinned.lease.lease).unwrap();
    assert_eq!(driver.account_info(AccountHandle::OWN).unwrap(), before);
    assert_eq!(refusal(driver.unlock(pinned.lease.lease)), Some(PmError::InvalidCap));
}

#[test]
fn an_iommu_stops_a_device_that_is_late() {
    // S19 with an IOMMU
    let world = World::with_devices(true);
    let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
    let (container, shared) = lent(&mut pm, 1);
    let before = driver.account_info(AccountHandle::OWN).unwrap();
    let pinned = driver.pin(shared.weak, at(0), frames(1), LockMode::Exclusive, SHORT).unwrap();
    assert!(world.device_write(pinned.bus.address, 0x11));
    world.advance(SHORT.get());
    pm.map(container, at(0), frames(1), page(0), FORCED).unwrap();
    assert!(!world.device_write(pinned.bus.address, 0x66), "before the owner has access again");
    assert_eq!(world.0.borrow().kernel().device_faults().len(), 1, "and it is logged");
    assert_eq!(world.load(2, page(0)), Ok(0x11));
    assert!(!state(&mut pm, container, 0).contains(FrameState::TAKEN_OVER));
    assert_eq!(driver.account_info(AccountHandle::OWN).unwrap(), before);
}

#[test]
fn quarantine_ends_with_a_reset() {
    // PM-273
    let world = World::with_devices(false);
    let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
    let (container, shared) = lent(&mut pm, 3);
    let before = driver.account_info(AccountHandle::OWN).unwrap();
    driver.pin(shared.weak, at(0), frames(3), LockMode::Read, SHORT).unwrap();
    world.advance(SHORT.get());
    pm.unshare(shared.share).unwrap();
    assert_eq!(refusal(pm.device_reset(peer(1))), Some(PmError::NoRight));
    world.as_peer(3).device_reset(peer(1)).unwrap();
    assert_eq!(driver.account_info(AccountHandle::OWN).unwrap(), before);
    pm.renew(container, at(0), frames(3)).unwrap();
    assert!(!state(&mut pm, container, 1).contains(FrameState::TAKEN_OVER));
}

#[test]
fn a_reset_ends_no_pin_before_its_deadline() {
    // PM-273
    for iommu in [false, true] {
        let world = World::with_devices(iommu);
        let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
        let (_, shared) = lent(&mut pm, 1);
        let pinned = driver.pin(shared.weak, at(0), frames(1), LockMode::Exclusive, SHORT).unwrap();
        world.supervisor().device_reset(peer(1)).unwrap();
        assert!(world.device_write(pinned.bus.address, 0x11));
        driver.unlock(pinned.lease.lease).unwrap();
    }
}

#[test]
fn a_device_writes_to_no_copy() {
    // S20
    let world = World::with_devices(false);
    let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
    let (container, shared) = lent(&mut pm, 1);
    pm.map(container, at(0), frames(1), page(0), FORCED).unwrap();
    world.store(2, 0x22, page(0)).unwrap();
    let other = filled(&mut pm, 1);
    pm.copy((container, at(0)), (other, at(0)), frames(1), CopyFlags::empty()).unwrap();
    let pinned = driver.pin(shared.weak, at(0), frames(1), LockMode::Exclusive, LONG).unwrap();
    assert!(world.device_write(pinned.bus.address, 0x33));
    pm.map(other, at(0), frames(1), page(1), MapFlags::READ).unwrap();
    assert_eq!(world.load(2, page(1)), Ok(0x22));
    let copied = driver.copy((shared.weak, at(0)), (shared.weak, at(0)), frames(1), CopyFlags::NEW);
    assert_eq!(refusal(copied), Some(PmError::NoRight));
    let copied = pm.copy((container, at(0)), (other, at(0)), frames(1), CopyFlags::empty());
    assert_eq!(refusal(copied), Some(PmError::Locked), "a device may be writing to it");
}

#[test]
fn what_is_copied_while_a_device_reads_is_the_copys_own() {
    // PM-166, PM-273
    let world = World::with_devices(false);
    let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
    let (container, shared) = lent(&mut pm, 1);
    pm.map(container, at(0), frames(1), page(0), FORCED).unwrap();
    world.store(2, 0x44, page(0)).unwrap();
    let pinned = driver.pin(shared.weak, at(0), frames(1), LockMode::Read, LONG).unwrap();
    let other = filled(&mut pm, 1);
    pm.copy((container, at(0)), (other, at(0)), frames(1), CopyFlags::empty()).unwrap();
    assert!(!state(&mut pm, other, 0).contains(FrameState::COW));
    pm.map(other, at(0), frames(1), page(1), FORCED).unwrap();
    assert_eq!(world.load(2, page(1)), Ok(0x44));
    assert!(world.device_write(pinned.bus.address, 0x55), "whatever it was told");
    assert_eq!(world.load(2, page(1)), Ok(0x44));
}

#[test]
fn contiguous_frames_are_contiguous_where_they_have_to_be() {
    // PM-155
    let world = World::with_devices(false);
    let mut driver = world.as_peer(1);
    let scattered = filled(&mut driver, 40);
    driver.map(scattered, at(0), frames(40), page(0), FORCED).unwrap();
    for number in 0..40 {
        world.store(1, number as u8, page(number)).unwrap();
    }
    let container = driver.container_create(AccountHandle::OWN).unwrap();
    assert_eq!(driver.allocate_contiguous(container, at(7), frames(16), 16, 64), Ok(16));
    let pinned = driver.pin(container, at(7), frames(16), LockMode::Exclusive, LONG).unwrap();
    assert_eq!(pinned.bus.frames, 16);
    assert!(pinned.bus.address.is_multiple_of(1 << 16));
    for number in 0..40 {
        assert_eq!(world.load(1, page(number)), Ok(number as u8), "what was moved is as it was");
    }
    let nowhere = driver.allocate_contiguous(container, at(64), frames(2), 12, 12);
    assert_eq!(refusal(nowhere), Some(PmError::NoMemory));
    let twice = driver.allocate_contiguous(container, at(0), frames(16), 12, 64);
    assert_eq!(refusal(twice), Some(PmError::Exists));
    let mut pm = world.as_peer(2);
    let own = filled(&mut pm, 1);
    let refused = pm.allocate_contiguous(own, at(1), frames(1), 12, 64);
    assert_eq!(refusal(refused), Some(PmError::NoRight));
}

#[test]
fn a_pin_that_has_run_out_is_in_nobodys_way_from_another_container() {
    // PM-344, PM-273
    for has_iommu in [false, true] {
        for mode in [LockMode::Read, LockMode::Exclusive] {
            let world = World::with_devices(has_iommu);
            let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
            let (container, _) = lent(&mut pm, 3);
            let (twin, shared) = lent(&mut pm, 3);
            let (from, to) = ((container, at(0)), (twin, at(0)));
            pm.copy(from, to, frames(3), CopyFlags::SHARED).unwrap();
            // The lease excludes the owner through the ring, so each frame is pinned by itself.
            let pin = |driver: &mut Pm, ttl| driver.pin(shared.weak, at(0), frames(3), mode, ttl);
            let pinned = match pin(&mut driver, SHORT) {
                Ok(pinned) => pinned,
                Err(error) => {
                    assert_eq!(error.refusal(), Some(PmError::Shared));
                    continue;
                }
            };
            let other = filled(&mut pm, 3);
            let locked =
                match pm.copy((other, at(0)), (container, at(0)), frames(1), CopyFlags::empty()) {
                    Err(CallError::Refused(failure)) => failure,
                    other => panic!("{other:?}"),
                };
            assert_eq!((locked.error, locked.at), (PmError::Locked, pinned.lease.deadline.get()));
            world.advance(SHORT.get());
            // Nobody has used the container of the pin since.
            assert!(!state(&mut pm, container, 0).contains(FrameState::PINNED));
            let flags = CopyFlags::empty();
            assert_eq!(pm.copy((other, at(0)), (container, at(1)), frames(1), flags), Ok(1));
            assert_eq!(pm.copy((container, at(0)), (other, at(0)), frames(3), flags), Ok(3));
            if !has_iommu {
                driver.unlock(pinned.lease.lease).unwrap();
            }
        }
    }
}

#[test]
fn two_pins_never_keep_one_page() {
    // PM-270, PM-273: the page of the first may be used again while the second device reads.
    let world = World::with_devices(false);
    let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
    let (container, first) = lent(&mut pm, 1);
    let (copies, second) = lent(&mut pm, 1);
    pm.map(container, at(0), frames(1), page(0), FORCED).unwrap();
    world.store(2, 5, page(0)).unwrap();
    pm.copy((container, at(0)), (copies, at(0)), frames(1), CopyFlags::empty()).unwrap();
    let one = driver.pin(first.weak, at(0), frames(1), LockMode::Read, SHORT).unwrap();
    let two = driver.pin(second.weak, at(0), frames(1), LockMode::Read, LONG).unwrap();
    assert_ne!(one.bus.address, two.bus.address);
    world.advance(SHORT.get());
    assert!(state(&mut pm, container, 0).contains(FrameState::TAKEN_OVER));
    let bus = driver.bus_address(two.lease.lease, at(0)).unwrap();
    assert_eq!(bus, two.bus, "it stays where it is");
    driver.unlock(one.lease.lease).unwrap();
    driver.unlock(two.lease.lease).unwrap();
}

#[test]
fn a_release_that_the_kernel_stops_half_way_goes_on_from_there() {
    // PM-4, PM-274
    for stop in 1..=4 {
        let world = World::with_devices(true);
        let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
        let (container, shared) = lent(&mut pm, 4);
        let before = driver.account_info(AccountHandle::OWN).unwrap();
        let pinned = driver.pin(shared.weak, at(0), frames(4), LockMode::Exclusive, LONG).unwrap();
        world.fail_nth(Some(stop));
        assert_eq!(refusal(driver.unlock(pinned.lease.lease)), Some(PmError::Kernel));
        world.fail_nth(None);
        let states: Vec<bool> = (0..4)
            .map(|number| state(&mut pm, container, number).contains(FrameState::PINNED))
            .collect();
        assert_eq!(states, (1..=4).map(|number| number >= stop).collect::<Vec<_>>());
        driver.unlock(pinned.lease.lease).unwrap();
        assert_eq!(driver.account_info(AccountHandle::OWN).unwrap(), before);
        // And the deadline that is told is in the future where the kernel refuses to end the pin.
        driver.pin(shared.weak, at(0), frames(4), LockMode::Exclusive, SHORT).unwrap();
        world.advance(SHORT.get());
        world.fail_nth(Some(stop));
        let refused = pm.map(container, at(3), frames(1), page(0), MapFlags::READ);
        let Err(CallError::Refused(failure)) = refused else { panic!("{refused:?}") };
        assert!(failure.at > pm.clock().unwrap().get() - 100, "{failure:?}");
        world.fail_nth(None);
        pm.map(container, at(3), frames(1), page(0), MapFlags::READ).unwrap();
        assert_eq!(driver.account_info(AccountHandle::OWN).unwrap(), before);
    }
}

#[test]
fn a_device_can_do_what_its_driver_can() {
    // PM-6, PM-274: WRITE and LOCK for writing, READ and LOCK for reading
    use LockMode::{Exclusive, Read};
    for has_iommu in [false, true] {
        let world = World::with_devices(has_iommu);
        let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
        let container = filled(&mut pm, 1);
        let (read, lock) = (Rights::READ, Rights::LOCK);
        for (rights, mode, is_allowed) in [
            (lock, Read, false),
            (read, Read, false),
            (read | lock, Read, true),
            (Rights::WRITE | lock, Read, true),
            (lock, Exclusive, false),
            (read | lock, Exclusive, false),
            (read | Rights::WRITE, Exclusive, false),
            (Rights::WRITE | lock, Exclusive, true),
        ] {
            let shared = pm.share(container, at(0), 1, peer(1), rights, LONG).unwrap();
            let pinned = driver.pin(shared.weak, at(0), frames(1), mode, LONG);
            assert_eq!(pinned.is_ok(), is_allowed, "{rights:?} {mode:?}");
            match pinned {
                Ok(pinned) => driver.unlock(pinned.lease.lease).unwrap(),
                Err(error) => assert_eq!(error.refusal(), Some(PmError::NoRight)),
            }
            pm.unshare(shared.share).unwrap();
        }
    }
}

#[test]
fn a_pin_for_reading_lets_no_device_write() {
    // PM-274: not even to a copy that shares the memory
    let world = World::with_devices(true);
    let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
    let (container, shared) = lent(&mut pm, 1);
    pm.map(container, at(0), frames(1), page(0), FORCED).unwrap();
    world.store(2, 7, page(0)).unwrap();
    let other = pm.container_create(AccountHandle::OWN).unwrap();
    pm.copy((container, at(0)), (other, at(0)), frames(1), CopyFlags::NEW).unwrap();
    pm.map(other, at(0), frames(1), page(1), MapFlags::READ).unwrap();
    let pinned = driver.pin(shared.weak, at(0), frames(1), LockMode::Read, LONG).unwrap();
    assert!(!world.device_write(pinned.bus.address, 0x66));
    assert_eq!((world.load(2, page(0)), world.load(2, page(1))), (Ok(7), Ok(7)));
    driver.unlock(pinned.lease.lease).unwrap();
}

#[test]
fn a_load_in_a_region_for_writing_goes_on_under_a_pin_for_reading() {
    // PM-200
    for has_iommu in [false, true] {
        let world = World::with_devices(has_iommu);
        let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
        let (container, shared) = lent(&mut pm, 1);
        pm.attach(container, at(0), 1, page(0), MapFlags::WRITE).unwrap();
        world.store(2, 7, page(0)).unwrap();
        let pinned = driver.pin(shared.weak, at(0), frames(1), LockMode::Read, LONG).unwrap();
        assert_eq!(world.load(2, page(0)), Ok(7));
        assert!(world.store(2, 8, page(0)).is_err());
        driver.unlock(pinned.lease.lease).unwrap();
        world.store(2, 8, page(0)).unwrap();
    }
}

#[test]
fn a_reset_ends_a_pin_that_has_run_out_at_once() {
    // PM-273: the container was not used since, so nothing has moved
    for has_iommu in [false, true] {
        let world = World::with_devices(has_iommu);
        let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
        let (container, shared) = lent(&mut pm, 4);
        let before = driver.account_info(AccountHandle::OWN).unwrap();
        driver.pin(shared.weak, at(0), frames(4), LockMode::Exclusive, SHORT).unwrap();
        world.advance(SHORT.get());
        world.supervisor().device_reset(peer(1)).unwrap();
        assert_eq!(driver.account_info(AccountHandle::OWN).unwrap(), before, "{has_iommu}");
        assert!(!state(&mut pm, container, 0).contains(FrameState::TAKEN_OVER));
        assert_eq!(driver.account_info(AccountHandle::OWN).unwrap(), before);
        pm.unshare(shared.share).unwrap();
    }
}

#[test]
fn one_pin_for_reading_keeps_copies_apart() {
    // PM-400: the second frame is copy-on-write with the first, which is pinned by then.
    for (from, mode) in [(0, CopyFlags::empty()), (0, CopyFlags::SHARED)] {
        let world = World::with_devices(false);
        let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
        let (container, shared) = lent(&mut pm, 3);
        pm.map(container, at(0), frames(3), page(0), FORCED).unwrap();
        world.store(2, 5, page(0)).unwrap();
        pm.copy((container, at(from)), (container, at(1)), frames(1), mode).unwrap();
        pm.copy((container, at(from)), (container, at(2)), frames(1), CopyFlags::empty()).unwrap();
        let before = driver.account_info(AccountHandle::OWN).unwrap();
        let pin = driver.pin(shared.weak, at(0), frames(3), LockMode::Read, SHORT).unwrap();
        let bus = [0, 1, 2].map(|n| driver.bus_address(pin.lease.lease, at(n)).unwrap().address);
        assert_ne!(bus[0], bus[2]);
        assert_eq!(bus[0] == bus[1], mode == CopyFlags::SHARED, "one memory has one address");
        world.check();
        world.advance(SHORT.get());
        // The device is late: whatever it writes there, nobody reads.
        assert!(state(&mut pm, container, 0).contains(FrameState::TAKEN_OVER));
        assert!(bus.iter().all(|address| world.device_write(*address, 0x66)));
        pm.remap(page(0), frames(3), MapFlags::READ).unwrap();
        assert!((0..3).all(|number| world.load(2, page(number)) == Ok(5)));
        driver.unlock(pin.lease.lease).unwrap();
        assert_eq!(driver.account_info(AccountHandle::OWN).unwrap(), before);
    }
}

#[test]
fn a_pin_for_reading_of_one_memory_leaves_a_copy_where_it_is() {
    // PM-400: two frames of the pin are one memory, and the third, outside of it, is a copy.
    let world = World::with_devices(false);
    let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
    let (container, shared) = lent(&mut pm, 3);
    pm.map(container, at(0), frames(3), page(0), FORCED).unwrap();
    for (to, mode) in [(1, CopyFlags::SHARED), (2, CopyFlags::empty())] {
        pm.copy((container, at(0)), (container, at(to)), frames(1), mode).unwrap();
    }
    let pin = driver.pin(shared.weak, at(0), frames(2), LockMode::Read, LONG).unwrap();
    assert!(state(&mut pm, container, 2).contains(FrameState::COW));
    driver.unlock(pin.lease.lease).unwrap();
    assert!(state(&mut pm, container, 2).contains(FrameState::COW));
    assert!(!state(&mut pm, container, 2).contains(FrameState::PINNED));
}

#[test]
fn what_cannot_be_charged_moves_nothing() {
    // PM-155: neither the frames nor the records for them.
    let driver = PeerConfig {
        peer: 1,
        name: "driver",
        limit: ByteCount::new(200 * PAGE),
        privileges: Privileges::DMA,
    };
    let mut refused = Vec::new();
    for limit in [10, 100, 101, 102, 103, 104, 105, 106] {
        let world = World::with_peers(1 << 20, &[driver]);
        let mut driver = world.as_peer(1);
        // Every third page is granted, wherever contiguous ones are looked for.
        let granted = driver.container_create(AccountHandle::OWN).unwrap();
        driver.allocate(granted, at(0), frames(150), AllocateFlags::DMA).unwrap();
        for number in (0..150).step_by(3) {
            driver
                .deallocate(granted, at(number + 1), frames(2), DeallocateFlags::empty())
                .unwrap();
            driver.grant(granted, at(number), frames(1), FORCED).unwrap();
        }
        let poor = driver.account_split(AccountHandle::OWN, limit, LimitFlags::empty()).unwrap();
        let container = driver.container_create(poor).unwrap();
        let made = driver.allocate_contiguous(container, at(0), frames(100), 12, 64);
        let mapped = |state: &FrameState| state.contains(FrameState::MAPPED);
        let left = states(&mut driver, granted, 150).iter().filter(|state| mapped(state)).count();
        if refusal(made) == Some(PmError::QuotaExceeded) {
            assert_eq!(left, 50, "{limit}: all are there");
            refused.push(limit);
        } else {
            assert!(left < 50, "{limit}: nothing had to be moved");
        }
    }
    assert_eq!(refused, [10, 100, 101, 102, 103, 104], "of the rest PM-15 speaks");
}

#[test]
fn remap_ends_a_pin_that_has_run_out_before_it_shows_anything() {
    // PM-273
    let world = World::with_devices(false);
    let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
    let (container, shared) = lent(&mut pm, 1);
    pm.map(container, at(0), frames(1), page(0), MapFlags::READ).unwrap();
    let pinned = driver.pin(shared.weak, at(0), frames(1), LockMode::Exclusive, SHORT).unwrap();
    assert!(world.device_write(pinned.bus.address, 0x11));
    world.advance(SHORT.get());
    pm.remap(page(0), frames(1), MapFlags::READ).unwrap();
    assert!(world.device_write(pinned.bus.address, 0x66));
    assert_eq!(world.load(2, page(0)), Ok(0x11));
}

#[test]
fn a_second_pin_waits_for_the_first_and_not_for_other_leases() {
    // PM-73, PM-275: leases that only lock the frame, and pins of other frames, are made before and
    // after.
    let world = World::with_devices(false);
    let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
    let (container, shared) = lent(&mut pm, 3);
    let times = [5000, 9000, 7000].map(Micros::new);
    let lock = |pm: &mut Pm| {
        pm.lock(container, at(0), frames(3), LockMode::Read, Micros::new(50)).unwrap();
    };
    lock(&mut pm);
    let deadlines = [0, 1, 2].map(|number| {
        let time = times[number as usize];
        let pin = driver.pin(shared.weak, at(number), frames(1), LockMode::Read, time);
        pin.unwrap().lease.deadline.get()
    });
    lock(&mut pm);
    for (number, deadline) in (0..).zip(deadlines) {
        let pin = driver.pin(shared.weak, at(number), frames(1), LockMode::Read, LONG);
        let failed = crate::world::failure(pin);
        assert_eq!((failed.error, failed.at), (PmError::Locked, deadline), "frame {number}");
    }
}

#[test]
fn a_pin_that_the_kernel_refuses_leaves_nothing_to_the_device() {
    // PM-274, PM-380
    for nth in 1.. {
        let world = World::with_devices(true);
        let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
        let (_, shared) = lent(&mut pm, 3);
        let mut pin = || driver.pin(shared.weak, at(0), frames(3), LockMode::Exclusive, LONG);
        let first = pin().unwrap();
        let address = |number| first.bus.address + number * PAGE;
        assert_eq!(first.bus.frames, 3);
        world.as_peer(1).unlock(first.lease.lease).unwrap();
        let mut second = None;
        let is_made = world.refuse(Refusal { nth, error: 0 }, || second = Some(pin()));
        let is_pinned = second.unwrap().is_ok();
        for number in 0..3 {
            let is_reached = world.device_write(address(number), 1);
            assert_eq!(is_reached, is_pinned, "invocation {nth}, frame {number}");
        }
        if !is_made {
            assert!(nth > 3, "only {nth} invocations");
            break;
        }
    }
}

#[test]
fn what_the_driver_writes_is_where_its_device_reads() {
    // PM-270: the frame is copy-on-write with others, and it is they that get other memory.
    let world = World::with_devices(false);
    let mut driver = world.as_peer(1);
    let (container, other) = (filled(&mut driver, 1), filled(&mut driver, 2));
    driver.map(container, at(0), frames(1), page(0), FORCED).unwrap();
    driver.map(other, at(0), frames(2), page(10), MapFlags::READ).unwrap();
    world.store(1, 5, page(0)).unwrap();
    for number in 0..2 {
        let to = (other, at(number));
        driver.copy((container, at(0)), to, frames(1), CopyFlags::empty()).unwrap();
        assert_eq!(world.load(1, page(10 + number)), Ok(5));
    }
    let pin = driver.pin(container, at(0), frames(1), LockMode::Read, LONG).unwrap();
    world.store(1, 7, page(0)).unwrap();
    let bus = driver.bus_address(pin.lease.lease, at(0)).unwrap();
    assert_eq!(bus.address, pin.bus.address);
    assert!(world.device_write(bus.address + 1, 9), "the device is trusted to only read");
    assert_eq!(world.load(1, VirtAddr::new(page(0).get() + 1).unwrap()), Ok(9), "it is there");
    assert_eq!([world.load(1, page(10)), world.load(1, page(11))], [Ok(5), Ok(5)]);
}
