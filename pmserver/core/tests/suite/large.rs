// SPDX-License-Identifier: BSD-2-Clause
//! Large frames: 512 frames in one record and one mapping, for as long as they are used as a whole
//! (decision 0039).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{Pm, World, all, at, byte_of, count, failure, frames, info, page, pages, peer};
use crate::world::{refusal, refuse_each_step_of_a_split};
use pmserver_api::{
    AccountHandle, AllocateFlags, CallError, ContainerHandle, CopyFlags, DeallocateFlags,
    FrameState, Frames, LimitFlags, LockMode, MapFlags, Marks, PairList, PmError, Request, Rights,
    ShareHandle, ShareTerms,
};
use pmserver_core::config::{PeerConfig, Privileges};
use proto::{ByteCount, Micros};
use sim::Refusal;

const OWN: AccountHandle = AccountHandle::OWN;
const PLAIN: AllocateFlags = AllocateFlags::empty();
const HOLES: DeallocateFlags = DeallocateFlags::empty();
const REPLACE: CopyFlags = CopyFlags::empty();
const NEW: CopyFlags = CopyFlags::NEW.union(CopyFlags::ATOMIC);
const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);
const LONG: Micros = Micros::new(1_000_000);
const LARGE: u64 = 512;
/// Where the second large frame is mapped, in pages.
const NEXT: u64 = 512;

/// Peers 1 to 3 with 12 MiB each, in a pool that has memory left.
fn world() -> World {
    let policy = Privileges::SET_POLICY | Privileges::READ_ACCOUNTS;
    let privileges = [(1, policy), (2, Privileges::EXTRA), (3, Privileges::empty())];
    let peers = privileges.map(|(peer, privileges)| PeerConfig {
        peer,
        name: "peer",
        limit: ByteCount::new(12 << 20),
        privileges,
    });
    World::with_peers(64 << 20, &peers)
}

/// A container whose first 512 frames are a large one, mapped at a page, with a byte in each page.
fn large(world: &World, number: u64, first_page: u64) -> (Pm, ContainerHandle) {
    let mut pm = world.as_peer(number);
    let container = pm.container_create(OWN).unwrap();
    assert_eq!(pm.allocate(container, at(0), frames(LARGE), PLAIN), Ok(LARGE));
    let mapped = pm.map(container, at(0), frames(LARGE), page(first_page), FORCED).unwrap();
    assert_eq!((mapped.count, mapped.rights()), (LARGE, MapFlags::READ | MapFlags::WRITE));
    for place in (0..LARGE).step_by(37) {
        world.store(number, byte_of(place), page(first_page + place)).unwrap();
    }
    (pm, container)
}

/// Checks the bytes of a large frame, or of the frames that it was split into.
fn check_bytes(world: &World, number: u64, first_page: u64) {
    for place in (0..LARGE).step_by(37) {
        let seen = world.load(number, page(first_page + place));
        assert_eq!(seen, Ok(byte_of(place)), "page {place}");
    }
}

#[test]
fn a_large_frame_is_made_mapped_and_freed_with_little_work() {
    let world = world();
    let mut pm = world.as_peer(2);
    let container = pm.container_create(OWN).unwrap();
    let before = (info(&mut pm, OWN), info(&mut world.as_peer(1), AccountHandle::POOL));
    // More often than the pool has blocks, so that some are used again.
    for _ in 0..40 {
        pm.allocate(container, at(512), frames(LARGE), PLAIN).unwrap();
        assert!(pages(info(&mut pm, OWN).frames) >= LARGE);
        pm.map(container, at(512), frames(LARGE), page(0), FORCED).unwrap();
        assert_eq!(world.load(2, page(77)), Ok(0), "it is all zero");
        world.store(2, 7, page(77)).unwrap();
        assert_eq!(pm.unmap(page(0), frames(LARGE)), Ok(LARGE));
        assert_eq!(pm.deallocate(container, at(512), frames(LARGE), HOLES), Ok(LARGE));
    }
    // The most is clearing it when it is used again.
    assert!(world.most_work() < 400_000, "{}", world.most_work());
    let after = (info(&mut pm, OWN), info(&mut world.as_peer(1), AccountHandle::POOL));
    assert_eq!(after, before);
}

