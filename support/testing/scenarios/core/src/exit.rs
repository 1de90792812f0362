// SPDX-License-Identifier: BSD-2-Clause
//! S25, S26, S38 to S40: what is left when an actor or an account ends.

use pmserver_api::{
    AccountHandle, AccountRights, CallError, ContainerHandle, CopyFlags, FrameState, LimitFlags,
    MapFlags, PmError, Rights,
};
use proto::{AddressSpace, FrameCount, Transport};

use crate::cast::Actor::{Client, Mortal2, Parent, Server};
use crate::error::{Outcome, did, faults, pm, refused, same};
use crate::world::{LONG, READ_WRITE, WINDOW, WINDOW_2, World, at, frames, pages};

const NO_FLAGS: LimitFlags = LimitFlags::empty();

/// S25: "A (owner) exits with really shared frames in B's container: B keeps access and data, B's
/// charge unchanged (it was already full); nothing still charged to A."
pub(crate) fn s25<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let promised = pages(world.account(Parent)?.promised);
    let account = world.split(AccountHandle::OWN, 32, NO_FLAGS)?;
    let lent = world.lend_account(account, Client, AccountRights::ALLOCATE)?;
    let of_a = world.container_in(Client, lent)?;
    world.allocate(Client, of_a, 2)?;
    world.map(Client, of_a, 2, WINDOW, READ_WRITE)?;
    let of_b = world.container(Client)?;
    let shared = CopyFlags::NEW | CopyFlags::SHARED;
    let copied = world.calls(Client).copy((of_a, at(0)), (of_b, at(0)), frames(2), shared);
    same("frames shared", pm("sharing really", copied)?, 2)?;
    world.map(Client, of_b, 2, WINDOW_2, READ_WRITE)?;
    did("writing to A's frames", world.puppet(Client).fill(WINDOW, 2, 25))?;
    world.holds(Client, "B's frames", WINDOW_2, 2, 25)?;
    let charge = world.frames_of(Client)?;

    pm("A exiting", world.calls(Parent).account_destroy(account))?;
    world.holds(Client, "B's frames after A's exit", WINDOW_2, 2, 25)?;
    world.writes(Client, "B writing after A's exit", WINDOW_2, 26)?;
    same("B's charge", world.frames_of(Client)?, charge)?;
    faults("reading A's frames", world.puppet(Client).load(WINDOW))?;
    let status = world.calls(Client).status(of_a, at(0), FrameCount::ONE);
    refused("asking for A's frames", status, PmError::InvalidCap)?;
    let info = world.calls(Parent).account_info(account);
    refused("asking for A's account", info, PmError::InvalidCap)?;
    same("what is promised", pages(world.account(Parent)?.promised), promised)
}

/// S26: "A (owner) exits while B only holds a weak cap: B's mappings vanish, B gets
/// InvalidCap/fault message, B not killed by pmserver."
pub(crate) fn s26<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    // Nothing destroys this container but the end of A.
    let container =
        pm("A making a container", world.calls(Mortal2).container_create(AccountHandle::OWN))?;
    world.allocate(Mortal2, container, 2)?;
    world.map(Mortal2, container, 2, WINDOW, READ_WRITE)?;
    did("A filling its frames", world.puppet(Mortal2).fill(WINDOW, 2, 26))?;
    let shared = world.share(Mortal2, container, Server, Rights::READ)?;
    world.map(Server, shared.weak, 2, WINDOW, MapFlags::READ)?;
    world.holds(Server, "B's view", WINDOW, 2, 26)?;

    world.kill(Mortal2)?;
    faults("B reading after A's death", world.puppet(Server).load(WINDOW))?;
    let mapped =
        world.calls(Server).map(shared.weak, at(0), FrameCount::ONE, WINDOW, MapFlags::READ);
    refused("B mapping after A's death", mapped, PmError::InvalidCap)?;
    let container = world.filled_container(Server, 1)?;
    world.map(Server, container, 1, WINDOW, READ_WRITE)?;
    world.writes(Server, "B going on", WINDOW, 1)?;
    let info = world.account(Mortal2)?;
    same("what is still charged to A", pages(info.used), 0)
}

/// S38: "table account of a VSpace destroyed while frames belong to another account: mappings
/// vanish (faults), frames and data intact, remap possible with another table account."
pub(crate) fn s38<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let container = world.filled_container(Server, 2)?;
    let account = world.table_account(Server, AccountHandle::OWN, 32)?;
    world.map(Server, container, 2, WINDOW, READ_WRITE)?;
    did("filling the frames", world.puppet(Server).fill(WINDOW, 2, 38))?;
    pm("destroying the table account", world.calls(Parent).account_destroy(account))?;
    faults("reading afterwards", world.puppet(Server).load(WINDOW))?;
    let present = world.count_in(Server, container, 2, FrameState::PRESENT)?;
    same("frames that are left", present, 2)?;
    same("mappings that are left", world.count_in(Server, container, 2, FrameState::MAPPED)?, 0)?;
    let mapped = world.calls(Server).map(container, at(0), frames(2), WINDOW, READ_WRITE);
    refused("mapping without a table account", mapped, PmError::NoTableQuota)?;
    let named = world.calls(Server).vspace_account(AccountHandle::OWN);
    pm("naming another table account", named)?;
    world.map(Server, container, 2, WINDOW, READ_WRITE)?;
    world.holds(Server, "the frames", WINDOW, 2, 38)
}

