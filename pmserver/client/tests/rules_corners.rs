// SPDX-License-Identifier: BSD-2-Clause
//! Corners of the rules, where a sentence could be read in two ways: what holds there.
#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used)]

mod bed;

use bed::{Bed, FORCE, NONE, Peer, READ, WRITE, count, n, why};
use pmserver_api::LockMode::{Exclusive, Read};
use pmserver_api::{
    AccountHandle, AllocateFlags, BusRun, ContainerHandle, CopyFlags, FrameState, PmError, Rights,
};

const NEW: CopyFlags = CopyFlags::NEW;
const SHARED: CopyFlags = CopyFlags::SHARED;
const MOVE: CopyFlags = CopyFlags::MOVE;
const WINDOW: u64 = 0x1000_0000;
const LONG: u64 = 900_000;
const PAGE: u64 = 4096;

#[test]
fn pairs_in_a_circle_can_be_copied_but_not_moved_or_shared() {
    // PM-164
    Bed::each(|bed| {
        let [mut peer, ..] = bed.peers();
        let c = peer.filled(b"abc");
        let circle = [(0, 1), (1, 2), (2, 0)];
        for flags in [MOVE, SHARED] {
            let refused = bed.refused(|| peer.pairs(c, c, &circle, flags));
            assert_eq!(refused, (PmError::Invalid, 0, 0));
        }
        assert_eq!(peer.bytes(c, 0..3), b"abc");
        assert_eq!(peer.pairs(c, c, &circle, NONE), Ok(3));
        assert_eq!(peer.bytes(c, 0..3), b"cab");
    });
}

#[test]
fn a_twin_of_a_leased_frame_is_told_to_be_locked() {
    // PM-78 with PM-100: what refuses everything as locked says so
    Bed::each(|bed| {
        let [mut owner, mut borrower, _] = bed.peers();
        let c = owner.filled(b"a");
        let twin = owner.empty();
        owner.copy((c, 0..1), (twin, 0), NEW | SHARED).unwrap();
        let lent = owner.lend(c, 0..1, &borrower, Rights::all()).weak;
        borrower.lock(lent, 0..1, Read, LONG).unwrap();
        assert!(owner.has(twin, 0, FrameState::LOCKED));
    });
}

#[test]
fn a_hole_that_is_locked_is_locked_before_it_is_a_hole() {
    // PM-71 with the order of errors: leases, then the frames
    Bed::each(|bed| {
        let [mut owner, mut borrower, _] = bed.peers();
        let c = owner.container(0..4);
        let lent = owner.lend(c, 0..16, &borrower, Rights::all()).weak;
        let lease = borrower.lock(lent, 4..8, Exclusive, LONG).unwrap();
        let locked = (PmError::Locked, 0, lease.deadline.get());
        assert_eq!(bed.refused(|| owner.map(c, 4..8, WINDOW, WRITE)), locked);
    });
}

#[test]
fn a_twin_goes_without_what_is_leased() {
    // PM-78: each can be freed or renewed by itself
    let bed = Bed::calm();
    let [mut owner, mut borrower, _] = bed.peers();
    let c = owner.filled(b"abc");
    let twin = owner.empty();
    owner.copy((c, 0..3), (twin, 0), NEW | SHARED).unwrap();
    let lent = owner.lend(c, 0..3, &borrower, Rights::all()).weak;
    borrower.lock(lent, 0..3, Read, LONG).unwrap();
    owner.free(twin, 0..1).unwrap();
    owner.renew(twin, 1..2).unwrap();
    owner.allocate_with(twin, 2..3, AllocateFlags::SQUASH).unwrap();
    assert_eq!(owner.bytes(c, 0..3), b"abc");
    assert_eq!(owner.bytes(twin, 1..3), [0, 0]);
}

#[test]
fn the_server_chooses_no_number_that_is_locked() {
    // PM-150 with PM-71: the owner cannot know which numbers a borrower has locked
    Bed::each(|bed| {
        let [mut owner, mut borrower, _] = bed.peers();
        let c = owner.container(0..2);
        let lent = owner.lend(c, 0..16, &borrower, Rights::all()).weak;
        borrower.lock(lent, 2..8, Exclusive, LONG).unwrap();
        let placed = owner.pm.allocate_anywhere(c, count(4), AllocateFlags::empty());
        assert!(placed.unwrap().start.get() >= 8);
    });
}

/// A container of the owner's with frames `0..4`, of which the handler supplies `0..2`.
fn absent(owner: &mut Peer, handler: &Peer) -> ContainerHandle {
    let c = owner.container(0..4);
    owner.pm.set_handler(c, n(0), 2, Some(handler.id), 7).unwrap();
    c
}

