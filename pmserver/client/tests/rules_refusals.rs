// SPDX-License-Identifier: BSD-2-Clause
//! Which of several errors is told, with which numbers, and that nothing has changed.
#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used)]

mod bed;

use bed::{Bed, FORCE, NONE, READ, WRITE, at, count, micros, n, why};
use pmserver_api::LockMode::{Exclusive, Read};
use pmserver_api::{
    AccountHandle, AllocateFlags, ContainerHandle, CopyFlags, DeallocateFlags, LeaseHandle,
    PmError, Rights, ShareHandle,
};
use proto::{Message, Transport};

const NEW: CopyFlags = CopyFlags::NEW;
const SHARED: CopyFlags = CopyFlags::SHARED;
const WINDOW: u64 = 0x1000_0000;
const LONG: u64 = 900_000;
const BAD: ContainerHandle = ContainerHandle::from_raw(0x1234);
const LAST: u64 = u64::MAX;

#[test]
fn one_argument_comes_before_the_handle_and_the_handle_before_the_others() {
    // The order of errors; PM-7
    Bed::each(|bed| {
        let [mut owner, mut other, _] = bed.peers();
        let c = owner.container(0..2);
        let cap = PmError::InvalidCap;
        let invalid = PmError::Invalid;
        let none = AllocateFlags::empty();
        let bad_share = |owner: &mut bed::Peer, count| {
            let own = owner.id;
            owner.pm.share(BAD, n(0), count, own, Rights::READ, micros(1))
        };
        let refusals = [
            (cap, bed.refused(|| owner.pm.allocate(BAD, n(LAST), count(2), none))),
            (cap, bed.refused(|| owner.pairs(BAD, c, &[(0, 1), (0, 1)], NONE))),
            (cap, bed.refused(|| owner.pairs(c, BAD, &[(0, 1), (0, 1)], NONE))),
            (cap, bed.refused(|| bad_share(&mut owner, 1))),
            (cap, bed.refused(|| owner.lock(BAD, 0..1, Read, 0))),
            (invalid, bed.refused(|| owner.pm.map(BAD, n(0), count(1), at(WINDOW + 8), WRITE))),
            (cap, bed.refused(|| owner.pm.map(BAD, n(LAST), count(2), at(WINDOW), WRITE))),
            (cap, bed.refused(|| other.pm.map(c, n(0), count(1), at(WINDOW), WRITE))),
            (cap, bed.refused(|| owner.pm.unshare(ShareHandle::from_raw(LAST)))),
            (cap, bed.refused(|| owner.pm.unlock(LeaseHandle::from_raw(LAST)))),
            (cap, bed.refused(|| owner.pm.container_create(AccountHandle::from_raw(LAST)))),
        ];
        for (number, (expected, refusal)) in refusals.into_iter().enumerate() {
            assert_eq!(refusal, (expected, 0, 0), "case {number}");
        }
        let mut channel = bed.testbed.channel(1);
        let wrong = BAD.raw();
        for message in [
            Message::new(6, [wrong, 0, 257, 0]),
            Message::new(6, [wrong, 0, 0, 0]),
            Message::new(6, [wrong, 0, 1, 16]),
            Message::new(7, [wrong, LAST, 257, 0]),
            Message::new(10, [wrong, 0, 257, 0]),
            Message::new(10, [wrong, 0, 1 | 2 << 16, 5]),
            Message::new(12, [wrong, 0, WINDOW, 257 | 1 << 16]),
            Message::new(12, [wrong, 0, 1 << 63, 1 | 1 << 16]),
            Message::new(13, [WINDOW + 1, 1]),
            Message::new(50, [3, 0]),
        ] {
            let reply = channel.call(message);
            assert_eq!(reply, Message::new(invalid.status(), [0, 0]), "{message:?}");
        }
    });
}

