// SPDX-License-Identifier: BSD-2-Clause
//! What the examples in the crate's documentation leave out, against pmserver itself: every
//! operation does through this crate what the protocol says of it.
#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used)]

use pmserver_client::{
    Account, AccountRights, AllocateFlags, CopyFlags, DeallocateFlags, Disturbance, Error,
    FrameState, LimitFlags, LockMode, MapFlags, Marks, Micros, Pages, PeerId, Pm, PmError, Rights,
    ShareTerms, VirtAddr, WeakContainer,
};
use sim::testbed::{Channel, Testbed};

const WINDOW: VirtAddr = VirtAddr::new_page(0x1000_0000).unwrap();
const OTHER_WINDOW: VirtAddr = VirtAddr::new_page(0x2000_0000).unwrap();

type Outcome = Result<(), Error>;

fn connect(testbed: &Testbed) -> (Pm<Channel>, Pm<Channel>) {
    (Pm::new(testbed.channel(1)), Pm::new(testbed.channel(2)))
}

fn terms(pm: &Pm<Channel>, rights: Rights) -> ShareTerms {
    let peer = pm.whoami().unwrap().peer;
    ShareTerms { peer, rights, lease_max: Micros::new(20_000), once: false }
}

fn addresses() -> (VirtAddr, VirtAddr) {
    (VirtAddr::new(0x20_1234).unwrap(), VirtAddr::new(0x30_0000).unwrap())
}

#[test]
fn long_ranges_are_allocated_mapped_and_freed_as_wholes() -> Outcome {
    // PM-31, PM-40, PM-80
    let testbed = Testbed::new();
    let (pm, _) = connect(&testbed);
    let before = pm.account().info()?;
    let container = pm.account().create_container()?;
    container.allocate(900..901)?;
    let error = container.allocate(0..1000).unwrap_err();
    assert_eq!((error.frame(), error.done), (Some(900), 0));
    assert_eq!(container.status(0..1000).filter(is_present).count(), 1);
    assert_eq!(container.allocate(0..900)?, 900);
    let error = container.map(0..1000, WINDOW, MapFlags::WRITE).unwrap_err();
    assert_eq!((error.frame(), error.done), (Some(901), 0));
    assert!(!container.state(0)?.contains(FrameState::MAPPED), "none stays mapped");
    let mapping = container.map_partial(0..1000, WINDOW, MapFlags::WRITE)?;
    assert_eq!(mapping.count(), 901);
    mapping.unmap()?;
    let error = container.deallocate_with(890..910, DeallocateFlags::STRICT).unwrap_err();
    assert_eq!((error.frame(), error.done), (Some(901), 0));
    assert_eq!(container.deallocate(0..2000)?, 901);
    drop(container);
    assert_eq!(pm.account().info()?, before);
    testbed.check();
    Ok(())
}

#[test]
fn a_heap_that_cannot_be_had_leaves_nothing() -> Outcome {
    let testbed = Testbed::new();
    let (pm, _) = connect(&testbed);
    let before = pm.account().info()?;
    let too_large = Pages::new(WINDOW, before.limit.get() / 4096 + 1).unwrap();
    assert!(pm.reserve_heap(too_large).unwrap_err().is(PmError::QuotaExceeded));
    assert_eq!(pm.account().info()?, before);
    // Something is mapped at the last page.
    let container = pm.account().create_container()?;
    container.allocate(0..1)?;
    let mapping = container.map(0..1, WINDOW, MapFlags::READ)?;
    let at = VirtAddr::new_page(WINDOW.get() - 299 * 4096).unwrap();
    let between = pm.account().info()?;
    let error = pm.reserve_heap(Pages::new(at, 300).unwrap()).unwrap_err();
    assert!(error.is(PmError::Occupied));
    assert_eq!(pm.account().info()?, between);
    drop((mapping, container));
    testbed.check();
    Ok(())
}

fn is_present(state: &Result<(u64, FrameState), Error>) -> bool {
    state.is_ok_and(|(_, state)| state.contains(FrameState::PRESENT))
}

