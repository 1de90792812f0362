// SPDX-License-Identifier: BSD-2-Clause
//! Shares that are used once at a time: arm, take, give back, confirm (PM-430 to PM-437; S64).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{Pm, World, at, failure, filled, frames, page, peer, refusal, states};
use pmserver_api::{
    AccessKind, AccountHandle, AllocateFlags, CallError, ContainerHandle, CopyFlags,
    DeallocateFlags, Failure, FrameState, Lease, LockMode, MapFlags, PmError, Request, Rights,
    ShareTerms, Shared,
};
use pmserver_core::Fault;
use proto::{Console, Micros};

const LEASE: Micros = Micros::new(10_000);
const WRITE: MapFlags = MapFlags::WRITE;
const READ: MapFlags = MapFlags::READ;
/// Where the owner has the frames mapped.
const OWN: u64 = 0;
/// Where the borrower takes them to.
const TAKEN: u64 = 600;

struct Mute;
impl Console for Mute {
    fn write(&mut self, _: &[u8]) {}
}

const fn terms(peer: proto::PeerId, rights: Rights) -> ShareTerms {
    ShareTerms { peer, rights, lease_max: LEASE, once: true }
}

/// Frames that the owner has mapped and lent to the server, to be taken.
struct Stage {
    world: World,
    owner: Pm,
    borrower: Pm,
    container: ContainerHandle,
    shared: Shared,
}

impl Stage {
    fn new(count: u64, rights: Rights) -> Self {
        let world = World::new();
        let (mut owner, borrower) = (world.client(), world.fs());
        let container = filled(&mut owner, count);
        owner.map(container, at(0), frames(count), page(OWN), WRITE).unwrap();
        let shared = owner.share_on(container, at(0), count, terms(peer(1), rights)).unwrap();
        Self { world, owner, borrower, container, shared }
    }

    fn armed(count: u64) -> Self {
        let mut stage = Self::new(count, Rights::WRITE);
        stage.owner.arm(stage.shared.share).unwrap();
        stage
    }

    fn take(&mut self, count: u64, flags: MapFlags) -> Result<Lease, CallError> {
        self.borrower.take(self.shared.weak, at(0), frames(count), page(TAKEN), flags)
    }

    fn disarm(&mut self) -> Result<bool, CallError> {
        self.owner.disarm(self.shared.share)
    }

    /// Begins to take so many frames, of which one call takes a part. Returns how many.
    fn begin_to_take(&self, count: u64) -> u64 {
        let (container, count) = (self.shared.weak, frames(count));
        let frames = pmserver_api::Frames { container, start: at(0), count };
        let request = Request::Take { frames, vaddr: page(TAKEN), flags: WRITE };
        let reply = self.world.raw(1, request.encode());
        assert_eq!(reply.label(), PmError::Pending.status(), "one call does not do it");
        reply.registers()[0]
    }

    fn borrower_has_none(&self, count: u64) {
        self.borrower_has_none_at(TAKEN, count);
    }

    fn borrower_has_none_at(&self, first: u64, count: u64) {
        for number in 0..count {
            assert!(self.world.load(1, page(first + number)).is_err(), "page {number}");
            assert!(self.world.store(1, 9, page(first + number)).is_err(), "page {number}");
        }
    }
}

#[test]
fn the_owner_knows_by_one_call_that_the_bytes_are_its_own() {
    let mut stage = Stage::armed(4);
    let lease = stage.take(4, WRITE).unwrap();
    for number in 0..4 {
        // The server is not asked: no access faults.
        let mut byte = [0x5A];
        let mut server = stage.world.0.borrow_mut();
        let vspace = pmserver_core::kernel::VSpace::Peer(peer(1));
        let vaddr = page(TAKEN + number).get();
        server.kernel_mut().store(vspace, &byte, vaddr).unwrap();
        server.kernel().load(vspace, vaddr, &mut byte).unwrap();
    }
    let locked = Failure { error: PmError::Locked, done: 0, at: lease.deadline.get() };
    assert_eq!(failure(stage.disarm()), locked, "it is taken");
    assert_eq!(failure(stage.owner.arm(stage.shared.share)), locked);
    stage.borrower.unlock(lease.lease).unwrap();
    stage.borrower_has_none(4);
    assert_eq!(stage.disarm(), Ok(false), "it was taken and given back");
    for number in 0..4 {
        assert_eq!(stage.world.load(2, page(OWN + number)), Ok(0x5A));
    }
    assert_eq!(refusal(stage.take(4, WRITE)), Some(PmError::NotArmed));
    stage.owner.arm(stage.shared.share).unwrap();
    stage.take(4, READ).unwrap();
}

