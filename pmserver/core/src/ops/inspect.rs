// SPDX-License-Identifier: BSD-2-Clause
//! inspect: pmserver's books, row by row, for whoever may know all of them (PM-470).
//!
//! Nothing is kept between two calls. Records are found where they are: a cursor is the number of a
//! record's cell, and the search goes on behind it through the pages of records. So it does not
//! matter whether that record still exists. Mappings and regions are found by address, in the trees
//! of peers (`inspect_places.rs`), and pages by their numbers (`inspect_pages.rs`).

use pmserver_api::{
    AccountMarks, AccountRow, Book, BookRow, ContainerRow, Failure, LeaseMarks, LeaseRow, PeerName,
    PeerRow, PmError, RecordId, Row, ShareMarks, ShareRow,
};
use proto::limits::{INSPECT_LOOKS_MAX, PEERS_MAX};
use proto::{FrameNumber, PeerId};

use crate::config::Privileges;
use crate::kernel::{Kernel, PageIndex};
use crate::ops::Operations;
use crate::records::account::{Account, Charge};
use crate::records::cell::{CELLS_PER_PAGE, Record, Ref, cell_of};
use crate::records::container::Container;
use crate::records::lease::Lease;
use crate::records::links::Link;
use crate::records::meter::LINK_WORK;
use crate::records::page::PageUse;
use crate::records::peer::Peer;
use crate::records::share::Share;

impl<K: Kernel> Operations<K> {
    /// Returns a part of the first row behind a cursor.
    ///
    /// # Errors
    /// `NoRight` without the privilege; `Invalid` for a cursor behind the end of the book.
    #[inline(never)]
    pub(crate) fn inspect_book(
        &self,
        caller: PeerId,
        book: Book,
        cursor: u64,
        part: u8,
    ) -> Result<Row, Failure> {
        if !self.peer(caller).privileges.contains(Privileges::INSPECT) {
            return Err(PmError::NoRight.into());
        }
        let row = match book {
            Book::Peers => self.inspect_peers(cursor, part),
            Book::Accounts => {
                self.inspect_records(cursor, |account| self.account_row(account).part(part))
            }
            Book::Containers => {
                self.inspect_records(cursor, |container| self.container_row(container).part(part))
            }
            Book::Shares => self.inspect_records(cursor, |share| self.share_row(share).part(part)),
            Book::Leases => self.inspect_records(cursor, |lease| self.lease_row(lease).part(part)),
            Book::Mappings => self.inspect_mappings(cursor, part),
            Book::Grants => self.inspect_grants(cursor, part),
            Book::Regions => self.inspect_regions(cursor, part),
            Book::Pages => self.inspect_pages(cursor, part),
        };
        row.ok_or(PmError::Invalid.into())
    }

    fn inspect_peers(&self, cursor: u64, part: u8) -> Option<Row> {
        let last = usize::try_from(cursor).ok().filter(|last| *last < PEERS_MAX)?;
        let mut behind = self.peers.iter().skip(last.saturating_add(1)).flatten();
        let row =
            |peer: &Peer| Row { cursor: peer.id.get().into(), words: peer_row(peer).part(part) };
        Some(behind.next().map_or(Row::END, row))
    }

    /// Returns the first record of a kind behind a cursor: its handle, which is the cursor behind
    /// it, and what a part of its row is.
    fn inspect_records<T: Record>(
        &self,
        cursor: u64,
        part: impl FnOnce(Ref<T>) -> [u64; 3],
    ) -> Option<Row> {
        let end = self.store.page_count();
        let mut cell = cell_of(cursor);
        if cell / CELLS_PER_PAGE >= end {
            return None;
        }
        for _ in 0..INSPECT_LOOKS_MAX {
            cell = cell.saturating_add(1);
            let (page, place) = (cell / CELLS_PER_PAGE, cell % CELLS_PER_PAGE);
            if page >= end {
                return Some(Row::END);
            }
            self.store.meter().charge(LINK_WORK);
            let entry = self.store.entry(PageIndex::new(page));
            let first = page.saturating_mul(CELLS_PER_PAGE);
            let cells =
                entry.is(PageUse::Records).then(|| self.store.cells_of(PageIndex::new(page)));
            let Some(taken) = cells.and_then(|cells| cells.next_taken(place)) else {
                // Behind a block as behind a page: none of its pages has records.
                let pages = entry.pages().max(1);
                cell = first.saturating_add(pages.saturating_mul(CELLS_PER_PAGE)).saturating_sub(1);
                continue;
            };
            cell = first.saturating_add(taken);
            if let Some(record) =
                Ref::from_cell(cell).filter(|_| self.store.is_of_kind(cell, T::KIND))
            {
                return Some(Row { cursor: self.store.handle(record), words: part(record) });
            }
        }
        Some(Row::none(cell.into()))
    }

