// SPDX-License-Identifier: BSD-2-Clause
//! Rules that meet: a region and a share that ends, a lease in the middle of a copy, pins and
//! copies, handlers and frames that have contents.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{
    Pm, World, at, equal_peers, failure, filled, frames, page, peer, refusal, states,
};
use pmserver_api::{
    AccessKind, AccountHandle, AllocateFlags, CopyFlags, DeallocateFlags, Disturbance, FrameState,
    LockMode, MapFlags, PmError, Rights,
};
use pmserver_core::config::{PeerConfig, Privileges};
use proto::limits::{CONTIGUOUS_LOOK_PAGES, MOVE_HOLDERS_MAX};
use proto::{ByteCount, Micros, PAGE_BYTES};
use sim::Refusal;

const LONG: Micros = Micros::new(1_000_000);
const SHORT: Micros = Micros::new(1000);
const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);
const READ: MapFlags = MapFlags::READ;
const PLAIN: CopyFlags = CopyFlags::empty();

/// A container of peer 2 that is lent to peer 1, with `a`, `b` … in its frames, which peer 2 has
/// mapped at this page.
fn lettered(
    world: &World,
    count: u64,
    place: u64,
) -> (pmserver_api::ContainerHandle, pmserver_api::Shared) {
    let mut pm = world.as_peer(2);
    let container = filled(&mut pm, count);
    pm.map(container, at(0), frames(count), page(place), FORCED).unwrap();
    for (number, letter) in (0..count).zip(b'a'..) {
        world.store(2, letter, page(place + number)).unwrap();
    }
    let shared = pm.share(container, at(0), count, peer(1), Rights::all(), LONG).unwrap();
    (container, shared)
}

#[test]
fn a_region_goes_on_under_a_lease_and_ends_with_the_share() {
    // PM-384, PM-61
    let world = World::with_devices(false);
    let (mut pm, mut borrower) = (world.as_peer(2), world.as_peer(1));
    let (_, shared) = lettered(&world, 4, 0);
    borrower.attach(shared.weak, at(0), 4, page(100), MapFlags::WRITE).unwrap();
    assert_eq!(world.load(1, page(100)), Ok(b'a'));
    borrower.lock(shared.weak, at(0), frames(1), LockMode::Read, SHORT).unwrap();
    assert_eq!(refusal(pm.unshare(shared.share)), Some(PmError::Locked));
    assert_eq!(world.load(1, page(101)), Ok(b'b'), "a lease is held through it");
    world.advance(SHORT.get());
    assert!(world.load(1, page(102)).is_err(), "as `map`, which is Revoking");
    let mapped = borrower.map(shared.weak, at(2), frames(1), page(102), READ);
    assert_eq!(refusal(mapped), Some(PmError::Revoking));
    assert_eq!(world.load(1, page(101)), Ok(b'b'), "what is mapped stays until the share ends");
    pm.unshare(shared.share).unwrap();
    assert!((100..104).all(|number| world.load(1, page(number)).is_err()));
    borrower.detach(page(100)).unwrap();
}

#[test]
fn a_lease_in_the_middle_of_a_copy_is_told_before_anything_is_copied() {
    // PM-166
    let world = World::with_devices(false);
    let (mut pm, mut borrower) = (world.as_peer(2), world.as_peer(1));
    let (from, lent_from) = lettered(&world, 4, 0);
    let (to, lent_to) = lettered(&world, 4, 20);
    world.store(2, b'z', page(0)).unwrap();
    for (weak, mode) in [(lent_from.weak, LockMode::Exclusive), (lent_to.weak, LockMode::Read)] {
        let lease = borrower.lock(weak, at(2), frames(1), mode, LONG).unwrap().lease;
        for flags in [PLAIN, CopyFlags::SHARED, CopyFlags::MOVE, CopyFlags::ATOMIC] {
            let refused = failure(pm.copy((from, at(0)), (to, at(0)), frames(4), flags));
            assert_eq!((refused.error, refused.done), (PmError::Locked, 0), "{flags:?}");
        }
        assert_eq!(world.load(2, page(20)), Ok(b'a'), "nothing was copied");
        borrower.unlock(lease).unwrap();
    }
    pm.copy((from, at(0)), (to, at(0)), frames(4), PLAIN).unwrap();
    assert_eq!(world.load(2, page(20)), Ok(b'z'));
}

