// SPDX-License-Identifier: BSD-2-Clause
//! Mappings, page tables, and their charges (O6, O7, R14, R25; S35, S50).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{Pm, World, at, count, filled, frames, page, peer};
use pmserver_api::{
    AccountHandle, CallError, CopyFlags, Failure, FrameState, LimitFlags, LockMode, MapFlags,
    PmError, Rights,
};
use proto::limits::FRAME_MAPPINGS_MAX;
use proto::{Message, Micros, VirtAddr};
use sim::machine::Cap;
use sim::{InvocationKind, Refusal};

/// Where the program is.
const PROGRAM: u64 = 0x20_0000;

fn refusal<T>(result: Result<T, CallError>) -> Option<PmError> {
    result.err().and_then(|error| error.refusal())
}

#[test]
fn what_one_mapping_writes_another_reads() {
    // I6
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 2);
    pm.map(container, at(0), frames(2), page(0), MapFlags::WRITE).unwrap();
    pm.map(container, at(0), frames(2), page(600), MapFlags::READ).unwrap();
    world.store(2, 42, page(1)).unwrap();
    assert_eq!(world.load(2, page(601)), Ok(42));
    assert!(world.store(2, 1, page(601)).is_err());
    assert_eq!(pm.unmap(page(0), frames(256)), Ok(2));
    assert_eq!(world.load(2, page(601)), Ok(42));
    assert!(world.load(2, page(1)).is_err());
}

#[test]
fn granted_rights_come_back_and_bad_ones_are_refused() {
    // R14, A3
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 4);
    let granted = |flags, number: u64, pm: &mut crate::world::Pm| {
        pm.map(container, at(number), frames(1), page(number), flags).map(|mapped| mapped.rights())
    };
    assert_eq!(granted(MapFlags::WRITE, 0, &mut pm), Ok(MapFlags::READ | MapFlags::WRITE));
    assert_eq!(granted(MapFlags::FORCE_WRITE, 1, &mut pm), Ok(MapFlags::READ), "FORCE alone reads");
    assert_eq!(granted(MapFlags::EXECUTE, 2, &mut pm), Ok(MapFlags::READ | MapFlags::EXECUTE));
    let both = granted(MapFlags::WRITE | MapFlags::EXECUTE, 3, &mut pm);
    assert_eq!(refusal(both), Some(PmError::Invalid));
    assert_eq!(refusal(granted(MapFlags::empty(), 3, &mut pm)), Some(PmError::Invalid));
}

#[test]
fn mapping_stops_at_the_first_problem_and_zero_is_an_error() {
    // O6
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 3);
    assert_eq!(pm.map(container, at(0), frames(5), page(0), MapFlags::READ).unwrap().count, 3);
    let hole = pm.map(container, at(3), frames(5), page(3), MapFlags::READ);
    let failure = Failure { error: PmError::NotFound, done: 0, at: 3 };
    assert_eq!(hole.unwrap_err(), CallError::Refused(failure));
    let occupied = pm.map(container, at(0), frames(1), page(2), MapFlags::READ);
    let failure = Failure { error: PmError::Occupied, done: 0, at: page(2).get() };
    assert_eq!(occupied.unwrap_err(), CallError::Refused(failure));
}

#[test]
fn where_a_program_has_pages_nothing_is_mapped_whatever_was_mapped_elsewhere() {
    // PM-83: the addresses have the same last bits.
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 1);
    for place in [PROGRAM + (1 << 43), PROGRAM] {
        let place = VirtAddr::new_page(place).unwrap();
        let mapped = pm.map(container, at(0), frames(1), place, MapFlags::READ);
        let is_there = place.get() == PROGRAM;
        assert_eq!(refusal(mapped), Some(PmError::Occupied).filter(|_| is_there), "{place:?}");
    }
}

#[test]
fn tables_are_charged_to_the_mapper_and_given_back() {
    // S35: one page in each of many 2 MiB areas, across a 1 GiB and a 512 GiB border
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 64);
    let before = world.accounts();
    let tables = |pm: &mut crate::world::Pm| {
        pm.account_info(AccountHandle::OWN).unwrap().tables.get() / 4096
    };
    let area = |number: u64| VirtAddr::new_page((255 << 30) + (number << 21)).unwrap();
    for number in 0..64 {
        pm.map(container, at(number), frames(1), area(480 + number), MapFlags::WRITE).unwrap();
    }
    // 64 lowest tables and two directories, as the 32nd area crosses 256 GiB; no table above.
    assert_eq!(tables(&mut pm), 64 + 2);
    let far = VirtAddr::new_page(3 << 39).unwrap();
    pm.map(container, at(0), frames(1), far, MapFlags::WRITE).unwrap();
    assert_eq!(tables(&mut pm), 64 + 2 + 3, "one of each level");
    pm.unmap(far, frames(1)).unwrap();
    for number in 0..64 {
        assert_eq!(pm.unmap(area(480 + number), frames(1)), Ok(1));
    }
    let after = world.accounts();
    assert_eq!(after[2].tables, before[2].tables);
    assert_eq!(after, before);
}

