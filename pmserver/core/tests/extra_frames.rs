// SPDX-License-Identifier: BSD-2-Clause
//! Frames above the limit, and how their memory comes back (protocol R12, R13, R16, O16; PM-14,
//! PM-34, PM-240, PM-241, PM-260 to PM-264; S29 to S34).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod world;

use pmserver_api::{
    AccountHandle, AccountInfo, AccountRights, AllocateFlags, CallError, ContainerHandle,
    CopyFlags, DeallocateFlags, Failure, FrameState, LimitFlags, LockMode, MapFlags, Marks,
    PmError, Rights,
};
use proto::Micros;
use proto::limits::EXTRA_MICROS;
use world::{PAGE, Pm, World, at, filled, frames, page, peer};

const OWN: AccountHandle = AccountHandle::OWN;
const POOL: AccountHandle = AccountHandle::POOL;
const PLAIN: AllocateFlags = AllocateFlags::empty();
const PARTIAL: AllocateFlags = AllocateFlags::PARTIAL;
const EXTRA: AllocateFlags = AllocateFlags::EXTRA;
const FREE: DeallocateFlags = DeallocateFlags::empty();
const MAY: LimitFlags = LimitFlags::EXTRA;
const EXCESS: LimitFlags = LimitFlags::EXTRA.union(LimitFlags::EXCESS);
const LONG: Micros = Micros::new(1_000_000);

fn refusal<T>(result: Result<T, CallError>) -> Option<PmError> {
    result.err().and_then(|error| error.refusal())
}

