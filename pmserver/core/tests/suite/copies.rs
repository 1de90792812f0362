// SPDX-License-Identifier: BSD-2-Clause
//! Copies whose frames are really shared, contiguous or at the end of the numbers, and copies that
//! the kernel refuses (O8; PM-160 to PM-166).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{Pm, World, at, failure, filled, frames, page, peer};
use pmserver_api::{
    AccountHandle, AllocateFlags, CallError, ContainerHandle, CopyFlags, FrameList, FrameState,
    LockMode, MapFlags, Marks, PairList, PmError, Rights, ShareTerms,
};
use pmserver_core::config::{PeerConfig, Privileges};
use proto::{ByteCount, Micros};
use sim::Refusal;
use sim::machine::CapRights;

const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);
const LONG: Micros = Micros::new(1_000_000);

fn refusal<T>(result: Result<T, CallError>) -> Option<PmError> {
    result.err().and_then(|error| error.refusal())
}

/// Writes `b'a' + n` to frame n, through a mapping that is removed again.
fn write_letters(world: &World, pm: &mut Pm, container: ContainerHandle, count: u64) {
    pm.map(container, at(0), frames(count), page(100), FORCED).unwrap();
    for (number, letter) in (0..count).zip(b'a'..) {
        world.store(2, letter, page(100 + number)).unwrap();
    }
    pm.unmap(page(100), frames(count)).unwrap();
}

/// Reads the first byte of frames.
fn letters(world: &World, pm: &mut Pm, container: ContainerHandle, count: u64) -> String {
    pm.map(container, at(0), frames(count), page(200), MapFlags::READ).unwrap();
    let text = (0..count).map(|n| char::from(world.load(2, page(200 + n)).unwrap())).collect();
    pm.unmap(page(200), frames(count)).unwrap();
    text
}

#[test]
fn a_copy_is_of_what_was_there_before_it() {
    // PM-164: the first destination is really shared with a later source.
    for shared in 1..3 {
        let world = World::new();
        let mut pm = world.client();
        let (source, other) = (filled(&mut pm, 3), filled(&mut pm, 3));
        write_letters(&world, &mut pm, source, 3);
        let one = frames(1);
        pm.copy((source, at(shared)), (other, at(0)), one, CopyFlags::SHARED).unwrap();
        pm.copy((source, at(0)), (other, at(0)), frames(3), CopyFlags::empty()).unwrap();
        assert_eq!(letters(&world, &mut pm, other, 3), "abc");
    }
}

#[test]
fn a_copy_within_a_container_is_of_what_was_there_before_it() {
    // PM-164: by the numbers in both directions, and by a ring.
    for (from, to, after) in [(0, 1, "aabc"), (1, 0, "bcdd")] {
        let world = World::new();
        let mut pm = world.client();
        let container = filled(&mut pm, 4);
        write_letters(&world, &mut pm, container, 4);
        pm.copy((container, at(from)), (container, at(to)), frames(3), CopyFlags::empty()).unwrap();
        assert_eq!(letters(&world, &mut pm, container, 4), after);
    }
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 6);
    write_letters(&world, &mut pm, container, 6);
    // 3 and 1 are one memory: 0, 1, 2 are copied to 3, 4, 5.
    pm.copy((container, at(1)), (container, at(3)), frames(1), CopyFlags::SHARED).unwrap();
    pm.copy((container, at(0)), (container, at(3)), frames(3), CopyFlags::empty()).unwrap();
    assert_eq!(letters(&world, &mut pm, container, 6), "aacabc");
}

#[test]
fn a_list_is_copied_as_if_all_had_been_read_first() {
    // PM-164, by a ring in another container.
    let world = World::new();
    let mut pm = world.client();
    let (source, other) = (filled(&mut pm, 2), filled(&mut pm, 2));
    write_letters(&world, &mut pm, source, 2);
    pm.copy((source, at(1)), (other, at(0)), frames(1), CopyFlags::SHARED).unwrap();
    let pairs = PairList::new(&[(at(0), at(0)), (at(1), at(1))]).unwrap();
    pm.copy_list(source, other, pairs, CopyFlags::empty()).unwrap();
    assert_eq!(letters(&world, &mut pm, other, 2), "ab");
}

