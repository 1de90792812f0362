// SPDX-License-Identifier: BSD-2-Clause
//! Bounds on the work of a call and on what one peer can take from others (decisions D6, D7; O12,
//! O13, I2, S49).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{PEERS, World, at, filled, frames, page, peer};
use pmserver_api::{
    AccessKind, AccountHandle, AllocateFlags, CallError, ContainerHandle, LockMode, MapFlags,
    PmError, Rights,
};
use pmserver_core::config::PeerConfig;
use pmserver_core::{Fault, FaultOutcome, Server};
use proto::limits::{
    CALL_INVOCATIONS_MAX, CONTAINER_LEASES_MAX, FRAME_MAPPINGS_MAX, PEER_LEASES_MAX,
    RECLAIM_STEP_FRAMES, SHARE_LEASES_MAX,
};
use proto::{ByteCount, Console, Message, Micros, Transport, VirtAddr};
use sim::SimKernel;

const LEASE: Micros = Micros::new(1000);
const LONG: Micros = Micros::new(1_000_000);

struct Quiet;
impl Console for Quiet {
    fn write(&mut self, _: &[u8]) {}
}

fn refusal<T>(result: Result<T, CallError>) -> Option<PmError> {
    result.err().and_then(|error| error.refusal())
}

fn stop(world: &World, number: u64) {
    let outcome = world.0.borrow_mut().fault(
        peer(number),
        Fault::Access { address: 0, kind: AccessKind::Read },
        &mut Quiet,
    );
    assert_eq!(outcome, FaultOutcome::Stopped);
}

fn frames_of(world: &World, number: usize) -> u64 {
    world.accounts()[number].frames.get() / 4096
}

/// Expired leases in containers that nobody uses must not count against their holder.
#[test]
fn leases_that_ran_out_do_not_count() {
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    for _ in 0..PEER_LEASES_MAX / SHARE_LEASES_MAX {
        let container = filled(&mut pm, 1);
        let shared = pm.share(container, at(0), 1, peer(1), Rights::all(), LEASE).unwrap();
        for _ in 0..SHARE_LEASES_MAX {
            fs.lock(shared.weak, at(0), frames(1), LockMode::Read, LEASE).unwrap();
        }
    }
    world.advance(1_000_000_000);
    let container = filled(&mut pm, 1);
    let shared = pm.share(container, at(0), 1, peer(1), Rights::all(), LEASE).unwrap();
    let lease = fs.lock(shared.weak, at(0), frames(1), LockMode::Read, LEASE);
    assert_eq!(refusal(lease), None, "PM-70: nobody has to do anything for a lease to end");
}

/// PM-75: `unlock` of a lease that has ended is InvalidCap.
#[test]
fn unlocking_after_the_deadline_is_refused() {
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let container = filled(&mut pm, 1);
    let shared = pm.share(container, at(0), 1, peer(1), Rights::all(), LEASE).unwrap();
    let lease = fs.lock(shared.weak, at(0), frames(1), LockMode::Exclusive, LEASE).unwrap();
    world.advance(LEASE.get());
    assert_eq!(refusal(fs.unlock(lease.lease)), Some(PmError::InvalidCap));
}

/// PM-4: a failed destroy says how many frames it freed.
#[test]
fn a_destroy_that_a_lease_stops_says_what_it_freed() {
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let container = filled(&mut pm, 4);
    let shared = pm.share(container, at(0), 4, peer(1), Rights::all(), LEASE).unwrap();
    let lease = fs.lock(shared.weak, at(0), frames(1), LockMode::Exclusive, LEASE).unwrap();
    let before = frames_of(&world, 2);
    let reply = world.raw(2, Message::new(5, [container.raw()]));
    let freed = before - frames_of(&world, 2);
    assert_eq!(freed, 3);
    assert_eq!(reply.registers(), [freed, lease.deadline.get()]);
}

/// Stops the file server while the supervisor holds a lease on one frame of each of its containers.
fn stopped_with_leases(world: &World) {
    let (mut doomed, mut other) = (world.fs(), world.supervisor());
    for _ in 0..16 {
        let container = filled(&mut doomed, 64);
        let shared = doomed.share(container, at(0), 64, peer(3), Rights::all(), LONG).unwrap();
        other.lock(shared.weak, at(0), frames(1), LockMode::Read, LONG).unwrap();
    }
    stop(world, 1);
}

/// D6, PM-130: one reclaim frees at most 64 frames.
#[test]
fn a_reclaim_step_is_as_short_as_it_says() {
    let world = World::new();
    stopped_with_leases(&world);
    let mut pm = world.client();
    let mut worst = 0;
    for _ in 0..40 {
        let before = frames_of(&world, 1);
        pm.reclaim().unwrap();
        worst = worst.max(before - frames_of(&world, 1));
    }
    assert!(worst <= RECLAIM_STEP_FRAMES, "one step freed {worst} frames");
}