#[test]
fn a_second_pin_is_locked_and_frames_that_only_share_memory_can_be_pinned() {
    // PM-275
    let world = World::with_devices(false);
    let (mut pm, mut driver) = (world.as_peer(2), world.as_peer(1));
    let (container, shared) = lettered(&world, 1, 0);
    let one = |pm: &mut Pm, weak, mode| pm.pin(weak, at(0), frames(1), mode, LONG);
    let twin = filled(&mut pm, 1);
    pm.copy((container, at(0)), (twin, at(0)), frames(1), CopyFlags::SHARED).unwrap();
    let copy = filled(&mut pm, 1);
    pm.copy((container, at(0)), (copy, at(0)), frames(1), PLAIN).unwrap();
    let of_twin = pm.share(twin, at(0), 1, peer(1), Rights::all(), LONG).unwrap();
    let of_copy = pm.share(copy, at(0), 1, peer(1), Rights::all(), LONG).unwrap();
    let first = one(&mut driver, shared.weak, LockMode::Read).unwrap();
    for weak in [shared.weak, of_twin.weak] {
        assert_eq!(refusal(one(&mut driver, weak, LockMode::Read)), Some(PmError::Locked));
    }
    let second = one(&mut driver, of_copy.weak, LockMode::Read).unwrap();
    assert_ne!(first.bus.address, second.bus.address, "each has memory that stays");
}

#[test]
fn copies_of_a_frame_that_is_pinned_for_reading_are_used_as_any_others() {
    // PM-86, PM-124, PM-166, PM-200
    let world = World::with_devices(false);
    let (mut pm, mut driver) = (world.as_peer(2), world.as_peer(1));
    let (container, shared) = lettered(&world, 1, 0);
    let copies = filled(&mut pm, 2);
    pm.copy((container, at(0)), (copies, at(0)), frames(1), PLAIN).unwrap();
    pm.copy((container, at(0)), (copies, at(1)), frames(1), PLAIN).unwrap();
    pm.attach(copies, at(0), 2, page(40), MapFlags::WRITE).unwrap();
    let pinned = driver.pin(shared.weak, at(0), frames(1), LockMode::Read, LONG).unwrap();
    assert_eq!(world.load(2, page(40)), Ok(b'a'), "a load in a region for writing");
    assert_eq!(world.load(2, page(0)), Ok(b'a'));
    world.store(2, b'x', page(41)).unwrap();
    let others = [world.load(2, page(0)), world.load(2, page(40)), world.load(2, page(41))];
    assert_eq!(others, [Ok(b'a'), Ok(b'a'), Ok(b'x')]);
    assert!(world.store(2, b'y', page(0)).is_err(), "PM-72");
    let renamed = pm.copy((copies, at(1)), (copies, at(0)), frames(1), CopyFlags::MOVE);
    assert_eq!(renamed, Ok(1));
    assert_eq!(world.load(2, page(40)), Ok(b'x'));
    assert_eq!(driver.bus_address(pinned.lease.lease, at(0)).unwrap(), pinned.bus);
    driver.unlock(pinned.lease.lease).unwrap();
    world.store(2, b'y', page(0)).unwrap();
    assert_eq!(world.load(2, page(40)), Ok(b'x'));
}

