// SPDX-License-Identifier: BSD-2-Clause
//! S49: one client that makes objects without end.

use pmserver_api::{
    AccountHandle, AccountRights, CallError, ContainerHandle, LimitFlags, LockMode, PmError, Rights,
};
use proto::{AddressSpace, FrameCount, Transport};

use crate::cast::Actor::{Client, Driver, Parent, Server};
use crate::error::{Outcome, ScenarioError, between, pm, refused, same};
use crate::world::{LONG, READ_WRITE, WINDOW, World, at, frames, pages};

/// More than any account here can pay for.
const WITHOUT_END: u32 = 10_000;
/// Containers on which leases are taken.
const LOCKED: usize = 6;

/// S49: "cap exhaustion: C creates containers, shares, leases without end: QuotaExceeded on C's
/// account; other clients' latency and success unaffected." A peer has at most 64 leases, so leases
/// may be refused for their number first.
pub(crate) fn s49<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    containers(world)?;
    others_go_on(world)?;
    shares(world)?;
    others_go_on(world)?;
    leases(world)?;
    others_go_on(world)
}

/// Makes an account of few pages for the client.
fn poor_account<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
) -> Outcome<(AccountHandle, AccountHandle)> {
    let account = world.split(AccountHandle::OWN, 8, LimitFlags::empty())?;
    let lent = world.lend_account(account, Client, AccountRights::ALLOCATE)?;
    Ok((account, lent))
}

/// Repeats a call until it is refused. Returns how often it succeeded, and the refusal.
fn until_refused<R>(mut step: impl FnMut() -> Result<R, CallError>) -> (u32, Result<R, CallError>) {
    let mut times = 0;
    loop {
        match step() {
            Ok(_) if times < WITHOUT_END => times = times.saturating_add(1),
            result => return (times, result),
        }
    }
}

fn containers<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let (account, lent) = poor_account(world)?;
    let (made, refusal) = until_refused(|| world.calls(Client).container_create(lent));
    refused("making containers without end", refusal, PmError::QuotaExceeded)?;
    between("containers made", made.into(), 8, 8 * 64)?;
    same("what they cost", pages(world.info(account)?.used), 8)?;
    // Destroying them one by one would take long: destroying their account destroys all.
    pm("destroying the account", world.calls(Parent).account_destroy(account))
}

fn shares<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let (account, lent) = poor_account(world)?;
    let server = world.peer(Server);
    let mut made: u32 = 0;
    loop {
        let container = world.calls(Client).container_create(lent);
        let Ok(container) = container else {
            refused("making a container to share", container, PmError::QuotaExceeded)?;
            break;
        };
        let share = || world.calls(Client).share(container, at(0), 1, server, Rights::READ, LONG);
        let (times, refusal) = until_refused(share);
        made = made.saturating_add(times);
        match refusal.err().and_then(|error| error.refusal()) {
            Some(PmError::TooMany) => {}
            Some(PmError::QuotaExceeded) => break,
            _ => return Err(ScenarioError::Wrong("shares without end are not refused")),
        }
    }
    between("shares made", made.into(), 16, 8 * 64)?;
    same("what they cost", pages(world.info(account)?.used), 8)?;
    pm("destroying the account", world.calls(Parent).account_destroy(account))
}

fn leases<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let mut containers: [Option<ContainerHandle>; LOCKED] = [None; LOCKED];
    for place in &mut containers {
        *place = Some(world.filled_container(Client, 1)?);
    }
    let used = pages(world.account(Client)?.used);
    world.limit(Client, used, LimitFlags::empty())?;
    let mut made: u32 = 0;
    for container in containers.into_iter().flatten() {
        let lock = || {
            let mode = LockMode::Read;
            world.calls(Client).lock(container, at(0), FrameCount::ONE, mode, LONG)
        };
        let (times, refusal) = until_refused(lock);
        made = made.saturating_add(times);
        match refusal.err().and_then(|error| error.refusal()) {
            Some(PmError::TooMany) => {}
            Some(PmError::QuotaExceeded) => break,
            _ => return Err(ScenarioError::Wrong("leases without end are not refused")),
        }
    }
    between("leases made", made.into(), 0, 64)?;
    same("what they cost beyond the limit", pages(world.account(Client)?.used), used)
}

/// The others can still do everything.
fn others_go_on<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    for other in [Server, Driver] {
        let container = world.filled_container(other, 16)?;
        world.map(other, container, 16, WINDOW, READ_WRITE)?;
        world.writes(other, "another working", WINDOW, 49)?;
        let lease = pm("another locking", world.lock_all(other, container, 16, LONG))?;
        world.reads(other, "another under its lease", WINDOW, 49)?;
        pm("another unlocking", world.calls(other).unlock(lease.lease))?;
        same("pages unmapped", pm("unmapping", world.calls(other).unmap(WINDOW, frames(16)))?, 16)?;
        pm("another destroying", world.calls(other).container_destroy(container))?;
    }
    Ok(())
}
