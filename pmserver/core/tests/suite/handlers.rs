// SPDX-License-Identifier: BSD-2-Clause
//! Ranges that a handler supplies: whose they are, and what an answer may change (R27, S48;
//! PM-280 to PM-285, PM-350 to PM-353).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{Pm, World, at, filled, frames, info, page, peer, refusal};
use pmserver_api::{
    AccessKind, AccountHandle, ContainerHandle, CopyFlags, FaultHandle, LockMode, MapFlags,
    PendingFault, PmError, Rights,
};
use pmserver_core::{Fault, FaultOutcome};
use proto::{Console, Micros, PeerId};

const LONG: Micros = Micros::new(1_000_000);
const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);
const READ: MapFlags = MapFlags::READ;

struct Quiet;

impl Console for Quiet {
    fn write(&mut self, _: &[u8]) {}
}

/// Has a peer touch a page; returns whether its access is tried again.
fn touch(world: &World, of: PeerId, number: u64) -> bool {
    world.0.borrow_mut().resolve(of, page(number).get(), AccessKind::Read)
}

/// A container of peer 1, with a frame that reads as this byte.
fn contents(world: &World, handler: &mut Pm, byte: u8) -> ContainerHandle {
    let container = filled(handler, 1);
    handler.map(container, at(0), frames(1), page(0), FORCED).unwrap();
    world.store(1, byte, page(0)).unwrap();
    container
}

fn asked(handler: &mut Pm) -> PendingFault {
    handler.next_fault().unwrap().unwrap()
}

#[test]
fn a_handler_is_told_whose_range_it_is() {
    // PM-350
    let world = World::with_policy();
    let (mut one, mut two, mut handler) = (world.as_peer(2), world.as_peer(3), world.as_peer(1));
    let of_one = filled(&mut one, 1);
    let of_two = filled(&mut two, 1);
    let range_of_one = one.set_handler(of_one, at(0), 1, Some(peer(1)), 7).unwrap();
    let range_of_two = two.set_handler(of_two, at(0), 1, Some(peer(1)), 7).unwrap();
    two.map(of_two, at(0), frames(1), page(0), READ).unwrap();
    assert!(touch(&world, peer(3), 0));
    let fault = asked(&mut handler);
    assert_eq!((fault.cookie, fault.range), (7, range_of_two), "the cookie is anybody's");
    assert_ne!(range_of_one, range_of_two);
    assert_eq!(fault.range.owner(), Some(peer(3)));
}

#[test]
fn a_range_that_has_ended_is_neither_told_nor_supplied() {
    // PM-351: ended, set anew for another handler, or gone with its container
    for what in 0..3 {
        let world = World::with_policy();
        let (mut pm, mut handler) = (world.as_peer(2), world.as_peer(1));
        let container = filled(&mut pm, 1);
        let source = contents(&world, &mut handler, 0x53);
        let old = pm.set_handler(container, at(0), 1, Some(peer(1)), 7).unwrap();
        pm.map(container, at(0), frames(1), page(0), READ).unwrap();
        assert!(touch(&world, peer(2), 0));
        let fault = asked(&mut handler);
        assert!(touch(&world, peer(2), 0), "it asks again, and the handler has yet to be told");
        if what == 2 {
            pm.container_destroy(container).unwrap();
        } else {
            assert_eq!(pm.set_handler(container, at(0), 1, None, 0).unwrap(), old);
        }
        let new = (what == 1).then(|| {
            let new = pm.set_handler(container, at(0), 1, Some(peer(1)), 8).unwrap();
            assert!(touch(&world, peer(2), 0));
            new
        });
        let late = handler.supply(fault.fault, source, at(0));
        assert_eq!(refusal(late), Some(PmError::InvalidCap), "{what}");
        let told = handler.next_fault().unwrap();
        assert_eq!(told.map(|told| (told.range, told.cookie)), new.map(|new| (new, 8)), "{what}");
        if what == 0 {
            assert!(touch(&world, peer(2), 0));
            assert_eq!(world.load(2, page(0)), Ok(0));
        }
    }
}

