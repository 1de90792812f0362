// SPDX-License-Identifier: BSD-2-Clause
//! The worst case of every operation, of a fault and of memory pressure: none does more than
//! `CALL_WORK_MAX` (D6, PM-320). `World` compares the work of every call with that.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::heavy::{FORCED, Heavy, LONG, OWN, PLAIN, POOL, again};
use crate::world::{PAGE, at, frames, page, peer};
use pmserver_api::{
    AccessKind, AccountHandle, AccountRights, AllocateFlags, Book, CopyFlags, DeallocateFlags,
    Disturbance, FrameList, Frames, LimitFlags, LockMode, MapFlags, Marks, Operation, PairList,
    Rights, ShareTerms,
};
use proto::limits::{CALL_FRAMES_MAX, CALL_WORK_MAX};
use proto::{FrameNumber, Micros, VirtAddr};

fn terms() -> ShareTerms {
    ShareTerms { peer: peer(2), rights: Rights::READ, lease_max: LONG, once: false }
}

#[test]
fn no_operation_does_more_than_the_bound() {
    let mut most = 0;
    for operation in Operation::ALL {
        let heavy = Heavy::new();
        provoke(*operation, &heavy);
        println!("{:>20} {:>9}", operation.name(), heavy.most());
        most = most.max(heavy.most());
    }
    assert!(most > CALL_WORK_MAX / 2, "the worst call did {most}: none comes near the bound");
}

