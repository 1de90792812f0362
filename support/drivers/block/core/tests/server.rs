// SPDX-License-Identifier: BSD-2-Clause
//! The block server on the real pmserver, with a disk that works, fails, hangs or lies.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // A test may fail by panicking.

mod rig;

use block_api::{BlockError, CallError, DiskFeatures, Place, Request};
use block_core::Transfer;
use pmserver_client::{ContainerHandle, FrameState, Message, PmError, ProtocolError, Rights};
use proto::Transport;
use proto::limits::{
    BLOCK_FLUSH_MICROS_MAX, BLOCK_FRAMES_PER_CLIENT_MAX, BLOCK_MICROS_MAX,
    BLOCK_REQUEST_BLOCKS_MAX, BLOCK_REQUESTS_PER_CLIENT_MAX, CALL_FRAMES_MAX, FRAME_BLOCKS,
    LARGE_FRAMES, LEASE_MICROS_MAX,
};
use rig::{BLOCKS, CLIENT, DRIVER, OTHER, ROOM, Rig, count, noise, tag};

const ALL: Rights = Rights::READ.union(Rights::WRITE).union(Rights::LOCK);
const FAILED: Option<u32> = Some(BlockError::Failed.status());
const ABORTED: Option<u32> = Some(BlockError::Aborted.status());
const NO_DISK: Option<u32> = Some(BlockError::NoDisk.status());

fn refusal(result: Result<(), CallError>) -> BlockError {
    result.unwrap_err().refusal().unwrap()
}

/// BLK-30.
#[test]
fn what_is_written_is_on_the_disk_and_what_is_read_in_memory() {
    let rig = Rig::new();
    let lent = rig.lend(CLIENT, 80, ALL);
    let mut disk = rig.client(CLIENT);
    let mut expected = rig.disk().bytes.clone();
    for (round, (offset, block, blocks)) in
        [(0, 0, 1), (7, 5, 2), (3, 1000, 64), (1, BLOCKS - 505, 505), (128, 9, 512)]
            .into_iter()
            .enumerate()
    {
        let data = noise(blocks * 512, round as u64);
        lent.write(offset, &data);
        disk.write(lent.at(offset), block, count(blocks), tag(1)).unwrap();
        assert_eq!(rig.finish(CLIENT), [(1, None)]);
        expected[block as usize * 512..][..data.len()].copy_from_slice(&data);
        assert!(rig.disk().bytes == expected, "round {round}");

        let before = lent.read(0, 640);
        disk.read(lent.at(offset), BLOCKS - block - blocks, count(blocks), tag(2)).unwrap();
        assert_eq!(rig.finish(CLIENT), [(2, None)]);
        let mut memory = before;
        let start = (BLOCKS - block - blocks) as usize * 512;
        memory[offset as usize * 512..][..data.len()]
            .copy_from_slice(&expected[start..start + data.len()]);
        assert!(lent.read(0, 640) == memory, "round {round}");
    }
    assert_eq!(rig.pinned(), 0);
    rig.testbed.check();
}

/// BLK-31.
#[test]
fn most_of_a_large_frame_is_pinned_with_the_rest_of_it() {
    let rig = Rig::new();
    let lent = rig.lend(CLIENT, LARGE_FRAMES, ALL);
    let blocks = 300 * FRAME_BLOCKS + 1;
    rig.client(CLIENT).read(lent.at(0), 100, count(blocks), tag(1)).unwrap();
    assert_eq!(rig.pinned(), LARGE_FRAMES);
    assert_eq!(rig.finish(CLIENT), [(1, None)]);
    assert!(lent.read(0, blocks) == rig.disk().bytes[100 * 512..][..blocks as usize * 512]);
    assert!(lent.read(blocks, 7).iter().all(|byte| *byte == 0));

    // Nothing but its parts is pinned without it.
    let inside = rig.client(CLIENT).read(lent.at(8), 0, count(blocks), tag(3));
    assert_eq!(refusal(inside), BlockError::BadRange);
    lent.remove_frame(LARGE_FRAMES - 1);
    let without = rig.client(CLIENT).read(lent.at(0), 0, count(blocks), tag(4));
    assert_eq!(refusal(without), BlockError::PmRefused);
    assert_eq!(rig.pinned(), 0);
}

