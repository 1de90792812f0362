// SPDX-License-Identifier: BSD-2-Clause
//! Bound runs: 64 frames that are bound and mapped in one record (decision 0041).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{
    Pm, World, all, at, count, equal_peers, failure, filled, frames, info, page, pages,
};
use crate::world::{byte_of, check_bytes, peer, refusal, stored};
use pmserver_api::{
    AccountHandle, CallError, ContainerHandle, CopyFlags, DeallocateFlags, Disturbance, FrameState,
    LimitFlags, LockMode, MapFlags, Marks, PmError, Rights, ShareTerms,
};
use pmserver_core::config::Privileges;
use proto::limits::CALL_WORK_MAX;
use proto::{ByteCount, Micros};
use sim::Refusal;

const OWN: AccountHandle = AccountHandle::OWN;
const HOLES: DeallocateFlags = DeallocateFlags::empty();
const REPLACE: CopyFlags = CopyFlags::empty();
const WRITE: MapFlags = MapFlags::WRITE;
const READ: MapFlags = MapFlags::READ;
const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);
const LONG: Micros = Micros::new(1_000_000);
const RUN: u64 = 64;

/// Peers 1 to 3 with 3 MiB each. So small a pool has no large frames.
fn world() -> World {
    let peers = equal_peers::<3>(ByteCount::new(3 << 20), Privileges::all());
    World::with_peers(16 << 20, &peers)
}

/// Checks that a peer has nothing mapped at these pages.
fn check_unmapped(world: &World, number: u64, mut at_pages: std::ops::Range<u64>) {
    assert!(at_pages.all(|place| world.load(number, page(place)).is_err()));
}

#[test]
fn a_run_is_copied_with_less_work_than_a_cluster() {
    let world = world();
    let work = || world.0.borrow().work();
    let (mut pm, source) = stored(&world, 2, RUN, 0);
    let copy = filled(&mut pm, 2 * RUN);
    pm.unmap(page(0), frames(RUN)).unwrap();
    pm.copy((source, at(0)), (copy, at(0)), frames(RUN), REPLACE).unwrap();
    let of_a_run = work();
    pm.copy((source, at(0)), (copy, at(RUN)), frames(8), REPLACE).unwrap();
    assert!(of_a_run < work(), "{of_a_run} and {}", work());
}

#[test]
fn parts_are_unmapped_and_mapped_again() {
    let world = world();
    let (mut pm, container) = stored(&world, 2, 2 * RUN, 0);
    let other = filled(&mut pm, 1);
    let unmapped = |pm: &mut Pm| pm.unmap(page(0), frames(2 * RUN)).unwrap();
    assert_eq!(unmapped(&mut pm), 2 * RUN);
    let before = info(&mut pm, OWN);
    for (first, part) in [(0, 1), (63, 1), (7, 2), (8, 8), (30, 40), (64, 64), (1, 127)] {
        pm.map(container, at(0), frames(2 * RUN), page(0), WRITE).unwrap();
        check_bytes(&world, 2, 0, 0..2 * RUN);
        assert_eq!(pm.unmap(page(first), frames(part)), Ok(part));
        check_unmapped(&world, 2, first..first + part);
        check_bytes(&world, 2, 0, 0..first);
        check_bytes(&world, 2, first + part, first + part..2 * RUN);
        // Another frame there, and then the same ones with other rights.
        pm.map(other, at(0), frames(1), page(first), WRITE).unwrap();
        assert_eq!(world.load(2, page(first)), Ok(0));
        pm.unmap(page(first), frames(1)).unwrap();
        assert_eq!(
            pm.map(container, at(first), frames(part), page(first), READ).unwrap().count,
            part
        );
        check_bytes(&world, 2, 0, 0..2 * RUN);
        assert!(world.store(2, 0, page(first)).is_err());
        assert_eq!(
            refusal(pm.map(other, at(0), frames(1), page(first), READ)),
            Some(PmError::Occupied)
        );
        assert_eq!(unmapped(&mut pm), 2 * RUN);
        assert_eq!(info(&mut pm, OWN), before, "{first} {part}");
    }
}