#[test]
fn a_lease_on_one_memory_forbids_to_share_it_and_not_to_copy_it() {
    // PM-78
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let [source, twin, other] = [1; 3].map(|count| filled(&mut pm, count));
    pm.copy((source, at(0)), (twin, at(0)), frames(1), CopyFlags::SHARED).unwrap();
    let shared = pm.share(twin, at(0), 1, peer(1), Rights::all(), LONG).unwrap();
    fs.lock(shared.weak, at(0), frames(1), LockMode::Read, LONG).unwrap();
    let mut copy = |flags| pm.copy((source, at(0)), (other, at(0)), frames(1), flags);
    assert_eq!(refusal(copy(CopyFlags::SHARED)), Some(PmError::Locked));
    assert_eq!(refusal(copy(CopyFlags::MOVE)), Some(PmError::Locked));
    assert_eq!(copy(CopyFlags::empty()), Ok(1));
}

#[test]
fn the_last_number_is_copied_to() {
    // PM-160
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 2);
    write_letters(&world, &mut pm, container, 2);
    let last = at(u64::MAX - 1);
    pm.allocate(container, last, frames(2), AllocateFlags::empty()).unwrap();
    pm.copy((container, at(0)), (container, last), frames(2), CopyFlags::empty()).unwrap();
    pm.copy((container, last), (container, at(0)), frames(2), CopyFlags::empty()).unwrap();
    pm.map(container, last, frames(2), page(0), MapFlags::READ).unwrap();
    assert_eq!([world.load(2, page(0)), world.load(2, page(1))], [Ok(b'a'), Ok(b'b')]);
    assert_eq!(letters(&world, &mut pm, container, 2), "ab");
}

/// A driver that may use nearly the whole pool.
fn with_driver() -> World {
    let peers = [PeerConfig {
        peer: 2,
        name: "driver",
        limit: ByteCount::new(3 << 20),
        privileges: Privileges::DMA.union(Privileges::READ_ACCOUNTS),
    }];
    World::with_peers(4 << 20, &peers)
}

#[test]
fn a_gather_that_is_refused_changes_nothing() {
    // PM-4, PM-170
    let world = World::with_policy();
    let mut pm = world.as_peer(2);
    let container = filled(&mut pm, 2);
    let granted = pm.grant(container, at(0), frames(1), FORCED).unwrap();
    pm.ensure_tables(page(0), frames(1)).unwrap();
    let rights = CapRights { read: true, write: true };
    let map = |world: &World| {
        let mut server = world.0.borrow_mut();
        server.kernel_mut().map_granted(peer(2), granted.address, page(0).get(), rights)
    };
    map(&world).unwrap();
    world.store(2, 7, page(0)).unwrap();
    let terms = ShareTerms { peer: peer(3), rights: Rights::READ, lease_max: LONG, once: false };
    let list = FrameList::new(&[at(0), at(9)]).unwrap();
    let refused = pm.create_gather(AccountHandle::OWN, container, list, terms);
    assert_eq!(refusal(refused), Some(PmError::NotFound));
    let (nobody, list) = (peer(9), FrameList::new(&[at(0)]).unwrap());
    let terms = ShareTerms { peer: nobody, ..terms };
    let refused = pm.create_gather(AccountHandle::OWN, container, list, terms);
    assert_eq!(refusal(refused), Some(PmError::Invalid));
    assert_eq!(world.store(2, 8, page(0)), Ok(()), "the grant is still there");
}

