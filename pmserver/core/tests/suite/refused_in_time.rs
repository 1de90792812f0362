// SPDX-License-Identifier: BSD-2-Clause
//! Protections that only one situation shows: each of these tests fails if one check is taken out.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{PAGE, Pm, World, at, failure, filled, frames, page, peer, refusal};
use pmserver_api::{
    AccessKind, AccountHandle, AllocateFlags, ContainerHandle, CopyFlags, Disturbance, FrameList,
    Frames, LockMode, MapFlags, PairList, PmError, Rights, ShareTerms,
};
use pmserver_core::{Fault, FaultOutcome};
use proto::limits::WATCH_MICROS_MAX;
use proto::{Console, Micros};

const LONG: Micros = Micros::new(1_000_000);
const READ: MapFlags = MapFlags::READ;
const WRITE: MapFlags = MapFlags::WRITE;

fn lent(pm: &mut Pm, count: u64, rights: Rights) -> (ContainerHandle, pmserver_api::Shared) {
    let container = filled(pm, count);
    let shared = pm.share(container, at(0), count, peer(1), rights, LONG).unwrap();
    (container, shared)
}

struct Quiet;
impl Console for Quiet {
    fn write(&mut self, _: &[u8]) {}
}

fn stop(world: &World, number: u64) {
    let outcome = world.0.borrow_mut().fault(peer(number), Fault::Other, &mut Quiet);
    assert_eq!(outcome, FaultOutcome::Stopped);
}

#[test]
fn a_region_maps_nothing_new_through_a_share_that_is_being_revoked() {
    // PM-61
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let (_, shared) = lent(&mut pm, 3, Rights::READ | Rights::LOCK);
    fs.attach(shared.weak, at(0), 3, page(0), READ).unwrap();
    let lease = fs.lock(shared.weak, at(2), frames(1), LockMode::Read, LONG).unwrap().lease;
    assert_eq!(refusal(pm.unshare(shared.share)), Some(PmError::Locked));
    assert_eq!(world.load(1, page(0)), Ok(0), "a lease through the share is left");
    fs.unlock(lease).unwrap();
    assert_eq!(world.load(1, page(0)), Ok(0), "it is mapped already");
    assert!(world.load(1, page(1)).is_err());
    pm.unshare(shared.share).unwrap();
    assert!(world.load(1, page(0)).is_err());
}

#[test]
fn a_fault_is_told_to_the_handler_of_its_range_alone() {
    // PM-281
    let world = World::with_policy();
    let (mut pm, mut handler, mut other) = (world.as_peer(2), world.as_peer(1), world.as_peer(3));
    let container = filled(&mut pm, 2);
    pm.set_handler(container, at(0), 1, Some(peer(1)), 7).unwrap();
    pm.set_handler(container, at(1), 1, Some(peer(3)), 8).unwrap();
    pm.map(container, at(0), frames(2), page(0), READ).unwrap();
    assert!(world.0.borrow_mut().resolve(peer(2), page(0).get(), AccessKind::Read));
    assert_eq!(other.next_fault(), Ok(None));
    assert_eq!(handler.next_fault().unwrap().map(|fault| fault.cookie), Some(7));
    assert_eq!(handler.next_fault(), Ok(None), "it was told");
}

#[test]
fn a_handler_supplies_only_what_it_may_read() {
    // PM-282
    let world = World::with_policy();
    let (mut pm, mut handler) = (world.as_peer(2), world.as_peer(1));
    let container = filled(&mut pm, 1);
    pm.set_handler(container, at(0), 1, Some(peer(1)), 7).unwrap();
    pm.map(container, at(0), frames(1), page(0), READ).unwrap();
    let (_, shared) = lent(&mut pm, 1, Rights::LOCK);
    assert!(world.0.borrow_mut().resolve(peer(2), page(0).get(), AccessKind::Read));
    let fault = handler.next_fault().unwrap().unwrap().fault;
    assert_eq!(refusal(handler.supply(fault, shared.weak, at(0))), Some(PmError::NoRight));
    assert_eq!(refusal(handler.supply(fault, shared.weak, at(1))), Some(PmError::NoRight));
}

