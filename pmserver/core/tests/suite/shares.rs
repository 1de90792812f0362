// SPDX-License-Identifier: BSD-2-Clause
//! Sharing and locking (O2, O3, O13, R9-R11; S11-S18, S22, S26, S36).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{Pm, World, at, filled, frames, page, peer};
use pmserver_api::{
    AccountHandle, AllocateFlags, CallError, ContainerHandle, DeallocateFlags, Failure, LockMode,
    MapFlags, PmError, Rights, Shared,
};
use proto::Micros;
use proto::limits::{CONTAINER_LEASES_MAX, CONTAINER_SHARES_MAX, LEASE_MICROS_MAX};

const LEASE: Micros = Micros::new(1000);

fn refusal<T>(result: Result<T, CallError>) -> Option<PmError> {
    result.err().and_then(|error| error.refusal())
}

fn lent(pm: &mut Pm, count: u64, rights: Rights) -> (ContainerHandle, Shared) {
    let container = filled(pm, count);
    let shared = pm.share(container, at(0), count, peer(1), rights, LEASE).unwrap();
    (container, shared)
}

#[test]
fn nothing_of_the_servers_access_is_left_when_unshare_returns() {
    // R9, S11
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let before = world.accounts();
    let (container, shared) = lent(&mut pm, 16, Rights::all());
    assert_eq!(fs.map(shared.weak, at(0), frames(16), page(0), MapFlags::WRITE).unwrap().count, 16);
    for number in 0..16 {
        world.store(1, 0x5A, page(number)).unwrap();
    }
    pm.unshare(shared.share).unwrap();
    for number in 0..16 {
        assert!(world.store(1, 0xFF, page(number)).is_err(), "the server's store must fault");
        assert!(world.load(1, page(number)).is_err());
    }
    assert_eq!(
        refusal(fs.map(shared.weak, at(0), frames(1), page(0), MapFlags::READ)),
        Some(PmError::InvalidCap)
    );
    pm.map(container, at(0), frames(16), page(0), MapFlags::READ).unwrap();
    for number in 0..16 {
        assert_eq!(world.load(2, page(number)), Ok(0x5A));
        assert!(world.store(2, 1, page(number)).is_err(), "mapped for reading");
    }
    pm.container_destroy(container).unwrap();
    assert_eq!(world.accounts(), before, "the server paid for nothing and neither did the client");
}

#[test]
fn a_weak_handle_allows_what_was_lent_and_no_more() {
    // R11, S12
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let (_, shared) = lent(&mut pm, 4, Rights::READ);
    let before = world.accounts();
    let weak = shared.weak;
    let no = Some(PmError::NoRight);
    assert_eq!(refusal(fs.allocate(weak, at(9), frames(1), AllocateFlags::empty())), no);
    assert_eq!(refusal(fs.deallocate(weak, at(0), frames(1), DeallocateFlags::empty())), no);
    assert_eq!(refusal(fs.container_destroy(weak)), no);
    assert_eq!(refusal(fs.share(weak, at(0), 1, peer(3), Rights::READ, LEASE)), no);
    assert_eq!(refusal(fs.status(weak, at(0), frames(1))), no);
    assert_eq!(refusal(fs.map(weak, at(0), frames(1), page(0), MapFlags::WRITE)), no);
    assert_eq!(
        refusal(fs.map(weak, at(3), frames(2), page(0), MapFlags::READ)),
        no,
        "beyond the range"
    );
    assert_eq!(refusal(fs.lock(weak, at(0), frames(1), LockMode::Read, LEASE)), no);
    assert_eq!(
        refusal(fs.unshare(shared.share)),
        Some(PmError::InvalidCap),
        "only the owner ends it"
    );
    let mut other = world.supervisor();
    let theft = other.map(weak, at(0), frames(1), page(0), MapFlags::READ);
    assert_eq!(
        refusal(theft),
        Some(PmError::InvalidCap),
        "a handle of another domain's names nothing"
    );
    assert_eq!(world.accounts(), before);
    assert_eq!(fs.map(weak, at(0), frames(4), page(0), MapFlags::READ).unwrap().count, 4);
}

#[test]
fn without_a_lease_the_owner_takes_back_at_once() {
    // S14
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let (container, shared) = lent(&mut pm, 4, Rights::all());
    pm.unshare(shared.share).unwrap();
    assert_eq!(pm.deallocate(container, at(0), frames(4), DeallocateFlags::STRICT), Ok(4));
    for late in [
        refusal(fs.map(shared.weak, at(0), frames(1), page(0), MapFlags::READ)),
        refusal(fs.lock(shared.weak, at(0), frames(1), LockMode::Read, LEASE)),
    ] {
        assert_eq!(late, Some(PmError::InvalidCap));
    }
    assert_eq!(refusal(pm.unshare(shared.share)), Some(PmError::InvalidCap));
}