#[test]
fn what_needs_a_part_splits_it_and_loses_nothing() {
    type Part = fn(&World, &mut Pm, ContainerHandle);
    let parts: [(&str, Part); 9] = [
        ("renew", |_, pm, container| {
            assert_eq!(all(|| pm.renew(container, at(1), frames(2))), Ok(2));
        }),
        ("unmap", |_, pm, _| {
            assert_eq!(all(|| pm.unmap(page(100), frames(1))), Ok(1));
            let mapped =
                all(|| pm.map(ContainerHandle::from_raw(0), at(0), frames(1), page(0), FORCED));
            assert!(mapped.is_err());
        }),
        ("lock", |_, pm, container| {
            let lease = all(|| pm.lock(container, at(9), frames(3), LockMode::Read, LONG)).unwrap();
            pm.unlock(lease.lease).unwrap();
        }),
        ("map elsewhere", |_, pm, container| {
            all(|| pm.map(container, at(37), frames(2), page(2048), MapFlags::READ)).unwrap();
        }),
        ("copy", |_, pm, container| {
            let other = crate::world::filled(pm, 4);
            all(|| pm.copy((container, at(37)), (other, at(0)), frames(4), REPLACE)).unwrap();
        }),
        ("grant", |_, pm, container| {
            all(|| pm.grant(container, at(37), frames(1), MapFlags::READ)).unwrap();
        }),
        ("deallocate", |_, pm, container| {
            assert_eq!(all(|| pm.deallocate(container, at(1), frames(1), HOLES)), Ok(1));
        }),
        ("mark", |_, pm, container| {
            all(|| pm.mark(container, at(1), frames(1), Marks::DISCARDABLE)).unwrap();
        }),
        ("remap", |_, pm, _| {
            all(|| pm.remap(page(5), frames(1), MapFlags::READ)).unwrap();
        }),
    ];
    for (name, part) in parts {
        let world = world();
        let (mut pm, container) = large(&world, 2, 0);
        let before = info(&mut pm, OWN);
        part(&world, &mut pm, container);
        if name == "unmap" {
            all(|| pm.map(container, at(100), frames(1), page(100), FORCED)).unwrap();
        }
        check_bytes(&world, 2, 0);
        let after = info(&mut pm, OWN);
        assert!(pages(after.used) <= pages(before.used) + 4 + 2, "{name}: it was paid for");
        all(|| pm.container_destroy(container)).unwrap();
        world.check();
    }
}

#[test]
fn a_store_to_a_copy_leaves_the_original() {
    let world = world();
    let (mut pm, source) = large(&world, 2, 0);
    let copy = pm.container_create(OWN).unwrap();
    pm.allocate(copy, at(0), frames(LARGE), PLAIN).unwrap();
    assert_eq!(pm.copy((source, at(0)), (copy, at(0)), frames(LARGE), REPLACE), Ok(LARGE));
    assert!(world.most_work() < 30_000, "{}", world.most_work());
    pm.map(copy, at(0), frames(LARGE), page(NEXT), MapFlags::WRITE).unwrap();
    check_bytes(&world, 2, NEXT);
    world.store(2, 99, page(NEXT + 37)).unwrap();
    assert_eq!(world.load(2, page(NEXT + 37)), Ok(99));
    check_bytes(&world, 2, 0);
    world.store(2, 98, page(74)).unwrap();
    assert_eq!(world.load(2, page(NEXT + 74)), Ok(byte_of(74)));
    let cow = |pm: &mut Pm, container| count(pm, container, LARGE, FrameState::COW);
    assert_eq!(cow(&mut pm, source), 510);
    assert_eq!(cow(&mut pm, copy), 510);
}