#[test]
fn the_owner_keeps_its_mapping_while_the_frames_are_taken() {
    let mut stage = Stage::armed(2);
    stage.world.store(2, 1, page(OWN)).unwrap();
    let lease = stage.take(2, WRITE).unwrap();
    assert_eq!(stage.world.load(1, page(TAKEN)), Ok(1));
    for byte in 2..5 {
        stage.world.store(2, byte, page(OWN)).unwrap();
        assert_eq!(stage.world.load(1, page(TAKEN)), Ok(byte));
        stage.world.store(1, byte + 10, page(TAKEN)).unwrap();
        assert_eq!(stage.world.load(2, page(OWN)), Ok(byte + 10));
    }
    let (owner, container) = (&mut stage.owner, stage.container);
    owner.map(container, at(0), frames(2), page(20), WRITE).unwrap();
    owner.remap(page(OWN), frames(2), WRITE).unwrap();
    assert_eq!(stage.world.load(2, page(20)), Ok(14));
    stage.borrower.unlock(lease.lease).unwrap();
    assert_eq!(stage.world.load(2, page(OWN)), Ok(14));
}

#[test]
fn the_owner_cannot_take_frames_away_from_who_has_taken_them() {
    for flags in [READ, WRITE] {
        let mut stage = Stage::armed(4);
        let other = filled(&mut stage.owner, 4);
        stage.world.store(2, 7, page(OWN)).unwrap();
        let lease = stage.take(4, flags).unwrap();
        let locked = Failure { error: PmError::Locked, done: 0, at: lease.deadline.get() };
        let (owner, container) = (&mut stage.owner, stage.container);
        let one = frames(1);
        let none = CopyFlags::empty();
        let into = owner.copy((other, at(0)), (container, at(0)), one, none);
        assert_eq!(failure(into), locked);
        let gone = owner.deallocate(container, at(3), one, DeallocateFlags::empty());
        assert_eq!(failure(gone), locked);
        assert_eq!(failure(owner.renew(container, at(1), one)), locked);
        let squashed = owner.allocate(container, at(0), one, AllocateFlags::SQUASH);
        assert_eq!(failure(squashed), locked);
        let moved = (other, at(9));
        let moved = owner.copy((container, at(0)), moved, one, CopyFlags::NEW | CopyFlags::MOVE);
        assert_eq!(failure(moved), locked);
        let alone = owner.lock(container, at(0), one, LockMode::Exclusive, LEASE);
        assert_eq!(failure(alone), locked);
        assert_eq!(failure(owner.unshare(stage.shared.share)), locked);
        let copied = owner.copy((container, at(0)), (other, at(1)), one, none);
        let read = owner.lock(container, at(0), one, LockMode::Read, LEASE);
        if flags == WRITE {
            assert_eq!((failure(copied), failure(read)), (locked, locked));
        } else {
            assert!(copied.is_ok() && read.is_ok(), "nobody writes");
        }
        let state = states(owner, container, 4);
        assert!(state.iter().all(|state| state.contains(FrameState::LOCKED)));
        assert_eq!(stage.world.load(1, page(TAKEN)), Ok(7), "it has them still");
    }
}