#[test]
fn an_answer_for_a_frame_that_has_contents_changes_nothing() {
    // PM-285
    let world = World::with_devices(false);
    let (mut pm, mut handler) = (world.as_peer(2), world.as_peer(1));
    let (_, source) = lettered(&world, 2, 0);
    let lazy = filled(&mut pm, 2);
    pm.set_handler(lazy, at(0), 2, Some(peer(1)), 5).unwrap();
    pm.map(lazy, at(0), frames(2), page(60), MapFlags::WRITE).unwrap();
    assert!(world.0.borrow_mut().resolve(peer(2), page(60).get(), AccessKind::Read));
    let fault = handler.next_fault().unwrap().unwrap().fault;
    // The owner fills it by a copy in the meantime.
    pm.copy((lazy, at(1)), (lazy, at(0)), frames(1), PLAIN).unwrap_err();
    let own = filled(&mut pm, 1);
    pm.copy((own, at(0)), (lazy, at(0)), frames(1), PLAIN).unwrap();
    assert!(!states(&mut pm, lazy, 1)[0].contains(FrameState::ABSENT), "zeros are contents");
    let answer = handler.supply(fault, source.weak, at(1));
    assert!(answer.is_ok() || refusal(answer) == Some(PmError::InvalidCap));
    assert_eq!(world.load(2, page(60)), Ok(0));
    assert_eq!(refusal(handler.supply(fault, source.weak, at(1))), Some(PmError::InvalidCap));
}

#[test]
fn zeros_that_are_copied_are_contents_for_all_that_are_one_memory() {
    // PM-160, PM-280
    let world = World::with_devices(false);
    let (mut pm, mut handler) = (world.as_peer(2), world.as_peer(1));
    let (plain, _) = lettered(&world, 1, 0);
    let lazy = filled(&mut pm, 2);
    pm.copy((plain, at(0)), (lazy, at(0)), frames(1), CopyFlags::SHARED).unwrap();
    pm.set_handler(lazy, at(0), 2, Some(peer(1)), 5).unwrap();
    pm.map(lazy, at(0), frames(1), page(60), READ).unwrap();
    assert_eq!(world.load(2, page(60)), Ok(b'a'));
    let zeros = filled(&mut pm, 1);
    pm.copy((zeros, at(0)), (plain, at(0)), frames(1), PLAIN).unwrap();
    assert_eq!(world.load(2, page(60)), Ok(0), "and nobody is asked");
    assert_eq!(handler.next_fault(), Ok(None));
}

#[test]
fn a_server_without_an_entry_is_stopped_and_counted() {
    // PM-123
    let world = World::with_devices(false);
    let (mut pm, mut supervisor) = (world.as_peer(2), world.supervisor());
    pm.watch(peer(1), Micros::new(10)).unwrap();
    world.advance(20);
    let report = supervisor.rescue().unwrap();
    assert_eq!((report.rescued, report.next_deadline), (1, None), "the watch is over");
    let refused = world.as_peer(1).container_create(AccountHandle::OWN);
    assert_eq!(refusal(refused), Some(PmError::InvalidCap));
}

#[test]
fn a_server_that_the_kernel_does_not_send_is_sent_by_the_next_call() {
    // PM-123
    let world = World::with_devices(false);
    let (mut pm, mut supervisor) = (world.as_peer(2), world.supervisor());
    world.as_peer(1).register_recovery(page(0), page(0)).unwrap();
    let deadline = pm.watch(peer(1), Micros::new(10)).unwrap();
    world.advance(20);
    world.fail_nth(Some(1));
    let report = supervisor.rescue().unwrap();
    assert_eq!((report.rescued, report.next_deadline), (0, Some(deadline)));
    assert_eq!(supervisor.rescue().unwrap().rescued, 1);
}

