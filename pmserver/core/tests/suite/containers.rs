// SPDX-License-Identifier: BSD-2-Clause
//! Allocating and freeing frames of containers (O1, O4, O5, O12, O24; S1-S8).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{World, at, filled, frames, page, peer};
use pmserver_api::{
    AccountHandle, AllocateFlags, CallError, ContainerHandle, DeallocateFlags, Failure, FrameState,
    LockMode, MapFlags, PmError, Rights,
};
use proptest::prelude::*;
use proto::Micros;

const PLAIN: AllocateFlags = AllocateFlags::empty();

fn refused<T>(error: PmError, done: u64, at: u64) -> Result<T, CallError> {
    Err(CallError::Refused(Failure { error, done, at }))
}

#[test]
fn handles_do_not_tell_what_others_made() {
    // The same calls of a peer get the same numbers, whatever another peer makes meanwhile.
    let numbers = |others: usize| {
        let world = World::new();
        let (mut pm, mut other) = (world.client(), world.fs());
        let first = pm.container_create(AccountHandle::OWN).unwrap();
        for _ in 0..others {
            let container = other.container_create(AccountHandle::OWN).unwrap();
            other.container_destroy(container).unwrap();
        }
        [first, pm.container_create(AccountHandle::OWN).unwrap()]
    };
    assert_eq!(numbers(0), numbers(7));
}

#[test]
fn untouched_frames_are_charged_but_have_no_memory() {
    // S1
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 8);
    pm.map(container, at(0), frames(8), page(0), MapFlags::WRITE).unwrap();
    for number in 0..3 {
        assert_eq!(world.load(2, page(number)), Ok(0));
        world.store(2, 1, page(number)).unwrap();
    }
    assert_eq!(pm.account_info(AccountHandle::OWN).unwrap().frames.get(), 8 * 4096);
    let status = pm.status(container, at(0), frames(9)).unwrap();
    let bound: Vec<bool> =
        status.frames[..9].iter().map(|frame| frame.contains(FrameState::BOUND)).collect();
    assert_eq!(bound, [true, true, true, false, false, false, false, false, false]);
    assert!(status.frames[7].contains(FrameState::PRESENT));
    assert_eq!(status.frames[8], FrameState::empty());
    assert_eq!(world.load(2, page(7)), Ok(0), "reading takes no memory");
    assert!(!pm.status(container, at(7), frames(1)).unwrap().frames[0].contains(FrameState::BOUND));
}

#[test]
fn a_frame_in_the_way_stops_everything_or_what_comes_after() {
    // S2, S3
    let world = World::new();
    let mut pm = world.client();
    let container = pm.container_create(AccountHandle::OWN).unwrap();
    pm.allocate(container, at(5), frames(1), PLAIN).unwrap();
    let before = world.accounts();
    assert_eq!(pm.allocate(container, at(0), frames(10), PLAIN), refused(PmError::Exists, 0, 5));
    assert_eq!(world.accounts(), before);
    assert_eq!(
        pm.allocate(container, at(0), frames(10), AllocateFlags::PARTIAL),
        refused(PmError::Exists, 5, 5)
    );
    let status = pm.status(container, at(0), frames(7)).unwrap();
    let present = status.frames.iter().filter(|frame| frame.contains(FrameState::PRESENT)).count();
    assert_eq!(present, 6);
}

#[test]
fn squash_replaces_only_when_all_of_it_succeeds() {
    // S4: new frames are reserved first, and old ones are dropped only on success (A3)
    let world = World::new();
    let mut pm = world.client();
    let container = pm.container_create(AccountHandle::OWN).unwrap();
    pm.allocate(container, at(5), frames(1), PLAIN).unwrap();
    pm.map(container, at(5), frames(1), page(0), MapFlags::WRITE).unwrap();
    world.store(2, 77, page(0)).unwrap();
    let charge = |pm: &mut crate::world::Pm| {
        pm.account_info(AccountHandle::OWN).unwrap().frames.get() / 4096
    };

    let filler = pm.container_create(AccountHandle::OWN).unwrap();
    let limit = pm.account_info(AccountHandle::OWN).unwrap();
    let mut room = (limit.limit.get() - limit.used.get()) / 4096;
    while room > 12 {
        let count = (room - 12).min(200);
        pm.allocate(filler, at(1000 * room), frames(count), PLAIN).unwrap();
        let info = pm.account_info(AccountHandle::OWN).unwrap();
        room = (info.limit.get() - info.used.get()) / 4096;
    }
    let before = charge(&mut pm);
    let failed = pm.allocate(container, at(0), frames(200), AllocateFlags::SQUASH);
    assert_eq!(failed.unwrap_err().refusal(), Some(PmError::QuotaExceeded));
    assert_eq!(charge(&mut pm), before);
    assert_eq!(world.load(2, page(0)), Ok(77), "a refused squash loses nothing");

    pm.container_destroy(filler).unwrap();
    let before = charge(&mut pm);
    assert_eq!(pm.allocate(container, at(0), frames(10), AllocateFlags::SQUASH), Ok(10));
    assert_eq!(charge(&mut pm), before + 9);
    assert!(world.load(2, page(0)).is_err(), "the old frame's mapping goes with it");
    pm.map(container, at(5), frames(1), page(0), MapFlags::READ).unwrap();
    assert_eq!(world.load(2, page(0)), Ok(0));
}