#[test]
fn a_borrower_maps_and_locks_it_as_a_whole() {
    let world = world();
    let (mut pm, container) = large(&world, 2, 0);
    let rights = Rights::READ | Rights::WRITE | Rights::LOCK;
    let shared = pm.share(container, at(0), LARGE, peer(1), rights, LONG).unwrap();
    let mut fs = world.as_peer(1);
    fs.map(shared.weak, at(0), frames(LARGE), page(0), FORCED).unwrap();
    check_bytes(&world, 1, 0);
    let mode = LockMode::Exclusive;
    let lease = fs.lock(shared.weak, at(0), frames(LARGE), mode, LONG).unwrap();
    assert!(world.most_work() < 30_000, "{}", world.most_work());
    assert!(world.load(2, page(0)).is_err(), "it is locked");
    world.store(1, 55, page(1)).unwrap();
    fs.unlock(lease.lease).unwrap();
    assert_eq!(world.load(2, page(1)), Ok(55));
    pm.unshare(shared.share).unwrap();
    assert!(world.load(1, page(0)).is_err(), "it was taken back");
    check_bytes(&world, 2, 0);
}

#[test]
fn a_lease_on_a_part_leaves_the_rest_to_its_owner() {
    let world = world();
    let (mut pm, container) = large(&world, 2, 0);
    let rights = Rights::WRITE | Rights::LOCK;
    let shared = pm.share(container, at(0), LARGE, peer(1), rights, LONG).unwrap();
    let mut fs = world.as_peer(1);
    all(|| fs.lock(shared.weak, at(9), frames(3), LockMode::Exclusive, LONG)).unwrap();
    assert!(world.load(2, page(10)).is_err(), "it is locked");
    world.store(2, 5, page(12)).unwrap();
    check_bytes(&world, 2, 0);
}

#[test]
fn nothing_is_large_where_all_memory_is_promised() {
    let limits = [38, 12, 12].map(|mib: u64| ByteCount::new(mib << 20));
    let peers = [1, 2, 3].map(|number: u8| PeerConfig {
        peer: number,
        name: "peer",
        limit: limits[usize::from(number) - 1],
        privileges: Privileges::empty(),
    });
    let world = World::with_peers(64 << 20, &peers);
    let mut pm = world.as_peer(2);
    let container = pm.container_create(OWN).unwrap();
    assert_eq!(pm.allocate(container, at(0), frames(LARGE), PLAIN), Ok(LARGE));
    let mapped = pm.map(container, at(0), frames(LARGE), page(0), FORCED).unwrap();
    assert!(mapped.count < LARGE, "as far as one call maps single frames");
    all(|| pm.container_destroy(container)).unwrap();
}

#[test]
fn a_kernel_that_refuses_leaves_it_whole_or_split() {
    let begin = || {
        let world = world().unchecked();
        let (pm, container) = large(&world, 2, 0);
        (world, pm, container)
    };
    let steps = (1..2_200).step_by(31).chain(1..12);
    let refused = refuse_each_step_of_a_split(steps, begin, 1, |world| check_bytes(world, 2, 0));
    assert!(refused > 40, "{refused} steps were refused");
}