#[test]
fn a_part_of_what_is_allocated_anywhere_is_told_by_a_reply() {
    // PM-150, PM-382: also where it is the kernel that refuses the rest
    let flags = AllocateFlags::DMA | AllocateFlags::PARTIAL;
    let mut parts = 0;
    // A page for records is taken from those that were made ready for the frames.
    for (records, nth) in (0..64).flat_map(|records| (4..8).map(move |nth| (records, nth))) {
        let world = World::with_devices(false);
        let mut driver = world.as_peer(1);
        let create = |driver: &mut Pm| driver.container_create(AccountHandle::OWN).unwrap();
        (0..records).for_each(|_| assert_ne!(create(&mut driver).raw(), 0));
        let container = create(&mut driver);
        world.fail_nth(Some(nth));
        let placed = driver.allocate_anywhere(container, frames(4), flags);
        world.fail_nth(None);
        let Ok(placed) = placed else { continue };
        parts += u64::from(placed.count < 4);
        let there: Vec<bool> = (0..4)
            .map(|index| driver.status(container, at(placed.start.get() + index), frames(1)))
            .map(|status| status.unwrap().frames[0].contains(FrameState::PRESENT))
            .collect();
        assert_eq!(there, (0..4).map(|index| index < placed.count).collect::<Vec<_>>());
        if parts == 2 {
            break;
        }
    }
    assert!(parts > 0, "no part was seen");
}

#[test]
fn who_rescues_is_not_rescued() {
    // PM-123: it calls, so it does not hang.
    for has_entry in [false, true] {
        let world = World::with_devices(false);
        let (mut pm, mut supervisor) = (world.as_peer(2), world.supervisor());
        if has_entry {
            supervisor.register_recovery(page(0), page(0)).unwrap();
        }
        pm.watch(peer(3), Micros::new(10)).unwrap();
        world.advance(20);
        let report = supervisor.rescue().unwrap();
        assert_eq!((report.rescued, report.next_deadline), (0, None));
        assert_eq!(supervisor.rescue().unwrap().rescued, 0, "it is still there");
    }
}

#[test]
fn a_mapping_that_the_kernel_keeps_is_not_told_as_disturbed() {
    // PM-290, PM-380
    let limit = ByteCount::new(1 << 20);
    let peers = [PeerConfig { peer: 2, name: "peer", limit, privileges: Privileges::all() }];
    let world = World::with_peers(4 << 20, &peers);
    let mut pm = world.as_peer(2);
    let container = filled(&mut pm, 1);
    pm.map(container, at(0), frames(1), page(0), READ).unwrap();
    assert_eq!(world.load(2, page(0)), Ok(0));
    let mut disturb = || pm.disturb(Disturbance::Unmap, 0);
    let mut refused = None;
    assert!(world.refuse(Refusal { nth: 1, error: 0 }, || refused = refusal(disturb())));
    assert_eq!(refused, Some(PmError::Kernel));
    assert_eq!(disturb().unwrap().count, 1);
}

#[test]
fn what_is_disturbed_in_steps_is_all_there_is_and_each_mapping_once() {
    // PM-290
    const FRAMES: u64 = 300;
    let peers = equal_peers::<2>(ByteCount::new(3 << 20), Privileges::all());
    let world = World::with_peers(16 << 20, &peers);
    for number in [1, 2] {
        let mut pm = world.as_peer(number);
        for (first, count) in [(0, 256), (256, FRAMES - 256)] {
            let container = filled(&mut pm, count);
            pm.map(container, at(0), frames(count), page(first), READ).unwrap();
        }
    }
    let (mut pm, mut count, mut steps) = (world.as_peer(1), 0, 0);
    let mut cursor = 0;
    while steps == 0 || cursor != 0 {
        let disturbed = pm.disturb(Disturbance::Unmap, cursor).unwrap();
        count += disturbed.count;
        cursor = disturbed.cursor;
        steps += 1;
        assert!(count <= 2 * FRAMES, "a step goes on where the one before has ended");
    }
    assert_eq!((count, steps), (2 * FRAMES, 3));
}

#[test]
fn a_step_looks_at_a_bounded_number_of_pages() {
    // PM-290
    const POOL: u64 = 16 << 20;
    let peers = equal_peers::<1>(ByteCount::new(1 << 20), Privileges::all());
    let world = World::with_peers(POOL, &peers);
    let mut pm = world.as_peer(1);
    let (mut cursor, mut steps) = (0, 0);
    while steps == 0 || cursor != 0 {
        cursor = pm.disturb(Disturbance::Move, cursor).unwrap().cursor;
        steps += 1;
    }
    assert_eq!(steps, POOL / PAGE_BYTES / u64::from(CONTIGUOUS_LOOK_PAGES));
}

