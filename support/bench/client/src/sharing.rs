// SPDX-License-Identifier: BSD-2-Clause
//! What it costs to take memory back that a peer has mapped.

use crate::floors::Floors;
use crate::meter::Meter;
use crate::table::{Row, Table};
use crate::world::{BenchError, OTHER_PEER, READ_WRITE, WINDOW, World, lock, map};

const ROUNDS: u64 = 8;

pub(crate) fn run(world: &mut World, table: &mut Table, floors: &Floors) -> Result<(), BenchError> {
    let container = world.container(256, true)?;
    let (mut unsharing, mut locking) = (Meter::default(), Meter::default());
    for _ in 0..ROUNDS {
        let shared = world.share(container, 256, OTHER_PEER)?;
        map(&mut world.peer, shared.weak, 256, WINDOW, READ_WRITE)?;
        unsharing.time(|| world.pm.unshare(shared.share))?;
        let shared = world.share(container, 256, OTHER_PEER)?;
        map(&mut world.peer, shared.weak, 256, WINDOW, READ_WRITE)?;
        let lease = locking.time(|| lock(&mut world.pm, container, 256))?;
        world.pm.unlock(lease.lease)?;
        world.pm.unshare(shared.share)?;
    }
    let floor = floors.unmap.saturating_mul(256).saturating_add(floors.call);
    table.row(&Row::frames("unshare_256_mapped", 256, floor), &unsharing);
    table.row(&Row::batch("lock_256_mapped", 256, floor), &locking);
    Ok(world.pm.container_destroy(container)?)
}
