// SPDX-License-Identifier: BSD-2-Clause
//! What is released, when, and how often.
#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used)]

mod fake;

use fake::{Fake, mapped, window};
use pmserver_api::{
    AccountHandle, ContainerHandle, FaultHandle, Granted, Lease as LeaseReply, LeaseHandle,
    PendingFault as FaultReply, RangeHandle, Reply, Request, ShareHandle, Shared,
};
use pmserver_client::{
    AccessKind, AccountRights, Container, Error, Grants, Lease, LentAccount, LockMode, MapFlags,
    Mapping, Micros, PeerId, Pm, PmError, Region, Rights, Share, ShareTerms, SplitAccount,
    WeakContainer,
};
use proto::{FrameCount, FrameNumber};

fn peer() -> PeerId {
    PeerId::new(2).unwrap()
}

fn unshare(share: u64) -> Request {
    Request::Unshare { share: ShareHandle::from_raw(share) }
}

fn unlock(lease: u64) -> Request {
    Request::Unlock { lease: LeaseHandle::from_raw(lease) }
}

fn destroy(container: u64) -> Request {
    Request::ContainerDestroy { container: ContainerHandle::from_raw(container) }
}

fn unmap(pages: u64) -> Request {
    Request::Unmap { vaddr: window(), count: FrameCount::new(pages).unwrap() }
}

/// The last request after something was dropped.
fn dropped<V>(fake: &Fake, value: V) -> Vec<Request> {
    fake.asked();
    drop(value);
    fake.asked()
}

#[test]
fn every_value_releases_what_it_stands_for() {
    let (fake, pm) = Fake::new();
    let granted = Granted { address: 100, count: 3, rights: MapFlags::READ };
    let pages = {
        fake.will(mapped(&[(3, MapFlags::READ)]));
        let weak = WeakContainer::from_raw(&pm, 9);
        weak.map(0..3, window(), MapFlags::READ).unwrap().into_pages()
    };
    assert_eq!(dropped(&fake, Container::from_raw(&pm, 7)), [destroy(7)]);
    assert_eq!(dropped(&fake, Share::from_raw(&pm, 8, 9)), [unshare(8)]);
    assert_eq!(dropped(&fake, Lease::from_raw(&pm, 5, Micros::new(1))), [unlock(5)]);
    assert_eq!(dropped(&fake, Mapping::from_pages(&pm, pages, MapFlags::READ)), [unmap(3)]);
    let detach = Request::Detach { vaddr: window() };
    assert_eq!(dropped(&fake, Region::from_pages(&pm, pages)), [detach]);
    let ungrant = Request::Ungrant { address: 100, count: FrameCount::new(3).unwrap() };
    assert_eq!(dropped(&fake, Grants::from_raw(&pm, granted)), [ungrant]);
    let account = AccountHandle::from_raw(0x2000);
    let destroy_account = Request::AccountDestroy { account };
    assert_eq!(dropped(&fake, SplitAccount::from_raw(&pm, 0x2000)), [destroy_account]);
    let recall = Request::AccountRecall { lent: account };
    assert_eq!(dropped(&fake, LentAccount::from_raw(&pm, 0x2000)), [recall]);
    fake.will(Reply::Time(Micros::new(50)));
    let watch = pm.watch(peer(), Micros::new(50)).unwrap();
    let end = Request::Watch { peer: peer(), ttl: Micros::new(0) };
    assert_eq!(dropped(&fake, watch), [end]);
    let fault = FaultReply {
        fault: FaultHandle::from_raw(4),
        range: RangeHandle::from_raw(9),
        cookie: 1,
        number: FrameNumber::new(2),
        access: AccessKind::Write,
    };
    fake.will(Reply::Fault(Some(fault)));
    let refuse = Request::Refuse { fault: FaultHandle::from_raw(4) };
    assert_eq!(dropped(&fake, pm.next_fault().unwrap().unwrap()), [refuse]);
}

#[test]
fn what_was_let_go_of_or_lent_to_the_caller_is_not_released() {
    let (fake, pm) = Fake::new();
    assert_eq!(Container::from_raw(&pm, 7).into_raw(), 7);
    assert_eq!(Share::from_raw(&pm, 8, 9).into_raw(), (8, 9));
    assert_eq!(Lease::from_raw(&pm, 5, Micros::new(1)).into_raw(), 5);
    assert_eq!(SplitAccount::from_raw(&pm, 0x2000).into_raw(), 0x2000);
    assert_eq!(LentAccount::from_raw(&pm, 0x2000).into_raw(), 0x2000);
    let _ = (weak(&pm), pm.account(), pm.pool(), pm.account_of(peer()));
    assert_eq!(fake.asked(), []);
}

