// SPDX-License-Identifier: BSD-2-Clause
//! The model against the acceptance scenarios that are about lending and leases.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod world;

use model::Fate;
use model::Touch::{Done, Faulted};
use pmserver_api::{AllocateFlags, CopyFlags, LockMode, MapFlags, PmError, Reply, Request, Rights};
use proto::Micros;
use world::{C, DONE, LEASE, P, PLAIN, S, World, at, frames, number, page, peer, refused, terms};

const RW: MapFlags = MapFlags::READ.union(MapFlags::WRITE);
const EXCLUSIVE: LockMode = LockMode::Exclusive;

#[test]
fn a_client_trusts_what_it_reads_after_unshare() {
    // S9, S11, PM-60
    let mut world = World::new();
    let lent = world.create_with(C, 16, terms(S, Rights::all()));
    let before = world.charge(S);
    world.map(S, (lent.shared.weak, 0), 16, 0, RW).unwrap();
    for number in 0..16 {
        assert_eq!(world.store(S, number, 100 + number), Done(100 + number));
    }
    world.map(C, (lent.container, 0), 1, 0, MapFlags::READ).unwrap();
    assert_eq!(world.store(S, 0, 1), Done(1));
    assert_eq!(world.load(C, 0), Done(1), "before unshare writes are seen");
    assert_eq!(world.unshare(C, lent.shared.share), DONE);
    assert_eq!(world.store(S, 0, 2), Faulted);
    assert_eq!(world.load(C, 0), Done(1));
    assert_eq!((world.charge(S), world.charge(C)), (before, 16));
    assert_eq!(world.map(S, (lent.shared.weak, 0), 1, 40, RW), Err(PmError::InvalidCap));
}

#[test]
fn a_server_that_dies_half_way_costs_nothing() {
    // S10, S18, PM-76, PM-120
    let mut world = World::new();
    let lent = world.create_with(C, 2, terms(S, Rights::all()));
    world.map(S, (lent.shared.weak, 0), 2, 0, RW).unwrap();
    world.lock(S, frames(lent.shared.weak, 0, 2), EXCLUSIVE, LEASE).unwrap();
    assert_eq!(world.store(S, 0, 5), Done(5));
    let entry = proto::VirtAddr::new(0x1234).unwrap();
    world.call(S, Request::RegisterRecovery { entry, stack_top: entry }).unwrap();
    assert_eq!(world.fault(S), Fate::Redirected);
    assert_eq!(world.unshare(C, lent.shared.share), DONE, "its lease is over");
    world.map(C, (lent.container, 0), 2, 0, RW).unwrap();
    assert_eq!((world.load(C, 0), world.load(C, 1)), (Done(5), Done(0)));
    assert_eq!(world.fault(S), Fate::Stopped, "PM-120: it has to register again");
    assert_eq!(world.error(S, Request::WhoAmI), Some(PmError::InvalidCap), "PM-8");
}

#[test]
fn a_weak_handle_allows_what_was_lent_and_no_more() {
    // S12, PM-6
    let mut world = World::new();
    let lent = world.create_with(C, 4, terms(S, Rights::READ));
    let weak = lent.shared.weak;
    let own = world.filled(S, 4);
    let before = (world.charge(C), world.charge(S));
    let no =
        |world: &mut World, request| assert_eq!(world.error(S, request), Some(PmError::NoRight));
    no(&mut world, Request::Allocate { frames: frames(weak, 9, 1), flags: AllocateFlags::empty() });
    no(&mut world, Request::ContainerDestroy { container: weak });
    no(&mut world, Request::Renew { frames: frames(weak, 0, 1) });
    let terms = terms(P, Rights::READ);
    no(&mut world, Request::Share { container: weak, start: at(0), count: 1, terms });
    let lock =
        Request::Lock { frames: frames(weak, 0, 1), mode: LockMode::Read, ttl: Micros::new(9) };
    no(&mut world, lock);
    for (from, to, flags) in [
        (weak, own, CopyFlags::SHARED),
        (weak, own, CopyFlags::MOVE),
        (own, weak, CopyFlags::NEW),
        (own, weak, CopyFlags::empty()),
    ] {
        let answer = world.copy(S, (from, 0), (to, 0), 1, flags);
        assert_eq!(answer, refused(PmError::NoRight, 0, 0), "{flags:?}");
    }
    assert_eq!(world.map(S, (weak, 0), 1, 0, RW), Err(PmError::NoRight));
    assert_eq!(world.map(S, (weak, 3), 2, 0, MapFlags::READ), Err(PmError::NoRight));
    assert_eq!((world.charge(C), world.charge(S)), before);
}

