// SPDX-License-Identifier: BSD-2-Clause
//! Allocation of records and of slots for derived capabilities, in pages that an account pays for.
//!
//! An account keeps its pages of records in one ring and its CNodes in another. Pages with a free
//! place come first, so the first page tells whether there is a free place.

use proto::PeerId;

use crate::kernel::{CNODE_SLOTS, Kernel, ObjectKind, PageIndex, SlotAddress};
use crate::records::account::{Account, Charge, Shortage};
use crate::records::broken::broken;
use crate::records::cell::{CELLS_PER_PAGE, Record, Ref, Stamp};
use crate::records::page::PageUse;
use crate::store::Store;

impl<K: Kernel> Store<K> {
    /// Stores a record that no handle names; the account pays.
    #[inline(always)]
    pub(crate) fn alloc<T: Record>(
        &mut self,
        account: Ref<Account>,
        record: T,
    ) -> Result<Ref<T>, Shortage> {
        self.alloc_of_payer(self.payer_for(account), record)
    }

    /// The same for an account that was not removed.
    #[inline(always)]
    pub(crate) fn alloc_of_payer<T: Record>(
        &mut self,
        payer: Ref<Account>,
        record: T,
    ) -> Result<Ref<T>, Shortage> {
        self.put(payer, &record, Stamp::unnamed(T::KIND))
    }

    /// Stores a record that `maker` gets a handle for; the account pays.
    pub(crate) fn alloc_named<T: Record>(
        &mut self,
        account: Ref<Account>,
        maker: PeerId,
        record: T,
    ) -> Result<Ref<T>, Shortage> {
        let generation = self.next_generation(maker);
        let stamp = Stamp::named(T::KIND, maker, generation);
        self.put(self.payer_for(account), &record, stamp)
    }

    #[inline(always)]
    fn put<T: Record>(
        &mut self,
        account: Ref<Account>,
        record: &T,
        stamp: Stamp,
    ) -> Result<Ref<T>, Shortage> {
        // A free cell costs nothing, but an account that is ending takes nothing new.
        if self.is_closed(account) {
            return Err(Shortage::Account);
        }
        let page = match PageIndex::from_link(self.ledger(account).record_pages) {
            Some(page) if !self.is_full_of_cells(page) => page,
            _ => self.add_record_page(account)?,
        };
        let record = self.fill(page, record, stamp);
        if self.is_full_of_cells(page) {
            self.move_record_page(account, page, End::Last);
        }
        Ok(record)
    }

    #[inline(never)]
    fn add_record_page(&mut self, account: Ref<Account>) -> Result<PageIndex, Shortage> {
        self.charge(account, Charge::Records)?;
        let page = self.take_record_page(account.link()).map_err(|error| {
            self.refund(account, Charge::Records);
            Shortage::from(error)
        })?;
        let pages = self.link_page(self.ledger(account).record_pages, page);
        self.ledger_mut(account).record_pages = pages;
        Ok(page)
    }

    /// Frees a record; the caller has removed every link to it.
    #[inline]
    pub(crate) fn free<T: Record>(&mut self, record: Ref<T>) {
        let (page, _) = record.place();
        if self.entry(page).is_aside() {
            return self.free_aside(record);
        }
        let was_full = self.is_full_of_cells(page);
        let left = self.empty(record);
        if left == 0 || was_full {
            self.review_record_page(page, left);
        }
    }

    /// Releases a page of records in which nothing is left, or puts one that was full before those
    /// that are.
    #[cold]
    fn review_record_page(&mut self, page: PageIndex, left: u16) {
        let owner = self.page_owner(page);
        if left > 0 {
            return self.move_record_page(owner, page, End::First);
        }
        let pages = self.unlink_page(self.ledger(owner).record_pages, page);
        self.ledger_mut(owner).record_pages = pages;
        self.release_record_page(page);
        self.refund(owner, Charge::Records);
    }

    #[inline(never)]
    fn move_record_page(&mut self, owner: Ref<Account>, page: PageIndex, to: End) {
        let pages = self.move_page(self.ledger(owner).record_pages, page, to);
        self.ledger_mut(owner).record_pages = pages;
    }

    /// Takes empty slots in a row, those of a mask, at an aligned place of a CNode: a row of 64, of
    /// 8 if the mask has no more, or a single one.
    pub(crate) fn alloc_slots(
        &mut self,
        account: Ref<Account>,
        mask: u64,
    ) -> Result<SlotAddress, Shortage> {
        if self.is_closed(account) {
            return Err(Shortage::Account);
        }
        let account = self.payer_for(account);
        let first = PageIndex::from_link(self.ledger(account).slot_pages);
        let row = match mask {
            1 => 1,
            0..256 => u8::BITS,
            _ => u64::BITS,
        };
        let found = first.and_then(|node| Some((node, self.entry(node).first_free_row(row)?)));
        let (node, index) = match found {
            Some(found) => found,
            None => (self.add_slot_page(account)?, 0),
        };
        Ok(self.take_slots(account, SlotAddress { node, index }, mask))
    }