/// D6: a client that locks its own containers and destroys them must not keep `reclaim` from the
/// containers of others.
#[test]
fn dying_containers_of_one_do_not_keep_those_of_another() {
    let world = World::new().unchecked();
    let (mut hostile, mut other) = (world.client(), world.supervisor());
    let mut victim = world.fs();
    filled(&mut victim, 64);
    stop(&world, 1);
    let mut old: Vec<ContainerHandle> = Vec::new();
    for _ in 0..30 {
        // 16 new containers before the leases on the old ones end, and then the old ones.
        let mut new = Vec::new();
        for _ in 0..16 {
            let container = filled(&mut hostile, 1);
            hostile.lock(container, at(0), frames(1), LockMode::Read, LONG).unwrap();
            assert_eq!(refusal(hostile.container_destroy(container)), Some(PmError::Pending));
            new.push(container);
        }
        for _ in 0..20 {
            other.reclaim().unwrap();
        }
        world.advance(400_000);
        for _ in 0..20 {
            other.reclaim().unwrap();
        }
        world.advance(500_000);
        for container in old {
            let _ = hostile.container_destroy(container);
        }
        old = new;
    }
    assert_eq!(frames_of(&world, 1), 0, "27 seconds and 1200 steps later");
}

/// O6, PM-80: a lease on the last frame of the range stops the mapping there, not at the first.
#[test]
fn a_mapping_goes_up_to_the_frame_that_is_locked() {
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let container = filled(&mut pm, 4);
    let shared = pm.share(container, at(0), 4, peer(1), Rights::all(), LEASE).unwrap();
    fs.lock(shared.weak, at(3), frames(1), LockMode::Exclusive, LEASE).unwrap();
    let mapped = pm.map(container, at(0), frames(4), page(0), MapFlags::READ);
    assert_eq!(mapped.map(|mapped| mapped.count), Ok(3));
}

/// A weak holder must not use up all mappings of a frame, or the owner could not map it.
#[test]
fn a_borrower_cannot_use_up_the_owners_mappings() {
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let container = filled(&mut pm, 1);
    let shared = pm.share(container, at(0), 1, peer(1), Rights::READ, LEASE).unwrap();
    for number in 0..FRAME_MAPPINGS_MAX.into() {
        let _ = fs.map(shared.weak, at(0), frames(1), page(number), MapFlags::READ);
    }
    assert_eq!(refusal(pm.map(container, at(0), frames(1), page(0), MapFlags::READ)), None);
}

/// A weak holder must not use up all leases of a container.
#[test]
fn a_borrower_cannot_use_up_the_leases() {
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let container = filled(&mut pm, 8);
    let shared = pm.share(container, at(0), 1, peer(1), Rights::all(), LONG).unwrap();
    for _ in 0..16 {
        let _ = fs.lock(shared.weak, at(0), frames(1), LockMode::Read, LONG);
    }
    let lock = pm.lock(container, at(4), frames(1), LockMode::Read, LONG);
    assert_eq!(refusal(lock), None, "another range");
}

/// D7: the size of the pool is not a constant. From 768 MiB on the window needs a second
/// page directory.
#[test]
fn a_pool_of_a_gigabyte_starts() {
    assert!(Server::new(SimKernel::new(1 << 30), &PEERS).is_ok());
}

/// If the kernel refuses to remove a table, its page must not be reused, or a later mapping would
/// vanish.
#[test]
fn a_table_that_the_kernel_keeps_stays_in_the_books() {
    let mut n = 1;
    loop {
        let world = World::small();
        let mut pm = world.client();
        let container = filled(&mut pm, 1);
        pm.map(container, at(0), frames(1), page(0), MapFlags::WRITE).unwrap();
        world.fail_nth(Some(n));
        let first = pm.unmap(page(0), frames(1));
        world.fail_nth(None);
        if first.is_ok() && n > 6 {
            break;
        }
        let _ = pm.unmap(page(0), frames(1));
        pm.map(container, at(0), frames(1), page(0), MapFlags::WRITE).unwrap();
        world.store(2, 7, page(0)).unwrap();
        // Use and scrub pages until every free page has been another object.
        let mut other = world.fs();
        for _ in 0..40 {
            other.reclaim().unwrap();
        }
        assert_eq!(world.load(2, page(0)), Ok(7), "the {n}th invocation was refused");
        n += 1;
    }
}

/// The work of one call is bounded, whatever tables its mappings have (D6, PM-320).
#[test]
fn one_lock_is_a_bounded_number_of_invocations() {
    let world = World::new().unchecked();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let container = filled(&mut pm, 256);
    let shared = pm.share(container, at(0), 256, peer(1), Rights::all(), LONG).unwrap();
    // Each mapping needs tables of its own, up to the limit of the account.
    'outer: for round in 0..8u64 {
        for number in 0..256u64 {
            let vaddr = VirtAddr::new_page(((1 + round) << 40) + (number << 30)).unwrap();
            let mapped = pm.map(container, at(number), frames(1), vaddr, MapFlags::READ);
            if mapped.is_err() {
                break 'outer;
            }
        }
    }
    let before = world.0.borrow().kernel().invocations();
    fs.lock(shared.weak, at(0), frames(256), LockMode::Exclusive, LONG).unwrap();
    let made = world.0.borrow().kernel().invocations() - before;
    assert!(made <= CALL_INVOCATIONS_MAX, "one call made {made} invocations");
}

