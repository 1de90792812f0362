// SPDX-License-Identifier: BSD-2-Clause
//! S12, S51, S58: an actor that tries to use more than it was given, or to make another pay.

use pmserver_api::{
    AccountHandle, AccountRights, AllocateFlags, ContainerHandle, CopyFlags, DeallocateFlags,
    Disturbance, LeaseHandle, LimitFlags, MapFlags, Marks, PmError, Rights, ShareHandle,
};
use proto::{AddressSpace, FrameCount, Transport};

use crate::cast::Actor::{Client, Driver, Parent, Server};
use crate::error::{Outcome, did, expect, pm, refused, same};
use crate::world::{LONG, READ_WRITE, WINDOW, WINDOW_2, World, at, frames, page, pages};

const ONE: FrameCount = FrameCount::ONE;
const NONE: AllocateFlags = AllocateFlags::empty();

/// S12: "Malicious S: alloc, dealloc, destroy, re-share, COPY_SHARED out, MOVE via weak cap: each
/// NoRight; counters unchanged."
pub(crate) fn s12<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let container = world.filled_container(Client, 4)?;
    let peer = world.peer(Server);
    let shared = world.calls(Client).share(container, at(0), 8, peer, Rights::all(), LONG);
    let weak = pm("sharing", shared)?.weak;
    let own = world.filled_container(Server, 4)?;
    let before = (world.account(Client)?, world.account(Server)?);
    let driver = world.peer(Driver);
    let no = PmError::NoRight;

    let mut pm = world.calls(Server);
    let free = DeallocateFlags::empty();
    refused("allocating", pm.allocate(weak, at(4), ONE, NONE), no)?;
    refused("allocating anywhere", pm.allocate_anywhere(weak, ONE, NONE), no)?;
    refused("squashing", pm.allocate(weak, at(0), ONE, AllocateFlags::SQUASH), no)?;
    refused("freeing", pm.deallocate(weak, at(0), ONE, free), no)?;
    refused("renewing", pm.renew(weak, at(0), ONE), no)?;
    refused("destroying", pm.container_destroy(weak), no)?;
    refused("sharing on", pm.share(weak, at(0), 1, driver, Rights::READ, LONG), no)?;
    refused("marking", pm.mark(weak, at(0), ONE, Marks::DISCARDABLE), no)?;
    refused("asking for states", pm.status(weak, at(0), ONE), no)?;
    refused("naming a handler", pm.set_handler(weak, at(0), 1, Some(peer), 0), no)?;
    let copies = [
        ("copying out SHARED", weak, own, CopyFlags::SHARED),
        ("copying out SHARED and NEW", weak, own, CopyFlags::SHARED | CopyFlags::NEW),
        ("moving out", weak, own, CopyFlags::MOVE),
        ("moving out NEW", weak, own, CopyFlags::MOVE | CopyFlags::NEW),
        ("copying in SHARED", own, weak, CopyFlags::SHARED),
        ("moving in", own, weak, CopyFlags::MOVE),
        ("copying in NEW", own, weak, CopyFlags::NEW),
    ];
    for (step, source, destination, flags) in copies {
        let number = if flags.contains(CopyFlags::NEW) { 5 } else { 0 };
        let copied = pm.copy((source, at(0)), (destination, at(number)), ONE, flags);
        refused(step, copied, no)?;
    }
    let beyond = pm.map(weak, at(8), ONE, WINDOW, MapFlags::READ);
    refused("mapping beyond the range", beyond, no)?;
    let beyond = pm.copy((weak, at(6)), (own, at(0)), frames(4), CopyFlags::empty());
    refused("copying beyond the range", beyond, no)?;
    let after = (world.account(Client)?, world.account(Server)?);
    expect(after == before, "an account is not what it was")
}

/// S51: "forged/old badge, cap of another container passed as destination: InvalidCap/NoRight;
/// never another client's object."
pub(crate) fn s51<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let container = world.filled_container(Client, 2)?;
    world.map(Client, container, 2, WINDOW, READ_WRITE)?;
    did("C filling its frames", world.puppet(Client).fill(WINDOW, 2, 51))?;
    let own = world.filled_container(Server, 2)?;
    let read = world.share(Client, container, Driver, Rights::READ)?;
    forged(world, container, own)?;
    others_numbers(world, read.weak, read.share)?;

    // The holder of a share without WRITE, and of a handle that covers none of the range.
    let replace = CopyFlags::empty();
    let drivers = world.filled_container(Driver, 2)?;
    let copied = world.calls(Driver).copy((drivers, at(0)), (read.weak, at(0)), ONE, replace);
    refused("replacing without WRITE", copied, PmError::NoRight)?;
    let mapped = world.calls(Driver).map(read.weak, at(0), ONE, WINDOW, READ_WRITE);
    refused("mapping for writing without WRITE", mapped, PmError::NoRight)?;
    let locked = world.lock_all(Driver, read.weak, 1, LONG);
    refused("locking without LOCK", locked, PmError::NoRight)?;
    world.holds(Client, "C's frames", WINDOW, 2, 51)?;
    old_numbers(world)
}

