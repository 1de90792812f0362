// SPDX-License-Identifier: BSD-2-Clause
//! Faults, recovery, rescue and teardown (decisions D4, D6, D11; S10, S39).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{PEERS, POOL_BYTES, World, at, filled, frames, page, peer};
use pmserver_api::{AccessKind, AccountHandle, CallError, LockMode, MapFlags, PmError, Rights};
use pmserver_core::{Fault, FaultOutcome};
use pmserver_setup::LAST_RESORT;
use proto::limits::RECOVERY_MICROS_MAX;
use proto::{Console, Micros, VirtAddr};
use sim::SimKernel;

#[derive(Default)]
struct Screen(String);

impl Console for Screen {
    fn write(&mut self, bytes: &[u8]) {
        self.0.push_str(core::str::from_utf8(bytes).unwrap());
    }
}

fn refusal<T>(result: Result<T, CallError>) -> Option<PmError> {
    result.err().and_then(|error| error.refusal())
}

fn fault(world: &World, number: u64) -> (FaultOutcome, String) {
    let mut screen = Screen::default();
    let mut server = world.0.borrow_mut();
    let outcome = server.fault(
        peer(number),
        Fault::Access { address: 0xdead_b000, kind: AccessKind::Read },
        &mut screen,
    );
    server.check_invariants().unwrap();
    (outcome, screen.0)
}

#[test]
fn a_fault_that_no_mapping_cures_is_the_programs_own() {
    // PM-354
    let world = World::new();
    let mut pm = world.client();
    let container = filled(&mut pm, 2);
    pm.map(container, at(0), frames(2), page(0), MapFlags::WRITE).unwrap();
    let touch = |number: u64, kind| {
        let fault = Fault::Access { address: page(number).get() + 1, kind };
        world.0.borrow_mut().fault(peer(2), fault, &mut Screen::default())
    };
    let (read, write) = (AccessKind::Read, AccessKind::Write);
    for kind in [read, write, read] {
        // One more fault at a page than it takes may have been on its way.
        for number in [0, 1, 0, 1] {
            assert_eq!(touch(number, kind), FaultOutcome::Resumed);
        }
    }
    // So is a page of a region, whose mapping is made anew each time.
    pm.attach(container, at(0), 1, page(7), MapFlags::READ).unwrap();
    for _ in 0..4 {
        assert_eq!(touch(7, read), FaultOutcome::Resumed);
        pm.unmap(page(7), frames(1)).unwrap();
    }
    // What is taken away in between is mapped again, as often as that happens.
    for _ in 0..10 {
        let weak = pm.share(container, at(0), 2, peer(1), Rights::all(), Micros::new(9)).unwrap();
        world.fs().lock(weak.weak, at(0), frames(2), LockMode::Read, Micros::new(9)).unwrap();
        world.advance(9);
        assert_eq!(touch(0, write), FaultOutcome::Resumed);
        pm.unshare(weak.share).unwrap();
    }
    assert_eq!(touch(0, write), FaultOutcome::Resumed);
    assert_eq!(touch(0, write), FaultOutcome::Stopped);
}

fn recovery() -> (VirtAddr, VirtAddr) {
    (VirtAddr::new(0x20_1234).unwrap(), VirtAddr::new(0x30_0000).unwrap())
}

#[test]
fn a_client_that_faults_is_stopped_and_taken_down_in_steps() {
    let world = World::new();
    let (mut pm, mut doomed) = (world.client(), world.fs());
    let before = world.accounts();
    let foreign = filled(&mut pm, 4);
    let shared = pm.share(foreign, at(0), 4, peer(1), Rights::all(), Micros::new(900_000)).unwrap();
    doomed.map(shared.weak, at(0), frames(4), page(0), MapFlags::WRITE).unwrap();
    doomed.lock(shared.weak, at(0), frames(4), LockMode::Exclusive, Micros::new(900_000)).unwrap();
    for _ in 0..4 {
        let container = filled(&mut doomed, 200);
        doomed.map(container, at(0), frames(50), page(1000), MapFlags::WRITE).unwrap();
        doomed.unmap(page(1000), frames(20)).unwrap();
        let away = doomed.map(container, at(60), frames(20), page(1000), MapFlags::READ);
        assert_eq!(away.unwrap().count, 20);
        doomed.unmap(page(1000), frames(256)).unwrap();
        doomed.map(container, at(0), frames(20), page(2000), MapFlags::WRITE).unwrap();
        doomed.unmap(page(2000), frames(10)).unwrap();
        doomed.unmap(page(2010), frames(10)).unwrap();
    }
    let (outcome, line) = fault(&world, 1);
    assert_eq!(outcome, FaultOutcome::Stopped);
    assert_eq!(line, "pmserver: fsserver stopped: no memory at 0xdeadb000\n");
    assert_eq!(refusal(doomed.whoami()), Some(PmError::InvalidCap), "a stopped domain has nothing");
    // Others continue: the lease of the stopped peer has ended, and its mappings are being removed.
    let mut steps = 0;
    while pm.reclaim().unwrap() > 0 {
        steps += 1;
        assert!(steps < 100);
    }
    assert!(steps > 5, "800 frames are more than a few steps");
    pm.unshare(shared.share).unwrap();
    pm.container_destroy(foreign).unwrap();
    assert_eq!(world.accounts(), before);
}

