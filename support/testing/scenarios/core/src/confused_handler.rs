// SPDX-License-Identifier: BSD-2-Clause
//! S59: ranges, faults and cookies that are another's, or from before.

use pmserver_api::{
    AccountHandle, ContainerHandle, DeallocateFlags, Disturbance, FaultHandle, PendingFault,
    PmError, RangeHandle, Rights,
};
use proto::{AddressSpace, FrameCount, Micros, Transport, VirtAddr};

use crate::cast::Actor::{self, Client, Driver, Holder, Parent, Server};
use crate::error::{Outcome, ScenarioError, did, expect, faults, pm, refused, same};
use crate::world::{LONG, READ_WRITE, WINDOW, World, at, vaddr};

/// The cookie that everybody gives.
const COOKIE: u32 = 59;
/// Frames of each range.
const FRAMES: u64 = 4;
const ONE: FrameCount = FrameCount::ONE;
/// An address that is mapped in no actor.
const NOWHERE: VirtAddr = vaddr(0x3F00_0000);
/// Faults of one actor: most of them are not told on the console.
const FAULTS: u32 = 70;

/// S59: "handlers: the cookie does not say whose range it is; old cookies, old answers and answers
/// for a range that has ended name nothing", and neither do those of another handler.
pub(crate) fn s59<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let (client, range) = handled(world, Client, Server)?;
    let (driver, other) = handled(world, Driver, Server)?;
    expect(range != other, "two ranges have one handle")?;
    let owners =
        [(Client, range), (Driver, other)].map(|(owner, range)| (world.peer(owner), range));
    for (owner, range) in owners {
        expect(range.owner() == Some(owner), "a range does not say whose it is")?;
    }
    let first = asked(world, Client, client, Server)?;
    expect(first.range == range && first.cookie == COOKIE, "another range was told")?;
    of_others(world, first.fault)?;
    let second = asked(world, Driver, driver, Server)?;
    expect(second.range == other, "the cookie stands for the range")?;

    // The range ends; one with the same cookie begins at the same place, with another handler.
    let source = world.filled_container(Server, 1)?;
    let ended = world.calls(Client).set_handler(client, at(0), FRAMES, None, 0);
    expect(pm("ending the range", ended)? == range, "another range has ended")?;
    let late = world.calls(Server).supply(first.fault, source, at(0));
    refused("answering for a range that has ended", late, PmError::InvalidCap)?;
    let again = name(world, Client, client, Holder)?;
    expect(again != range, "a range has the handle of an old one")?;
    let third = asked(world, Client, client, Holder)?;
    expect(third.range == again, "another range was told")?;
    for fault in [first.fault, third.fault] {
        let supplied = world.calls(Server).supply(fault, source, at(0));
        refused("the old handler answering", supplied, PmError::InvalidCap)?;
        let refusal = world.calls(Server).refuse(fault);
        refused("the old handler refusing", refusal, PmError::InvalidCap)?;
    }
    supplied(world, client, driver, third.fault, second.fault)?;
    privileges(world)?;
    for _ in 0..FAULTS {
        faults("touching nothing", world.puppet(Client).load(NOWHERE))?;
    }
    Ok(())
}

/// Makes an actor create a container that another supplies.
fn handled<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    owner: Actor,
    handler: Actor,
) -> Outcome<(ContainerHandle, RangeHandle)> {
    let container = world.filled_container(owner, FRAMES)?;
    Ok((container, name(world, owner, container, handler)?))
}

fn name<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    owner: Actor,
    container: ContainerHandle,
    handler: Actor,
) -> Outcome<RangeHandle> {
    let peer = world.peer(handler);
    let named = world.calls(owner).set_handler(container, at(0), FRAMES, Some(peer), COOKIE);
    pm("naming a handler", named)
}