#[test]
fn every_end_of_a_split_that_has_begun_gives_all_back() {
    type End = fn(&World, &mut Pm, ContainerHandle);
    let ends: [End; 4] = [
        |_, pm, container| all(|| pm.container_destroy(container)).unwrap(),
        |_, pm, container| {
            assert_eq!(pm.deallocate(container, at(0), frames(LARGE), HOLES), Ok(LARGE));
            all(|| pm.container_destroy(container)).unwrap();
        },
        |_, pm, container| {
            pm.unmap(page(0), frames(LARGE)).unwrap();
            all(|| pm.container_destroy(container)).unwrap();
        },
        |world, pm, container| {
            // The other one is split in between.
            let (_, other) = large(world, 2, NEXT);
            assert_eq!(all(|| pm.deallocate(other, at(0), frames(1), HOLES)), Ok(1));
            check_bytes(world, 2, 0);
            all(|| pm.container_destroy(other)).unwrap();
            all(|| pm.container_destroy(container)).unwrap();
        },
    ];
    for end in ends {
        let world = world();
        let mut pm = world.as_peer(2);
        let before = (info(&mut pm, OWN), info(&mut world.as_peer(1), AccountHandle::POOL).free);
        let (mut pm, container) = large(&world, 2, 0);
        let begun = failure(pm.deallocate(container, at(3), frames(1), HOLES));
        assert_eq!((begun.error, begun.at), (PmError::Pending, 0));
        end(&world, &mut pm, container);
        let after = (info(&mut pm, OWN), info(&mut world.as_peer(1), AccountHandle::POOL).free);
        assert_eq!(after, before);
    }
}

#[test]
fn what_a_lease_keeps_does_not_hide_that_it_was_freed() {
    // PM-24
    let world = world();
    let (mut pm, container) = large(&world, 2, 0);
    pm.allocate(container, at(LARGE), frames(1), PLAIN).unwrap();
    let lease = pm.lock(container, at(LARGE), frames(1), LockMode::Read, LONG).unwrap();
    let kept = failure(pm.container_destroy(container));
    assert_eq!((kept.error, kept.done), (PmError::Pending, LARGE));
    pm.unlock(lease.lease).unwrap();
    pm.container_destroy(container).unwrap();
}

#[test]
fn a_lower_limit_makes_parts_of_it_extra() {
    let world = world();
    let (mut pm, _) = large(&world, 2, 0);
    let mut policy = world.as_peer(1);
    let used = u32::try_from(pages(info(&mut pm, OWN).used)).unwrap();
    let flags = LimitFlags::EXTRA | LimitFlags::EXCESS;
    let account = AccountHandle::of_peer(peer(2));
    all(|| policy.account_set_limits(account, used - 8, flags)).unwrap();
    assert_eq!(pages(info(&mut pm, OWN).extra), 8);
    check_bytes(&world, 2, 0);
    let leased = refusal(pm.status(ContainerHandle::from_raw(1), at(0), frames(1)));
    assert_eq!(leased, Some(PmError::InvalidCap));
}

#[test]
fn destroying_a_container_frees_as_many_as_it_says() {
    // PM-23
    let world = world();
    let mut pm = world.as_peer(2);
    let container = pm.container_create(OWN).unwrap();
    pm.allocate(container, at(0), frames(LARGE), PLAIN).unwrap();
    let reply = world.raw(2, Request::ContainerDestroy { container }.encode());
    assert_eq!((reply.label(), reply.registers()), (PmError::Pending.status(), &[256, 0][..]));
    assert_eq!(pages(info(&mut pm, OWN).frames), LARGE - 256);
}

#[test]
fn the_last_numbers_of_a_container_can_be_allocated_together() {
    let mut pm = world().as_peer(2);
    let container = pm.container_create(OWN).unwrap();
    for count in [64, LARGE] {
        let start = at(u64::MAX - (count - 1));
        assert_eq!(pm.allocate(container, start, frames(count), PLAIN), Ok(count));
        assert_eq!(pm.deallocate(container, start, frames(count), HOLES), Ok(count));
    }
}