#[test]
fn without_a_lease_the_owner_takes_back_at_once() {
    // S14
    let mut world = World::new();
    let lent = world.create_with(C, 1, terms(S, Rights::all()));
    assert_eq!(world.unshare(C, lent.shared.share), DONE);
    assert_eq!(world.deallocate(C, lent.container, 0, 1), number(1));
    let late = world.lock(S, frames(lent.shared.weak, 0, 1), EXCLUSIVE, 50_000);
    assert_eq!(late, Err(PmError::InvalidCap));
}

#[test]
fn an_exclusive_lease_keeps_the_owner_out_until_its_deadline() {
    // S15, PM-71, PM-77
    let mut world = World::new();
    let lent = world.create_with(C, 4, terms(S, Rights::all()));
    let (container, weak) = (lent.container, lent.shared.weak);
    world.map(C, (container, 0), 4, 0, RW).unwrap();
    let (_, deadline) = world.lock(S, frames(weak, 0, 4), EXCLUSIVE, 500_000).unwrap();
    assert_eq!(deadline, world.now + 500_000);
    assert_eq!(world.map(C, (container, 0), 1, 9, MapFlags::READ), Err(PmError::Locked));
    assert_eq!((world.load(C, 0), world.store(C, 0, 1)), (Faulted, Faulted));
    let locked = refused(PmError::Locked, 0, deadline);
    assert_eq!(world.deallocate(C, container, 0, 1), locked);
    assert_eq!(world.allocate(C, container, 0, 1, AllocateFlags::SQUASH), locked);
    assert_eq!(world.allocate(C, container, 0, 1, PLAIN), locked);
    world.now = deadline;
    assert_eq!(world.store(C, 0, 1), Done(1), "it comes back as it is touched");
    assert_eq!(world.deallocate(C, container, 0, 4), number(4));
}

#[test]
fn a_read_lease_leaves_everybody_reading() {
    // PM-72
    let mut world = World::new();
    let lent = world.create_with(C, 2, terms(S, Rights::all()));
    world.map(C, (lent.container, 0), 2, 0, RW).unwrap();
    world.map(S, (lent.shared.weak, 0), 1, 0, RW).unwrap();
    let lease = world.lock(S, frames(lent.shared.weak, 0, 1), LockMode::Read, 500_000).unwrap();
    assert_eq!((world.load(C, 0), world.store(C, 0, 1)), (Done(0), Faulted));
    assert_eq!(world.store(C, 1, 1), Done(1), "outside of the range");
    assert_eq!(world.store(S, 0, 2), Done(2), "the holder writes");
    assert_eq!(world.map(C, (lent.container, 0), 1, 9, RW), Err(PmError::Locked));
    assert_eq!(world.map(C, (lent.container, 0), 1, 9, MapFlags::READ), Ok(MapFlags::READ));
    assert_eq!(world.call(S, Request::Unlock { lease: lease.0 }), DONE);
    assert_eq!(world.store(C, 0, 3), Done(3));
    let again = world.call(S, Request::Unlock { lease: lease.0 });
    assert_eq!(again, refused(PmError::InvalidCap, 0, 0));
}

#[test]
fn a_pending_revocation_wins_over_locking_for_ever() {
    // S16, S17, PM-61
    let mut world = World::new();
    let lent = world.create_with(C, 1, terms(S, Rights::all()));
    let weak = frames(lent.shared.weak, 0, 1);
    let (lease, deadline) = world.lock(S, weak, EXCLUSIVE, u64::MAX).unwrap();
    assert_eq!(deadline, world.now + LEASE, "what the share allows");
    let pending = world.unshare(C, lent.shared.share);
    assert_eq!(pending, refused(PmError::Locked, 0, deadline));
    assert_eq!(world.lock(S, weak, EXCLUSIVE, 50_000), Err(PmError::Revoking));
    assert_eq!(world.call(S, Request::Unlock { lease }), DONE);
    assert_eq!(world.lock(S, weak, LockMode::Read, 50_000), Err(PmError::Revoking));
    assert_eq!(world.unshare(C, lent.shared.share), DONE);
}

