// SPDX-License-Identifier: BSD-2-Clause
//! Reclaiming extra frames when promised memory is needed (R12, R13, O16; PM-14,
//! PM-260 to PM-264; S29 to S32).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{
    Pm, World, allocate_all, at, count, failure, filled, frames, info, page, pages, peer, refusal,
    states,
};
use pmserver_api::{
    AccountHandle, AccountRights, AllocateFlags, CallError, ContainerHandle, CopyFlags,
    DeallocateFlags, FrameState, LimitFlags, LockMode, MapFlags, Marks, PmError, Rights,
    ShareTerms,
};
use pmserver_core::config::{PeerConfig, Privileges};
use proto::limits::EXTRA_MICROS;
use proto::{ByteCount, Micros};

const OWN: AccountHandle = AccountHandle::OWN;
const POOL: AccountHandle = AccountHandle::POOL;
const PLAIN: AllocateFlags = AllocateFlags::empty();
const EXTRA: AllocateFlags = AllocateFlags::EXTRA;
const FREE: DeallocateFlags = DeallocateFlags::empty();
const MAY: LimitFlags = LimitFlags::EXTRA;
const LONG: Micros = Micros::new(1_000_000);

fn extra(pm: &mut Pm) -> u64 {
    pages(info(pm, OWN).extra)
}

fn count_at(pm: &mut Pm, container: ContainerHandle, number: u64, state: FrameState) -> bool {
    pm.status(container, at(number), frames(1)).unwrap().frames[0].contains(state)
}

/// Peer 4 has filled all unused memory with extra frames. Peer 1 has an account split off the pool,
/// to which some of that memory is promised.
struct Short {
    world: World,
    holder: Pm,
    policy: Pm,
    /// The container of the holder, with extra frames from this number on.
    container: ContainerHandle,
    first: u64,
    end: u64,
    /// The container that uses the promised memory.
    ballast: ContainerHandle,
    /// A container of peer 3 with 20 frames.
    others: ContainerHandle,
}

impl Short {
    fn new() -> Self {
        let world = World::with_policy();
        let (mut holder, mut policy) = (world.as_peer(4), world.as_peer(1));
        let account = policy.account_split(POOL, 200, LimitFlags::empty()).unwrap();
        let ballast = policy.container_create(account).unwrap();
        let others = filled(&mut world.as_peer(3), 20);
        let quiet = world.clone().unchecked();
        let container = holder.container_create(OWN).unwrap();
        let (end, failure) = allocate_all(&mut quiet.as_peer(4), container, EXTRA);
        assert_eq!(failure.error, PmError::NoMemory, "R13: an extra frame can be refused");
        let states = states(&mut quiet.as_peer(4), container, end);
        let first = states.iter().position(|state| state.contains(FrameState::EXTRA)).unwrap();
        let first = first.try_into().unwrap();
        assert_eq!(info(&mut policy, POOL).free.get(), 0);
        world.check();
        world.notified();
        Self { world, holder, policy, container, first, end, ballast, others }
    }

    /// Gives the holder room within its limit.
    fn give_room(&mut self) {
        let of_holder = AccountHandle::of_peer(peer(4));
        let limit = u32::try_from(pages(info(&mut self.holder, OWN).limit)).unwrap();
        self.policy.account_set_limits(of_holder, limit + 10, MAY).unwrap();
    }

    fn need(&mut self, number: u64, count: u64) -> Result<u64, CallError> {
        self.policy.allocate(self.ballast, at(number), frames(count), PLAIN)
    }

    fn states(&mut self, state: FrameState) -> u64 {
        let mut quiet = self.world.clone().unchecked().as_peer(4);
        count(&mut quiet, self.container, self.end, state)
    }
}

