// SPDX-License-Identifier: BSD-2-Clause
//! S9: the read path.

use pmserver_api::{PmError, Rights};
use proto::{AddressSpace, Transport};

use crate::error::{Outcome, expect, fs, pm};
use crate::world::{ALL_PAGES, World};

/// "C lends 16 frames, S copies file data in, C unshares, maps: C sees data; container still 16
/// frames; S cap invalid; S accounts unchanged."
pub(crate) fn read_path<P: Transport, F: Transport, A: AddressSpace>(
    world: &mut World<'_, P, F, A>,
) -> Outcome {
    let before = world.baseline()?;
    let file = world.open_known()?;
    let loan = world.lend(Rights::READ | Rights::WRITE | Rights::LOCK)?;
    let bytes = fs("reading", world.read_known(file, loan.shared.weak))?;
    World::<P, F, A>::expect_known_length(bytes)?;
    pm("unsharing", world.pm.unshare(loan.shared.share))?;

    world.expect_server_account(&before)?;
    world.expect_frames(loan.container)?;
    world.expect_contents(loan.container, ALL_PAGES)?;
    let refusal = world.read_known(file, loan.shared.weak).err();
    expect(
        refusal.and_then(|error| error.pm_refusal()) == Some(PmError::InvalidCap),
        "S's handle is still valid after unshare",
    )?;
    world.expect_contents(loan.container, ALL_PAGES)?;
    fs("closing", world.fs().close(file))?;
    world.expect_baseline(loan.container, &before)
}
