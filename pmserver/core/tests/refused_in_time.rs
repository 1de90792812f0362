// SPDX-License-Identifier: BSD-2-Clause
//! Protections that only one situation shows: each of these tests fails if one check is taken out.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod world;

use pmserver_api::{
    AccessKind, AccountHandle, ContainerHandle, CopyFlags, Disturbance, FrameList, Frames,
    LockMode, MapFlags, PmError, Rights, ShareTerms,
};
use proto::Micros;
use proto::limits::WATCH_MICROS_MAX;
use world::{Pm, World, at, failure, filled, frames, page, peer, refusal};

const LONG: Micros = Micros::new(1_000_000);
const READ: MapFlags = MapFlags::READ;
const WRITE: MapFlags = MapFlags::WRITE;

fn lent(pm: &mut Pm, count: u64, rights: Rights) -> (ContainerHandle, pmserver_api::Shared) {
    let container = filled(pm, count);
    let shared = pm.share(container, at(0), count, peer(1), rights, LONG).unwrap();
    (container, shared)
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
    let terms = ShareTerms { peer: peer(1), rights: Rights::READ, lease_max: LONG };
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