#[test]
fn what_the_kernel_refuses_half_way_is_told() {
    // PM-330: whatever invocation is refused, `done` frames have the new contents, and no others.
    let several = [
        CopyFlags::empty(),
        CopyFlags::ATOMIC,
        CopyFlags::MOVE,
        CopyFlags::SHARED,
        CopyFlags::NEW,
        CopyFlags::NEW | CopyFlags::ATOMIC,
    ];
    for flags in several {
        let mut refused = 0;
        for nth in 1.. {
            let world = World::new();
            let mut pm = world.client();
            let (source, other) = (filled(&mut pm, 3), filled(&mut pm, 6));
            write_letters(&world, &mut pm, source, 3);
            pm.map(source, at(0), frames(3), page(0), FORCED).unwrap();
            pm.map(other, at(0), frames(6), page(10), FORCED).unwrap();
            for number in 0..6 {
                world.store(2, b'x', page(10 + number)).unwrap();
            }
            pm.grant(other, at(1), frames(1), FORCED).unwrap();
            let to = if flags.contains(CopyFlags::NEW) { 6 } else { 0 };
            let before = world.0.borrow().kernel().invocations();
            world.0.borrow_mut().kernel_mut().fail_nth(Some(nth));
            let result = pm.copy((source, at(0)), (other, at(to)), frames(3), flags);
            world.0.borrow_mut().kernel_mut().fail_nth(None);
            let made = world.0.borrow().kernel().invocations() - before;
            let done = match result {
                Ok(done) => done,
                Err(CallError::Refused(failure)) => {
                    refused += 1;
                    failure.done
                }
                Err(other) => panic!("{other:?}"),
            };
            let whole = CopyFlags::ATOMIC | CopyFlags::SHARED | CopyFlags::MOVE;
            assert!(!flags.intersects(whole) || done == 0 || done == 3, "{flags:?}: {done}");
            let expected: String = "abc".chars().zip(0..done).map(|(letter, _)| letter).collect();
            if flags.contains(CopyFlags::NEW) {
                let states = pm.status(other, at(6), frames(3)).unwrap().frames;
                let there = states.iter().filter(|state| state.contains(FrameState::PRESENT));
                assert_eq!(u64::try_from(there.count()).unwrap(), done, "invocation {nth}");
            } else {
                let now = letters(&world, &mut pm, other, 3);
                assert_eq!(now, format!("{expected:x<3}"), "{flags:?}, invocation {nth}");
            }
            if made < nth {
                break;
            }
            if done == 3 {
                continue;
            }
            // The refusal is over: what is left works.
            let rest = frames(3 - done);
            pm.copy((source, at(done)), (other, at(to + done)), rest, flags).unwrap();
        }
        assert!(refused > 2, "{flags:?}: only {refused} invocations were refused");
    }
}

#[test]
fn a_probe_that_was_left_behind_is_harmless() {
    // PM-4: the kernel refuses to unmap what looked for missing page tables.
    for nth in 1..12 {
        let world = World::new();
        let mut pm = world.client();
        let container = filled(&mut pm, 1);
        world.0.borrow_mut().kernel_mut().fail_nth(Some(nth));
        let _ = pm.ensure_tables(page(0), frames(1));
        world.0.borrow_mut().kernel_mut().fail_nth(None);
        pm.ensure_tables(page(0x8000), frames(1)).unwrap();
        pm.map(container, at(0), frames(1), page(0), FORCED).unwrap();
        world.store(2, 1, page(0)).unwrap();
    }
}

