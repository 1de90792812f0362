// SPDX-License-Identifier: BSD-2-Clause
//! S10, S53: the server dies half-way, and recovers or does not.

use fsserver_api::FsError;
use pmserver_api::{LockMode, PmError, Rights};
use proto::{AddressSpace, Transport, VirtAddr};

use crate::cast::Actor::{Client, Mortal4, Parent};
use crate::error::{Outcome, expect, fs, pm, refused, same, stopped};
use crate::files::ALL_PAGES;
use crate::sabotage::Sabotage;
use crate::world::{LONG, READ_WRITE, WINDOW, World, at, frames, pages, vaddr};

/// Pages that the server writes before it dies.
const PAGES_WRITTEN: u64 = 6;

/// An address that is mapped in no actor.
const NOWHERE: VirtAddr = vaddr(0x3F00_0000);

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