#[test]
fn nothing_else_works_through_such_a_share() {
    let mut stage = Stage::armed(4);
    let before = stage.world.accounts();
    let (weak, one) = (stage.shared.weak, frames(1));
    let mine = filled(&mut stage.borrower, 2);
    let before_mine = stage.world.accounts();
    assert_ne!(before, before_mine);
    let refused = |result: Result<(), CallError>| {
        assert_eq!(refusal(result), Some(PmError::NoRight));
    };
    let pm = &mut stage.borrower;
    let none = CopyFlags::empty();
    refused(pm.map(weak, at(0), one, page(TAKEN), READ).map(drop));
    refused(pm.lock(weak, at(0), one, LockMode::Read, LEASE).map(drop));
    refused(pm.pin(weak, at(0), one, LockMode::Read, LEASE).map(drop));
    refused(pm.grant(weak, at(0), one, READ).map(drop));
    refused(pm.attach(weak, at(0), 1, page(TAKEN), READ));
    refused(pm.copy((weak, at(0)), (mine, at(0)), one, none).map(drop));
    refused(pm.copy((mine, at(0)), (weak, at(0)), one, none).map(drop));
    refused(pm.share(weak, at(0), 1, peer(3), Rights::READ, LEASE).map(drop));
    refused(pm.status(weak, at(0), one).map(drop));
    refused(pm.container_destroy(weak));
    refused(pm.allocate(weak, at(9), one, AllocateFlags::empty()).map(drop));
    let source = pmserver_api::Frames { container: weak, start: at(0), count: one };
    let plain = ShareTerms { once: false, ..terms(peer(3), Rights::READ) };
    refused(pm.create_from(AccountHandle::OWN, source, plain).map(drop));
    // More than the share gives, or less than a mapping.
    refused(pm.take(weak, at(3), frames(2), page(TAKEN), READ).map(drop));
    for flags in [MapFlags::empty(), READ | MapFlags::EXECUTE, WRITE | MapFlags::FORCE_WRITE] {
        let taken = pm.take(weak, at(0), one, page(TAKEN), flags);
        assert_eq!(refusal(taken), Some(PmError::Invalid), "{flags:?}");
    }
    assert_eq!(stage.world.accounts(), before_mine);
    assert_eq!(stage.disarm(), Ok(true), "no refused call uses the arming up");
    // Nor is another kind of handle one to take by.
    let taken = stage.owner.take(stage.container, at(0), one, page(TAKEN), READ);
    assert_eq!(refusal(taken), Some(PmError::NoRight));
    let plain = ShareTerms { once: false, ..terms(peer(1), Rights::all()) };
    let plain = stage.owner.share_on(stage.container, at(0), 4, plain).unwrap();
    let taken = stage.borrower.take(plain.weak, at(0), one, page(TAKEN), READ);
    assert_eq!(refusal(taken), Some(PmError::NoRight));
    assert_eq!(refusal(stage.owner.arm(plain.share)), Some(PmError::Invalid));
    assert_eq!(refusal(stage.owner.disarm(plain.share)), Some(PmError::Invalid));
    let never = ShareTerms { lease_max: Micros::new(0), ..terms(peer(1), Rights::WRITE) };
    let never = stage.owner.share_on(stage.container, at(0), 4, never);
    assert_eq!(refusal(never), Some(PmError::Invalid));
}

#[test]
fn it_is_taken_only_when_it_is_armed_and_only_by_its_borrower() {
    let mut stage = Stage::new(2, Rights::READ);
    assert_eq!(refusal(stage.take(2, READ)), Some(PmError::NotArmed));
    assert_eq!(refusal(stage.borrower.arm(stage.shared.share)), Some(PmError::InvalidCap));
    stage.owner.arm(stage.shared.share).unwrap();
    stage.owner.arm(stage.shared.share).unwrap();
    assert_eq!(refusal(stage.take(2, WRITE)), Some(PmError::NoRight), "only READ was lent");
    let mut third = stage.world.supervisor();
    let stolen = third.take(stage.shared.weak, at(0), frames(2), page(TAKEN), READ);
    assert_eq!(refusal(stolen), Some(PmError::InvalidCap));
    assert_eq!(stage.disarm(), Ok(true));
    assert_eq!(refusal(stage.take(2, READ)), Some(PmError::NotArmed));
    stage.owner.arm(stage.shared.share).unwrap();
    let lease = stage.take(1, READ).unwrap();
    assert_eq!(refusal(stage.take(1, READ)), Some(PmError::NotArmed), "it is taken");
    assert_eq!(refusal(third.unlock(lease.lease)), Some(PmError::InvalidCap));
    stage.borrower.unlock(lease.lease).unwrap();
    assert_eq!(refusal(stage.borrower.unlock(lease.lease)), Some(PmError::InvalidCap));
}