#[test]
fn an_exclusive_lease_keeps_the_owner_out_until_its_deadline() {
    // S15
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let (container, shared) = lent(&mut pm, 4, Rights::all());
    pm.map(container, at(0), frames(4), page(0), MapFlags::WRITE).unwrap();
    world.store(2, 1, page(0)).unwrap();
    let lease = fs.lock(shared.weak, at(0), frames(4), LockMode::Exclusive, LEASE).unwrap();
    assert!(world.load(2, page(0)).is_err(), "the old mapping faults");
    let locked = Failure { error: PmError::Locked, done: 0, at: lease.deadline.get() };
    let locked = Some(CallError::Refused(locked));
    assert_eq!(pm.map(container, at(0), frames(1), page(0), MapFlags::READ).err(), locked);
    assert_eq!(pm.deallocate(container, at(3), frames(9), DeallocateFlags::empty()).err(), locked);
    assert_eq!(pm.allocate(container, at(0), frames(1), AllocateFlags::SQUASH).err(), locked);
    assert_eq!(pm.lock(container, at(0), frames(1), LockMode::Read, LEASE).err(), locked);
    assert_eq!(pm.unshare(shared.share).err(), locked);
    let pending = pm.container_destroy(container);
    let expected = Failure { error: PmError::Pending, done: 0, at: lease.deadline.get() };
    assert_eq!(pending, Err(CallError::Refused(expected)));
    world.advance(LEASE.get());
    assert_eq!(pm.container_destroy(container), Ok(()), "with no cooperation of the server's");
    assert_eq!(refusal(fs.unlock(lease.lease)), Some(PmError::InvalidCap));
}

#[test]
fn after_the_deadline_everything_works_again() {
    // S15, second half, and S18
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let (container, shared) = lent(&mut pm, 4, Rights::all());
    fs.lock(shared.weak, at(0), frames(4), LockMode::Exclusive, LEASE).unwrap();
    fs.map(shared.weak, at(0), frames(4), page(0), MapFlags::WRITE).unwrap();
    world.advance(LEASE.get());
    pm.map(container, at(0), frames(4), page(0), MapFlags::WRITE).unwrap();
    pm.unshare(shared.share).unwrap();
    assert!(world.load(1, page(0)).is_err());
    assert_eq!(pm.deallocate(container, at(0), frames(4), DeallocateFlags::STRICT), Ok(4));
}

#[test]
fn a_pending_revocation_wins_over_locking_for_ever() {
    // S16, S17
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let (container, shared) = lent(&mut pm, 4, Rights::all());
    let asked = Micros::new(1_000_000_000);
    let now = pm.clock().unwrap();
    let lease = fs.lock(shared.weak, at(0), frames(4), LockMode::Exclusive, asked).unwrap();
    assert!(
        lease.deadline.get() <= now.get() + LEASE.get() + 10,
        "no longer than the share allows"
    );
    assert_eq!(refusal(pm.unshare(shared.share)), Some(PmError::Locked));
    fs.unlock(lease.lease).unwrap();
    let again = fs.lock(shared.weak, at(0), frames(4), LockMode::Exclusive, asked);
    assert_eq!(refusal(again), Some(PmError::Revoking));
    let mapped = fs.map(shared.weak, at(0), frames(1), page(0), MapFlags::READ);
    assert_eq!(refusal(mapped), Some(PmError::Revoking));
    pm.unshare(shared.share).unwrap();
    pm.container_destroy(container).unwrap();
}

#[test]
fn the_system_bounds_every_lease() {
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 1);
    let now = pm.clock().unwrap().get();
    let lease =
        pm.lock(container, at(0), frames(1), LockMode::Read, Micros::new(u64::MAX)).unwrap();
    assert!(lease.deadline.get() <= now + LEASE_MICROS_MAX + 10);
    let nothing = pm.lock(container, at(0), frames(1), LockMode::Read, Micros::new(0));
    assert_eq!(refusal(nothing), Some(PmError::Invalid));
}

#[test]
fn a_read_lease_leaves_everybody_reading() {
    // O13
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let (container, shared) = lent(&mut pm, 2, Rights::all());
    pm.map(container, at(0), frames(2), page(0), MapFlags::WRITE).unwrap();
    world.store(2, 9, page(1)).unwrap();
    let lease = fs.lock(shared.weak, at(0), frames(2), LockMode::Read, LEASE).unwrap();
    assert_eq!(world.load(2, page(1)), Ok(9));
    assert!(world.store(2, 1, page(1)).is_err());
    let write = pm.map(container, at(0), frames(1), page(9), MapFlags::WRITE);
    assert_eq!(refusal(write), Some(PmError::Locked));
    pm.map(container, at(0), frames(1), page(9), MapFlags::READ).unwrap();
    pm.lock(container, at(0), frames(2), LockMode::Read, LEASE).unwrap();
    let both = pm.lock(container, at(0), frames(2), LockMode::Exclusive, LEASE);
    assert_eq!(refusal(both), Some(PmError::Locked));
    fs.unlock(lease.lease).unwrap();
}