#[test]
fn a_load_that_has_to_wait_is_refused_before_it_is_mapped() {
    // PM-420: by map and remap, whoever the handler is
    for of in 1..=3 {
        let world = World::with_policy();
        let (mut pm, mut handler) = (world.as_peer(2), world.as_peer(of));
        let container = filled(&mut pm, 2);
        let source = (of == 1).then(|| contents(&world, &mut handler, 0x53));
        pm.set_handler(container, at(0), 1, Some(peer(of)), 7).unwrap();
        let before = info(&mut pm, AccountHandle::OWN);
        for flags in [MapFlags::FORCE_READ, MapFlags::WRITE | MapFlags::FORCE_READ] {
            let absent = pm.map(container, at(0), frames(2), page(0), flags);
            assert_eq!(refusal(absent), Some(PmError::Absent));
        }
        assert_eq!(info(&mut pm, AccountHandle::OWN), before);
        pm.map(container, at(0), frames(2), page(0), READ).unwrap();
        let absent = pm.remap(page(0), frames(2), MapFlags::FORCE_READ);
        assert_eq!(refusal(absent), Some(PmError::Absent));
        let Some(source) = source else { continue };
        let fault = asked(&mut handler);
        assert_eq!((fault.number, fault.access), (at(0), AccessKind::Read));
        handler.supply(fault.fault, source, at(0)).unwrap();
        let mapped = pm.remap(page(0), frames(2), MapFlags::FORCE_READ).unwrap();
        assert_eq!(mapped.count, 2);
        assert_eq!(world.load(2, page(0)), Ok(0x53));
    }
}

#[test]
fn a_region_forces_nothing_before_its_access() {
    // PM-200: the access waits, as it does without FORCE_READ
    let world = World::with_policy();
    let (mut pm, mut handler) = (world.as_peer(2), world.as_peer(1));
    let container = filled(&mut pm, 1);
    let source = contents(&world, &mut handler, 0x53);
    pm.set_handler(container, at(0), 1, Some(peer(1)), 7).unwrap();
    pm.attach(container, at(0), 1, page(0), MapFlags::FORCE_READ).unwrap();
    assert!(touch(&world, peer(2), 0));
    let fault = asked(&mut handler).fault;
    handler.supply(fault, source, at(0)).unwrap();
    assert_eq!(world.load(2, page(0)), Ok(0x53));
}

#[test]
fn nothing_is_supplied_to_what_a_stopped_peer_owned() {
    // PM-285: its containers die with it, before teardown comes to them
    let world = World::with_policy();
    let (mut owner, mut pm, mut handler) = (world.as_peer(2), world.as_peer(3), world.as_peer(1));
    let container = filled(&mut owner, 1);
    let source = contents(&world, &mut handler, 0x53);
    owner.set_handler(container, at(0), 1, Some(peer(1)), 7).unwrap();
    let weak = owner.share(container, at(0), 1, peer(3), Rights::READ, LONG).unwrap().weak;
    pm.map(weak, at(0), frames(1), page(0), READ).unwrap();
    assert!(touch(&world, peer(3), 0));
    let fault = asked(&mut handler);
    let fatal = Fault::Access { address: 0, kind: AccessKind::Read };
    let outcome = world.0.borrow_mut().fault(peer(2), fatal, &mut Quiet);
    assert_eq!(outcome, FaultOutcome::Stopped);
    let late = handler.supply(fault.fault, source, at(0));
    assert_eq!(refusal(late), Some(PmError::InvalidCap));
}

#[test]
fn a_handler_that_was_replaced_supplies_nothing() {
    // PM-351
    let world = World::with_policy();
    let (mut pm, mut old, mut new) = (world.as_peer(2), world.as_peer(1), world.as_peer(3));
    let container = filled(&mut pm, 1);
    let source = contents(&world, &mut old, 0x53);
    pm.set_handler(container, at(0), 1, Some(peer(1)), 7).unwrap();
    pm.map(container, at(0), frames(1), page(0), READ).unwrap();
    assert!(touch(&world, peer(2), 0));
    let fault = asked(&mut old);
    pm.set_handler(container, at(0), 1, None, 0).unwrap();
    pm.set_handler(container, at(0), 1, Some(peer(3)), 7).unwrap();
    assert!(touch(&world, peer(2), 0));
    assert_eq!(refusal(old.supply(fault.fault, source, at(0))), Some(PmError::InvalidCap));
    let theirs = asked(&mut new).fault;
    assert_eq!(refusal(old.supply(theirs, source, at(0))), Some(PmError::InvalidCap));
}

