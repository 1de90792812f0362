// SPDX-License-Identifier: BSD-2-Clause
//! S1 to S5, S7, S8: allocating and freeing.

use pmserver_api::{
    AccountRights, AllocateFlags, ContainerHandle, CopyFlags, DeallocateFlags, FrameState,
    LimitFlags, MapFlags, PmError,
};
use proto::{AddressSpace, FrameCount, Transport};

use crate::cast::Actor::{Client, Parent, Server};
use crate::error::{Outcome, between, did, pm, refused, same};
use crate::world::{READ_WRITE, WINDOW, WINDOW_2, World, at, frames, page, pages};

const NONE: AllocateFlags = AllocateFlags::empty();
const FREE: DeallocateFlags = DeallocateFlags::empty();

/// S1: "C allocates 8, touches only 3: charge 8 at once, at most 3 physical frames bound, untouched
/// read 0."
pub(crate) fn s1<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let before = world.frames_of(Client)?;
    let container = world.filled_container(Client, 8)?;
    same("charge for 8", world.frames_of(Client)?, before.saturating_add(8))?;
    same("bound at first", world.count_in(Client, container, 8, FrameState::BOUND)?, 0)?;

    world.map(Client, container, 8, WINDOW, READ_WRITE)?;
    for number in [0, 3, 5] {
        world.writes(Client, "touching a frame", page(WINDOW, number), 1)?;
    }
    for number in [1, 2, 4, 6, 7] {
        world.holds(Client, "an untouched frame", page(WINDOW, number), 1, 0)?;
    }
    between("bound", world.count_in(Client, container, 8, FrameState::BOUND)?, 1, 3)?;
    same("charge afterwards", world.frames_of(Client)?, before.saturating_add(8))
}

/// Makes a container with frame 5 alone.
fn occupied<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome<ContainerHandle> {
    let container = world.container(Client)?;
    let done = world.calls(Client).allocate(container, at(5), FrameCount::ONE, NONE);
    same("frames allocated", pm("allocating id 5", done)?, 1)?;
    Ok(container)
}

/// S2: "id 5 in use; allocate [0..9], no flags: Exists{at:5}, count 0, nothing changed, charge
/// unchanged."
pub(crate) fn s2<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let container = occupied(world)?;
    let before = world.account(Client)?;
    let result = world.calls(Client).allocate(container, at(0), frames(10), NONE);
    let failure = refused("allocating over id 5", result, PmError::Exists)?;
    same("the id in the way", failure.at, 5)?;
    same("frames done", failure.done, 0)?;
    same("frames there", world.count_in(Client, container, 10, FrameState::PRESENT)?, 1)?;
    same("charge", pages(world.account(Client)?.used), pages(before.used))
}

/// S3: "same, PARTIAL: ids 0-4 allocated, count 5, Exists{at:5} returned together."
pub(crate) fn s3<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let container = occupied(world)?;
    let before = world.frames_of(Client)?;
    let partial = AllocateFlags::PARTIAL;
    let result = world.calls(Client).allocate(container, at(0), frames(10), partial);
    let failure = refused("allocating up to id 5", result, PmError::Exists)?;
    same("the id in the way", failure.at, 5)?;
    same("frames done", failure.done, 5)?;
    same("frames there", world.count_in(Client, container, 5, FrameState::PRESENT)?, 5)?;
    same("frames in all", world.count_in(Client, container, 10, FrameState::PRESENT)?, 6)?;
    same("charge", world.frames_of(Client)?, before.saturating_add(5))
}

/// S4: "same, SQUASH: 10 frames; id 5 reads 0; net charge +9; a COW sibling of old 5 still reads
/// the old data."
pub(crate) fn s4<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let container = occupied(world)?;
    let sibling = world.container(Client)?;
    let mapped = world.calls(Client).map(container, at(5), FrameCount::ONE, WINDOW, READ_WRITE);
    pm("mapping id 5", mapped)?;
    did("writing to id 5", world.puppet(Client).fill(WINDOW, 1, 5))?;
    let copied = world.calls(Client).copy(
        (container, at(5)),
        (sibling, at(0)),
        FrameCount::ONE,
        CopyFlags::NEW,
    );
    pm("copying id 5", copied)?;

    let before = world.frames_of(Client)?;
    let squash = AllocateFlags::SQUASH;
    let done = world.calls(Client).allocate(container, at(0), frames(10), squash);
    same("frames done", pm("allocating over id 5", done)?, 10)?;
    same("frames there", world.count_in(Client, container, 10, FrameState::PRESENT)?, 10)?;
    same("charge", world.frames_of(Client)?, before.saturating_add(9))?;
    world.map(Client, container, 10, WINDOW_2, MapFlags::READ)?;
    world.holds(Client, "id 5 and the others", WINDOW_2, 10, 0)?;
    let mapped = world.calls(Client).map(sibling, at(0), FrameCount::ONE, WINDOW, MapFlags::READ);
    pm("mapping the sibling", mapped)?;
    world.holds(Client, "the sibling", WINDOW, 1, 5)
}

