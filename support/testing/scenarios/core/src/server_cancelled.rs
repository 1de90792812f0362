// SPDX-License-Identifier: BSD-2-Clause
//! S14: the server never answers, and the client cancels.
//!
//! A protected procedure that is never answered would block its caller. So the scenario has two
//! halves: the server answers without having done the work, and tries to do it later; or it hangs,
//! and a supervisor ends that after the time that the client was willing to wait.

use fsserver_api::{CallError, FsError};
use pmserver_api::{DeallocateFlags, PmError, Rights};
use proto::{AddressSpace, Micros, Transport};

use crate::cast::Actor::Parent;
use crate::error::{Outcome, expect, fs, pm, same};
use crate::files::{CONTAINER_FRAMES, Loan};
use crate::sabotage::Sabotage;
use crate::world::{World, at, frames};

/// Pages that the server writes before it hangs.
const PAGES_WRITTEN: u64 = 3;

/// How long the client waits for a server that hangs.
const PATIENCE_MICROS: u64 = 50_000;

/// S14: "C cancels (no lease): unshare succeeds immediately; frames reusable; late S calls get
/// InvalidCap."
pub(crate) fn s14<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    work_not_done(world)?;
    server_hangs(world)
}

fn work_not_done<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let file = world.open_known()?;
    let loan = world.lend(Rights::READ | Rights::WRITE | Rights::LOCK)?;
    world.files.arm(Sabotage::Skip)?;
    fs("reading", world.files.read_known(file, loan.shared.weak))?;
    cancel(world, &loan, 0)?;
    let late = world.files.call_bare(Sabotage::late_request());
    expect(
        late.label() == FsError::PmRefused.status()
            && late.registers() == [PmError::InvalidCap.status()],
        "a late call of S was not refused",
    )?;
    world.expect_contents(loan.container, 0)?;
    fs("closing", world.files.client().close(file))
}

fn server_hangs<T: Transport, A: AddressSpace>(world: &mut World<T, A>) -> Outcome {
    let file = world.open_known()?;
    let loan = world.lend(Rights::READ | Rights::WRITE | Rights::LOCK)?;
    world.files.arm(Sabotage::HangAfter(PAGES_WRITTEN))?;
    let patience = Micros::new(PATIENCE_MICROS);
    let fsserver = world.files.peer;
    pm("announcing the call", world.calls(Parent).watch(fsserver, patience))?;
    let result = world.files.read_known(file, loan.shared.weak);
    pm("ending the watch", world.calls(Parent).watch(fsserver, Micros::new(0)))?;
    expect(
        result.err().and_then(|error| error.refusal()) == Some(FsError::Restarted),
        "C was not told that S was rescued",
    )?;
    cancel(world, &loan, PAGES_WRITTEN)?;
    let file = world.open_known()?;
    let late = world.files.read_known(file, loan.shared.weak).err();
    expect(
        late.as_ref().and_then(CallError::pm_refusal) == Some(PmError::InvalidCap),
        "a late call of S was not refused",
    )?;
    world.expect_contents(loan.container, 0)?;
    fs("closing", world.files.client().close(file))
}

/// Cancels: unshares, checks what was written, and reuses the frames.
fn cancel<T: Transport, A: AddressSpace>(
    world: &mut World<T, A>,
    loan: &Loan,
    pages_written: u64,
) -> Outcome {
    pm("cancelling", world.calls(Parent).unshare(loan.shared.share))?;
    world.expect_frames(loan.container)?;
    world.expect_contents(loan.container, pages_written)?;
    let all = frames(CONTAINER_FRAMES);
    let strict = DeallocateFlags::STRICT;
    let freed = pm("freeing", world.calls(Parent).deallocate(loan.container, at(0), all, strict))?;
    same("frames freed", freed, CONTAINER_FRAMES)?;
    world.allocate(Parent, loan.container, CONTAINER_FRAMES)
}