#[test]
fn a_server_with_a_recovery_entry_goes_on_there_once() {
    // D11, S10
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    let container = filled(&mut pm, 4);
    let shared =
        pm.share(container, at(0), 4, peer(1), Rights::all(), Micros::new(900_000)).unwrap();
    let (entry, stack) = recovery();
    fs.register_recovery(entry, stack).unwrap();
    fs.lock(shared.weak, at(0), frames(4), LockMode::Exclusive, Micros::new(900_000)).unwrap();
    fs.map(shared.weak, at(0), frames(4), page(0), MapFlags::WRITE).unwrap();
    world.store(1, 7, page(2)).unwrap();
    let (outcome, line) = fault(&world, 1);
    assert_eq!(outcome, FaultOutcome::Redirected);
    assert_eq!(line, "pmserver: fsserver sent to its recovery entry: no memory at 0xdeadb000\n");
    pm.unshare(shared.share).unwrap();
    pm.map(container, at(0), frames(4), page(0), MapFlags::READ).unwrap();
    assert_eq!((world.load(2, page(2)), world.load(2, page(3))), (Ok(7), Ok(0)));
    assert_eq!(fault(&world, 1).0, FaultOutcome::Stopped, "recovery that faults is not repeated");
    let thread = || world.0.borrow().kernel().thread(peer(1)).unwrap();
    assert_eq!((thread().pc, thread().is_retired), (LAST_RESORT, false), "PM-370");
    assert_eq!(fault(&world, 1).0, FaultOutcome::Stopped, "nor is its last resort");
    assert!(thread().is_retired);
}

#[test]
fn pm_374_who_calls_a_peer_is_notified_when_it_is_stopped() {
    let world = World::new();
    let (entry, stack) = recovery();
    world.fs().register_recovery(entry, stack).unwrap();
    assert_eq!((fault(&world, 1).0, world.notified()), (FaultOutcome::Redirected, vec![]));
    assert_eq!((fault(&world, 1).0, world.notified()), (FaultOutcome::Stopped, vec![2]));
    // Nobody calls who has called it, and it is told nothing when it is stopped itself.
    assert_eq!((fault(&world, 2).0, world.notified()), (FaultOutcome::Stopped, vec![]));
    let world = World::new();
    world.client().watch(peer(1), Micros::new(50)).unwrap();
    world.advance(50);
    assert_eq!(world.supervisor().rescue().unwrap().rescued, 1);
    assert_eq!(world.notified(), [2], "also if it hangs");
    let world = World::new();
    assert_eq!(fault(&world, 2).0, FaultOutcome::Stopped);
    assert_eq!((fault(&world, 1).0, world.notified()), (FaultOutcome::Stopped, vec![]));
}

#[test]
fn only_a_supervisor_rescues_and_only_what_is_overdue() {
    let world = World::new();
    let (mut pm, mut fs, mut supervisor) = (world.client(), world.fs(), world.supervisor());
    let (entry, stack) = recovery();
    fs.register_recovery(entry, stack).unwrap();
    let deadline = pm.watch(peer(1), Micros::new(5000)).unwrap();
    assert_eq!(refusal(pm.rescue()), Some(PmError::NoRight));
    let report = supervisor.rescue().unwrap();
    assert_eq!((report.rescued, report.next_deadline), (0, Some(deadline)));
    world.advance(5000);
    let report = supervisor.rescue().unwrap();
    assert_eq!((report.rescued, report.next_deadline), (1, None));
    pm.watch(peer(1), Micros::new(1)).unwrap();
    pm.watch(peer(1), Micros::new(0)).unwrap();
    world.advance(10);
    assert_eq!(supervisor.rescue().unwrap().rescued, 0, "a watch that was ended rescues nobody");
    assert_eq!(refusal(pm.watch(peer(2), Micros::new(1))), Some(PmError::Invalid));
    assert_eq!(refusal(pm.watch(peer(9), Micros::new(1))), Some(PmError::Invalid));
}