#[test]
fn a_contiguous_frame_that_is_renewed_stays_where_it_is() {
    // PM-155, also out of a ring: the others keep the contents.
    let world = with_driver();
    let mut pm = world.as_peer(2);
    let run = pm.container_create(AccountHandle::OWN).unwrap();
    let other = filled(&mut pm, 2);
    pm.allocate_contiguous(run, at(0), frames(2), 12, 64).unwrap();
    write_letters(&world, &mut pm, run, 2);
    pm.copy((run, at(0)), (other, at(0)), frames(2), CopyFlags::SHARED).unwrap();
    pm.map(other, at(0), frames(2), page(50), FORCED).unwrap();
    let place = |pm: &mut Pm| {
        let pinned = pm.pin(run, at(0), frames(2), LockMode::Read, LONG).unwrap();
        pm.unlock(pinned.lease.lease).unwrap();
        (pinned.bus.address, pinned.bus.frames)
    };
    let before = place(&mut pm);
    pm.map(run, at(0), frames(2), page(60), MapFlags::READ).unwrap();
    let granted = pm.grant(run, at(0), frames(1), MapFlags::READ).unwrap();
    assert_eq!(pm.renew(run, at(0), frames(2)).unwrap(), 2);
    assert_eq!(pm.ungrant(granted.address, frames(1)), Ok(0), "PM-145");
    assert_eq!(pm.unmap(page(60), frames(2)), Ok(0), "PM-145");
    assert_eq!(place(&mut pm), before);
    assert_eq!(letters(&world, &mut pm, run, 2), "\0\0");
    assert_eq!(letters(&world, &mut pm, other, 2), "ab");
    world.store(2, b'z', page(50)).unwrap();
    assert_eq!(letters(&world, &mut pm, run, 1), "\0", "they are apart");
}

#[test]
fn contiguous_frames_are_had_wherever_the_records_are() {
    // PM-2, PM-155: no record is put into the run that was found for the frames.
    for count in [1, 8, 48, 56, 64, 128, 200, 256] {
        let world = with_driver();
        let mut pm = world.as_peer(2);
        let container = pm.container_create(AccountHandle::OWN).unwrap();
        let run = loop {
            match pm.allocate_contiguous(container, at(0), frames(count), 12, 64) {
                Err(CallError::Refused(failure)) if failure.error == PmError::Pending => {}
                run => break run,
            }
        };
        assert_eq!(run.unwrap(), count);
    }
    // Any count does, if the account's last page of records is full.
    for before in 0..130 {
        let world = with_driver().unchecked();
        let mut pm = world.as_peer(2);
        let container = pm.container_create(AccountHandle::OWN).unwrap();
        for number in 0..before {
            pm.allocate(container, at(1000 + number), frames(1), AllocateFlags::empty()).unwrap();
        }
        assert_eq!(pm.allocate_contiguous(container, at(0), frames(1), 12, 64).unwrap(), 1);
    }
}

#[test]
fn what_has_the_contents_already_keeps_its_grants() {
    // PM-165: it has the memory of the source, copy-on-write or really.
    let (cow, shared) = (CopyFlags::empty(), CopyFlags::SHARED);
    for (flags, again, kept) in
        [(cow, cow, 1), (shared, shared, 1), (shared, cow, 1), (shared, CopyFlags::MOVE, 0)]
    {
        let world = World::new();
        let mut pm = world.client();
        let (source, other) = (filled(&mut pm, 1), filled(&mut pm, 1));
        write_letters(&world, &mut pm, source, 1);
        pm.copy((source, at(0)), (other, at(0)), frames(1), flags).unwrap();
        let granted = pm.grant(other, at(0), frames(1), MapFlags::READ).unwrap();
        pm.copy((source, at(0)), (other, at(0)), frames(1), again).unwrap();
        assert_eq!(pm.ungrant(granted.address, frames(1)), Ok(kept), "{flags:?} {again:?}");
    }
}