fn failure<T: std::fmt::Debug>(result: Result<T, CallError>) -> Failure {
    match result {
        Err(CallError::Refused(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

fn pages(bytes: proto::ByteCount) -> u64 {
    bytes.get() / PAGE
}

fn info(pm: &mut Pm, account: AccountHandle) -> AccountInfo {
    pm.account_info(account).unwrap()
}

fn extra(pm: &mut Pm) -> u64 {
    pages(info(pm, OWN).extra)
}

/// Returns the states of the first so many frames.
fn states(pm: &mut Pm, container: ContainerHandle, of: u64) -> Vec<FrameState> {
    let mut states = Vec::new();
    for start in (0..of).step_by(24) {
        let most = (of - start).min(24);
        let status = pm.status(container, at(start), frames(most)).unwrap();
        states.extend(&status.frames[..usize::try_from(status.count).unwrap()]);
    }
    states
}

/// Counts the frames among the first so many that are in a state.
fn count(pm: &mut Pm, container: ContainerHandle, of: u64, state: FrameState) -> u64 {
    let states = states(pm, container, of);
    states.iter().filter(|has| has.contains(state)).count().try_into().unwrap()
}

/// Allocates from a number on for as long as there is something to be had.
fn allocate_all(pm: &mut Pm, container: ContainerHandle, flags: AllocateFlags) -> (u64, Failure) {
    let mut next = 0;
    loop {
        match pm.allocate(container, at(next), frames(200), flags | PARTIAL) {
            Ok(done) => next += done,
            Err(CallError::Refused(failure)) => return (next + failure.done, failure),
            other => panic!("{other:?}"),
        }
    }
}

/// Peer 4 has filled all memory that is not in use with extra frames, peer 1 has an account off the
/// pool to which some of that is promised.
struct Short {
    world: World,
    holder: Pm,
    policy: Pm,
    /// The holder's, with extra frames from this number on.
    container: ContainerHandle,
    first: u64,
    end: u64,
    /// What uses what is promised.
    ballast: ContainerHandle,
    /// 20 frames of peer 3's.
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

fn count_at(pm: &mut Pm, container: ContainerHandle, number: u64, state: FrameState) -> bool {
    pm.status(container, at(number), frames(1)).unwrap().frames[0].contains(state)
}

#[test]
fn extra_needs_to_be_asked_for_and_allowed() {
    // PM-34, S33
    let world = World::with_policy();
    let (mut pm, mut holder) = (world.as_peer(2), world.as_peer(4));
    let container = pm.container_create(OWN).unwrap();
    for flags in [EXTRA, EXTRA | PARTIAL] {
        let refused = failure(pm.allocate(container, at(0), frames(4), flags));
        assert_eq!((refused.error, refused.done), (PmError::NotEligible, 0));
    }
    let split = pm.account_split(OWN, 10, MAY);
    assert_eq!(refusal(split), Some(PmError::NotEligible));

    let container = holder.container_create(OWN).unwrap();
    let (all, refused) = allocate_all(&mut holder, container, PLAIN);
    assert_eq!(refused.error, PmError::QuotaExceeded, "however much memory is free");
    assert!(info(&mut world.as_peer(1), POOL).free.get() > 100 * PAGE);
    assert_eq!(holder.allocate(container, at(all), frames(150), EXTRA), Ok(150));
    let after = info(&mut holder, OWN);
    assert_eq!(after.used, after.limit);
    assert_eq!(pages(after.frames) + pages(after.extra), all + 150);
    let marked = count(&mut holder, container, all + 150, FrameState::EXTRA);
    assert_eq!(marked, pages(after.extra));
    assert!(marked >= 150, "and the records for them took room within the limit: {marked}");
}

#[test]
fn a_refused_extra_allocation_changes_nothing() {
    // PM-4, PM-31
    let world = World::with_policy();
    let mut holder = world.as_peer(4);
    let container = holder.container_create(OWN).unwrap();
    allocate_all(&mut holder, container, PLAIN);
    holder.allocate(container, at(900), frames(100), EXTRA).unwrap();
    let before = info(&mut holder, OWN);
    let refused = failure(holder.allocate(container, at(801), frames(100), EXTRA));
    assert_eq!((refused.error, refused.done, refused.at), (PmError::Exists, 0, 900));
    assert_eq!(info(&mut holder, OWN), before);
}

#[test]
fn which_frames_are_extra_is_for_their_owner_to_know() {
    // PM-34, PM-260: what is freed within the limit is room for something else
    let world = World::with_policy();
    let mut holder = world.as_peer(4);
    let container = holder.container_create(OWN).unwrap();
    let (all, _) = allocate_all(&mut holder, container, PLAIN);
    holder.allocate(container, at(all), frames(20), EXTRA).unwrap();
    let before = extra(&mut holder);
    let mapped = holder.map(container, at(0), frames(1), page(0), MapFlags::READ);
    assert_eq!(refusal(mapped), Some(PmError::NoTableQuota));
    holder.deallocate(container, at(0), frames(5), FREE).unwrap();
    assert_eq!(extra(&mut holder), before);
    holder.map(container, at(9), frames(1), page(0), MapFlags::READ).unwrap();
    holder.deallocate(container, at(all), frames(20), FREE).unwrap();
    assert_eq!(extra(&mut holder), before - 20);
}

#[test]
fn extra_frames_become_guaranteed_by_a_move() {
    // PM-34, PM-162
    let world = World::with_policy();
    let mut holder = world.as_peer(4);
    let container = holder.container_create(OWN).unwrap();
    let (all, _) = allocate_all(&mut holder, container, PLAIN);
    holder.allocate(container, at(all), frames(5), EXTRA).unwrap();
    let before = extra(&mut holder);
    let flags = CopyFlags::MOVE | CopyFlags::NEW;
    let to = (container, at(5000));
    let moved = holder.copy((container, at(all)), to, frames(2), flags);
    assert_eq!(refusal(moved), Some(PmError::QuotaExceeded));
    holder.deallocate(container, at(0), frames(8), FREE).unwrap();
    holder.copy((container, at(all)), to, frames(2), flags).unwrap();
    assert_eq!(extra(&mut holder), before - 2);
    // In the place of another it has that one's charge.
    let onto = (container, at(20));
    holder.copy((container, at(all + 2)), onto, frames(2), CopyFlags::MOVE).unwrap();
    assert_eq!(extra(&mut holder), before - 4);
    // Where ranges overlap, what comes to a number that has become free brings its own.
    let onto = (container, at(all - 2));
    holder.copy((container, at(all - 3)), onto, frames(2), CopyFlags::MOVE).unwrap();
}

#[test]
fn a_limit_below_use_makes_the_newest_extra() {
    // PM-240, PM-241, S34
    let world = World::with_policy();
    let (mut policy, mut holder) = (world.as_peer(1), world.as_peer(4));
    let of_holder = AccountHandle::of_peer(peer(4));
    let container = filled(&mut holder, 60);
    holder.map(container, at(0), frames(60), page(0), MapFlags::WRITE).unwrap();
    world.store(4, 9, page(59)).unwrap();
    let used = u32::try_from(pages(info(&mut holder, OWN).used)).unwrap();
    for (flags, error) in [
        (MAY, PmError::QuotaExceeded),
        (LimitFlags::EXCESS, PmError::Invalid),
        (LimitFlags::empty(), PmError::QuotaExceeded),
    ] {
        let set = policy.account_set_limits(of_holder, used - 20, flags);
        assert_eq!(refusal(set), Some(error));
    }
    let fixed = used - 60;
    let set = policy.account_set_limits(of_holder, fixed - 1, EXCESS);
    assert_eq!(refusal(set), Some(PmError::QuotaExceeded), "what is no frame has to fit");
    assert_eq!(extra(&mut holder), 0);
    policy.account_set_limits(of_holder, used - 20, EXCESS).unwrap();
    assert_eq!(extra(&mut holder), 20);
    assert_eq!(count(&mut holder, container, 40, FrameState::EXTRA), 0);
    assert_eq!(count(&mut holder, container, 60, FrameState::PRESENT), 60);
    assert_eq!(world.load(4, page(59)), Ok(9), "nothing is lost by it");
    let more = holder.allocate(container, at(60), frames(1), PLAIN);
    assert_eq!(refusal(more), Some(PmError::QuotaExceeded));
    let own = holder.account_set_limits(OWN, 10, EXCESS);
    assert_eq!(refusal(own), Some(PmError::NoRight));
    policy.account_set_limits(of_holder, fixed, EXCESS).unwrap();
    assert_eq!(extra(&mut holder), 60);
}

#[test]
fn lowering_a_limit_far_takes_steps() {
    // PM-241, D6
    let world = World::with_policy();
    let mut policy = world.as_peer(1);
    let account = policy.account_split(POOL, 330, MAY).unwrap();
    let container = policy.container_create(account).unwrap();
    allocate_all(&mut policy, container, PLAIN);
    // 37: account_set_limits.
    let message = proto::Message::new(37, [account.raw(), 20, 3]);
    let reply = world.raw(1, message);
    assert_eq!((reply.label(), reply.registers()), (PmError::Pending.status(), &[256, 0][..]));
    assert_eq!(pages(info(&mut policy, account).extra), 256);
    policy.account_set_limits(account, 20, EXCESS).unwrap();
    assert_eq!(pages(info(&mut policy, account).limit), 20);
}

#[test]
fn extra_frames_are_inherited_and_end_with_their_account() {
    // PM-235, PM-237, PM-240
    let world = World::with_policy();
    let mut holder = world.as_peer(4);
    let child = holder.account_split(OWN, 20, MAY).unwrap();
    let container = holder.container_create(child).unwrap();
    holder.allocate(container, at(0), frames(50), EXTRA).unwrap();
    let before = extra(&mut holder);
    assert!(before >= 30);
    holder.account_set_limits(child, 60, LimitFlags::empty()).unwrap();
    assert_eq!(extra(&mut holder), before, "what is there stays, allowed or not");
    let more = holder.allocate(container, at(50), frames(50), EXTRA);
    assert_eq!(refusal(more), Some(PmError::NotEligible));
    holder.account_remove(child).unwrap();
    assert_eq!(extra(&mut holder), before);
    let child = holder.account_split(OWN, 20, MAY).unwrap();
    let other = holder.container_create(child).unwrap();
    holder.allocate(other, at(0), frames(50), EXTRA).unwrap();
    holder.account_destroy(child).unwrap();
    assert_eq!(extra(&mut holder), before);
    holder.container_destroy(container).unwrap();
    assert_eq!(extra(&mut holder), 0);
    // Who may not have any cannot give that on, and who loses it loses it for all below.
    let child = holder.account_split(OWN, 20, MAY).unwrap();
    let of_holder = AccountHandle::of_peer(peer(4));
    world.as_peer(1).account_set_limits(of_holder, 128, LimitFlags::empty()).unwrap();
    let container = holder.container_create(child).unwrap();
    let refused = holder.allocate(container, at(0), frames(1), EXTRA);
    assert_eq!(refusal(refused), Some(PmError::NotEligible));
    let set = holder.account_set_limits(child, 20, MAY);
    assert_eq!(refusal(set), Some(PmError::NotEligible));
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
    assert_eq!(short.policy.extra_request().unwrap().count, 0);
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
    // Within the limit the mark means nothing.
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

    // To who asks, it is told; to allocate and deallocate it is not there.
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
    // Where the memory is not needed any more:
    short.policy.container_destroy(short.ballast).unwrap();
    let done = holder.allocate(container, at(first), frames(9), EXTRA);
    assert_eq!(done, Ok(9));
    assert_eq!(extra(holder), pages(before.extra) + 9);
    assert_eq!(count(holder, container, short.end, FrameState::DISCARDED), 0);
    assert_eq!(count(holder, container, short.end, FrameState::PRESENT), short.end);
    let marked = count(holder, container, short.end, FrameState::DISCARDABLE);
    assert_eq!(marked, 0, "and without the mark");
    short.give_room();
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
fn nobody_else_waits_for_who_does_not_answer() {
    // PM-260, S32
    let mut short = Short::new();
    let mut other = short.world.as_peer(2);
    refusal(short.need(0, 20)).unwrap();
    let before = other.clock().unwrap();
    for round in 0..20 {
        // What was allocated before is promised, and so there: only what is new has to wait.
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
        // The record for the lease needs memory, too.
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
