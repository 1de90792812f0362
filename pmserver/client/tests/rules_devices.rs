// SPDX-License-Identifier: BSD-2-Clause
//! Pins that run out and contiguous frames, in rings, under copies, with peers that end.
#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used)]

mod bed;

use bed::{Bed, Peer, READ, WRITE, count, n, why};
use pmserver_api::LockMode::{Exclusive, Read};
use pmserver_api::{
    AccountHandle, BusRun, ContainerHandle, CopyFlags, FrameState, PmError, Rights,
};

const NEW: CopyFlags = CopyFlags::NEW;
const SHARED: CopyFlags = CopyFlags::SHARED;
const MOVE: CopyFlags = CopyFlags::MOVE;
const WINDOW: u64 = 0x1000_0000;
const PAGE: u64 = 4096;
const LONG: u64 = 900_000;

#[test]
fn a_pin_that_runs_out_takes_the_frames_over_with_all_their_relations() {
    // PM-273, PM-272, PM-271, PM-76, PM-100
    Bed::each(|bed| {
        let [mut owner, mut driver, mut third] = bed.peers();
        let before = driver.info();
        let c = owner.filled(b"abc");
        let twin = owner.empty();
        owner.copy((c, 0..1), (twin, 0), NEW | SHARED).unwrap();
        let lent = owner.lend(c, 0..3, &driver, Rights::all()).weak;
        let thirds = owner.lend(twin, 0..1, &third, Rights::WRITE).weak;
        third.map(thirds, 0..1, WINDOW, WRITE).unwrap();
        owner.map(c, 0..3, WINDOW, WRITE).unwrap();
        let read = driver.pin(lent, 0..1, Read, 20_000).unwrap();
        let write = driver.pin(lent, 1..3, Exclusive, 20_000).unwrap();
        owner.pass(20_000);
        assert_eq!(owner.load(WINDOW), b'a');
        third.store(b't', WINDOW);
        assert_eq!(owner.load(WINDOW), b't', "a ring is one still");
        owner.store(b'o', WINDOW + PAGE);
        assert_eq!(owner.bytes(c, 0..3), b"toc");
        assert!(owner.has(c, 1, FrameState::TAKEN_OVER | FrameState::BOUND));
        assert!(!owner.has(c, 1, FrameState::PINNED) && !owner.has(c, 1, FrameState::LOCKED));
        for lease in [read.lease.lease, write.lease.lease] {
            assert_eq!(why(driver.pm.bus_address(lease, n(1))).0, PmError::InvalidCap);
        }
        let held = driver.info();
        assert!(held.frames.get() >= before.frames.get() + 2 * PAGE, "at the holder's cost");
        owner.renew(c, 1..2).unwrap();
        assert!(!owner.has(c, 1, FrameState::TAKEN_OVER));
        assert!(owner.has(c, 2, FrameState::TAKEN_OVER));
        let again = driver.pin(lent, 2..3, Exclusive, 20_000).unwrap();
        assert!(!owner.has(c, 2, FrameState::TAKEN_OVER));
        assert_ne!(again.bus.address, write.bus.address + PAGE, "other memory");
        driver.pm.unlock(again.lease.lease).unwrap();
        let _ = driver.pm.unlock(read.lease.lease);
        let _ = driver.pm.unlock(write.lease.lease);
        assert_eq!(driver.info(), before);
        assert_eq!(owner.bytes(c, 0..3), b"t\0c");
    });
}

#[test]
fn what_comes_to_a_frame_after_its_pin_ran_out_is_not_taken_over() {
    // PM-273, PM-165: the copy uses a frame of the ring, which ends the pin before it is done.
    for flags in [MOVE, SHARED, NEW | MOVE, NEW | SHARED] {
        Bed::each(|bed| {
            let [mut owner, mut driver, _] = bed.peers();
            let c = owner.filled(b"abc");
            let twin = owner.empty();
            owner.copy((c, 0..1), (twin, 0), NEW | SHARED).unwrap();
            let lent = owner.lend(twin, 0..1, &driver, Rights::all()).weak;
            let pin = driver.pin(lent, 0..1, Read, 20_000).unwrap();
            owner.pass(20_000);
            let to = if flags.contains(NEW) { 3 } else { 1 };
            owner.copy((c, 0..1), (c, to), flags).unwrap();
            assert!(owner.has(twin, 0, FrameState::TAKEN_OVER));
            assert!(!owner.has(c, to, FrameState::TAKEN_OVER), "{flags:?}");
            assert_eq!(owner.has(c, 0, FrameState::TAKEN_OVER), flags.contains(SHARED));
            owner.put(twin, 0, b't');
            assert_eq!(owner.get(c, to), b't');
            driver.pm.unlock(pin.lease.lease).unwrap();
        });
    }
}