/// Makes an owner ask for a frame, without waiting for it. Returns what its handler is told, and
/// nobody else.
fn asked<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    owner: Actor,
    container: ContainerHandle,
    handler: Actor,
) -> Outcome<PendingFault> {
    let granted = world.calls(owner).grant(container, at(1), ONE, READ_WRITE);
    refused("being granted an absent frame", granted, PmError::Absent)?;
    for other in [Client, Driver, Holder, Server, Parent] {
        if other != handler {
            let told = pm("asking for another's faults", world.calls(other).next_fault())?;
            expect(told.is_none(), "another is told of the fault")?;
        }
    }
    let fault = pm("asking for faults", world.calls(handler).next_fault())?;
    let fault = fault.ok_or(ScenarioError::Wrong("the handler is told of no fault"))?;
    same("the frame that is asked for", fault.number.get(), 1)?;
    Ok(fault)
}

/// Who is not its handler cannot answer a fault.
fn of_others<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    fault: FaultHandle,
) -> Outcome {
    for other in [Client, Driver, Holder, Parent] {
        let own = world.filled_container(other, 1)?;
        let answered = world.calls(other).supply(fault, own, at(0));
        refused("answering another's fault", answered, PmError::InvalidCap)?;
        let answered = world.calls(other).refuse(fault);
        refused("refusing another's fault", answered, PmError::InvalidCap)?;
    }
    Ok(())
}

/// A handler answers from what it may read, and what is freed is not supplied.
fn supplied<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    client: ContainerHandle,
    driver: ContainerHandle,
    of_client: FaultHandle,
    of_driver: FaultHandle,
) -> Outcome {
    let source = world.filled_container(Holder, 1)?;
    world.map(Holder, source, 1, WINDOW, READ_WRITE)?;
    did("filling what is supplied", world.puppet(Holder).fill(WINDOW, 1, 59))?;
    let cheated = world.calls(Holder).supply(of_client, driver, at(0));
    refused("supplying what is another's", cheated, PmError::InvalidCap)?;
    pm("supplying", world.calls(Holder).supply(of_client, source, at(0)))?;
    let late = world.calls(Holder).supply(of_client, source, at(0));
    refused("supplying twice", late, PmError::InvalidCap)?;
    let granted = world.calls(Client).grant(client, at(1), ONE, READ_WRITE);
    let granted = pm("being granted what was supplied", granted)?;
    let taken = world.calls(Client).ungrant(granted.address, ONE);
    same("grants taken back", pm("giving the grant back", taken)?, 1)?;

    let free = DeallocateFlags::empty();
    let freed = world.calls(Driver).deallocate(driver, at(1), ONE, free);
    same("frames freed", pm("freeing what is asked for", freed)?, 1)?;
    let own = world.filled_container(Server, 1)?;
    let late = world.calls(Server).supply(of_driver, own, at(0));
    refused("supplying what was freed", late, PmError::InvalidCap).map(drop)
}

/// What only some may do, the others may not.
fn privileges<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let no = PmError::NoRight;
    let container = world.filled_container(Client, 1)?;
    let to_server = world.share(Client, container, Server, Rights::all())?;
    for other in [Client, Holder, Server] {
        let handle = if other == Server { to_server.weak } else { container };
        if other != Holder {
            let mode = pmserver_api::LockMode::Read;
            let pinned = world.calls(other).pin(handle, at(0), ONE, mode, LONG);
            refused("pinning", pinned, no)?;
        }
        let peer = world.peer(Driver);
        let mut calls = world.calls(other);
        refused("rescuing", calls.rescue(), no)?;
        refused("resetting a device", calls.device_reset(peer), no)?;
        refused("disturbing", calls.disturb(Disturbance::Unmap, 0), no)?;
        refused("watching another", calls.watch(peer, Micros::new(1)), no)?;
        let of_peer = AccountHandle::of_peer(peer);
        refused("reading another's account", calls.account_info(of_peer), no)?;
        let limits = calls.account_set_limits(of_peer, 1, pmserver_api::LimitFlags::empty());
        refused("setting another's limit", limits, no)?;
        refused("destroying another's account", calls.account_destroy(of_peer), no)?;
        refused("charging another's account", calls.container_create(of_peer), no)?;
    }
    Ok(())
}