#[test]
fn memory_is_asked_back_and_what_waits_for_it_gets_it() {
    // PM-14, PM-260, S29
    let mut short = Short::new();
    let request = short.holder.extra_request().unwrap();
    assert_eq!((request.count, short.world.notified()), (0, vec![]));
    let before = short.holder.clock().unwrap();
    let waits = failure(short.need(0, 40));
    assert_eq!((waits.error, waits.done), (PmError::Pending, 0));
    assert!(before.get() < waits.at && waits.at <= before.get() + EXTRA_MICROS + 5000);
    assert_eq!(short.world.notified(), [4], "only who has any");
    let request = short.holder.extra_request().unwrap();
    assert_eq!((request.count, request.deadline.get()), (40, waits.at));
    let of_others = short.policy.extra_request().unwrap();
    assert_eq!((of_others.count, of_others.deadline.get(), of_others.sequence), (0, 0, 0));
    let sequence = request.sequence;

    let again = failure(short.need(0, 40));
    assert_eq!(again.at, waits.at, "one request at a time");
    assert_eq!(short.world.notified(), []);
    let (container, first) = (short.container, short.first);
    short.holder.deallocate(container, at(first), frames(30), FREE).unwrap();
    assert_eq!(short.holder.extra_request().unwrap().count, 10);
    assert_eq!(refusal(short.need(0, 40)), Some(PmError::Pending));
    short.holder.deallocate(container, at(first + 30), frames(11), FREE).unwrap();
    assert_eq!(short.holder.extra_request().unwrap().count, 0);
    assert_eq!(short.need(0, 40), Ok(40), "long before the deadline");
    assert_eq!(short.states(FrameState::DISCARDED), 0);

    assert_eq!(refusal(short.need(40, 40)), Some(PmError::Pending));
    assert!(short.holder.extra_request().unwrap().sequence > sequence);
}

#[test]
fn discardable_frames_go_first_and_without_asking() {
    // PM-260, PM-262, PM-264, S30
    let mut short = Short::new();
    let (container, first) = (short.container, short.first);
    let marked = short.holder.mark(container, at(first), frames(24), Marks::DISCARDABLE);
    assert_eq!(marked, Ok(24));
    // The mark has no effect on frames within the limit.
    short.holder.mark(container, at(0), frames(first.min(256)), Marks::DISCARDABLE).unwrap();
    let before = extra(&mut short.holder);
    assert_eq!(short.need(0, 10), Ok(10));
    assert_eq!(short.holder.extra_request().unwrap().count, 0);
    let dropped = short.states(FrameState::DISCARDED);
    assert!((10..=12).contains(&dropped), "as many as are needed: {dropped}");
    assert_eq!(extra(&mut short.holder), before - dropped, "and not charged any more");
    assert_eq!(short.need(10, 13), Ok(13));
    assert_eq!(
        refusal(short.need(23, 10)),
        Some(PmError::Pending),
        "those without the mark are asked for"
    );
    assert_eq!(short.states(FrameState::DISCARDED), 24);
    assert_eq!(count(&mut short.holder, container, first, FrameState::PRESENT), first);

    // `status` reports the loss; for allocate and deallocate the number is free.
    assert!(short.world.load(4, page(0)).is_err());
    let holder = &mut short.holder;
    let mapped = failure(holder.map(container, at(first), frames(2), page(9), MapFlags::READ));
    assert_eq!((mapped.error, mapped.at), (PmError::Discarded, first));
    let onto = (container, at(0));
    let copied = failure(holder.copy((container, at(first)), onto, frames(1), CopyFlags::empty()));
    assert_eq!((copied.error, copied.at), (PmError::Discarded, first));
    let state = holder.status(container, at(first), frames(1)).unwrap().frames[0];
    assert_eq!(state, FrameState::DISCARDED);
    let strict =
        failure(holder.deallocate(container, at(first), frames(1), DeallocateFlags::STRICT));
    assert_eq!((strict.error, strict.at), (PmError::NotFound, first));
    assert_eq!(holder.deallocate(container, at(first), frames(4), FREE), Ok(0));
    let state = holder.status(container, at(first), frames(1)).unwrap().frames[0];
    assert_eq!(state, FrameState::empty());
}

#[test]
fn a_discarded_frame_can_be_had_again() {
    // PM-4, PM-32, PM-262
    let mut short = Short::new();
    let (container, first) = (short.container, short.first);
    short.holder.mark(container, at(first), frames(9), Marks::DISCARDABLE).unwrap();
    short.need(0, 9).unwrap();
    let gone = short.states(FrameState::DISCARDED);
    assert_eq!(gone, 9);
    let holder = &mut short.holder;
    let before = info(holder, OWN);
    let refused = holder.allocate(container, at(first), frames(12), EXTRA);
    assert_ne!(refusal(refused), None);
    assert_eq!(info(holder, OWN), before);
    assert_eq!(count(holder, container, short.end, FrameState::DISCARDED), 9, "as it was");
    // When the memory is no longer needed:
    short.policy.container_destroy(short.ballast).unwrap();
    let done = holder.allocate(container, at(first), frames(9), EXTRA);
    assert_eq!(done, Ok(9));
    assert_eq!(extra(holder), pages(before.extra) + 9);
    assert_eq!(count(holder, container, short.end, FrameState::DISCARDED), 0);
    assert_eq!(count(holder, container, short.end, FrameState::PRESENT), short.end);
    let marked = count(holder, container, short.end, FrameState::DISCARDABLE);
    assert_eq!(marked, 0, "and without the mark");
    short.give_room();
    // For a page table, records and slots.
    short.holder.deallocate(container, at(short.end - 3), frames(3), FREE).unwrap();
    short.holder.map(container, at(first), frames(9), page(0), MapFlags::WRITE).unwrap();
    assert_eq!(short.world.load(4, page(3)), Ok(0));
}

