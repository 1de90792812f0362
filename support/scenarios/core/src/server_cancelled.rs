// SPDX-License-Identifier: BSD-2-Clause
//! S14: the server never answers, and the client cancels.
//!
//! A protected procedure that is never answered would block its caller, so that the scenario has
//! two halves: the server answers, but has not done the work and means to do it late; or it hangs,
//! and a supervisor ends that after the time that the client was willing to wait (design D11).

use fsserver_api::{CallError, FsError};
use pmserver_api::{DeallocateFlags, PmError, Rights};
use proto::{AddressSpace, FrameCount, FrameNumber, Micros, Transport};

use crate::error::{Outcome, ScenarioError, expect, fs, pm};
use crate::sabotage::Sabotage;
use crate::world::{CONTAINER_FRAMES, Loan, World};

/// Pages that the server writes before it hangs.
const PAGES_WRITTEN: u64 = 3;

/// How long the client waits for a server that hangs.
const PATIENCE_MICROS: u64 = 50_000;

/// "C cancels (no lease): unshare succeeds immediately; frames reusable; late S calls get
/// InvalidCap."
pub(crate) fn server_cancelled<P: Transport, F: Transport, A: AddressSpace>(
    world: &mut World<'_, P, F, A>,
) -> Outcome {
    work_not_done(world)?;
    server_hangs(world)
}

fn work_not_done<P: Transport, F: Transport, A: AddressSpace>(
    world: &mut World<'_, P, F, A>,
) -> Outcome {
    let before = world.baseline()?;
    let file = world.open_known()?;
    let loan = world.lend(Rights::READ | Rights::WRITE)?;
    world.arm(Sabotage::Skip)?;
    fs("reading", world.read_known(file, loan.shared.weak))?;
    cancel(world, &loan, 0)?;
    let late = world.call_bare(Sabotage::late_request());
    expect(
        late.label() == FsError::PmRefused.status()
            && late.registers() == [PmError::InvalidCap.status()],
        "a late call of S was not refused",
    )?;
    world.expect_contents(loan.container, 0)?;
    fs("closing", world.fs().close(file))?;
    world.expect_baseline(loan.container, &before)
}

fn server_hangs<P: Transport, F: Transport, A: AddressSpace>(
    world: &mut World<'_, P, F, A>,
) -> Outcome {
    let before = world.baseline()?;
    let file = world.open_known()?;
    let loan = world.lend(Rights::READ | Rights::WRITE)?;
    world.arm(Sabotage::HangAfter(PAGES_WRITTEN))?;
    let patience = Micros::new(PATIENCE_MICROS);
    let fsserver = world.fsserver;
    pm("announcing the call", world.pm.watch(fsserver, patience))?;
    let result = world.read_known(file, loan.shared.weak);
    pm("ending the watch", world.pm.watch(fsserver, Micros::new(0)))?;
    expect(
        result.err().and_then(|error| error.refusal()) == Some(FsError::Restarted),
        "C was not told that S was rescued",
    )?;
    cancel(world, &loan, PAGES_WRITTEN)?;
    let file = world.open_known()?;
    let late = world.read_known(file, loan.shared.weak).err();
    expect(
        late.as_ref().and_then(CallError::pm_refusal) == Some(PmError::InvalidCap),
        "a late call of S was not refused",
    )?;
    world.expect_contents(loan.container, 0)?;
    fs("closing", world.fs().close(file))?;
    world.expect_baseline(loan.container, &before)
}

/// Cancels: unshares, finds what was written, and uses the frames anew.
fn cancel<P: Transport, F: Transport, A: AddressSpace>(
    world: &mut World<'_, P, F, A>,
    loan: &Loan,
    pages_written: u64,
) -> Outcome {
    pm("cancelling", world.pm.unshare(loan.shared.share))?;
    world.expect_frames(loan.container)?;
    world.expect_contents(loan.container, pages_written)?;
    let start = FrameNumber::new(0);
    let count = FrameCount::new(CONTAINER_FRAMES);
    let count = count.ok_or(ScenarioError::Wrong("too many frames"))?;
    let strict = DeallocateFlags::STRICT;
    let freed = pm("freeing", world.pm.deallocate(loan.container, start, count, strict))?;
    expect(freed == CONTAINER_FRAMES, "not all frames could be freed")?;
    let done = pm("allocating anew", world.allocate_all(loan.container))?;
    expect(done == CONTAINER_FRAMES, "not all frames could be used anew")
}
