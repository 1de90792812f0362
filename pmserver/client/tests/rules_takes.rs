// SPDX-License-Identifier: BSD-2-Clause
//! Shares that are used once at a time, while pmserver does what it may do at any time: PM-430 to
//! PM-437, with the values of this crate.
#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used)]

mod bed;

use bed::Bed;
use pmserver_client::{
    Container, CopyFlags, LockMode, MapFlags, Micros, OnceShare, PeerId, Pm, PmError, Rights,
    ShareTerms, Transport, VirtAddr, WeakContainer,
};

const OWN: VirtAddr = VirtAddr::new_page(0x1000_0000).unwrap();
const WINDOW: VirtAddr = VirtAddr::new_page(0x2000_0000).unwrap();
const LEASE: Micros = Micros::new(50_000);
const WRITE: MapFlags = MapFlags::WRITE;

fn once<'pm, T: Transport>(
    container: &Container<'pm, T>,
    frames: u64,
    peer: PeerId,
) -> OnceShare<'pm, T> {
    let terms = ShareTerms { peer, rights: Rights::WRITE, lease_max: LEASE, once: true };
    container.share_once(0..frames, OWN, terms).unwrap()
}

#[test]
fn bytes_go_back_and_forth_and_each_side_knows_when_they_are_its_own() {
    // PM-432, PM-433, PM-434, PM-436
    Bed::each(|bed| {
        let (owner, borrower) = (bed.peer(1), bed.peer(2));
        let (pm, servers) = (Pm::new(owner.channel.clone()), Pm::new(borrower.channel.clone()));
        let (memory, mut others) = (owner.memory.clone(), borrower.memory.clone());
        let container = pm.account().create_container().unwrap();
        container.allocate(0..5).unwrap();
        let mut share = once(&container, 5, borrower.id);
        for round in 0..3 {
            let armed = share.arm().unwrap();
            let weak = WeakContainer::from_raw(&servers, armed.weak());
            let taken = weak.take(0..5, WINDOW, WRITE).unwrap();
            for page in 0..5 {
                taken.copy_out(&mut others, &[round, 7], page * 4096).unwrap();
            }
            taken.give_back().unwrap();
            let again = weak.take(0..5, WINDOW, WRITE).unwrap_err();
            assert!(again.is(PmError::NotArmed));
            share = armed.confirm().unwrap();
            for page in 0..5 {
                let mut bytes = [0; 2];
                share.copy_in(&memory, page * 4096, &mut bytes).unwrap();
                assert_eq!(bytes, [round, 7]);
            }
        }
        assert!(others.store(9, WINDOW).is_err(), "its next store faults");
        let (share, mapping) = share.into_parts();
        share.unshare().unwrap();
        mapping.unmap().unwrap();
    });
}

#[test]
fn the_owner_waits_for_who_does_not_give_back_and_no_longer() {
    // PM-433, PM-436
    Bed::each(|bed| {
        let (owner, borrower) = (bed.peer(1), bed.peer(2));
        let (pm, servers) = (Pm::new(owner.channel.clone()), Pm::new(borrower.channel.clone()));
        let mut others = borrower.memory.clone();
        let container = pm.account().create_container().unwrap();
        container.allocate(0..2).unwrap();
        let armed = once(&container, 2, borrower.id).arm().unwrap();
        let weak = WeakContainer::from_raw(&servers, armed.weak());
        let taken = weak.take(0..2, WINDOW, WRITE).unwrap();
        let refused = armed.confirm().unwrap_err();
        assert!(refused.error.is(PmError::Locked));
        assert_eq!(refused.error.deadline(), Some(taken.deadline()));
        others.store(5, WINDOW).unwrap();
        let share = refused.value.confirm_waiting().unwrap();
        let mut byte = [0];
        share.copy_in(&owner.memory, 0, &mut byte).unwrap();
        assert_eq!(byte, [5], "what was written in time is there");
        assert!(taken.give_back().unwrap_err().error.is(PmError::InvalidCap));
        assert!(others.store(6, WINDOW).is_err());
    });
}

#[test]
fn dropping_gives_back_and_dropping_the_share_takes_it_back() {
    Bed::each(|bed| {
        let (owner, borrower) = (bed.peer(1), bed.peer(2));
        let (pm, servers) = (Pm::new(owner.channel.clone()), Pm::new(borrower.channel.clone()));
        let before = bed.charges();
        let container = pm.account().create_container().unwrap();
        container.allocate(0..3).unwrap();
        let armed = once(&container, 3, borrower.id).arm().unwrap();
        let weak = WeakContainer::from_raw(&servers, armed.weak());
        drop(weak.take(0..3, WINDOW, WRITE).unwrap());
        drop(armed);
        assert!(weak.take(0..3, WINDOW, WRITE).unwrap_err().is(PmError::InvalidCap));
        assert!(pm.unmap(OWN, 3) == Ok(0), "the owner's mapping went with it");
        container.destroy().unwrap();
        assert_eq!(bed.charges(), before);
    });
}

#[test]
fn many_frames_are_taken_in_as_many_calls_as_it_takes() {
    // PM-437
    let bed = Bed::calm();
    let (owner, borrower) = (bed.peer(1), bed.peer(2));
    let (pm, servers) = (Pm::new(owner.channel.clone()), Pm::new(borrower.channel.clone()));
    let mut others = borrower.memory.clone();
    let container = pm.account().create_container().unwrap();
    container.allocate(0..256).unwrap();
    let armed = once(&container, 256, borrower.id).arm().unwrap();
    let weak = WeakContainer::from_raw(&servers, armed.weak());
    let taken = weak.take(0..256, WINDOW, WRITE).unwrap();
    taken.copy_out(&mut others, &[1], 255 * 4096).unwrap();
    taken.give_back().unwrap();
    drop(armed.confirm().unwrap());
    assert!(weak.take(0..257, WINDOW, WRITE).unwrap_err().is(PmError::Invalid));
}

#[test]
fn copies_of_frames_that_are_taken_wait() {
    // PM-435
    Bed::each(|bed| {
        let (owner, borrower) = (bed.peer(1), bed.peer(2));
        let (pm, servers) = (Pm::new(owner.channel.clone()), Pm::new(borrower.channel.clone()));
        let container = pm.account().create_container().unwrap();
        container.allocate(0..2).unwrap();
        let copy = pm.account().create_container().unwrap();
        let armed = once(&container, 2, borrower.id).arm().unwrap();
        let weak = WeakContainer::from_raw(&servers, armed.weak());
        let taken = weak.take(0..2, WINDOW, WRITE).unwrap();
        let copied = container.copy_with(0..2, &copy, 0, CopyFlags::NEW);
        assert!(copied.unwrap_err().is(PmError::Locked));
        assert!(weak.lock(0..1, LockMode::Read, LEASE).unwrap_err().is(PmError::NoRight));
        taken.give_back().unwrap();
        assert_eq!(container.copy_with(0..2, &copy, 0, CopyFlags::NEW), Ok(2));
    });
}