#[test]
fn what_is_not_given_back_in_time_is_taken_back() {
    let mut stage = Stage::armed(3);
    let before = stage.world.accounts();
    let lease = stage.take(3, WRITE).unwrap();
    stage.world.store(1, 3, page(TAKEN)).unwrap();
    stage.world.advance(LEASE.get());
    assert_eq!(stage.disarm(), Ok(false), "at the deadline, with no cooperation");
    stage.borrower_has_none(3);
    assert_eq!(refusal(stage.borrower.unlock(lease.lease)), Some(PmError::InvalidCap));
    assert_eq!(stage.world.accounts(), before);
    // Who gives it back too late learns that.
    stage.owner.arm(stage.shared.share).unwrap();
    let lease = stage.take(3, WRITE).unwrap();
    stage.world.advance(LEASE.get());
    assert_eq!(refusal(stage.borrower.unlock(lease.lease)), Some(PmError::InvalidCap));
    stage.borrower_has_none(3);
    assert_eq!(stage.world.accounts(), before);
}

#[test]
fn an_access_after_the_deadline_is_a_fault() {
    for remaps in [false, true] {
        let mut stage = Stage::armed(2);
        stage.take(2, WRITE).unwrap();
        stage.world.advance(LEASE.get());
        if remaps {
            let remapped = failure(stage.borrower.remap(page(TAKEN), frames(2), WRITE));
            assert_eq!(remapped.error, PmError::NotFound);
        } else {
            let mut server = stage.world.0.borrow_mut();
            let mut resolve = || server.resolve(peer(1), page(TAKEN).get(), AccessKind::Write);
            assert!(resolve(), "what was there has gone, so it is looked at again");
            assert!(!resolve());
        }
        stage.borrower_has_none(2);
        assert_eq!(stage.disarm(), Ok(false));
    }
}

#[test]
fn what_a_borrower_has_taken_goes_with_it() {
    for recovers in [false, true] {
        let mut stage = Stage::armed(3);
        if recovers {
            stage.borrower.register_recovery(page(0), page(1)).unwrap();
        }
        let lease = stage.take(3, WRITE).unwrap();
        let fault = Fault::Access { address: 0xdead_b000, kind: AccessKind::Read };
        stage.world.0.borrow_mut().fault(peer(1), fault, &mut Mute);
        stage.world.check();
        assert_eq!(stage.disarm(), Ok(false), "before its deadline");
        if recovers {
            stage.borrower_has_none(3);
            assert_eq!(refusal(stage.borrower.unlock(lease.lease)), Some(PmError::InvalidCap));
        }
        stage.owner.container_destroy(stage.container).unwrap();
        while stage.owner.reclaim().unwrap() > 0 {}
        stage.world.check();
    }
}

#[test]
fn unshare_and_destroy_wait_for_the_deadline() {
    for destroys in [false, true] {
        let mut stage = Stage::armed(3);
        let lease = stage.take(3, WRITE).unwrap();
        let end = |stage: &mut Stage| {
            if destroys {
                stage.owner.container_destroy(stage.container)
            } else {
                stage.owner.unshare(stage.shared.share)
            }
        };
        assert_eq!(failure(end(&mut stage)).at, lease.deadline.get());
        assert_eq!(stage.world.load(1, page(TAKEN)), Ok(0));
        if !destroys {
            assert_eq!(refusal(stage.owner.arm(stage.shared.share)), Some(PmError::Locked));
            stage.borrower.unlock(lease.lease).unwrap();
            assert_eq!(refusal(stage.owner.arm(stage.shared.share)), Some(PmError::Revoking));
        }
        stage.world.advance(LEASE.get());
        end(&mut stage).unwrap();
        stage.borrower_has_none(3);
        assert_eq!(refusal(stage.disarm()), Some(PmError::InvalidCap));
        assert_eq!(refusal(stage.take(3, WRITE)), Some(PmError::InvalidCap));
    }
}

