// SPDX-License-Identifier: BSD-2-Clause
//! S15 to S18, S22: leases, and an owner that wants its memory back.

use pmserver_api::{
    AccountHandle, AllocateFlags, CallError, ContainerHandle, DeallocateFlags, Failure, Lease,
    LockMode, PmError, Rights,
};
use proto::{AddressSpace, FrameCount, Micros, Transport};

use crate::cast::Actor::{self, Client, Driver, Mortal1, Parent, Server};
use crate::error::{Outcome, between, faults, pm, refused, same};
use crate::world::{LONG, READ_WRITE, WINDOW, WINDOW_2, World, at, frames};

const EXCLUSIVE: LockMode = LockMode::Exclusive;

/// All rights that a share can give.
const ALL: Rights = Rights::all();

/// S15: "S holds an EXCL lease; C maps / writes through an old mapping / deallocates / destroys /
/// squashes: Locked{deadline}; old mapping faults; after deadline the same calls succeed with no S
/// cooperation." Destroying is `Pending`: it completes when the lease ends (PM-21).
pub(crate) fn s15<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let container = world.filled_container(Client, 4)?;
    let other = world.filled_container(Client, 4)?;
    let shared = world.share(Client, container, Server, ALL)?;
    let other_shared = world.share(Client, other, Server, ALL)?;
    world.map(Client, container, 4, WINDOW, READ_WRITE)?;
    world.writes(Client, "C writing before the lease", WINDOW, 15)?;
    let lock = world.calls(Server).lock(shared.weak, at(0), frames(4), EXCLUSIVE, LONG);
    let deadline = pm("S locking", lock)?.deadline.get();
    let lock = world.calls(Server).lock(other_shared.weak, at(0), frames(4), EXCLUSIVE, LONG);
    let other_deadline = pm("S locking the other", lock)?.deadline.get();

    let mapped = world.calls(Client).map(container, at(0), frames(4), WINDOW_2, READ_WRITE);
    is_locked("C mapping", mapped, deadline)?;
    faults("C writing through an old mapping", world.puppet(Client).store(WINDOW, 1))?;
    let squash = AllocateFlags::SQUASH;
    let squashed = world.calls(Client).allocate(container, at(0), frames(4), squash);
    is_locked("C squashing", squashed, deadline)?;
    let free = DeallocateFlags::empty();
    let freed = world.calls(Client).deallocate(container, at(0), frames(4), free);
    is_locked("C freeing", freed, deadline)?;
    let destroyed = world.calls(Client).container_destroy(other);
    let failure = refused("C destroying", destroyed, PmError::Pending)?;
    same("the deadline for C destroying", failure.at, other_deadline)?;

    world.wait_until(deadline.max(other_deadline))?;
    world.reads(Client, "C's old mapping", WINDOW, 15)?;
    world.writes(Client, "C writing after the deadline", WINDOW, 16)?;
    world.map(Client, container, 4, WINDOW_2, READ_WRITE)?;
    let squashed = world.calls(Client).allocate(container, at(0), frames(4), squash);
    same("frames squashed", pm("C squashing after the deadline", squashed)?, 4)?;
    let freed = world.calls(Client).deallocate(container, at(0), frames(4), free);
    same("frames freed", pm("C freeing after the deadline", freed)?, 4)?;
    pm("C destroying after the deadline", world.calls(Client).container_destroy(other))
}

/// Fails unless a call was refused for a lease with this deadline.
fn is_locked<R>(step: &'static str, result: Result<R, CallError>, deadline: u64) -> Outcome {
    let Failure { done, at, .. } = refused(step, result, PmError::Locked)?;
    same(step, done, 0)?;
    same("the deadline that C is told", at, deadline)
}

/// S16: "S locks, unlocks, relocks forever; C asks to unshare: revoke-pending wins: after at most
/// one max_lease C's unshare completes; no new lease granted."
pub(crate) fn s16<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    const LEASE_MAX: u64 = 800_000;
    let container = world.filled_container(Client, 2)?;
    let server = world.peer(Server);
    let lease_max = Micros::new(LEASE_MAX);
    let shared = world.calls(Client).share(container, at(0), 2, server, ALL, lease_max);
    let shared = pm("sharing", shared)?;
    let mut lease = pm("S locking", world.lock_all(Server, shared.weak, 2, LONG))?;
    for _ in 0..8 {
        pm("S unlocking", world.calls(Server).unlock(lease.lease))?;
        lease = pm("S locking again", world.lock_all(Server, shared.weak, 2, LONG))?;
    }

    let asked = world.now()?;
    let unshared = world.calls(Client).unshare(shared.share);
    let failure = refused("C unsharing", unshared, PmError::Locked)?;
    same("the deadline that C is told", failure.at, lease.deadline.get())?;
    let latest = asked.saturating_add(LEASE_MAX);
    between("the deadline", failure.at, 0, latest)?;
    let renewed = world.lock_all(Server, shared.weak, 2, LONG);
    refused("S locking once more", renewed, PmError::Revoking)?;
    pm("S unlocking", world.calls(Server).unlock(lease.lease))?;
    let renewed = world.lock_all(Server, shared.weak, 2, LONG);
    refused("S locking anew", renewed, PmError::Revoking)?;
    pm("C unsharing again", world.calls(Client).unshare(shared.share))?;

    // The same with a server that does not unlock.
    let shared = world.calls(Client).share(container, at(0), 2, server, ALL, lease_max);
    let shared = pm("sharing anew", shared)?;
    let lease = pm("S locking", world.lock_all(Server, shared.weak, 2, LONG))?;
    let unshared = world.calls(Client).unshare(shared.share);
    refused("C unsharing", unshared, PmError::Locked)?;
    world.wait_until(lease.deadline.get())?;
    pm("C unsharing after the deadline", world.calls(Client).unshare(shared.share))?;
    let late = world.lock_all(Server, shared.weak, 2, LONG);
    refused("S locking late", late, PmError::InvalidCap).map(drop)
}