#[test]
fn quota_is_all_or_nothing_or_as_far_as_it_goes() {
    // S5
    let world = World::new();
    let mut pm = world.as_peer(3);
    let container = pm.container_create(AccountHandle::OWN).unwrap();
    let mut next = 0;
    while pm.allocate(container, at(next), frames(8), PLAIN).is_ok() {
        next += 8;
    }
    let before = world.accounts();
    let all = pm.allocate(container, at(next), frames(8), PLAIN);
    assert!(matches!(
        all,
        Err(CallError::Refused(Failure { error: PmError::QuotaExceeded, done: 0, .. }))
    ));
    assert_eq!(world.accounts(), before);
    let part = pm.allocate(container, at(next), frames(8), AllocateFlags::PARTIAL);
    let Err(CallError::Refused(Failure { error: PmError::QuotaExceeded, done, at: stopped })) =
        part
    else {
        panic!("{part:?}")
    };
    assert!(done < 8 && stopped == next + done);
    assert_eq!(
        pm.allocate(container, at(stopped), frames(1), AllocateFlags::PARTIAL),
        refused(PmError::QuotaExceeded, 0, stopped)
    );
}

#[test]
fn a_freed_secret_is_never_seen_again() {
    // S7
    let world = World::small().unchecked();
    let (mut fs, mut pm) = (world.fs(), world.client());
    let secret = filled(&mut fs, 64);
    fs.map(secret, at(0), frames(64), page(0), MapFlags::WRITE).unwrap();
    for number in 0..64 {
        world.store(1, 0xAA, page(number)).unwrap();
    }
    fs.container_destroy(secret).unwrap();
    for _ in 0..8 {
        let container = filled(&mut pm, 200);
        for flags in [MapFlags::READ, MapFlags::WRITE | MapFlags::FORCE_WRITE] {
            let mut done = 0;
            while done < 200 {
                let rest = frames(200 - done);
                done += pm.map(container, at(done), rest, page(done), flags).unwrap().count;
            }
            for number in 0..200 {
                assert_eq!(world.load(2, page(number)), Ok(0));
            }
            pm.unmap(page(0), frames(200)).unwrap();
        }
        pm.container_destroy(container).unwrap();
    }
    world.check();
}

#[test]
fn holes_are_passed_over_unless_strict() {
    // S8
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 4);
    pm.allocate(container, at(8), frames(4), PLAIN).unwrap();
    let before = world.accounts();
    assert_eq!(
        pm.deallocate(container, at(2), frames(8), DeallocateFlags::STRICT),
        refused(PmError::NotFound, 0, 4)
    );
    assert_eq!(world.accounts(), before);
    assert_eq!(pm.deallocate(container, at(2), frames(8), DeallocateFlags::empty()), Ok(4));
    assert_eq!(pm.deallocate(container, at(2), frames(8), DeallocateFlags::empty()), Ok(0));
}

#[test]
fn destroying_returns_every_counter_to_where_it_was() {
    // I4, and D6: more frames than one call may touch
    let world = World::new();
    let mut pm = world.client();
    let before = world.accounts();
    let container = pm.container_create(AccountHandle::OWN).unwrap();
    for round in 0..8 {
        pm.allocate(container, at(round << 40), frames(256), PLAIN).unwrap();
    }
    pm.map(container, at(0), frames(256), page(0), MapFlags::WRITE).unwrap();
    pm.map(container, at(0), frames(256), page(1000), MapFlags::READ).unwrap();
    pm.container_destroy(container).unwrap();
    assert_eq!(world.accounts(), before);
    assert_eq!(pm.container_destroy(container), refused(PmError::InvalidCap, 0, 0));
}

