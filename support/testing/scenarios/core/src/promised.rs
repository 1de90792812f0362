// SPDX-License-Identifier: BSD-2-Clause
//! S57: memory that was promised to one, and that another keeps as long as it can.

use core::ops::RangeInclusive;

use pmserver_api::{
    AllocateFlags, CallError, ContainerHandle, DeallocateFlags, Failure, LimitFlags, LockMode,
    PmError, Rights,
};
use proto::limits::{
    CALL_FRAMES_MAX, EXTRA_MICROS, FORCE_MICROS, LEASE_MICROS_MAX, PROMISE_MICROS_MAX,
    SHARE_LEASES_MAX,
};
use proto::{AddressSpace, FrameCount, Transport};

use crate::cast::Actor::{
    self, Client, Driver, Holder, Mortal1, Mortal2, Mortal3, Mortal4, Mortal5, Mortal6, Mortal7,
    Mortal8, Mortal9, Mortal10, Parent, Server,
};
use crate::error::{Outcome, ScenarioError, between, pm, refused, same};
use crate::pressure::{
    Shortage, WANTED, allocate_all, ask, expect_guaranteed, make_short, unpromised,
};
use crate::world::{LONG, World, at, frames, pages};

/// Those who leave unused what they were promised.
const MORTALS: [Actor; 10] =
    [Mortal1, Mortal2, Mortal3, Mortal4, Mortal5, Mortal6, Mortal7, Mortal8, Mortal9, Mortal10];
/// How often the holder lends its container, and the leases that a borrower has by that.
const SHARES: usize = 3;
const LEASES: u64 = 12;
/// Pages that the holder gets beyond its limit: more than the others leave unused of what they were
/// promised, and no more than these leases cover.
const EXTRA_PAGES: u64 = 3000;
const _: () = assert!(EXTRA_PAGES <= LEASES * CALL_FRAMES_MAX);
/// More than it takes until promised memory is had.
const ROUNDS_MAX: u32 = 100;
/// How much later a program may notice that.
const TOLERANCE_MICROS: u64 = 80_000;

/// S57: the holder gives back what it is asked for, and takes it again; it has leases on all its
/// extra frames; who borrows them has. Whoever was promised memory has it as soon as it was given
/// back, 0.2 s after it asked, and within a second. No guaranteed frame is lost.
pub(crate) fn s57<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    // A page that has room for the records of its leases.
    world.container(Server)?;
    for actor in MORTALS {
        // Some have died, and their accounts with them.
        if let Ok(info) = world.account(actor) {
            world.limit(actor, pages(info.used), LimitFlags::empty())?;
        }
    }
    let rest = unpromised(world)?.saturating_sub(EXTRA_PAGES);
    let limit = pages(world.account(Client)?.limit).saturating_add(rest);
    world.limit(Client, limit, LimitFlags::empty())?;
    for actor in [Client, Driver, Parent] {
        let container = world.container(actor)?;
        let (_, refusal) = allocate_all(world, actor, container, 0);
        refused("using up the rest", refusal, PmError::QuotaExceeded)?;
    }
    let mut shortage = make_short(world)?;
    between("extra frames", shortage.count, 1, LEASES.saturating_mul(CALL_FRAMES_MAX))?;
    let mut lent = [shortage.container; SHARES];
    for handle in &mut lent {
        *handle = world.share(Holder, shortage.container, Server, Rights::all())?.weak;
    }
    until_had(world, &mut shortage, 0..=EXTRA_MICROS, take_again)?;
    let own = [shortage.container; SHARES];
    until_had(world, &mut shortage, EXTRA_MICROS..=FORCE_MICROS, |world, shortage| {
        lock_all(world, shortage, Holder, &own)
    })?;
    let now = world.now()?;
    world.wait_until(now.saturating_add(LEASE_MICROS_MAX))?;
    until_had(world, &mut shortage, FORCE_MICROS..=PROMISE_MICROS_MAX, |world, shortage| {
        lock_all(world, shortage, Server, &lent)
    })?;
    expect_guaranteed(world, &shortage)
}

/// Uses up all memory, and asks for more until it is there, which takes such a time. Before each
/// try the others do what they can.
fn until_had<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    shortage: &mut Shortage,
    time: RangeInclusive<u64>,
    mut others: impl FnMut(&mut World<T, A>, &Shortage) -> Outcome,
) -> Outcome {
    let (all, refusal) = allocate_all(world, Parent, shortage.ballast, shortage.ballast_frames);
    shortage.ballast_frames = all;
    refused("allocating what there is not", refusal, PmError::Pending)?;
    let start = world.now()?;
    for _ in 0..ROUNDS_MAX {
        match ask(world, shortage) {
            Err(CallError::Refused(Failure { error: PmError::Pending, at: again, .. })) => {
                others(world, shortage)?;
                // Who was answered has what it waits for before the deadline.
                let again = if *time.start() == 0 { 0 } else { again };
                world.wait_until(again)?;
            }
            other => {
                same("frames that were waited for", pm("asking again", other)?, WANTED)?;
                shortage.ballast_frames = shortage.ballast_frames.saturating_add(WANTED);
                let waited = world.now()?.saturating_sub(start);
                let most = time.end().saturating_add(TOLERANCE_MICROS);
                return between("how long that took", waited, *time.start(), most);
            }
        }
    }
    Err(ScenarioError::Wrong("promised memory is not to be had"))
}

/// Makes the holder give back what it is asked for, and take it again.
fn take_again<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    shortage: &Shortage,
) -> Outcome {
    let asked = pm("what was asked back", world.calls(Holder).extra_request())?.count;
    if let Some(count) = FrameCount::new(asked.min(CALL_FRAMES_MAX)) {
        let (container, start) = (shortage.container, at(shortage.first));
        let free = DeallocateFlags::empty();
        // It is refused what a lease covers, and new extra frames while somebody waits.
        let _: Result<u64, CallError> =
            world.calls(Holder).deallocate(container, start, count, free);
        let _: Result<u64, CallError> =
            world.calls(Holder).allocate(container, start, count, AllocateFlags::EXTRA);
    }
    Ok(())
}

/// Makes an actor lock all extra frames, through one handle after the other, unless it has.
fn lock_all<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    shortage: &Shortage,
    actor: Actor,
    handles: &[ContainerHandle],
) -> Outcome {
    let count = frames(CALL_FRAMES_MAX);
    let mut start = shortage.first;
    for handle in handles {
        for _ in 0..SHARE_LEASES_MAX {
            let locked = world.calls(actor).lock(*handle, at(start), count, LockMode::Read, LONG);
            if locked.as_ref().is_err_and(|error| error.refusal() != Some(PmError::TooMany)) {
                return pm("locking extra frames", locked).map(drop);
            }
            start = start.saturating_add(CALL_FRAMES_MAX);
        }
    }
    Ok(())
}