#[test]
fn what_uses_a_frame_that_is_being_split_goes_on_with_it() {
    type Use = fn(&World, &mut Pm, ContainerHandle);
    let uses: [Use; 4] = [
        |_, pm, _| assert!(all(|| pm.remap(page(0), frames(LARGE), FORCED)).unwrap().count > 0),
        |world, _, _| assert_eq!(world.load(2, page(37)), Ok(byte_of(37))),
        |_, pm, container| {
            let mapped = all(|| pm.map(container, at(0), frames(LARGE), page(NEXT), FORCED));
            assert!(mapped.unwrap().count > 3);
            assert_eq!(pm.unmap(page(NEXT + 3), frames(1)), Ok(1), "it is mapped one by one");
        },
        |_, pm, container| {
            let copy = pm.container_create(OWN).unwrap();
            pm.allocate(copy, at(0), frames(LARGE), PLAIN).unwrap();
            let (from, to) = ((container, at(0)), (copy, at(0)));
            let copied = loop {
                match pm.copy(from, to, frames(LARGE), REPLACE) {
                    Err(CallError::Refused(part)) if part.done == 0 => {
                        assert_eq!((part.error, part.at), (PmError::Pending, 0));
                    }
                    Err(CallError::Refused(part)) => break part.done,
                    result => break result.unwrap(),
                }
            };
            assert!(copied > 0);
        },
    ];
    for using in uses {
        let world = world();
        let (mut pm, container) = large(&world, 2, 0);
        let begun = failure(pm.deallocate(container, at(3), frames(1), HOLES));
        assert_eq!((begun.error, begun.at), (PmError::Pending, 0));
        using(&world, &mut pm, container);
        check_bytes(&world, 2, 0);
    }
}

#[test]
fn copies_of_parts_that_are_not_divided_come_to_an_end() {
    // PM-323
    let world = world();
    let (mut pm, container) = large(&world, 2, 0);
    let (_, other) = large(&world, 2, NEXT);
    let copied = all(|| pm.copy((container, at(300)), (container, at(LARGE)), frames(4), NEW));
    assert_eq!(copied, Ok(4));
    let list = [(at(7), at(0)), (at(9), at(510))];
    let pairs = PairList::new(&list).unwrap();
    assert_eq!(all(|| pm.copy_list(other, container, pairs, CopyFlags::ATOMIC)), Ok(2));
    check_bytes(&world, 2, NEXT);
}

#[test]
fn a_copy_that_splits_runs_first_comes_to_an_end() {
    // PM-323
    let world = world();
    let mut pm = world.as_peer(2);
    let container = pm.container_create(OWN).unwrap();
    pm.allocate(container, at(0), frames(LARGE), PLAIN).unwrap();
    let shared = NEW | CopyFlags::SHARED;
    let copied = all(|| pm.copy((container, at(253)), (container, at(LARGE)), frames(256), shared));
    assert_eq!(copied, Ok(256));
}

#[test]
fn copies_into_a_range_with_a_handler_are_short() {
    // PM-320
    let world = world();
    let mut pm = world.as_peer(2);
    let source = pm.container_create(OWN).unwrap();
    pm.allocate(source, at(0), frames(LARGE), PLAIN).unwrap();
    let to = pm.container_create(OWN).unwrap();
    pm.allocate(to, at(0), frames(LARGE), PLAIN).unwrap();
    pm.set_handler(to, at(0), 317, Some(peer(1)), 0).unwrap();
    for _ in 0..4 {
        let begun = failure(pm.copy((source, at(0)), (to, at(0)), frames(LARGE), REPLACE));
        assert_eq!((begun.error, begun.at), (PmError::Pending, 0));
        assert!(world.most_work() <= 1_000_000, "{}", world.most_work());
    }
}

