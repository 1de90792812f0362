// SPDX-License-Identifier: BSD-2-Clause
//! The model against the acceptance scenarios that are about accounts, regions and handlers.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod world;

use model::Touch::{self, Done, Faulted, Waits};
use pmserver_api::{
    AccessKind, AccountHandle, AccountRights, AllocateFlags, CopyFlags, FaultHandle, FrameState,
    LimitFlags, LockMode, MapFlags, PmError, Reply, Request, Rights,
};
use proto::PAGE_BYTES;
use world::{C, D, DONE, P, PLAIN, S, World, at, frames, number, page, peer, refused};

const RW: MapFlags = MapFlags::READ.union(MapFlags::WRITE);
const OWN: AccountHandle = AccountHandle::OWN;

fn split(world: &mut World, caller: u64, account: AccountHandle, limit: u32) -> AccountHandle {
    let flags = LimitFlags::empty();
    match world.call(caller, Request::AccountSplit { account, limit_pages: limit, flags }) {
        Ok(Reply::Account(account)) => account,
        other => panic!("{other:?}"),
    }
}

#[test]
fn extra_frames_take_eligibility_and_the_flag() {
    // S33, PM-34
    let mut world = World::new();
    let container = world.filled(C, 1);
    let extra = AllocateFlags::EXTRA;
    assert_eq!(world.allocate(C, container, 9, 1, extra), refused(PmError::NotEligible, 0, 0));
    let container = world.filled(D, 60);
    let beyond = world.allocate(D, container, 100, 1, PLAIN);
    assert_eq!(beyond, refused(PmError::QuotaExceeded, 0, 100));
    assert_eq!(world.allocate(D, container, 100, 4, extra), number(4));
    let info = world.info(D, OWN);
    assert_eq!((info.frames.get(), info.extra.get()), (60 * PAGE_BYTES, 4 * PAGE_BYTES));
    assert!(world.states(D, frames(container, 100, 1))[0].contains(FrameState::EXTRA));
    assert_eq!(
        world.call(D, Request::ExtraRequest).map(|reply| match reply {
            Reply::ExtraRequest(request) => request.count,
            other => panic!("{other:?}"),
        }),
        Ok(0)
    );
}

#[test]
fn limits_are_promises() {
    // S42, S34, PM-230, PM-240, PM-241
    let mut world = World::new();
    let flags = LimitFlags::empty();
    let too_much = Request::AccountSplit { account: OWN, limit_pages: 201, flags };
    assert_eq!(world.error(C, too_much), Some(PmError::QuotaExceeded));
    let child = split(&mut world, C, OWN, 150);
    assert_eq!(world.info(C, OWN).promised.get(), 150 * PAGE_BYTES);
    let container = world.create(C);
    let quota = world.allocate(C, container, 0, 51, PLAIN);
    assert_eq!(quota, refused(PmError::QuotaExceeded, 0, 50));
    let inside = world.create_in(C, child).unwrap();
    assert_eq!(world.allocate(C, inside, 0, 20, PLAIN), number(20));
    let set = |limit_pages| Request::AccountSetLimits { account: child, limit_pages, flags };
    assert_eq!(world.error(C, set(19)), Some(PmError::QuotaExceeded));
    assert_eq!(world.call(C, set(20)), DONE);
    assert_eq!(world.allocate(C, container, 0, 180, PLAIN), number(180));
    let own = AccountHandle::of_peer(peer(C));
    let both = LimitFlags::EXTRA | LimitFlags::EXCESS;
    let lower = Request::AccountSetLimits { account: own, limit_pages: 100, flags: both };
    assert_eq!(world.error(S, lower), Some(PmError::NoRight));
    assert_eq!(world.call(P, lower), DONE, "no immediate loss");
    assert_eq!(world.charge(C), 200);
}

