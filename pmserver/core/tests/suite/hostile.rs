// SPDX-License-Identifier: BSD-2-Clause
//! Malformed calls and refusals by the kernel: nothing panics, and nothing is lost (S49-S52).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{World, at, frames, page, peer};
use pmserver_api::{
    AccountHandle, AllocateFlags, DeallocateFlags, LockMode, MapFlags, PmError, Rights,
};
use proptest::prelude::*;
use proto::{Message, Micros, ProtocolError};

#[test]
fn unknown_operations_and_wrong_lengths_have_their_own_errors() {
    let world = World::new();
    for label in [0, 55, 99, 4 | 1 << 16, 26 | 1 << 32, u64::MAX] {
        let reply = world.raw(2, Message::new(label, []));
        assert_eq!(reply.label(), ProtocolError::UnknownOperation.status());
    }
    // Lists may have several lengths.
    for label in (1..=54).filter(|label| ![25, 28].contains(label)) {
        let lengths = (0..=4).filter(|count| {
            let message = Message::from_wire(label, &[0; 4][..*count]).unwrap();
            world.raw(2, message).label() != ProtocolError::WrongLength.status()
        });
        assert_eq!(lengths.count(), 1, "operation {label} takes exactly one number of registers");
    }
}

#[test]
fn unknown_flags_are_refused() {
    // S50
    let world = World::new();
    let mut pm = world.client();
    let container = pm.container_create(AccountHandle::OWN).unwrap().raw();
    let invalid = PmError::Invalid.status();
    for message in [
        Message::new(6, [container, 0, 1, 1 << 4]),
        Message::new(6, [container, 0, 1, 1 << 16]),
        Message::new(6, [container, 0, 0, 0]),
        Message::new(6, [container, 0, 257, 0]),
        Message::new(7, [container, 0, 1, 2]),
        Message::new(8, [container, 0, 1, 1 | 16 << 16]),
        Message::new(8, [container, 0, 0, 1 | 1 << 16]),
        Message::new(8, [container, 0, 1, 1]),
        Message::new(8, [container, u64::MAX, 2, 1 | 1 << 16]),
        Message::new(10, [container, 0, 1 | 2 << 16, 1]),
        Message::new(10, [container, 0, 1 | 1 << 32, 1]),
        Message::new(12, [container, 0, 0x1000_0000, 1 | 32 << 16]),
        Message::new(12, [container, 0, 0x1000_0000, 1 | 1 << 16 | 1 << 32]),
        Message::new(13, [0x1000_0000, 1 << 32]),
        Message::new(16, [1 << 47, 0]),
        Message::new(17, [61, 1]),
        Message::new(20, [0x1000_0000, 1, 32]),
        Message::new(23, [container, 0, 1, 64]),
        Message::new(23, [container, 0, 1, 12 | 65 << 16]),
        Message::new(23, [container, 0, 1, 12 | 64 << 16 | 1 << 32]),
        Message::new(29, [container, 0, 0x1000_0000, 1 | 32 << 32]),
        Message::new(29, [container, 0, 0x1000_0000, 1 | 1 << 32 | 1 << 48]),
        Message::new(31, [container, 0, 1, 32]),
    ] {
        assert_eq!(world.raw(2, message).label(), invalid, "{message:?}");
    }
}

fn register() -> impl Strategy<Value = u64> {
    prop_oneof![
        3 => 0u64..8,
        2 => any::<u64>(),
        1 => (0u32..64).prop_map(|bit| 1 << bit),
        1 => Just(u64::MAX),
        2 => (0u64..40).prop_map(|number| 0x1000_0000 + number * 4096),
        2 => (0u64..9, 0u64..16, 0u64..4).prop_map(|(a, b, c)| a | b << 16 | c << 32),
    ]
}

fn label() -> impl Strategy<Value = u64> {
    (0u64..52, prop_oneof![Just(0u64), 1u64..9], prop_oneof![Just(0u64), 0u64..16])
        .prop_map(|(operation, count, flags)| operation | count << 16 | flags << 32)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Random registers, some of them valid handles: every invariant holds after each call.
    #[test]
    fn no_message_breaks_the_server(calls in prop::collection::vec(
        (1u64..=3, label(), prop::collection::vec(register(), 0..=7), any::<u8>()), 1..150,
    )) {
        let world = World::small();
        let mut handles = Vec::new();
        for (caller, label, mut registers, pick) in calls {
            if let (Some(first), 41.., false) = (registers.first_mut(), pick, handles.is_empty()) {
                *first = handles[usize::from(pick) % handles.len()];
            }
            let reply = world.raw(caller, Message::from_wire(label, &registers).unwrap());
            let makes_handles = matches!(label & 0xFFFF, 4 | 8 | 10 | 26..=28 | 34 | 38 | 43);
            if reply.label() == 0 && makes_handles {
                handles.push(reply.registers()[0]);
            }
        }
    }
}

/// What a client and a server do with one container, as far as the kernel lets them.
const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);

fn workload(world: &World) {
    let (mut pm, mut fs) = (world.client(), world.fs());
    let Ok(container) = pm.container_create(AccountHandle::OWN) else { return };
    let _ = pm.allocate(container, at(0), frames(20), AllocateFlags::PARTIAL);
    let _ = pm.map(container, at(0), frames(20), page(0), FORCED);
    if let Ok(shared) = pm.share(container, at(0), 20, peer(1), Rights::all(), Micros::new(50)) {
        let _ = fs.map(shared.weak, at(0), frames(20), page(0), FORCED);
        if let Ok(lease) = fs.lock(shared.weak, at(2), frames(9), LockMode::Read, Micros::new(50)) {
            let _ = fs.unlock(lease.lease);
        }
        if let Ok(lease) =
            fs.lock(shared.weak, at(2), frames(9), LockMode::Exclusive, Micros::new(50))
        {
            let _ = fs.unlock(lease.lease);
        }
        if pm.unshare(shared.share).is_ok() {
            assert!((0..20).all(|number| world.load(1, page(number)).is_err()), "R9");
        }
    }
    let _ = pm.allocate(container, at(5), frames(2), AllocateFlags::SQUASH);
    let _ = pm.unmap(page(0), frames(20));
    let _ = pm.deallocate(container, at(3), frames(5), DeallocateFlags::empty());
    let _ = pm.container_destroy(container);
}

#[test]
fn whichever_kernel_call_fails_the_books_stay_right() {
    // Every call checks the invariants.
    let boot_invocations = World::small().0.borrow().kernel().invocations();
    let mut n = 1;
    loop {
        let world = World::small();
        let before = world.accounts();
        world.fail_nth(Some(n));
        workload(&world);
        let is_past_the_end = world.0.borrow().kernel().invocations() < n + boot_invocations;
        world.fail_nth(None);
        let mut pm = world.client();
        for _ in 0..200 {
            pm.reclaim().unwrap();
        }
        if is_past_the_end {
            assert_eq!(world.accounts(), before);
            break;
        }
        n += 1;
    }
    assert!(n > 100, "the workload makes enough kernel calls to be worth it: {n}");
}