#[test]
fn what_a_lease_forbids_is_not_granted() {
    // PM-71, PM-72, PM-78: the lease is the owner's, on the frame or on one that is the same memory
    for (mode, rights, is_twin) in [
        (LockMode::Exclusive, READ, false),
        (LockMode::Read, WRITE, false),
        (LockMode::Read, WRITE, true),
    ] {
        let world = World::new();
        let (mut pm, mut fs) = (world.client(), world.fs());
        let (container, shared) = lent(&mut pm, 1, Rights::READ | Rights::WRITE);
        let twin = pm.container_create(AccountHandle::OWN).unwrap();
        let flags = CopyFlags::NEW | CopyFlags::SHARED;
        let leased = if is_twin {
            pm.copy((container, at(0)), (twin, at(0)), frames(1), flags).unwrap();
            twin
        } else {
            container
        };
        let lease = pm.lock(leased, at(0), frames(1), mode, LONG).unwrap();
        let refused = failure(fs.grant(shared.weak, at(0), frames(1), rights));
        assert_eq!((refused.error, refused.at), (PmError::Locked, lease.deadline.get()));
        pm.unlock(lease.lease).unwrap();
        fs.grant(shared.weak, at(0), frames(1), rights).unwrap();
    }
}

#[test]
fn what_may_not_be_read_is_refused_before_anything_is_made() {
    // PM-16: NoRight comes before terms that are not allowed, and before what cannot be charged
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let (_, shared) = lent(&mut pm, 2, Rights::LOCK);
    let terms = ShareTerms { peer: peer(1), rights: Rights::READ, lease_max: LONG, once: false };
    let source = Frames { container: shared.weak, start: at(0), count: frames(2) };
    let made = fs.create_from(AccountHandle::OWN, source, terms);
    assert_eq!(refusal(made), Some(PmError::NoRight));
    let list = FrameList::new(&[at(0), at(1)]).unwrap();
    let made = fs.create_gather(AccountHandle::OWN, shared.weak, list, terms);
    assert_eq!(refusal(made), Some(PmError::NoRight));
}

#[test]
fn nobody_is_watched_for_longer_than_ten_seconds() {
    // PM-122
    let world = World::new();
    let mut pm = world.client();
    let now = pm.clock().unwrap();
    let deadline = pm.watch(peer(1), Micros::new(u64::MAX)).unwrap();
    assert_eq!(deadline.get(), now.get() + WATCH_MICROS_MAX);
}

#[test]
fn a_privilege_is_asked_for_where_it_is_used() {
    // PM-6, PM-290: the container is its own, so that no other right is missing
    let world = World::with_devices(false);
    let mut pm = world.as_peer(2);
    let container = filled(&mut pm, 1);
    let pinned = pm.pin(container, at(0), frames(1), LockMode::Read, LONG);
    assert_eq!(refusal(pinned), Some(PmError::NoRight));
    for what in [Disturbance::Unmap, Disturbance::Move] {
        assert_eq!(refusal(pm.disturb(what, 0)), Some(PmError::NoRight));
    }
}

#[test]
fn locked_tells_a_time_to_come_even_if_the_kernel_keeps_a_pin() {
    // PM-344
    let world = World::with_devices(true);
    let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
    let (container, shared) = lent(&mut pm, 1, Rights::all());
    driver.pin(shared.weak, at(0), frames(1), LockMode::Exclusive, Micros::new(1000)).unwrap();
    world.advance(5000);
    let now = pm.clock().unwrap();
    world.fail_nth(Some(1));
    let refused = failure(pm.map(container, at(0), frames(1), page(0), READ));
    assert_eq!(refused.error, PmError::Locked);
    assert!(refused.at > now.get(), "{refused:?} at {now:?}");
    world.fail_nth(None);
    pm.map(container, at(0), frames(1), page(0), READ).unwrap();
}

#[test]
fn flags_that_an_operation_lacks_are_invalid() {
    // PM-16, PM-150
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 2);
    for flags in [AllocateFlags::SQUASH, AllocateFlags::SQUASH | AllocateFlags::PARTIAL] {
        let refused = pm.allocate_anywhere(container, frames(1), flags);
        assert_eq!(refusal(refused), Some(PmError::Invalid));
    }
    let both = CopyFlags::SHARED | CopyFlags::MOVE;
    for flags in [both, both | CopyFlags::NEW] {
        let refused = pm.copy((container, at(0)), (container, at(9)), frames(1), flags);
        assert_eq!(refusal(refused), Some(PmError::Invalid));
    }
}

