// SPDX-License-Identifier: BSD-2-Clause
//! inspect: the books say what was done (PM-470 to PM-475).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{
    PAGE, POOL_BYTES, Pm, World, all, at, filled, frames, info, page, peer, refusal,
};
use pmserver_api::{
    AccountHandle, AccountMarks, AccountRow, AllocateFlags, Book, BookRow, ContainerRow, CopyFlags,
    GrantRow, LeaseMarks, LeaseRow, LimitFlags, LockMode, MapFlags, MappingRow, MappingState,
    PageMarks, PageState, PagesRow, Parts, PeerRow, PmError, RecordId, RegionRow, Rights, Row,
    ShareMarks, ShareRow, ShareTerms,
};
use pmserver_core::config::{PeerConfig, Privileges};
use pmserver_core::kernel::Kernel;
use proto::limits::INSPECT_LOOKS_MAX;
use proto::{ByteCount, FrameNumber, Micros};

const LONG: Micros = Micros::new(1_000_000);
const OWN: AccountHandle = AccountHandle::OWN;
const READ: MapFlags = MapFlags::READ;
const WRITE: MapFlags = MapFlags::WRITE;
/// The peer that looks.
const EYE: u64 = 3;

/// Peer 1 is a server with a device, peer 2 its client.
fn world() -> World {
    let peers = [
        ("server", Privileges::DMA),
        ("a client with a name of 38 characters.", Privileges::empty()),
        ("eye", Privileges::INSPECT | Privileges::READ_ACCOUNTS | Privileges::DISTURB),
    ];
    let config = |(index, (name, privileges))| PeerConfig {
        peer: u8::try_from(index + 1_usize).unwrap(),
        name,
        limit: ByteCount::new(8 << 20),
        privileges,
    };
    let peers: Vec<PeerConfig> = peers.into_iter().enumerate().map(config).collect();
    World::with_peers(POOL_BYTES, &peers)
}

/// Returns all rows of a book, each with the cursor behind it.
fn rows_from<R: BookRow>(pm: &mut Pm, mut cursor: u64) -> Vec<(u64, R)> {
    let mut rows = Vec::new();
    loop {
        let mut parts = Parts::default();
        let mut row = Row::END;
        for part in 0..R::BOOK.parts() {
            row = pm.inspect(R::BOOK, cursor, part).unwrap();
            parts[usize::from(part)] = row.words;
        }
        if row.cursor == 0 {
            assert!(!row.is_there());
            return rows;
        }
        if row.is_there() {
            rows.push((row.cursor, R::from_parts(row.cursor, &parts).unwrap()));
        }
        cursor = row.cursor;
    }
}

fn rows<R: BookRow>(world: &World) -> Vec<R> {
    rows_from(&mut world.as_peer(EYE), 0).into_iter().map(|(_, row)| row).collect()
}

fn page_count(world: &World) -> u64 {
    world.0.borrow().kernel().page_count().into()
}

fn number(row: Option<RecordId>) -> u32 {
    row.unwrap().get()
}

#[test]
fn only_who_has_the_privilege_learns_anything() {
    // PM-470
    let world = world();
    for caller in [1, 2] {
        for book in Book::ALL {
            assert_eq!(refusal(world.as_peer(caller).inspect(book, 0, 0)), Some(PmError::NoRight));
        }
    }
    for book in Book::ALL {
        world.as_peer(EYE).inspect(book, 0, 0).unwrap();
    }
}

#[test]
fn a_cursor_behind_the_end_of_a_book_is_invalid_and_no_other_is() {
    // PM-473
    let world = world();
    let mut pm = world.as_peer(EYE);
    let pages = page_count(&world);
    let place_of = |peer: u64| peer << 48;
    for (book, last) in [
        (Book::Peers, 31),
        (Book::Accounts, pages * 64 - 1),
        (Book::Containers, pages * 64 - 1),
        (Book::Shares, pages * 64 - 1),
        (Book::Leases, pages * 64 - 1),
        (Book::Mappings, place_of(32) - 1),
        (Book::Grants, place_of(32) - 1),
        (Book::Regions, place_of(32) - 1),
        (Book::Pages, pages),
    ] {
        assert_eq!(pm.inspect(book, last, 0), Ok(Row::END), "{book:?}");
        assert_eq!(refusal(pm.inspect(book, last + 1, 0)), Some(PmError::Invalid), "{book:?}");
        for cursor in [1 << 20, 1 << 27, (1 << 28) - 1, 1 << 47, 1 << 63, u64::MAX] {
            assert!(
                matches!(refusal(pm.inspect(book, cursor, 0)), None | Some(PmError::Invalid)),
                "{book:?}"
            );
        }
    }
}