#[test]
fn one_share_locked_does_not_keep_another() {
    // S22, PM-63
    let mut world = World::new();
    let container = world.filled(C, 2);
    let to_s = world.share(C, container, S, Rights::all());
    let to_p = world.share(C, container, P, Rights::all());
    world.lock(S, frames(to_s.weak, 0, 2), EXCLUSIVE, 500_000).unwrap();
    assert_eq!(world.map(P, (to_p.weak, 0), 1, 0, MapFlags::READ), Err(PmError::Locked));
    assert_eq!(world.unshare(C, to_p.share), DONE);
    assert_eq!(world.unshare(C, to_s.share).unwrap_err().error, PmError::Locked);
}

#[test]
fn an_owner_that_exits_takes_what_it_lent() {
    // S26, S25, PM-20
    let mut world = World::new();
    let lent = world.create_with(C, 1, terms(S, Rights::all()));
    world.map(S, (lent.shared.weak, 0), 1, 0, RW).unwrap();
    assert_eq!(world.store(S, 0, 4), Done(4));
    let kept = world.create(S);
    let copied = world.copy(S, (lent.shared.weak, 0), (kept, 0), 1, CopyFlags::NEW);
    assert_eq!(copied, number(1));
    assert_eq!(world.fault(C), Fate::Stopped);
    assert_eq!(world.call(P, Request::Reclaim), number(0));
    assert_eq!(world.load(S, 0), Faulted);
    assert_eq!(world.map(S, (lent.shared.weak, 0), 1, 9, RW), Err(PmError::InvalidCap));
    world.map(S, (kept, 0), 1, 5, RW).unwrap();
    assert_eq!(world.load(S, 5), Done(4), "what it has itself stays");
}

#[test]
fn leases_and_shares_have_a_bound() {
    // PM-51, PM-74
    let mut world = World::new();
    let container = world.filled(C, 1);
    for terms in [terms(C, Rights::all()), terms(29, Rights::all()), terms(S, Rights::empty())] {
        let share = Request::Share { container, start: at(0), count: 1, terms };
        assert_eq!(world.error(C, share), Some(PmError::Invalid));
    }
    let shares: Vec<_> = (0..16).map(|_| world.share(C, container, S, Rights::all())).collect();
    let more = Request::Share { container, start: at(0), count: 1, terms: terms(S, Rights::all()) };
    assert_eq!(world.error(C, more), Some(PmError::TooMany));
    let read = LockMode::Read;
    for _ in 0..4 {
        world.lock(S, frames(shares[0].weak, 0, 1), read, 90_000).unwrap();
    }
    assert_eq!(world.lock(S, frames(shares[0].weak, 0, 1), read, 9), Err(PmError::TooMany));
    assert_eq!(world.lock(C, frames(container, 0, 1), read, 0), Err(PmError::Invalid));
}

#[test]
fn whatever_is_unmapped_comes_back_by_itself() {
    // S44, PM-290, PM-124
    let mut world = World::new();
    let container = world.filled(C, 1);
    world.map(C, (container, 0), 1, 0, RW).unwrap();
    assert_eq!(world.store(C, 0, 8), Done(8));
    for what in [pmserver_api::Disturbance::Unmap, pmserver_api::Disturbance::Move] {
        let disturb = Request::Disturb { what, cursor: 0 };
        assert_eq!(world.error(C, disturb), Some(PmError::NoRight));
        assert!(matches!(world.call(P, disturb), Ok(Reply::Disturbed(_))));
        assert_eq!(world.load(C, 0), Done(8));
    }
}

#[test]
fn an_overdue_server_is_rescued() {
    // PM-122, PM-123
    let mut world = World::new();
    let watch = Request::Watch { peer: peer(S), ttl: Micros::new(5000) };
    let deadline = Micros::new(world.now + 5000);
    assert_eq!(world.call(C, watch), Ok(Reply::Time(deadline)));
    assert_eq!(world.error(C, Request::Rescue), Some(PmError::NoRight));
    let entry = page(0);
    world.call(S, Request::RegisterRecovery { entry, stack_top: entry }).unwrap();
    let Ok(Reply::Rescued(report)) = world.call(P, Request::Rescue) else { panic!("it may") };
    assert_eq!((report.rescued, report.next_deadline), (0, Some(deadline)));
    world.now += 5000;
    let Ok(Reply::Rescued(report)) = world.call(P, Request::Rescue) else { panic!("it may") };
    assert_eq!((report.rescued, report.next_deadline), (1, None));
}