#[test]
fn nobody_that_cannot_answer_becomes_a_handler() {
    // PM-280, PM-283
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 2);
    let nobody = pm.set_handler(container, at(0), 1, Some(peer(9)), 0);
    assert_eq!(refusal(nobody), Some(PmError::Invalid));
    pm.set_handler(container, at(1), 1, Some(peer(1)), 0).unwrap();
    stop(&world, 1);
    let stopped = pm.set_handler(container, at(0), 1, Some(peer(1)), 0);
    assert_eq!(refusal(stopped), Some(PmError::Invalid));
}

#[test]
fn a_bus_address_is_told_of_what_is_pinned_and_contiguous() {
    // PM-271
    let world = World::with_devices(false);
    let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
    let (container, shared) = lent(&mut pm, 6, Rights::all());
    // Frames get memory in an order of their own, so no two neighbours are contiguous.
    pm.map(container, at(0), frames(6), page(0), WRITE).unwrap();
    for number in [0, 2, 4, 1, 3, 5] {
        world.store(2, 1, page(number)).unwrap();
    }
    let pinned = driver.pin(shared.weak, at(1), frames(4), LockMode::Exclusive, LONG).unwrap();
    let lease = pinned.lease.lease;
    for number in [0, 5, 6, u64::MAX] {
        let refused = driver.bus_address(lease, at(number));
        assert_eq!(refusal(refused), Some(PmError::Invalid), "{number}");
    }
    let mut told = Vec::new();
    for number in 1..5 {
        let run = driver.bus_address(lease, at(number)).unwrap();
        for index in 0..run.frames {
            let alone = driver.bus_address(lease, at(number + index)).unwrap().address;
            assert_eq!(alone, run.address + index * PAGE, "{number}");
        }
        told.push(run.frames);
    }
    assert!(told.iter().take(3).any(|frames| *frames == 1), "{told:?}");
}

#[test]
fn detach_names_the_beginning_of_a_region() {
    // PM-202
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 3);
    pm.attach(container, at(0), 3, page(10), WRITE).unwrap();
    for number in [9, 11, 12, 13] {
        let refused = failure(pm.detach(page(number)));
        assert_eq!((refused.error, refused.at), (PmError::NotFound, page(number).get()));
    }
    for number in 10..13 {
        assert_eq!(world.load(2, page(number)), Ok(0), "it is there");
    }
    pm.detach(page(10)).unwrap();
    assert!(world.load(2, page(10)).is_err());
}

#[test]
fn nothing_is_repaired_for_a_peer_that_is_stopped() {
    // PM-121
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let (_, shared) = lent(&mut pm, 1, Rights::READ);
    fs.attach(shared.weak, at(0), 1, page(0), READ).unwrap();
    stop(&world, 1);
    assert!(world.load(1, page(0)).is_err());
    assert!(!world.0.borrow_mut().resolve(peer(9), page(0).get(), AccessKind::Read));
}

#[test]
fn a_list_is_looked_through_before_any_pair_is_copied() {
    // PM-16, PM-166: the second pair is refused, and the first is not copied
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let (source, shared) = lent(&mut pm, 4, Rights::READ | Rights::LOCK);
    let own = filled(&mut fs, 4);
    pm.map(source, at(0), frames(1), page(0), WRITE).unwrap();
    world.store(2, 7, page(0)).unwrap();
    fs.map(own, at(0), frames(1), page(0), READ).unwrap();
    let beyond = PairList::new(&[(at(0), at(0)), (at(4), at(1))]).unwrap();
    let refused = failure(fs.copy_list(shared.weak, own, beyond, CopyFlags::empty()));
    assert_eq!((refused.error, refused.done), (PmError::NoRight, 0));
    pm.lock(source, at(1), frames(1), LockMode::Exclusive, LONG).unwrap();
    let leased = PairList::new(&[(at(0), at(0)), (at(1), at(1))]).unwrap();
    let refused = failure(fs.copy_list(shared.weak, own, leased, CopyFlags::empty()));
    assert_eq!((refused.error, refused.done), (PmError::Locked, 0));
    assert_eq!(world.load(1, page(0)), Ok(0));
}

