// SPDX-License-Identifier: BSD-2-Clause
//! Allocation of records and of slots for derived capabilities, in pages that an account pays for.
//!
//! An account keeps its pages of records in one ring and its CNodes in another. Pages with a free
//! place come first, so the first page tells whether there is a free place.

use proto::PeerId;

use crate::kernel::{Kernel, ObjectKind, PageIndex, SlotAddress};
use crate::records::account::{Account, Charge, Shortage};
use crate::records::broken::broken;
use crate::records::cell::{Record, Ref, Stamp};
use crate::records::links::Link;
use crate::records::page::PageUse;
use crate::records::places::{PagesOfAccount, Places};
use crate::store::{Emptied, Store};

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
        let page = match self.ledger(account).record_pages.target() {
            Some(page) if self.has_free_cells(page) => page,
            _ => self.add_record_page(account)?,
        };
        let (record, has_more) = self.fill(page, record, stamp);
        if !has_more {
            self.move_record_page(account, page, End::Last);
        }
        Ok(record)
    }

    #[inline(never)]
    fn add_record_page(&mut self, account: Ref<Account>) -> Result<Ref<Places>, Shortage> {
        self.charge(account, Charge::Records)?;
        let page = self.take_record_page(account.link()).map_err(|error| {
            self.refund(account, Charge::Records);
            Shortage::from(error)
        })?;
        let pages = self.add_first::<PagesOfAccount>(self.ledger(account).record_pages, page);
        self.ledger_mut(account).record_pages = pages;
        Ok(page)
    }

    /// Frees a record; the caller has removed every link to it.
    #[inline]
    pub(crate) fn free<T: Record>(&mut self, record: Ref<T>) {
        let emptied = self.empty(record);
        if emptied.is_aside {
            self.free_aside(emptied);
        } else if emptied.is_empty || emptied.was_full {
            self.review_record_page(emptied);
        }
    }

    /// Releases a page of records in which nothing is left, or puts one that was full before those
    /// that are.
    #[cold]
    fn review_record_page(&mut self, Emptied { page, is_empty, .. }: Emptied) {
        let owner = self.account_of_page(page);
        if !is_empty {
            return self.move_record_page(owner, page, End::First);
        }
        let pages = self.remove_from_chain::<PagesOfAccount>(self.ledger(owner).record_pages, page);
        self.ledger_mut(owner).record_pages = pages;
        self.release_record_page(page);
        self.refund(owner, Charge::Records);
    }

    #[inline(never)]
    fn move_record_page(&mut self, owner: Ref<Account>, page: Ref<Places>, to: End) {
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
        let row = match mask {
            1 => 1,
            0..256 => u8::BITS,
            _ => u64::BITS,
        };
        let first = self.ledger(account).slot_pages.target();
        let found = first.and_then(|node| Some((node, self.get(node).first_free_row(row)?)));
        let (node, index) = match found {
            Some(found) => found,
            None => (self.add_slot_page(account)?, 0),
        };
        self.get_mut(node).set_slots(index, mask, true);
        if self.get(node).is_full_node() {
            self.move_slot_page(account, node, End::Last);
        }
        Ok(SlotAddress { node: self.get(node).page(), index })
    }

    /// Makes a page into a CNode; the account pays for it, and for the record of its slots.
    pub(crate) fn take_node(&mut self, account: Ref<Account>) -> Result<PageIndex, Shortage> {
        let payer = self.payer_for(account);
        self.charge(account, Charge::Slots)?;
        let taken = self.take(ObjectKind::CNode, PageUse::Slots).map_err(Shortage::from);
        let node = taken.and_then(|node| {
            let places = self.alloc(account, Places::of_node(node, payer.link()));
            let places = places.inspect_err(|_| self.release_empty_node(node))?;
            self.entry_mut(node).set_places(places.link());
            Ok(node)
        });
        node.inspect_err(|_| self.refund(account, Charge::Slots))
    }

    /// Releases a CNode with nothing in its slots, which is in nobody's CSpace, and what its
    /// account pays for it.
    pub(crate) fn release_node(&mut self, node: PageIndex) {
        let places = self.slots_of(node);
        let owner = self.account_of_page(places);
        self.free(places);
        self.release_empty_node(node);
        self.refund(owner, Charge::Slots);
    }

    fn add_slot_page(&mut self, account: Ref<Account>) -> Result<Ref<Places>, Shortage> {
        let page = self.take_node(account)?;
        let page = self.slots_of(page);
        let pages = self.add_first::<PagesOfAccount>(self.ledger(account).slot_pages, page);
        self.ledger_mut(account).slot_pages = pages;
        Ok(page)
    }

    /// Releases empty slots: those of a mask, from one on.
    pub(crate) fn free_slots(&mut self, slot: SlotAddress, mask: u64) {
        let page = self.slots_of(slot.node);
        let owner = self.account_of_page(page);
        let was_full = self.get(page).is_full_node();
        if self.get_mut(page).set_slots(slot.index, mask, false) {
            let pages =
                self.remove_from_chain::<PagesOfAccount>(self.ledger(owner).slot_pages, page);
            self.ledger_mut(owner).slot_pages = pages;
            self.release_node(slot.node);
        } else if was_full {
            self.move_slot_page(owner, page, End::First);
        }
    }

    /// Gives an account a CNode that it was charged for before, all of whose slots are taken. Their
    /// record is in a cell that was set aside and prepared.
    pub(crate) fn adopt_full_node(&mut self, account: Ref<Account>, node: PageIndex) {
        let account = self.payer_for(account);
        let places = Places::of_full_node(node, account.link());
        let Ok(places) = self.alloc_set_aside(account, places) else {
            broken("cell that was prepared")
        };
        self.entry_mut(node).set_places(places.link());
        let pages = self.add_last::<PagesOfAccount>(self.ledger(account).slot_pages, places);
        self.ledger_mut(account).slot_pages = pages;
    }

    fn move_slot_page(&mut self, owner: Ref<Account>, page: Ref<Places>, to: End) {
        let pages = self.move_page(self.ledger(owner).slot_pages, page, to);
        self.ledger_mut(owner).slot_pages = pages;
    }

    /// Returns what is known of the cells of a page of records.
    pub(crate) fn cells_of(&self, page: PageIndex) -> &Places {
        match Ref::at(page, 0) {
            Some(places) => self.get(places),
            None => broken("page beyond the last cell"),
        }
    }

    /// Returns the record of the slots of a CNode.
    pub(crate) fn slots_of(&self, node: PageIndex) -> Ref<Places> {
        match self.entry(node).places().target() {
            Some(places) => places,
            None => broken("CNode without a record of its slots"),
        }
    }

    /// Returns the account that a page of records or slots belongs to.
    pub(crate) fn account_of_page(&self, page: Ref<Places>) -> Ref<Account> {
        match self.get(page).account.target() {
            Some(owner) => owner,
            None => broken("page without an owner"),
        }
    }

    /// Returns the account whose page a record is in.
    pub(crate) fn owner_of<T: Record>(&self, record: Ref<T>) -> Ref<Account> {
        self.account_of_page(record.places())
    }

    /// Returns the account that pays for a record.
    pub(crate) fn payer_of<T: Record>(&self, record: Ref<T>) -> Ref<Account> {
        self.payer_for(self.owner_of(record))
    }

    /// Returns whether a page of records has a free cell.
    pub(super) fn has_free_cells(&self, page: Ref<Places>) -> bool {
        !self.get(page).is_full()
    }

    /// Moves a page to one end of its ring and returns the first.
    pub(super) fn move_page(
        &mut self,
        pages: Link<Places>,
        page: Ref<Places>,
        to: End,
    ) -> Link<Places> {
        let rest = self.remove_from_chain::<PagesOfAccount>(pages, page);
        match to {
            End::First => self.add_first::<PagesOfAccount>(rest, page),
            End::Last => self.add_last::<PagesOfAccount>(rest, page),
        }
    }
}

/// An end of a ring.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    First,
    Last,
}