    fn take_slots(&mut self, account: Ref<Account>, slot: SlotAddress, mask: u64) -> SlotAddress {
        self.entry_mut(slot.node).set_places(slot.index.into(), mask, true);
        if self.is_full(slot.node) {
            self.move_slot_page(account, slot.node, End::Last);
        }
        slot
    }

    /// Makes a page into a CNode; the account pays.
    pub(crate) fn take_node(&mut self, account: Ref<Account>) -> Result<PageIndex, Shortage> {
        self.charge(account, Charge::Slots)?;
        let page = self.take(ObjectKind::CNode, PageUse::Slots).map_err(|error| {
            self.refund(account, Charge::Slots);
            Shortage::from(error)
        })?;
        let owner = self.payer_for(account).link();
        self.entry_mut(page).set_account(owner);
        Ok(page)
    }

    /// Releases a CNode that is in nobody's CSpace yet.
    pub(crate) fn release_node(&mut self, account: Ref<Account>, node: PageIndex) {
        self.release_object(node);
        self.refund(account, Charge::Slots);
    }

    fn add_slot_page(&mut self, account: Ref<Account>) -> Result<PageIndex, Shortage> {
        let page = self.take_node(account)?;
        let pages = self.link_page(self.ledger(account).slot_pages, page);
        self.ledger_mut(account).slot_pages = pages;
        Ok(page)
    }

    /// Releases empty slots: those of a mask, from one on.
    pub(crate) fn free_slots(&mut self, slot: SlotAddress, mask: u64) {
        let owner = self.page_owner(slot.node);
        let was_full = self.is_full(slot.node);
        if self.entry_mut(slot.node).set_places(slot.index.into(), mask, false) == 0 {
            let pages = self.unlink_page(self.ledger(owner).slot_pages, slot.node);
            self.ledger_mut(owner).slot_pages = pages;
            self.release_empty_node(slot.node);
            self.refund(owner, Charge::Slots);
        } else if was_full {
            self.move_slot_page(owner, slot.node, End::First);
        }
    }

    /// Gives an account a CNode that it was charged for before, all of whose slots are taken.
    pub(crate) fn adopt_full_node(&mut self, account: Ref<Account>, node: PageIndex) {
        let account = self.payer_for(account);
        let entry = self.entry_mut(node);
        entry.set_account(account.link());
        entry.take_all();
        let pages = self.link_page(self.ledger(account).slot_pages, node);
        self.ledger_mut(account).slot_pages = pages;
        self.move_slot_page(account, node, End::Last);
    }

    fn move_slot_page(&mut self, owner: Ref<Account>, page: PageIndex, to: End) {
        let pages = self.move_page(self.ledger(owner).slot_pages, page, to);
        self.ledger_mut(owner).slot_pages = pages;
    }

    /// Returns the account that a page of records or slots belongs to.
    pub(crate) fn page_owner(&self, page: PageIndex) -> Ref<Account> {
        match self.entry(page).account().target() {
            Some(owner) => owner,
            None => broken("page without an owner"),
        }
    }

    /// Returns the account that pays for a record.
    pub(crate) fn payer_of<T: Record>(&self, record: Ref<T>) -> Ref<Account> {
        self.payer_for(self.page_owner(record.place().0))
    }

    /// Returns whether a page of records or slots has no free place.
    pub(super) fn is_full(&self, page: PageIndex) -> bool {
        let entry = self.entry(page);
        if entry.is(PageUse::Records) {
            self.is_full_of_cells(page)
        } else {
            usize::from(entry.taken) == CNODE_SLOTS
        }
    }

    /// The same for a page of records.
    pub(super) fn is_full_of_cells(&self, page: PageIndex) -> bool {
        u32::from(self.entry(page).taken) == CELLS_PER_PAGE
    }

    /// Puts a page first into a ring and returns the first.
    pub(super) fn link_page(&mut self, first: u32, page: PageIndex) -> u32 {
        let next = PageIndex::from_link(first).unwrap_or(page);
        let previous = match PageIndex::from_link(first) {
            Some(first) => PageIndex::new(self.entry(first).previous),
            None => page,
        };
        self.set_neighbours_of_page(previous, page);
        self.set_neighbours_of_page(page, next);
        page.get()
    }

    /// Takes a page out of a ring and returns the first.
    pub(super) fn unlink_page(&mut self, first: u32, page: PageIndex) -> u32 {
        let entry = self.entry(page);
        let (previous, next) = (PageIndex::new(entry.previous), PageIndex::new(entry.next));
        if next == page {
            return 0;
        }
        self.set_neighbours_of_page(previous, next);
        if first == page.get() { next.get() } else { first }
    }

    /// Moves a page to one end of its ring.
    pub(super) fn move_page(&mut self, first: u32, page: PageIndex, to: End) -> u32 {
        let rest = self.unlink_page(first, page);
        let linked = self.link_page(rest, page);
        // In a ring, the page before the first is the last.
        if to == End::Last && rest != 0 { rest } else { linked }
    }

    fn set_neighbours_of_page(&mut self, before: PageIndex, after: PageIndex) {
        self.entry_mut(before).next = after.get();
        self.entry_mut(after).previous = before.get();
    }
}

/// An end of a ring.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    First,
    Last,
}