/// O13, PM-70: a lease of duration 0 is refused, as it would take the owner's mappings away.
#[test]
fn a_share_that_allows_no_lease_time_allows_no_lock() {
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let container = filled(&mut pm, 1);
    pm.map(container, at(0), frames(1), page(0), MapFlags::READ).unwrap();
    let none = Micros::new(0);
    let shared = pm.share(container, at(0), 1, peer(1), Rights::all(), none).unwrap();
    let _ = fs.lock(shared.weak, at(0), frames(1), LockMode::Exclusive, LEASE);
    assert_eq!(world.load(2, page(0)), Ok(0));
}

/// The containers of a stopped owner are closed to borrowers before its mappings are removed.
#[test]
fn the_containers_of_a_stopped_owner_end_first() {
    let world = World::new();
    let (mut doomed, mut fs) = (world.client(), world.fs());
    let container = filled(&mut doomed, 200);
    doomed.map(container, at(0), frames(200), page(0), MapFlags::READ).unwrap();
    let shared = doomed.share(container, at(0), 200, peer(1), Rights::all(), LEASE).unwrap();
    stop(&world, 2);
    let map = fs.map(shared.weak, at(0), frames(1), page(0), MapFlags::WRITE);
    assert_eq!(refusal(map), Some(PmError::InvalidCap));
}

/// `VSpace::Peer(0)` is root slot 32, pmserver's own address space: no peer may have that number.
#[test]
fn no_peer_has_the_number_of_pmserver() {
    let mut peers = PEERS;
    peers[0] = PeerConfig { peer: 0, ..peers[0] };
    let Ok(mut server) = Server::new(SimKernel::new(4 << 20), &peers) else { return };
    let reply = server.call(peer(0), &Message::new(4, [0]));
    assert_ne!(reply.label(), 0, "peer 0 was given a container");
}

/// I2: what the accounts are promised is there.
#[test]
fn limits_beyond_the_pool_do_not_start() {
    // 41 MiB of limits over a pool of 4 MiB. (World::small then needs peers of its own.)
    assert!(Server::new(SimKernel::new(4 << 20), &PEERS).is_err());
}

// --- pm-protocol.md requires these, although one might expect otherwise. ---

/// Calls another peer's `reclaim` after each of its own calls.
struct Overtaken {
    world: World,
}

impl Transport for Overtaken {
    fn call(&mut self, request: Message) -> Message {
        let reply = self.world.raw(2, request);
        while self.world.fs().reclaim().unwrap() > 0 {}
        reply
    }
}

/// `container_destroy` succeeds even if another peer's `reclaim` frees the last part.
#[test]
fn destroying_while_somebody_reclaims_is_a_success() {
    let world = World::new();
    let mut pm = pmserver_api::Calls::new(Overtaken { world: world.clone() });
    let container = pm.container_create(AccountHandle::OWN).unwrap();
    for start in [0, 256] {
        pm.allocate(container, at(start), frames(256), AllocateFlags::empty()).unwrap();
    }
    assert_eq!(pm.container_destroy(container), Ok(()));
    assert_eq!(refusal(pm.container_destroy(container)), Some(PmError::InvalidCap));
}

/// A server that is told a number by its client can tell whose container that is.
#[test]
fn a_weak_handle_names_the_owner_and_nobody_else() {
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let container = filled(&mut pm, 1);
    let weak = pm.share(container, at(0), 1, peer(1), Rights::all(), LEASE).unwrap().weak;
    assert_eq!(weak.owner(), Some(peer(2)));
    for other in 0..64 {
        let forged = ContainerHandle::from_raw(weak.raw() & !(63 << 28) | other << 28);
        let mapped = fs.map(forged, at(0), frames(1), page(0), MapFlags::READ);
        let expected = if forged == weak { None } else { Some(PmError::InvalidCap) };
        assert_eq!(refusal(mapped), expected, "maker {other}");
    }
}

/// PM-74: not by leases in several containers either, although each has room.
#[test]
fn a_peer_holds_so_many_leases_and_no_more() {
    let world = World::new();
    let mut pm = world.client();
    let lock = |pm: &mut crate::world::Pm, container| {
        pm.lock(container, at(0), frames(1), LockMode::Read, LEASE)
    };
    for _ in 0..PEER_LEASES_MAX / CONTAINER_LEASES_MAX {
        let container = filled(&mut pm, 1);
        for _ in 0..CONTAINER_LEASES_MAX {
            lock(&mut pm, container).unwrap();
        }
    }
    let container = filled(&mut pm, 1);
    assert_eq!(refusal(lock(&mut pm, container)), Some(PmError::TooMany));
    world.advance(LEASE.get());
    lock(&mut pm, container).unwrap();
}

#[test]
fn no_two_peers_have_one_number() {
    let mut peers = PEERS.map(|peer| PeerConfig { limit: ByteCount::new(64 << 10), ..peer });
    assert!(Server::new(SimKernel::new(4 << 20), &peers).is_ok());
    peers[1].peer = peers[0].peer;
    assert!(Server::new(SimKernel::new(4 << 20), &peers).is_err());
}