#[test]
fn numbers_reach_the_end_of_their_range_and_do_not_wrap() {
    // S50
    let world = World::new();
    let mut pm = world.client();
    let container = pm.container_create(AccountHandle::OWN).unwrap();
    assert_eq!(pm.allocate(container, at(u64::MAX), frames(1), PLAIN), Ok(1));
    assert_eq!(
        pm.allocate(container, at(u64::MAX), frames(2), PLAIN),
        refused(PmError::Invalid, 0, 0)
    );
    assert_eq!(
        pm.map(container, at(u64::MAX), frames(1), page(0), MapFlags::READ).unwrap().count,
        1
    );
    assert_eq!(pm.deallocate(container, at(u64::MAX), frames(1), DeallocateFlags::STRICT), Ok(1));
}

#[test]
fn flags_that_need_a_right_are_refused_without_it() {
    // S33 and ALLOC_DMA
    let world = World::new();
    let mut pm = world.client();
    let container = pm.container_create(AccountHandle::OWN).unwrap();
    for (flags, error) in
        [(AllocateFlags::EXTRA, PmError::NotEligible), (AllocateFlags::DMA, PmError::NoRight)]
    {
        assert_eq!(pm.allocate(container, at(0), frames(1), flags), refused(error, 0, 0));
    }
}

#[test]
fn handles_are_nobody_elses_and_die_with_their_object() {
    // S51
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let container = filled(&mut pm, 1);
    assert_eq!(fs.allocate(container, at(9), frames(1), PLAIN), refused(PmError::InvalidCap, 0, 0));
    pm.container_destroy(container).unwrap();
    let reused = filled(&mut pm, 1);
    assert_ne!(container, reused, "a cell that is used again has a new generation");
    for raw in [0, 1, container.raw(), reused.raw() ^ 1, reused.raw() ^ 1 << 40, u64::MAX] {
        let handle = ContainerHandle::from_raw(raw);
        assert_eq!(
            pm.allocate(handle, at(9), frames(1), PLAIN),
            refused(PmError::InvalidCap, 0, 0)
        );
    }
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..40, any::<u64>(), (0u32..64).prop_map(|bit| 1u64 << bit)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A container behaves as a set of numbers for all numbers that a client can choose.
    #[test]
    fn a_container_is_a_sparse_set(ops in prop::collection::vec(
        (any::<bool>(), number(), 1u64..6),
        1..60,
    )) {
        let world = World::small();
        let mut pm = world.client();
        let before = world.accounts();
        let container = pm.container_create(AccountHandle::OWN).unwrap();
        let mut model = std::collections::BTreeSet::new();
        for (adds, start, count) in ops {
            let Some(last) = start.checked_add(count - 1) else { continue };
            let there = u64::try_from(model.range(start..=last).count()).unwrap();
            if adds {
                let result = pm.allocate(container, at(start), frames(count), PLAIN);
                prop_assert_eq!(result.is_ok(), there == 0);
                if there == 0 {
                    model.extend(start..=last);
                }
            } else {
                let flags = DeallocateFlags::empty();
                let freed = pm.deallocate(container, at(start), frames(count), flags);
                prop_assert_eq!(freed, Ok(there));
                model.retain(|number| *number < start || last < *number);
            }
            let status = pm.status(container, at(start), frames(count)).unwrap();
            for (number, state) in (start..=last).zip(status.frames) {
                prop_assert_eq!(state.contains(FrameState::PRESENT), model.contains(&number));
            }
        }
        pm.container_destroy(container).unwrap();
        prop_assert_eq!(world.accounts(), before);
    }
}

#[test]
fn a_range_is_found_behind_the_last_number_and_leases() {
    // PM-150
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let container = pm.container_create(AccountHandle::OWN).unwrap();
    pm.allocate(container, at(u64::MAX), frames(1), PLAIN).unwrap();
    let placed = pm.allocate_anywhere(container, frames(1), PLAIN).unwrap();
    assert_eq!((placed.start, placed.count), (at(0), 1));
    let (rights, long) = (Rights::all(), Micros::new(1_000_000));
    let weak = pm.share(container, at(0), 9, peer(1), rights, long).unwrap().weak;
    fs.lock(weak, at(2), frames(5), LockMode::Read, long).unwrap();
    let placed = pm.allocate_anywhere(container, frames(2), PLAIN).unwrap();
    assert_eq!((placed.start, placed.count), (at(7), 2), "1 is free, and the lease begins at 2");
}

#[test]
fn a_range_is_found_behind_many_frames() {
    // PM-150: more than are looked through.
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 100);
    let placed = pm.allocate_anywhere(container, frames(3), PLAIN).unwrap();
    assert_eq!((placed.start, placed.count), (at(100), 3));
}
