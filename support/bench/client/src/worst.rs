// SPDX-License-Identifier: BSD-2-Clause
//! The longest call. `pmserver/core/tests/suite/worst_cases.rs` provokes the worst case of every
//! operation; these are the worst of them, as one call each.

use pmserver_api::{
    ContainerHandle, CopyFlags, DeallocateFlags, FrameList, LockMode, Rights, ShareTerms,
};
use proto::limits::CALL_WORK_MAX;
use proto::{PeerId, VirtAddr};

use crate::meter::{COUNTS_ENTRIES, Meter};
use crate::table::{Row, Table};
use crate::world::{
    BenchError, FORCED, LONG, OTHER_PEER, OWN, World, at, frames, map, page, sweep, unmap,
};

/// Frames that can be one memory, and mappings that each can have.
const HOLDERS: u64 = 8;
const MAPPINGS: u64 = 4;
/// Where these are.
const WINDOW: VirtAddr = VirtAddr::new_page(0x1200_0000).unwrap();
/// Frames that one call can gather.
const GATHERED: u64 = 13;

/// Measures one call.
type Provoke = fn(&mut World, &mut Meter) -> Result<(), BenchError>;

pub(crate) fn run(world: &mut World, table: &mut Table) -> Result<(), BenchError> {
    let worst: [Provoke; 4] = [gather, lock, deallocate, make_copies];
    let mut longest = Meter::default();
    for provoke in worst {
        let mut meter = Meter::default();
        provoke(world, &mut meter)?;
        if meter.instructions() > longest.instructions() {
            longest = meter;
        }
    }
    // On the kernel that counts, another call may be the longest.
    if !COUNTS_ENTRIES {
        table.row(&Row::call("longest_call", CALL_WORK_MAX), &longest);
    }
    Ok(())
}

fn gather(world: &mut World, meter: &mut Meter) -> Result<(), BenchError> {
    let rings = Rings::new(world, GATHERED)?;
    let peer = PeerId::new(OTHER_PEER).ok_or(BenchError::Unexpected("a peer"))?;
    let terms = ShareTerms { peer, rights: Rights::READ, lease_max: LONG, once: false };
    let mut numbers = [at(0); 13];
    for (number, to) in (0..).zip(&mut numbers) {
        *to = at(number);
    }
    let list = FrameList::new(&numbers).ok_or(BenchError::Unexpected("a list"))?;
    // It is refused, or asks to be called again, after as much as a call may do.
    let created = meter.time(|| world.pm.create_gather(OWN, rings.first(), list, terms));
    if let Ok(created) = created {
        world.pm.container_destroy(created.container)?;
    }
    rings.destroy(world)
}

fn lock(world: &mut World, meter: &mut Meter) -> Result<(), BenchError> {
    let rings = Rings::new(world, 64)?;
    let shared = world.share(rings.first(), 64, OTHER_PEER)?;
    let lease =
        meter.time(|| world.peer.lock(shared.weak, at(0), frames(64), LockMode::Read, LONG));
    if let Ok(lease) = lease {
        world.peer.unlock(lease.lease)?;
    }
    world.pm.unshare(shared.share)?;
    rings.destroy(world)
}

fn deallocate(world: &mut World, meter: &mut Meter) -> Result<(), BenchError> {
    let container = world.container(256, true)?;
    for times in 0..MAPPINGS {
        let window = page(WINDOW, times.saturating_mul(256));
        map(&mut world.pm, container, 256, window, FORCED)?;
    }
    // It may stop before the end.
    let _ =
        meter.time(|| world.pm.deallocate(container, at(0), frames(256), DeallocateFlags::empty()));
    Ok(world.pm.container_destroy(container)?)
}

/// Maps frames for writing that share their memory with others.
fn make_copies(world: &mut World, meter: &mut Meter) -> Result<(), BenchError> {
    let source = world.container(256, true)?;
    let copy = world.container(256, false)?;
    sweep(256, |done, more| {
        world.pm.copy((source, at(done)), (copy, at(done)), more, CopyFlags::empty())
    })?;
    let mapped = meter.time(|| world.pm.map(copy, at(0), frames(256), WINDOW, FORCED));
    unmap(&mut world.pm, WINDOW, mapped?.count)?;
    world.pm.container_destroy(copy)?;
    Ok(world.pm.container_destroy(source)?)
}

/// Containers whose frames of the same number are one memory, each mapped as often as can be.
struct Rings([ContainerHandle; 8]);

impl Rings {
    fn new(world: &mut World, count: u64) -> Result<Self, BenchError> {
        let first = world.container(count, true)?;
        let mut all = [first; 8];
        let mut window = WINDOW;
        for (number, container) in (0_u64..HOLDERS).zip(&mut all) {
            if number > 0 {
                *container = world.pm.container_create(OWN)?;
                let flags = CopyFlags::NEW | CopyFlags::SHARED;
                sweep(count, |done, more| {
                    world.pm.copy((first, at(done)), (*container, at(done)), more, flags)
                })?;
            }
            for _ in 0..MAPPINGS {
                map(&mut world.pm, *container, count, window, FORCED)?;
                window = page(window, count);
            }
        }
        Ok(Self(all))
    }

    fn first(&self) -> ContainerHandle {
        let [first, ..] = self.0;
        first
    }

    fn destroy(self, world: &mut World) -> Result<(), BenchError> {
        for container in self.0 {
            world.pm.container_destroy(container)?;
        }
        Ok(())
    }
}