#[test]
fn peers_and_accounts_are_told_with_names_and_counts() {
    // PM-471
    let world = world();
    let mut pm = world.as_peer(2);
    filled(&mut pm, 20);
    let split = pm.account_split(OWN, 30, LimitFlags::empty()).unwrap();
    let inner = pm.container_create(split).unwrap();
    pm.allocate(inner, at(0), frames(3), AllocateFlags::empty()).unwrap();
    let peers: Vec<PeerRow> = rows(&world);
    let names: Vec<&str> = peers.iter().map(|peer| peer.name.as_str()).collect();
    assert_eq!(names, ["server", "a client with a name of 38 characters.", "eye"]);
    assert_eq!(peers[0].privileges, Privileges::DMA.bits());
    let accounts: Vec<AccountRow> = rows(&world);
    assert_eq!(accounts.len(), 5);
    let of = |id: Option<RecordId>| *accounts.iter().find(|row| Some(row.id) == id).unwrap();
    let mut eye = world.as_peer(EYE);
    let pool = of(of(peers[0].account).parent);
    assert_eq!(pool.parent, None);
    for (handle, row) in [
        (AccountHandle::POOL, pool),
        (AccountHandle::of_peer(peer(1)), of(peers[0].account)),
        (AccountHandle::of_peer(peer(2)), of(peers[1].account)),
    ] {
        let told = info(&mut eye, handle);
        let pages = |bytes: ByteCount| u32::try_from(bytes.get() / PAGE).unwrap();
        assert_eq!(row.used(), pages(told.used));
        let counts = [row.limit, row.promised, row.frames, row.tables, row.slots, row.records];
        let told_counts =
            [told.limit, told.promised, told.frames, told.tables, told.slots, told.records];
        assert_eq!(counts, told_counts.map(pages));
        assert_eq!([row.extra, row.free], [told.extra, told.free].map(pages));
    }
    let below = accounts.iter().find(|row| row.maker == Some(peer(2))).unwrap();
    assert_eq!(below.parent, peers[1].account);
    assert_eq!((below.limit, below.frames), (30, 3));
    assert_eq!(of(peers[1].account).own + below.own, of(peers[1].account).used());
    assert!(pool.marks.contains(AccountMarks::EXTRA));
}

#[test]
fn containers_shares_and_leases_are_told() {
    // PM-471
    let world = world();
    let (mut pm, mut fs) = (world.as_peer(2), world.as_peer(1));
    let container = filled(&mut pm, 12);
    let rights = Rights::READ | Rights::WRITE | Rights::LOCK;
    let shared = pm.share(container, at(2), 6, peer(1), rights, LONG).unwrap();
    let once = ShareTerms { peer: peer(1), rights: Rights::READ, lease_max: LONG, once: true };
    let once = pm.share_on(container, at(0), 12, once).unwrap();
    pm.arm(once.share).unwrap();
    let lease = fs.pin(shared.weak, at(3), frames(2), LockMode::Exclusive, LONG).unwrap().lease;
    let containers = rows_from::<ContainerRow>(&mut world.as_peer(EYE), 0);
    let [(cursor, row)] = containers[..] else { panic!("{containers:?}") };
    assert_eq!(cursor, container.raw(), "the cursor behind a record is its handle");
    assert_eq!((row.owner, row.frames, row.shares, row.leases), (peer(2), 12, 2, 1));
    let shares = rows_from::<ShareRow>(&mut world.as_peer(EYE), 0);
    let (_, plain) = *shares.iter().find(|(cursor, _)| *cursor == shared.share.raw()).unwrap();
    assert_eq!((plain.peer, plain.rights, plain.container), (peer(1), rights, Some(row.id)));
    assert_eq!((plain.first, plain.last), (FrameNumber::new(2), FrameNumber::new(7)));
    let (_, armed) = *shares.iter().find(|(cursor, _)| *cursor == once.share.raw()).unwrap();
    assert_eq!(armed.marks, ShareMarks::ONCE | ShareMarks::ARMED);
    let leases = rows_from::<LeaseRow>(&mut world.as_peer(EYE), 0);
    let [(cursor, row)] = leases[..] else { panic!("{leases:?}") };
    assert_eq!((cursor, row.deadline), (lease.lease.raw(), lease.deadline));
    assert_eq!((row.holder, row.pinned, row.share), (peer(1), 2, Some(plain.id)));
    assert_eq!((row.first, row.last), (FrameNumber::new(3), FrameNumber::new(4)));
    assert_eq!(row.marks, LeaseMarks::EXCLUSIVE);
    assert_ne!(plain.serial, armed.serial);
}

