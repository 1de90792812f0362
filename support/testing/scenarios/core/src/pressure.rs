// SPDX-License-Identifier: BSD-2-Clause
//! S29 to S34: memory above the guarantee, and how pmserver gets it back.

use pmserver_api::{
    AccountHandle, AccountRights, AllocateFlags, CallError, ContainerHandle, DeallocateFlags,
    Failure, FrameState, LimitFlags, Marks, PmError,
};
use proto::limits::{CALL_FRAMES_MAX, CLAIM_MICROS, EXTRA_MICROS};
use proto::{AddressSpace, FrameCount, Transport};
use puppet_core::Behaviour;

use crate::cast::Actor::{self, Client, Holder, Parent, Server};
use crate::error::{Outcome, ScenarioError, between, did, expect, pm, refused, same};
use crate::world::{READ_WRITE, WINDOW, WINDOW_2, World, at, frames, page, pages};

const NONE: AllocateFlags = AllocateFlags::empty();
const PARTIAL: AllocateFlags = AllocateFlags::PARTIAL;
const EXTRA: LimitFlags = LimitFlags::EXTRA;
/// Frames that the holder works with, all within its guarantee.
const GUARANTEED: u64 = 8;
/// How many frames are asked for when none are left.
pub(crate) const WANTED: u64 = 16;

/// A pool without free memory, much of which is in extra frames of the holder.
pub(crate) struct Shortage {
    /// The holder's container, with extra frames at the end.
    pub(crate) container: ContainerHandle,
    /// The first extra frame, and how many follow.
    pub(crate) first: u64,
    pub(crate) count: u64,
    /// The container that has taken all the rest.
    pub(crate) ballast: ContainerHandle,
    pub(crate) ballast_frames: u64,
}

/// Makes memory short: gives the holder all pages that are reserved for nobody, lets it use them,
/// makes them extra, and makes another account use what else there is. Ends when the first frame is
/// refused: by then the holder has been asked to give frames back.
pub(crate) fn make_short<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
) -> Outcome<Shortage> {
    let limit = pages(world.account(Holder)?.limit);
    let spare = unpromised(world)?;
    world.limit(Holder, limit.saturating_add(spare), EXTRA)?;
    let container = world.filled_container(Holder, GUARANTEED)?;
    world.map(Holder, container, GUARANTEED, WINDOW, READ_WRITE)?;
    did("the holder working", world.puppet(Holder).fill(WINDOW, GUARANTEED, 29))?;
    let (all, refusal) = allocate_all(world, Holder, container, GUARANTEED);
    refused("the holder allocating all it may", refusal, PmError::QuotaExceeded)?;
    let lowered = world.set_limit(Holder, limit, EXTRA | LimitFlags::EXCESS);
    pm("lowering the holder's limit", lowered)?;
    let count = pages(world.account(Holder)?.extra);
    let first = all.saturating_sub(count);
    between("extra frames", count, spare.saturating_sub(limit), all.saturating_sub(GUARANTEED))?;

    let spare = u32::try_from(unpromised(world)?).unwrap_or(u32::MAX);
    let account = world.split(AccountHandle::POOL, spare, LimitFlags::empty())?;
    let ballast = world.container_in(Parent, account)?;
    Ok(Shortage { container, first, count, ballast, ballast_frames: 0 })
}

/// Returns how many pages of the pool are neither used by pmserver itself nor reserved.
pub(crate) fn unpromised<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome<u64> {
    let pool = world.info(AccountHandle::POOL)?;
    let mut own = pages(pool.used);
    let mut peers = 1..32;
    while let Some(peer) = peers.next().and_then(proto::PeerId::new) {
        // There are fewer peers than numbers, and some have died.
        if let Ok(info) = world.calls(Parent).account_info(AccountHandle::of_peer(peer)) {
            own = own.saturating_sub(pages(info.used));
        }
    }
    Ok(pages(pool.limit).saturating_sub(own).saturating_sub(pages(pool.promised)))
}

