// SPDX-License-Identifier: BSD-2-Clause
//! S10, S53, S61, S62: the server dies half-way, and recovers or does not.

use fsserver_api::{CallError, FsError};
use pmserver_api::{Disturbance, LockMode, PmError, Rights};
use proto::{AddressSpace, ProtocolError, Transport, VirtAddr};

use crate::cast::Actor::{Client, Mortal4, Mortal9, Mortal10, Parent};
use crate::error::{Outcome, between, expect, fs, pm, refused, same, stopped};
use crate::files::ALL_PAGES;
use crate::sabotage::Sabotage;
use crate::world::{LONG, READ_WRITE, WINDOW, World, at, frames, pages, vaddr};

/// Pages that the server writes before it dies.
const PAGES_WRITTEN: u64 = 6;

/// An address that is mapped in no actor.
const NOWHERE: VirtAddr = vaddr(0x3F00_0000);

/// A time in which nobody has waited for anything.
const AT_ONCE_MICROS: u64 = 200_000;

/// S10: "S dies half-way through the copy: C unshares at once; frames already written keep data,
/// others zero; no leak in S or C accounts." And C's call is answered with `Restarted`, and S
/// serves on.
pub(crate) fn s10<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let before = world.fsserver_account()?;
    let file = world.open_known()?;
    let loan = world.lend(Rights::READ | Rights::WRITE | Rights::LOCK)?;
    world.files.arm(Sabotage::FaultAfter(PAGES_WRITTEN))?;
    let refusal = world.files.read_known(file, loan.shared.weak).err();
    expect(
        refusal.and_then(|error| error.refusal()) == Some(FsError::Restarted),
        "C was not told that S was restarted",
    )?;
    pm("unsharing at once", world.calls(Parent).unshare(loan.shared.share))?;

    expect(world.fsserver_account()? == before, "the account of S is not what it was")?;
    world.expect_frames(loan.container)?;
    world.expect_contents(loan.container, PAGES_WRITTEN)?;
    let refusal = world.files.client().stat(file).err();
    expect(
        refusal.and_then(|error| error.refusal()) == Some(FsError::BadHandle),
        "S still knows a handle of before its restart",
    )?;

    let file = world.open_known()?;
    let shared = world.lend_again(loan.container, Rights::READ | Rights::WRITE | Rights::LOCK)?;
    fs("reading after the restart", world.files.read_known(file, shared.weak))?;
    pm("unsharing again", world.calls(Parent).unshare(shared.share))?;
    world.expect_contents(loan.container, ALL_PAGES)?;
    fs("closing", world.files.client().close(file))
}

/// S53: S faults in a call, and again at its recovery entry: the caller is answered, as is whoever
/// calls S afterwards; what S held is free.
pub(crate) fn s53<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let container = world.filled_container(Client, 2)?;
    let shared = world.share(Client, container, Mortal4, Rights::all())?;
    world.map(Mortal4, shared.weak, 2, WINDOW, READ_WRITE)?;
    pm("S locking", world.lock_all(Mortal4, shared.weak, 2, LONG))?;
    let registered = world.calls(Mortal4).register_recovery(NOWHERE, NOWHERE);
    pm("S naming an entry where nothing is", registered)?;

    stopped("calling S as it dies", world.puppet(Mortal4).store(NOWHERE, 1))?;
    for _ in 0..3 {
        stopped("calling S when it is dead", world.puppet(Mortal4).load(WINDOW))?;
    }
    let locked = world.calls(Client).lock(container, at(0), frames(2), LockMode::Exclusive, LONG);
    let lease = pm("C locking what S had locked", locked)?;
    pm("C unlocking", world.calls(Client).unlock(lease.lease))?;
    world.bury()?;
    let peer = world.peer(Mortal4);
    let again = world.calls(Client).share(container, at(0), 2, peer, Rights::READ, LONG);
    refused("sharing with the dead", again, PmError::Invalid)?;
    same("what is still charged to S", pages(world.account(Mortal4)?.used), 0)
}

/// S61: S goes on where its own data is, in a mapping that was taken away, or in a region: a fault
/// that no mapping cures, as neither was asked for with EXECUTE. S is stopped, and not sent on.
pub(crate) fn s61<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    for server in [Mortal9, Mortal10] {
        let container = world.filled_container(server, 1)?;
        if server == Mortal9 {
            world.map(server, container, 1, WINDOW, READ_WRITE)?;
            world.writes(server, "S using its page", WINDOW, 61)?;
            world.disturb(Disturbance::Unmap)?;
        } else {
            world.attach(server, container, 1, WINDOW)?;
        }
        let registered = world.calls(server).register_recovery(WINDOW, WINDOW);
        pm("S naming an entry where its data is", registered)?;
        let start = world.now()?;
        stopped("calling S as it dies", world.puppet(server).store(NOWHERE, 1))?;
        stopped("calling S when it is dead", world.puppet(server).load(WINDOW))?;
        between("when that was", world.now()?, start, start.saturating_add(AT_ONCE_MICROS))?;
        world.bury()?;
        same("what is still charged to S", pages(world.account(server)?.used), 0)?;
    }
    Ok(())
}

/// S62: the file server dies half-way through the copy, and again where it recovers: C is answered,
/// then and from now on, and has at once what it had lent. The last scenario: S is gone.
pub(crate) fn s62<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let file = world.open_known()?;
    let loan = world.lend(Rights::READ | Rights::WRITE | Rights::LOCK)?;
    world.files.arm(Sabotage::DieAfter(PAGES_WRITTEN))?;
    let start = world.now()?;
    let is_stopped = |error: Option<CallError>| {
        let is_it = error == Some(CallError::Protocol(ProtocolError::Stopped));
        expect(is_it, "C was not told that S was stopped")
    };
    is_stopped(world.files.read_known(file, loan.shared.weak).err())?;
    is_stopped(world.files.client().stat(file).err())?;
    is_stopped(world.files.client().close(file).err())?;
    between("when that was", world.now()?, start, start.saturating_add(AT_ONCE_MICROS))?;
    pm("unsharing at once", world.calls(Parent).unshare(loan.shared.share))?;
    world.bury()?;
    world.fsserver_has_died = true;
    world.expect_frames(loan.container)?;
    world.expect_contents(loan.container, PAGES_WRITTEN)?;
    same("what is still charged to S", pages(world.fsserver_account()?.used), 0)
}