#[test]
fn what_has_the_memory_of_a_pinned_frame_already_keeps_it_and_its_grants() {
    // PM-165: alone, and where the next frame is copied from it.
    for count in [1, 2] {
        let world = with_driver();
        let mut pm = world.as_peer(2);
        let container = filled(&mut pm, 3);
        write_letters(&world, &mut pm, container, 3);
        let copy = |pm: &mut Pm, count| {
            pm.copy((container, at(0)), (container, at(1)), frames(count), CopyFlags::empty())
        };
        copy(&mut pm, 1).unwrap();
        let pinned = pm.pin(container, at(0), frames(1), LockMode::Read, LONG).unwrap();
        let granted = pm.grant(container, at(1), frames(1), MapFlags::READ).unwrap();
        assert_eq!(copy(&mut pm, count), Ok(count));
        assert_eq!(pm.ungrant(granted.address, frames(1)), Ok(1), "{count}");
        assert_eq!(crate::world::count(&mut pm, container, 3, FrameState::COW), 2, "{count}");
        assert_eq!(letters(&world, &mut pm, container, 3), if count == 1 { "aac" } else { "aaa" });
        pm.map(container, at(1), frames(1), page(0), FORCED).unwrap();
        world.store(2, b'z', page(0)).unwrap();
        pm.unlock(pinned.lease.lease).unwrap();
        assert!(letters(&world, &mut pm, container, 3).starts_with("az"));
    }
}

#[test]
fn contiguous_frames_keep_their_grants_and_where_they_are() {
    // PM-155, PM-165: bytes are copied to them, and a frame of their ring changes nothing.
    let world = with_driver();
    let mut pm = world.as_peer(2);
    let run = pm.container_create(AccountHandle::OWN).unwrap();
    let other = filled(&mut pm, 2);
    pm.allocate_contiguous(run, at(0), frames(2), 12, 64).unwrap();
    write_letters(&world, &mut pm, other, 2);
    let address = |pm: &mut Pm| {
        let pinned = pm.pin(run, at(0), frames(2), LockMode::Read, LONG).unwrap();
        pm.unlock(pinned.lease.lease).unwrap();
        (pinned.bus.address, pinned.bus.frames)
    };
    let before = address(&mut pm);
    let granted = pm.grant(run, at(0), frames(2), FORCED).unwrap();
    pm.copy((other, at(0)), (run, at(0)), frames(2), CopyFlags::empty()).unwrap();
    assert_eq!(pm.ungrant(granted.address, frames(2)), Ok(2));
    assert_eq!(letters(&world, &mut pm, run, 2), "ab");
    pm.copy((run, at(0)), (other, at(0)), frames(2), CopyFlags::SHARED).unwrap();
    pm.copy((other, at(0)), (run, at(0)), frames(2), CopyFlags::SHARED).unwrap();
    let third = filled(&mut pm, 2);
    pm.copy((third, at(0)), (run, at(0)), frames(2), CopyFlags::empty()).unwrap();
    assert_eq!(address(&mut pm), before);
}

#[test]
fn as_many_frames_as_a_call_names_are_copied_to_themselves_at_once() {
    // PM-164: also frames that much would have to be done for, if they were given other contents.
    let world = World::new();
    let mut pm = world.client();
    let container = pm.container_create(AccountHandle::OWN).unwrap();
    let other = pm.container_create(AccountHandle::OWN).unwrap();
    let most = frames(256);
    for container in [container, other] {
        pm.allocate(container, at(0), most, AllocateFlags::empty()).unwrap();
    }
    let mut done = 0;
    while done < 256 {
        let (from, left) = (at(done), frames(256 - done));
        done += pm.copy((container, from), (other, from), left, CopyFlags::SHARED).unwrap();
    }
    for (container, first) in [(container, 0), (other, 512)] {
        let mut done = 0;
        while done < 256 {
            let (from, left) = (at(done), frames(256 - done));
            let mapped = pm.map(container, from, left, page(first + done), FORCED).unwrap();
            done += mapped.count;
        }
    }
    assert_eq!(pm.copy((container, at(0)), (container, at(0)), most, CopyFlags::ATOMIC), Ok(256));
}