#[test]
fn any_number_of_frames_at_any_place_is_mapped() {
    let world = world();
    let (mut pm, container) = stored(&world, 2, 3 * RUN, 0);
    for (number, first, mapped) in
        [(0, 256, 192), (64, 320, 64), (64, 321, 64), (63, 256, 66), (1, 257, 190), (128, 511, 64)]
    {
        assert_eq!(
            pm.map(container, at(number), frames(mapped), page(first), WRITE).unwrap().count,
            mapped
        );
        check_bytes(&world, 2, first, number..number + mapped);
        check_bytes(&world, 2, 0, 0..3 * RUN);
        assert_eq!(pm.unmap(page(first), frames(mapped)), Ok(mapped));
        check_unmapped(&world, 2, first..first + mapped);
    }
}

#[test]
fn four_mappings_of_each_frame_are_made_and_no_more() {
    let world = world();
    let (mut pm, container) = stored(&world, 2, RUN, 0);
    for first in [64, 128, 192] {
        assert_eq!(pm.map(container, at(0), frames(RUN), page(first), WRITE).unwrap().count, RUN);
    }
    let refused = failure(pm.map(container, at(0), frames(RUN), page(256), WRITE));
    assert_eq!((refused.error, refused.at), (PmError::TooMany, 0));
    for first in [0, 64, 128, 192] {
        check_bytes(&world, 2, first, 0..RUN);
        assert_eq!(pm.unmap(page(first), frames(RUN)), Ok(RUN));
    }
}

#[test]
fn stores_separate_copies_of_runs() {
    for writer in 0..3_usize {
        for stores in [0..1, 5..70, 0..128] {
            let world = world();
            let (mut pm, source) = stored(&world, 2, 2 * RUN, 0);
            let bases = [0, 256, 512];
            for base in &bases[1..] {
                let copy = filled(&mut pm, 2 * RUN);
                let copied =
                    all(|| pm.copy((source, at(0)), (copy, at(0)), frames(2 * RUN), REPLACE));
                assert_eq!(copied, Ok(2 * RUN));
                pm.map(copy, at(0), frames(2 * RUN), page(*base), WRITE).unwrap();
            }
            assert_eq!(count(&mut pm, source, 2 * RUN, FrameState::COW), 2 * RUN);
            for place in stores.clone() {
                world.store(2, 255, page(bases[writer] + place)).unwrap();
            }
            for (seen, base) in bases.iter().enumerate() {
                for place in 0..2 * RUN {
                    let is_stored = seen == writer && stores.contains(&place);
                    let byte = if is_stored { 255 } else { byte_of(place) };
                    assert_eq!(world.load(2, page(base + place)), Ok(byte), "{seen} {place}");
                }
            }
        }
    }
}

#[test]
fn a_copy_replaces_what_is_mapped() {
    for copied in [RUN, 2 * RUN, RUN + 3] {
        let world = world();
        let (mut pm, source) = stored(&world, 2, 2 * RUN, 0);
        let target = filled(&mut pm, 2 * RUN);
        pm.map(target, at(0), frames(2 * RUN), page(256), FORCED).unwrap();
        let shared = pm.share(target, at(0), 2 * RUN, peer(3), Rights::all(), LONG).unwrap();
        let mut borrower = world.as_peer(3);
        borrower.map(shared.weak, at(0), frames(2 * RUN), page(0), READ).unwrap();
        world.store(2, 99, page(256 + 127)).unwrap();
        let done = all(|| pm.copy((source, at(0)), (target, at(0)), frames(copied), REPLACE));
        assert_eq!(done, Ok(copied));
        check_bytes(&world, 2, 256, 0..copied);
        check_bytes(&world, 3, 0, 0..copied);
        let last = if copied == 2 * RUN { byte_of(127) } else { 99 };
        assert_eq!(world.load(3, page(127)), Ok(last));
        pm.container_destroy(source).unwrap();
        check_bytes(&world, 3, 0, 0..copied);
    }
}