    fn account_row(&self, account: Ref<Account>) -> AccountRow {
        let record = self.store.get(account);
        let is_pool = account == self.store.pool();
        AccountRow {
            id: id_of(account),
            serial: 0,
            parent: (!is_pool).then(|| id_of(self.store.parent(account))),
            maker: record.maker(),
            marks: AccountMarks::from_bits_truncate(record.flag_bits()),
            limit: record.limit,
            promised: record.promised,
            frames: record.charged(Charge::Frames),
            tables: record.charged(Charge::Tables),
            slots: record.charged(Charge::Slots),
            records: record.charged(Charge::Records),
            extra: record.charged(Charge::Extra),
            own: record.own(),
            free: if is_pool { record.free() } else { 0 },
        }
    }

    fn container_row(&self, container: Ref<Container>) -> ContainerRow {
        let record = self.store.get(container);
        ContainerRow {
            id: id_of(container),
            serial: 0,
            owner: record.owner(),
            is_dying: record.is_dying(),
            account: link_id(record.account),
            frames: record.frame_count.get(),
            ties: record.ties.get(),
            shares: record.share_count.get(),
            leases: record.lease_count.get().into(),
        }
    }

    fn share_row(&self, share: Ref<Share>) -> ShareRow {
        let record = self.store.get(share);
        let mut marks = ShareMarks::empty();
        marks.set(ShareMarks::ONCE, record.is_once());
        marks.set(ShareMarks::ARMED, record.is_armed());
        marks.set(ShareMarks::REVOKING, record.is_revoking());
        ShareRow {
            id: id_of(share),
            serial: 0,
            container: link_id(record.container),
            peer: record.peer(),
            rights: record.rights(),
            marks,
            first: FrameNumber::new(record.range.first),
            last: FrameNumber::new(record.range.last),
        }
    }

    fn lease_row(&self, lease: Ref<Lease>) -> LeaseRow {
        let record = self.store.get(lease);
        let mut marks = LeaseMarks::empty();
        marks.set(LeaseMarks::EXCLUSIVE, record.is_exclusive());
        marks.set(LeaseMarks::OVER, record.is_over());
        marks.set(LeaseMarks::TAKEN, record.is_taken());
        LeaseRow {
            id: id_of(lease),
            container: link_id(record.container),
            share: link_id(record.share),
            holder: record.holder(),
            marks,
            first: FrameNumber::new(record.range.first),
            last: FrameNumber::new(record.range.last),
            pinned: record.pinned.get().into(),
            deadline: record.deadline(),
        }
    }
}

fn peer_row(peer: &Peer) -> PeerRow {
    let record = |account: Option<Ref<Account>>| account.map(id_of);
    PeerRow {
        peer: peer.id,
        name: PeerName::new(&peer.name),
        privileges: peer.privileges.bits(),
        is_stopped: peer.is_stopped,
        account: record(peer.account),
        payer: record(peer.table_account),
        tables: peer.vspace.table_count.get(),
        faults: u32::try_from(peer.faults).unwrap_or(u32::MAX),
    }
}

// Where a row stands is in the cursor, and not in its parts.
pub(super) fn id_of<T>(record: Ref<T>) -> RecordId {
    RecordId::of(record.number())
}

/// Returns how a row names the record that a link leads to.
pub(super) fn link_id<T>(link: Link<T>) -> Option<RecordId> {
    RecordId::new(link.raw())
}
