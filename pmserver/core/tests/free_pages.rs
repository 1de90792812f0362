// SPDX-License-Identifier: BSD-2-Clause
//! Which free pages are used first, and which are made ready before anybody asks for them.
#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used)]

mod world;

use pmserver_api::MapFlags;
use sim::InvocationKind;
use world::{Pm, World, all, at, filled, frames, page};

const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);

/// Gives new frames memory, at a page.
fn bound(pm: &mut Pm, count: u64, first_page: u64) -> pmserver_api::ContainerHandle {
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