#[test]
fn remap_asks_for_what_map_asks_for() {
    // PM-140: another holder's lease, on the frame or on one that is the same memory
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let (container, shared) = lent(&mut pm, 2, Rights::all());
    let twin = pm.container_create(AccountHandle::OWN).unwrap();
    let as_one = CopyFlags::SHARED | CopyFlags::NEW;
    pm.copy((container, at(0)), (twin, at(0)), frames(1), as_one).unwrap();
    pm.map(container, at(0), frames(1), page(0), READ).unwrap();
    pm.map(twin, at(0), frames(1), page(1), READ).unwrap();
    let lease = fs.lock(shared.weak, at(0), frames(1), LockMode::Read, LONG).unwrap().lease;
    for number in 0..2 {
        let refused = pm.remap(page(number), frames(1), WRITE);
        assert_eq!(refusal(refused), Some(PmError::Locked), "{number}");
        assert!(pm.remap(page(number), frames(1), READ).is_ok());
    }
    fs.unlock(lease).unwrap();
    assert!(pm.remap(page(0), frames(2), WRITE).is_ok());
}

#[test]
fn nothing_new_is_granted_or_attached_through_a_share_without_right() {
    // PM-61, PM-210
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let (_, shared) = lent(&mut pm, 2, Rights::READ | Rights::LOCK);
    for (start, rights) in [(0, WRITE), (1, WRITE), (2, READ)] {
        let refused = fs.grant(shared.weak, at(start), frames(1), rights);
        assert_eq!(refusal(refused), Some(PmError::NoRight), "{start}");
    }
    assert!(fs.grant(shared.weak, at(0), frames(1), READ).is_ok());
    // The share stays while a lease through it does; when that is over, nothing new is made.
    let lease = fs.lock(shared.weak, at(0), frames(1), LockMode::Read, LONG).unwrap().lease;
    assert_eq!(refusal(pm.unshare(shared.share)), Some(PmError::Locked));
    fs.unlock(lease).unwrap();
    let granted = fs.grant(shared.weak, at(1), frames(1), READ);
    assert_eq!(refusal(granted), Some(PmError::Revoking));
    let attached = fs.attach(shared.weak, at(0), 2, page(0), READ);
    assert_eq!(refusal(attached), Some(PmError::Revoking));
}

#[test]
fn a_handler_does_not_supply_what_it_has_not_got() {
    // PM-280, PM-282: a frame that another handler has yet to supply
    let world = World::with_policy();
    let (mut pm, mut handler) = (world.as_peer(2), world.as_peer(1));
    let container = filled(&mut pm, 1);
    pm.set_handler(container, at(0), 1, Some(peer(1)), 7).unwrap();
    let own = filled(&mut handler, 1);
    handler.set_handler(own, at(0), 1, Some(peer(3)), 8).unwrap();
    pm.map(container, at(0), frames(1), page(0), READ).unwrap();
    assert!(world.0.borrow_mut().resolve(peer(2), page(0).get(), AccessKind::Read));
    let fault = handler.next_fault().unwrap().unwrap().fault;
    assert_eq!(refusal(handler.supply(fault, own, at(0))), Some(PmError::Absent));
}

#[test]
fn a_reset_names_a_peer_and_a_run_no_leased_number() {
    // PM-32, PM-155
    let world = World::with_devices(false);
    let (mut driver, mut pm) = (world.as_peer(1), world.as_peer(2));
    let nobody = world.as_peer(3).device_reset(peer(9));
    assert_eq!(refusal(nobody), Some(PmError::Invalid));
    let container = filled(&mut driver, 2);
    let shared = driver.share(container, at(0), 8, peer(2), Rights::all(), LONG).unwrap();
    pm.lock(shared.weak, at(0), frames(8), LockMode::Exclusive, LONG).unwrap();
    let refused = driver.allocate_contiguous(container, at(4), frames(2), 12, 64);
    assert_eq!(refusal(refused), Some(PmError::Locked));
}