#[test]
fn the_table_quota_stops_a_mapping_cleanly() {
    // S35
    let world = World::new();
    let mut pm = world.supervisor();
    let container = filled(&mut pm, 1);
    let mut filler = 1;
    while pm
        .allocate(container, at(filler), frames(1), pmserver_api::AllocateFlags::empty())
        .is_ok()
    {
        filler += 1;
    }
    let before = world.accounts();
    let failed = pm.map(container, at(0), frames(1), page(0), MapFlags::READ);
    assert_eq!(refusal(failed), Some(PmError::NoTableQuota));
    assert_eq!(world.accounts(), before);
    let status = pm.status(container, at(0), frames(1)).unwrap();
    assert_eq!(status.frames[0], pmserver_api::FrameState::PRESENT, "not even bound");
}

#[test]
fn a_frame_has_a_bounded_number_of_mappings() {
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 1);
    for number in 0..FRAME_MAPPINGS_MAX.into() {
        pm.map(container, at(0), frames(1), page(number), MapFlags::READ).unwrap();
    }
    let one_more = pm.map(container, at(0), frames(1), page(100), MapFlags::READ);
    assert_eq!(refusal(one_more), Some(PmError::TooMany));
}

#[test]
fn addresses_that_no_user_has_are_refused() {
    // S50
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 2);
    let before = world.accounts();
    let top = VirtAddr::new_page((1 << 47) - 4096).unwrap();
    let beyond = pm.map(container, at(0), frames(2), top, MapFlags::READ);
    assert_eq!(refusal(beyond), Some(PmError::Invalid));
    for vaddr in [1, 0x1000_0001, 1 << 47, u64::MAX, 0xFFFF_8000_0000_0000] {
        let reply = world.raw(2, Message::new(12, [container.raw(), 0, vaddr, 1 | 1 << 16]));
        assert_eq!(reply.label(), PmError::Invalid.status());
        let reply = world.raw(2, Message::new(13, [vaddr, 1]));
        assert_eq!(reply.label(), PmError::Invalid.status());
    }
    assert_eq!(world.accounts(), before);
}

#[test]
fn a_load_in_a_region_for_writing_goes_on_under_a_lease_for_reading() {
    // PM-200: the lease is on the frame, or on one that is really shared with it
    for is_shared in [false, true] {
        let world = World::new();
        let (mut pm, mut fs) = (world.client(), world.fs());
        let container = filled(&mut pm, 1);
        pm.map(container, at(0), frames(1), page(9), MapFlags::WRITE).unwrap();
        world.store(2, 7, page(9)).unwrap();
        let leased = if is_shared {
            let other = pm.container_create(AccountHandle::OWN).unwrap();
            let flags = CopyFlags::NEW | CopyFlags::SHARED;
            pm.copy((container, at(0)), (other, at(0)), frames(1), flags).unwrap();
            other
        } else {
            container
        };
        let (rights, long) = (Rights::READ | Rights::LOCK, Micros::new(1_000_000));
        let weak = pm.share(leased, at(0), 1, peer(1), rights, long).unwrap().weak;
        pm.attach(container, at(0), 1, page(0), MapFlags::WRITE).unwrap();
        pm.attach(container, at(0), 1, page(1), MapFlags::WRITE).unwrap();
        let lease = fs.lock(weak, at(0), frames(1), LockMode::Read, long).unwrap().lease;
        assert_eq!(world.load(2, page(0)), Ok(7));
        assert!(world.store(2, 8, page(0)).is_err(), "it is mapped, and read-only");
        assert!(world.store(2, 8, page(1)).is_err(), "it is not mapped");
        fs.unlock(lease).unwrap();
        world.store(2, 8, page(0)).unwrap();
        assert_eq!(world.load(2, page(1)), Ok(8));
    }
}