#[test]
fn an_answer_changes_nothing_under_a_lease() {
    // PM-353: the absent frame is one memory with a frame that is not absent
    let world = World::with_policy();
    let (mut pm, mut handler, mut reader) = (world.as_peer(2), world.as_peer(1), world.as_peer(3));
    let plain = filled(&mut pm, 1);
    let lazy = pm.container_create(AccountHandle::OWN).unwrap();
    let shared = CopyFlags::NEW | CopyFlags::SHARED;
    pm.copy((plain, at(0)), (lazy, at(0)), frames(1), shared).unwrap();
    pm.set_handler(lazy, at(0), 1, Some(peer(1)), 5).unwrap();
    let weak = pm.share(plain, at(0), 1, peer(3), Rights::READ | Rights::LOCK, LONG).unwrap().weak;
    reader.map(weak, at(0), frames(1), page(0), READ).unwrap();
    let lease = reader.lock(weak, at(0), frames(1), LockMode::Read, LONG).unwrap();
    pm.map(lazy, at(0), frames(1), page(0), READ).unwrap();
    assert!(touch(&world, peer(2), 0));
    let fault = asked(&mut handler).fault;
    let source = contents(&world, &mut handler, 0x66);
    assert_eq!(refusal(handler.supply(fault, source, at(0))), Some(PmError::Locked));
    assert_eq!(world.load(3, page(0)), Ok(0));
    reader.unlock(lease.lease).unwrap();
    handler.supply(fault, source, at(0)).unwrap();
    assert_eq!((world.load(3, page(0)), world.load(2, page(0))), (Ok(0x66), Ok(0x66)));
}

#[test]
fn a_lease_on_the_absent_frame_itself_does_not_keep_it_absent() {
    // PM-353
    let world = World::with_policy();
    let (mut pm, mut handler, mut reader) = (world.as_peer(2), world.as_peer(1), world.as_peer(3));
    let lazy = filled(&mut pm, 1);
    pm.set_handler(lazy, at(0), 1, Some(peer(1)), 5).unwrap();
    let weak = pm.share(lazy, at(0), 1, peer(3), Rights::READ | Rights::LOCK, LONG).unwrap().weak;
    reader.map(weak, at(0), frames(1), page(0), READ).unwrap();
    reader.lock(weak, at(0), frames(1), LockMode::Read, LONG).unwrap();
    assert!(touch(&world, peer(3), 0));
    let source = contents(&world, &mut handler, 0x66);
    let fault = asked(&mut handler).fault;
    handler.supply(fault, source, at(0)).unwrap();
    assert_eq!(world.load(3, page(0)), Ok(0x66));
}

#[test]
fn pages_that_showed_zeros_are_asked_for() {
    // PM-352
    let world = World::with_policy();
    let (mut pm, mut handler) = (world.as_peer(2), world.as_peer(1));
    let container = filled(&mut pm, 2);
    pm.map(container, at(0), frames(2), page(0), READ).unwrap();
    assert_eq!(world.load(2, page(1)), Ok(0));
    pm.set_handler(container, at(1), 1, Some(peer(1)), 5).unwrap();
    assert!(world.load(2, page(1)).is_err(), "it would show zeros for ever");
    assert_eq!(world.load(2, page(0)), Ok(0), "outside the range");
    assert!(touch(&world, peer(2), 1));
    assert_eq!(asked(&mut handler).number, at(1));
}

