// SPDX-License-Identifier: BSD-2-Clause
//! Memory that was promised can be had within a second, whatever others do with their extra frames
//! (PM-260, PM-263, PM-342, PM-343).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{
    Pm, World, allocate_all, at, count, failure, frames, info, page, peer, refusal,
};
use pmserver_api::{
    AccessKind, AccountHandle, AllocateFlags, ContainerHandle, CopyFlags, DeallocateFlags,
    FrameState, LeaseHandle, LimitFlags, LockMode, MapFlags, Marks, PmError, Rights,
};
use pmserver_core::config::{PeerConfig, Privileges};
use pmserver_core::kernel::VSpace;
use proto::limits::{EXTRA_MICROS, FORCE_MICROS, LEASE_MICROS_MAX, PROMISE_MICROS_MAX};
use proto::{ByteCount, Micros};

const OWN: AccountHandle = AccountHandle::OWN;
const POOL: AccountHandle = AccountHandle::POOL;
const PLAIN: AllocateFlags = AllocateFlags::empty();
const EXTRA: AllocateFlags = AllocateFlags::EXTRA;
const FREE: DeallocateFlags = DeallocateFlags::empty();
const LONG: Micros = Micros::new(LEASE_MICROS_MAX);
/// What a few calls and the wait for a deadline may add to a time.
const SLACK: u64 = 5_000;

/// Peer 4 has all unused memory as extra frames, in a container that peer 3 may use. Peer 1 has an
/// account to which some of that memory is promised.
struct Held {
    world: World,
    holder: Pm,
    borrower: Pm,
    policy: Pm,
    container: ContainerHandle,
    weak: ContainerHandle,
    end: u64,
    ballast: ContainerHandle,
    leases: Vec<(u64, LeaseHandle)>,
}

impl Held {
    fn new() -> Self {
        let privileges = [
            (1, Privileges::SET_POLICY | Privileges::READ_ACCOUNTS),
            (2, Privileges::empty()),
            (3, Privileges::DMA),
            (4, Privileges::EXTRA | Privileges::DMA),
        ];
        let peers = privileges.map(|(peer, privileges)| PeerConfig {
            peer,
            name: "peer",
            limit: ByteCount::new(192 << 10),
            privileges,
        });
        let world = World::with_peers(2 << 20, &peers);
        // A page with room for the records of its leases.
        world.as_peer(3).container_create(OWN).unwrap();
        let [mut policy, borrower, mut holder] = [1, 3, 4].map(|number| world.as_peer(number));
        let account = policy.account_split(POOL, 100, LimitFlags::empty()).unwrap();
        let ballast = policy.container_create(account).unwrap();
        let container = holder.container_create(OWN).unwrap();
        let rights = Rights::all();
        let shared = holder.share(container, at(0), 4096, peer(3), rights, LONG).unwrap();
        let mut quiet = world.clone().unchecked().as_peer(4);
        let (end, refused) = allocate_all(&mut quiet, container, EXTRA);
        assert_eq!(refused.error, PmError::NoMemory);
        let (weak, leases) = (shared.weak, Vec::new());
        Self { world, holder, borrower, policy, container, weak, end, ballast, leases }
    }

    fn now(&mut self) -> u64 {
        self.policy.clock().unwrap().get()
    }

    /// Tries until it gets memory, while the others do this before each try. Returns the time.
    fn need(&mut self, pages: u64, mut others: impl FnMut(&mut Self)) -> u64 {
        let start = self.now();
        for _ in 0..2000 {
            others(self);
            match self.policy.allocate(self.ballast, at(0), frames(pages), PLAIN) {
                Ok(done) => {
                    assert_eq!(done, pages);
                    self.world.check();
                    return self.now() - start;
                }
                Err(error) => assert_eq!(error.refusal(), Some(PmError::Pending)),
            }
            self.world.advance(EXTRA_MICROS / 4);
        }
        panic!("promised memory is not to be had");
    }