#[test]
fn frames_in_several_places_are_several_transfers() {
    let rig = Rig::new();
    let (first, second) = (rig.lend(CLIENT, 8, ALL), rig.lend(OTHER, 8, ALL));
    // The first stores give them memory, turn by turn and backwards.
    for frame in (0..8).rev() {
        first.write(frame * 8, &noise(4096, frame));
        second.write(frame * 8, &[1]);
    }
    rig.client(CLIENT).write(first.at(4), 100, count(56), tag(1)).unwrap();
    assert_eq!(rig.finish(CLIENT), [(1, None)]);
    assert!(rig.disk().log.len() > 1, "{:?}", rig.disk().log);
    assert!(rig.disk().bytes[100 * 512..156 * 512] == first.read(4, 56));
}

/// BLK-5, BLK-40.
#[test]
fn a_flush_and_a_discard_are_done() {
    let rig = Rig::new();
    let mut disk = rig.client(CLIENT);
    disk.discard(10, 250, tag(3)).unwrap();
    disk.flush(tag(4)).unwrap();
    assert_eq!(rig.finish(CLIENT), [(3, None), (4, None)]);
    assert!(rig.disk().bytes[10 * 512..260 * 512].iter().all(|byte| *byte == 0));
    assert_eq!(*rig.disk().log.last().unwrap(), Transfer::Flush);
    assert_eq!(rig.disk().log.len(), 4);
}

/// BLK-1, BLK-3.
#[test]
fn every_refusal_is_at_once_and_changes_nothing() {
    let rig = Rig::new();
    let mut disk = rig.client(CLIENT);
    let lent = rig.lend(CLIENT, 70, ALL);
    let small = rig.lend_for(CLIENT, 1, ALL, LEASE_MICROS_MAX / 2);
    let others = rig.lend(OTHER, 1, ALL);
    let unlocked = rig.lend(CLIENT, 1, Rights::READ | Rights::WRITE);
    let readable = rig.lend(CLIENT, 1, Rights::READ | Rights::LOCK);
    let one = count(1);
    let nothing = Place { container: ContainerHandle::from_raw(u64::MAX), offset: 0 };

    assert_eq!(refusal(disk.read(lent.at(0), BLOCKS, one, tag(1))), BlockError::PastEnd);
    assert_eq!(refusal(disk.write(lent.at(0), u64::MAX, one, tag(1))), BlockError::PastEnd);
    assert_eq!(refusal(disk.discard(BLOCKS - 1, 2, tag(1))), BlockError::PastEnd);
    let most = count(BLOCK_REQUEST_BLOCKS_MAX);
    assert_eq!(refusal(disk.read(lent.at(1), 0, most, tag(1))), BlockError::BadRange);
    assert_eq!(refusal(disk.read(lent.at(553), 0, count(8), tag(1))), BlockError::PmRefused);
    let far = Place { offset: u64::MAX, ..lent.at(0) };
    assert_eq!(refusal(disk.read(far, 0, count(1), tag(1))), BlockError::PmRefused);
    assert_eq!(refusal(disk.read(small.at(0), 0, one, tag(1))), BlockError::LeaseTooShort);
    for (place, error) in [
        (nothing, PmError::InvalidCap),
        (others.at(0), PmError::InvalidCap),
        (unlocked.at(0), PmError::NoRight),
        (readable.at(0), PmError::NoRight),
    ] {
        let refused = disk.read(place, 0, one, tag(1)).unwrap_err();
        let CallError::Refused(failure) = refused else { panic!("{refused}") };
        assert_eq!(failure.pm_refusal(), Some(error));
    }
    assert_eq!(rig.pinned(), 0);
    assert!(rig.disk().log.is_empty());
    assert_eq!(rig.finish(CLIENT), []);
    // To write to the disk, the right to read suffices.
    disk.write(readable.at(0), 0, one, tag(9)).unwrap();
    assert_eq!(rig.finish(CLIENT), [(9, None)]);
}

#[test]
fn a_container_without_the_frame_is_too_small() {
    let rig = Rig::new();
    let lent = rig.lend(CLIENT, 2, ALL);
    lent.remove_frame(1);
    let refused = rig.client(CLIENT).read(lent.at(0), 0, count(16), tag(1));
    assert_eq!(refusal(refused), BlockError::ContainerTooSmall);
    assert_eq!(rig.pinned(), 0);
}