#[test]
fn no_share_is_taken_that_is_being_revoked() {
    let mut stage = Stage::armed(2);
    let plain = ShareTerms { once: false, ..terms(peer(3), Rights::all()) };
    let plain = stage.owner.share_on(stage.container, at(0), 2, plain).unwrap();
    let mut third = stage.world.supervisor();
    third.lock(plain.weak, at(0), frames(2), LockMode::Read, LEASE).unwrap();
    assert_eq!(refusal(stage.take(2, WRITE)), Some(PmError::Locked), "a lease of another");
    let lease = stage.take(2, READ).unwrap();
    assert_eq!(refusal(stage.owner.unshare(stage.shared.share)), Some(PmError::Locked));
    stage.borrower.unlock(lease.lease).unwrap();
    assert_eq!(refusal(stage.take(2, READ)), Some(PmError::NotArmed));
}

#[test]
fn leases_of_others_are_in_the_way_and_mappings_are_not() {
    let mut stage = Stage::armed(2);
    let plain = ShareTerms { once: false, ..terms(peer(3), Rights::all()) };
    let plain = stage.owner.share_on(stage.container, at(0), 2, plain).unwrap();
    let mut third = stage.world.supervisor();
    third.map(plain.weak, at(0), frames(2), page(0), WRITE).unwrap();
    let (container, two) = (stage.container, frames(2));
    let own = stage.owner.lock(container, at(0), two, LockMode::Exclusive, LEASE).unwrap();
    for flags in [READ, WRITE] {
        assert_eq!(failure(stage.take(2, flags)).at, own.deadline.get());
    }
    stage.owner.unlock(own.lease).unwrap();
    let lease = stage.take(2, WRITE).unwrap();
    stage.world.store(3, 8, page(0)).unwrap();
    assert_eq!(stage.world.load(1, page(TAKEN)), Ok(8), "the owner has lent it to both");
    for mode in [LockMode::Read, LockMode::Exclusive] {
        let locked = third.lock(plain.weak, at(0), two, mode, LEASE);
        assert_eq!(failure(locked).at, lease.deadline.get());
    }
}

#[test]
fn frames_get_memory_of_their_own_before_they_are_written_to() {
    let mut stage = Stage::armed(3);
    stage.world.store(2, 6, page(OWN)).unwrap();
    let copy = stage.owner.container_create(AccountHandle::OWN).unwrap();
    let (from, to) = ((stage.container, at(0)), (copy, at(0)));
    stage.owner.copy(from, to, frames(3), CopyFlags::NEW).unwrap();
    let lease = stage.take(3, WRITE).unwrap();
    stage.world.store(1, 7, page(TAKEN)).unwrap();
    stage.borrower.unlock(lease.lease).unwrap();
    stage.owner.map(copy, at(0), frames(3), page(30), READ).unwrap();
    assert_eq!(stage.world.load(2, page(30)), Ok(6));
    assert_eq!(stage.world.load(2, page(OWN)), Ok(7));
    // One memory for good: others would see what is written.
    stage.owner.copy((copy, at(0)), (copy, at(8)), frames(1), CopyFlags::NEW).unwrap();
    let shared = CopyFlags::NEW | CopyFlags::SHARED;
    stage.owner.copy((stage.container, at(1)), (copy, at(9)), frames(1), shared).unwrap();
    stage.owner.arm(stage.shared.share).unwrap();
    let refused = Failure { error: PmError::Shared, done: 0, at: 1 };
    assert_eq!(failure(stage.take(3, WRITE)), refused);
    stage.take(3, READ).unwrap();
}

