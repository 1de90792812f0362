// SPDX-License-Identifier: BSD-2-Clause
//! S10: the server dies half-way.

use fsserver_api::FsError;
use pmserver_api::Rights;
use proto::{AddressSpace, Transport};

use crate::cast::Actor::Parent;
use crate::error::{Outcome, expect, fs, pm};
use crate::files::ALL_PAGES;
use crate::sabotage::Sabotage;
use crate::world::World;

/// Pages that the server writes before it dies.
const PAGES_WRITTEN: u64 = 6;

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