#[test]
fn a_page_is_moved_with_all_frames_that_share_it() {
    // PM-290: unless there are more than its entry names.
    let limit = ByteCount::new(1 << 20);
    let peers = [PeerConfig { peer: 2, name: "peer", limit, privileges: Privileges::all() }];
    let world = World::with_peers(4 << 20, &peers);
    for copies in 1..=4 {
        let mut pm = world.as_peer(2);
        let container = filled(&mut pm, copies + 1);
        pm.map(container, at(0), frames(1), page(0), FORCED).unwrap();
        world.store(2, 7, page(0)).unwrap();
        for number in 1..=copies {
            let (from, to) = ((container, at(0)), (container, at(number)));
            pm.copy(from, to, frames(1), CopyFlags::empty()).unwrap();
        }
        let moved = pm.disturb(Disturbance::Move, 0).unwrap().count;
        assert_eq!(moved, u64::from(copies < u64::from(MOVE_HOLDERS_MAX)));
        pm.unmap(page(0), frames(1)).unwrap();
        pm.map(container, at(0), frames(copies + 1), page(0), READ).unwrap();
        for number in 0..=copies {
            assert_eq!(world.load(2, page(number)), Ok(7), "{number} of {copies}");
        }
        pm.unmap(page(0), frames(copies + 1)).unwrap();
        pm.container_destroy(container).unwrap();
    }
}

#[test]
fn a_page_is_moved_again_when_others_have_left_it() {
    // PM-290: those that it named, too, once the one that is left has stored to it.
    let limit = ByteCount::new(1 << 20);
    let peers = [PeerConfig { peer: 2, name: "peer", limit, privileges: Privileges::all() }];
    for stays in 0..=4 {
        let world = World::with_peers(4 << 20, &peers);
        let mut pm = world.as_peer(2);
        let container = filled(&mut pm, 5);
        pm.map(container, at(0), frames(1), page(0), FORCED).unwrap();
        for number in 1..=4 {
            let (from, to) = ((container, at(0)), (container, at(number)));
            pm.copy(from, to, frames(1), CopyFlags::empty()).unwrap();
        }
        assert_eq!(pm.disturb(Disturbance::Move, 0).unwrap().count, 0);
        for number in (0..=4).filter(|number| *number != stays) {
            pm.deallocate(container, at(number), frames(1), DeallocateFlags::empty()).unwrap();
        }
        pm.map(container, at(stays), frames(1), page(1), FORCED).unwrap();
        assert_eq!(pm.disturb(Disturbance::Move, 0).unwrap().count, 1, "{stays}");
    }
}

#[test]
fn grants_go_on_where_the_kernel_has_kept_the_slots_of_others() {
    // PM-380, PM-381
    for nth in 1..8 {
        let world = World::new();
        let (mut pm, mut fs) = (world.client(), world.fs());
        let (lent, own) = (filled(&mut pm, 2), filled(&mut fs, 1));
        let before = world.accounts();
        let shared = pm.share(lent, at(0), 2, peer(1), Rights::READ, LONG).unwrap();
        fs.grant(shared.weak, at(0), frames(2), MapFlags::READ).unwrap();
        world.fail_nth(Some(nth));
        let ended = pm.unshare(shared.share);
        world.fail_nth(None);
        if ended.is_err() {
            pm.unshare(shared.share).unwrap();
        }
        let granted = fs.grant(own, at(0), frames(1), MapFlags::READ).unwrap();
        assert_eq!(fs.ungrant(granted.address, frames(1)), Ok(1), "{nth}");
        fs.renew(own, at(0), frames(1)).unwrap();
        assert_eq!(world.accounts(), before, "{nth}");
    }
}