/// Allocates frames from a number on until one is refused. Returns its number and the refusal.
pub(crate) fn allocate_all<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    actor: Actor,
    container: ContainerHandle,
    start: u64,
) -> (u64, Result<u64, CallError>) {
    let mut all = start;
    loop {
        let result =
            world.calls(actor).allocate(container, at(all), frames(CALL_FRAMES_MAX), PARTIAL);
        match result {
            Ok(done)
            // Memory was freed meanwhile: repeat the call at once.
            | Err(CallError::Refused(Failure { error: PmError::Pending, done, at: 0 })) => {
                all = all.saturating_add(done);
            }
            Err(CallError::Refused(failure)) => return (all.saturating_add(failure.done), result),
            Err(_) => return (all, result),
        }
    }
}

/// Uses up all memory. Returns until when the call that got none must wait.
fn run_out<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    shortage: &mut Shortage,
) -> Outcome<u64> {
    let (all, refusal) = allocate_all(world, Parent, shortage.ballast, 0);
    shortage.ballast_frames = all;
    let failure = refused("allocating what there is not", refusal, PmError::Pending)?;
    Ok(failure.at)
}

/// Allocates some more frames.
pub(crate) fn ask<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    shortage: &Shortage,
) -> Result<u64, CallError> {
    let start = at(shortage.ballast_frames);
    world.calls(Parent).allocate(shortage.ballast, start, frames(WANTED), NONE)
}

/// Fails unless all guaranteed frames of the holder are what they were.
pub(crate) fn expect_guaranteed<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    shortage: &Shortage,
) -> Outcome {
    world.holds(Holder, "the holder's guaranteed frames", WINDOW, GUARANTEED, 29)?;
    let last = shortage.first.saturating_sub(1);
    let state = world.state(Holder, shortage.container, last)?;
    expect(state.contains(FrameState::PRESENT), "a guaranteed frame is gone")?;
    expect(!state.contains(FrameState::EXTRA), "a guaranteed frame is extra")
}

/// S29: "memory pressure: task has G+E, server asks for k<=E, task frees k in time: no guaranteed
/// frame lost; waiting allocation succeeds within bound."
pub(crate) fn s29<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let mut shortage = make_short(world)?;
    let (container, start) = (shortage.container, at(shortage.first));
    let release = Behaviour::Release { container, start };
    did("telling the holder to release", world.puppet(Holder).behave(release))?;
    let deadline = run_out(world, &mut shortage)?;
    for _ in 0..4 {
        match ask(world, &shortage) {
            Err(error) if error.refusal() == Some(PmError::Pending) => {}
            other => {
                same("frames that were waited for", pm("asking again", other)?, WANTED)?;
                break;
            }
        }
    }
    between("when that was", world.now()?, 0, deadline)?;
    let report = did("asking the holder", world.puppet(Holder).report())?;
    // A page that was left, and one of records that was freed with the frames, are as good.
    let released = (WANTED.saturating_sub(4), shortage.count);
    between("frames that the holder released", report.answers, released.0, released.1)?;
    let extra = pages(world.account(Holder)?.extra);
    let left = shortage.count.saturating_sub(report.answers);
    // If a page of records was freed with the frames, one frame is no longer extra.
    between("extra frames that are left", extra, left.saturating_sub(4), left)?;
    expect_guaranteed(world, &shortage)
}

/// S30: "task with discardable marks does not answer: marked frames are taken first, task told
/// "discarded" on next access; rest intact."
pub(crate) fn s30<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    const MARKED: u64 = 24;
    let mut shortage = make_short(world)?;
    // The oldest ones: without a mark they would be freed last.
    let marked = world.calls(Holder).mark(
        shortage.container,
        at(shortage.first),
        frames(MARKED),
        Marks::DISCARDABLE,
    );
    same("frames marked", pm("marking", marked)?, MARKED)?;
    run_out(world, &mut shortage)?;

    let status = world.calls(Holder).status(shortage.container, at(shortage.first), frames(MARKED));
    let states = pm("asking for states", status)?.frames;
    let dropped = states.iter().filter(|state| state.contains(FrameState::DISCARDED)).count();
    same("marked frames dropped", u64::try_from(dropped).unwrap_or(u64::MAX), MARKED)?;
    let start = at(shortage.first);
    let mapped =
        world.calls(Holder).map(shortage.container, start, FrameCount::ONE, WINDOW_2, READ_WRITE);
    refused("mapping a dropped frame", mapped, PmError::Discarded)?;
    let free = DeallocateFlags::empty();
    let freed = world.calls(Holder).deallocate(shortage.container, start, frames(MARKED), free);
    same("dropped frames freed", pm("freeing dropped frames", freed)?, 0)?;
    let extra = pages(world.account(Holder)?.extra);
    same("extra frames left", extra, shortage.count.saturating_sub(MARKED))?;
    let next = world.state(Holder, shortage.container, shortage.first.saturating_add(MARKED))?;
    expect(next.contains(FrameState::PRESENT), "a frame without a mark is gone")?;
    expect_guaranteed(world, &shortage)
}

