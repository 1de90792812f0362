// SPDX-License-Identifier: BSD-2-Clause
//! Clusters: frames and mappings of which eight are in one record (decision 0040).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{
    PAGE, Pm, World, all, at, byte_of, check_bytes, count, failure, filled, frames,
};
use crate::world::{info, page, pages, peer, stored};
use pmserver_api::{
    AccountHandle, AllocateFlags, CallError, ContainerHandle, CopyFlags, DeallocateFlags,
    Disturbance, FrameState, LimitFlags, LockMode, MapFlags, Marks, PmError, Rights, ShareTerms,
};
use pmserver_core::config::{PeerConfig, Privileges};
use pmserver_core::kernel::VSpace;
use proto::{ByteCount, Micros, VirtAddr};
use sim::Refusal;

const OWN: AccountHandle = AccountHandle::OWN;
const HOLES: DeallocateFlags = DeallocateFlags::empty();
const REPLACE: CopyFlags = CopyFlags::empty();
const WRITE: MapFlags = MapFlags::WRITE;
const READ: MapFlags = MapFlags::READ;
const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);
const LONG: Micros = Micros::new(1_000_000);

/// Peers 1 to 3 with 2 MiB each: the first may do everything.
fn world() -> World {
    let peers = [1, 2, 3].map(|peer: u8| PeerConfig {
        peer,
        name: "peer",
        limit: ByteCount::new(2 << 20),
        privileges: if peer == 1 { Privileges::all() } else { Privileges::EXTRA },
    });
    World::with_peers(8 << 20, &peers)
}

#[test]
fn parts_are_mapped_and_unmapped_at_every_offset() {
    let world = world();
    let (mut pm, container) = stored(&world, 2, 32, 100);
    let other = filled(&mut pm, 1);
    let before = info(&mut pm, OWN);
    for offset in 0..8 {
        for first in 1..=8 {
            for count in [1, 2, 3, 5, 7, 8, 9, 13, 20] {
                let range = (container, at(offset), frames(count));
                let mapped = pm.map(range.0, range.1, range.2, page(first), WRITE).unwrap();
                assert_eq!((mapped.count, mapped.rights()), (count, READ | WRITE));
                check_bytes(&world, 2, first, offset..offset + count);
                for outside in [first - 1, first + count] {
                    assert!(world.load(2, page(outside)).is_err(), "it was not asked for");
                }
                // Out of the middle, another frame there, and the same again with other flags.
                let middle = count / 2;
                let hole = page(first + middle);
                assert_eq!(pm.unmap(hole, frames(1)), Ok(1));
                assert_eq!(pm.unmap(hole, frames(1)), Ok(0));
                assert!(world.load(2, hole).is_err());
                pm.map(other, at(0), frames(1), hole, WRITE).unwrap();
                assert_eq!(world.load(2, hole), Ok(0));
                pm.unmap(page(first), frames(middle.max(1))).unwrap();
                let again = pm.map(range.0, range.1, range.2, page(first), WRITE);
                match again {
                    Ok(mapped) => assert_eq!(mapped.count, middle.max(1)),
                    Err(error) => {
                        assert_eq!((error.refusal(), middle), (Some(PmError::Occupied), 0));
                    }
                }
                pm.unmap(hole, frames(1)).unwrap();
                let flags = if count % 2 == 0 { READ } else { WRITE };
                pm.map(container, at(offset + middle), frames(1), hole, flags).unwrap();
                check_bytes(&world, 2, first, offset..offset + count);
                assert_eq!(world.store(2, byte_of(offset + middle), hole).is_ok(), flags == WRITE);
                assert_eq!(pm.unmap(page(0), frames(40)), Ok(count));
                assert_eq!(info(&mut pm, OWN), before, "{offset} {first} {count}");
            }
        }
    }
}

#[test]
fn mappings_in_clusters_need_no_more_room_than_alone() {
    // PM-15: six tables, and a page of slots and one of records.
    for (first, others) in [(3, 0), (10, 0), (10, 38), (17, 0)] {
        let world = world();
        let (mut owner, mut pm) = (world.as_peer(2), world.as_peer(3));
        let container = filled(&mut owner, 64);
        let shared = owner.share(container, at(0), 64, peer(3), Rights::all(), LONG).unwrap();
        for _ in 0..others {
            pm.container_create(OWN).unwrap();
        }
        let limit = u32::try_from(pages(info(&mut pm, OWN).used)).unwrap() + 6 + 1 + 1;
        let account = AccountHandle::of_peer(peer(3));
        world.as_peer(1).account_set_limits(account, limit, LimitFlags::empty()).unwrap();
        let vaddr = VirtAddr::new_page((2 << 39) - first * PAGE).unwrap();
        let mapped = pm.map(shared.weak, at(0), frames(20), vaddr, READ).unwrap();
        assert_eq!(mapped.count, 20, "{first} {others}");
    }
}