#[test]
fn a_copy_that_met_an_absent_frame_succeeds_when_it_was_supplied() {
    // PM-280: it was asked; call again
    Bed::each(|bed| {
        let [mut owner, _, mut handler] = bed.peers();
        let c = absent(&mut owner, &handler);
        let d = owner.filled(b"d");
        let page = handler.filled(b"h");
        assert_eq!(why(owner.copy((c, 1..2), (d, 0), NONE)), (PmError::Absent, 0, 1));
        let fault = handler.pm.next_fault().unwrap().unwrap();
        assert_eq!((fault.cookie, fault.number), (7, n(1)));
        assert_eq!(fault.access, pmserver_api::AccessKind::Read);
        handler.pm.supply(fault.fault, page, n(0)).unwrap();
        assert_eq!(handler.pm.next_fault().unwrap(), None);
        assert_eq!(owner.copy((c, 1..2), (d, 0), NONE), Ok(1));
        assert_eq!(owner.get(d, 0), b'h');
        // What is refused is asked again.
        assert_eq!(why(owner.pin(c, 0..1, Read, LONG)), (PmError::Absent, 0, 0));
        let fault = handler.pm.next_fault().unwrap().unwrap();
        handler.pm.refuse(fault.fault).unwrap();
        assert_eq!(why(handler.pm.supply(fault.fault, page, n(0))).0, PmError::InvalidCap);
        let again = [0, 10, 400_000, 700_000].map(|time| {
            owner.pass(time);
            assert_eq!(why(owner.pin(c, 0..1, Read, LONG)), (PmError::Absent, 0, 0));
            handler.pm.next_fault().unwrap().map(|fault| fault.fault)
        });
        assert!(again[0].is_some(), "{again:?}");
        let fault = again[3].unwrap();
        owner.free(c, 0..1).unwrap();
        let late = why(handler.pm.supply(fault, page, n(0)));
        assert!(matches!(late.0, PmError::InvalidCap | PmError::NotFound), "{late:?}");
        assert_eq!(owner.state(c, 0), FrameState::empty());
    });
}

#[test]
fn whatever_is_refused_as_absent_was_asked() {
    // `Absent`: it was asked
    let asked = |what: u32| {
        let bed = Bed::calm();
        let [mut owner, _, mut handler] = bed.peers();
        let c = owner.container(0..2);
        owner.pm.set_handler(c, n(0), 2, Some(handler.id), 7).unwrap();
        let d = owner.container(0..1);
        let error = match what {
            0 => why(owner.copy((c, 1..2), (d, 0), CopyFlags::empty())),
            1 => why(owner.copy((c, 1..2), (d, 0), CopyFlags::ATOMIC)),
            2 => why(owner.copy((c, 1..2), (d, 0), MOVE)),
            3 => why(owner.pin(c, 1..2, Read, LONG)),
            4 => why(owner.map(c, 1..2, WINDOW, FORCE)),
            _ => why(owner.pm.grant(c, n(1), count(1), READ)),
        };
        assert_eq!(error, (PmError::Absent, 0, 1));
        handler.pm.next_fault().unwrap().map(|fault| fault.number)
    };
    assert_eq!([0, 1, 2, 3, 4, 5].map(asked), [Some(n(1)); 6]);
}

#[test]
fn a_refusal_is_for_those_who_waited_and_not_for_who_comes_later() {
    // PM-283: who waits faults where the handler refuses
    let bed = Bed::calm();
    let [mut owner, mut borrower, mut handler] = bed.peers();
    let c = absent(&mut owner, &handler);
    let d = owner.filled(b"d");
    let page = handler.filled(b"h");
    let lent = owner.lend(c, 0..2, &borrower, Rights::READ).weak;
    borrower.map(lent, 0..2, WINDOW, READ).unwrap();
    assert_eq!(why(owner.copy((c, 0..1), (d, 0), NONE)), (PmError::Absent, 0, 0));
    let fault = handler.pm.next_fault().unwrap().unwrap();
    handler.pm.refuse(fault.fault).unwrap();
    bed.testbed.attend(move || {
        while let Some(fault) = handler.pm.next_fault().unwrap() {
            handler.pm.supply(fault.fault, page, n(0)).unwrap();
        }
    });
    // Nobody waits now; this one comes later, and nobody has been asked for it.
    assert_eq!(borrower.memory.load(bed::at(WINDOW)).map_err(|fault| fault.line), Ok(b'h'));
}

#[test]
fn frames_for_a_device_have_memory_at_once() {
    // PM-36: every peer here has the privilege `dma`
    let bed = Bed::calm();
    let [mut owner, ..] = bed.peers();
    let c = owner.empty();
    assert_eq!(owner.allocate_with(c, 0..2, AllocateFlags::DMA), Ok(2));
    assert!(owner.has(c, 0, FrameState::BOUND) && owner.has(c, 1, FrameState::BOUND));
}

/// Where four contiguous frames are, as a pin tells.
fn place(peer: &mut Peer, c: ContainerHandle) -> BusRun {
    let pin = peer.pin(c, 0..4, Read, LONG).unwrap();
    peer.pm.unlock(pin.lease.lease).unwrap();
    pin.bus
}

