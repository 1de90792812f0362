// SPDX-License-Identifier: BSD-2-Clause
//! Which free pages are used first, which are made ready before anybody asks for them, and which
//! are for large frames.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{Pm, World, all, at, equal_peers, filled, frames, page};
use pmserver_api::{ContainerHandle, MapFlags};
use pmserver_core::config::Privileges;
use proto::{ByteCount, PeerId};
use sim::machine::Architecture;
use sim::{BootPlan, InvocationKind, SimKernel, equal_parts};

const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);

/// Gives new frames memory, at a page.
fn bound(pm: &mut Pm, count: u64, first_page: u64) -> ContainerHandle {
    let container = filled(pm, count);
    let mut done = 0;
    while done < count {
        let (start, to) = (at(done), page(first_page + done));
        done += pm.map(container, start, frames(count - done), to, FORCED).unwrap().count;
    }
    container
}

fn made(world: &World, kind: InvocationKind) -> u64 {
    world.0.borrow().kernel().count(kind)
}

#[test]
fn pages_that_were_never_used_are_taken_before_others_are_cleared() {
    // Decision 0039: as long as there are many whole blocks.
    let world = World::new();
    let mut pm = world.client();
    for _ in 0..12 {
        let container = bound(&mut pm, 256, 0);
        all(|| pm.container_destroy(container)).unwrap();
    }
    // Page tables are given back, frames are not.
    assert!(made(&world, InvocationKind::Revoke) < 256);
}

#[test]
fn reclaim_makes_pages_ready_when_there_is_nothing_else_to_do() {
    let world = World::new();
    let mut pm = world.client();
    bound(&mut pm, 7, 0);
    let before = made(&world, InvocationKind::Retype);
    assert_eq!(pm.reclaim(), Ok(0));
    let ready = made(&world, InvocationKind::Retype);
    assert!(ready > before);
    bound(&mut pm, 7, 7);
    assert_eq!(made(&world, InvocationKind::Retype), ready, "the frames are there");
}

#[test]
fn a_pool_of_few_blocks_has_no_large_frames() {
    // Decision 0039: of fewer than 16. Two more have the books and the capabilities.
    let made = |blocks: u32| {
        let peers = equal_peers::<2>(ByteCount::new(4 << 20), Privileges::empty());
        let kernel = SimKernel::boot(&BootPlan {
            architecture: Architecture::X86_64,
            pool: equal_parts(21, blocks),
            peers: peers.iter().map(|peer| PeerId::new(peer.peer.into()).unwrap()).collect(),
            cspaces: Vec::new(),
            regions: Vec::new(),
        });
        let world = World::over(kernel, &peers);
        let mut pm = world.as_peer(2);
        let container = filled(&mut pm, 512);
        pm.map(container, at(0), frames(512), page(0), FORCED).unwrap();
        let server = world.0.borrow();
        server.kernel().large_frames().made
    };
    assert_eq!([17, 18].map(made), [0, 1]);
}