#[test]
fn mappings_at_every_offset_cost_as_much_as_is_said() {
    // PM-15
    for offset in 0..8 {
        for first in 0..8 {
            for count in 1..=20 {
                let world = world().unchecked();
                let (mut owner, mut pm) = (world.as_peer(2), world.as_peer(3));
                let container = filled(&mut owner, 64);
                let shared =
                    owner.share(container, at(0), 64, peer(3), Rights::all(), LONG).unwrap();
                pm.map(shared.weak, at(0), frames(64), page(64), READ).unwrap();
                let before = info(&mut pm, OWN);
                pm.map(shared.weak, at(offset), frames(count), page(first), READ).unwrap();
                let after = info(&mut pm, OWN);
                let more = |after, before| pages(after) - pages(before);
                let charged =
                    (more(after.records, before.records), more(after.slots, before.slots));
                assert!(charged.0 <= 1 && charged.1 <= 1, "{offset} {first} {count}: {charged:?}");
                world.check();
            }
        }
    }
}

#[test]
fn one_frame_that_is_mapped_often_keeps_only_its_own_from_being_mapped() {
    let world = world();
    let (mut pm, container) = stored(&world, 2, 8, 0);
    let shared = pm.share(container, at(0), 8, peer(3), Rights::all(), LONG).unwrap();
    let mut borrower = world.as_peer(3);
    borrower.map(shared.weak, at(3), frames(1), page(40), WRITE).unwrap();
    borrower.map(shared.weak, at(3), frames(1), page(41), WRITE).unwrap();
    // Frame 3 has three mappings: the last one is the owner's.
    assert_eq!(borrower.map(shared.weak, at(0), frames(8), page(0), WRITE).unwrap().count, 3);
    let refused = failure(borrower.map(shared.weak, at(3), frames(5), page(3), WRITE));
    assert_eq!((refused.error, refused.at), (PmError::TooMany, 3));
    assert_eq!(borrower.map(shared.weak, at(4), frames(4), page(4), WRITE).unwrap().count, 4);
    pm.map(container, at(0), frames(8), page(16), WRITE).unwrap();
    let refused = failure(pm.map(container, at(3), frames(5), page(32), WRITE));
    assert_eq!((refused.error, refused.at), (PmError::TooMany, 3));
    check_bytes(&world, 3, 0, 0..3);
    check_bytes(&world, 3, 4, 4..8);
    check_bytes(&world, 2, 16, 0..8);
    assert!(world.load(3, page(3)).is_err());
}

#[test]
fn stores_separate_copies_of_clusters_wherever_they_are_made() {
    for writer in 0..3 {
        for (from, to, copied) in [(0, 0, 16), (0, 0, 13), (3, 3, 9), (1, 4, 12), (0, 8, 8)] {
            let world = world();
            let (mut pm, source) = stored(&world, 2, 16, 0);
            let copies = [0, 1].map(|_| filled(&mut pm, 16));
            for copy in copies {
                let range = ((source, at(from)), (copy, at(to)));
                assert_eq!(all(|| pm.copy(range.0, range.1, frames(copied), REPLACE)), Ok(copied));
            }
            let (first, second) = (page(32 + to), page(64 + to));
            pm.map(copies[0], at(to), frames(copied), first, WRITE).unwrap();
            pm.map(copies[1], at(to), frames(copied), second, WRITE).unwrap();
            assert_eq!(count(&mut pm, source, 16, FrameState::COW), copied);
            let base = [from, 32 + to, 64 + to];
            for place in 0..copied {
                world.store(2, 255, page(base[writer] + place)).unwrap();
                for other in (0..3).filter(|other| *other != writer) {
                    let seen = world.load(2, page(base[other] + place));
                    assert_eq!(seen, Ok(byte_of(from + place)), "{writer} {other} {place}");
                }
            }
            let cow = if writer == 0 { 0 } else { copied };
            assert_eq!(count(&mut pm, source, 16, FrameState::COW), cow);
            // What was not copied to has no memory.
            let bound = count(&mut pm, copies[0], 16, FrameState::BOUND);
            assert_eq!(bound, copied);
        }
    }
}