#[test]
fn the_pages_of_a_run_outlive_each_of_six_copies() {
    for last in 0..6 {
        let world = world();
        let mut pm = world.as_peer(1);
        let before = info(&mut pm, OWN);
        let (_, source) = stored(&world, 1, RUN, 0);
        let mut all_of_them = vec![source];
        for _ in 0..5 {
            let copy = filled(&mut pm, RUN);
            all(|| pm.copy((source, at(0)), (copy, at(0)), frames(RUN), REPLACE)).unwrap();
            all_of_them.push(copy);
        }
        let left = all_of_them.remove(last);
        pm.unmap(page(0), frames(RUN)).unwrap();
        for copy in all_of_them {
            assert_eq!(pm.renew(copy, at(2), frames(1)), Ok(1));
            pm.deallocate(copy, at(0), frames(4), HOLES).unwrap();
            all(|| pm.container_destroy(copy)).unwrap();
            all(|| pm.disturb(Disturbance::Move, 0)).unwrap();
        }
        assert_eq!(count(&mut pm, left, 64, FrameState::COW), 0);
        pm.map(left, at(0), frames(RUN), page(0), WRITE).unwrap();
        check_bytes(&world, 1, 0, 0..RUN);
        all(|| pm.container_destroy(left)).unwrap();
        assert_eq!(info(&mut pm, OWN), before);
    }
}

#[test]
fn a_lease_excludes_from_its_part_alone() {
    for mode in [LockMode::Read, LockMode::Exclusive] {
        for (first, locked) in [(0, 1), (2, 62), (63, 2), (0, 128), (64, 64)] {
            let world = world();
            let (mut pm, container) = stored(&world, 2, 2 * RUN, 0);
            let shared = pm.share(container, at(0), 2 * RUN, peer(3), Rights::all(), LONG).unwrap();
            let mut borrower = world.as_peer(3);
            borrower.map(shared.weak, at(0), frames(2 * RUN), page(64), WRITE).unwrap();
            let range = (shared.weak, at(first), frames(locked));
            let lease = borrower.lock(range.0, range.1, range.2, mode, LONG).unwrap();
            for place in 0..2 * RUN {
                let is_in = (first..first + locked).contains(&place);
                let may_load = !is_in || mode == LockMode::Read;
                assert_eq!(world.load(2, page(place)).is_ok(), may_load, "{place}");
                assert_eq!(world.store(2, byte_of(place), page(place)).is_ok(), !is_in, "{place}");
                world.store(3, byte_of(place), page(64 + place)).unwrap();
            }
            borrower.unlock(lease.lease).unwrap();
            check_bytes(&world, 2, 0, 0..2 * RUN);
            pm.unshare(shared.share).unwrap();
            check_unmapped(&world, 3, 64..64 + 2 * RUN);
            check_bytes(&world, 2, 0, 0..2 * RUN);
        }
    }
}

#[test]
fn what_was_taken_is_given_back() {
    let world = world();
    let (mut pm, container) = stored(&world, 2, 3 * RUN, 0);
    let mut borrower = world.as_peer(3);
    let before = info(&mut borrower, OWN);
    let terms = ShareTerms { peer: peer(3), rights: Rights::WRITE, lease_max: LONG, once: true };
    let shared = pm.share_on(container, at(0), 3 * RUN, terms).unwrap();
    for (first, taken, to) in [(0, 192, 0), (64, 64, 256), (64, 65, 1), (1, 100, 64), (0, 64, 0)] {
        pm.arm(shared.share).unwrap();
        let range = (shared.weak, at(first), frames(taken));
        let lease = all(|| borrower.take(range.0, range.1, range.2, page(to), WRITE)).unwrap();
        check_bytes(&world, 3, to, first..first + taken);
        world.store(3, 255, page(to)).unwrap();
        borrower.unlock(lease.lease).unwrap();
        check_unmapped(&world, 3, to..to + taken);
        assert_eq!(world.load(2, page(first)), Ok(255));
        world.store(2, byte_of(first), page(first)).unwrap();
    }
    pm.unshare(shared.share).unwrap();
    assert_eq!(info(&mut borrower, OWN), before);
}

