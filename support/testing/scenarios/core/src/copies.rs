// SPDX-License-Identifier: BSD-2-Clause
//! S23, S24, S28, S46: logical copies.
//!
//! Two frames share memory if their bus addresses are equal.

use pmserver_api::{ContainerHandle, CopyFlags, FrameState, LockMode, MapFlags, PmError, Rights};
use proto::{AddressSpace, FrameCount, Transport};

use crate::cast::Actor::{self, Client, Driver, Holder, Server};
use crate::error::{Outcome, did, expect, pm, refused, same};
use crate::world::{LONG, READ_WRITE, WINDOW, WINDOW_2, World, at, frames};

const ONE: FrameCount = FrameCount::ONE;
const REPLACE: CopyFlags = CopyFlags::empty();

/// Makes a cache of one frame for the file server, which the driver fills under a lease.
fn cache_from_driver<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    seed: u64,
) -> Outcome<ContainerHandle> {
    let cache = world.filled_container(Server, 1)?;
    let shared = world.share(Server, cache, Driver, Rights::all())?;
    let lease = pm("the driver locking", world.lock_all(Driver, shared.weak, 1, LONG))?;
    world.map(Driver, shared.weak, 1, WINDOW, READ_WRITE)?;
    did("the driver filling a frame", world.puppet(Driver).fill(WINDOW, 1, seed))?;
    world.unmap(Driver, WINDOW, 1)?;
    pm("the driver unlocking", world.calls(Driver).unlock(lease.lease))?;
    pm("taking the frame back", world.calls(Server).unshare(shared.share))?;
    Ok(cache)
}

/// A client lends a frame to the file server, and the server copies its cache to it.
fn read_from_cache<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    client: Actor,
    cache: ContainerHandle,
) -> Outcome<ContainerHandle> {
    let container = world.filled_container(client, 1)?;
    let shared = world.share(client, container, Server, Rights::READ | Rights::WRITE)?;
    let copied = world.calls(Server).copy((cache, at(0)), (shared.weak, at(0)), ONE, REPLACE);
    same("frames copied", pm("copying from the cache", copied)?, 1)?;
    pm("unsharing", world.calls(client).unshare(shared.share))?;
    Ok(container)
}

/// S23: "Chain Task -> FS -> driver: C shares with FS, FS cache frame REPLACE-copied into C's
/// container: zero bytes copied physically until someone writes; FS cache and C isolated; charges:
/// C its frame, FS its frame."
pub(crate) fn s23<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let (client_before, server_before) = (world.frames_of(Client)?, world.frames_of(Server)?);
    let cache = cache_from_driver(world, 23)?;
    let container = read_from_cache(world, Client, cache)?;
    same("C's charge", world.frames_of(Client)?, client_before.saturating_add(1))?;
    same("FS's charge", world.frames_of(Server)?, server_before.saturating_add(1))?;
    let of_cache = world.bus_address(Server, cache)?;
    same("where C's frame is", world.bus_address(Client, container)?, of_cache)?;

    world.map(Server, cache, 1, WINDOW, READ_WRITE)?;
    world.map(Client, container, 1, WINDOW, READ_WRITE)?;
    world.holds(Client, "what C reads", WINDOW, 1, 23)?;
    world.writes(Client, "C writing", WINDOW, 1)?;
    world.holds(Server, "FS's cache after that", WINDOW, 1, 23)?;
    did("FS writing", world.puppet(Server).fill(WINDOW, 1, 24))?;
    world.reads(Client, "C's word after that", WINDOW, 1)?;
    let of_client = world.bus_address(Client, container)?;
    expect(of_client != world.bus_address(Server, cache)?, "C and FS still share memory")?;
    same("C's charge at last", world.frames_of(Client)?, client_before.saturating_add(1))?;
    same("FS's charge at last", world.frames_of(Server)?, server_before.saturating_add(1))
}

/// S24: "Driver fills FS frame under lease, FS replace-copies to 3 clients, FS evicts its cache:
/// each client keeps data; physical frame freed only when last virtual frame goes."
pub(crate) fn s24<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let clients = [Client, Holder, Driver];
    let cache = cache_from_driver(world, 24)?;
    let first = read_from_cache(world, Client, cache)?;
    let second = read_from_cache(world, Holder, cache)?;
    let third = read_from_cache(world, Driver, cache)?;
    let containers = [first, second, third];
    let memory = world.bus_address(Server, cache)?;
    pm("evicting the cache", world.calls(Server).container_destroy(cache))?;
    for (client, container) in clients.into_iter().zip(containers) {
        world.map(client, container, 1, WINDOW, MapFlags::READ)?;
        world.holds(client, "a client after the eviction", WINDOW, 1, 24)?;
    }
    same("where the second client's frame is", world.bus_address(Holder, second)?, memory)?;
    pm("the first client freeing", world.calls(Client).container_destroy(first))?;
    same("where it is without the first", world.bus_address(Holder, second)?, memory)?;
    pm("the second client freeing", world.calls(Holder).container_destroy(second))?;
    world.holds(Driver, "the last client", WINDOW, 1, 24)
}

