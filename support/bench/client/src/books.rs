// SPDX-License-Identifier: BSD-2-Clause
//! What pmserver takes to start, and what its books take.

use pmserver_api::AccountHandle;
use proto::PAGE_BYTES;

use crate::meter::{COUNTS_ENTRIES, instructions_of};
use crate::table::Table;
use crate::world::{BenchError, FORCED, LARGE_WINDOW, OWN, World, map, started};

const FRAMES: u64 = 2048;

/// Prints the pages of the pool and the instructions until all of it can be used.
pub(crate) fn boot(world: &mut World, table: &mut Table) -> Result<(), BenchError> {
    let [before, after] = started();
    let pool = world.pm.account_info(AccountHandle::POOL)?;
    let pages = pool.limit.get() / PAGE_BYTES;
    if !COUNTS_ENTRIES {
        let instructions = instructions_of(after.wrapping_sub(before));
        table.line(format_args!("boot pages={pages} instructions={instructions}"));
    }
    Ok(())
}

/// Prints what is charged for frames that are allocated and mapped, beside the frames themselves.
pub(crate) fn per_frame(world: &mut World, table: &mut Table) -> Result<(), BenchError> {
    let before = world.pm.account_info(OWN)?;
    let container = world.container(FRAMES, false)?;
    map(&mut world.pm, container, FRAMES, LARGE_WINDOW, FORCED)?;
    let after = world.pm.account_info(OWN)?;
    let [records, tables, slots] = [
        (before.records, after.records),
        (before.tables, after.tables),
        (before.slots, after.slots),
    ]
    .map(|(before, after)| after.get().saturating_sub(before.get()));
    if !COUNTS_ENTRIES {
        table.line(format_args!(
            "books frames={FRAMES} records={records} tables={tables} slots={slots}"
        ));
    }
    Ok(world.pm.container_destroy(container)?)
}