#[test]
fn who_does_not_answer_loses_the_newest() {
    // PM-260, PM-261, S31
    let mut short = Short::new();
    let mut other = short.world.as_peer(3);
    let waits = failure(short.need(0, 20));
    assert_eq!(short.states(FrameState::DISCARDED), 0);
    short.world.advance(EXTRA_MICROS);
    assert!(short.holder.clock().unwrap().get() >= waits.at);
    assert_eq!(short.need(0, 20), Ok(20));
    let dropped = short.states(FrameState::DISCARDED);
    assert!((20..=22).contains(&dropped), "as many as are needed: {dropped}");
    let newest = count_from(&mut short, dropped, FrameState::DISCARDED);
    assert_eq!(newest, dropped, "and the newest");
    let first = short.first;
    let guaranteed = count(&mut short.holder, short.container, first, FrameState::PRESENT);
    assert_eq!(guaranteed, first);
    assert_eq!(count(&mut other, short.others, 20, FrameState::PRESENT), 20);
    assert_eq!(info(&mut other, OWN).extra.get(), 0);
}

/// Counts among the newest frames of the holder.
fn count_from(short: &mut Short, newest: u64, state: FrameState) -> u64 {
    let (end, container) = (short.end, short.container);
    let numbers = end - newest..end;
    numbers.filter(|number| count_at(&mut short.holder, container, *number, state)).count() as u64
}

#[test]
fn no_more_is_dropped_than_is_needed_then() {
    // PM-260
    let mut short = Short::new();
    refusal(short.need(0, 40)).unwrap();
    short.world.advance(EXTRA_MICROS);
    assert_eq!(short.need(0, 5), Ok(5));
    let dropped = short.states(FrameState::DISCARDED);
    assert!((5..=7).contains(&dropped), "{dropped}");
    assert_eq!(short.holder.extra_request().unwrap().count, 40 - dropped);
}

#[test]
fn whatever_makes_frames_gets_what_was_promised_and_drops_no_more() {
    // PM-14, PM-170
    let mut short = Short::new();
    let (container, first, ballast) = (short.container, short.first, short.ballast);
    short.holder.mark(container, at(first), frames(200), Marks::DISCARDABLE).unwrap();
    let mut gone = 0;
    let mut dropped = |short: &mut Short| {
        let before = std::mem::replace(&mut gone, short.states(FrameState::DISCARDED));
        gone - before
    };
    short.need(0, 10).unwrap();
    dropped(&mut short);
    short.policy.allocate_anywhere(ballast, frames(10), PLAIN).unwrap();
    assert!((10..=12).contains(&dropped(&mut short)));
    let (from, to) = ((ballast, at(0)), (ballast, at(500)));
    short.policy.copy(from, to, frames(10), CopyFlags::NEW).unwrap();
    assert!((10..=12).contains(&dropped(&mut short)));
    let own = info(&mut short.policy, OWN);
    let room = pages(own.limit) - pages(own.used) - pages(own.promised);
    let terms = ShareTerms { peer: peer(2), rights: Rights::READ, lease_max: LONG, once: false };
    short.policy.create_with(OWN, frames(10), terms).unwrap();
    assert!((10..=14).contains(&dropped(&mut short)));
    let beyond = short.policy.create_with(OWN, frames(room), terms);
    assert_eq!(refusal(beyond), Some(PmError::QuotaExceeded));
    assert!(dropped(&mut short) <= room, "as many as could be had");
}