#[test]
fn a_new_pin_of_a_ring_ends_what_an_old_one_left() {
    // PM-273, PM-275: the old one is on another frame of the ring, and has run out.
    Bed::each(|bed| {
        let [mut owner, mut driver, _] = bed.peers();
        let c = owner.filled(b"a");
        let twin = owner.empty();
        owner.copy((c, 0..1), (twin, 0), NEW | SHARED).unwrap();
        let lent = [c, twin].map(|container| owner.lend(container, 0..1, &driver, Rights::all()));
        let old = driver.pin(lent[1].weak, 0..1, Read, 20_000).unwrap();
        owner.pass(20_000);
        let new = driver.pin(lent[0].weak, 0..1, Read, LONG).unwrap();
        assert_ne!(old.bus.address, new.bus.address, "other memory");
        for container in [twin, c] {
            assert!(owner.has(container, 0, FrameState::PINNED));
            assert!(!owner.has(container, 0, FrameState::TAKEN_OVER));
        }
        for pin in [old, new] {
            driver.pm.unlock(pin.lease.lease).unwrap();
        }
    });
}

#[test]
fn a_pin_that_ran_out_is_paid_for_until_the_device_is_reset_whatever_is_left_of_it() {
    // PM-273, PM-272, PM-22
    Bed::each(|bed| {
        let [mut owner, mut driver, mut supervisor] = bed.peers();
        let before = bed.charges();
        let c = owner.filled(b"abc");
        let lent = owner.lend(c, 0..3, &driver, Rights::all()).weak;
        driver.pin(lent, 0..3, Exclusive, 20_000).unwrap();
        let (error, _, deadline) = why(owner.pm.container_destroy(c));
        assert_eq!(error, PmError::Pending);
        owner.pass(deadline);
        owner.pm.container_destroy(c).unwrap();
        let info = driver.info();
        assert!(info.frames.get() >= 3 * PAGE, "{info:?}");
        assert_eq!(owner.info(), *before[0].as_ref().unwrap(), "the owner has all of it back");
        supervisor.pm.device_reset(driver.id).unwrap();
        assert_eq!(bed.charges(), before);
    });
}

#[test]
fn the_holder_of_a_pin_that_ends_early_leaves_nothing_to_others() {
    // PM-76, PM-273, PM-121
    Bed::each(|bed| {
        let [mut owner, mut driver, mut supervisor] = bed.peers();
        let mine = owner.info();
        let c = owner.filled(b"ab");
        let lent = owner.lend(c, 0..2, &driver, Rights::all());
        driver.pin(lent.weak, 0..2, Exclusive, LONG).unwrap();
        assert!(driver.load_faults(0x6000_0000));
        assert_eq!(owner.bytes(c, 0..2), b"ab");
        owner.put(c, 0, b'o');
        assert_eq!(owner.free(c, 0..2), Ok(2), "nothing is pinned any more");
        while owner.pm.reclaim().unwrap() > 0 {}
        supervisor.pm.device_reset(driver.id).unwrap();
        let left = supervisor.pm.account_info(AccountHandle::of_peer(driver.id)).unwrap();
        assert_eq!(left.used.get(), 0, "{left:?}");
        owner.pm.container_destroy(c).unwrap();
        assert_eq!(owner.info(), mine);
    });
}

/// Where four contiguous frames are, as a pin tells.
fn place(peer: &mut Peer, c: ContainerHandle) -> BusRun {
    let pin = peer.pin(c, 0..4, Read, LONG).unwrap();
    peer.pm.unlock(pin.lease.lease).unwrap();
    pin.bus
}

#[test]
fn contiguous_frames_move_with_their_memory() {
    // PM-155, PM-162
    Bed::each(|bed| {
        let [mut owner, ..] = bed.peers();
        let c = owner.empty();
        owner.pm.allocate_contiguous(c, n(0), count(4), 14, 64).unwrap();
        let first = place(&mut owner, c);
        let d = owner.empty();
        owner.copy((c, 0..4), (d, 0), NEW | MOVE).unwrap();
        assert_eq!(place(&mut owner, d), first);
        owner.copy((d, 0..2), (c, 0), NEW | SHARED).unwrap();
        owner.put(c, 0, b's');
        assert_eq!(owner.get(d, 0), b's');
        assert_eq!(place(&mut owner, d), first);
        owner.map(d, 0..4, WINDOW, READ).unwrap();
    });
}