/// Makes the call of an operation that costs most. An operation without an arm does not compile.
fn provoke(operation: Operation, heavy: &Heavy) {
    match operation {
        Operation::Version
        | Operation::WhoAmI
        | Operation::Clock
        | Operation::AccountInfo
        | Operation::RegisterRecovery
        | Operation::Watch
        | Operation::ContainerCreate
        | Operation::Share
        | Operation::Attach
        | Operation::VspaceAccount
        | Operation::SetHandler
        | Operation::NextFault
        | Operation::Refuse
        | Operation::ExtraRequest => constant(heavy),
        Operation::ContainerDestroy => {
            let (mut pm, container) = (heavy.owner(), heavy.apart(64));
            again(|_| pm.container_destroy(container));
        }
        Operation::Allocate => allocate(heavy),
        Operation::Deallocate => {
            let (mut pm, container) = (heavy.owner(), heavy.apart(64));
            let none = DeallocateFlags::empty();
            again(|_| pm.deallocate(container, at(0), frames(64), none));
        }
        Operation::Renew => {
            let (mut pm, container) = (heavy.owner(), heavy.apart(64));
            again(|done| pm.renew(container, at(done), frames(64 - done)));
        }
        Operation::Unshare => unshare(heavy),
        Operation::Lock => {
            let weak = heavy.lend(heavy.rings(64, 4, FORCED));
            let mut borrower = heavy.borrower();
            again(|_| borrower.lock(weak, at(0), frames(64), LockMode::Read, LONG));
        }
        Operation::Map => map(heavy),
        Operation::Remap => {
            let (mut pm, _) = (heavy.owner(), heavy.cow_rings(48));
            let start = VirtAddr::new_page(crate::heavy::FIRST).unwrap();
            assert!(pm.remap(start, frames(48), FORCED).unwrap().count < 48);
        }
        Operation::Grant => {
            let (mut pm, container) = (heavy.owner(), heavy.cow_rings(64));
            let rights = MapFlags::WRITE | MapFlags::FORCE_WRITE;
            assert!(pm.grant(container, at(0), frames(64), rights).unwrap().count < 64);
        }
        Operation::Ungrant => {
            let (mut pm, container) = (heavy.owner(), heavy.filled(128));
            let granted = pm.grant(container, at(0), frames(128), MapFlags::READ).unwrap();
            again(|_| pm.ungrant(granted.address, frames(128)));
        }
        Operation::Unmap => {
            let (mut pm, container) = (heavy.owner(), heavy.filled(256));
            heavy.map(container, 256, 2, FORCED);
            let second = VirtAddr::new_page(crate::heavy::FIRST + 256 * PAGE).unwrap();
            again(|_| pm.unmap(second, frames(256)));
        }
        Operation::Detach => detach(heavy),
        Operation::EnsureTables => {
            let start = VirtAddr::new_page((1 << 40) - 128 * PAGE).unwrap();
            heavy.owner().ensure_tables(start, frames(256)).unwrap();
        }
        Operation::Status => {
            let container = heavy.pinned(&[2], 8);
            heavy.world.advance(2_000_000);
            let mut pm = heavy.owner();
            again(|_| pm.status(container, at(0), frames(24)));
        }
        Operation::Copy => copy(heavy),
        Operation::CopyList => {
            let (from, to) = (heavy.rings(7, 4, FORCED), heavy.rings(7, 4, FORCED));
            let pairs: Vec<_> = (0..7).map(|n| (at(n), at(n))).collect();
            let mut pm = heavy.owner();
            again(|done| {
                let rest = PairList::new(&pairs[usize::try_from(done).unwrap()..]).unwrap();
                pm.copy_list(from, to, rest, CopyFlags::empty())
            });
        }
        Operation::CreateWith => {
            let (mut pm, deep) = (heavy.owner(), heavy.deep());
            again(|_| pm.create_with(deep, frames(256), terms()));
        }
        Operation::CreateFrom => {
            let (mut pm, from) = (heavy.owner(), heavy.filled(256));
            heavy.map(from, 256, 2, FORCED);
            let source = Frames { container: from, start: at(0), count: frames(256) };
            again(|_| pm.create_from(OWN, source, terms()));
        }
        Operation::CreateGather => {
            let (mut pm, from) = (heavy.owner(), heavy.rings(13, 4, FORCED));
            let all: Vec<FrameNumber> = (0..13).map(at).collect();
            let all = FrameList::new(&all).unwrap();
            again(|_| pm.create_gather(OWN, from, all, terms()));
        }
        Operation::AllocateAnywhere => {
            let mut pm = heavy.owner();
            let container = pm.container_create(OWN).unwrap();
            for number in 0..300 {
                pm.allocate(container, at(number * 2), frames(1), PLAIN).unwrap();
            }
            pm.allocate(container, at(u64::MAX), frames(1), PLAIN).unwrap();
            assert!(pm.allocate_anywhere(container, frames(2), PLAIN).is_err());
        }
        Operation::AllocateContiguous => contiguous(heavy),
        Operation::Pin => {
            let container = heavy.cow_rings(64);
            let weak = heavy.lend(container);
            let mut driver = heavy.borrower();
            let count = frames(64);
            again(|_| driver.pin(weak, at(0), count, LockMode::Read, LONG));
        }
        Operation::Unlock | Operation::BusAddress => {
            let weak = heavy.lend(heavy.filled(CALL_FRAMES_MAX));
            let mut driver = heavy.borrower();
            let count = frames(CALL_FRAMES_MAX);
            let pinned = again(|_| driver.pin(weak, at(0), count, LockMode::Exclusive, LONG));
            driver.bus_address(pinned.lease.lease, at(0)).unwrap();
            driver.unlock(pinned.lease.lease).unwrap();
        }
        Operation::Arm | Operation::Disarm => {
            let (share, weak) = heavy.once(256);
            let mut pm = heavy.owner();
            pm.arm(share).unwrap();
            let vaddr = heavy.window();
            heavy.borrower().take(weak, at(0), frames(256), vaddr, MapFlags::WRITE).unwrap();
            heavy.world.advance(2_000_000);
            again(|_| pm.disarm(share));
            again(|_| pm.arm(share));
        }
        Operation::Take => {
            let (share, weak) = heavy.once(256);
            heavy.owner().arm(share).unwrap();
            let (mut borrower, vaddr) = (heavy.borrower(), heavy.window());
            let all = frames(256);
            let taken = again(|_| borrower.take(weak, at(0), all, vaddr, MapFlags::WRITE));
            again(|_| borrower.unlock(taken.lease));
        }
        Operation::DeviceReset => {
            let container = heavy.pinned(&[2], 2);
            heavy.world.advance(2_000_000);
            let mut pm = heavy.owner();
            again(|_| pm.status(container, at(0), frames(1)));
            heavy.supervisor().device_reset(peer(2)).unwrap();
        }
        Operation::Rescue => {
            let peers = [2, 3, 4];
            heavy.pinned(&peers, 2);
            for (watched, watcher) in [(2, 3), (3, 4), (4, 5)] {
                let entry = VirtAddr::new(0x20_0000).unwrap();
                heavy.world.as_peer(watched).register_recovery(entry, entry).unwrap();
                heavy.world.as_peer(watcher).watch(peer(watched), Micros::new(1)).unwrap();
            }
            heavy.world.advance(1000);
            let rescued: u64 = (0..3).map(|_| heavy.supervisor().rescue().unwrap().rescued).sum();
            assert_eq!(rescued, 3);
        }
        Operation::Reclaim => {
            heavy.apart(64);
            heavy.stop(1);
            let mut other = heavy.supervisor();
            while other.reclaim().unwrap() > 0 {}
        }
        Operation::AccountSplit => {
            let deep = heavy.deep();
            assert!(heavy.owner().account_split(deep, 1, LimitFlags::empty()).is_err());
        }
        Operation::AccountDestroy => {
            heavy.apart(64);
            let mut policy = heavy.supervisor();
            again(|_| policy.account_destroy(AccountHandle::of_peer(peer(1))));
        }
        Operation::AccountRemove => account_remove(heavy),
        Operation::AccountSetLimits => {
            heavy.filled(256);
            let (mut policy, account) = (heavy.supervisor(), AccountHandle::of_peer(peer(1)));
            again(|_| {
                policy.account_set_limits(account, 64, LimitFlags::EXTRA | LimitFlags::EXCESS)
            });
        }
        Operation::AccountLend | Operation::AccountRecall => {
            let mut pm = heavy.owner();
            let account = pm.account_split(OWN, 4, LimitFlags::empty()).unwrap();
            let rights = AccountRights::ALLOCATE;
            let lent = (0..16).map(|_| pm.account_lend(account, peer(2), rights).unwrap());
            let lent: Vec<AccountHandle> = lent.collect();
            assert!(pm.account_lend(account, peer(2), rights).is_err());
            lent.into_iter().for_each(|lent| pm.account_recall(lent).unwrap());
        }
        Operation::Mark => {
            let (mut pm, container) = (heavy.owner(), heavy.filled(256));
            pm.mark(container, at(0), frames(256), Marks::DISCARDABLE).unwrap();
        }
        Operation::Supply => supply(heavy),
        Operation::Inspect => {
            heavy.rings(32, 4, FORCED);
            heavy.copies(512);
            let mut pm = heavy.supervisor();
            for book in Book::ALL {
                let mut cursor = pm.inspect(book, 0, 0).unwrap().cursor;
                while cursor != 0 {
                    cursor = pm.inspect(book, cursor, 0).unwrap().cursor;
                }
            }
        }
        Operation::Disturb => {
            heavy.rings(32, 4, FORCED);
            heavy.copies(512);
            let mut pm = heavy.supervisor();
            for what in [Disturbance::Unmap, Disturbance::Move] {
                let mut cursor = 0;
                loop {
                    cursor = pm.disturb(what, cursor).unwrap().cursor;
                    if cursor == 0 {
                        break;
                    }
                }
            }
        }
    }
}