#[test]
fn a_copy_that_is_not_to_be_divided_copies_no_cluster_before_it_is_refused() {
    // PM-163
    let world = world();
    let (mut pm, source) = stored(&world, 2, 16, 0);
    let copy = filled(&mut pm, 12);
    pm.unmap(page(0), frames(16)).unwrap();
    let refused = failure(pm.copy((source, at(0)), (copy, at(0)), frames(16), CopyFlags::ATOMIC));
    assert_eq!((refused.error, refused.done, refused.at), (PmError::NotFound, 0, 12));
    assert_eq!(count(&mut pm, copy, 12, FrameState::BOUND), 0);
    assert_eq!(pm.copy((source, at(0)), (copy, at(0)), frames(12), CopyFlags::ATOMIC), Ok(12));
    pm.map(copy, at(0), frames(12), page(0), READ).unwrap();
    check_bytes(&world, 2, 0, 0..12);
}

#[test]
fn a_page_with_more_holders_than_it_names_outlives_each_of_them() {
    for last in 0..6 {
        let world = world();
        let mut pm = world.as_peer(1);
        let before = info(&mut pm, OWN);
        let (_, source) = stored(&world, 1, 8, 0);
        let mut all_of_them = vec![source];
        for _ in 0..5 {
            let copy = filled(&mut pm, 8);
            pm.copy((source, at(0)), (copy, at(0)), frames(8), REPLACE).unwrap();
            all_of_them.push(copy);
        }
        let left = all_of_them.remove(last);
        pm.unmap(page(0), frames(8)).unwrap();
        // Contiguous frames take what can move, which these pages cannot.
        let dma = pm.container_create(OWN).unwrap();
        pm.allocate_contiguous(dma, at(0), frames(16), 12, 64).unwrap();
        for copy in all_of_them {
            assert_eq!(pm.renew(copy, at(2), frames(1)), Ok(1));
            pm.deallocate(copy, at(0), frames(4), HOLES).unwrap();
            pm.container_destroy(copy).unwrap();
            all(|| pm.disturb(Disturbance::Move, 0)).unwrap();
        }
        assert_eq!(count(&mut pm, left, 8, FrameState::COW), 0);
        pm.map(left, at(0), frames(8), page(0), WRITE).unwrap();
        check_bytes(&world, 1, 0, 0..8);
        let pinned = pm.pin(left, at(1), frames(3), LockMode::Exclusive, LONG).unwrap();
        assert!(world.device_write(pinned.bus.address, 99));
        all(|| pm.disturb(Disturbance::Move, 0)).unwrap();
        assert!(world.device_write(pinned.bus.address, 98));
        pm.unlock(pinned.lease.lease).unwrap();
        assert_eq!(world.load(1, page(1)), Ok(98));
        check_bytes(&world, 1, 2, 2..8);
        for container in [left, dma] {
            pm.container_destroy(container).unwrap();
        }
        assert_eq!(info(&mut pm, OWN), before);
    }
}

#[test]
fn a_lease_on_a_part_excludes_from_that_part() {
    for mode in [LockMode::Read, LockMode::Exclusive] {
        for (first, locked) in [(0, 1), (2, 3), (5, 3), (6, 5), (0, 16)] {
            let world = world();
            let (mut pm, container) = stored(&world, 2, 16, 0);
            let shared = pm.share(container, at(0), 16, peer(3), Rights::all(), LONG).unwrap();
            let mut borrower = world.as_peer(3);
            borrower.map(shared.weak, at(0), frames(16), page(5), WRITE).unwrap();
            let range = (shared.weak, at(first), frames(locked));
            let lease = borrower.lock(range.0, range.1, range.2, mode, LONG).unwrap();
            for place in 0..16 {
                let is_in = (first..first + locked).contains(&place);
                let may_load = !is_in || mode == LockMode::Read;
                assert_eq!(world.load(2, page(place)).is_ok(), may_load, "{place}");
                let stored = world.store(2, byte_of(place), page(place));
                assert_eq!(stored.is_ok(), !is_in, "{place}");
                world.store(3, byte_of(place), page(5 + place)).unwrap();
            }
            // The frames before the leased ones can be mapped, and the others not.
            let mapped = pm.map(container, at(0), frames(16), page(32), WRITE);
            assert_eq!(mapped.map_or(0, |mapped| mapped.count), first);
            borrower.unlock(lease.lease).unwrap();
            check_bytes(&world, 2, 0, 0..16);
            pm.unshare(shared.share).unwrap();
            assert!((5..21).all(|place| world.load(3, page(place)).is_err()));
            check_bytes(&world, 2, 0, 0..16);
        }
    }
}

