// SPDX-License-Identifier: BSD-2-Clause
//! What pmserver takes to start, and what its books take.

use pmserver_api::{AccountHandle, Book, BookRow, PageState, PagesRow, Parts};
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

/// Returns how many pages pmserver has for itself, whatever the others are used for.
fn reserved(world: &mut World) -> Result<u64, BenchError> {
    let mut cursor = 0;
    loop {
        let mut parts = Parts::default();
        let mut next = cursor;
        for (place, part) in parts.iter_mut().zip(0..Book::Pages.parts()) {
            let row = world.pm.inspect(Book::Pages, cursor, part)?;
            (*place, next) = (row.words, row.cursor);
        }
        match PagesRow::from_parts(next, &parts) {
            // They are the first pages of the pool.
            Some(row) if row.state == PageState::Reserved => cursor = next,
            _ => return Ok(cursor),
        }
    }
}

/// Prints what is charged for frames that are allocated and mapped, beside the frames themselves,
/// and what pmserver has for itself.
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
    let own = reserved(world)?.saturating_mul(PAGE_BYTES);
    if !COUNTS_ENTRIES {
        table.line(format_args!(
            "books frames={FRAMES} records={records} tables={tables} slots={slots} own={own}"
        ));
    }
    Ok(world.pm.container_destroy(container)?)
}