#[test]
fn who_inherits_from_an_account_that_was_asked_is_asked_anew() {
    // PM-237, PM-260
    let world = World::with_policy();
    let (mut policy, mut holder) = (world.as_peer(1), world.as_peer(4));
    let spare = policy.account_split(POOL, 100, LimitFlags::empty()).unwrap();
    let ballast = policy.container_create(spare).unwrap();
    let child = holder.account_split(OWN, 50, MAY).unwrap();
    let container = holder.container_create(child).unwrap();
    allocate_all(&mut world.clone().unchecked().as_peer(4), container, EXTRA);
    let need = |policy: &mut Pm| policy.allocate(ballast, at(0), frames(20), PLAIN);
    assert_eq!(refusal(need(&mut policy)), Some(PmError::Pending));
    assert_ne!(holder.extra_request().unwrap().count, 0);
    holder.account_remove(child).unwrap();
    assert_eq!(holder.extra_request().unwrap().count, 0);
    world.advance(EXTRA_MICROS);
    assert_eq!(refusal(need(&mut policy)), Some(PmError::Pending));
    assert_ne!(holder.extra_request().unwrap().count, 0);
    world.advance(EXTRA_MICROS);
    assert_eq!(need(&mut policy), Ok(20));
}

#[test]
fn nobody_else_waits_for_who_does_not_answer() {
    // PM-260, S32
    let mut short = Short::new();
    let mut other = short.world.as_peer(2);
    refusal(short.need(0, 20)).unwrap();
    let before = other.clock().unwrap();
    for round in 0..20 {
        // Frames allocated before are unaffected; only new allocations have to wait.
        assert_eq!(other.whoami().unwrap().peer, peer(2));
        let refused = short.need(round, 20);
        assert_eq!(refusal(refused), Some(PmError::Pending));
    }
    assert!(other.clock().unwrap().get() < before.get() + EXTRA_MICROS);
}

#[test]
fn what_is_leased_is_not_dropped() {
    // PM-263
    let mut short = Short::new();
    let (container, end) = (short.container, short.end);
    let shared = short.holder.share(container, at(0), end, peer(3), Rights::all(), LONG).unwrap();
    let mut borrower = short.world.as_peer(3);
    short.holder.mark(container, at(end - 20), frames(10), Marks::DISCARDABLE).unwrap();
    short.policy.account_set_limits(AccountHandle::of_peer(peer(3)), 128, MAY).unwrap();
    let lock = borrower.lock(shared.weak, at(end - 20), frames(20), LockMode::Read, LONG);
    let lock = match lock {
        // The record of the lease needs memory, too.
        Err(_) => {
            short.world.advance(EXTRA_MICROS);
            borrower.lock(shared.weak, at(end - 20), frames(20), LockMode::Read, LONG).unwrap()
        }
        Ok(lock) => lock,
    };
    let gone = short.states(FrameState::DISCARDED);
    let waits = failure(short.need(0, 20));
    assert_eq!(waits.error, PmError::Pending);
    short.world.advance(EXTRA_MICROS);
    assert_eq!(short.need(0, 20), Ok(20));
    let leased: u64 = (end - 20..end)
        .filter(|number| count_at(&mut short.holder, container, *number, FrameState::PRESENT))
        .count()
        .try_into()
        .unwrap();
    assert!(leased + gone >= 20, "{leased} there of 20, {gone} gone before");
    borrower.unlock(lock.lease).unwrap();
}

#[test]
fn borrowers_of_an_account_are_asked_too() {
    // PM-260
    let world = World::with_policy();
    let (mut policy, mut user) = (world.as_peer(1), world.as_peer(2));
    let spare = policy.account_split(POOL, 100, LimitFlags::empty()).unwrap();
    let account = policy.account_split(POOL, 50, MAY).unwrap();
    let lent = policy.account_lend(account, peer(2), AccountRights::ALLOCATE).unwrap();
    policy.account_lend(account, peer(3), AccountRights::READ).unwrap();
    let container = user.container_create(lent).unwrap();
    let quiet = world.clone().unchecked();
    allocate_all(&mut quiet.as_peer(2), container, EXTRA);
    let ballast = policy.container_create(spare);
    let ballast = ballast.or_else(|_| {
        world.advance(EXTRA_MICROS);
        policy.container_create(spare)
    });
    world.advance(EXTRA_MICROS);
    world.notified();
    let need = policy.allocate(ballast.unwrap(), at(0), frames(30), PLAIN);
    assert_eq!(refusal(need), Some(PmError::Pending));
    assert_eq!(world.notified(), [1, 2]);
    for pm in [&mut policy, &mut user] {
        assert_eq!(pm.extra_request().unwrap().count, 30);
    }
    assert_eq!(world.as_peer(3).extra_request().unwrap().count, 0);
    policy.account_destroy(account).unwrap();
    assert_eq!(user.extra_request().unwrap().count, 0, "a request ends with the account");
    world.check();
}

