// SPDX-License-Identifier: BSD-2-Clause
//! What pmserver takes to start, and what its books take.

use pmserver_api::AccountHandle;
use proto::PAGE_BYTES;

use crate::meter::{COUNTS_ENTRIES, instructions_of};
use crate::table::Table;
use crate::world::{BenchError, FORCED, LARGE_WINDOW, OWN, World, at, page, started, sweep};

const FRAMES: u64 = 2048;

/// The frames of one call.
const PART: usize = 256;
const PART_FRAMES: u64 = 256;

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
    // Half of what would become a large frame at a time.
    for first in (0..FRAMES).step_by(PART) {
        sweep(PART_FRAMES, |done, more| {
            let (start, place) = (first.saturating_add(done), LARGE_WINDOW);
            let mapped = world.pm.map(container, at(start), more, page(place, start), FORCED);
            mapped.map(|mapped| mapped.count)
        })?;
    }
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