#[test]
fn a_borrower_whose_mapping_was_split_gets_all_back() {
    // PM-60, PM-90
    type End = fn(&mut Pm, &mut Pm, ShareHandle);
    let ends: [End; 3] = [
        |pm, _, share| all(|| pm.unshare(share)).unwrap(),
        |_, borrower, _| {
            all(|| borrower.unmap(page(0), frames(LARGE))).unwrap();
        },
        |_, borrower, _| {
            for place in 0..LARGE {
                all(|| borrower.unmap(page(place), frames(1))).unwrap();
            }
        },
    ];
    for end in ends {
        let world = world();
        let mut borrower = world.as_peer(3);
        let before = info(&mut borrower, OWN);
        let own = borrower.container_create(OWN).unwrap();
        borrower.allocate(own, at(0), frames(LARGE), PLAIN).unwrap();
        let (mut pm, container) = large(&world, 2, 0);
        let shared = pm.share(container, at(0), LARGE, peer(3), Rights::all(), LONG).unwrap();
        borrower.map(shared.weak, at(0), frames(LARGE), page(0), FORCED).unwrap();
        assert_eq!(all(|| pm.deallocate(container, at(1), frames(1), HOLES)), Ok(1));
        end(&mut pm, &mut borrower, shared.share);
        all(|| borrower.container_destroy(own)).unwrap();
        assert_eq!(info(&mut borrower, OWN), before);
    }
}

#[test]
fn two_borrowers_get_all_back_if_the_kernel_refuses_the_split() {
    // PM-60: what was prepared for the mappings of either.
    let mut refused = 0;
    for nth in (1..2_400).step_by(11) {
        let world = world().unchecked();
        let mut pm = world.as_peer(1);
        let container = pm.container_create(OWN).unwrap();
        pm.allocate(container, at(0), frames(LARGE), PLAIN).unwrap();
        let mut borrowers = [2, 3].map(|number| (number, world.as_peer(number)));
        let before = borrowers.each_mut().map(|(_, borrower)| info(borrower, OWN));
        for (number, borrower) in &mut borrowers {
            let to = peer(*number);
            let shared = pm.share(container, at(0), LARGE, to, Rights::all(), LONG).unwrap();
            borrower.map(shared.weak, at(0), frames(LARGE), page(0), FORCED).unwrap();
        }
        let mut result = Ok(0);
        world.refuse(Refusal { nth, error: 0 }, || {
            result = all(|| pm.deallocate(container, at(1), frames(1), HOLES));
        });
        refused += u64::from(result.is_err());
        world.check();
        all(|| pm.container_destroy(container)).unwrap();
        let after = borrowers.each_mut().map(|(_, borrower)| info(borrower, OWN));
        assert_eq!(after, before, "{nth}");
    }
    assert!(refused > 40, "{refused} steps were refused");
}

#[test]
fn a_copy_of_a_mapped_half_comes_to_an_end() {
    // PM-323
    let world = world();
    let (mut pm, container) = large(&world, 2, 0);
    let (_, other) = large(&world, 2, NEXT);
    let atomic = |pm: &mut Pm, to, start, flags| {
        all(|| pm.copy((container, at(256)), (to, at(start)), frames(256), flags))
    };
    assert_eq!(atomic(&mut pm, container, LARGE, NEW), Ok(256));
    let shared = CopyFlags::ATOMIC | CopyFlags::SHARED;
    assert_eq!(atomic(&mut pm, other, 0, shared), Ok(256));
}

#[test]
fn zeros_are_copied_to_a_large_frame_that_is_mapped() {
    // PM-160, PM-165, PM-447: its mapping stays, and shows them.
    let world = world();
    let (mut pm, container) = large(&world, 2, 0);
    pm.allocate(container, at(LARGE), frames(LARGE), PLAIN).unwrap();
    let within = ((container, at(LARGE)), (container, at(0)));
    assert_eq!(
        refusal(pm.copy(within.0, within.1, frames(LARGE), REPLACE)),
        Some(PmError::TooMany)
    );
    check_bytes(&world, 2, 0);
    let blank = pm.container_create(OWN).unwrap();
    pm.allocate(blank, at(0), frames(LARGE), PLAIN).unwrap();
    let mut done = 0;
    while done < LARGE {
        let count = if done == 0 { LARGE } else { (LARGE - done).min(256) };
        let copied = pm.copy((blank, at(done)), (container, at(done)), frames(count), REPLACE);
        done += match copied {
            Err(CallError::Refused(more)) if more.error == PmError::Pending => more.done,
            copied => copied.unwrap(),
        };
    }
    for place in (0..LARGE).step_by(37) {
        assert_eq!(world.load(2, page(place)), Ok(0), "{place}");
    }
}

