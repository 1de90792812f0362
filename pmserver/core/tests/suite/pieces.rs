// SPDX-License-Identifier: BSD-2-Clause
//! Pieces: 64 frames that one invocation makes, and that can only together become anything else
//! (decision 0042).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{
    Pm, World, all, at, check_bytes, failure, filled, frames, info, page, pages,
    refuse_each_step_of_a_split, stored,
};
use pmserver_api::{
    AccountHandle, CallError, ContainerHandle, CopyFlags, DeallocateFlags, MapFlags, PmError,
};
use pmserver_core::config::{PeerConfig, Privileges};
use proto::{ByteCount, VirtAddr};
use sim::InvocationKind;

const OWN: AccountHandle = AccountHandle::OWN;
const POOL: AccountHandle = AccountHandle::POOL;
const HOLES: DeallocateFlags = DeallocateFlags::empty();
const REPLACE: CopyFlags = CopyFlags::empty();
const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);
const RUN: u64 = 64;
const POOL_BYTES: u64 = 64 << 20;
/// Pages with which the pool's account can pay for moving a run, and not for leaving it.
const FOR_MOVING: u64 = 100;
/// Pages with which it can pay for many pieces that are used one by one.
const FOR_PARTS: u64 = 1000;

/// Peers 1 and 2 with 12 MiB each, and peer 3 with all that is left but so many pages.
fn world(spare: u64) -> World {
    let limits = |last| [12 << 20, 12 << 20, last].map(ByteCount::new);
    let with = |limits: [ByteCount; 3]| {
        let peers = [1, 2, 3].map(|peer: u8| PeerConfig {
            peer,
            name: "peer",
            limit: limits[usize::from(peer) - 1],
            privileges: Privileges::all(),
        });
        World::with_peers(POOL_BYTES, &peers)
    };
    let pool = info(&mut with(limits(0)).as_peer(2), POOL);
    let room = pages(pool.limit) - pages(pool.used) - pages(pool.promised);
    with(limits((room - spare) << 12)).unchecked()
}

fn kept(world: &World) -> u64 {
    pages(info(&mut world.as_peer(1), POOL).records)
}

fn retypes(world: &World) -> u64 {
    world.0.borrow().kernel().count(InvocationKind::Retype)
}

#[test]
fn one_invocation_makes_the_frames_of_a_run() {
    for (spare, retyped) in [(FOR_PARTS, 8..20), (FOR_MOVING, 8..20), (RUN - 1, 256..300)] {
        let world = world(spare);
        let mut pm = world.as_peer(2);
        let container = filled(&mut pm, 256);
        let before = retypes(&world);
        let mapped = pm.map(container, at(0), frames(256), page(0), FORCED).unwrap().count;
        let made = retypes(&world) - before;
        assert!(mapped == 256 || spare < RUN, "{mapped} at once");
        assert!(retyped.contains(&(made * 256 / mapped)), "{made} for {mapped} with {spare}");
        world.check();
    }
}

#[test]
fn the_pool_pays_for_a_piece_until_the_last_of_its_frames_is_free() {
    let world = world(FOR_PARTS);
    let nothing = kept(&world);
    let (mut pm, container) = stored(&world, 2, 2 * RUN, 0);
    let records = kept(&world);
    pm.unmap(page(9), frames(3)).unwrap();
    assert_eq!(kept(&world), records + RUN, "for one in parts, and one that may be moved");
    pm.unmap(page(RUN + 9), frames(3)).unwrap();
    assert_eq!(kept(&world), records + RUN, "for both");
    for number in 0..RUN {
        assert_eq!(pm.deallocate(container, at(number), frames(1), HOLES), Ok(1));
        world.check();
    }
    assert!(kept(&world) <= records, "for the other one");
    check_bytes(&world, 2, RUN + 12, RUN + 12..2 * RUN);
    all(|| pm.container_destroy(container)).unwrap();
    assert_eq!(kept(&world), nothing);
    world.check();
}