/// Operations without a loop over what a client chooses.
fn constant(heavy: &Heavy) {
    let mut pm = heavy.owner();
    pm.version().unwrap();
    pm.account_info(OWN).unwrap();
    pm.watch(peer(2), LONG).unwrap();
    let container = heavy.filled(1);
    for number in 0..16 {
        pm.share(container, at(0), 1, peer(2), Rights::READ, LONG).unwrap();
        pm.attach(container, at(0), 1, page(number), MapFlags::READ).unwrap();
    }
    assert!(pm.share(container, at(0), 1, peer(2), Rights::READ, LONG).is_err());
    assert!(pm.attach(container, at(0), 1, page(16), MapFlags::READ).is_err());
    assert!(pm.vspace_account(OWN).is_err());
    for number in 0..4 {
        pm.set_handler(container, at(number), 1, Some(peer(2)), 0).unwrap();
    }
    assert!(pm.set_handler(container, at(4), 1, Some(peer(2)), 0).is_err());
    assert_eq!(heavy.borrower().next_fault(), Ok(None));
    pm.extra_request().unwrap();
}

fn allocate(heavy: &Heavy) {
    let (mut pm, deep) = (heavy.owner(), heavy.deep());
    let container = pm.container_create(deep).unwrap();
    again(|_| pm.allocate(container, at(0), frames(256), PLAIN));
    assert!(pm.allocate(container, at(256), frames(256), PLAIN).is_err(), "all but the last fit");
    let container = pm.container_create(OWN).unwrap();
    again(|_| pm.allocate(container, at(0), frames(256), AllocateFlags::DMA));
    let container = heavy.apart(64);
    let flags = AllocateFlags::SQUASH | AllocateFlags::DMA;
    again(|done| pm.allocate(container, at(done), frames(128 - done), flags));
}