#[test]
fn a_copy_that_has_split_much_leaves_the_rest_to_the_next_call() {
    // PM-320: what a call looks at and takes back is work, too.
    for count in [20, 80, 141, 200, 256] {
        let world = world();
        let (mut pm, container) = large(&world, 2, 0);
        pm.unmap(page(0), frames(LARGE)).unwrap();
        let lent = pm.share(container, at(0), LARGE, peer(3), Rights::all(), LONG).unwrap().weak;
        let mut borrower = world.as_peer(3);
        for place in [0, 4 * NEXT] {
            borrower.map(lent, at(0), frames(LARGE), page(place), FORCED).unwrap();
        }
        let terms =
            ShareTerms { peer: peer(1), rights: Rights::all(), lease_max: LONG, once: false };
        let from = Frames { container: lent, start: at(LARGE - count), count: frames(count) };
        all(|| borrower.create_from(OWN, from, terms)).unwrap();
        check_bytes(&world, 3, 0);
    }
}

#[test]
fn what_is_asked_for_again_before_anything_was_done_has_made_nothing() {
    // PM-12, PM-32: the newest frame is a part of a large one, which is split first.
    let world = world();
    let (mut pm, container) = large(&world, 2, 0);
    let flags = AllocateFlags::SQUASH | AllocateFlags::EXTRA;
    let before = info(&mut pm, OWN).frames;
    let mut calls = 0;
    let made = all(|| {
        calls += 1;
        let made = pm.allocate(container, at(2048), frames(5), flags);
        let count = pages(info(&mut pm, OWN).frames) - pages(before);
        assert_eq!(count, if made.is_ok() { 5 } else { 0 }, "call {calls}");
        made
    });
    assert_eq!(made, Ok(5));
    assert!(calls > 2, "it was split");
}

#[test]
fn a_lower_limit_is_set_when_the_first_frame_has_become_extra() {
    // PM-241: until then a step splits the large frame, and changes nothing that is seen
    let world = world();
    let (mut pm, _) = large(&world, 2, 0);
    let mut policy = world.as_peer(1);
    let before = info(&mut pm, OWN);
    let limit = u32::try_from(pages(before.used)).unwrap() - 20;
    let flags = LimitFlags::EXTRA | LimitFlags::EXCESS;
    let mut set = || policy.account_set_limits(AccountHandle::of_peer(peer(2)), limit, flags);
    let failure = failure(set());
    assert_eq!((failure.error, failure.done), (PmError::Pending, 0));
    let told = |info: pmserver_api::AccountInfo| (info.limit, info.frames, info.extra);
    assert_eq!(told(info(&mut pm, OWN)), told(before));
    all(set).unwrap();
    let after = info(&mut pm, OWN);
    assert_eq!(pages(after.limit), u64::from(limit));
    assert!(pages(after.extra) >= 20, "{after:?}");
}

#[test]
fn a_page_table_where_a_large_page_was_is_in_the_way_of_that_only() {
    let world = world();
    let (mut pm, container) = large(&world, 2, 0);
    pm.unmap(page(0), frames(LARGE)).unwrap();
    let (other, last) = (crate::world::filled(&mut pm, 1), page(LARGE - 1));
    pm.map(other, at(0), frames(1), last, FORCED).unwrap();
    let mapped = all(|| pm.map(container, at(0), frames(LARGE), page(0), FORCED)).unwrap();
    assert!((1..LARGE).contains(&mapped.count), "{mapped:?}, one by one");
    assert_eq!((world.load(2, page(0)), world.load(2, last)), (Ok(byte_of(0)), Ok(0)));
}