#[test]
fn a_take_that_fails_leaves_nothing_and_the_share_armed() {
    let mut stage = Stage::armed(4);
    let one = frames(1);
    stage.owner.deallocate(stage.container, at(2), one, DeallocateFlags::empty()).unwrap();
    let before = stage.world.accounts();
    let missing = Failure { error: PmError::NotFound, done: 0, at: 2 };
    assert_eq!(failure(stage.take(4, WRITE)), missing);
    stage.borrower_has_none(4);
    assert_eq!(stage.world.accounts(), before);
    stage.owner.allocate(stage.container, at(2), one, AllocateFlags::empty()).unwrap();
    let mine = filled(&mut stage.borrower, 1);
    stage.borrower.map(mine, at(0), one, page(TAKEN + 3), READ).unwrap();
    let occupied = Failure { error: PmError::Occupied, done: 0, at: page(TAKEN + 3).get() };
    assert_eq!(failure(stage.take(4, WRITE)), occupied);
    assert!(stage.world.load(1, page(TAKEN)).is_err());
    stage.borrower.unmap(page(TAKEN + 3), one).unwrap();
    stage.take(4, WRITE).unwrap();
}

#[test]
fn a_borrower_without_room_takes_nothing() {
    let mut stage = Stage::armed(2);
    let before = stage.world.accounts();
    // Each fills the account: there is no room for a record, or for a table.
    let mut made = Vec::new();
    while let Ok(container) = stage.borrower.container_create(AccountHandle::OWN) {
        let all = stage.borrower.allocate(container, at(0), frames(256), AllocateFlags::PARTIAL);
        made.push(container);
        if all != Ok(256) {
            break;
        }
    }
    while let Ok(container) = stage.borrower.container_create(AccountHandle::OWN) {
        made.push(container);
    }
    let full = stage.world.accounts();
    let refused = refusal(stage.take(2, WRITE));
    let errors = [Some(PmError::QuotaExceeded), Some(PmError::NoTableQuota)];
    assert!(errors.contains(&refused), "{refused:?}");
    assert_eq!(stage.world.accounts(), full);
    for container in made {
        stage.borrower.container_destroy(container).unwrap();
    }
    assert_eq!(stage.world.accounts(), before);
    stage.take(2, WRITE).unwrap();
}

#[test]
fn a_kernel_that_refuses_leaves_it_armed_or_taken() {
    for nth in 1..40 {
        let mut stage = Stage::armed(3);
        stage.world.fail_nth(Some(nth));
        let taken = stage.take(3, WRITE);
        stage.world.fail_nth(None);
        stage.world.check();
        let lease = match taken {
            Ok(lease) => lease,
            Err(error) => {
                let error = error.refusal().unwrap();
                let errors = [PmError::Kernel, PmError::NoMemory, PmError::Invalid];
                assert!(errors.contains(&error), "{error}");
                assert_eq!(stage.disarm(), Ok(true));
                stage.borrower_has_none(3);
                stage.owner.arm(stage.shared.share).unwrap();
                stage.take(3, WRITE).unwrap()
            }
        };
        stage.world.fail_nth(Some(nth));
        let given = stage.borrower.unlock(lease.lease);
        stage.world.fail_nth(None);
        stage.world.check();
        if let Err(error) = given {
            assert_eq!(error.refusal(), Some(PmError::Kernel));
            assert_eq!(refusal(stage.disarm()), Some(PmError::Locked), "it is taken still");
            stage.borrower.unlock(lease.lease).unwrap();
        }
        assert_eq!(stage.disarm(), Ok(false));
        stage.borrower_has_none(3);
    }
}

#[test]
fn a_kernel_that_refuses_at_the_deadline_keeps_the_owner_waiting() {
    for nth in 1..6 {
        let mut stage = Stage::armed(3);
        stage.take(3, WRITE).unwrap();
        stage.world.advance(LEASE.get());
        stage.world.fail_nth(Some(nth));
        let confirmed = stage.disarm();
        stage.world.fail_nth(None);
        stage.world.check();
        match confirmed {
            Ok(was_armed) => assert!(!was_armed),
            Err(error) => assert_eq!(error.refusal(), Some(PmError::Locked), "not given back"),
        }
        assert_eq!(stage.disarm(), Ok(false));
        stage.borrower_has_none(3);
    }
}