/// BLK-20, BLK-21.
#[test]
fn what_a_disk_cannot_do_is_refused() {
    let features = DiskFeatures { is_read_only: true, has_flush: false, has_discard: true };
    let rig = Rig::with(features);
    let mut disk = rig.client(CLIENT);
    let geometry = disk.geometry().unwrap();
    assert_eq!((geometry.blocks, geometry.features), (BLOCKS, features));
    assert_eq!(u64::from(disk.version().unwrap().peer.get()), DRIVER);
    let lent = rig.lend(CLIENT, 1, ALL);
    assert_eq!(refusal(disk.write(lent.at(0), 0, count(1), tag(1))), BlockError::ReadOnly);
    assert_eq!(refusal(disk.flush(tag(1))), BlockError::Unsupported);
    assert_eq!(refusal(disk.discard(0, 1, tag(1))), BlockError::Unsupported);
    disk.read(lent.at(0), 0, count(1), tag(5)).unwrap();
    assert_eq!(rig.finish(CLIENT), [(5, None)]);
}

/// BLK-2.
#[test]
fn no_message_is_more_than_an_error() {
    let rig = Rig::new();
    let mut raw = rig.raw(CLIENT);
    assert_eq!(raw.call(Message::new(0, [])), ProtocolError::UnknownOperation.reply());
    assert_eq!(raw.call(Message::new(8, [])), ProtocolError::UnknownOperation.reply());
    assert_eq!(raw.call(Message::new(7, [0])), ProtocolError::WrongLength.reply());
    for label in 0..9 {
        for register in [0, 1, 512, 1 << 32, u64::MAX] {
            for count in 0..=4 {
                let message = Message::from_wire(label, &[register; 4][..count]).unwrap();
                raw.call(message);
            }
        }
    }
    rig.finish(CLIENT);
    assert_eq!(rig.pinned(), 0);
}

/// BLK-4.
#[test]
fn one_client_does_not_use_up_what_another_needs() {
    let rig = Rig::new();
    let mut disk = rig.client(CLIENT);
    for number in 0..BLOCK_REQUESTS_PER_CLIENT_MAX {
        disk.flush(tag(number as u32)).unwrap();
    }
    assert_eq!(refusal(disk.flush(tag(99))), BlockError::TooManyRequests);
    let lent = rig.lend(OTHER, 1, ALL);
    rig.client(OTHER).read(lent.at(0), 0, count(8), tag(7)).unwrap();
    assert_eq!(rig.finish(OTHER), [(7, None)]);
    // What has ended counts until it was told.
    assert_eq!(refusal(disk.flush(tag(99))), BlockError::TooManyRequests);
    let told: Vec<u32> = rig.ended(CLIENT).into_iter().map(|(tag, _)| tag).collect();
    assert_eq!(told, (0..BLOCK_REQUESTS_PER_CLIENT_MAX as u32).collect::<Vec<_>>());
    disk.flush(tag(99)).unwrap();
}

/// BLK-4.
#[test]
fn frames_in_requests_are_bounded_too() {
    let rig = Rig::new();
    let mut disk = rig.client(CLIENT);
    let most = count(CALL_FRAMES_MAX * FRAME_BLOCKS);
    for _ in 0..BLOCK_FRAMES_PER_CLIENT_MAX / CALL_FRAMES_MAX {
        disk.read(rig.lend(CLIENT, CALL_FRAMES_MAX, ALL).at(0), 0, most, tag(1)).unwrap();
    }
    let refused = disk.read(rig.lend(CLIENT, 1, ALL).at(0), 0, count(1), tag(2));
    assert_eq!(refusal(refused), BlockError::TooManyRequests);
    assert_eq!(rig.pinned(), BLOCK_FRAMES_PER_CLIENT_MAX);
    let others = rig.lend(OTHER, CALL_FRAMES_MAX, ALL);
    rig.client(OTHER).read(others.at(0), 0, most, tag(3)).unwrap();
    rig.finish(OTHER);
    assert_eq!(rig.pinned(), 0);
}

/// BLK-50, BLK-51.
#[test]
fn a_client_is_notified_once_until_it_asks() {
    let rig = Rig::new();
    let mut disk = rig.client(CLIENT);
    for number in 0..ROOM as u32 {
        disk.flush(tag(number)).unwrap();
    }
    assert_eq!(rig.interrupt(), []);
    rig.disk().step_last();
    assert_eq!(rig.interrupt(), [CLIENT as u8]);
    rig.disk().step();
    assert_eq!(rig.interrupt(), []);
    // The first to end is told first, and what ends during the call is told by it.
    rig.disk().step();
    assert_eq!(rig.ended(CLIENT), [(3, None), (0, None), (1, None)]);
    assert_eq!(rig.notices(), []);
    rig.disk().step();
    assert_eq!(rig.interrupt(), [CLIENT as u8]);
    assert_eq!(rig.ended(CLIENT), [(2, None)]);
}