#[test]
fn a_borrower_has_what_was_lent_and_the_owner_gets_it_back() -> Outcome {
    // PM-60, PM-6
    let testbed = Testbed::new();
    let (pm, fs) = connect(&testbed);
    let container = pm.account().create_container()?;
    container.allocate(0..8)?;
    let share = container.share(0..4, terms(&fs, Rights::READ | Rights::WRITE))?;
    let weak = WeakContainer::from_raw(&fs, share.weak());
    let mapping = weak.map(0..4, WINDOW, MapFlags::WRITE)?;
    mapping.copy_out(&mut testbed.memory(2), b"x", 0)?;
    let lock = weak.lock(0..4, LockMode::Read, Micros::new(1)).unwrap_err();
    assert!(lock.is(PmError::NoRight));
    assert!(weak.map(3..5, OTHER_WINDOW, MapFlags::READ).unwrap_err().is(PmError::NoRight));
    let stranger = Pm::new(testbed.channel(3));
    let theirs = WeakContainer::from_raw(&stranger, share.weak());
    assert!(theirs.map(0..1, WINDOW, MapFlags::READ).unwrap_err().is(PmError::InvalidCap));
    share.unshare()?;
    let fault = testbed.memory(2).store(1, WINDOW).unwrap_err();
    assert!(fault.line.contains("stopped"), "what is unshared faults: {fault:?}");
    testbed.check();
    Ok(())
}

#[test]
fn a_container_that_a_lease_keeps_goes_at_its_deadline() -> Outcome {
    // PM-24
    let testbed = Testbed::new();
    let (pm, fs) = connect(&testbed);
    let before = pm.account().info()?;
    let container = pm.account().create_container()?;
    container.allocate(0..300)?;
    let share = container.share(.., terms(&fs, Rights::all()))?;
    let weak = WeakContainer::from_raw(&fs, share.weak());
    let lease = weak.lock(0..10, LockMode::Exclusive, Micros::new(20_000))?;
    let refused = container.destroy().unwrap_err();
    assert!(refused.error.is(PmError::Pending));
    assert_eq!(refused.error.deadline(), Some(lease.deadline()));
    refused.value.destroy_waiting()?;
    assert_eq!(pm.account().info()?, before);
    testbed.check();
    Ok(())
}

#[test]
fn mappings_that_were_taken_away_come_back() -> Outcome {
    // PM-140, PM-290
    let testbed = Testbed::new();
    let (pm, _) = connect(&testbed);
    let mut memory = testbed.memory(1);
    let container = pm.account().create_container()?;
    container.allocate(0..300)?;
    let mut mapping = container.map(0..300, WINDOW, MapFlags::WRITE)?;
    mapping.copy_out(&mut memory, b"stays", 299 * 4096)?;
    assert!(pm.disturb(Disturbance::Unmap)? >= 1);
    assert!(pm.disturb(Disturbance::Move)? >= 1);
    let mut bytes = [0; 5];
    mapping.copy_in(&memory, 299 * 4096, &mut bytes)?;
    assert_eq!(&bytes, b"stays");
    pm.disturb(Disturbance::Unmap)?;
    mapping.remap(MapFlags::READ)?;
    assert_eq!(mapping.rights(), MapFlags::READ);
    let pages = mapping.into_pages();
    assert_eq!(pm.unmap(pages.start(), pages.count())?, 300);
    testbed.check();
    Ok(())
}

#[test]
fn copies_go_to_new_frames_by_lists_and_with_their_memory() -> Outcome {
    // PM-160 to PM-164, PM-145
    let testbed = Testbed::new();
    let (pm, _) = connect(&testbed);
    let mut memory = testbed.memory(1);
    let container = pm.account().create_container()?;
    container.allocate(0..2)?;
    let mapping = container.map(0..2, WINDOW, MapFlags::WRITE)?;
    mapping.copy_out(&mut memory, b"a", 0)?;
    mapping.copy_out(&mut memory, b"b", 4096)?;
    let first = |at: u64| {
        let mut byte = [0];
        mapping.copy_in(&testbed.memory(1), at, &mut byte).map(|()| byte[0])
    };
    assert_eq!(container.copy_list(&[(0, 1), (1, 0)], &container, CopyFlags::empty())?, 2);
    assert_eq!((first(0)?, first(4096)?), (b'b', b'a'), "as if all were read before");
    assert_eq!(container.copy_with(0..2, &container, 10, CopyFlags::NEW)?, 2);
    let error = container.copy_with(0..2, &container, 11, CopyFlags::NEW).unwrap_err();
    assert!(error.is(PmError::Exists), "{error}");
    let error = container.copy_with(1..3, &container, 20, CopyFlags::NEW).unwrap_err();
    assert_eq!((error.refusal(), error.done), (Some(PmError::NotFound), 1));
    container.copy_with(10..11, &container, 30, CopyFlags::NEW | CopyFlags::MOVE)?;
    assert_eq!(container.state(10)?, FrameState::empty());
    assert_eq!(container.renew(0..1)?, 1);
    let renewed = container.map(0..1, OTHER_WINDOW, MapFlags::READ)?;
    let mut byte = [1];
    renewed.copy_in(&memory, 0, &mut byte)?;
    assert_eq!(byte, [0]);
    testbed.check();
    Ok(())
}