#[test]
fn destroying_an_account_takes_all_below_it() {
    // S39, S38, PM-235, PM-251
    let mut world = World::new();
    let child = split(&mut world, C, OWN, 50);
    let rights = AccountRights::all();
    let lend = Request::AccountLend { account: child, peer: peer(S), rights };
    let Ok(Reply::Account(lent)) = world.call(C, lend) else { panic!("it is lent") };
    let grandchild = split(&mut world, S, lent, 20);
    let inside = world.create_in(S, grandchild).unwrap();
    assert_eq!(world.allocate(S, inside, 0, 3, PLAIN), number(3));
    let mine = world.filled(S, 1);
    assert_eq!(world.call(S, Request::VspaceAccount { account: lent }), DONE);
    world.map(S, (mine, 0), 1, 0, RW).unwrap();
    assert_eq!(world.store(S, 0, 6), Done(6));
    assert_eq!(world.error(S, Request::VspaceAccount { account: OWN }), Some(PmError::Occupied));
    assert_eq!(world.charge(C), 3);
    assert_eq!(world.call(C, Request::AccountDestroy { account: child }), DONE);
    assert_eq!((world.charge(C), world.info(C, OWN).promised.get()), (0, 0));
    for account in [lent, grandchild] {
        let info = Request::AccountInfo { account };
        assert_eq!(world.error(S, info), Some(PmError::InvalidCap));
    }
    assert_eq!(world.allocate(S, inside, 9, 1, PLAIN), refused(PmError::InvalidCap, 0, 0));
    assert_eq!(world.load(S, 0), Faulted);
    assert_eq!(world.map(S, (mine, 0), 1, 0, RW), Err(PmError::NoTableQuota));
    assert_eq!(world.call(S, Request::VspaceAccount { account: OWN }), DONE);
    world.map(S, (mine, 0), 1, 0, RW).unwrap();
    assert_eq!(world.load(S, 0), Done(6), "the frames are not affected");
}

#[test]
fn a_lease_keeps_what_it_covers_of_a_dying_account() {
    // S40, PM-236
    let mut world = World::new();
    let child = split(&mut world, C, OWN, 50);
    let inside = world.create_in(C, child).unwrap();
    assert_eq!(world.allocate(C, inside, 0, 4, PLAIN), number(4));
    let lent = world.share(C, inside, S, Rights::all());
    let lease = world.lock(S, frames(lent.weak, 0, 1), LockMode::Exclusive, 500_000).unwrap();
    let destroy = Request::AccountDestroy { account: child };
    let pending = world.call(C, destroy).unwrap_err();
    assert_eq!((pending.error, pending.at), (PmError::Pending, lease.1));
    assert_eq!(world.error(C, Request::AccountInfo { account: child }), Some(PmError::InvalidCap));
    world.now = lease.1;
    assert_eq!(world.call(C, destroy), DONE);
    assert_eq!(world.charge(C), 0);
}

#[test]
fn a_removed_account_leaves_all_to_its_parent() {
    // S41, PM-237, PM-246
    let mut world = World::new();
    let child = split(&mut world, C, OWN, 50);
    let inside = world.create_in(C, child).unwrap();
    assert_eq!(world.allocate(C, inside, 0, 4, PLAIN), number(4));
    let rights = AccountRights::READ;
    let lend = Request::AccountLend { account: child, peer: peer(S), rights };
    let Ok(Reply::Account(lent)) = world.call(C, lend) else { panic!("it is lent") };
    let remove = |account| Request::AccountRemove { account };
    assert_eq!(world.error(S, remove(lent)), Some(PmError::NoRight));
    assert_eq!(world.error(C, remove(OWN)), Some(PmError::NoRight));
    assert_eq!(world.call(C, remove(child)), DONE);
    assert_eq!(world.error(S, Request::AccountInfo { account: lent }), Some(PmError::InvalidCap));
    let info = world.info(C, OWN);
    assert_eq!((info.frames.get(), info.promised.get()), (4 * PAGE_BYTES, 0));
    assert_eq!(world.allocate(C, inside, 4, 1, PLAIN), number(1));
}

#[test]
fn rights_to_accounts_are_those_that_one_has() {
    // PM-110, PM-246
    let mut world = World::new();
    let other = AccountHandle::of_peer(peer(C));
    let info = |account| Request::AccountInfo { account };
    assert_eq!(world.error(S, info(other)), Some(PmError::NoRight));
    assert!(world.call(P, info(other)).is_ok());
    assert_eq!(world.error(S, info(AccountHandle::of_peer(peer(9)))), Some(PmError::InvalidCap));
    assert_eq!(world.create_in(S, other), None);
    let child = split(&mut world, C, OWN, 5);
    let rights = AccountRights::ALLOCATE;
    let lend = Request::AccountLend { account: child, peer: peer(S), rights };
    let Ok(Reply::Account(lent)) = world.call(C, lend) else { panic!("it is lent") };
    assert_eq!(world.error(S, info(lent)), Some(PmError::NoRight));
    assert!(world.create_in(S, lent).is_some());
    assert_eq!(world.call(C, Request::AccountRecall { lent }), DONE);
    assert_eq!(world.create_in(S, lent), None);
}