/// BLK-10.
#[test]
fn a_transfer_that_fails_costs_its_request_one_error() {
    let rig = Rig::new();
    let lent = rig.lend(CLIENT, 64, ALL);
    let others = rig.lend(OTHER, 1, ALL);
    rig.disk().bad_block = Some(20);
    rig.client(CLIENT).read(lent.at(0), 0, count(512), tag(1)).unwrap();
    rig.client(CLIENT).flush(tag(2)).unwrap();
    rig.client(OTHER).read(others.at(0), 0, count(8), tag(3)).unwrap();
    assert_eq!(rig.finish(OTHER), [(3, None)]);
    assert_eq!(rig.ended(CLIENT), [(1, FAILED), (2, None)]);
    assert_eq!((rig.disk().resets, rig.pinned()), (0, 0));
    assert!(rig.disk().log.len() < 2 + 512 / 32, "more of it is begun after an error");
}

/// BLK-11, BLK-13.
#[test]
fn a_disk_that_hangs_is_reset_and_the_rest_goes_on() {
    let rig = Rig::new();
    let lent = rig.lend(CLIENT, 8, ALL);
    lent.write(0, &noise(8 * 4096, 3));
    let mut disk = rig.client(CLIENT);
    // Four hang, and the fifth waits for room.
    for frame in 0..4 {
        disk.write(lent.at(frame * 8), frame * 8, count(8), tag(frame as u32)).unwrap();
    }
    rig.testbed.advance(BLOCK_MICROS_MAX / 2);
    let others = rig.lend(OTHER, 1, ALL);
    rig.client(OTHER).read(others.at(0), 50, count(1), tag(5)).unwrap();
    assert_eq!(rig.interrupt(), []);
    assert_eq!(rig.pinned(), 5);
    rig.testbed.advance(BLOCK_MICROS_MAX / 2);
    assert_eq!(rig.interrupt(), [CLIENT as u8]);
    assert_eq!((rig.disk().resets, rig.pinned()), (1, 1));
    let hung: Vec<_> = (0..4).map(|tag| (tag, ABORTED)).collect();
    assert_eq!(rig.ended(CLIENT), hung);
    assert_eq!(rig.finish(OTHER), [(5, None)]);
    assert!(others.read(0, 1) == rig.disk().bytes[50 * 512..51 * 512]);
    // Nothing of the pins is left, and the frames are where they were.
    assert_eq!((rig.disk().resets, rig.pinned()), (1, 0));
    assert!(!lent.state(0).intersects(FrameState::TAKEN_OVER | FrameState::LOCKED));
    rig.testbed.check();
}

/// BLK-11.
#[test]
fn a_flush_may_take_longer_and_no_longer() {
    let rig = Rig::new();
    rig.client(CLIENT).flush(tag(1)).unwrap();
    rig.testbed.advance(BLOCK_FLUSH_MICROS_MAX / 2);
    assert_eq!(rig.interrupt(), []);
    rig.testbed.advance(BLOCK_FLUSH_MICROS_MAX / 2);
    assert_eq!(rig.interrupt(), [CLIENT as u8]);
    assert_eq!(rig.ended(CLIENT), [(1, ABORTED)]);
}

/// BLK-11.
#[test]
fn what_waits_too_long_for_room_ends_without_a_reset() {
    let rig = Rig::new();
    let mut disk = rig.client(CLIENT);
    let lent = rig.lend(CLIENT, 1, ALL);
    for number in 0..ROOM as u32 {
        disk.flush(tag(number)).unwrap();
    }
    disk.read(lent.at(0), 0, count(8), tag(9)).unwrap();
    rig.testbed.advance(BLOCK_MICROS_MAX);
    rig.interrupt();
    assert_eq!(rig.ended(CLIENT), [(9, ABORTED)]);
    assert_eq!((rig.disk().resets, rig.pinned()), (0, 0));
}