#[test]
fn a_value_that_was_released_is_not_released_again() {
    let (fake, pm) = Fake::new();
    Container::from_raw(&pm, 7).destroy().unwrap();
    Share::from_raw(&pm, 8, 9).unshare().unwrap();
    SplitAccount::from_raw(&pm, 0x2000).remove().unwrap();
    let account = AccountHandle::from_raw(0x2000);
    assert_eq!(fake.asked(), [destroy(7), unshare(8), Request::AccountRemove { account }]);
}

#[test]
fn what_cannot_be_released_is_given_back() {
    // PM-61
    let (fake, pm) = Fake::new();
    fake.will_refuse(PmError::Locked, 0, 9000);
    let refused = Share::from_raw(&pm, 8, 9).unshare().unwrap_err();
    assert_eq!(refused.error.deadline(), Some(Micros::new(9000)));
    assert_eq!(refused.value.weak(), 9);
    refused.value.unshare().unwrap();
    assert_eq!(fake.asked(), [unshare(8), unshare(8)]);
    // In a function that returns errors it is tried once more, and that is all.
    let give_up = || -> Result<(), Error> {
        Share::from_raw(&pm, 8, 9).unshare()?;
        Ok(())
    };
    fake.will_refuse(PmError::Locked, 0, 9000).will_refuse(PmError::Locked, 0, 9000);
    assert!(give_up().unwrap_err().is(PmError::Locked));
    assert_eq!(fake.asked().len(), 2);
    fake.will_refuse(PmError::NoRight, 0, 0);
    let refused = SplitAccount::from_raw(&pm, 0x2000).remove().unwrap_err();
    assert_eq!(refused.value.into_raw(), 0x2000);
    let granted = Granted { address: 100, count: 3, rights: MapFlags::READ };
    fake.will_refuse(PmError::Kernel, 0, 100);
    let refused = Grants::from_raw(&pm, granted).ungrant().unwrap_err();
    assert!(refused.error.is(PmError::Kernel));
    assert_eq!(refused.value.into_raw(), granted);
}

#[test]
fn waiting_ends_at_the_deadline() {
    let (fake, pm) = Fake::new();
    let time = |now| Reply::Time(Micros::new(now));
    fake.will_refuse(PmError::Locked, 0, 9000);
    fake.will(time(8000)).will(time(8000)).will(time(8500)).will(time(9000)).will(Reply::Done);
    Share::from_raw(&pm, 8, 9).unshare_waiting().unwrap();
    let asked = fake.asked();
    assert_eq!((asked.first(), asked.last()), (Some(&unshare(8)), Some(&unshare(8))));
    assert_eq!(asked.len(), 6);
    // What names no deadline is not waited for.
    fake.will_refuse(PmError::InvalidCap, 0, 0);
    let refused = Share::from_raw(&pm, 8, 9).unshare_waiting().unwrap_err();
    assert!(refused.error.is(PmError::InvalidCap));
    refused.value.into_raw();
    fake.asked();
}

#[test]
fn nobody_is_waited_for_longer_than_a_second() {
    let (fake, pm) = Fake::new();
    let time = |now| Reply::Time(Micros::new(now));
    fake.will_refuse(PmError::Pending, 0, 1_001_001).will(time(1000));
    let refused = Container::from_raw(&pm, 7).destroy_waiting().unwrap_err();
    assert!(refused.error.is(PmError::Pending));
    refused.value.into_raw();
    assert_eq!(fake.asked().len(), 2);
    // Neither by one deadline after the other.
    fake.will_refuse(PmError::Locked, 0, 500_000).will(time(1000)).will(time(500_000));
    fake.will_refuse(PmError::Locked, 0, 999_000).will(time(500_001)).will(time(999_000));
    fake.will_refuse(PmError::Locked, 0, 1_500_000).will(time(999_001));
    let error = pm.retry(|| WeakContainer::from_raw(&pm, 9).copy(0..1, &weak(&pm), 1));
    assert_eq!(error.unwrap_err().deadline(), Some(Micros::new(1_500_000)));
    // Nor where the deadline is past and nothing has changed.
    fake.will_refuse(PmError::Locked, 0, 900).will(time(1000)).will(time(1000));
    fake.will_refuse(PmError::Locked, 0, 900).will(time(1_001_000));
    let error = pm.retry(|| WeakContainer::from_raw(&pm, 9).copy(0..1, &weak(&pm), 1));
    assert!(error.unwrap_err().is(PmError::Locked));
    fake.asked();
    fake.will(time(5));
    assert!(pm.wait_until(Micros::new(10_000_006)).unwrap_err().is(PmError::Invalid));
    fake.will(time(5));
    assert_eq!(pm.wait_until(Micros::new(5)), Ok(Micros::new(5)));
}