/// A child's account and what it pays for, below an account of the parent with 100 pages.
struct Family {
    account: AccountHandle,
    child: AccountHandle,
    /// The handle that the server has to the same account.
    child_lent: AccountHandle,
    /// A container of the server with 10 frames, mapped at [`WINDOW`].
    container: ContainerHandle,
    /// A container of the server with 3 frames that the grandchild pays for.
    of_grandchild: ContainerHandle,
    /// The client's weak handle to that container.
    weak: ContainerHandle,
}

/// "P splits A (100) to child (10), child allocates 10, grandchild 3 of them." Records are charged
/// too, so the child gets some pages more.
fn raise_family<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome<Family> {
    let account = world.split(AccountHandle::OWN, 100, NO_FLAGS)?;
    let child = world.table_account(Server, account, 40)?;
    let allocate = AccountRights::ALLOCATE;
    let child_lent = world.lend_account(child, Server, allocate)?;
    let grandchild = pm("splitting", world.calls(Parent).account_split(child, 12, NO_FLAGS))?;
    let grandchild_lent = world.lend_account(grandchild, Server, allocate)?;
    let container = world.container_in(Server, child_lent)?;
    world.allocate(Server, container, 10)?;
    world.map(Server, container, 10, WINDOW, READ_WRITE)?;
    did("the child using its frames", world.puppet(Server).fill(WINDOW, 10, 39))?;
    let of_grandchild = world.container_in(Server, grandchild_lent)?;
    world.allocate(Server, of_grandchild, 3)?;
    let weak = world.share(Server, of_grandchild, Client, Rights::all())?.weak;
    Ok(Family { account, child, child_lent, container, of_grandchild, weak })
}

/// S39: "P splits A (100) to child (10), child allocates 10, grandchild 3 of them; P destroys
/// child: every frame, table, slot, container, share below is gone; P's credit back to exactly 100;
/// stale caps invalid; a live thread of the child faults, cannot touch recycled frames."
pub(crate) fn s39<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let family = raise_family(world)?;
    let info = world.info(family.account)?;
    same("frames below A", pages(info.frames), 13)?;
    same("what A has promised", pages(info.promised), 40)?;
    world.map(Client, family.weak, 3, WINDOW_2, READ_WRITE)?;

    pm("destroying the child", world.calls(Parent).account_destroy(family.child))?;
    is_childless(world, family.account)?;
    faults("the child's thread", world.puppet(Server).load(WINDOW))?;
    faults("who used the share", world.puppet(Client).load(WINDOW_2))?;
    for container in [family.container, family.of_grandchild] {
        let status = world.calls(Server).status(container, at(0), FrameCount::ONE);
        refused("the child's container", status, PmError::InvalidCap)?;
    }
    let mapped = world.calls(Client).map(family.weak, at(0), FrameCount::ONE, WINDOW_2, READ_WRITE);
    refused("the share", mapped, PmError::InvalidCap)?;
    let created = world.calls(Server).container_create(family.child_lent);
    refused("the child's account", created, PmError::InvalidCap)?;

    // The next user of the memory is safe from the child.
    let next = world.filled_container(Client, 64)?;
    let force = READ_WRITE | MapFlags::FORCE_WRITE;
    world.map(Client, next, 64, WINDOW, force)?;
    faults("the child writing to recycled frames", world.puppet(Server).store(WINDOW, 1))?;
    world.holds(Client, "the recycled frames", WINDOW, 64, 0)
}

fn is_childless<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    account: AccountHandle,
) -> Outcome {
    let info = world.info(account)?;
    same("A's limit", pages(info.limit), 100)?;
    same(
        "A's frames, tables, slots",
        pages(info.frames) | pages(info.tables) | pages(info.slots),
        0,
    )?;
    same("A's use", pages(info.used), 0)?;
    same("A's promises", pages(info.promised), 0)
}

/// S40: "same while S holds a lease on a child's container: destroy returns Pending{deadline}, all
/// else freed now, remainder at deadline; baseline reached then."
pub(crate) fn s40<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let family = raise_family(world)?;
    let lease = pm("S locking", world.lock_all(Client, family.weak, 3, LONG))?;
    let deadline = lease.deadline.get();
    let destroyed: Result<(), CallError> = world.calls(Parent).account_destroy(family.child);
    let failure = refused("destroying the child", destroyed, PmError::Pending)?;
    same("the deadline", failure.at, deadline)?;
    let info = world.info(family.account)?;
    same("frames that are left", pages(info.frames), 3)?;
    same("tables that are left", pages(info.tables), 0)?;
    faults("the child's thread", world.puppet(Server).load(WINDOW))?;
    let status = world.calls(Server).status(family.container, at(0), FrameCount::ONE);
    refused("the child's container", status, PmError::InvalidCap)?;

    world.wait_until(deadline)?;
    pm("destroying the rest", world.calls(Parent).account_destroy(family.child))?;
    is_childless(world, family.account)
}
