// SPDX-License-Identifier: BSD-2-Clause
//! The rows of books survive being told in parts, and no parts make a reader panic.
#![allow(clippy::unwrap_used)]

use pmserver_api::{
    AccountMarks, AccountRow, Book, BookRow, ContainerHandle, ContainerRow, GrantRow, LeaseMarks,
    LeaseRow, MapFlags, MappingRow, MappingState, PARTS_MAX, PageMarks, PageState, PagesRow, Parts,
    PeerName, PeerRow, RecordId, RegionRow, Rights, ShareMarks, ShareRow,
};
use proptest::prelude::*;
use proto::{FrameNumber, Micros, PeerId};

/// A record of peer 3, the seventh one.
const RECORD: u64 = 7 << 34 | 3 << 28 | 0x901;
const ID: Option<RecordId> = RecordId::new(0x901);
/// Behind pages that begin at 0x7000.
const PLACE: u64 = 4 << 48 | 0x9000;

fn parts_of<R: BookRow>(row: &R) -> Parts {
    let mut parts = Parts::default();
    for (place, part) in parts.iter_mut().zip(0..R::BOOK.parts()) {
        *place = row.part(part);
    }
    parts
}

fn comes_back<R: BookRow + std::fmt::Debug + PartialEq>(row: R, cursor: u64) {
    let parts = parts_of(&row);
    for part in parts.iter().take(R::BOOK.parts().into()) {
        assert_eq!(part[0] & 0xFF, u64::from(R::BOOK.number()), "a part tells its book");
    }
    assert_eq!(R::from_parts(cursor, &parts), Some(row));
    assert_eq!(R::from_parts(cursor, &Parts::default()), None, "there is no row");
}

const FIRST: FrameNumber = FrameNumber::new(1 << 40);
const PARENT: Option<RecordId> = RecordId::new(u32::MAX);

fn peers() -> [PeerId; 2] {
    [4, 31].map(|number| PeerId::new(number).unwrap())
}

#[test]
fn rows_of_owners_come_back() {
    // PM-471
    let ([peer, _], id, parent) = (peers(), ID.unwrap(), PARENT);
    for name in ["x", "a name of 33 bytes for its domain", &"n".repeat(64)] {
        let row = PeerRow {
            peer,
            name: PeerName::new(name),
            privileges: 0x7F,
            is_stopped: true,
            account: ID,
            payer: parent,
            tables: 5,
            faults: u32::MAX,
        };
        assert_eq!(row.name.as_str(), name);
        comes_back(row, 4);
    }
    let marks = AccountMarks::DYING | AccountMarks::EXTRA;
    let (limit, promised, frames, tables, slots, records) = (1, 2, 3, 4, 5, 6);
    let row = AccountRow {
        id,
        serial: 7,
        parent,
        maker: Some(peer),
        marks,
        limit,
        promised,
        frames,
        tables,
        slots,
        records,
        extra: 7,
        own: 8,
        free: 9,
    };
    assert_eq!(row.used(), 18);
    comes_back(row, RECORD);
    let (account, serial) = (parent, 7);
    comes_back(
        ContainerRow {
            id,
            serial,
            owner: peer,
            is_dying: true,
            account,
            frames,
            ties: 2,
            shares: 16,
            leases: 15,
        },
        RECORD,
    );
}

#[test]
fn rows_of_what_is_held_come_back() {
    // PM-471
    let ([peer, other], id, first, serial) = (peers(), ID.unwrap(), FIRST, 7);
    let last = FrameNumber::new(u64::MAX);
    let marks = ShareMarks::ONCE | ShareMarks::REVOKING;
    let rights = Rights::READ | Rights::LOCK;
    comes_back(
        ShareRow { id, serial, container: ID, peer: other, rights, marks, first, last },
        RECORD,
    );
    let (marks, deadline) = (LeaseMarks::TAKEN, Micros::new(u64::MAX));
    comes_back(
        LeaseRow {
            id,
            container: None,
            share: ID,
            holder: other,
            marks,
            first,
            last,
            pinned: 512,
            deadline,
        },
        RECORD,
    );
    let (state, vaddr) = (MappingState::WRITE | MappingState::LARGE, 0x7000);
    let (container, share) = (ID, None);
    comes_back(MappingRow { peer, vaddr, pages: 2, state, container, share, first }, PLACE);
    let place = 0x9000 - 2;
    comes_back(GrantRow { peer, place, count: 2, state, container, share: ID, first }, PLACE);
    let (flags, container) =
        (MapFlags::READ | MapFlags::EXECUTE, ContainerHandle::from_raw(RECORD));
    comes_back(RegionRow { peer, vaddr, pages: 2, flags, container, first }, PLACE);
    for state in PageState::ALL {
        let marks = PageMarks::COW | PageMarks::PINNED;
        comes_back(
            PagesRow { start: 90, pages: 10, state, marks, container: ID, account: PARENT },
            100,
        );
    }
}

proptest! {
    #[test]
    fn no_parts_make_a_reader_panic(
        cursor: u64,
        mut parts: [[u64; 3]; PARTS_MAX],
        book in prop::sample::select(&Book::ALL[..]),
    ) {
        for part in &mut parts {
            part[0] = part[0] & !0xFF | u64::from(book.number());
        }
        let _ = PeerRow::from_parts(cursor, &parts).map(|row| row.name.as_str().len());
        let _ = AccountRow::from_parts(cursor, &parts).map(|row| row.used());
        let _ = ContainerRow::from_parts(cursor, &parts);
        let _ = ShareRow::from_parts(cursor, &parts);
        let _ = LeaseRow::from_parts(cursor, &parts);
        let _ = MappingRow::from_parts(cursor, &parts);
        let _ = GrantRow::from_parts(cursor, &parts);
        let _ = RegionRow::from_parts(cursor, &parts);
        let _ = PagesRow::from_parts(cursor, &parts);
    }
}