#[test]
fn the_next_one_finds_nothing_in_a_piece() {
    // R15
    let world = world(FOR_PARTS);
    let revokes = || world.0.borrow().kernel().count(InvocationKind::Revoke);
    // Blocks are divided as long as there are many.
    let mut revoked = [0; 240];
    for round in &mut revoked {
        let before = revokes();
        let mut pm = world.as_peer(2);
        let container = filled(&mut pm, RUN);
        pm.map(container, at(0), frames(RUN), page(0), FORCED).unwrap();
        assert!((0..RUN).all(|place| world.load(2, page(place)) == Ok(0)));
        for place in 0..RUN {
            world.store(2, 7, page(place)).unwrap();
        }
        all(|| pm.container_destroy(container)).unwrap();
        *round = revokes() - before;
    }
    assert_eq!(revoked[239], revoked[20] + 1, "the piece is joined");
    world.check();
}

/// What needs a part of a run, and what is left of the run then.
type Part = fn(&World, &mut Pm, ContainerHandle) -> Result<u64, CallError>;
const PARTS: [Part; 4] = [
    |_, pm, container| pm.deallocate(container, at(0), frames(3), HOLES),
    |_, pm, _| pm.unmap(page(0), frames(3)),
    |_, pm, container| pm.renew(container, at(0), frames(3)),
    |world, _, _| world.store(2, 7, page(2)).map(|()| 3).map_err(|_| panic!("a fault")),
];

#[test]
fn a_run_leaves_its_piece_where_nobody_pays_for_the_parts() {
    for part in PARTS {
        let world = world(FOR_MOVING);
        let nothing = kept(&world);
        let (mut pm, container) = stored(&world, 2, RUN, 0);
        let copy = filled(&mut pm, RUN);
        pm.copy((container, at(0)), (copy, at(0)), frames(RUN), REPLACE).unwrap();
        pm.map(copy, at(0), frames(RUN), page(RUN), MapFlags::WRITE).unwrap();
        assert_eq!(all(|| part(&world, &mut pm, container)), Ok(3));
        world.check();
        check_bytes(&world, 2, 3, 3..RUN);
        check_bytes(&world, 2, RUN, 0..RUN);
        world.store(2, 255, page(RUN)).unwrap();
        check_bytes(&world, 2, 3, 3..RUN);
        all(|| pm.container_destroy(container)).unwrap();
        all(|| pm.container_destroy(copy)).unwrap();
        assert_eq!(kept(&world), nothing);
        world.check();
    }
}

#[test]
fn a_kernel_that_refuses_leaves_the_run_whole_or_split() {
    let begin = || {
        let world = world(FOR_MOVING);
        let (pm, container) = stored(&world, 2, RUN, 0);
        (world, pm, container)
    };
    let steps = (1..40).chain((40..700).step_by(13));
    let refused = refuse_each_step_of_a_split(steps, begin, 0, |world| {
        check_bytes(world, 2, 1, 1..RUN);
        world.store(2, 9, page(RUN - 1)).unwrap();
    });
    assert!(refused > 30, "{refused} steps were refused");
}

