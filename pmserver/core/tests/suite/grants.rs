// SPDX-License-Identifier: BSD-2-Clause
//! Grants, of which up to eight are in one record (decision 0040).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::stored;
use crate::world::{
    World, all, at, byte_of, equal_peers, failure, filled, frames, info, page, peer,
};
use pmserver_api::{AccountHandle, CopyFlags, DeallocateFlags, LockMode, MapFlags, Rights};
use pmserver_core::config::Privileges;
use proto::{ByteCount, Micros};
use sim::InvocationKind;
use sim::machine::CapRights;

const OWN: AccountHandle = AccountHandle::OWN;
const READ: MapFlags = MapFlags::READ;
const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);
const LONG: Micros = Micros::new(1_000_000);
/// Where frames are mapped by their grants, in pages.
const GRANTED: u64 = 64;

fn world() -> World {
    World::with_peers(8 << 20, &equal_peers::<3>(ByteCount::new(2 << 20), Privileges::empty()))
}

/// Maps a frame by the capability that a peer has at an address, to a page of its own choice.
fn map_granted(world: &World, number: u64, address: u64, to: u64) {
    let mut server = world.0.borrow_mut();
    let kernel = server.kernel_mut();
    let rights = CapRights { read: true, write: true };
    kernel.map_granted(peer(number), address, page(to).get(), rights).unwrap();
}

#[test]
fn parts_are_granted_and_revoked_at_every_offset() {
    let world = world();
    let (mut pm, container) = stored(&world, 2, 32, 0);
    let other = filled(&mut pm, 9);
    let before = info(&mut pm, OWN);
    for offset in 0..8 {
        for first in 1..=8 {
            for count in [1, 3, 8, 20] {
                let base = pm.grant(other, at(0), frames(first), READ).unwrap().address;
                let granted = pm.grant(container, at(offset), frames(count), READ).unwrap();
                assert_eq!((granted.address, granted.count), (base + first, count));
                for place in 0..count {
                    map_granted(&world, 2, granted.address + place, GRANTED + place);
                    let shown = world.load(2, page(GRANTED + place));
                    assert_eq!(shown, Ok(byte_of(offset + place)), "{offset} {first} {count}");
                }
                // Out of the middle, another frame there, and the same again with other rights.
                let middle = count / 2;
                let hole = granted.address + middle;
                assert_eq!(pm.ungrant(hole, frames(1)), Ok(1));
                assert_eq!(pm.ungrant(hole, frames(1)), Ok(0));
                for place in 0..count {
                    let is_shown = world.load(2, page(GRANTED + place)).is_ok();
                    assert_eq!(is_shown, place != middle, "{place} of {count}");
                }
                assert_eq!(pm.grant(other, at(8), frames(1), READ).unwrap().address, hole);
                assert_eq!(pm.ungrant(hole, frames(1)), Ok(1));
                let rights = if count % 2 == 0 { READ } else { FORCED };
                let again = pm.grant(container, at(offset + middle), frames(1), rights).unwrap();
                assert_eq!(again.address, hole);
                map_granted(&world, 2, hole, GRANTED + middle);
                let is_stored = world.store(2, byte_of(offset + middle), page(GRANTED + middle));
                assert_eq!(is_stored.is_ok(), rights == FORCED);
                world.check();
                assert_eq!(pm.ungrant(base, frames(128)), Ok(first + count));
                assert_eq!(info(&mut pm, OWN), before, "{offset} {first} {count}");
            }
        }
    }
}

#[test]
fn what_concerns_a_frame_takes_its_grants_alone() {
    let world = world();
    let (mut pm, container) = stored(&world, 2, 8, 0);
    let rights = Rights::READ | Rights::WRITE;
    let shared = pm.share(container, at(0), 8, peer(1), rights, LONG).unwrap();
    let mut borrower = world.as_peer(1);
    let granted = borrower.grant(shared.weak, at(0), frames(8), FORCED).unwrap();
    let lease = pm.lock(container, at(2), frames(2), LockMode::Read, LONG).unwrap();
    world.check();
    assert_eq!(borrower.ungrant(granted.address + 2, frames(2)), Ok(0), "a lease for reading");
    pm.unlock(lease.lease).unwrap();
    // The frames get records of their own, and so do the grants.
    let ring = pm.container_create(OWN).unwrap();
    let flags = CopyFlags::SHARED | CopyFlags::NEW;
    assert_eq!(pm.copy((container, at(7)), (ring, at(0)), frames(1), flags), Ok(1));
    world.check();
    assert_eq!(pm.deallocate(container, at(4), frames(1), DeallocateFlags::empty()), Ok(1));
    assert_eq!(borrower.ungrant(granted.address + 4, frames(1)), Ok(0), "it is gone");
    pm.unshare(shared.share).unwrap();
    assert_eq!(borrower.ungrant(granted.address, frames(8)), Ok(0), "nothing is lent");
    world.check();
}

#[test]
fn the_kernel_may_refuse_any_step() {
    for nth in 1..24 {
        let world = world();
        let (mut pm, container) = stored(&world, 2, 16, 0);
        let before = info(&mut pm, OWN);
        world.fail_nth(Some(nth));
        let granted = pm.grant(container, at(0), frames(16), READ);
        world.fail_nth(None);
        world.check();
        let Ok(granted) = granted else {
            assert_eq!(info(&mut pm, OWN), before, "{nth}");
            continue;
        };
        world.fail_nth(Some(nth));
        let taken = pm.ungrant(granted.address, frames(16));
        world.fail_nth(None);
        world.check();
        let left = match taken {
            Ok(taken) => granted.count - taken,
            Err(_) => granted.count - failure(taken).done,
        };
        assert_eq!(pm.ungrant(granted.address, frames(16)), Ok(left), "{nth}");
        assert_eq!(info(&mut pm, OWN), before, "{nth}");
    }
}

#[test]
fn the_last_grant_leaves_a_cnode_that_is_used_again() {
    let world = world();
    let (mut pm, container) = stored(&world, 2, 8, 0);
    let kinds = [InvocationKind::Retype, InvocationKind::Revoke];
    let mut before = None;
    for _ in 0..3 {
        let granted = pm.grant(container, at(0), frames(8), READ).unwrap();
        assert_eq!(all(|| pm.ungrant(granted.address, frames(8))), Ok(8));
        let now = kinds.map(|kind| world.0.borrow().kernel().count(kind));
        assert_eq!(before.replace(now).unwrap_or(now), now, "no object is made or revoked");
    }
}

#[test]
fn what_fits_into_no_hole_is_granted_behind_all() {
    let world = world();
    let (mut pm, container) = stored(&world, 2, 32, 0);
    let base = pm.grant(container, at(0), frames(4), READ).unwrap().address;
    assert_eq!(pm.ungrant(base + 1, frames(2)), Ok(2));
    let granted = pm.grant(container, at(8), frames(5), READ).unwrap();
    assert_eq!((granted.address, granted.count), (base + 4, 5));
}