fn unshare(heavy: &Heavy) {
    let mut lender = heavy.borrower();
    let container = crate::world::filled(&mut lender, 64);
    let shared = lender.share(container, at(0), 64, peer(1), Rights::all(), LONG).unwrap();
    heavy.map_apart(shared.weak, 64, 3, MapFlags::READ);
    again(|_| lender.unshare(shared.share));
}

fn map(heavy: &Heavy) {
    let (mut pm, container) = (heavy.owner(), heavy.cow_rings(64));
    let vaddr = VirtAddr::new_page(1 << 38).unwrap();
    let mut done = 0;
    while done < 64 {
        let vaddr = vaddr.checked_add(done * PAGE).unwrap();
        let mapped = pm.map(container, at(done), frames(64 - done), vaddr, FORCED).unwrap();
        done += mapped.count;
    }
}

fn detach(heavy: &Heavy) {
    let mut pm = heavy.owner();
    let container = pm.container_create(OWN).unwrap();
    let start = VirtAddr::new_page(1 << 39).unwrap();
    pm.attach(container, at(0), u32::MAX, start, MapFlags::READ).unwrap();
    for number in 0..128 {
        pm.allocate(container, at(number << 18), frames(1), PLAIN).unwrap();
        heavy.world.load(1, start.checked_add(number << 30).unwrap()).unwrap();
    }
    again(|_| pm.detach(start));
}

fn copy(heavy: &Heavy) {
    let mut pm = heavy.owner();
    let (from, to) = (heavy.rings(48, 4, FORCED), heavy.rings(48, 4, FORCED));
    again(|done| pm.copy((from, at(done)), (to, at(done)), frames(48 - done), CopyFlags::empty()));
    // What cannot be divided is prepared first.
    let (from, to) = (heavy.filled(256), heavy.filled(256));
    heavy.map(from, 256, 2, FORCED);
    heavy.map(to, 256, 2, FORCED);
    again(|_| pm.copy((from, at(0)), (to, at(0)), frames(256), CopyFlags::ATOMIC));
    let from = heavy.apart(48);
    let to = pm.container_create(OWN).unwrap();
    again(|done| {
        let flags = CopyFlags::MOVE | CopyFlags::NEW;
        pm.copy((from, at(done)), (to, at(done)), frames(48 - done), flags)
    });
}