#[test]
fn a_region_is_mapped_as_it_is_touched() {
    // S47, PM-200 to PM-202
    let mut world = World::new();
    let container = world.create(C);
    let attach = |vaddr, flags| Request::Attach { container, start: at(0), vaddr, count: 4, flags };
    assert_eq!(world.call(C, attach(page(0), RW)), DONE);
    assert_eq!(world.error(C, attach(page(3), RW)), Some(PmError::Occupied));
    assert_eq!(world.store(C, 1, 3), Faulted, "the frame is not there yet");
    assert_eq!(world.allocate(C, container, 0, 4, PLAIN), number(4));
    assert_eq!(world.store(C, 1, 3), Done(3));
    assert_eq!(world.load(C, 4), Faulted, "beyond the region");
    let detach = Request::Detach { vaddr: page(0) };
    assert_eq!(world.call(C, detach), DONE);
    assert_eq!(world.load(C, 1), Faulted);
    assert_eq!(world.error(C, detach), Some(PmError::NotFound));
}

/// A container of C's with two frames that S supplies, mapped by C.
fn handled(world: &mut World) -> pmserver_api::ContainerHandle {
    let container = world.filled(C, 2);
    let (start, handler, cookie) = (at(0), Some(peer(S)), 77);
    let set = Request::SetHandler { container, start, count: 2, handler, cookie };
    assert!(matches!(world.call(C, set), Ok(Reply::Range(_))));
    assert_eq!(world.error(C, set), Some(PmError::Exists));
    world.map(C, (container, 0), 2, 0, RW).unwrap();
    container
}

fn told(world: &mut World) -> Option<(FaultHandle, u64, AccessKind)> {
    match world.call(S, Request::NextFault) {
        Ok(Reply::Fault(fault)) => fault.map(|told| {
            assert_eq!(told.cookie, 77);
            (told.fault, told.number.get(), told.access)
        }),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_touches_an_absent_frame_waits_for_its_handler() {
    // S48, PM-280 to PM-282
    let mut world = World::new();
    let container = handled(&mut world);
    assert!(world.states(C, frames(container, 0, 1))[0].contains(FrameState::ABSENT));
    let to = world.create(C);
    let copied = world.copy(C, (container, 1), (to, 0), 1, CopyFlags::NEW);
    assert_eq!(copied, refused(PmError::Absent, 0, 1));
    assert_eq!(world.load(C, 0), Waits);
    let (fault, number, kind) = told(&mut world).expect("it is asked");
    assert_eq!((number, kind), (0, AccessKind::Read));
    let own = world.filled(S, 1);
    world.map(S, (own, 0), 1, 0, RW).unwrap();
    assert_eq!(world.store(S, 0, 12), Done(12));
    let supply = |container| Request::Supply { fault, container, number: at(0) };
    assert_eq!(world.error(S, supply(container)), Some(PmError::InvalidCap), "not its to read");
    assert_eq!(world.call(S, supply(own)), DONE);
    assert_eq!(world.load(C, 0), Done(12));
    assert_eq!(world.error(S, supply(own)), Some(PmError::InvalidCap), "it is answered");
    assert_eq!(world.store(S, 0, 13), Done(13));
    assert_eq!(world.load(C, 0), Done(12), "as a copy");
}

#[test]
fn a_handler_that_does_not_answer_is_a_fault() {
    // S48, PM-283
    let mut world = World::new();
    let container = handled(&mut world);
    assert_eq!(world.load(C, 0), Waits);
    world.now += 1_100_000;
    assert_eq!(world.load(C, 0), Faulted, "late");
    assert_eq!(world.store(C, 1, 1), Waits);
    let (fault, ..) = loop {
        let told = told(&mut world).expect("it is asked");
        if told.1 == 1 {
            break told;
        }
    };
    assert_eq!(world.call(S, Request::Refuse { fault }), DONE);
    assert_eq!(world.store(C, 1, 1), Faulted, "refused");
    world.fault(S);
    assert_eq!(world.load(C, 0), Faulted, "gone");
    let end = Request::SetHandler { container, start: at(0), count: 2, handler: None, cookie: 0 };
    assert!(matches!(world.call(C, end), Ok(Reply::Range(_))));
    assert_eq!(world.load(C, 0), Touch::Done(0), "PM-284");
}