#[test]
fn an_access_in_a_region_installs_its_page_once() {
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 4);
    let all = MapFlags::WRITE | MapFlags::FORCE_WRITE;
    pm.map(container, at(0), frames(4), page(600), all).unwrap();
    pm.unmap(page(600), frames(4)).unwrap();
    pm.attach(container, at(0), 4, page(0), MapFlags::WRITE).unwrap();
    let invocations = || world.0.borrow().kernel().invocations();
    // The first access makes the page tables.
    world.load(2, page(0)).unwrap();
    for (number, byte) in [(1, None), (2, Some(7))] {
        let before = invocations();
        match byte {
            None => assert_eq!(world.load(2, page(number)), Ok(0)),
            Some(byte) => world.store(2, byte, page(number)).unwrap(),
        }
        assert_eq!(invocations() - before, 1, "page {number}");
    }
}

#[test]
fn with_force_read_a_load_needs_no_fault_and_no_memory() {
    // PM-420
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let container = filled(&mut pm, 3);
    pm.map(container, at(2), frames(1), page(602), MapFlags::WRITE).unwrap();
    world.store(2, 9, page(602)).unwrap();
    let weak = pm.share(container, at(0), 3, peer(1), Rights::READ, Micros::new(0)).unwrap().weak;
    let invocations = || world.0.borrow().kernel().invocations();
    let cost = |pm: &mut crate::world::Pm, flags| {
        let before = world.accounts();
        pm.map(container, at(0), frames(1), page(0), flags).unwrap();
        let after = world.accounts();
        assert_eq!(pm.unmap(page(0), frames(1)), Ok(1));
        assert_eq!(world.accounts(), before);
        after
    };
    assert_eq!(cost(&mut pm, MapFlags::FORCE_READ), cost(&mut pm, MapFlags::READ));
    for flags in [MapFlags::FORCE_READ, MapFlags::WRITE | MapFlags::FORCE_READ] {
        let rights = flags.difference(MapFlags::FORCE_READ) | MapFlags::READ;
        let mapped = pm.map(container, at(0), frames(3), page(0), flags).unwrap();
        assert_eq!((mapped.count, mapped.rights()), (3, rights));
        let before = invocations();
        assert_eq!([0, 1, 2].map(|number| world.load(2, page(number))), [Ok(0), Ok(0), Ok(9)]);
        assert_eq!(invocations(), before, "a load has faulted");
        let remapped = pm.remap(page(0), frames(3), flags).unwrap();
        assert_eq!((remapped.count, remapped.rights()), (3, rights));
        let before = invocations();
        assert_eq!([0, 1, 2].map(|number| world.load(2, page(number))), [Ok(0), Ok(0), Ok(9)]);
        assert_eq!(invocations(), before, "a load has faulted");
        assert_eq!(pm.unmap(page(0), frames(3)), Ok(3));
    }
    let states = crate::world::states(&mut pm, container, 3);
    assert!(!states[0].contains(FrameState::BOUND) && states[2].contains(FrameState::BOUND));
    // Through a share, too, and what takes mappings away takes this one away.
    fs.map(weak, at(0), frames(3), page(0), MapFlags::FORCE_READ).unwrap();
    assert_eq!(world.load(1, page(2)), Ok(9));
    pm.map(container, at(0), frames(1), page(600), MapFlags::WRITE).unwrap();
    world.store(2, 7, page(600)).unwrap();
    assert_eq!(world.load(1, page(0)), Ok(7), "what is mapped is the frame, not the zeros");
    let lease = pm.lock(container, at(0), frames(3), LockMode::Exclusive, Micros::new(9)).unwrap();
    assert!(world.load(1, page(2)).is_err());
    let late = fs.map(weak, at(0), frames(1), page(8), MapFlags::FORCE_READ);
    assert_eq!(refusal(late), Some(PmError::Locked));
    pm.unlock(lease.lease).unwrap();
    assert_eq!(world.load(1, page(2)), Ok(9));
}

#[test]
fn an_empty_cnode_is_kept_for_the_next_mapping() {
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let container = filled(&mut pm, 1);
    let all = MapFlags::WRITE | MapFlags::FORCE_WRITE;
    pm.map(container, at(0), frames(1), page(0), all).unwrap();
    pm.unmap(page(0), frames(1)).unwrap();
    let rights = Rights::READ | Rights::WRITE;
    let weak = pm.share(container, at(0), 1, peer(1), rights, Micros::new(0)).unwrap().weak;
    // The lowest table stays, because it was made for another mapping.
    fs.ensure_tables(page(1), frames(1)).unwrap();
    let invocations = || world.0.borrow().kernel().invocations();
    let before = world.accounts();
    for round in 0..3 {
        let first = invocations();
        fs.map(weak, at(0), frames(1), page(1), all).unwrap();
        let second = invocations();
        fs.unmap(page(1), frames(1)).unwrap();
        fs.ensure_tables(page(1), frames(1)).unwrap();
        let made = second - first;
        assert!(round == 0 || made == 1, "a page is mapped, and nothing is made: {made}");
        assert_eq!(world.accounts(), before, "and nobody pays for it");
    }
}

