// SPDX-License-Identifier: BSD-2-Clause
//! Ranges that take several calls: which calls are made, and what is undone.
#![allow(clippy::arithmetic_side_effects, clippy::panic, clippy::unwrap_used)]

mod fake;

use fake::{Fake, mapped, window};
use pmserver_api::{BusRun, Created, Disturbed, Pinned, Reply, Request, Row, Shared, Status};
use pmserver_api::{ContainerHandle, Lease, LeaseHandle, ShareHandle};
use pmserver_client::{
    AccountRow, AllocateFlags, Book, Container, CopyFlags, DeallocateFlags, Disturbance,
    FrameState, LockMode, MapFlags, Micros, PeerId, Pm, PmError, Rights, Run, ShareTerms,
};

const WRITE: MapFlags = MapFlags::READ.union(MapFlags::WRITE);

fn container(pm: &Pm<Fake>) -> Container<'_, Fake> {
    Container::from_raw(pm, 7)
}

fn terms() -> ShareTerms {
    ShareTerms {
        peer: PeerId::new(2).unwrap(),
        rights: Rights::READ,
        lease_max: Micros::new(0),
        once: false,
    }
}

/// Start and count of every call that has them.
fn ranges(fake: &Fake) -> Vec<(&'static str, u64, u64)> {
    let asked = fake.asked().into_iter();
    asked
        .map(|request| match request {
            Request::Allocate { frames, .. } => {
                ("allocate", frames.start.get(), frames.count.get())
            }
            Request::Deallocate { frames, .. } => {
                ("deallocate", frames.start.get(), frames.count.get())
            }
            Request::Renew { frames } => ("renew", frames.start.get(), frames.count.get()),
            Request::Status { frames } => ("status", frames.start.get(), frames.count.get()),
            Request::Map { frames, vaddr, .. } => {
                assert_eq!(vaddr.get(), window().get() + frames.start.get() * 4096);
                ("map", frames.start.get(), frames.count.get())
            }
            Request::Unmap { vaddr, count, .. } => {
                ("unmap", (vaddr.get() - window().get()) / 4096, count.get())
            }
            Request::Remap { vaddr, count, .. } => {
                ("remap", (vaddr.get() - window().get()) / 4096, count.get())
            }
            Request::Copy { source_start, destination_start, count, .. } => {
                assert_eq!(destination_start.get(), source_start.get() + 5000);
                ("copy", source_start.get(), count.get())
            }
            Request::ContainerCreate { .. } => ("create", 0, 0),
            Request::ContainerDestroy { .. } => ("destroy", 0, 0),
            Request::Share { start, count, .. } => ("share", start.get(), count),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_long_range_is_allocated_in_several_calls() {
    let (fake, pm) = Fake::new();
    let container = container(&pm);
    fake.will(Reply::Number(256)).will(Reply::Number(256)).will(Reply::Number(88));
    assert_eq!(container.allocate(10..610), Ok(600));
    let calls = [("allocate", 10, 256), ("allocate", 266, 256), ("allocate", 522, 88)];
    assert_eq!(ranges(&fake), calls);
}

#[test]
fn what_could_not_be_allocated_as_a_whole_is_undone() {
    // PM-31
    let (fake, pm) = Fake::new();
    let container = container(&pm);
    fake.will(Reply::Number(256)).will(Reply::Number(256));
    fake.will_refuse(PmError::QuotaExceeded, 0, 555);
    fake.will(Reply::Number(256)).will(Reply::Number(256));
    let error = container.allocate(10..610).unwrap_err();
    assert!(error.is(PmError::QuotaExceeded));
    assert_eq!((error.done, error.frame()), (0, Some(555)));
    assert_eq!(ranges(&fake)[3..], [("deallocate", 10, 256), ("deallocate", 266, 256)]);

    // A borrower has locked the second piece meanwhile.
    fake.will(Reply::Number(256)).will(Reply::Number(256));
    fake.will_refuse(PmError::QuotaExceeded, 0, 555);
    fake.will(Reply::Number(256)).will_refuse(PmError::Locked, 0, 9000);
    let error = container.allocate(10..610).unwrap_err();
    assert!(error.is(PmError::QuotaExceeded), "the first problem is told");
    assert_eq!(error.done, 256, "and how many stay");
    fake.asked();
}

#[test]
fn partly_allocated_frames_stay_and_are_counted() {
    // PM-31, PM-12
    let (fake, pm) = Fake::new();
    let container = container(&pm);
    let partial = AllocateFlags::PARTIAL | AllocateFlags::SQUASH;
    fake.will(Reply::Number(256)).will_refuse(PmError::Pending, 100, 0);
    fake.will(Reply::Number(156)).will_refuse(PmError::NoMemory, 3, 515);
    let error = container.allocate_with(0..1000, partial).unwrap_err();
    assert_eq!((error.done, error.frame()), (515, Some(515)));
    let calls = [
        ("allocate", 0, 256),
        ("allocate", 256, 256),
        ("allocate", 356, 256),
        ("allocate", 512, 256),
    ];
    assert_eq!(ranges(&fake), calls);
}

#[test]
fn what_can_be_neither_one_call_nor_undone_is_not_begun() {
    let (fake, pm) = Fake::new();
    let container = container(&pm);
    let refused = [
        container.allocate_with(0..257, AllocateFlags::SQUASH).unwrap_err(),
        container.deallocate_with(0..257, DeallocateFlags::STRICT).unwrap_err(),
        container.copy_with(0..257, &container, 5000, CopyFlags::ATOMIC).unwrap_err(),
        container.copy(0..257, &container, 256).unwrap_err(),
        container.lock(0..257, LockMode::Read, Micros::new(1)).map(drop).unwrap_err(),
        container.allocate_anywhere(257, AllocateFlags::empty()).map(drop).unwrap_err(),
        container.allocate(5..5).unwrap_err(),
        container.deallocate(..).unwrap_err(),
        container.copy_list(&[(0, 1); 8], &container, CopyFlags::empty()).unwrap_err(),
        pm.account().create_gather(&container, &[0; 14], terms()).map(drop).unwrap_err(),
    ];
    for error in refused {
        assert!(error.is(PmError::Invalid), "{error}");
    }
    assert_eq!(fake.asked(), []);
    fake.will(Reply::Number(256));
    assert_eq!(container.copy(0..256, &container, 255), Ok(256), "one call can");
}

#[test]
fn holes_are_passed_over_in_every_call() {
    // PM-40, PM-145
    let (fake, pm) = Fake::new();
    let container = container(&pm);
    fake.will(Reply::Number(0)).will(Reply::Number(3));
    assert_eq!(container.deallocate(0..300), Ok(3));
    fake.will(Reply::Number(1)).will_refuse(PmError::Locked, 0, 9000);
    let error = container.renew(0..300).unwrap_err();
    assert_eq!((error.done, error.deadline()), (1, Some(Micros::new(9000))));
    let calls =
        [("deallocate", 0, 256), ("deallocate", 256, 44), ("renew", 0, 256), ("renew", 256, 44)];
    assert_eq!(ranges(&fake), calls);
}

#[test]
fn mapping_goes_on_from_where_it_stopped() {
    // PM-80
    let (fake, pm) = Fake::new();
    let container = container(&pm);
    fake.will(mapped(&[(100, WRITE)])).will(mapped(&[(156, WRITE), (100, MapFlags::READ)]));
    fake.will(mapped(&[(44, MapFlags::READ)]));
    let mapping = container.map(0..400, window(), MapFlags::WRITE).unwrap();
    assert_eq!((mapping.count(), mapping.rights()), (400, MapFlags::READ));
    let runs = [Run { pages: 256, rights: WRITE }, Run { pages: 144, rights: MapFlags::READ }];
    assert!(mapping.runs().eq(runs));
    assert_eq!(ranges(&fake), [("map", 0, 256), ("map", 100, 256), ("map", 356, 44)]);
    mapping.into_pages();
}

#[test]
fn a_mapping_is_whole_or_not_there() {
    let (fake, pm) = Fake::new();
    let container = container(&pm);
    fake.will(mapped(&[(256, WRITE)])).will(mapped(&[(10, WRITE)]));
    fake.will_refuse(PmError::NotFound, 0, 266);
    fake.will(Reply::Number(256)).will(Reply::Number(10));
    let error = container.map(0..300, window(), MapFlags::WRITE).unwrap_err();
    assert!(error.is(PmError::NotFound));
    assert_eq!((error.frame(), error.done), (Some(266), 0));
    assert_eq!(ranges(&fake)[3..], [("unmap", 0, 256), ("unmap", 256, 10)]);

    // Unless a part of it is asked for.
    fake.will(mapped(&[(10, WRITE)])).will_refuse(PmError::NotFound, 0, 10);
    let mapping = container.map_partial(0..300, window(), MapFlags::WRITE).unwrap();
    assert_eq!(mapping.count(), 10);
    fake.asked();
    drop(mapping);
    assert_eq!(ranges(&fake), [("unmap", 0, 10)]);
    fake.will_refuse(PmError::NotFound, 0, 0);
    assert!(container.map_partial(0..300, window(), MapFlags::WRITE).is_err());
    assert_eq!(ranges(&fake), [("map", 0, 256)], "nothing to unmap");
}

#[test]
fn a_call_that_comes_on_by_nothing_is_not_repeated_for_ever() {
    let (fake, pm) = Fake::new();
    let container = container(&pm);
    fake.will(mapped(&[]));
    assert!(container.map(0..4, window(), MapFlags::READ).is_err());
    fake.will(Reply::Number(0));
    assert!(container.allocate(0..4).is_err());
    assert_eq!(ranges(&fake), [("map", 0, 4), ("allocate", 0, 4)]);
}

#[test]
fn remapping_tells_the_rights_that_there_are() {
    // PM-140
    let (fake, pm) = Fake::new();
    let container = container(&pm);
    fake.will(mapped(&[(256, WRITE)])).will(mapped(&[(44, WRITE)]));
    let mut mapping = container.map(0..300, window(), MapFlags::WRITE).unwrap();
    fake.will(mapped(&[(256, MapFlags::READ)])).will(mapped(&[(44, MapFlags::READ)]));
    assert_eq!(mapping.remap(MapFlags::READ), Ok(()));
    assert_eq!(mapping.rights(), MapFlags::READ);
    fake.will(mapped(&[(200, WRITE)])).will_refuse(PmError::NoMemory, 0, 200);
    assert_eq!(mapping.remap(WRITE).unwrap_err().done, 200);
    assert_eq!(mapping.rights(), MapFlags::empty(), "of the rest nothing is known");
    assert_eq!(mapping.runs().next(), Some(Run { pages: 200, rights: WRITE }));
    assert_eq!(ranges(&fake)[4..], [("remap", 0, 256), ("remap", 200, 100)]);
}

#[test]
fn a_long_copy_goes_on_from_where_it_stopped() {
    // PM-163
    let (fake, pm) = Fake::new();
    let container = container(&pm);
    fake.will(Reply::Number(256)).will_refuse(PmError::NotFound, 3, 262);
    let error = container.copy(3..403, &container, 5003).unwrap_err();
    assert_eq!((error.done, error.frame()), (259, Some(262)));
    assert_eq!(ranges(&fake), [("copy", 3, 256), ("copy", 259, 144)]);
}

#[test]
fn states_are_asked_for_as_they_are_taken() {
    // PM-100
    let (fake, pm) = Fake::new();
    let container = container(&pm);
    let status = |count| Reply::Status(Status { count, frames: [FrameState::PRESENT; 24] });
    fake.will(status(24)).will(status(24));
    let mut states = container.status(0..60);
    for number in 0..48 {
        assert_eq!(states.next(), Some(Ok((number, FrameState::PRESENT))));
    }
    assert_eq!(ranges(&fake), [("status", 0, 60), ("status", 24, 36)]);
    fake.will_refuse(PmError::InvalidCap, 0, 0);
    assert!(states.next().is_some_and(|state| state.is_err()));
    assert_eq!(states.next(), None, "an error is told once");
    assert_eq!(ranges(&fake), [("status", 48, 12)]);
    assert!(container.status(4..4).next().is_some_and(|state| state.is_err()));
    assert_eq!(fake.asked(), []);
}

#[test]
fn what_is_pending_at_once_is_called_again_at_once() {
    // PM-12, PM-155
    let (fake, pm) = Fake::new();
    let container = container(&pm);
    fake.will_refuse(PmError::Pending, 0, 0).will_refuse(PmError::Pending, 0, 0);
    fake.will(Reply::Number(8));
    assert_eq!(container.allocate_contiguous(0..8, 12, 32), Ok(8));
    assert_eq!(fake.asked().len(), 3);
    fake.will_refuse(PmError::Pending, 256, 0).will_refuse(PmError::Pending, 0, 0);
    fake.will(Reply::Done);
    container.destroy().unwrap();
    assert_eq!(fake.asked().len(), 3);
    let step = |count, cursor| Reply::Disturbed(Disturbed { count, cursor });
    fake.will(step(256, 300)).will(step(4, 0));
    assert_eq!(pm.disturb(Disturbance::Unmap), Ok(260));
    let cursors = [0, 300].map(|cursor| Request::Disturb { what: Disturbance::Unmap, cursor });
    assert_eq!(fake.asked(), cursors);
}

#[test]
fn a_large_container_is_made_and_lent_or_not_there() {
    // PM-170
    let (fake, pm) = Fake::new();
    let made = Reply::Container(ContainerHandle::from_raw(7));
    let shared = Shared { share: ShareHandle::from_raw(8), weak: ContainerHandle::from_raw(9) };
    fake.will(made).will(Reply::Number(256)).will(Reply::Number(44)).will(Reply::Shared(shared));
    let (container, share) = pm.account().create_with(300, terms()).unwrap();
    assert_eq!((container.raw(), share.weak()), (7, 9));
    let calls = [("create", 0, 0), ("allocate", 0, 256), ("allocate", 256, 44), ("share", 0, 300)];
    assert_eq!(ranges(&fake), calls);
    share.into_raw();
    container.into_raw();

    fake.will(made).will(Reply::Number(256)).will(Reply::Number(44));
    fake.will_refuse(PmError::TooMany, 0, 0);
    let error = pm.account().create_with(300, terms()).unwrap_err();
    assert_eq!(error.to_string(), "create_with: too many of this kind");
    assert_eq!(ranges(&fake).last(), Some(&("destroy", 0, 0)));

    fake.will(Reply::Created(Created { container: ContainerHandle::from_raw(7), shared }));
    let (container, share) = pm.account().create_with(256, terms()).unwrap();
    assert!(matches!(fake.asked()[..], [Request::CreateWith { .. }]), "one call where it can be");
    share.into_raw();
    container.into_raw();
}

#[test]
fn the_runs_of_a_pin_are_all_of_its_frames() {
    // PM-271
    let (fake, pm) = Fake::new();
    let container = container(&pm);
    let lease = Lease { lease: LeaseHandle::from_raw(5), deadline: Micros::new(9000) };
    let bus = BusRun { address: 0x10_0000, frames: 3 };
    fake.will(Reply::Pinned(Pinned { lease, bus }));
    let pin = container.pin(10..16, LockMode::Exclusive, Micros::new(9000)).unwrap();
    let next = BusRun { address: 0x70_0000, frames: 9 };
    fake.will(Reply::BusRun(next));
    let runs: Result<Vec<BusRun>, _> = pin.bus_runs().collect();
    assert_eq!(runs, Ok(vec![bus, BusRun { frames: 3, ..next }]), "no more than the pin has");
    assert!(matches!(
        fake.asked()[..],
        [Request::Pin { .. }, Request::BusAddress { number, .. }] if number.get() == 13
    ));
    fake.will_refuse(PmError::InvalidCap, 0, 0);
    assert_eq!(pin.bus_runs().count(), 2, "the first, and one error");
    fake.will(Reply::BusRun(BusRun { frames: 0, ..next }));
    assert_eq!(pin.bus_runs().count(), 2, "a run of nothing is the last");
    fake.asked();
    assert_eq!(pin.into_raw(), 5);
    assert_eq!(fake.asked(), [], "the pin goes on");
}

#[test]
fn what_reaches_its_bound_goes_on_from_there() {
    // PM-320, PM-12
    let (fake, pm) = Fake::new();
    let container = container(&pm);
    fake.will_refuse(PmError::Pending, 100, 0).will(Reply::Number(150));
    assert_eq!(container.deallocate(0..256), Ok(250), "six were not there");
    assert_eq!(ranges(&fake), [("deallocate", 0, 256), ("deallocate", 100, 156)]);

    fake.will_refuse(PmError::Pending, 100, 0).will_refuse(PmError::Locked, 5, 9000);
    let error = container.allocate_with(0..256, AllocateFlags::SQUASH).unwrap_err();
    assert_eq!(error.done, 105);
    assert_eq!(ranges(&fake), [("allocate", 0, 256), ("allocate", 100, 156)], "nothing is undone");
}

#[test]
fn a_retry_goes_on_from_what_is_done() {
    // PM-12, PM-163
    let (fake, pm) = Fake::new();
    let (container, other) = (container(&pm), container(&pm));
    let time = |micros| Reply::Time(Micros::new(micros));
    fake.will_refuse(PmError::Locked, 4, 2000).will(time(1000)).will(time(1000)).will(time(2000));
    fake.will(Reply::Number(6));
    let copied = pm.retry_from(|done| container.copy(done..10, &other, 5000 + done));
    assert_eq!(copied, Ok(10));
    let rest = (proto::FrameNumber::new(4), proto::FrameCount::new(6).unwrap());
    assert!(matches!(
        fake.asked()[..],
        [.., Request::Copy { source_start, count, .. }] if (source_start, count) == rest
    ));
}

#[test]
fn a_row_whose_parts_are_of_two_is_asked_for_again() {
    // PM-474
    let (fake, pm) = Fake::new();
    let row = |cursor, words| Reply::Row(Row { cursor, words });
    let book = u64::from(Book::Accounts.number());
    // Nothing up to 40; an account at 50; when its second part is asked for, another one at 60.
    fake.will(Reply::Row(Row::none(40))).will(row(50, [book, 1, 2])).will(row(60, [book, 3, 4]));
    // Now that one is first, and nothing is behind it.
    fake.will(row(60, [book, 5, 6])).will(row(60, [book, 7, 8])).will(Reply::Row(Row::END));
    let rows: Result<Vec<AccountRow>, _> = pm.rows().collect();
    let rows = rows.unwrap();
    let [row] = rows[..] else { panic!("{rows:?}") };
    assert_eq!((row.id.get(), row.limit, row.frames, row.slots, row.extra), (60, 5, 6, 7, 8));
    let book = Book::Accounts;
    let calls = [(0, 0), (40, 0), (40, 1), (40, 0), (40, 1), (60, 0)];
    assert_eq!(fake.asked(), calls.map(|(cursor, part)| Request::Inspect { book, cursor, part }));
}

#[test]
fn rows_end_with_an_error() {
    // PM-470
    let (fake, pm) = Fake::new();
    fake.will_refuse(PmError::NoRight, 0, 0);
    let mut rows = pm.rows::<AccountRow>();
    assert!(rows.next().unwrap().unwrap_err().is(PmError::NoRight));
    assert!(rows.next().is_none());
    // What is no row of the book is no row.
    fake.will(Reply::Row(Row { cursor: 9, words: [1, 0, 0] }));
    fake.will(Reply::Row(Row { cursor: 9, words: [1, 0, 0] }));
    assert!(pm.rows::<AccountRow>().next().unwrap().is_err());
}