#[test]
fn mappings_grants_and_regions_are_told_by_peer_and_address() {
    // PM-471
    let world = world();
    let (mut pm, mut fs) = (world.as_peer(2), world.as_peer(1));
    let container = filled(&mut pm, 100);
    let rights = Rights::READ | Rights::WRITE;
    let shared = pm.share(container, at(0), 100, peer(1), rights, LONG).unwrap();
    pm.map(container, at(5), frames(80), page(7), WRITE).unwrap();
    world.store(2, 1, page(9)).unwrap();
    pm.unmap(page(20), frames(3)).unwrap();
    fs.map(shared.weak, at(1), frames(2), page(0), READ).unwrap();
    fs.grant(shared.weak, at(3), frames(4), READ).unwrap();
    fs.attach(shared.weak, at(50), 9, page(600), READ).unwrap();
    let mappings: Vec<MappingRow> = rows(&world);
    let mut told = Vec::new();
    for row in &mappings {
        for index in 0..u64::from(row.pages) {
            let vaddr = row.vaddr + index * PAGE;
            told.push((row.peer.get(), vaddr, row.first.get() + index, row.share.is_some()));
        }
        let asks = row.state.contains(MappingState::WRITE);
        assert_eq!(asks, row.peer == peer(2));
        assert_eq!(row.container, mappings[0].container);
    }
    let own = (5..85).map(|number| (2, page(number + 2).get(), number, false));
    let own = own.filter(|(_, vaddr, ..)| !(page(20).get()..page(23).get()).contains(vaddr));
    let lent = (1..3).map(|number| (1, page(number - 1).get(), number, true));
    assert_eq!(told, lent.chain(own).collect::<Vec<_>>());
    let written = mappings.iter().find(|row| row.vaddr <= page(9).get() && row.peer == peer(2));
    assert!(written.is_some());
    let is_at = |row: &&MappingRow| {
        (row.vaddr..row.vaddr + u64::from(row.pages) * PAGE).contains(&page(9).get())
    };
    assert!(mappings.iter().find(is_at).unwrap().state.contains(MappingState::WRITABLE));
    let grants: Vec<GrantRow> = rows(&world);
    assert_eq!(grants.iter().map(|row| row.count).sum::<u16>(), 4);
    assert_eq!((grants[0].peer, grants[0].first), (peer(1), FrameNumber::new(3)));
    let regions: Vec<RegionRow> = rows(&world);
    let [row] = regions[..] else { panic!("{regions:?}") };
    assert_eq!((row.peer, row.vaddr, row.pages), (peer(1), page(600).get(), 9));
    assert_eq!((row.container, row.first), (shared.weak, FrameNumber::new(50)));
    // A cursor can begin at a peer.
    let from = rows_from::<MappingRow>(&mut world.as_peer(EYE), 2 << 48);
    assert!(from.iter().all(|(_, row)| row.peer == peer(2)));
    assert!(!from.is_empty());
}

#[test]
fn a_large_frame_is_one_mapping_and_its_pages_are_one_row() {
    // PM-471
    let world = world();
    let mut pm = world.as_peer(2);
    let container = pm.container_create(OWN).unwrap();
    all(|| pm.allocate(container, at(512), frames(512), AllocateFlags::empty())).unwrap();
    let forced = WRITE | MapFlags::FORCE_WRITE;
    all(|| pm.map(container, at(512), frames(512), page(0), forced)).unwrap();
    let mappings: Vec<MappingRow> = rows(&world);
    let [row] = mappings[..] else { panic!("{mappings:?}") };
    assert_eq!((row.pages, row.vaddr, row.first), (512, page(0).get(), at(512)));
    assert!(row.state.contains(MappingState::LARGE | MappingState::WRITABLE));
    let pages: Vec<PagesRow> = rows(&world);
    let large: Vec<&PagesRow> = pages.iter().filter(|row| row.state == PageState::Large).collect();
    let [row] = large[..] else { panic!("{pages:?}") };
    assert_eq!(row.pages, 512);
    // From its middle on, too.
    let half = u64::from(row.start) + 100;
    let rest = rows_from::<PagesRow>(&mut world.as_peer(EYE), half);
    assert_eq!((rest[0].1.state, rest[0].1.pages), (PageState::Large, 412));
}