#[test]
fn every_end_of_a_move_that_has_begun_gives_all_back() {
    type End = fn(&World, &mut Pm, ContainerHandle);
    let ends: [End; 4] = [
        |_, pm, container| {
            assert_eq!(pm.deallocate(container, at(0), frames(RUN), HOLES), Ok(RUN));
        },
        |_, pm, _| assert_eq!(pm.unmap(page(0), frames(RUN)), Ok(RUN)),
        |world, _, _| {
            // The other one is moved in between.
            let (mut other, container) = stored(world, 1, RUN, 0);
            assert_eq!(all(|| other.deallocate(container, at(0), frames(1), HOLES)), Ok(1));
            check_bytes(world, 1, 1, 1..RUN);
            check_bytes(world, 2, 0, 0..RUN);
            all(|| other.container_destroy(container)).unwrap();
        },
        |world, pm, container| {
            // A store does not go to what was copied.
            world.store(2, 255, page(5)).unwrap();
            assert_eq!(all(|| pm.deallocate(container, at(3), frames(1), HOLES)), Ok(1));
            pm.map(container, at(5), frames(1), page(RUN), MapFlags::READ).unwrap();
            assert_eq!([5, RUN].map(|place| world.load(2, page(place))), [Ok(255); 2]);
            check_bytes(world, 2, 6, 6..RUN);
        },
    ];
    for end in ends {
        let world = world(FOR_MOVING);
        let before = world.accounts();
        let (mut pm, container) = stored(&world, 2, RUN, 0);
        let begun = failure(pm.deallocate(container, at(3), frames(1), HOLES));
        assert_eq!((begun.error, begun.at), (PmError::Pending, 0));
        end(&world, &mut pm, container);
        world.check();
        all(|| pm.container_destroy(container)).unwrap();
        assert_eq!(world.accounts(), before);
        assert!((0..RUN).all(|place| world.load(2, page(place)).is_err()));
        // Nothing is left that another move would take for its own.
        let (mut pm, container) = stored(&world, 2, RUN, 0);
        assert_eq!(all(|| pm.unmap(page(0), frames(1))), Ok(1));
        check_bytes(&world, 2, 1, 1..RUN);
        all(|| pm.container_destroy(container)).unwrap();
        world.check();
        assert_eq!(world.accounts(), before);
    }
}

#[test]
fn contiguous_frames_take_the_place_of_parts() {
    let world = world(FOR_PARTS);
    let (mut pm, container) = stored(&world, 2, 4 * RUN, 0);
    for run in 0..3 {
        assert_eq!(pm.deallocate(container, at(run * RUN), frames(20), HOLES), Ok(20));
    }
    let mut driver = world.as_peer(1);
    for number in 0..3 {
        let contiguous = driver.container_create(OWN).unwrap();
        all(|| driver.allocate_contiguous(contiguous, at(0), frames(256), 21, 64)).unwrap();
        driver.map(contiguous, at(0), frames(256), page(256 * number), FORCED).unwrap();
        assert!((0..256).all(|place| world.load(1, page(256 * number + place)) == Ok(0)));
        world.check();
    }
    for run in 0..4 {
        check_bytes(&world, 2, run * RUN + 20, run * RUN + 20..(run + 1) * RUN);
    }
}

/// Makes a peer use all that it was promised, as page tables most of all.
fn use_all(world: &World, number: u64) {
    let mut pm = world.as_peer(number);
    let container = pm.container_create(OWN).unwrap();
    for place in 0..u64::MAX {
        if place % 4 == 0 {
            let flags = pmserver_api::AllocateFlags::empty();
            match pm.allocate(container, at(place / 4), frames(1), flags) {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.refusal(), Some(PmError::QuotaExceeded));
                    break;
                }
            }
        }
        let vaddr = VirtAddr::new_page((1 << 34) + (place << 21)).unwrap();
        match all(|| pm.map(container, at(place / 4), frames(1), vaddr, FORCED)) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.refusal(), Some(PmError::NoTableQuota), "{number}");
                break;
            }
        }
    }
    let account = info(&mut pm, OWN);
    assert!(pages(account.limit) - pages(account.used) < 4, "{account:?}");
}

#[test]
fn what_was_promised_can_become_anything_whatever_is_left_of_pieces() {
    for spare in [FOR_MOVING, FOR_PARTS, RUN - 1] {
        let world = world(spare);
        for number in [2, 3] {
            let mut pm = world.as_peer(number);
            let mut containers = Vec::new();
            for place in 0..32 {
                let container = filled(&mut pm, RUN);
                let first = page(place * RUN);
                let mapped = all(|| pm.map(container, at(0), frames(RUN), first, FORCED));
                assert_eq!(mapped.unwrap().count, RUN);
                containers.push(container);
            }
            // One frame of each run stays.
            for container in containers {
                all(|| pm.deallocate(container, at(1), frames(RUN - 1), HOLES)).unwrap();
            }
        }
        world.check();
        for number in 1..=3 {
            use_all(&world, number);
        }
        world.check();
    }
}
