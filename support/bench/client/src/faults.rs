// SPDX-License-Identifier: BSD-2-Clause
//! Faults that pmserver repairs.

use pmserver_api::{ContainerHandle, CopyFlags};
use proto::VirtAddr;

use crate::floors::Floors;
use crate::meter::Meter;
use crate::table::{Row, Table};
use crate::world::{
    BenchError, FORCED, LARGE_WINDOW, READ_WRITE, SECOND_WINDOW, World, at, frames, map, page,
    stock, store, sweep, touch, unmap,
};

const PAGES: u64 = 64;
const ROUNDS: u64 = 8;

pub(crate) fn run(world: &mut World, table: &mut Table, floors: &Floors) -> Result<(), BenchError> {
    region(world, table, floors)?;
    lone(world, table, floors)?;
    run_of_pages(world, table, floors)?;
    copy_on_write(world, table, floors)
}

/// Loads from a region, in order; the frames have memory.
fn region(world: &mut World, table: &mut Table, floors: &Floors) -> Result<(), BenchError> {
    let container = world.container(PAGES, true)?;
    let floor = floors.fault_and_map.saturating_mul(PAGES);
    let row = Row { faults: PAGES, ..Row::frames("fault_region", PAGES, floor) };
    attached(world, table, (container, row), |window| touch(window, PAGES))
}

/// Loads from a region, in an order in which none follows the last one. The frames have got memory
/// eight at a time.
fn lone(world: &mut World, table: &mut Table, floors: &Floors) -> Result<(), BenchError> {
    let container = world.container(PAGES, false)?;
    let window = page(SECOND_WINDOW, PAGES);
    for number in (0..PAGES).step_by(8) {
        world.pm.map(container, at(number), frames(8), page(window, number), FORCED)?;
    }
    unmap(&mut world.pm, window, PAGES)?;
    let floor = floors.fault_and_map.saturating_mul(PAGES);
    let row = Row { faults: PAGES, ..Row::frames("fault_lone", PAGES, floor) };
    attached(world, table, (container, row), |window| {
        (0..PAGES).rev().for_each(|number| touch(page(window, number), 1));
    })
}

/// Loads one page of 64 that got memory at once: all of them are mapped.
fn run_of_pages(world: &mut World, table: &mut Table, floors: &Floors) -> Result<(), BenchError> {
    let container = world.container(PAGES, true)?;
    let maps = floors.map.saturating_mul(PAGES.saturating_sub(1));
    let floor = floors.fault_and_map.saturating_add(maps);
    let row = Row { faults: 1, ..Row::frames("fault_run", PAGES, floor) };
    attached(world, table, (container, row), |window| touch(page(window, PAGES / 2), 1))
}

/// Measures loads from a region on all pages of a container, which is destroyed then.
fn attached(
    world: &mut World,
    table: &mut Table,
    (container, row): (ContainerHandle, Row),
    load: impl Fn(VirtAddr),
) -> Result<(), BenchError> {
    let window = page(SECOND_WINDOW, PAGES);
    let mut meter = Meter::default();
    for _ in 0..ROUNDS {
        world.pm.attach(container, at(0), 64, window, READ_WRITE)?;
        meter.time(|| load(window));
        world.pm.detach(window)?;
    }
    table.row(&row, &meter);
    Ok(world.pm.container_destroy(container)?)
}

/// Stores to pages that share their memory with a copy: to each of some, and to one of a large
/// frame.
fn copy_on_write(world: &mut World, table: &mut Table, floors: &Floors) -> Result<(), BenchError> {
    let mappings = floors.unmap.saturating_mul(2).saturating_add(floors.map);
    let each = floors.fault_and_map.saturating_add(mappings).saturating_add(floors.copy_page);
    let row = Row::frames("cow_break_4k", PAGES, each.saturating_mul(PAGES));
    stores_to_copies(world, table, row, (page(SECOND_WINDOW, 1), PAGES))?;
    stores_to_copies(world, table, Row::batch("cow_break_2m", 512, each), (LARGE_WINDOW, 1))
}

/// Stores to the first pages of copies, which are mapped in a window.
fn stores_to_copies(
    world: &mut World,
    table: &mut Table,
    row: Row,
    (window, pages): (VirtAddr, u64),
) -> Result<(), BenchError> {
    let source = world.container(row.batch, true)?;
    let mut meter = Meter::default();
    for _ in 0..ROUNDS {
        let copy = world.container(row.batch, false)?;
        sweep(row.batch, |done, more| {
            world.pm.copy((source, at(done)), (copy, at(done)), more, CopyFlags::empty())?;
            Ok(more.get())
        })?;
        map(&mut world.pm, copy, row.batch, window, READ_WRITE)?;
        stock(&mut world.pm)?;
        meter.time(|| store(window, pages));
        unmap(&mut world.pm, window, row.batch)?;
        world.pm.container_destroy(copy)?;
    }
    let copied = pages.saturating_mul(proto::PAGE_BYTES);
    table.row(&Row { faults: pages, copied, ..row }, &meter);
    Ok(world.pm.container_destroy(source)?)
}