#[test]
fn parts_are_taken_and_given_back() {
    let world = world();
    let (mut pm, container) = stored(&world, 2, 24, 0);
    let mut borrower = world.as_peer(3);
    let before = info(&mut borrower, OWN);
    let terms = ShareTerms { peer: peer(3), rights: Rights::WRITE, lease_max: LONG, once: true };
    let shared = pm.share_on(container, at(2), 20, terms).unwrap();
    for (first, taken, to) in [(2, 20, 0), (3, 7, 0), (3, 17, 6), (16, 6, 7), (21, 1, 0)] {
        pm.arm(shared.share).unwrap();
        let range = (shared.weak, at(first), frames(taken));
        let lease = all(|| borrower.take(range.0, range.1, range.2, page(to), WRITE)).unwrap();
        check_bytes(&world, 3, to, first..first + taken);
        world.store(3, 255, page(to)).unwrap();
        assert!(world.load(3, page(to + taken)).is_err());
        borrower.unlock(lease.lease).unwrap();
        assert!((to..to + taken).all(|place| world.load(3, page(place)).is_err()));
        assert_eq!(world.load(2, page(first)), Ok(255));
        world.store(2, byte_of(first), page(first)).unwrap();
    }
    pm.unshare(shared.share).unwrap();
    check_bytes(&world, 2, 0, 0..24);
    assert_eq!(info(&mut borrower, OWN), before);
}

#[test]
fn a_handler_of_a_part_is_asked_for_that_part() {
    // PM-280
    let world = world();
    let mut pm = world.as_peer(2);
    let container = filled(&mut pm, 16);
    pm.map(container, at(0), frames(16), page(3), WRITE).unwrap();
    // All are mapped as zeros.
    assert!((3..19).all(|place| world.load(2, page(place)) == Ok(0)));
    world.store(2, 7, page(3 + 5)).unwrap();
    pm.set_handler(container, at(4), 6, Some(peer(1)), 0).unwrap();
    for place in 0..16 {
        let is_absent = (4..10).contains(&place) && place != 5;
        let mut byte = [0];
        let (place_of, vaddr) = (VSpace::Peer(peer(2)), page(3 + place).get());
        let seen = world.0.borrow().kernel().load(place_of, vaddr, &mut byte);
        assert_eq!(seen.is_err(), is_absent, "{place}");
        let states = crate::world::states(&mut pm, container, 16);
        let index = usize::try_from(place).unwrap();
        assert_eq!(states[index].contains(FrameState::ABSENT), is_absent, "{place}");
    }
    assert_eq!(world.load(2, page(3 + 5)), Ok(7));
    let refused = failure(pm.map(container, at(6), frames(4), page(40), FORCED));
    assert_eq!(refused.error, PmError::Absent);
}

#[test]
fn marks_and_lower_limits_are_of_single_frames() {
    let world = world();
    let (mut pm, container) = stored(&world, 2, 16, 3);
    assert_eq!(pm.mark(container, at(2), frames(3), Marks::DISCARDABLE), Ok(3));
    assert_eq!(count(&mut pm, container, 16, FrameState::DISCARDABLE), 3);
    let used = u32::try_from(pages(info(&mut pm, OWN).used)).unwrap();
    let account = AccountHandle::of_peer(peer(2));
    let flags = LimitFlags::EXTRA | LimitFlags::EXCESS;
    let mut policy = world.as_peer(1);
    all(|| policy.account_set_limits(account, used - 3, flags)).unwrap();
    assert_eq!(pages(info(&mut pm, OWN).extra), 3);
    assert_eq!(count(&mut pm, container, 16, FrameState::EXTRA), 3);
    check_bytes(&world, 2, 3, 0..16);
    // A record that the limit has no room for makes the next of them extra.
    for number in 16..90 {
        if pm.allocate(container, at(number), frames(1), AllocateFlags::EXTRA).is_err() {
            break;
        }
        check_bytes(&world, 2, 3, 0..16);
    }
    assert!(pages(info(&mut pm, OWN).extra) > 8);
    all(|| pm.container_destroy(container)).unwrap();
    assert_eq!(pages(info(&mut pm, OWN).extra), 0);
}