/// The number of another actor's handle, and the numbers around it, name nothing.
fn forged<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    container: ContainerHandle,
    own: ContainerHandle,
) -> Outcome {
    let no = PmError::InvalidCap;
    let numbers = container.raw().saturating_sub(64)..container.raw().saturating_add(64);
    for number in numbers.chain([0, u64::MAX, u64::MAX >> 1]) {
        // A number nearby may be one of the server's own handles: that is no forgery.
        if number == own.raw() {
            continue;
        }
        let forged = ContainerHandle::from_raw(number);
        let status = world.calls(Server).status(forged, at(0), ONE);
        refused("asking for another's frames", status, no)?;
    }
    let mut pm = world.calls(Server);
    let free = DeallocateFlags::empty();
    refused("allocating into another's", pm.allocate(container, at(5), ONE, NONE), no)?;
    refused("freeing another's", pm.deallocate(container, at(0), ONE, free), no)?;
    refused("destroying another's", pm.container_destroy(container), no)?;
    refused("mapping another's", pm.map(container, at(0), ONE, WINDOW, MapFlags::READ), no)?;
    for (source, destination) in [(own, container), (container, own)] {
        for flags in [CopyFlags::empty(), CopyFlags::SHARED, CopyFlags::MOVE] {
            let copied = pm.copy((source, at(0)), (destination, at(0)), ONE, flags);
            refused("copying from or to another's", copied, no)?;
        }
    }
    Ok(())
}

/// Numbers of handles that were given to another actor name nothing for one that has learnt them.
fn others_numbers<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    weak: ContainerHandle,
    share: ShareHandle,
) -> Outcome {
    let no = PmError::InvalidCap;
    let mapped = world.calls(Server).map(weak, at(0), ONE, WINDOW, MapFlags::READ);
    refused("using another's weak handle", mapped, no)?;
    refused("ending another's share", world.calls(Server).unshare(share), no)?;
    refused("its holder ending a share", world.calls(Driver).unshare(share), no)?;
    let as_lease = LeaseHandle::from_raw(share.raw());
    refused("a share as a lease", world.calls(Client).unlock(as_lease), no)?;
    let as_container = ContainerHandle::from_raw(share.raw());
    let status = world.calls(Client).status(as_container, at(0), ONE);
    refused("a share as a container", status, no)?;

    let account = world.split(AccountHandle::OWN, 16, LimitFlags::empty())?;
    let lent = world.lend_account(account, Driver, AccountRights::ALLOCATE)?;
    for handle in [account, lent] {
        let made = world.calls(Server).container_create(handle);
        refused("using another's account", made, no)?;
    }
    let destroyed = world.calls(Driver).account_destroy(lent);
    refused("destroying a lent account", destroyed, PmError::NoRight)?;
    pm("recalling the account", world.calls(Parent).account_recall(lent))?;
    let made = world.calls(Driver).container_create(lent);
    refused("using a recalled account", made, no).map(drop)
}

/// The number of an object that no longer exists names nothing, also after its place was reused.
fn old_numbers<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let no = PmError::InvalidCap;
    let old = world.filled_container(Client, 1)?;
    let shared = world.share(Client, old, Server, Rights::all())?;
    let lease = pm("locking", world.lock_all(Server, shared.weak, 1, LONG))?;
    pm("unlocking", world.calls(Server).unlock(lease.lease))?;
    refused("unlocking again", world.calls(Server).unlock(lease.lease), no)?;
    pm("destroying", world.calls(Client).container_destroy(old))?;
    let mut made: [Option<ContainerHandle>; 4] = [None; 4];
    for place in &mut made {
        *place = Some(world.filled_container(Client, 1)?);
        let status = world.calls(Client).status(old, at(0), ONE);
        refused("an old container", status, no)?;
        let mapped = world.calls(Server).map(shared.weak, at(0), ONE, WINDOW, READ_WRITE);
        refused("an old weak handle", mapped, no)?;
        refused("an old share", world.calls(Client).unshare(shared.share), no)?;
    }
    same("new containers", u64::try_from(made.iter().flatten().count()).unwrap_or(0), 4)
}

/// S58: a borrower touches what is lent first, has it suspended, and copied, while the owner is at
/// its limit: whatever becomes of the mapping, the owner has paid for it when it was made.
pub(crate) fn s58<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let container = world.filled_container(Client, 8)?;
    let weak = world.share(Client, container, Server, Rights::all())?.weak;
    world.map(Client, container, 4, WINDOW, READ_WRITE)?;
    world.attach(Client, container, 8, WINDOW_2)?;
    world.reads(Client, "an empty page of a region", page(WINDOW_2, 4), 0)?;
    world.map(Server, weak, 8, WINDOW, READ_WRITE)?;
    let used = pages(world.account(Client)?.used);
    world.limit(Client, used, LimitFlags::empty())?;

    did("S touching first", world.puppet(Server).fill(WINDOW, 8, 58))?;
    world.holds(Client, "what S wrote", WINDOW, 4, 58)?;
    did("C writing", world.puppet(Client).fill(WINDOW, 4, 59))?;
    let lease = pm("S locking", world.lock_all(Server, weak, 8, LONG))?;
    did("S writing under its lease", world.puppet(Server).fill(WINDOW, 4, 58))?;
    pm("S unlocking", world.calls(Server).unlock(lease.lease))?;
    world.holds(Client, "what S wrote under its lease", WINDOW, 4, 58)?;
    for what in [Disturbance::Unmap, Disturbance::Move] {
        world.disturb(what)?;
        did("C writing to what was taken away", world.puppet(Client).fill(WINDOW, 4, 57))?;
        world.writes(Client, "C writing to its region", page(WINDOW_2, 4), 57)?;
    }
    let own = world.filled_container(Server, 8)?;
    let copied =
        world.calls(Server).copy((weak, at(0)), (own, at(0)), frames(4), CopyFlags::empty());
    same("frames copied out", pm("S copying out", copied)?, 4)?;
    did("C writing to what was copied", world.puppet(Client).fill(WINDOW, 4, 56))?;
    world.holds(Client, "what C wrote", WINDOW, 4, 56)?;
    same("what is charged to C", pages(world.account(Client)?.used), used)
}
