// SPDX-License-Identifier: BSD-2-Clause
//! Calls that change books only.

use pmserver_api::CopyFlags;

use crate::floors::Floors;
use crate::meter::{Meter, ROUNDS};
use crate::table::{Row, Table};
use crate::world::{
    BenchError, FSSERVER_PEER, LARGE_WINDOW, OWN, READ_WRITE, World, allocate, at, deallocate,
    frames, lock, sweep,
};

pub(crate) fn run(world: &mut World, table: &mut Table, floors: &Floors) -> Result<(), BenchError> {
    let call = floors.call;
    empty(world, table, call)?;
    containers(world, table, call)?;
    shares(world, table, call)?;
    for (name, count) in [
        ("allocate_deallocate_1", 1),
        ("allocate_deallocate_256", 256),
        ("allocate_deallocate_512", 512),
    ] {
        allocations(world, table, Row::batch(name, count, call.saturating_mul(2)))?;
    }
    locks(world, table, call)?;
    copies(world, table, floors)
}

fn empty(world: &mut World, table: &mut Table, call: u64) -> Result<(), BenchError> {
    let (mut version, mut info) = (Meter::default(), Meter::default());
    for _ in 0..ROUNDS {
        version.time(|| world.pm.version())?;
        info.time(|| world.pm.account_info(OWN))?;
    }
    table.row(&Row::call("call_empty", call), &version);
    table.row(&Row::call("account_info", call), &info);
    Ok(())
}

fn containers(world: &mut World, table: &mut Table, call: u64) -> Result<(), BenchError> {
    let (mut create, mut destroy) = (Meter::default(), Meter::default());
    for _ in 0..ROUNDS {
        let container = create.time(|| world.pm.container_create(OWN))?;
        destroy.time(|| world.pm.container_destroy(container))?;
    }
    table.row(&Row::call("container_create", call), &create);
    table.row(&Row::call("container_destroy", call), &destroy);
    Ok(())
}

/// Nothing is mapped.
fn shares(world: &mut World, table: &mut Table, call: u64) -> Result<(), BenchError> {
    let container = world.container(16, true)?;
    let (mut share, mut unshare) = (Meter::default(), Meter::default());
    let (mut attach, mut unlock) = (Meter::default(), Meter::default());
    for _ in 0..ROUNDS {
        let shared = share.time(|| world.share(container, 16, FSSERVER_PEER))?;
        unshare.time(|| world.pm.unshare(shared.share))?;
        attach.time(|| world.pm.attach(container, at(0), 16, LARGE_WINDOW, READ_WRITE))?;
        world.pm.detach(LARGE_WINDOW)?;
        let lease = lock(&mut world.pm, container, 16)?;
        unlock.time(|| world.pm.unlock(lease.lease))?;
    }
    table.row(&Row::call("share", call), &share);
    table.row(&Row::call("unshare", call), &unshare);
    table.row(&Row::call("attach", call), &attach);
    table.row(&Row::call("unlock", call), &unlock);
    Ok(world.pm.container_destroy(container)?)
}

fn allocations(world: &mut World, table: &mut Table, row: Row) -> Result<(), BenchError> {
    let container = world.container(1000, false)?;
    let other = world.pm.container_create(OWN)?;
    let mut meter = Meter::default();
    for _ in 0..ROUNDS {
        meter.time(|| {
            allocate(&mut world.pm, other, row.batch)?;
            deallocate(&mut world.pm, other, row.batch)
        })?;
    }
    table.row(&row, &meter);
    world.pm.container_destroy(other)?;
    Ok(world.pm.container_destroy(container)?)
}

fn locks(world: &mut World, table: &mut Table, call: u64) -> Result<(), BenchError> {
    let container = world.container(256, true)?;
    let mut meter = Meter::default();
    for _ in 0..ROUNDS {
        let lease = meter.time(|| lock(&mut world.pm, container, 256))?;
        world.pm.unlock(lease.lease)?;
    }
    table.row(&Row::batch("lock_256_unmapped", 256, call), &meter);
    Ok(world.pm.container_destroy(container)?)
}

/// The destination has no memory. What is compared with is to copy the bytes.
fn copies(world: &mut World, table: &mut Table, floors: &Floors) -> Result<(), BenchError> {
    for (name, count) in [("copy_replace_256", 256), ("copy_replace_2m", 512)] {
        let source = world.container(count, true)?;
        let mut meter = Meter::default();
        for _ in 0..8 {
            let destination = world.container(count, false)?;
            meter.time(|| {
                sweep(count, |done, more| {
                    let (from, to) = ((source, at(done)), (destination, at(done)));
                    world.pm.copy(from, to, frames(more.get()), CopyFlags::empty())
                })
            })?;
            world.pm.container_destroy(destination)?;
        }
        table.row(&Row::batch(name, count, floors.copy_page.saturating_mul(count)), &meter);
        world.pm.container_destroy(source)?;
    }
    Ok(())
}