#[test]
fn contiguous_frames_keep_their_memory_when_they_are_read_written_and_copied() {
    // PM-155, PM-160, PM-86, PM-290
    Bed::each(|bed| {
        let [mut owner, mut other, _] = bed.peers();
        let c = owner.empty();
        assert_eq!(owner.pm.allocate_contiguous(c, n(0), count(4), 14, 64), Ok(4));
        let first = place(&mut owner, c);
        assert_eq!((first.frames, first.address % (4 * PAGE)), (4, 0));
        for (number, byte) in (0..).zip(b"abcd") {
            owner.put(c, number, *byte);
        }
        let d = owner.empty();
        owner.copy((c, 0..4), (d, 0), NEW).unwrap();
        owner.put(c, 0, b'x');
        owner.put(d, 1, b'y');
        owner.map(c, 2..3, WINDOW, FORCE).unwrap();
        owner.unmap(WINDOW, 1);
        assert_eq!(place(&mut owner, c), first, "after a copy and stores on both sides");
        assert_eq!((owner.bytes(c, 0..4), owner.bytes(d, 0..4)), (b"xbcd".into(), b"aycd".into()));
        let lent = owner.lend(c, 0..4, &other, Rights::all()).weak;
        let theirs = other.empty();
        other.copy((lent, 0..4), (theirs, 0), NEW).unwrap();
        let pin = owner.pin(c, 0..4, Exclusive, LONG).unwrap();
        assert_eq!(pin.bus, first, "exclusive, which ends what is copy-on-write");
        owner.pm.unlock(pin.lease.lease).unwrap();
        assert_eq!(other.bytes(theirs, 0..4), b"xbcd");
    });
}

#[test]
fn contiguous_frames_keep_their_memory_when_something_is_copied_into_them() {
    // PM-155 with PM-160, PM-161
    Bed::each(|bed| {
        let [mut owner, ..] = bed.peers();
        let c = owner.empty();
        owner.pm.allocate_contiguous(c, n(0), count(4), 14, 64).unwrap();
        let first = place(&mut owner, c);
        let d = owner.filled(b"wxyz");
        owner.copy((d, 0..4), (c, 0), NONE).unwrap();
        assert_eq!(owner.bytes(c, 0..4), b"wxyz");
        owner.put(c, 0, b'n');
        assert_eq!(owner.bytes(d, 0..4), b"wxyz");
        assert_eq!(place(&mut owner, c), first);
    });
}

#[test]
fn contiguous_frames_keep_their_memory_when_they_are_renewed() {
    // PM-155 with PM-145: they are there still
    Bed::each(|bed| {
        let [mut owner, ..] = bed.peers();
        let c = owner.empty();
        owner.pm.allocate_contiguous(c, n(0), count(4), 14, 64).unwrap();
        let first = place(&mut owner, c);
        owner.put(c, 1, b'a');
        owner.renew(c, 0..4).unwrap();
        assert_eq!(owner.bytes(c, 0..4), [0; 4]);
        assert_eq!(place(&mut owner, c), first);
    });
}

#[test]
fn discardable_frames_are_not_dropped_for_extra_ones() {
    // PM-14: an operation that needs memory within a limit
    let bed = Bed::calm();
    let [mut owner, _, mut greedy] = bed.peers();
    let extra = AllocateFlags::EXTRA | AllocateFlags::PARTIAL;
    let limit = pmserver_api::LimitFlags::EXTRA;
    let fill = |peer: &mut Peer, frames: u64| {
        let account = peer.pm.account_split(AccountHandle::OWN, 300, limit).unwrap();
        let c = peer.pm.container_create(account).unwrap();
        for start in (0..frames).step_by(64) {
            if let Err(error) = peer.allocate_with(c, start..start + 64, extra) {
                return (c, why::<()>(Err(error)).0);
            }
        }
        (c, PmError::Pending)
    };
    let (c, _) = fill(&mut owner, 512);
    for start in [0, 256] {
        owner.pm.mark(c, n(start), count(256), pmserver_api::Marks::DISCARDABLE).unwrap();
    }
    let (_, error) = fill(&mut greedy, 10_000);
    let dropped = (0..512).filter(|number| owner.has(c, *number, FrameState::DISCARDED)).count();
    assert_eq!((dropped, error), (0, PmError::NoMemory));
}

#[test]
fn a_share_of_a_container_that_is_being_destroyed_can_be_ended() {
    // PM-21, PM-61
    let bed = Bed::calm();
    let [mut owner, mut other, _] = bed.peers();
    let c = owner.filled(b"ab");
    let lent = owner.lend(c, 0..2, &other, Rights::all());
    other.lock(lent.weak, 0..1, Read, LONG).unwrap();
    assert_eq!(why(owner.pm.container_destroy(c)).0, PmError::Pending);
    assert_eq!(why(owner.allocate(c, 5..6)).0, PmError::InvalidCap);
    assert_eq!(why(owner.pm.unshare(lent.share)).0, PmError::Locked);
}