#[test]
fn a_fault_makes_room_for_what_it_needs() {
    // PM-14, PM-124
    let mut short = Short::new();
    let (container, first) = (short.container, short.first);
    short.holder.mark(container, at(first), frames(100), Marks::DISCARDABLE).unwrap();
    short.need(0, 20).unwrap();
    let (ballast, policy) = (short.ballast, &mut short.policy);
    policy.attach(ballast, at(0), 20, page(0), MapFlags::WRITE).unwrap();
    short.world.store(1, 3, page(7)).unwrap();
    assert_eq!(short.world.load(1, page(7)), Ok(3), "tables and records had to be made");
}

#[test]
fn who_takes_more_is_not_asked_later_for_it() {
    // PM-260: those first whose last request is longest ago.
    let (policy, extra) = (Privileges::SET_POLICY, Privileges::EXTRA);
    let peers = [(1, policy), (4, extra), (5, extra)].map(|(peer, privileges)| {
        let limit = ByteCount::new(512 << 10);
        PeerConfig { peer, name: "peer", limit, privileges }
    });
    let world = World::with_peers(4 << 20, &peers).unchecked();
    let (mut policy, mut first) = (world.as_peer(1), world.as_peer(4));
    let mut second = world.as_peer(5);
    let account = policy.account_split(POOL, 200, LimitFlags::empty()).unwrap();
    let ballast = policy.container_create(account).unwrap();
    let of_first = first.container_create(OWN).unwrap();
    let mut number = 0;
    while pages(info(&mut first, OWN).extra) < 100 {
        first.allocate(of_first, at(number), frames(10), EXTRA).unwrap();
        number += 10;
    }
    let of_second = second.container_create(OWN).unwrap();
    let (end, _) = allocate_all(&mut second, of_second, EXTRA);
    second.deallocate(of_second, at(end - 1), frames(1), FREE).unwrap();
    first.allocate(of_first, at(number), frames(1), EXTRA).unwrap();
    world.notified();
    let waits = policy.allocate(ballast, at(0), frames(1), PLAIN);
    assert_eq!(refusal(waits), Some(PmError::Pending));
    assert_eq!(world.notified(), [4]);
}

#[test]
fn who_was_not_asked_gives_what_others_do_not_have_to() {
    // PM-342: what borrowers hold of the first one stays, and the second one was not asked.
    let (policy, extra) = (Privileges::SET_POLICY, Privileges::EXTRA);
    let peers = [(1, policy), (4, extra), (5, extra), (3, policy)].map(|(peer, privileges)| {
        let limit = ByteCount::new(512 << 10);
        PeerConfig { peer, name: "peer", limit, privileges }
    });
    let world = World::with_peers(4 << 20, &peers).unchecked();
    let (mut policy, mut first) = (world.as_peer(1), world.as_peer(4));
    let (mut second, mut borrower) = (world.as_peer(5), world.as_peer(3));
    let account = policy.account_split(POOL, 200, LimitFlags::empty()).unwrap();
    let ballast = policy.container_create(account).unwrap();
    let of_first = first.container_create(OWN).unwrap();
    let mut number = 0;
    while pages(info(&mut first, OWN).extra) < 20 {
        first.allocate(of_first, at(number), frames(10), EXTRA).unwrap();
        number += 10;
    }
    let held = first.share(of_first, at(0), 1 << 20, peer(3), Rights::all(), LONG).unwrap();
    borrower.lock(held.weak, at(0), frames(number), LockMode::Read, LONG).unwrap();
    let of_second = second.container_create(OWN).unwrap();
    allocate_all(&mut second, of_second, EXTRA);
    let waits = policy.allocate(ballast, at(0), frames(20), PLAIN);
    assert_eq!(refusal(waits), Some(PmError::Pending));
    assert_eq!(world.notified(), [4]);
    world.advance(EXTRA_MICROS);
    // The pool may have a page or two that were not worth a call.
    let waits = policy.allocate(ballast, at(0), frames(20), PLAIN);
    assert_eq!(refusal(waits), Some(PmError::Pending));
    assert_eq!(world.notified(), [5]);
    assert!((1..=20).contains(&second.extra_request().unwrap().count));
    world.advance(EXTRA_MICROS);
    loop {
        match policy.allocate(ballast, at(0), frames(20), PLAIN) {
            Err(CallError::Refused(more)) if more.error == PmError::Pending && more.at == 0 => {}
            allocated => break assert_eq!(allocated, Ok(20)),
        }
    }
    assert_eq!(count(&mut first, of_first, number, FrameState::PRESENT), number);
}