/// S31: "task ignores the request, no marks: after deadline: excess extra frames dropped
/// newest-first; if still short, whole account dropped (seed's threat); others unaffected; other
/// accounts' guaranteed frames untouched." Memory is never short after that: without extra frames
/// there is enough for all guarantees (PM-261).
pub(crate) fn s31<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let others = world.filled_container(Client, 4)?;
    world.map(Client, others, 4, WINDOW, READ_WRITE)?;
    did("another working", world.puppet(Client).fill(WINDOW, 4, 31))?;
    let before = world.account(Client)?;
    let mut shortage = make_short(world)?;
    let deadline = run_out(world, &mut shortage)?;
    let early = ask(world, &shortage);
    refused("asking before the deadline", early, PmError::Pending)?;
    let newest = shortage.first.saturating_add(shortage.count).saturating_sub(1);
    let state = world.state(Holder, shortage.container, newest)?;
    expect(state.contains(FrameState::PRESENT), "a frame was dropped before the deadline")?;

    world.wait_until(deadline)?;
    same("frames that were waited for", pm("asking again", ask(world, &shortage))?, WANTED)?;
    let state = world.state(Holder, shortage.container, newest)?;
    expect(state.contains(FrameState::DISCARDED), "the newest frame was not dropped")?;
    let oldest = world.state(Holder, shortage.container, shortage.first)?;
    expect(oldest.contains(FrameState::PRESENT), "an older frame was dropped")?;
    expect_guaranteed(world, &shortage)?;
    world.holds(Client, "what another has", WINDOW, 4, 31)?;
    expect(world.account(Client)? == before, "another's account is not what it was")
}

/// S32: "task's control thread not receiving: server does not block (measure: other RPCs
/// progress)." Here 32 rounds of calls by another actor are answered before the deadline.
pub(crate) fn s32<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let others = world.filled_container(Client, 4)?;
    world.map(Client, others, 4, WINDOW_2, READ_WRITE)?;
    let mut shortage = make_short(world)?;
    let deadline = run_out(world, &mut shortage)?;
    for round in 0..32 {
        world.writes(Client, "another working", page(WINDOW_2, round & 3), round)?;
        let renewed = world.calls(Client).renew(others, at(round & 3), FrameCount::ONE);
        same("frames renewed", pm("another calling", renewed)?, 1)?;
        world.map_one(Client, others, round & 3, WINDOW_2)?;
        let early = ask(world, &shortage);
        refused("asking before the deadline", early, PmError::Pending)?;
    }
    between("when that was", world.now()?, 0, deadline)?;
    let report = did("asking the holder", world.puppet(Holder).report())?;
    between("notifications", report.notifications, 1, 64)?;
    let request = pm("what was asked back", world.calls(Holder).extra_request())?;
    between("frames asked back", request.count, 1, shortage.count)?;
    expect_guaranteed(world, &shortage)
}