    /// Renews leases on all frames: the owner's or the borrower's, as soon as each has ended.
    fn lock_all(&mut self, by_borrower: bool) {
        for (number, lease) in std::mem::take(&mut self.leases) {
            let by = if number == 3 { &mut self.borrower } else { &mut self.holder };
            let _ = by.unlock(lease);
        }
        for start in (0..self.end).step_by(256) {
            let count = frames((self.end - start).min(256));
            let lease = match by_borrower {
                true => self.borrower.lock(self.weak, at(start), count, LockMode::Read, LONG),
                false => self.holder.lock(self.container, at(start), count, LockMode::Read, LONG),
            };
            self.leases.push((if by_borrower { 3 } else { 4 }, lease.unwrap().lease));
        }
    }

    /// Gives back what is asked for, and takes it again.
    fn answer_and_take_again(&mut self) {
        let asked = self.holder.extra_request().unwrap().count;
        if asked > 0 {
            let start = self.end - asked;
            let _ = self.holder.deallocate(self.container, at(start), frames(asked), FREE);
            let _ = self.holder.allocate(self.container, at(start), frames(asked), EXTRA);
        }
    }
}

fn is_within(time: u64, most: u64) {
    assert!(time <= most + SLACK + EXTRA_MICROS / 4, "{time} us, not {most}");
}

#[test]
fn who_answers_cannot_take_the_memory_again() {
    let mut held = Held::new();
    let time = held.need(40, Held::answer_and_take_again);
    is_within(time, EXTRA_MICROS);
    assert_eq!(held.policy.deallocate(held.ballast, at(0), frames(40), FREE), Ok(40));
    let start = held.end - 40;
    assert_eq!(held.holder.allocate(held.container, at(start), frames(9), EXTRA), Ok(9));
}

#[test]
fn the_owners_own_leases_keep_nothing_for_long() {
    let mut held = Held::new();
    let time = held.need(40, |held| held.lock_all(false));
    is_within(time, FORCE_MICROS);
}

#[test]
fn leases_of_borrowers_keep_extra_frames_until_they_can_last_no_longer() {
    let mut held = Held::new();
    let time = held.need(40, |held| held.lock_all(true));
    is_within(time, PROMISE_MICROS_MAX);
    assert!(time >= PROMISE_MICROS_MAX - EXTRA_MICROS, "a borrower in its lease is not disturbed");
}

#[test]
fn leases_and_answers_and_marks_together_do_not_help() {
    let mut held = Held::new();
    let mut round = 0;
    let time = held.need(64, |held| {
        round += 1;
        held.lock_all(round % 2 == 0);
        held.answer_and_take_again();
        let marks = if round % 3 == 0 { Marks::DISCARDABLE } else { Marks::empty() };
        held.holder.mark(held.container, at(held.end - 200), frames(200), marks).unwrap();
        let both = (held.container, at(held.end - 100));
        let moved = (held.container, at(held.end - 90));
        let _ = held.holder.copy(both, moved, frames(5), CopyFlags::SHARED);
    });
    is_within(time, PROMISE_MICROS_MAX);
}

#[test]
fn a_new_lease_on_extra_frames_ends_with_the_wait_and_is_never_refused() {
    let mut held = Held::new();
    let before = held.now();
    assert_eq!(
        refusal(held.policy.allocate(held.ballast, at(0), frames(9), PLAIN)),
        Some(PmError::Pending)
    );
    held.world.advance(EXTRA_MICROS / 2);
    let (last, guaranteed) = (at(held.end - 1), at(0));
    let lease = held.borrower.lock(held.weak, last, frames(1), LockMode::Exclusive, LONG).unwrap();
    assert!(lease.deadline.get() <= before + PROMISE_MICROS_MAX + SLACK);
    let lease = held.borrower.lock(held.weak, guaranteed, frames(1), LockMode::Read, LONG).unwrap();
    assert!(lease.deadline.get() >= held.now() + LEASE_MICROS_MAX - SLACK, "no extra frame");
    // Who does not come back waits no more.
    held.world.advance(4 * EXTRA_MICROS);
    let lease = held.borrower.lock(held.weak, at(held.end - 2), frames(1), LockMode::Read, LONG);
    assert!(lease.unwrap().deadline.get() >= held.now() + LEASE_MICROS_MAX - SLACK);
}