/// All pages of the pool are in use, and every other frame is freed: the others are moved.
fn contiguous(heavy: &Heavy) {
    let mut pm = heavy.owner();
    let container = heavy.filled(2048);
    // Their records are there before they have memory, so that they are in a row.
    heavy.map(container, 2048, 2, MapFlags::WRITE);
    for number in 0..2048 {
        let vaddr = VirtAddr::new_page(crate::heavy::FIRST + number * PAGE).unwrap();
        heavy.world.store(1, 7, vaddr).unwrap();
    }
    let mut other = heavy.world.as_peer(3);
    let rest = other.container_create(OWN).unwrap();
    crate::world::allocate_all(&mut other, rest, AllocateFlags::EXTRA | AllocateFlags::DMA);
    for number in (0..2048).step_by(2) {
        pm.deallocate(container, at(number), frames(1), DeallocateFlags::empty()).unwrap();
    }
    let run = pm.container_create(OWN).unwrap();
    again(|_| pm.allocate_contiguous(run, at(0), frames(256), 12, 64));
}

fn account_remove(heavy: &Heavy) {
    let mut pm = heavy.owner();
    let account = pm.account_split(OWN, 1024, LimitFlags::empty()).unwrap();
    for _ in 0..300 {
        pm.container_create(account).unwrap();
        pm.account_split(account, 1, LimitFlags::empty()).unwrap();
    }
    again(|_| pm.account_remove(account));
}

fn supply(heavy: &Heavy) {
    let (mut pm, mut handler) = (heavy.owner(), heavy.borrower());
    let absent = heavy.rings(1, 3, MapFlags::WRITE);
    pm.set_handler(absent, at(0), 1, Some(peer(2)), 0).unwrap();
    let from = heavy.lend(heavy.rings(1, 4, FORCED));
    assert!(pm.grant(absent, at(0), frames(1), MapFlags::READ).is_err(), "it is absent");
    let fault = handler.next_fault().unwrap().unwrap().fault;
    again(|_| handler.supply(fault, from, at(0)));
}

/// A fault does at most as much as a call: it is tried again.
#[test]
fn no_fault_does_more_than_the_bound() {
    let heavy = Heavy::new();
    heavy.pinned(&[2, 3, 4], 8);
    heavy.world.advance(2_000_000);
    let first = VirtAddr::new_page(crate::heavy::FIRST).unwrap();
    heavy.world.store(1, 7, first).unwrap();
    heavy.cow_rings(8);
    heavy.world.0.borrow_mut().resolve(peer(1), crate::heavy::FIRST, AccessKind::Write);
    heavy.check_last();
    for number in [2, 1, 3, 4] {
        heavy.stop(number);
    }
}

/// An account that needs the memory that extra frames have, each with mappings apart.
#[test]
fn no_call_under_pressure_does_more_than_the_bound() {
    let heavy = Heavy::new();
    let mut policy = heavy.supervisor();
    let of_one = AccountHandle::of_peer(peer(1));
    let limit = u32::try_from(heavy.owner().account_info(OWN).unwrap().limit.get() / PAGE).unwrap();
    let account = policy.account_split(POOL, 600, LimitFlags::empty()).unwrap();
    let ballast = policy.container_create(account).unwrap();
    let container = heavy.apart(64);
    let mut pm = heavy.owner();
    policy.account_set_limits(of_one, limit, LimitFlags::EXTRA).unwrap();
    let used = u32::try_from(pm.account_info(OWN).unwrap().used.get() / PAGE).unwrap();
    let extra = LimitFlags::EXTRA | LimitFlags::EXCESS;
    again(|_| policy.account_set_limits(of_one, used - 64, extra));
    pm.mark(container, at(0), frames(64), Marks::DISCARDABLE).unwrap();
    let mut other = heavy.world.as_peer(3);
    let rest = other.container_create(OWN).unwrap();
    crate::world::allocate_all(&mut other, rest, AllocateFlags::EXTRA);
    again(|_| policy.allocate(ballast, at(0), frames(256), PLAIN));
}