#[test]
fn many_frames_are_taken_in_steps_and_given_back_in_steps() {
    let mut stage = Stage::armed(256);
    assert!(stage.begin_to_take(256) > 0);
    let until = failure(stage.disarm()).at;
    assert!(until > 0, "it is taken from the first call on");
    // Only the same call goes on.
    assert_eq!(refusal(stage.take(255, WRITE)), Some(PmError::NotArmed));
    let lease = stage.take(256, WRITE).unwrap();
    assert_eq!(lease.deadline.get(), until);
    for number in 0..256 {
        stage.world.store(1, 1, page(TAKEN + number)).unwrap();
    }
    while let Err(error) = stage.borrower.unlock(lease.lease) {
        assert_eq!(error.refusal(), Some(PmError::Pending));
    }
    stage.borrower_has_none(256);
    assert_eq!(stage.disarm(), Ok(false));
}

#[test]
fn a_take_that_goes_on_at_another_address_maps_all_there_and_is_given_back_at_both() {
    // PM-437
    const OTHER: u64 = 2 * TAKEN;
    let mut stage = Stage::armed(256);
    let weak = stage.shared.weak;
    let done = stage.begin_to_take(256);
    stage.world.store(1, 4, page(TAKEN + done - 1)).unwrap();
    let lease = stage.borrower.take(weak, at(0), frames(256), page(OTHER), WRITE).unwrap();
    for number in 0..256 {
        stage.world.store(1, 5, page(OTHER + number)).unwrap();
    }
    assert_eq!(stage.world.load(1, page(TAKEN + done - 1)), Ok(5), "it stays there, too");
    assert_eq!(refusal(stage.disarm()), Some(PmError::Locked));
    crate::world::all(|| stage.borrower.unlock(lease.lease)).unwrap();
    stage.borrower_has_none(256);
    stage.borrower_has_none_at(OTHER, 256);
    assert_eq!(stage.disarm(), Ok(false));
}

#[test]
fn an_unfinished_take_ends_at_its_deadline_as_others_do() {
    let mut stage = Stage::armed(256);
    stage.begin_to_take(256);
    stage.world.advance(LEASE.get());
    let confirmed = loop {
        match stage.disarm() {
            Err(error) if error.refusal() == Some(PmError::Pending) => {}
            result => break result,
        }
    };
    assert_eq!(confirmed, Ok(false));
    stage.borrower_has_none(256);
    assert_eq!(refusal(stage.take(256, WRITE)), Some(PmError::NotArmed));
}

#[test]
fn nothing_is_done_with_what_the_borrower_still_has_after_its_time() {
    // PM-325, PM-436: it has more than one call unmaps, as it began at another address (PM-437).
    const OTHER: u64 = 2 * TAKEN;
    for is_fault in [false, true] {
        let mut stage = Stage::armed(256);
        stage.owner.attach(stage.container, at(0), 1, page(2 * OTHER), READ).unwrap();
        let weak = stage.shared.weak;
        stage.begin_to_take(256);
        stage.borrower.take(weak, at(0), frames(256), page(OTHER), WRITE).unwrap();
        stage.world.advance(LEASE.get());
        if is_fault {
            // The program goes on when all is done.
            assert_eq!(stage.world.load(2, page(2 * OTHER)), Ok(0));
        } else {
            let (container, count) = (stage.container, frames(1));
            let frames = pmserver_api::Frames { container, start: at(0), count };
            let map = Request::Map { frames, vaddr: page(3 * OTHER), flags: READ };
            let is_more =
                |_: &u32| stage.world.raw(2, map.encode()).label() == PmError::Pending.status();
            let steps = (0..100).take_while(is_more).count();
            assert!((1..100).contains(&steps), "one call does not end it: {steps}");
        }
        stage.borrower_has_none(256);
        stage.borrower_has_none_at(OTHER, 256);
    }
}

#[test]
fn the_borrower_may_unmap_some_of_it_before() {
    let mut stage = Stage::armed(2);
    let lease = stage.take(2, WRITE).unwrap();
    stage.world.store(1, 4, page(TAKEN)).unwrap();
    stage.borrower.unmap(page(TAKEN + 1), frames(1)).unwrap();
    assert!(stage.world.load(1, page(TAKEN + 1)).is_err());
    assert_eq!(stage.world.load(1, page(TAKEN)), Ok(4));
    stage.borrower.unlock(lease.lease).unwrap();
    stage.borrower_has_none(2);
}