#[test]
fn pins_keep_extra_frames_until_they_can_last_no_longer() {
    for by_borrower in [false, true] {
        let mut held = Held::new();
        let policy = &mut held.policy;
        let of_peer = AccountHandle::of_peer(peer(if by_borrower { 3 } else { 4 }));
        let limit = u32::try_from(info(policy, of_peer).limit.get() / 4096).unwrap() + 70;
        let flags = if by_borrower { LimitFlags::empty() } else { LimitFlags::EXTRA };
        policy.account_set_limits(of_peer, limit, flags).unwrap();
        let time = held.need(40, |held| {
            for (_, lease) in std::mem::take(&mut held.leases) {
                let _ = held.holder.unlock(lease);
                let _ = held.borrower.unlock(lease);
            }
            let (pm, container) = match by_borrower {
                true => (&mut held.borrower, held.weak),
                false => (&mut held.holder, held.container),
            };
            let start = at(held.end - 64);
            if let Ok(pin) = pm.pin(container, start, frames(64), LockMode::Read, LONG) {
                held.leases.push((0, pin.lease.lease));
            }
        });
        is_within(time, PROMISE_MICROS_MAX);
    }
}

#[test]
fn many_holders_are_not_asked_one_after_the_other() {
    let mut held = Held::new();
    held.policy.container_destroy(held.ballast).unwrap();
    // The holder's frames go; forty accounts of one extra frame each, and one with the rest.
    while let Err(error) = held.holder.container_destroy(held.container) {
        assert_eq!(error.refusal(), Some(PmError::Pending));
    }
    let account = held.policy.account_split(POOL, 110, LimitFlags::empty()).unwrap();
    held.ballast = held.policy.container_create(account).unwrap();
    for _ in 0..20 {
        let small = held.holder.account_split(OWN, 2, LimitFlags::EXTRA).unwrap();
        let container = held.holder.container_create(small).unwrap();
        let _ = held.holder.allocate(container, at(0), frames(4), EXTRA);
    }
    held.container = held.holder.container_create(OWN).unwrap();
    let mut quiet = held.world.clone().unchecked().as_peer(4);
    held.end = allocate_all(&mut quiet, held.container, EXTRA).0;
    let time = held.need(100, |_| {});
    is_within(time, FORCE_MICROS);
}

#[test]
fn an_access_goes_on_within_the_same_time() {
    for by_borrower in [false, true] {
        let mut held = Held::new();
        let quiet = held.world.clone().unchecked();
        let mut pm = quiet.as_peer(2);
        let own = pm.container_create(OWN);
        let own = own.or_else(|_| {
            held.world.advance(FORCE_MICROS);
            pm.container_create(OWN)
        });
        let own = own.unwrap();
        while pm.allocate(own, at(0), frames(8), PLAIN).is_err() {
            held.world.advance(FORCE_MICROS);
        }
        while pm.attach(own, at(0), 8, page(0), MapFlags::WRITE).is_err() {
            held.world.advance(FORCE_MICROS);
        }
        let _ = held.holder.allocate(
            held.container,
            at(5000),
            frames(64),
            EXTRA | AllocateFlags::PARTIAL,
        );
        let start = held.now();
        let mut tries = 0;
        loop {
            held.lock_all(by_borrower);
            held.answer_and_take_again();
            let mut server = held.world.0.borrow_mut();
            let resumed = server.resolve(peer(2), page(0).get(), AccessKind::Write);
            assert!(resumed, "it is a fault after {tries} tries");
            let mut byte = [0];
            if server.kernel().load(VSpace::Peer(peer(2)), page(0).get(), &mut byte).is_ok() {
                break;
            }
            drop(server);
            tries += 1;
            assert!(tries < 1000);
            held.world.advance(EXTRA_MICROS / 4);
        }
        let time = held.now() - start;
        is_within(time, PROMISE_MICROS_MAX);
    }
}

#[test]
fn an_extra_frame_never_takes_what_others_have() {
    let mut held = Held::new();
    let before = info(&mut held.policy, POOL);
    let refused = held.holder.allocate(held.container, at(9000), frames(3), EXTRA);
    assert_eq!(failure(refused).error, PmError::NoMemory);
    assert_eq!(info(&mut held.policy, POOL), before);
    let mut quiet = held.world.clone().unchecked().as_peer(4);
    assert_eq!(count(&mut quiet, held.container, held.end, FrameState::DISCARDED), 0);
    assert_eq!(held.holder.extra_request().unwrap().count, 0);
}