/// S33: "EXTRA without eligibility; no EXTRA flag with free memory above G: NotEligible; Quota."
/// And with both there are extra frames.
pub(crate) fn s33<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    // The last claim of an earlier scenario, which is not tried again, has ended then (PM-342).
    let now = world.now()?;
    world.wait_until(now.saturating_add(EXTRA_MICROS + CLAIM_MICROS))?;
    let account = world.split(AccountHandle::OWN, 40, LimitFlags::empty())?;
    let lent = world.lend_account(account, Client, AccountRights::ALLOCATE)?;
    let container = world.container_in(Client, lent)?;
    let (all, refusal) = allocate_all(world, Client, container, 0);
    refused("allocating above the limit", refusal, PmError::QuotaExceeded)?;
    between("free memory", pages(world.info(AccountHandle::POOL)?.free), 256, u64::MAX)?;
    let used = pages(world.info(account)?.used);
    for flags in [AllocateFlags::EXTRA, AllocateFlags::EXTRA | PARTIAL] {
        let result = world.calls(Client).allocate(container, at(all), frames(4), flags);
        let failure = refused("asking for extra frames", result, PmError::NotEligible)?;
        same("frames done", failure.done, 0)?;
    }
    same("what is used", pages(world.info(account)?.used), used)?;

    let container = world.container(Holder)?;
    // Allocate all, so that the records exist, and free all but the last, which keeps the records.
    world.allocate(Holder, container, 12)?;
    let free = DeallocateFlags::empty();
    pm("freeing", world.calls(Holder).deallocate(container, at(0), frames(11), free))?;
    let used = pages(world.account(Holder)?.used);
    world.limit(Holder, used.saturating_add(4), EXTRA)?;
    let extra = AllocateFlags::EXTRA;
    let done = world.calls(Holder).allocate(container, at(0), frames(10), extra);
    same("frames done", pm("allocating above the limit", done)?, 10)?;
    let info = world.account(Holder)?;
    same("what is used of the limit", pages(info.used), used.saturating_add(4))?;
    same("extra frames", pages(info.extra), 6)?;
    same("extra states", world.count_in(Holder, container, 10, FrameState::EXTRA)?, 6)
}

/// S34: "policy lowers G below use: excess becomes extra after notice; no immediate loss;
/// sum(G)>capacity request rejected."
pub(crate) fn s34<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let container = world.filled_container(Holder, 20)?;
    world.map(Holder, container, 20, WINDOW, READ_WRITE)?;
    did("the holder working", world.puppet(Holder).fill(WINDOW, 20, 34))?;
    let before = world.account(Holder)?;
    let lower = pages(before.used).saturating_sub(8);
    let plain = world.set_limit(Holder, lower, EXTRA);
    refused("a limit below use", plain, PmError::QuotaExceeded)?;
    let without_extra = world.set_limit(Holder, lower, LimitFlags::EXCESS);
    if without_extra.is_ok() {
        return Err(ScenarioError::Wrong("EXCESS was accepted without EXTRA"));
    }

    world.limit(Holder, lower, EXTRA | LimitFlags::EXCESS)?;
    let after = world.account(Holder)?;
    same("limit", pages(after.limit), lower)?;
    same("use", pages(after.used), lower)?;
    same("extra frames", pages(after.extra), 8)?;
    let states = world.count_in(Holder, container, 12, FrameState::EXTRA)?;
    same("older frames that are extra", states, 0)?;
    same("frames there", world.count_in(Holder, container, 20, FrameState::PRESENT)?, 20)?;
    world.holds(Holder, "the holder's frames", WINDOW, 20, 34)?;
    let above = world.calls(Holder).allocate(container, at(20), FrameCount::ONE, NONE);
    refused("allocating above the new limit", above, PmError::QuotaExceeded)?;

    let spare = unpromised(world)?;
    let limit = pages(world.account(Server)?.limit);
    let most = limit.saturating_add(spare).saturating_add(1);
    let beyond = world.set_limit(Server, most, LimitFlags::empty());
    refused("more than there is", beyond, PmError::QuotaExceeded).map(drop)
}

impl<T: Transport, A: AddressSpace> World<T, A> {
    /// Makes an actor map one frame at its place in a window.
    fn map_one(
        &mut self,
        actor: Actor,
        container: ContainerHandle,
        number: u64,
        window: proto::VirtAddr,
    ) -> Outcome {
        let (vaddr, flags) = (page(window, number), READ_WRITE);
        let mapped = self.calls(actor).map(container, at(number), FrameCount::ONE, vaddr, flags);
        same("pages mapped", pm("mapping", mapped)?.count, 1)
    }
}