#[test]
fn what_the_kernel_refuses_of_a_cluster_is_told() {
    // PM-380
    type Call = fn(&mut Pm, ContainerHandle, ContainerHandle) -> Result<u64, CallError>;
    let calls: [(&str, u64, Call); 5] = [
        ("map", 12, |pm, container, _| {
            pm.map(container, at(1), frames(12), page(32), FORCED).map(|mapped| mapped.count)
        }),
        ("unmap", 11, |pm, _, _| pm.unmap(page(2), frames(11))),
        ("copy", 16, |pm, container, copy| {
            pm.copy((container, at(0)), (copy, at(0)), frames(16), REPLACE)
        }),
        ("grant", 2, |pm, container, _| {
            pm.grant(container, at(4), frames(2), READ).map(|granted| granted.count)
        }),
        ("remap", 9, |pm, _, _| pm.remap(page(2), frames(9), READ).map(|mapped| mapped.count)),
    ];
    for (name, full, call) in calls {
        let mut refused = 0;
        for nth in 1..200 {
            let world = world();
            let mut pm = world.as_peer(2);
            let before = info(&mut pm, OWN);
            let (_, container) = stored(&world, 2, 16, 1);
            let copy = filled(&mut pm, 16);
            pm.map(copy, at(0), frames(16), page(64), WRITE).unwrap();
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
            let unmapped = if name == "unmap" { 2..2 + done } else { 0..0 };
            for place in 1..17 {
                let seen = world.load(2, page(place)).ok();
                let shown = Some(byte_of(place - 1)).filter(|_| !unmapped.contains(&place));
                assert_eq!(seen, shown, "{name} {nth}: page {place}");
            }
            for place in 0..16 {
                let is_mapped = name == "map" && place < done;
                let shown = Some(byte_of(place + 1)).filter(|_| is_mapped);
                assert_eq!(world.load(2, page(32 + place)).ok(), shown, "{name} {nth}: {place}");
                let is_copied = name == "copy" && place < done;
                let shown = if is_copied { byte_of(place) } else { 0 };
                assert_eq!(world.load(2, page(64 + place)), Ok(shown), "{name} {nth}: {place}");
            }
            for each in [copy, container] {
                all(|| pm.container_destroy(each)).unwrap();
            }
            assert_eq!(info(&mut pm, OWN), before, "{name} {nth}");
            if !was_made {
                break;
            }
        }
        assert!(refused > 1, "{name}: {refused} steps were refused");
    }
}

#[test]
fn what_was_mapped_through_another_share_ends_with_that() {
    // PM-60: the frame is the same, the terms are not.
    let world = world();
    let (mut owner, mut pm) = (world.as_peer(2), world.as_peer(3));
    let container = filled(&mut owner, 8);
    let mut share = || owner.share(container, at(0), 8, peer(3), Rights::all(), LONG).unwrap();
    let (first, second) = (share(), share());
    assert_eq!(pm.map(first.weak, at(0), frames(8), page(8), FORCED).unwrap().count, 8);
    assert_eq!(pm.unmap(page(11), frames(1)), Ok(1));
    pm.map(second.weak, at(3), frames(1), page(11), WRITE).unwrap();
    owner.unshare(second.share).unwrap();
    assert!(world.load(3, page(11)).is_err(), "its share is gone");
    assert_eq!(world.load(3, page(10)), Ok(0));
}

#[test]
fn a_cluster_with_more_mappings_than_one_frame_may_have_is_locked_frame_by_frame() {
    // Nothing is made for that: it needs no memory.
    let work = [3, 4, 5].map(|times: u64| {
        let world = world();
        let (mut pm, container) = stored(&world, 2, 8, 0);
        for first in 1..times.min(4) {
            pm.map(container, at(0), frames(8), page(16 * first), WRITE).unwrap();
        }
        if times > 4 {
            pm.unmap(page(7), frames(1)).unwrap();
            pm.map(container, at(7), frames(1), page(64), WRITE).unwrap();
        }
        let shared = pm.share(container, at(0), 8, peer(3), Rights::all(), LONG).unwrap();
        let mut borrower = world.as_peer(3);
        borrower.lock(shared.weak, at(0), frames(8), LockMode::Read, LONG).unwrap();
        world.0.borrow().work()
    });
    assert!(work[1] - work[0] < 25_000 && work[2] - work[1] < 10_000, "{work:?}");
}

#[test]
fn only_what_was_mapped_has_memory() {
    // PM-321: the kernel refuses something among the last pages that the call has room for.
    let map = |nth| {
        let world = world().unchecked();
        let mut pm = world.as_peer(2);
        let container = filled(&mut pm, 256);
        let invocations = || world.0.borrow().kernel().invocations();
        let before = invocations();
        world.fail_nth(nth);
        // Not at a place for bound runs.
        let mapped = pm.map(container, at(0), frames(256), page(8), FORCED).unwrap().count;
        world.fail_nth(None);
        assert_eq!(count(&mut pm, container, 256, FrameState::BOUND), mapped, "{nth:?}");
        (mapped, invocations() - before)
    };
    let (most, made) = map(None);
    assert!(most > 20, "{most}");
    let refused = (made - 20..made).filter(|nth| map(Some(*nth)).0 < most).count();
    assert!(refused > 2, "{refused}");
}