#[test]
fn the_pages_of_the_pool_add_up_and_say_what_they_are_used_as() {
    // PM-471
    let world = world();
    let (mut pm, mut fs) = (world.as_peer(2), world.as_peer(1));
    let container = filled(&mut pm, 40);
    let copy = pm.container_create(OWN).unwrap();
    pm.map(container, at(0), frames(40), page(0), WRITE).unwrap();
    for number in 0..40 {
        world.store(2, 7, page(number)).unwrap();
    }
    let shared = pm.share(container, at(0), 10, peer(1), Rights::all(), LONG).unwrap();
    fs.pin(shared.weak, at(0), frames(2), LockMode::Read, LONG).unwrap();
    let (from, to) = ((container, at(20)), (copy, at(0)));
    assert_eq!(pm.copy(from, to, frames(5), CopyFlags::NEW), Ok(5));
    let pages: Vec<PagesRow> = rows(&world);
    let mut next = 0;
    for row in &pages {
        assert_eq!(row.start, next, "rows follow each other");
        next += row.pages;
    }
    assert_eq!(u64::from(next), page_count(&world));
    let sum = |is: &dyn Fn(&PagesRow) -> bool| {
        pages.iter().filter(|row| is(row)).map(|row| row.pages).sum::<u32>()
    };
    let containers: Vec<ContainerRow> = rows(&world);
    let of = |row: &PagesRow| containers.iter().find(|it| Some(it.id) == row.container);
    let is_frame = |row: &PagesRow| row.state == PageState::Frame;
    assert_eq!(sum(&|row| is_frame(row) && of(row).is_some()), 40);
    assert_eq!(sum(&|row| row.marks.contains(PageMarks::COW)), 5);
    assert_eq!(sum(&|row| row.marks.contains(PageMarks::LENT)), 10);
    assert_eq!(sum(&|row| row.marks.contains(PageMarks::PINNED)), 2);
    let accounts: Vec<AccountRow> = rows(&world);
    let pool = accounts.iter().find(|row| row.parent.is_none()).unwrap();
    let used = |state: PageState| sum(&|row| row.state == state);
    assert_eq!(used(PageState::Table), pool.tables);
    let peers: Vec<PeerRow> = rows(&world);
    let records =
        |id: Option<RecordId>| sum(&|row| row.state == PageState::Records && row.account == id);
    let client = accounts.iter().find(|row| Some(row.id) == peers[1].account).unwrap();
    assert_eq!(records(peers[1].account), client.records);
    assert_ne!(number(peers[1].account), number(peers[0].account));
}

#[test]
fn a_cursor_of_what_is_gone_goes_on_with_the_next() {
    // PM-473
    let world = world();
    let mut pm = world.as_peer(2);
    let made: Vec<_> = (0..5).map(|_| filled(&mut pm, 1)).collect();
    let mut eye = world.as_peer(EYE);
    let told = rows_from::<ContainerRow>(&mut eye, 0);
    let cursors: Vec<u64> = told.iter().map(|(cursor, _)| *cursor).collect();
    assert_eq!(cursors.len(), 5);
    let third = made.iter().find(|handle| handle.raw() == cursors[2]).unwrap();
    pm.container_destroy(*third).unwrap();
    let rest: Vec<u64> =
        rows_from::<ContainerRow>(&mut eye, cursors[2]).iter().map(|(cursor, _)| *cursor).collect();
    assert_eq!(rest, cursors[3..]);
}

#[test]
fn one_call_looks_at_a_bounded_number_of_records() {
    // PM-472: no container is there, and far more records than one call looks at
    let world = world().unchecked();
    let mut pm = world.as_peer(2);
    let container = pm.container_create(OWN).unwrap();
    for number in 0..u64::from(INSPECT_LOOKS_MAX) + 200 {
        pm.allocate(container, at(number * 64), frames(1), AllocateFlags::empty()).unwrap();
    }
    let mut eye = world.as_peer(EYE);
    let (mut cursor, mut calls, mut found) = (0, 0, 0);
    loop {
        let row = eye.inspect(Book::Leases, cursor, 0).unwrap();
        calls += 1;
        found += u32::from(row.is_there());
        if row.cursor == 0 {
            break;
        }
        assert!(row.cursor > cursor, "it goes on");
        cursor = row.cursor;
    }
    assert_eq!(found, 0);
    assert!(calls > 1, "{calls}");
}

#[test]
fn looking_changes_nothing() {
    // PM-470
    let world = world();
    let mut pm = world.as_peer(2);
    let container = filled(&mut pm, 9);
    pm.map(container, at(0), frames(9), page(0), WRITE).unwrap();
    let before = [AccountHandle::POOL, AccountHandle::of_peer(peer(2))]
        .map(|account| info(&mut world.as_peer(EYE), account));
    let invocations = || world.0.borrow().kernel().invocations();
    let made = invocations();
    for book in Book::ALL {
        for part in 0..book.parts() {
            let mut cursor = 0;
            loop {
                cursor = world.as_peer(EYE).inspect(book, cursor, part).unwrap().cursor;
                if cursor == 0 {
                    break;
                }
            }
        }
    }
    assert_eq!(invocations(), made);
    let after = [AccountHandle::POOL, AccountHandle::of_peer(peer(2))]
        .map(|account| info(&mut world.as_peer(EYE), account));
    assert_eq!(before, after);
}