#[test]
fn remap_changes_parts_and_wholes() {
    for (first, part) in [(0, 64), (64, 64), (0, 128), (3, 70), (127, 1), (0, 65)] {
        let world = world();
        let (mut pm, _) = stored(&world, 2, 2 * RUN, 0);
        all(|| pm.disturb(Disturbance::Unmap, 0)).unwrap();
        let remapped = pm.remap(page(first), frames(part), READ).unwrap();
        assert_eq!((remapped.count, remapped.rights()), (part, READ), "{first} {part}");
        for place in 0..2 * RUN {
            let is_in = (first..first + part).contains(&place);
            assert_eq!(world.store(2, byte_of(place), page(place)).is_ok(), !is_in, "{place}");
        }
        check_bytes(&world, 2, 0, 0..2 * RUN);
    }
}

#[test]
fn a_region_shows_a_run_at_the_first_access() {
    let world = world();
    let (mut pm, container) = stored(&world, 2, 3 * RUN, 0);
    let shared = pm.share(container, at(0), 3 * RUN, peer(3), Rights::all(), LONG).unwrap();
    let mut borrower = world.as_peer(3);
    // The second one begins in the middle of a run, and ends in another.
    for (start, pages_of, first, touched) in
        [(0, 192_u64, 0, 70), (10, 150, 266, 300), (10, 150, 512, 600)]
    {
        borrower
            .attach(shared.weak, at(start), u32::try_from(pages_of).unwrap(), page(first), WRITE)
            .unwrap();
        let invocations = || world.0.borrow().kernel().invocations();
        let before = invocations();
        assert_eq!(world.load(3, page(touched)), Ok(byte_of(start + touched - first)));
        if start == 0 {
            assert!(invocations() - before >= RUN, "all of the run are mapped");
            let before = invocations();
            check_bytes(&world, 3, 64, 64..128);
            assert_eq!(invocations(), before);
        }
        check_bytes(&world, 3, first, start..start + pages_of);
        world.store(3, byte_of(start), page(first)).unwrap();
        borrower.detach(page(first)).unwrap();
        borrower.unmap(page(first), frames(pages_of)).unwrap();
    }
}

#[test]
fn the_next_one_finds_nothing_in_a_run() {
    // R15
    let world = world();
    let (mut pm, container) = stored(&world, 2, RUN, 0);
    all(|| pm.container_destroy(container)).unwrap();
    let mut other = world.as_peer(3);
    let container = filled(&mut other, RUN);
    other.map(container, at(0), frames(RUN), page(0), FORCED).unwrap();
    assert!((0..RUN).all(|place| world.load(3, page(place)) == Ok(0)));
}

#[test]
fn a_call_binds_as_many_runs_as_there_is_work_for() {
    let world = world();
    let mut pm = world.as_peer(2);
    let container = filled(&mut pm, 4 * RUN);
    let mapped = pm.map(container, at(0), frames(4 * RUN), page(0), FORCED).unwrap();
    // The fourth could take more than is left.
    assert_eq!(mapped.count, 3 * RUN);
    assert!(world.most_work() <= CALL_WORK_MAX, "{}", world.most_work());
}