#[test]
fn no_answer_of_the_kernel_to_a_map_panics_or_leaves_something_behind() {
    // Every error at every invocation, also that a table is missing that pmserver has made.
    let mut nth = 1;
    loop {
        let mut has_reached = false;
        for error in 0..InvocationKind::PageMap.errors().len() {
            let world = World::small();
            let mut pm = world.client();
            let container = filled(&mut pm, 2);
            assert!(pm.map(container, at(0), frames(1), page(0), MapFlags::WRITE).is_ok());
            // There are no more places for pages that it maps to copy to them.
            assert_eq!([pm.reclaim(), pm.reclaim()], [Ok(0); 2]);
            let before = (world.accounts(), mapped_frames(&world));
            has_reached |= world.refuse(Refusal { nth, error }, || {
                let _ = pm.map(container, at(1), frames(1), page(1), MapFlags::WRITE);
                let _ = pm.map(container, at(1), frames(1), page(5000), MapFlags::WRITE);
            });
            assert!(
                pm.unmap(page(1), frames(1)).is_ok() && pm.unmap(page(5000), frames(1)).is_ok()
            );
            pm.reclaim().unwrap();
            assert_eq!((world.accounts(), mapped_frames(&world)), before, "{nth} {error}");
        }
        if !has_reached {
            break;
        }
        nth += 1;
    }
    assert!(nth > 5, "only {nth} invocations");
}

/// Returns how many frame capabilities are mapped somewhere.
fn mapped_frames(world: &World) -> usize {
    let server = world.0.borrow();
    let is_mapped = |cap: &Cap| matches!(cap, Cap::Frame { mapped: Some(_), .. });
    server.kernel().machine().capabilities().filter(is_mapped).count()
}

#[test]
fn a_range_of_addresses_ends_before_the_last() {
    // PM-7: before anything is looked for.
    let world = World::new();
    let mut pm = world.client();
    let container = pm.container_create(AccountHandle::OWN).unwrap();
    let last = VirtAddr::new_page((1 << 47) - 4096).unwrap();
    let mapped = pm.map(container, at(0), frames(2), last, MapFlags::READ);
    assert_eq!(refusal(mapped), Some(PmError::Invalid));
    let mapped = pm.remap(last, frames(2), MapFlags::READ);
    assert_eq!(refusal(mapped), Some(PmError::Invalid));
}

#[test]
fn a_grant_without_rights_is_refused() {
    // PM-90, PM-210
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 1);
    let granted = pm.grant(container, at(0), frames(1), MapFlags::empty());
    assert_eq!(refusal(granted), Some(PmError::Invalid));
}

#[test]
fn a_grant_that_is_refused_leaves_no_memory() {
    // PM-4, PM-210: for want of slots, of a record, or of the rights that the first one has.
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 3);
    let bound = |pm: &mut Pm| count(pm, container, 3, FrameState::BOUND);
    for limit in [1, 2, 3] {
        let poor = pm.account_split(AccountHandle::OWN, limit, LimitFlags::empty()).unwrap();
        pm.vspace_account(poor).unwrap();
        let granted = pm.grant(container, at(0), frames(3), MapFlags::WRITE);
        let held = granted.as_ref().map_or(0, |granted| granted.count);
        assert_eq!(bound(&mut pm), held, "{limit}");
        assert!(limit > 1 || refusal(granted) == Some(PmError::NoTableQuota));
        pm.renew(container, at(0), frames(3)).unwrap();
        pm.vspace_account(AccountHandle::OWN).unwrap();
        pm.account_destroy(poor).unwrap();
    }
    let forced = MapFlags::WRITE | MapFlags::FORCE_WRITE;
    pm.map(container, at(0), frames(1), page(0), forced).unwrap();
    let other = filled(&mut pm, 1);
    let copy = CopyFlags::empty();
    pm.copy((container, at(0)), (other, at(0)), frames(1), copy).unwrap();
    let granted = pm.grant(container, at(0), frames(3), MapFlags::WRITE).unwrap();
    assert_eq!((granted.count, granted.rights), (1, MapFlags::READ));
    assert_eq!(bound(&mut pm), 1);
}