/// BLK-16.
#[test]
fn data_that_came_after_the_pin_had_ended_is_no_success() {
    let rig = Rig::new();
    let lent = rig.lend(CLIENT, 1, ALL);
    lent.write(0, &noise(4096, 5));
    rig.client(CLIENT).read(lent.at(0), 0, count(8), tag(1)).unwrap();
    rig.testbed.advance(LEASE_MICROS_MAX);
    assert!(lent.read(0, 8) == noise(4096, 5));
    rig.disk().step();
    rig.interrupt();
    assert_eq!(rig.ended(CLIENT), [(1, ABORTED)]);
    // The device wrote to memory that nobody uses.
    assert!(lent.read(0, 8) == noise(4096, 5));
    assert_eq!(rig.pinned(), 0);
}

/// BLK-12.
#[test]
fn a_disk_that_lies_is_reset() {
    let rig = Rig::new();
    let lent = rig.lend(CLIENT, 1, ALL);
    rig.client(CLIENT).read(lent.at(0), 0, count(8), tag(1)).unwrap();
    rig.client(OTHER).flush(tag(2)).unwrap();
    rig.disk().lie();
    assert_eq!(rig.interrupt(), [CLIENT as u8, OTHER as u8]);
    // The first time nobody can tell that it was not done.
    assert_eq!(rig.ended(CLIENT), [(1, None)]);
    assert_eq!(rig.ended(OTHER), [(2, ABORTED)]);
    assert_eq!((rig.disk().resets, rig.pinned()), (1, 0));
}

/// BLK-12.
#[test]
fn what_had_ended_before_a_disk_broke_is_done() {
    let rig = Rig::new();
    let mut disk = rig.client(CLIENT);
    for number in 1..=3 {
        disk.flush(tag(number)).unwrap();
    }
    rig.disk().step();
    rig.disk().lie();
    rig.disk().is_stuck = true;
    assert_eq!(refusal(disk.flush(tag(4))), BlockError::NoDisk);
    assert_eq!(rig.ended(CLIENT), [(3, ABORTED), (1, None), (2, None)]);
}

/// BLK-12.
#[test]
fn a_disk_that_begins_nothing_costs_one_error_for_each_request() {
    let rig = Rig::new();
    rig.disk().is_broken = true;
    let lent = rig.lend(CLIENT, 1, ALL);
    let mut disk = rig.client(CLIENT);
    disk.read(lent.at(0), 0, count(8), tag(1)).unwrap();
    disk.flush(tag(2)).unwrap();
    assert_eq!(rig.ended(CLIENT), [(1, ABORTED), (2, ABORTED)]);
    assert_eq!((rig.disk().resets, rig.pinned()), (2, 0));
    rig.disk().is_broken = false;
    disk.flush(tag(3)).unwrap();
    assert_eq!(rig.finish(CLIENT), [(3, None)]);
}

/// BLK-14 and S19: memory that a device may still write to is used for nothing until it was reset.
#[test]
fn a_disk_that_does_not_stop_gets_no_memory_that_is_used() {
    let rig = Rig::new();
    let lent = rig.lend(CLIENT, 2, ALL);
    lent.write(0, &noise(8192, 6));
    let mut disk = rig.client(CLIENT);
    disk.read(lent.at(0), 0, count(8), tag(1)).unwrap();
    for number in 0..ROOM as u32 {
        disk.flush(tag(10 + number)).unwrap();
    }
    rig.disk().is_stuck = true;
    rig.testbed.advance(BLOCK_MICROS_MAX);
    rig.interrupt();
    let ended = rig.ended(CLIENT);
    assert_eq!(ended[0], (1, ABORTED));
    assert_eq!(ended[ROOM], (9 + ROOM as u32, NO_DISK));
    assert_eq!(refusal(disk.read(lent.at(8), 0, count(8), tag(2))), BlockError::NoDisk);

    assert_eq!(rig.pinned(), 1, "the pin has not ended");
    rig.testbed.advance(LEASE_MICROS_MAX);
    assert!(lent.state(0).contains(FrameState::TAKEN_OVER));
    rig.disk().step();
    assert!(lent.read(0, 16) == noise(8192, 6), "the disk wrote to a client's memory");

    rig.disk().is_stuck = false;
    disk.read(lent.at(8), 0, count(8), tag(3)).unwrap();
    assert_eq!(rig.finish(CLIENT), [(3, None)]);
    assert_eq!(rig.pinned(), 0);
    rig.testbed.check();
}

#[test]
fn requests_that_are_not_there_are_not_told() {
    let rig = Rig::new();
    assert_eq!(rig.ended(CLIENT), []);
    assert_eq!(rig.raw(CLIENT).call(Request::Completed.encode()), Message::new(0, [0; 4]));
}
