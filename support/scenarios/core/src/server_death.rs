// SPDX-License-Identifier: BSD-2-Clause
//! S10: the server dies half-way.

use fsserver_api::FsError;
use pmserver_api::Rights;
use proto::{AddressSpace, Transport};

use crate::error::{Outcome, expect, fs, pm};
use crate::sabotage::Sabotage;
use crate::world::{ALL_PAGES, World};

/// Pages that the server writes before it dies.
const PAGES_WRITTEN: u64 = 6;

/// "S dies half-way through the copy: C unshares at once; frames already written keep data, others
/// zero; no leak in S or C accounts." And, as design D11 has it: C's call is answered, and S serves
/// on.
pub(crate) fn server_death<P: Transport, F: Transport, A: AddressSpace>(
    world: &mut World<'_, P, F, A>,
) -> Outcome {
    let before = world.baseline()?;
    let file = world.open_known()?;
    let loan = world.lend(Rights::READ | Rights::WRITE | Rights::LOCK)?;
    world.arm(Sabotage::FaultAfter(PAGES_WRITTEN))?;
    let refusal = world.read_known(file, loan.shared.weak).err();
    expect(
        refusal.and_then(|error| error.refusal()) == Some(FsError::Restarted),
        "C was not told that S was restarted",
    )?;
    pm("unsharing at once", world.pm.unshare(loan.shared.share))?;

    world.expect_server_account(&before)?;
    world.expect_frames(loan.container)?;
    world.expect_contents(loan.container, PAGES_WRITTEN)?;
    let refusal = world.fs().stat(file).err();
    expect(
        refusal.and_then(|error| error.refusal()) == Some(FsError::BadHandle),
        "S still knows a handle of before its restart",
    )?;

    let file = world.open_known()?;
    let shared = pm("sharing again", world.share(loan.container, Rights::READ | Rights::WRITE))?;
    fs("reading after the restart", world.read_known(file, shared.weak))?;
    pm("unsharing again", world.pm.unshare(shared.share))?;
    world.expect_contents(loan.container, ALL_PAGES)?;
    fs("closing", world.fs().close(file))?;
    world.expect_baseline(loan.container, &before)
}