#[test]
fn only_who_calls_a_server_can_have_it_rescued() {
    // PM-371
    let world = World::new();
    for number in 1..=3 {
        let (entry, stack) = recovery();
        world.as_peer(number).register_recovery(entry, stack).unwrap();
    }
    let ttl = Micros::new(1);
    for (caller, server) in [(1, 2), (1, 3), (2, 3), (3, 1), (3, 2)] {
        let watched = world.as_peer(caller).watch(peer(server), ttl);
        assert_eq!(refusal(watched), Some(PmError::NoRight), "{caller} watched {server}");
        assert!(world.as_peer(caller).watch(peer(server), Micros::new(0)).is_ok());
    }
    world.advance(1_000_000);
    let report = world.supervisor().rescue().unwrap();
    assert_eq!((report.rescued, report.next_deadline), (0, None));
    // A refused watch leaves the one that runs.
    let deadline = world.client().watch(peer(1), Micros::new(5000)).unwrap();
    assert_eq!(refusal(world.client().watch(peer(3), ttl)), Some(PmError::NoRight));
    assert_eq!(world.supervisor().rescue().unwrap().next_deadline, Some(deadline));
}

#[test]
fn a_server_that_hangs_without_a_recovery_entry_is_stopped() {
    // PM-123, PM-370
    let world = World::new();
    let (mut pm, mut fs, mut supervisor) = (world.client(), world.fs(), world.supervisor());
    let before = world.accounts();
    let container = filled(&mut pm, 4);
    let long = Micros::new(900_000);
    let weak = pm.share(container, at(0), 4, peer(1), Rights::all(), long).unwrap().weak;
    fs.lock(weak, at(0), frames(4), LockMode::Exclusive, long).unwrap();
    fs.map(weak, at(0), frames(4), page(0), MapFlags::WRITE).unwrap();
    let own = filled(&mut fs, 100);
    fs.map(own, at(0), frames(100), page(1000), MapFlags::WRITE).unwrap();

    pm.watch(peer(1), Micros::new(50)).unwrap();
    world.advance(50);
    let report = supervisor.rescue().unwrap();
    assert_eq!((report.rescued, report.next_deadline), (1, None));
    let thread = world.0.borrow().kernel().thread(peer(1)).unwrap();
    assert_eq!((thread.pc, thread.is_retired), (LAST_RESORT, false));
    assert_eq!(refusal(fs.whoami()), Some(PmError::InvalidCap));
    // Its lease has ended, and what it had is freed.
    pm.lock(container, at(0), frames(4), LockMode::Exclusive, long).unwrap();
    while pm.reclaim().unwrap() > 0 {}
    pm.watch(peer(1), Micros::new(1)).unwrap();
    world.advance(1);
    assert_eq!(supervisor.rescue().unwrap().rescued, 0, "it is stopped already");
    assert!(world.load(1, page(0)).is_err(), "its mapping is gone");
    world.advance(900_000);
    pm.container_destroy(container).unwrap();
    assert_eq!(world.accounts(), before);
}

#[test]
fn a_server_that_hangs_while_recovering_is_stopped() {
    // PM-123
    let world = World::new();
    let (mut pm, mut fs, mut supervisor) = (world.client(), world.fs(), world.supervisor());
    let (entry, stack) = recovery();
    fs.register_recovery(entry, stack).unwrap();
    let pc = || world.0.borrow().kernel().thread(peer(1)).unwrap().pc;
    pm.watch(peer(1), Micros::new(50)).unwrap();
    for (time, expected) in [(50, entry.get()), (RECOVERY_MICROS_MAX, LAST_RESORT)] {
        world.advance(time - 1);
        assert_eq!(supervisor.rescue().unwrap().rescued, 0);
        world.advance(1);
        assert_eq!(supervisor.rescue().unwrap().rescued, 1);
        assert_eq!(pc(), expected);
    }
}

#[test]
fn a_server_that_registers_and_hangs_again_is_stopped() {
    // PM-373: its caller has not called pmserver since.
    let world = World::new();
    let (mut pm, mut fs, mut supervisor) = (world.client(), world.fs(), world.supervisor());
    let (entry, stack) = recovery();
    fs.register_recovery(entry, stack).unwrap();
    pm.watch(peer(1), Micros::new(50)).unwrap();
    world.advance(50);
    assert_eq!(supervisor.rescue().unwrap().rescued, 1);
    fs.register_recovery(entry, stack).unwrap();
    world.advance(RECOVERY_MICROS_MAX);
    assert_eq!(supervisor.rescue().unwrap().rescued, 1);
    assert_eq!(refusal(fs.whoami()), Some(PmError::InvalidCap), "it is stopped");
}

#[test]
fn a_server_whose_caller_was_answered_is_not_stopped() {
    // PM-373
    let world = World::new();
    let (mut pm, mut fs, mut supervisor) = (world.client(), world.fs(), world.supervisor());
    let (entry, stack) = recovery();
    fs.register_recovery(entry, stack).unwrap();
    pm.watch(peer(1), Micros::new(50)).unwrap();
    world.advance(50);
    assert_eq!(supervisor.rescue().unwrap().rescued, 1);
    pm.clock().unwrap();
    world.advance(10 * RECOVERY_MICROS_MAX);
    assert_eq!(supervisor.rescue().unwrap().rescued, 0);
    assert!(fs.whoami().is_ok());
}