/// S5: "quota leaves room for 4; allocate 10 without / with PARTIAL; room for 1; room for 0:
/// 0+Quota / 4+Quota / 1+Quota / 0+Quota."
pub(crate) fn s5<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let account = world.split(pmserver_api::AccountHandle::OWN, 40, LimitFlags::empty())?;
    let lent = world.lend_account(account, Client, AccountRights::ALLOCATE)?;
    let container = world.container_in(Client, lent)?;
    // Allocate ten, so that the records for them exist, and free all but the last, which keeps the
    // records.
    world.allocate(Client, container, 10)?;
    let freed = world.calls(Client).deallocate(container, at(0), frames(9), FREE);
    same("frames freed", pm("freeing", freed)?, 9)?;
    let used = pages(world.info(account)?.used);

    let cases = [
        (4, AllocateFlags::empty(), 0),
        (4, AllocateFlags::PARTIAL, 4),
        (1, AllocateFlags::PARTIAL, 1),
        (0, AllocateFlags::PARTIAL, 0),
    ];
    for (room, flags, expected) in cases {
        let limit = u32::try_from(used.saturating_add(room)).unwrap_or(u32::MAX);
        let set = world.calls(Parent).account_set_limits(account, limit, LimitFlags::empty());
        pm("setting the limit", set)?;
        let result = world.calls(Client).allocate(container, at(0), frames(9), flags);
        let failure = refused("allocating beyond the limit", result, PmError::QuotaExceeded)?;
        same("frames done", failure.done, expected)?;
        same("the id that is too much", failure.at, room)?;
        let there = world.count_in(Client, container, 9, FrameState::PRESENT)?;
        same("frames there", there, expected)?;
        same("charge", pages(world.info(account)?.used), used.saturating_add(expected))?;
        pm("freeing", world.calls(Client).deallocate(container, at(0), frames(9), FREE))?;
    }
    Ok(())
}

/// S7: "fresh frames after another account wrote a secret and freed: read all zero; never the
/// secret."
pub(crate) fn s7<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let secret = world.filled_container(Server, 256)?;
    world.map(Server, secret, 256, WINDOW, READ_WRITE)?;
    did("writing the secret", world.puppet(Server).fill(WINDOW, 256, 7))?;
    let freed = world.calls(Server).deallocate(secret, at(0), frames(256), FREE);
    same("frames freed", pm("freeing the secret", freed)?, 256)?;
    let fresh = world.container(Client)?;
    let done = world.calls(Client).allocate(fresh, at(0), frames(256), NONE);
    same("frames allocated", pm("allocating", done)?, 256)?;
    let force = READ_WRITE | MapFlags::FORCE_WRITE;
    world.map(Client, fresh, 256, WINDOW, force)?;
    world.holds(Client, "fresh frames", WINDOW, 256, 0)?;
    pm("freeing", world.calls(Client).deallocate(fresh, at(0), frames(256), FREE))?;
    Ok(())
}

/// S8: "free a hole-y range; STRICT and not: not strict: count of really freed; strict:
/// NotFound{at}, nothing freed."
pub(crate) fn s8<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let container = world.filled_container(Client, 8)?;
    let freed = world.calls(Client).deallocate(container, at(3), frames(2), FREE);
    same("frames freed for the hole", pm("making a hole", freed)?, 2)?;
    let before = world.frames_of(Client)?;

    let strict = DeallocateFlags::STRICT;
    let result = world.calls(Client).deallocate(container, at(0), frames(8), strict);
    let failure = refused("freeing strictly", result, PmError::NotFound)?;
    same("the hole", failure.at, 3)?;
    same("frames freed strictly", failure.done, 0)?;
    same("frames there", world.count_in(Client, container, 8, FrameState::PRESENT)?, 6)?;
    same("charge", world.frames_of(Client)?, before)?;

    let freed = world.calls(Client).deallocate(container, at(0), frames(10), FREE);
    same("frames freed", pm("freeing", freed)?, 6)?;
    same("charge for none", world.frames_of(Client)?, before.saturating_sub(6))
}