#[test]
fn marks_pins_and_lower_limits_are_of_single_frames() {
    let world = world();
    let (mut pm, container) = stored(&world, 2, 2 * RUN, 0);
    assert_eq!(pm.mark(container, at(60), frames(8), Marks::DISCARDABLE), Ok(8));
    assert_eq!(count(&mut pm, container, 2 * RUN, FrameState::DISCARDABLE), 8);
    let pinned = pm.pin(container, at(3), frames(2), LockMode::Exclusive, LONG).unwrap();
    all(|| pm.disturb(Disturbance::Move, 0)).unwrap();
    pm.unlock(pinned.lease.lease).unwrap();
    let used = u32::try_from(pages(info(&mut pm, OWN).used)).unwrap();
    let account = AccountHandle::of_peer(peer(2));
    let flags = LimitFlags::EXTRA | LimitFlags::EXCESS;
    all(|| world.as_peer(1).account_set_limits(account, used - 3, flags)).unwrap();
    assert_eq!(count(&mut pm, container, 2 * RUN, FrameState::EXTRA), 3);
    check_bytes(&world, 2, 0, 0..2 * RUN);
}

#[test]
fn a_copy_between_runs_that_are_mapped_twice_keeps_to_the_bound_on_a_call() {
    // PM-320, which the world checks
    let world = world();
    let (mut pm, source) = stored(&world, 2, 3 * RUN, 0);
    let target = filled(&mut pm, 3 * RUN);
    pm.map(target, at(0), frames(3 * RUN), page(256), FORCED).unwrap();
    pm.unmap(page(256 + RUN), frames(RUN)).unwrap();
    for (container, first) in [(source, 512), (target, 1024)] {
        let shared = pm.share(container, at(0), 3 * RUN, peer(3), Rights::all(), LONG).unwrap();
        let mut borrower = world.as_peer(3);
        for run in [0, 1, 2].iter().filter(|run| container == source || **run != 1) {
            let (number, to) = (at(run * RUN), page(first + run * RUN));
            borrower.map(shared.weak, number, frames(RUN), to, WRITE).unwrap();
        }
    }
    let copied = all(|| pm.copy((source, at(0)), (target, at(0)), frames(3 * RUN), REPLACE));
    assert_eq!(copied.unwrap() % RUN, 0);
    check_bytes(&world, 2, 256, 0..RUN);
    check_bytes(&world, 3, 512, 0..3 * RUN);
}

#[test]
fn a_split_whose_node_was_the_last_record_of_a_page_needs_no_other_page() {
    for nth in 1..40 {
        let world = world();
        let (_, container) = stored(&world, 2, 2 * RUN, 0);
        let mut pm = world.as_peer(2);
        let shared = pm.share(container, at(0), 2 * RUN, peer(3), Rights::all(), LONG).unwrap();
        let mut borrower = world.as_peer(3);
        borrower.map(shared.weak, at(RUN), frames(RUN), page(256), WRITE).unwrap();
        borrower.map(shared.weak, at(0), frames(RUN), page(256 + RUN), WRITE).unwrap();
        borrower.unmap(page(256), frames(1)).unwrap();
        borrower.unmap(page(256 + 8), frames(RUN - 8)).unwrap();
        let before = info(&mut borrower, OWN);
        let was_made = world.refuse(Refusal { nth, error: 0 }, || {
            let _ = borrower.unmap(page(256 + RUN), frames(1));
        });
        check_bytes(&world, 3, 256 + RUN + 1, 1..RUN);
        assert!(pages(info(&mut borrower, OWN).used) <= pages(before.used));
        if !was_made {
            return;
        }
    }
    panic!("it is never over");
}

