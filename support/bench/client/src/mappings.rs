// SPDX-License-Identifier: BSD-2-Clause
//! Mappings and grants of memory that frames have, or that they get when they are mapped.

use pmserver_api::MapFlags;
use proto::VirtAddr;
use proto::limits::LARGE_FRAMES;

use crate::floors::Floors;
use crate::meter::{Meter, ROUNDS};
use crate::table::{Row, Table};
use crate::world::{
    BenchError, FORCED, LARGE_WINDOW, OWN, READ_WRITE, WINDOW, World, at, frames, map, page, stock,
    unmap,
};

const GRANTS: u64 = 128;
const ROUNDS_OF_MANY: u64 = 8;

pub(crate) fn run(world: &mut World, table: &mut Table, floors: &Floors) -> Result<(), BenchError> {
    // Behind the page that is mapped for good.
    let window = page(WINDOW, 256);
    let [map_floor, unmap_floor] =
        [floors.map, floors.unmap].map(|each| each.saturating_mul(256).saturating_add(floors.call));
    let rows = [Row::frames("map_256", 256, map_floor), Row::frames("unmap_256", 256, unmap_floor)];
    bound(world, table, rows, window)?;
    // Numbers and addresses that differ by one: seven of eight pages are in one record.
    let rows = [
        Row::frames("map_256_unaligned", 256, map_floor),
        Row::frames("unmap_256_unaligned", 256, unmap_floor),
    ];
    bound(world, table, rows, page(WINDOW, 1))?;
    let [map_floor, unmap_floor] =
        [floors.map_large, floors.unmap_large].map(|each| each.saturating_add(floors.call));
    let rows = [
        Row { batch: 512, ..Row::call("map_2m", map_floor) },
        Row { batch: 512, ..Row::call("unmap_2m", unmap_floor) },
    ];
    bound(world, table, rows, LARGE_WINDOW)?;
    large_anew(world, table, floors)?;
    unbound(world, table, floors, window)?;
    grants(world, table, floors)
}

fn bound(
    world: &mut World,
    table: &mut Table,
    [map_row, unmap_row]: [Row; 2],
    window: VirtAddr,
) -> Result<(), BenchError> {
    let count = map_row.batch;
    let container = world.container(count, true)?;
    let (mut mapping, mut unmapping) = (Meter::default(), Meter::default());
    for _ in 0..ROUNDS_OF_MANY {
        mapping.time(|| map(&mut world.pm, container, count, window, READ_WRITE))?;
        unmapping.time(|| unmap(&mut world.pm, window, count))?;
    }
    table.row(&map_row, &mapping);
    table.row(&unmap_row, &unmapping);
    Ok(world.pm.container_destroy(container)?)
}

/// A large frame, with a call after each unmap that tells what is charged: then nothing is kept for
/// the next map, and the second row has the call in it.
fn large_anew(world: &mut World, table: &mut Table, floors: &Floors) -> Result<(), BenchError> {
    let container = world.container(LARGE_FRAMES, true)?;
    let (mut mapping, mut unmapping) = (Meter::default(), Meter::default());
    for _ in 0..ROUNDS_OF_MANY {
        mapping.time(|| map(&mut world.pm, container, LARGE_FRAMES, LARGE_WINDOW, READ_WRITE))?;
        unmapping.time(|| -> Result<_, BenchError> {
            unmap(&mut world.pm, LARGE_WINDOW, LARGE_FRAMES)?;
            Ok(world.pm.account_info(OWN)?)
        })?;
    }
    let map_floor = floors.map_large.saturating_add(floors.call);
    let unmap_floor = floors.unmap_large.saturating_add(floors.call.saturating_mul(2));
    table.row(&Row::batch("map_2m_anew", LARGE_FRAMES, map_floor), &mapping);
    table.row(&Row::batch("unmap_2m_and_info", LARGE_FRAMES, unmap_floor), &unmapping);
    Ok(world.pm.container_destroy(container)?)
}

/// The frames have no memory and get some: fresh, as the pool has much of it; and then such as was
/// made clean frames before.
fn unbound(
    world: &mut World,
    table: &mut Table,
    floors: &Floors,
    window: VirtAddr,
) -> Result<(), BenchError> {
    let each = floors.map.saturating_add(floors.retype);
    let floor = each.saturating_mul(256).saturating_add(floors.call);
    let mut meter = Meter::default();
    for _ in 0..4 {
        let container = world.container(256, false)?;
        meter.time(|| map(&mut world.pm, container, 256, window, FORCED))?;
        unmap(&mut world.pm, window, 256)?;
        world.pm.container_destroy(container)?;
    }
    table.row(&Row::frames("map_256_unbound", 256, floor), &meter);
    let mut meter = Meter::default();
    for _ in 0..4 {
        stock(&mut world.pm)?;
        let container = world.container(256, false)?;
        meter.time(|| map(&mut world.pm, container, 256, window, FORCED))?;
        unmap(&mut world.pm, window, 256)?;
        world.pm.container_destroy(container)?;
    }
    let floor = floors.map.saturating_mul(256).saturating_add(floors.call);
    table.row(&Row::frames("map_256_stocked", 256, floor), &meter);
    Ok(())
}

/// With the last grant the CNode goes, and it comes with the first.
fn grants(world: &mut World, table: &mut Table, floors: &Floors) -> Result<(), BenchError> {
    let container = world.container(GRANTS, true)?;
    let (mut granting, mut ungranting) = (Meter::default(), Meter::default());
    for _ in 0..ROUNDS {
        let granted =
            granting.time(|| world.pm.grant(container, at(0), frames(GRANTS), MapFlags::READ))?;
        if granted.count != GRANTS {
            return Err(BenchError::Unexpected("fewer grants"));
        }
        ungranting.time(|| world.pm.ungrant(granted.address, frames(GRANTS)))?;
    }
    let [copy, delete] = [floors.copy_capability, floors.delete_capability]
        .map(|each| each.saturating_mul(GRANTS).saturating_add(floors.call));
    table.row(&Row::frames("grant_128", GRANTS, copy), &granting);
    table.row(&Row::frames("ungrant_128", GRANTS, delete), &ungranting);
    Ok(world.pm.container_destroy(container)?)
}