#[test]
fn a_frame_that_is_copied_to_itself_keeps_its_grants() {
    // PM-164, in a list of which a later pair reads what an earlier one overwrites.
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 4);
    write_letters(&world, &mut pm, container, 4);
    let granted = pm.grant(container, at(0), frames(1), FORCED).unwrap();
    let pairs = [(at(0), at(0)), (at(1), at(2)), (at(2), at(3))];
    let pairs = PairList::new(&pairs).unwrap();
    pm.copy_list(container, container, pairs, CopyFlags::empty()).unwrap();
    assert_eq!(letters(&world, &mut pm, container, 4), "abbc");
    assert_eq!(pm.ungrant(granted.address, frames(1)), Ok(1));
}

#[test]
fn a_frame_that_a_copy_has_just_made_is_no_source_of_it() {
    // PM-161, PM-164: there was no frame 1 before.
    for flags in [CopyFlags::NEW, CopyFlags::NEW | CopyFlags::ATOMIC] {
        let world = World::new();
        let mut pm = world.client();
        let container = filled(&mut pm, 1);
        let failed = failure(pm.copy((container, at(0)), (container, at(1)), frames(3), flags));
        let done = if flags.contains(CopyFlags::ATOMIC) { 0 } else { 1 };
        assert_eq!((failed.error, failed.done, failed.at), (PmError::NotFound, done, 1));
    }
}

#[test]
fn what_is_moved_further_leaves_neither_its_mappings_nor_its_marks() {
    // PM-162: frame 1 is a source, which is gone, and is made again.
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 3);
    write_letters(&world, &mut pm, container, 3);
    pm.mark(container, at(1), frames(1), Marks::DISCARDABLE).unwrap();
    pm.map(container, at(0), frames(3), page(0), MapFlags::READ).unwrap();
    let before: Vec<_> = (0..3).map(|number| world.load(2, page(number))).collect();
    assert_eq!(before, [Ok(b'a'), Ok(b'b'), Ok(b'c')]);
    pm.copy((container, at(0)), (container, at(1)), frames(2), CopyFlags::MOVE).unwrap();
    for number in 0..2 {
        assert!(world.load(2, page(number)).is_err(), "frame {number} was moved");
    }
    assert_eq!(world.load(2, page(2)), Ok(b'b'));
    let states = pm.status(container, at(0), frames(3)).unwrap().frames;
    assert!(!states[0].contains(FrameState::PRESENT));
    assert!(states[1].contains(FrameState::PRESENT));
    assert!(!states[1].contains(FrameState::DISCARDABLE));
    assert!(!states[2].contains(FrameState::DISCARDABLE));
}

#[test]
fn a_frame_that_was_never_written_to_gives_no_memory() {
    // PM-160
    let world = World::new();
    let mut pm = world.client();
    let (empty, other) = (filled(&mut pm, 1), filled(&mut pm, 1));
    write_letters(&world, &mut pm, other, 1);
    pm.copy((empty, at(0)), (other, at(0)), frames(1), CopyFlags::empty()).unwrap();
    let state = pm.status(other, at(0), frames(1)).unwrap().frames[0];
    assert!(!state.contains(FrameState::BOUND));
    assert_eq!(letters(&world, &mut pm, other, 1), "\0");
}

#[test]
fn an_overlapping_copy_that_the_kernel_refuses_has_done_nothing() {
    // PM-330
    for nth in 1.. {
        let world = World::new();
        let mut pm = world.client();
        let container = filled(&mut pm, 4);
        write_letters(&world, &mut pm, container, 4);
        pm.map(container, at(0), frames(4), page(0), FORCED).unwrap();
        for number in 0..4 {
            world.load(2, page(number)).unwrap();
        }
        let mut result = Ok(0);
        let is_made = world.refuse(Refusal { nth, error: 0 }, || {
            let (from, to) = ((container, at(0)), (container, at(1)));
            result = pm.copy(from, to, frames(3), CopyFlags::empty());
        });
        if !is_made {
            assert!(nth > 3, "only {nth} invocations");
            break;
        }
        let expected = if result.is_ok() { "aabc" } else { "abcd" };
        assert_eq!(letters(&world, &mut pm, container, 4), expected, "invocation {nth}");
    }
}
