// SPDX-License-Identifier: BSD-2-Clause
//! S60: the longest calls that there are.

use pmserver_api::{
    AllocateFlags, CallError, ContainerHandle, CopyFlags, DeallocateFlags, Failure, LimitFlags,
    LockMode, MapFlags, PmError, Rights,
};
use proto::limits::CALL_FRAMES_MAX;
use proto::{AddressSpace, FrameCount, Transport};

use crate::cast::Actor::{Client, Server};
use crate::error::{Outcome, ScenarioError, between, did, faults, pm, refused};
use crate::world::{LONG, READ_WRITE, WINDOW, World, at, frames, page, pages};

/// Containers whose frames are the same memory, as many as may be.
const RING: u64 = 8;
/// What C may use more than those frames: records, slots and tables.
const BESIDE: u64 = 512;
/// How long one call takes at most, on a slow processor.
const CALL_MICROS_MAX: u64 = 150_000;
/// More calls than it takes.
const CALLS_MAX: u64 = 1000;

/// S60: ranges of 256 frames, each of which is one memory with seven others, all of them mapped:
/// each call is short, and says how far it came; all calls together do what was asked for.
pub(crate) fn s60<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let used = pages(world.account(Client)?.used);
    let limit = RING.saturating_mul(CALL_FRAMES_MAX).saturating_add(BESIDE);
    world.limit(Client, used.saturating_add(limit), LimitFlags::empty())?;
    let count = frames(CALL_FRAMES_MAX);
    let first = world.filled_container(Client, CALL_FRAMES_MAX)?;
    let last = ring(world, first)?;
    let weak = world.share(Client, first, Server, Rights::all())?.weak;

    let prepared = until_done(world, |world, _| {
        world.calls(Server).lock(weak, at(0), count, LockMode::Read, LONG)
    });
    let (lease, calls) = prepared?;
    between("calls for a lease", calls, 2, CALLS_MAX)?;
    let store = world.puppet(Client).store(WINDOW, 1);
    faults("storing what is leased for reading", store)?;
    pm("unlocking", world.calls(Server).unlock(lease.lease))?;
    world.holds(Client, "what is one memory", WINDOW, CALL_FRAMES_MAX, 60)?;

    let exclusive = world.calls(Server).lock(weak, at(0), count, LockMode::Exclusive, LONG);
    refused("locking what is shared", exclusive, PmError::Shared)?;
    let own = world.filled_container(Server, CALL_FRAMES_MAX)?;
    let (_, calls) = until_done(world, |world, done| {
        let (from, to) = ((weak, at(done)), (own, at(done)));
        world.calls(Server).copy(from, to, rest(done)?, CopyFlags::empty())
    })?;
    between("calls for a copy", calls, 2, CALLS_MAX)?;
    until_mapped(world, own)?;
    let renew =
        until_done(world, |world, done| world.calls(Client).renew(last, at(done), rest(done)?))?;
    between("calls to renew", renew.1, 1, CALLS_MAX)?;
    let end = page(WINDOW, RING.saturating_sub(1).saturating_mul(CALL_FRAMES_MAX));
    world.map(Client, last, CALL_FRAMES_MAX, end, READ_WRITE)?;
    world.holds(Client, "what was renewed", end, CALL_FRAMES_MAX, 0)?;
    world.holds(Client, "what was not", WINDOW, CALL_FRAMES_MAX, 60)?;
    let squash = until_done(world, |world, done| {
        world.calls(Client).allocate(first, at(done), rest(done)?, AllocateFlags::SQUASH)
    })?;
    between("calls to replace", squash.1, 1, CALLS_MAX)?;
    let none = DeallocateFlags::empty();
    let freed = until_done(world, |world, done| {
        world.calls(Client).deallocate(last, at(done), rest(done)?, none)
    })?;
    between("calls to free", freed.1, 1, CALLS_MAX)
}

/// Makes containers whose frames are really shared with those of the first, and maps all for
/// writing. Returns the last.
fn ring<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    first: ContainerHandle,
) -> Outcome<ContainerHandle> {
    world.map(Client, first, CALL_FRAMES_MAX, WINDOW, READ_WRITE)?;
    did("C filling the first", world.puppet(Client).fill(WINDOW, CALL_FRAMES_MAX, 60))?;
    let mut last = first;
    for number in 1..RING {
        let container = world.container(Client)?;
        until_done(world, |world, done| {
            let (from, to) = ((first, at(done)), (container, at(done)));
            world.calls(Client).copy(from, to, rest(done)?, CopyFlags::SHARED | CopyFlags::NEW)
        })?;
        let vaddr = page(WINDOW, number.saturating_mul(CALL_FRAMES_MAX));
        world.map(Client, container, CALL_FRAMES_MAX, vaddr, READ_WRITE)?;
        world.holds(Client, "what is one memory", vaddr, CALL_FRAMES_MAX, 60)?;
        last = container;
    }
    Ok(last)
}

/// Maps frames that are copies, with a copy of each.
fn until_mapped<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    container: ContainerHandle,
) -> Outcome {
    let flags = READ_WRITE | MapFlags::FORCE_WRITE;
    let (mut done, mut calls): (u64, u64) = (0, 0);
    while let Ok(count) = rest(done) {
        let (start, vaddr) = (world.now()?, page(WINDOW, done));
        let mapped = world.calls(Server).map(container, at(done), count, vaddr, flags);
        in_time(world, start)?;
        done = done.saturating_add(pm("mapping copies", mapped)?.count);
        calls = calls.saturating_add(1);
    }
    between("calls to map copies", calls, 2, CALLS_MAX)?;
    world.holds(Server, "the copies", WINDOW, CALL_FRAMES_MAX, 60)
}

/// Repeats a call, from `done` on, until it has done all; each takes a bounded time. Returns its
/// reply, and how many calls it took.
fn until_done<R, T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    mut call: impl FnMut(&mut World<T, A>, u64) -> Result<R, CallError>,
) -> Outcome<(R, u64)> {
    let (mut done, mut calls): (u64, u64) = (0, 1);
    while calls <= CALLS_MAX {
        let start = world.now()?;
        let result = call(world, done);
        in_time(world, start)?;
        match result {
            Err(CallError::Refused(Failure { error: PmError::Pending, done: more, at: 0 })) => {
                done = done.saturating_add(more);
            }
            other => return pm("a call on many frames", other).map(|reply| (reply, calls)),
        }
        calls = calls.saturating_add(1);
    }
    Err(ScenarioError::Wrong("a call on many frames comes to no end"))
}

fn in_time<T: Transport, A: AddressSpace>(world: &mut World<T, A>, start: u64) -> Outcome {
    let time = world.now()?.saturating_sub(start);
    between("how long a call took", time, 0, CALL_MICROS_MAX)
}

/// Returns how many frames are left.
fn rest(done: u64) -> Result<FrameCount, CallError> {
    FrameCount::new(CALL_FRAMES_MAX.saturating_sub(done)).ok_or(PmError::Invalid.into())
}
