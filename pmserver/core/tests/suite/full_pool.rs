// SPDX-License-Identifier: BSD-2-Clause
//! Operations in a pool of which every page is in use (R4; PM-31, PM-155, PM-160): what is charged
//! is there, and nothing needs more.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{World, at, equal_peers, filled, frames, page};
use pmserver_api::{AccountHandle, AllocateFlags, ContainerHandle, CopyFlags, MapFlags, PmError};
use pmserver_core::config::{PeerConfig, Privileges};
use proto::ByteCount;

const OWN: AccountHandle = AccountHandle::OWN;
const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);
/// Where everybody has a page table.
const HERE: u64 = 100;

/// A driver, peer 2, and peer 4, which may have extra frames.
fn world() -> World {
    let peers = [(2, Privileges::DMA), (4, Privileges::EXTRA | Privileges::DMA)];
    let peers = peers.map(|(peer, privileges)| PeerConfig {
        peer,
        name: "peer",
        limit: ByteCount::new(1 << 20),
        privileges,
    });
    let world = World::with_peers(4 << 20, &peers);
    for peer in [2, 4] {
        let mut pm = world.as_peer(peer);
        let container = filled(&mut pm, 1);
        pm.map(container, at(0), frames(1), page(HERE), FORCED).unwrap();
    }
    world
}

/// Writes a letter to each of the first frames of a container, which gives them memory.
fn write(world: &World, container: ContainerHandle, letters: &str) {
    let mut pm = world.as_peer(2);
    for (number, letter) in (0..).zip(letters.bytes()) {
        pm.map(container, at(number), frames(1), page(HERE + 1), FORCED).unwrap();
        world.store(2, letter, page(HERE + 1)).unwrap();
        pm.unmap(page(HERE + 1), frames(1)).unwrap();
    }
}

fn read(world: &World, container: ContainerHandle, count: u64) -> String {
    let mut pm = world.as_peer(2);
    let mut letter = |number| {
        pm.map(container, at(number), frames(1), page(HERE + 1), MapFlags::READ).unwrap();
        let letter = world.load(2, page(HERE + 1)).unwrap();
        pm.unmap(page(HERE + 1), frames(1)).unwrap();
        char::from(letter)
    };
    (0..count).map(&mut letter).collect()
}

/// Has peer 4 use whatever is left.
fn fill(world: &World) {
    let mut pm = world.clone().unchecked().as_peer(4);
    let container = pm.container_create(OWN).unwrap();
    let flags = AllocateFlags::EXTRA | AllocateFlags::DMA;
    let mut refused = |number| pm.allocate(container, at(number), frames(1), flags).err();
    let (number, refused) = (0..).find_map(|number| Some((number, refused(number)?))).unwrap();
    assert_eq!(refused.refusal(), Some(PmError::NoMemory), "frame {number}");
    assert!(number > 500, "the pool is full with {number} frames");
    world.check();
}

#[test]
fn contiguous_frames_are_copied_without_a_third_page() {
    // PM-155, PM-160: both keep the memory that they have.
    let world = world();
    let mut pm = world.as_peer(2);
    let run = pm.container_create(OWN).unwrap();
    pm.allocate_contiguous(run, at(0), frames(4), 12, 64).unwrap();
    write(&world, run, "abcd");
    let other = filled(&mut pm, 4);
    write(&world, other, "wxyz");
    fill(&world);
    pm.copy((run, at(0)), (other, at(0)), frames(4), CopyFlags::empty()).unwrap();
    assert_eq!(read(&world, other, 4), "abcd");
    write(&world, other, "w");
    pm.copy((other, at(0)), (run, at(0)), frames(4), CopyFlags::empty()).unwrap();
    assert_eq!(read(&world, run, 4), "wbcd");
}

#[test]
fn frames_are_replaced_where_they_are_and_lose_their_mappings() {
    // PM-31: there is no other memory to give them.
    let world = world();
    let mut pm = world.as_peer(2);
    let container = filled(&mut pm, 2);
    write(&world, container, "ab");
    pm.map(container, at(0), frames(2), page(HERE + 2), MapFlags::READ).unwrap();
    let granted = pm.grant(container, at(1), frames(1), MapFlags::READ).unwrap();
    fill(&world);
    let flags = AllocateFlags::SQUASH | AllocateFlags::DMA;
    assert_eq!(pm.allocate(container, at(0), frames(2), flags), Ok(2));
    assert_eq!(pm.ungrant(granted.address, frames(1)), Ok(0));
    assert_eq!(pm.unmap(page(HERE + 2), frames(2)), Ok(0));
    assert_eq!(read(&world, container, 2), "\0\0");
}

#[test]
fn no_call_that_maps_frames_cuts_a_block_in_its_middle() {
    // They are cut between calls, from fewer small pages on than a call takes.
    let peers = equal_peers::<1>(ByteCount::new(62 << 20), Privileges::empty());
    let world = World::with_peers(64 << 20, &peers).unchecked();
    let mut pm = world.as_peer(1);
    let container = pm.container_create(OWN).unwrap();
    for start in (0..).step_by(8).map(at) {
        if pm.allocate(container, start, frames(8), AllocateFlags::empty()).is_err()
            || pm.map(container, start, frames(8), page(0), FORCED).is_err()
        {
            assert!(start.get() > 15_000, "most of the pool");
            break;
        }
        let work = world.0.borrow().work();
        assert!(work < 60_000, "{start:?} did {work}");
        pm.unmap(page(0), frames(8)).unwrap();
    }
}