#[test]
fn rights_come_before_ranges_and_ranges_before_leases_and_leases_before_frames() {
    // The order of errors; PM-33, PM-41, PM-42, PM-166
    Bed::each(|bed| {
        let [mut owner, mut one, mut two] = bed.peers();
        let c = owner.filled(b"ab");
        let ones = owner.lend(c, 0..9, &one, Rights::all()).weak;
        let reads = owner.lend(c, 0..9, &two, Rights::READ).weak;
        let lease = one.lock(ones, 0..9, Exclusive, LONG).unwrap();
        let locked = (PmError::Locked, 0, lease.deadline.get());
        let no = (PmError::NoRight, 0, 0);
        let invalid = (PmError::Invalid, 0, 0);
        let own = two.filled(b"x");
        let strict = DeallocateFlags::STRICT;
        let (none, squash) = (AllocateFlags::empty(), AllocateFlags::SQUASH);
        let refusals = [
            (no, bed.refused(|| two.map(reads, 0..1, WINDOW, WRITE))),
            (no, bed.refused(|| two.map(reads, 8..10, WINDOW, READ))),
            (no, bed.refused(|| two.copy((own, 0..1), (reads, 0), NONE))),
            (no, bed.refused(|| two.copy((reads, 0..1), (own, 0), SHARED))),
            (no, bed.refused(|| two.lock(reads, 0..1, Read, LONG))),
            (no, bed.refused(|| two.pm.share(reads, n(0), 1, one.id, Rights::READ, micros(1)))),
            (no, bed.refused(|| two.renew(reads, 0..1))),
            (no, bed.refused(|| two.pm.status(reads, n(0), count(1)))),
            (locked, bed.refused(|| two.copy((reads, 5..6), (own, 0), NONE))),
            (locked, bed.refused(|| owner.pm.deallocate(c, n(1), count(4), strict))),
            (locked, bed.refused(|| owner.pm.allocate(c, n(0), count(1), none))),
            (locked, bed.refused(|| owner.pm.allocate(c, n(8), count(200), squash))),
            (locked, bed.refused(|| owner.copy((c, 5..7), (c, 0), NONE))),
            (locked, bed.refused(|| owner.pin(c, 5..6, Exclusive, LONG))),
            (invalid, bed.refused(|| owner.pm.renew(c, n(LAST), count(2)))),
            (invalid, bed.refused(|| owner.lock(c, 0..1, Exclusive, 0))),
            (invalid, bed.refused(|| owner.pairs(c, c, &[(0, 1), (0, 1)], NONE))),
        ];
        for (number, (expected, refusal)) in refusals.into_iter().enumerate() {
            assert_eq!(refusal, expected, "case {number}");
        }
        assert_eq!(one.bytes(ones, 0..2), b"ab");
    });
}

#[test]
fn frames_are_told_in_their_order() {
    // PM-31, PM-41, PM-161, PM-163, PM-80
    Bed::each(|bed| {
        let [mut owner, ..] = bed.peers();
        let c = owner.filled(b"ab\0d");
        owner.free(c, 2..3).unwrap();
        let strict = DeallocateFlags::STRICT;
        let missing = bed.refused(|| owner.pm.deallocate(c, n(0), count(9), strict));
        assert_eq!(missing, (PmError::NotFound, 0, 2));
        let exists = bed.refused(|| owner.allocate(c, 2..6));
        assert_eq!(exists, (PmError::Exists, 0, 3));
        let partial = why(owner.allocate_with(c, 2..6, AllocateFlags::PARTIAL));
        assert_eq!(partial, (PmError::Exists, 1, 3));
        owner.free(c, 2..3).unwrap();
        assert_eq!(owner.map(c, 0..4, WINDOW, FORCE).unwrap().count, 2);
        assert_eq!(bed.refused(|| owner.map(c, 2..4, WINDOW + 0x2000, FORCE)).2, 2);
        assert_eq!(why(owner.copy((c, 0..3), (c, 10), NEW)), (PmError::NotFound, 2, 2));
        assert_eq!(owner.bytes(c, 10..12), b"ab");
        assert_eq!(bed.refused(|| owner.copy((c, 0..1), (c, 10), NEW)), (PmError::Exists, 0, 10));
        assert_eq!(bed.refused(|| owner.pin(c, 0..4, Read, LONG)), (PmError::NotFound, 0, 2));
        assert_eq!(owner.renew(c, 0..4), Ok(3));
        assert_eq!(owner.free(c, 0..12), Ok(5));
        assert_eq!(owner.free(c, 0..12), Ok(0));
    });
}

#[test]
fn a_message_that_is_not_one_changes_nothing() {
    // PM-2, PM-3, PM-7
    let bed = Bed::calm();
    let [mut owner, ..] = bed.peers();
    let c = owner.filled(b"a");
    let mut channel = bed.testbed.channel(1);
    let before = bed.charges();
    for label in [0, 55, 0xFFFF, 1 << 16 | 6, 1 << 32 | 6, u64::MAX] {
        for registers in 0..=16 {
            let reply = channel.call(Message::from_wire(label, &vec![c.raw(); registers]).unwrap());
            assert_eq!(reply, Message::new(0xFF00, []), "{label:#x} with {registers}");
        }
    }
    let mut lengths = 0;
    for label in 1..=54 {
        for registers in 0..=16 {
            let message = Message::from_wire(label, &vec![u64::MAX; registers]).unwrap();
            let reply = channel.call(message);
            lengths += u32::from(reply == Message::new(0xFF01, []));
        }
    }
    assert!(lengths > 54 * 10, "{lengths}");
    assert_eq!(bed.charges(), before);
    assert_eq!(owner.get(c, 0), b'a');
    bed.testbed.check();
}