#[test]
fn containers_are_made_of_copies_and_lent_at_once() -> Outcome {
    // PM-170
    let testbed = Testbed::new();
    let (pm, fs) = connect(&testbed);
    let mut memory = testbed.memory(1);
    let source = pm.account().create_container()?;
    source.allocate(0..300)?;
    source.map(0..300, WINDOW, MapFlags::WRITE)?.copy_out(&mut memory, b"z", 299 * 4096)?;
    let read = terms(&fs, Rights::READ);
    let (short, _share) = pm.account().create_from(&source, 290..300, read)?;
    let (long, _share) = pm.account().create_from(&source, 0..300, read)?;
    let (listed, share) = pm.account().create_gather(&source, &[299, 0], read)?;
    for (container, number) in [(&short, 9), (&long, 299), (&listed, 0)] {
        let mapping = container.map(number..=number, WINDOW, MapFlags::READ)?;
        let mut byte = [0];
        mapping.copy_in(&memory, 0, &mut byte)?;
        assert_eq!(byte, *b"z");
    }
    let weak = WeakContainer::from_raw(&fs, share.weak());
    assert_eq!(weak.map(0..2, WINDOW, MapFlags::READ)?.count(), 2);
    testbed.check();
    Ok(())
}

#[test]
fn frames_are_numbered_by_the_server_and_made_for_devices() -> Outcome {
    // PM-150, PM-155, PM-270 to PM-274
    let testbed = Testbed::new();
    let (pm, _) = connect(&testbed);
    let container = pm.account().create_container()?;
    container.allocate(0..4)?;
    let numbers = container.allocate_anywhere(4, AllocateFlags::empty())?;
    assert_eq!(numbers.end - numbers.start, 4);
    assert!(numbers.start >= 4);
    assert_eq!(container.allocate_contiguous(1000..1008, 15, 64)?, 8);
    let pin = container.pin(1000..1008, LockMode::Exclusive, Micros::new(20_000))?;
    let run = pin.first();
    assert_eq!((run.address % (1 << 15), run.frames), (0, 8));
    let fourth = pin.bus_address(1003)?;
    assert_eq!((fourth.address, fourth.frames), (run.address + 3 * 4096, 5));
    assert!(pin.bus_runs().eq([Ok(run)]));
    pin.unlock()?;
    pm.device_reset(PeerId::new(2).unwrap())?;
    testbed.check();
    Ok(())
}

#[test]
fn regions_grants_and_tables_end_with_their_values() -> Outcome {
    // PM-200 to PM-220
    let testbed = Testbed::new();
    let (pm, _) = connect(&testbed);
    let mut memory = testbed.memory(1);
    let container = pm.account().create_container()?;
    container.allocate(0..4)?;
    let before = pm.account().info()?;
    {
        let region = container.attach(0..4, WINDOW, MapFlags::WRITE)?;
        region.copy_out(&mut memory, b"touched", 2 * 4096)?;
        let error = container.attach(0..1, WINDOW, MapFlags::READ).unwrap_err();
        assert!(error.is(PmError::Occupied));
        let grants = container.grant(0..4, MapFlags::READ)?;
        assert_eq!((grants.count(), grants.rights()), (4, MapFlags::READ));
        assert!(container.state(0)?.contains(FrameState::MAPPED));
        assert!(pm.ensure_tables(OTHER_WINDOW, 1)? > 0);
        assert_eq!(pm.ensure_tables(OTHER_WINDOW, 1)?, 0);
        pm.unmap(OTHER_WINDOW, 1)?;
    }
    assert!(!container.state(2)?.contains(FrameState::MAPPED));
    assert_eq!(pm.account().info()?, before);
    testbed.check();
    Ok(())
}