fn weak(pm: &Pm<Fake>) -> WeakContainer<'_, Fake> {
    WeakContainer::from_raw(pm, 10)
}

#[test]
fn answering_a_fault_is_not_refusing_it() {
    let (fake, pm) = Fake::new();
    let reply = FaultReply {
        fault: FaultHandle::from_raw(4),
        range: RangeHandle::from_raw(9),
        cookie: 1,
        number: FrameNumber::new(2),
        access: AccessKind::Read,
    };
    fake.will(Reply::Fault(Some(reply)));
    let fault = pm.next_fault().unwrap().unwrap();
    assert_eq!((fault.cookie(), fault.frame(), fault.access()), (1, 2, AccessKind::Read));
    fake.asked();
    fault.supply(&weak(&pm), 6).unwrap();
    assert!(matches!(fake.asked()[..], [Request::Supply { .. }]));
    fake.will(Reply::Fault(None));
    assert!(pm.next_fault().unwrap().is_none());
    fake.will(Reply::Fault(Some(reply)));
    let fault = pm.next_fault().unwrap().unwrap();
    fake.asked();
    fake.will_refuse(PmError::NotFound, 0, 6);
    let refused = fault.supply(&weak(&pm), 6).unwrap_err();
    refused.value.supply(&weak(&pm), 7).unwrap();
    assert!(matches!(fake.asked()[..], [Request::Supply { .. }, Request::Supply { .. }]));
    fake.will(Reply::Fault(Some(reply)));
    let fault = pm.next_fault().unwrap().unwrap();
    assert_eq!((fault.raw(), fault.into_raw()), (4, 4));
    assert_eq!(fake.asked(), [Request::NextFault], "forgotten, not refused");
}

#[test]
fn values_come_from_what_pmserver_replied() {
    let (fake, pm) = Fake::new();
    let container = Container::from_raw(&pm, 7);
    let (share, weak) = (ShareHandle::from_raw(8), ContainerHandle::from_raw(9));
    fake.will(Reply::Shared(Shared { share, weak }));
    let terms =
        ShareTerms { peer: peer(), rights: Rights::READ, lease_max: Micros::new(77), once: false };
    let shared = container.share(2.., terms).unwrap();
    assert_eq!(shared.weak(), 9);
    let (start, count) = (FrameNumber::new(2), u64::MAX - 1);
    let container_handle = ContainerHandle::from_raw(7);
    let request = Request::Share { container: container_handle, start, count, terms };
    assert_eq!(fake.asked(), [request], "to the last number there is");
    let deadline = Micros::new(300);
    fake.will(Reply::Lease(LeaseReply { lease: LeaseHandle::from_raw(5), deadline }));
    let lease = container.lock(0..4, LockMode::Read, Micros::new(9)).unwrap();
    assert_eq!((lease.deadline(), lease.into_raw()), (deadline, 5));
    fake.will(Reply::Granted(Granted { address: 100, count: 3, rights: MapFlags::READ }));
    let grants = container.grant(0..4, MapFlags::READ).unwrap();
    assert_eq!((grants.count(), grants.address(2), grants.address(3)), (3, Some(102), None));
    fake.will(Reply::Account(AccountHandle::from_raw(0x2000)));
    let account = pm.account().split(10).unwrap();
    fake.will(Reply::Account(AccountHandle::from_raw(0x3000)));
    let lent = account.lend(peer(), AccountRights::ALLOCATE).unwrap();
    assert_eq!((account.raw(), lent.raw()), (0x2000, 0x3000));
}