#[test]
fn a_wait_is_for_a_frame_of_a_container_and_not_for_a_number() {
    // PM-285
    let world = World::with_policy();
    let (mut pm, mut handler) = (world.as_peer(2), world.as_peer(1));
    let (lazy, plain) = (filled(&mut pm, 1), filled(&mut pm, 1));
    pm.set_handler(lazy, at(0), 1, Some(peer(1)), 5).unwrap();
    pm.map(lazy, at(0), frames(1), page(0), READ).unwrap();
    assert!(touch(&world, peer(2), 0));
    pm.map(plain, at(0), frames(1), page(1), FORCED).unwrap();
    let fault = asked(&mut handler).fault;
    let source = contents(&world, &mut handler, 0x66);
    handler.supply(fault, source, at(0)).unwrap();
    assert_eq!(world.load(2, page(0)), Ok(0x66));
}

#[test]
fn a_fault_that_was_not_told_has_no_number() {
    // PM-281
    let world = World::with_policy();
    let (mut pm, mut handler) = (world.as_peer(2), world.as_peer(1));
    let lazy = filled(&mut pm, 1);
    pm.set_handler(lazy, at(0), 1, Some(peer(1)), 5).unwrap();
    pm.map(lazy, at(0), frames(1), page(0), READ).unwrap();
    let source = contents(&world, &mut handler, 0x66);
    assert!(touch(&world, peer(2), 0));
    for guess in (0..20).map(FaultHandle::from_raw) {
        assert_eq!(refusal(handler.supply(guess, source, at(0))), Some(PmError::InvalidCap));
        assert_eq!(refusal(handler.refuse(guess)), Some(PmError::InvalidCap));
    }
    let fault = asked(&mut handler).fault;
    assert!(touch(&world, peer(2), 0));
    assert_eq!(asked(&mut handler).fault, fault, "a further try is the same fault");
    handler.supply(fault, source, at(0)).unwrap();
    assert_eq!(world.load(2, page(0)), Ok(0x66));
}

#[test]
fn a_refusal_is_for_what_was_asked_and_not_for_what_comes_next() {
    // PM-283, PM-285: the call was refused and the access asks, or the other way round.
    for touches_first in [false, true] {
        let world = World::with_policy();
        let (mut pm, mut handler) = (world.as_peer(2), world.as_peer(1));
        let container = filled(&mut pm, 1);
        pm.set_handler(container, at(0), 1, Some(peer(1)), 7).unwrap();
        pm.map(container, at(0), frames(1), page(0), READ).unwrap();
        let mut ask = |touches: bool| {
            if touches {
                touch(&world, peer(2), 0)
            } else {
                let forced = pm.map(container, at(0), frames(1), page(9), FORCED);
                refusal(forced) == Some(PmError::Absent)
            }
        };
        assert!(ask(touches_first));
        let first = asked(&mut handler);
        handler.refuse(first.fault).unwrap();
        assert!(ask(!touches_first), "touches first: {touches_first}");
        assert_ne!(asked(&mut handler).fault, first.fault);
    }
}

#[test]
fn a_call_that_did_frames_before_an_absent_one_asks_nothing() {
    // PM-285
    let world = World::with_policy();
    let (mut pm, mut handler) = (world.as_peer(2), world.as_peer(1));
    let container = filled(&mut pm, 4);
    pm.set_handler(container, at(2), 2, Some(peer(1)), 7).unwrap();
    pm.map(container, at(0), frames(4), page(0), READ).unwrap();
    for how in 0..3 {
        let mut call = |from: u64| match how {
            0 => pm
                .map(container, at(from), frames(4 - from), page(9 + from), FORCED)
                .map(|mapped| mapped.count),
            1 => pm.remap(page(from), frames(4 - from), FORCED).map(|mapped| mapped.count),
            _ => pm.grant(container, at(from), frames(4 - from), READ).map(|it| it.count),
        };
        assert!(touch(&world, peer(2), 3));
        assert_eq!(call(0), Ok(2), "{how}");
        assert_eq!(asked(&mut handler).number, at(3), "{how}: the access waits still");
        assert_eq!(refusal(call(2)), Some(PmError::Absent), "{how}");
        assert_eq!(asked(&mut handler).number, at(2), "{how}");
    }
}