/// S28: "map RW on a COW frame without FORCE; then with FORCE: RO granted and reported, no copy;
/// then copy and RW; FORCE without WRITE behaves as READ." And the first store through the
/// read-only mapping makes the copy (PM-86).
pub(crate) fn s28<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let original = world.filled_container(Client, 1)?;
    world.map(Client, original, 1, WINDOW, READ_WRITE)?;
    did("filling the original", world.puppet(Client).fill(WINDOW, 1, 28))?;
    let copy = world.container(Client)?;
    for number in 0..3 {
        let copied =
            world.calls(Client).copy((original, at(0)), (copy, at(number)), ONE, CopyFlags::NEW);
        same("frames copied", pm("copying", copied)?, 1)?;
    }

    granted(world, copy, 0, READ_WRITE, MapFlags::READ)?;
    expect_cow(world, copy, 0, true)?;
    pm("unmapping", world.calls(Client).unmap(WINDOW_2, ONE))?;
    granted(world, copy, 0, READ_WRITE | MapFlags::FORCE_WRITE, READ_WRITE)?;
    expect_cow(world, copy, 0, false)?;
    world.writes(Client, "writing to the first copy", WINDOW_2, 1)?;
    pm("unmapping", world.calls(Client).unmap(WINDOW_2, ONE))?;

    granted(world, copy, 1, MapFlags::READ | MapFlags::FORCE_WRITE, MapFlags::READ)?;
    expect_cow(world, copy, 1, true)?;
    pm("unmapping", world.calls(Client).unmap(WINDOW_2, ONE))?;

    granted(world, copy, 2, READ_WRITE, MapFlags::READ)?;
    world.writes(Client, "writing to the third copy", WINDOW_2, 3)?;
    world.reads(Client, "the third copy", WINDOW_2, 3)?;
    expect_cow(world, copy, 2, false)?;
    world.holds(Client, "the original", WINDOW, 1, 28)
}

/// Maps a frame and compares the rights that the reply reports.
fn granted<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    container: ContainerHandle,
    number: u64,
    asked: MapFlags,
    expected: MapFlags,
) -> Outcome {
    let mapped = world.calls(Client).map(container, at(number), ONE, WINDOW_2, asked);
    let rights = pm("mapping a copy", mapped)?.rights().intersection(READ_WRITE);
    same("rights granted", rights.bits().into(), expected.bits().into())
}

fn expect_cow<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    container: ContainerHandle,
    number: u64,
    expected: bool,
) -> Outcome {
    let state = world.state(Client, container, number)?;
    same("whether a copy is still logical", state.contains(FrameState::COW).into(), expected.into())
}

/// S46: "a copy stops in the middle (source hole) default / ATOMIC: done count + NotFound{at} /
/// nothing changed."
pub(crate) fn s46<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let source = world.filled_container(Client, 4)?;
    world.map(Client, source, 4, WINDOW, READ_WRITE)?;
    did("filling the source", world.puppet(Client).fill(WINDOW, 4, 46))?;
    let free = pmserver_api::DeallocateFlags::empty();
    pm("making a hole", world.calls(Client).deallocate(source, at(2), ONE, free))?;
    let made = world.container(Client)?;
    let there = world.filled_container(Client, 4)?;

    for (destination, flags) in [(made, CopyFlags::NEW), (there, REPLACE)] {
        let before = world.frames_of(Client)?;
        let from_to = ((source, at(0)), (destination, at(0)));
        let atomic = flags | CopyFlags::ATOMIC;
        let copied = world.calls(Client).copy(from_to.0, from_to.1, frames(4), atomic);
        let failure = refused("copying all or none", copied, PmError::NotFound)?;
        same("the hole", failure.at, 2)?;
        same("frames copied of all or none", failure.done, 0)?;
        same("charge for none", world.frames_of(Client)?, before)?;
        let bound = world.count_in(Client, destination, 4, FrameState::BOUND)?;
        same("frames with contents", bound, 0)?;

        let copied = world.calls(Client).copy(from_to.0, from_to.1, frames(4), flags);
        let failure = refused("copying up to the hole", copied, PmError::NotFound)?;
        same("the hole", failure.at, 2)?;
        same("frames copied", failure.done, 2)?;
        let charge = if flags == REPLACE { 0 } else { 2 };
        same("charge", world.frames_of(Client)?, before.saturating_add(charge))?;
        world.map(Client, destination, 2, WINDOW_2, MapFlags::READ)?;
        world.holds(Client, "what was copied", WINDOW_2, 2, 46)?;
        world.unmap(Client, WINDOW_2, 2)?;
    }
    Ok(())
}

impl<T: Transport, A: AddressSpace> World<T, A> {
    /// Returns the bus address of the first frame of a container.
    pub(crate) fn bus_address(&mut self, owner: Actor, container: ContainerHandle) -> Outcome<u64> {
        let read = Rights::READ | Rights::LOCK;
        // A driver needs no share of its own container.
        let shared = match owner {
            Driver => None,
            _ => Some(self.share(owner, container, Driver, read)?),
        };
        let pinned = shared.map_or(container, |shared| shared.weak);
        let pin = self.calls(Driver).pin(pinned, at(0), ONE, LockMode::Read, LONG);
        let pin = pm("pinning a frame", pin)?;
        pm("ending the pin", self.calls(Driver).unlock(pin.lease.lease))?;
        if let Some(shared) = shared {
            pm("ending the driver's share", self.calls(owner).unshare(shared.share))?;
        }
        Ok(pin.bus.address)
    }
}