#[test]
fn one_share_locked_does_not_keep_another() {
    // S22
    let world = World::new();
    let (mut pm, mut fs, mut other) = (world.client(), world.fs(), world.supervisor());
    let container = filled(&mut pm, 4);
    let one = pm.share(container, at(0), 4, peer(1), Rights::all(), LEASE).unwrap();
    let two = pm.share(container, at(0), 4, peer(3), Rights::all(), LEASE).unwrap();
    other.map(two.weak, at(0), frames(1), page(0), MapFlags::READ).unwrap();
    fs.lock(one.weak, at(0), frames(4), LockMode::Exclusive, LEASE).unwrap();
    assert!(world.load(3, page(0)).is_err());
    let locked = other.map(two.weak, at(0), frames(1), page(0), MapFlags::READ);
    assert_eq!(refusal(locked), Some(PmError::Locked));
    pm.unshare(two.share).unwrap();
    assert_eq!(refusal(pm.unshare(one.share)), Some(PmError::Locked));
}

#[test]
fn weak_mappings_are_paid_for_by_the_mapper() {
    // S36, R25
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let (container, shared) = lent(&mut pm, 8, Rights::all());
    let forced = MapFlags::WRITE | MapFlags::FORCE_WRITE;
    pm.map(container, at(0), frames(8), page(0), forced).unwrap();
    let [_, fs_before, pm_before, _] = world.accounts();
    for number in 0..8 {
        let vaddr = proto::VirtAddr::new_page(0x1000_0000 + (number << 21)).unwrap();
        fs.map(shared.weak, at(number), frames(1), vaddr, MapFlags::READ).unwrap();
    }
    let [_, fs_after, pm_after, _] = world.accounts();
    assert_eq!(pm_after, pm_before);
    assert_eq!(fs_after.tables.get() - fs_before.tables.get(), 8 * 4096);
    assert_eq!(
        fs_after.slots.get() - fs_before.slots.get(),
        4096,
        "the second mapping needs a slot"
    );
    pm.unshare(shared.share).unwrap();
    let [_, fs_end, ..] = world.accounts();
    assert_eq!(fs_end, fs_before);
}

#[test]
fn shares_and_leases_of_a_container_have_a_bound() {
    // S49
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 1);
    for _ in 0..CONTAINER_SHARES_MAX {
        pm.share(container, at(0), 1, peer(1), Rights::READ, LEASE).unwrap();
    }
    let one_more = pm.share(container, at(0), 1, peer(1), Rights::READ, LEASE);
    assert_eq!(refusal(one_more), Some(PmError::TooMany));
    for _ in 0..CONTAINER_LEASES_MAX {
        pm.lock(container, at(0), frames(1), LockMode::Read, Micros::new(100_000)).unwrap();
    }
    let one_more = pm.lock(container, at(0), frames(1), LockMode::Read, LEASE);
    assert_eq!(refusal(one_more), Some(PmError::TooMany));
}

#[test]
fn objects_without_end_are_stopped_by_the_makers_account() {
    // S49
    let world = World::small().unchecked();
    let (mut pm, mut greedy) = (world.client(), world.supervisor());
    let error = loop {
        if let Err(error) = greedy.container_create(AccountHandle::OWN) {
            break error;
        }
    };
    assert_eq!(error.refusal(), Some(PmError::QuotaExceeded));
    filled(&mut pm, 200);
    world.check();
}

#[test]
fn destroying_ends_every_weak_handle() {
    // S26
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let (container, shared) = lent(&mut pm, 2, Rights::all());
    fs.map(shared.weak, at(0), frames(2), page(0), MapFlags::WRITE).unwrap();
    pm.container_destroy(container).unwrap();
    assert!(world.load(1, page(0)).is_err());
    let late = fs.map(shared.weak, at(0), frames(1), page(0), MapFlags::READ);
    assert_eq!(refusal(late), Some(PmError::InvalidCap));
}

#[test]
fn more_mappings_than_one_call_takes_away_are_taken_away() {
    // D6, PM-62
    let world = World::small();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let before = world.accounts();
    let container = filled(&mut pm, 100);
    let shared = pm.share(container, at(0), 100, peer(1), Rights::all(), LEASE).unwrap();
    for round in 0..3 {
        fs.map(shared.weak, at(0), frames(100), page(round * 100), MapFlags::WRITE).unwrap();
    }
    let request = proto::Message::new(9, [shared.share.raw()]);
    let reply = world.raw(2, request);
    assert_eq!((reply.label(), reply.registers()), (PmError::Pending.status(), &[256, 0][..]));
    let late = fs.map(shared.weak, at(0), frames(1), page(900), MapFlags::READ);
    assert_eq!(refusal(late), Some(PmError::Revoking), "the rest can only become less");
    pm.unshare(shared.share).unwrap();
    assert!((0..300).all(|number| world.load(1, page(number)).is_err()));
    pm.container_destroy(container).unwrap();
    assert_eq!(world.accounts(), before);
}