#[test]
fn accounts_are_split_lent_limited_and_removed() -> Outcome {
    // PM-230 to PM-251
    let testbed = Testbed::new();
    let (pm, fs) = connect(&testbed);
    let account = pm.account().split(100)?;
    assert_eq!(account.info()?.limit.get(), 100 * 4096);
    account.set_limits(200, LimitFlags::empty())?;
    assert_eq!(pm.account().info()?.promised.get(), 200 * 4096);
    let too_much = pm.account().split(u32::MAX).unwrap_err();
    assert!(too_much.is(PmError::QuotaExceeded));
    let lent = account.lend(fs.whoami()?.peer, AccountRights::ALLOCATE)?;
    let theirs = Account::from_raw(&fs, lent.raw());
    assert!(theirs.info().unwrap_err().is(PmError::NoRight));
    let container = theirs.create_container()?;
    container.allocate(0..10)?;
    theirs.pay_for_vspace()?;
    let mapping = container.map(0..10, WINDOW, MapFlags::READ)?;
    assert!(account.info()?.tables.get() > 0, "the tables, too");
    lent.recall()?;
    assert!(theirs.create_container().unwrap_err().is(PmError::InvalidCap));
    account.remove()?;
    assert!(pm.account().info()?.frames.get() >= 10 * 4096, "they are its parent's now");
    mapping.unmap()?;
    container.destroy()?;
    testbed.check();
    Ok(())
}

#[test]
fn extra_frames_are_marked_and_asked_back() -> Outcome {
    // PM-34, PM-260, PM-264
    let testbed = Testbed::new();
    let (pm, _) = connect(&testbed);
    let account = pm.account().split_with(20, LimitFlags::EXTRA)?;
    let container = account.create_container()?;
    let error = container.allocate(0..30).unwrap_err();
    assert!(error.is(PmError::QuotaExceeded));
    container.allocate_with(0..30, AllocateFlags::EXTRA)?;
    assert!(account.info()?.extra.get() > 0);
    assert_eq!(container.mark(0..100, Marks::DISCARDABLE)?, 30);
    let state = container.state(29)?;
    assert!(state.contains(FrameState::EXTRA | FrameState::DISCARDABLE), "{state:?}");
    assert_eq!(pm.extra_request()?, None, "there is memory enough");
    testbed.check();
    Ok(())
}

#[test]
fn a_range_without_its_handler_reads_as_zero() -> Outcome {
    // PM-280, PM-284
    let testbed = Testbed::new();
    let (pm, fs) = connect(&testbed);
    let container = pm.account().create_container()?;
    container.allocate(0..4)?;
    container.set_handler(0..4, fs.whoami()?.peer, 7)?;
    assert!(container.state(0)?.contains(FrameState::ABSENT));
    let error = container.set_handler(3..5, fs.whoami()?.peer, 8).unwrap_err();
    assert!(error.is(PmError::Exists));
    container.clear_handler(0)?;
    let mapping = container.map(0..4, WINDOW, MapFlags::READ)?;
    let mut byte = [1];
    mapping.copy_in(&testbed.memory(1), 0, &mut byte)?;
    assert_eq!(byte, [0]);
    assert!(container.clear_handler(0).unwrap_err().is(PmError::NotFound));
    assert!(fs.next_fault()?.is_none());
    testbed.check();
    Ok(())
}

#[test]
fn a_fault_that_is_refused_stops_who_waits() -> Outcome {
    // PM-283
    let testbed = Testbed::new();
    let (pm, fs) = connect(&testbed);
    let container = pm.account().create_container()?;
    container.allocate(0..4)?;
    container.set_handler(.., fs.whoami()?.peer, 7)?;
    let mapping = container.map(0..4, WINDOW, MapFlags::READ)?;
    let handler = Pm::new(testbed.channel(2));
    testbed.attend(move || {
        if let Some(fault) = handler.next_fault().unwrap() {
            fault.refuse().unwrap();
        }
    });
    let fault = testbed.memory(1).load(mapping.start()).unwrap_err();
    assert!(fault.line.contains("peer-1 stopped"), "{fault:?}");
    testbed.check();
    Ok(())
}

#[test]
fn a_server_recovers_by_itself_or_is_rescued() -> Outcome {
    // PM-120 to PM-123, PM-76
    let testbed = Testbed::new();
    let (pm, fs) = connect(&testbed);
    let supervisor = Pm::new(testbed.channel(3));
    let (entry, stack_top) = addresses();
    fs.register_recovery(entry, stack_top)?;
    let server = fs.whoami()?.peer;
    let watch = pm.watch(server, Micros::new(5000))?;
    assert_eq!(supervisor.rescue()?.rescued, 0);
    supervisor.wait_until(watch.deadline())?;
    assert_eq!(supervisor.rescue()?.rescued, 1);
    watch.end()?;
    assert!(pm.watch(server, Micros::new(0)).unwrap_err().is(PmError::Invalid));
    assert_eq!(pm.reclaim()?, 0);
    testbed.check();
    Ok(())
}