/// S17: "S asks ttl far above max_lease, then renews: granted deadline = max_lease; renewal refused
/// while revoke-pending."
pub(crate) fn s17<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    const LEASE_MAX: u64 = 800_000;
    let container = world.filled_container(Client, 2)?;
    let server = world.peer(Server);
    let lease_max = Micros::new(LEASE_MAX);
    let shared = world.calls(Client).share(container, at(0), 2, server, ALL, lease_max);
    let shared = pm("sharing", shared)?;
    for _ in 0..2 {
        let before = world.now()?;
        let far = Micros::new(u64::MAX);
        let lease = pm("S locking", world.lock_all(Server, shared.weak, 2, far))?;
        let earliest = before.saturating_add(LEASE_MAX);
        let latest = world.now()?.saturating_add(LEASE_MAX);
        between("the deadline", lease.deadline.get(), earliest, latest)?;
    }
    let unshared = world.calls(Client).unshare(shared.share);
    let failure = refused("C unsharing", unshared, PmError::Locked)?;
    let renewed = world.lock_all(Server, shared.weak, 2, LONG);
    refused("S renewing", renewed, PmError::Revoking)?;
    world.wait_until(failure.at)?;
    pm("C unsharing after the deadline", world.calls(Client).unshare(shared.share))
}

/// S18: "S dies holding a lease, no pin: lease freed at S's account destroy or at deadline,
/// whichever first." And if S continues at its recovery entry, as it does not remember its leases.
pub(crate) fn s18<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let container = world.filled_container(Client, 2)?;
    let shared = world.share(Client, container, Mortal1, ALL)?;
    pm("S locking", world.lock_all(Mortal1, shared.weak, 2, LONG))?;
    let mapped = world.calls(Client).map(container, at(0), frames(2), WINDOW, READ_WRITE);
    refused("C mapping", mapped, PmError::Locked)?;
    // And with what it has taken.
    let taken = world.filled_container(Client, 3)?;
    let once = world.share_once(taken, Mortal1)?;
    pm("C arming", world.calls(Client).arm(once.share))?;
    pm("S taking", world.take(Mortal1, once.weak, WINDOW_2))?;
    refused("C confirming", world.calls(Client).disarm(once.share), PmError::Locked)?;
    let account = AccountHandle::of_peer(world.peer(Mortal1));
    world.has_died = true;
    pm("destroying S's account", world.calls(Parent).account_destroy(account))?;
    pm("C confirming after S's death", world.calls(Client).disarm(once.share))?;
    world.map(Client, container, 2, WINDOW, READ_WRITE)?;
    world.writes(Client, "C writing after S's death", WINDOW, 18)?;

    let shared = world.share(Client, container, Server, ALL)?;
    pm("S locking", world.lock_all(Server, shared.weak, 2, LONG))?;
    faults("S faulting", world.puppet(Server).store(WINDOW, 1))?;
    world.reads(Client, "C reading after S's fault", WINDOW, 18)
}

/// S22: "Two shares of one container, one locked EXCL: other share and owner Locked; unsharing the
/// *other* share succeeds."
pub(crate) fn s22<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let container = world.filled_container(Client, 2)?;
    let locked = world.share(Client, container, Server, ALL)?;
    let other = world.share(Client, container, Driver, ALL)?;
    let lease = pm("S locking", world.lock_all(Server, locked.weak, 2, LONG))?;
    let deadline = lease.deadline.get();

    let mapped = world.calls(Driver).map(other.weak, at(0), FrameCount::ONE, WINDOW, READ_WRITE);
    is_locked("the other mapping", mapped, deadline)?;
    is_locked("the other locking", world.lock_all(Driver, other.weak, 2, LONG), deadline)?;
    let mapped = world.calls(Client).map(container, at(0), frames(2), WINDOW, READ_WRITE);
    is_locked("C mapping", mapped, deadline)?;
    pm("C unsharing the other", world.calls(Client).unshare(other.share))?;
    let mapped = world.calls(Driver).map(other.weak, at(0), FrameCount::ONE, WINDOW, READ_WRITE);
    refused("the other mapping afterwards", mapped, PmError::InvalidCap)?;
    pm("S unlocking", world.calls(Server).unlock(lease.lease))?;
    world.map(Client, container, 2, WINDOW, READ_WRITE)
}

impl<T: Transport, A: AddressSpace> World<T, A> {
    /// Makes an actor lock the first frames of a container exclusively.
    pub(crate) fn lock_all(
        &mut self,
        actor: Actor,
        container: ContainerHandle,
        count: u64,
        ttl: Micros,
    ) -> Result<Lease, CallError> {
        self.calls(actor).lock(container, at(0), frames(count), EXCLUSIVE, ttl)
    }
}