#[test]
fn contiguous_frames_take_the_place_of_runs() {
    let [mut first, second] = equal_peers::<2>(ByteCount::new(520 << 10), Privileges::all());
    first.limit = ByteCount::new(360 << 10);
    let world = World::with_peers(1 << 20, &[first, second]);
    let mut other = world.as_peer(2);
    let gaps = other.container_create(OWN).unwrap();
    all(|| other.allocate_contiguous(gaps, at(0), frames(120), 12, 64)).unwrap();
    let (mut pm, _) = stored(&world, 1, RUN, 0);
    // Between frames that stay where they are there is room for single pages. Behind the run there
    // are less than 60 in a row.
    for number in (0..120).step_by(2) {
        other.deallocate(gaps, at(number), frames(1), HOLES).unwrap();
    }
    let container = other.container_create(OWN).unwrap();
    let found = all(|| other.allocate_contiguous(container, at(0), frames(60), 12, 64));
    assert!(found.is_ok(), "{found:?}");
    check_bytes(&world, 1, 0, 0..RUN);
    assert_eq!(pm.unmap(page(0), frames(RUN)), Ok(RUN));
}

#[test]
fn what_the_kernel_refuses_of_a_run_is_told() {
    // PM-380
    type Call = fn(&mut Pm, ContainerHandle, ContainerHandle) -> Result<u64, CallError>;
    let calls: [(&str, u64, Call); 6] = [
        ("map", 64, |pm, container, _| {
            pm.map(container, at(0), frames(64), page(128), FORCED).map(|mapped| mapped.count)
        }),
        ("bind", 64, |pm, _, copy| {
            pm.map(copy, at(0), frames(64), page(192), FORCED).map(|mapped| mapped.count)
        }),
        ("unmap", 64, |pm, _, _| pm.unmap(page(0), frames(64))),
        ("part", 3, |pm, _, _| pm.unmap(page(9), frames(3))),
        ("copy", 64, |pm, container, copy| {
            pm.copy((container, at(0)), (copy, at(0)), frames(64), REPLACE)
        }),
        ("remap", 64, |pm, _, _| pm.remap(page(0), frames(64), READ).map(|mapped| mapped.count)),
    ];
    for (name, full, call) in calls {
        let mut refused = 0;
        for nth in (1..8).chain((8..400).step_by(9)) {
            let world = world();
            let mut pm = world.as_peer(2);
            let before = info(&mut pm, OWN);
            let (_, container) = stored(&world, 2, RUN, 0);
            let copy = filled(&mut pm, RUN);
            let mut result = Ok(0);
            let was_made = world.refuse(Refusal { nth, error: 0 }, || {
                result = call(&mut pm, container, copy);
            });
            let done = match result {
                Ok(done) => done,
                Err(CallError::Refused(failure)) => failure.done,
                Err(other) => panic!("{other:?}"),
            };
            refused += u64::from(done < full);
            let unmapped = match name {
                "unmap" => 0..done,
                "part" => 9..9 + done,
                _ => 0..0,
            };
            for place in 0..RUN {
                let seen = world.load(2, page(place)).ok();
                let shown = Some(byte_of(place)).filter(|_| !unmapped.contains(&place));
                assert_eq!(seen, shown, "{name} {nth}: page {place}");
                let is_mapped = name == "map" && place < done;
                let shown = Some(byte_of(place)).filter(|_| is_mapped);
                assert_eq!(world.load(2, page(128 + place)).ok(), shown, "{name} {nth}: {place}");
            }
            if name != "bind" {
                pm.map(copy, at(0), frames(RUN), page(192), WRITE).unwrap();
                let copied = if name == "copy" { done } else { 0 };
                check_bytes(&world, 2, 192, 0..copied);
                world.store(2, 9, page(192 + 63)).unwrap();
                assert_eq!(world.load(2, page(192 + 63)), Ok(9));
            }
            for each in [copy, container] {
                all(|| pm.container_destroy(each)).unwrap();
            }
            assert_eq!(info(&mut pm, OWN), before, "{name} {nth}");
            if !was_made {
                break;
            }
        }
        // The others go on with clusters, or single frames.
        let is_told = ["unmap", "remap"].contains(&name);
        assert!(refused > 1 || !is_told, "{name}: {refused} steps were refused");
    }
}
