// SPDX-License-Identifier: BSD-2-Clause
//! What a call has done that has reached the bound on its work, and what the next one does.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::heavy::{FIRST, FORCED, Heavy, LONG, OWN, again};
use crate::world::{PAGE, at, failure, frames, peer, refusal};
use pmserver_api::{
    AccountHandle, AllocateFlags, CallError, CopyFlags, DeallocateFlags, Failure, FrameState,
    LimitFlags, LockMode, MapFlags, PmError,
};
use proto::VirtAddr;
use proto::limits::{CALL_INVOCATIONS_MAX, CALL_WORK_MAX};

const PENDING: Failure = Failure { error: PmError::Pending, done: 0, at: 0 };

fn mapped_at(index: u64) -> VirtAddr {
    VirtAddr::new_page(FIRST + index * PAGE).unwrap()
}

#[test]
fn the_bounds_are_what_the_page_says() {
    // PM-320
    assert_eq!((CALL_WORK_MAX, CALL_INVOCATIONS_MAX), (1_000_000, 1000));
}

#[test]
fn a_deallocation_goes_on_from_what_it_has_freed() {
    // PM-321
    let heavy = Heavy::new();
    let (mut pm, container) = (heavy.owner(), heavy.apart(64));
    let none = DeallocateFlags::STRICT;
    let first = failure(pm.deallocate(container, at(0), frames(64), none));
    assert_eq!((first.error, first.at), (PmError::Pending, 0));
    assert!((1..64).contains(&first.done));
    assert_eq!(crate::world::count(&mut pm, container, 64, FrameState::PRESENT), 64 - first.done);
    let mut done = first.done;
    while done < 64 {
        match pm.deallocate(container, at(done), frames(64 - done), none) {
            Ok(freed) => done += freed,
            Err(CallError::Refused(more)) => done += more.done,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(done, 64);
    heavy.world.check();
}

#[test]
fn a_replacement_that_goes_on_has_all_frames() {
    // PM-32, PM-321
    let heavy = Heavy::new();
    let (mut pm, container) = (heavy.owner(), heavy.apart(64));
    pm.deallocate(container, at(63), frames(1), DeallocateFlags::empty()).unwrap();
    let squash = AllocateFlags::SQUASH;
    let first = failure(pm.allocate(container, at(0), frames(128), squash));
    assert!(first.error == PmError::Pending && (1..63).contains(&first.done));
    assert_eq!(crate::world::count(&mut pm, container, 128, FrameState::PRESENT), 128);
    let still = crate::world::count(&mut pm, container, 128, FrameState::BOUND);
    assert_eq!(still, 63 - first.done, "the others have yet to be replaced");
    again(|done| {
        let start = first.done + done;
        pm.allocate(container, at(start), frames(128 - start), squash)
    });
    assert_eq!(crate::world::count(&mut pm, container, 128, FrameState::BOUND), 0);
    heavy.world.check();
}

#[test]
fn a_replacement_of_a_part_that_goes_on_has_what_there_is_room_for() {
    // PM-32, PM-31
    let heavy = Heavy::new();
    let (mut pm, container) = (heavy.owner(), heavy.apart(64));
    let leave_room = |pages| {
        let used = crate::world::pages(heavy.owner().account_info(OWN).unwrap().used);
        let limit = u32::try_from(used + pages).unwrap();
        let account = AccountHandle::of_peer(peer(1));
        heavy.supervisor().account_set_limits(account, limit, LimitFlags::empty()).unwrap();
    };
    leave_room(8);
    let flags = AllocateFlags::SQUASH | AllocateFlags::PARTIAL;
    let first = failure(pm.allocate(container, at(0), frames(128), flags));
    assert_eq!((first.error, first.at), (PmError::Pending, 0));
    let there = crate::world::count(&mut pm, container, 128, FrameState::PRESENT);
    assert!((1..64).contains(&first.done) && (65..128).contains(&there));
    assert_eq!(crate::world::count(&mut pm, container, 128, FrameState::BOUND), 64 - first.done);
    let mut done = first.done;
    let last = loop {
        // What was mapped of the replaced frames does not make room.
        leave_room(0);
        let more = failure(pm.allocate(container, at(done), frames(128 - done), flags));
        done += more.done;
        if more.error != PmError::Pending {
            break more;
        }
    };
    assert_eq!((last.error, last.at, done), (PmError::QuotaExceeded, there, there));
    assert_eq!(crate::world::count(&mut pm, container, 128, FrameState::PRESENT), there);
    assert_eq!(crate::world::count(&mut pm, container, 128, FrameState::BOUND), 0);
    heavy.world.check();
}

#[test]
fn a_lock_that_is_prepared_shows_nowhere() {
    // PM-322
    let heavy = Heavy::new();
    let container = heavy.rings(64, 4, FORCED);
    let weak = heavy.lend(container);
    heavy.world.store(1, 7, mapped_at(0)).unwrap();
    let (mut pm, mut borrower) = (heavy.owner(), heavy.borrower());
    let before = pm.account_info(OWN).unwrap();
    let lock = |pm: &mut crate::world::Pm| pm.lock(weak, at(0), frames(64), LockMode::Read, LONG);
    assert_eq!(failure(lock(&mut borrower)), PENDING);
    heavy.world.check();
    assert_eq!(pm.account_info(OWN), Ok(before));
    assert_eq!(crate::world::count(&mut pm, container, 64, FrameState::LOCKED), 0);
    heavy.world.store(1, 8, mapped_at(0)).unwrap();
    again(|_| lock(&mut borrower));
    assert_eq!(crate::world::count(&mut pm, container, 64, FrameState::LOCKED), 64);
    assert_eq!(heavy.world.load(1, mapped_at(0)), Ok(8));
    assert!(heavy.world.store(1, 9, mapped_at(0)).is_err());
    heavy.world.check();
}

#[test]
fn a_copy_that_cannot_be_divided_is_prepared() {
    // PM-322, PM-323, PM-163
    let heavy = Heavy::new();
    let mut pm = heavy.owner();
    let (from, to) = (heavy.filled(256), heavy.filled(256));
    heavy.map(from, 256, 2, FORCED);
    heavy.map(to, 256, 2, FORCED);
    heavy.world.store(1, 7, mapped_at(255)).unwrap();
    let copy = |pm: &mut crate::world::Pm| {
        pm.copy((from, at(0)), (to, at(0)), frames(256), CopyFlags::ATOMIC)
    };
    assert_eq!(failure(copy(&mut pm)), PENDING);
    assert_eq!(crate::world::count(&mut pm, to, 256, FrameState::COW), 0, "nothing is copied yet");
    assert_eq!(again(|_| copy(&mut pm)), 256);
    assert_eq!(crate::world::count(&mut pm, to, 256, FrameState::COW), 256);
    assert_eq!(heavy.world.load(1, mapped_at(512 + 255)), Ok(7));
    heavy.world.check();
}

#[test]
fn a_copy_that_cannot_be_divided_nor_prepared_is_refused() {
    // PM-323, PM-155
    let heavy = Heavy::new();
    let mut pm = heavy.owner();
    let from = pm.container_create(OWN).unwrap();
    again(|_| pm.allocate_contiguous(from, at(0), frames(128), 0, 64));
    let to = heavy.filled(128);
    // Splits the runs of frames, which neither of the two calls has to do then.
    again(|_| pm.copy((to, at(0)), (to, at(0)), frames(128), CopyFlags::empty()));
    let copy =
        |pm: &mut crate::world::Pm, flags| pm.copy((from, at(0)), (to, at(0)), frames(128), flags);
    let refused = failure(copy(&mut pm, CopyFlags::ATOMIC));
    assert_eq!((refused.error, refused.done), (PmError::TooMany, 0));
    assert_eq!(crate::world::count(&mut pm, to, 128, FrameState::BOUND), 0);
    // The same without ATOMIC goes on.
    let first = failure(copy(&mut pm, CopyFlags::empty()));
    assert_eq!((first.error, first.done), (PmError::Pending, refused.at));
    assert_eq!(crate::world::count(&mut pm, to, 128, FrameState::BOUND), first.done);
    // New frames of a copy that is refused are gone again.
    let new = pm.container_create(OWN).unwrap();
    let flags = CopyFlags::NEW | CopyFlags::ATOMIC;
    let refused = pm.copy((from, at(0)), (new, at(0)), frames(128), flags);
    assert_eq!(refusal(refused), Some(PmError::TooMany));
    assert_eq!(crate::world::count(&mut pm, new, 128, FrameState::PRESENT), 0);
    heavy.world.check();
}

#[test]
fn a_copy_that_overwrites_what_it_reads_is_not_divided() {
    // PM-164, PM-323
    let heavy = Heavy::new();
    let (mut pm, container) = (heavy.owner(), heavy.filled(256));
    heavy.map(container, 256, 3, FORCED);
    for number in 0..255 {
        heavy.world.store(1, number as u8, mapped_at(number)).unwrap();
    }
    again(|done| {
        assert_eq!(done, 0);
        pm.copy((container, at(0)), (container, at(1)), frames(255), CopyFlags::empty())
    });
    for number in 0..255 {
        assert_eq!(heavy.world.load(1, mapped_at(number + 1)), Ok(number as u8));
    }
    heavy.world.check();
}

#[test]
fn pins_that_ran_out_are_ended_in_portions() {
    // PM-325, PM-273
    let heavy = Heavy::new();
    let container = heavy.pinned(&[2], 4);
    heavy.world.advance(2_000_000);
    let mut pm = heavy.owner();
    assert_eq!(failure(pm.status(container, at(0), frames(1))), PENDING);
    heavy.world.check();
    // A program that touches a frame meanwhile does not notice.
    heavy.world.store(1, 7, mapped_at(200)).unwrap();
    again(|_| pm.status(container, at(0), frames(1)));
    assert_eq!(crate::world::count(&mut pm, container, 256, FrameState::TAKEN_OVER), 256);
    assert_eq!(heavy.world.load(1, mapped_at(200)), Ok(7));
    heavy.world.check();
}

#[test]
fn pins_of_a_stopped_peer_end_at_once_and_move_later() {
    // PM-76, PM-273
    let heavy = Heavy::new();
    let container = heavy.pinned(&[2], 1);
    heavy.stop(2);
    heavy.world.check();
    // A reset before the container is used is in time.
    heavy.supervisor().device_reset(peer(2)).unwrap();
    let mut pm = heavy.owner();
    assert_eq!(crate::world::count(&mut pm, container, 256, FrameState::TAKEN_OVER), 0);
    assert_eq!(crate::world::count(&mut pm, container, 256, FrameState::PINNED), 0);
    pm.deallocate(container, at(0), frames(8), DeallocateFlags::empty()).unwrap();
    heavy.world.check();
}

#[test]
fn new_frames_for_a_device_are_prepared() {
    // PM-36, PM-322
    let heavy = Heavy::new();
    let mut pm = heavy.owner();
    let container = pm.container_create(OWN).unwrap();
    let allocate =
        |pm: &mut crate::world::Pm| pm.allocate(container, at(0), frames(256), AllocateFlags::DMA);
    assert_eq!(failure(allocate(&mut pm)), PENDING);
    assert_eq!(crate::world::count(&mut pm, container, 256, FrameState::PRESENT), 0);
    assert_eq!(again(|_| allocate(&mut pm)), 256);
    assert_eq!(crate::world::count(&mut pm, container, 256, FrameState::BOUND), 256);
    heavy.world.check();
}

#[test]
fn a_range_whose_pages_show_zeros_is_there_before_all_of_them_ask() {
    // PM-352
    let heavy = Heavy::new();
    let (mut pm, container) = (heavy.owner(), heavy.filled(256));
    heavy.map(container, 256, 4, MapFlags::WRITE);
    for index in 0..4 * 256 {
        assert_eq!(heavy.world.load(1, mapped_at(index)), Ok(0));
    }
    let set = |pm: &mut crate::world::Pm| pm.set_handler(container, at(0), 256, Some(peer(2)), 7);
    assert_eq!(failure(set(&mut pm)), PENDING);
    let waits = |index: u64| {
        let address = mapped_at(index).get();
        let mut server = heavy.world.0.borrow_mut();
        server.resolve(peer(1), address, pmserver_api::AccessKind::Read)
    };
    assert!(waits(0));
    let fault = heavy.borrower().next_fault().unwrap().unwrap();
    assert_eq!((fault.number, fault.cookie), (at(0), 7), "the range is there");
    for cookie in [7, 8] {
        let overlapping = pm.set_handler(container, at(1), 1, Some(peer(2)), cookie);
        assert_eq!(refusal(overlapping), Some(PmError::Exists), "another range");
    }
    assert_eq!(again(|_| set(&mut pm)), fault.range);
    assert_eq!(refusal(set(&mut pm)), Some(PmError::Exists), "it is done");
    for index in [255, 4 * 256 - 1] {
        assert!(waits(index));
        assert_eq!(heavy.borrower().next_fault().unwrap().unwrap().number, at(255));
    }
    assert_eq!(pm.set_handler(container, at(0), 256, None, 0), Ok(fault.range));
    // A range that is ended half-way shows zeros again, and can be set anew.
    for index in 0..4 * 256 {
        assert_eq!(heavy.world.load(1, mapped_at(index)), Ok(0));
    }
    assert_eq!(failure(set(&mut pm)), PENDING);
    let ended = pm.set_handler(container, at(0), 256, None, 0).unwrap();
    assert_ne!(ended, fault.range);
    assert_eq!(heavy.world.load(1, mapped_at(0)), Ok(0));
    again(|_| set(&mut pm));
    heavy.world.check();
}

#[test]
fn what_a_copy_takes_is_known_before_it_begins() {
    // PM-320, PM-323: bytes that are copied for a pin or to contiguous frames, and grants that end.
    let heavy = Heavy::new();
    let mut pm = heavy.owner();
    let pinned = heavy.filled(128);
    let locks = [0, 64].map(|start| pm.pin(pinned, at(start), frames(64), LockMode::Read, LONG));
    assert!(locks.iter().all(Result::is_ok));
    let run = pm.container_create(OWN).unwrap();
    again(|_| pm.allocate_contiguous(run, at(0), frames(128), 0, 64));
    let (granted, other) = (heavy.filled(128), heavy.filled(128));
    let mut count = 0;
    while count < 128 {
        let rest = frames(128 - count);
        count += pm.grant(granted, at(count), rest, MapFlags::READ).unwrap().count;
    }
    let all = CopyFlags::ATOMIC;
    for (from, to, flags) in
        [(pinned, other, all), (other, run, all), (granted, other, all | CopyFlags::MOVE)]
    {
        let refused = failure(pm.copy((from, at(0)), (to, at(0)), frames(128), flags));
        assert_eq!((refused.error, refused.done), (PmError::TooMany, 0), "{flags:?}");
    }
    assert_eq!(crate::world::count(&mut pm, granted, 128, FrameState::PRESENT), 128);
    let flags = all | CopyFlags::MOVE;
    let moved = (64..128).rev().find(|count| {
        let moved = pm.copy((granted, at(0)), (other, at(0)), frames(*count), flags);
        moved.is_ok() || refusal(moved) != Some(PmError::TooMany)
    });
    assert!(moved.is_some(), "some are few enough, and are done within the bound");
    heavy.world.check();
}

#[test]
fn a_few_frames_with_many_grants_may_be_too_many() {
    // PM-323
    let heavy = Heavy::new();
    let mut pm = heavy.owner();
    let (from, to) = (heavy.filled(15), heavy.filled(15));
    for container in [from, to].repeat(4) {
        assert_eq!(pm.grant(container, at(0), frames(15), FORCED).unwrap().count, 15);
    }
    let copy = |pm: &mut crate::world::Pm, count| {
        pm.copy((from, at(0)), (to, at(0)), frames(count), CopyFlags::ATOMIC)
    };
    let refused = failure(copy(&mut pm, 15));
    assert_eq!((refused.error, refused.done), (PmError::TooMany, 0));
    assert!((10..15).contains(&refused.at));
    assert_eq!(copy(&mut pm, refused.at), Ok(refused.at));
    heavy.world.check();
}