#[test]
fn two_who_wait_for_one_server_have_it_recover_once() {
    // PM-373: the second watch runs out while the server recovers.
    let world = World::over(SimKernel::new(POOL_BYTES), &PEERS);
    let (mut fs, mut supervisor) = (world.fs(), world.supervisor());
    let (entry, stack) = recovery();
    fs.register_recovery(entry, stack).unwrap();
    for caller in [2, 3] {
        world.as_peer(caller).watch(peer(1), Micros::new(50)).unwrap();
    }
    world.advance(60);
    assert_eq!(supervisor.rescue().unwrap().rescued, 1);
    fs.register_recovery(entry, stack).unwrap();
    world.client().clock().unwrap();
    world.advance(RECOVERY_MICROS_MAX);
    assert_eq!(supervisor.rescue().unwrap().rescued, 0);
    assert!(fs.whoami().is_ok());
}

#[test]
fn who_faults_for_ever_does_not_print_for_ever() {
    // PM-372
    let world = World::new();
    let (entry, stack) = recovery();
    let mut lines = String::new();
    for _ in 0..1000 {
        world.fs().register_recovery(entry, stack).unwrap();
        lines.push_str(&fault(&world, 1).1);
    }
    lines.push_str(&fault(&world, 1).1);
    let sent = "pmserver: fsserver sent to its recovery entry: no memory at 0xdeadb000";
    let counted = [16, 32, 64, 128, 256, 512].map(|count| format!("{sent}, its fault {count}"));
    let stopped = "pmserver: fsserver stopped: no memory at 0xdeadb000, its fault 1001";
    let expected: Vec<&str> =
        [sent; 8].into_iter().chain(counted.iter().map(String::as_str)).chain([stopped]).collect();
    assert_eq!(lines.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_line_says_what_the_access_lacks() {
    // PM-121
    let world = World::new();
    let mut pm = world.client();
    let (entry, stack) = recovery();
    let container = filled(&mut pm, 2);
    pm.map(container, at(0), frames(1), page(0), MapFlags::READ).unwrap();
    pm.attach(container, at(1), 1, page(1), MapFlags::READ).unwrap();
    let mut line = |fault| {
        let mut screen = Screen::default();
        pm.register_recovery(entry, stack).unwrap();
        while world.0.borrow_mut().fault(peer(2), fault, &mut screen) == FaultOutcome::Resumed {}
        screen.0.strip_prefix("pmserver: client sent to its recovery entry: ").unwrap().to_owned()
    };
    let access = |number: u64, kind| Fault::Access { address: page(number).get() + 1, kind };
    // A load off its alignment finds the page there, and faults all the same (PM-354).
    assert_eq!(line(access(0, AccessKind::Read)), "cannot load at 0x10000001\n");
    assert_eq!(line(access(0, AccessKind::Write)), "cannot store at 0x10000001\n");
    assert_eq!(line(access(1, AccessKind::Execute)), "cannot execute at 0x10001001\n");
    assert_eq!(line(access(2, AccessKind::Read)), "no memory at 0x10002001\n");
    assert_eq!(line(Fault::Other), "exception\n");
}

#[test]
fn accounts_of_others_take_the_right_to_be_read() {
    let world = World::new();
    let (mut pm, mut fs) = (world.client(), world.fs());
    assert!(pm.account_info(AccountHandle::of_peer(peer(1))).is_ok());
    for foreign in [AccountHandle::POOL, AccountHandle::of_peer(peer(2))] {
        assert_eq!(refusal(fs.account_info(foreign)), Some(PmError::NoRight));
    }
    let own = fs.account_info(AccountHandle::OWN);
    assert_eq!(own, fs.account_info(AccountHandle::of_peer(peer(1))));
    let nobody = pm.account_info(AccountHandle::from_raw(u64::MAX));
    assert_eq!(refusal(nobody), Some(PmError::InvalidCap));
}

#[test]
fn accounts_and_free_memory_add_up_to_the_pool() {
    // I1, to the byte
    let world = World::new();
    let pool = world.client().account_info(AccountHandle::POOL).unwrap();
    assert_eq!(pool.limit.get(), crate::world::POOL_BYTES);
    assert_eq!(pool.free.get() + pool.used.get(), crate::world::POOL_BYTES);
    let kinds = [pool.frames, pool.tables, pool.slots, pool.records];
    assert_eq!(kinds.map(|kind| kind.get()).iter().sum::<u64>(), pool.used.get());
}
