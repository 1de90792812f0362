// SPDX-License-Identifier: BSD-2-Clause
//! Cells that are set aside: an account is charged for records that splitting will need, before it
//! is known when. They are in pages of their own, so that no other record takes them; such a page
//! is taken when its first cell is filled. The third record of the account counts them.

use crate::kernel::{Kernel, KernelError};
use crate::records::account::{Account, AccountFlags, Charge, Shortage};
use crate::records::broken::broken;
use crate::records::cell::{Record, Ref, Stamp};
use crate::records::links::Link;
use crate::records::places::{PagesOfAccount, Places, RECORDS_PER_PAGE};
use crate::records::stock::Stock;
use crate::store::cells::End;
use crate::store::{Emptied, Store};

/// More pages than one call takes before they are filled.
const UNFILLED_MAX: u32 = 64;

impl<K: Kernel> Store<K> {
    pub(super) fn sets_singles_aside(&self, account: Ref<Account>) -> bool {
        self.get(account).has(AccountFlags::EXTRA) && self.stock(account).is_some()
    }

    /// Says whether an account may have extra frames.
    ///
    /// # Errors
    /// If it may, and cannot pay for what is then set aside for single frames.
    pub(crate) fn set_may_have_extra(
        &mut self,
        account: Ref<Account>,
        value: bool,
    ) -> Result<(), Shortage> {
        let joint = self.stock(account).map_or(0, |stock| stock.joint.get());
        if joint > 0 && value != self.get(account).has(AccountFlags::EXTRA) {
            if value {
                self.set_aside(account, joint)?;
            } else {
                self.give_back(account, joint);
            }
        }
        self.get_mut(account).set(AccountFlags::EXTRA, value);
        Ok(())
    }

    /// Ends that frames of an account share a record, which has set so many cells aside beside
    /// those for single frames.
    #[inline(always)]
    pub(super) fn leave_stock(&mut self, account: Ref<Account>, frames: u32, cells: u32) {
        let singles = if self.get(account).has(AccountFlags::EXTRA) { frames } else { 0 };
        if let Some(stock) = self.ledger(account).stock.target() {
            self.get_mut(stock).joint.subtract(frames);
            self.give_back_to(stock, account, (cells.saturating_add(singles), 0));
        }
    }

    /// Ends that frames of a cluster share a record; cells for records of their own are set aside
    /// afterwards, whether they were before or not.
    ///
    /// # Errors
    /// If the account cannot pay for those.
    pub(super) fn pay_for_singles(
        &mut self,
        account: Ref<Account>,
        frames: u32,
    ) -> Result<(), Shortage> {
        // Nobody pays for what is left of an account that was removed.
        self.stock(account).ok_or(Shortage::Account)?;
        if !self.sets_singles_aside(account) {
            self.set_aside(account, frames)?;
        }
        self.stock_mut(account).joint.subtract(frames);
        Ok(())
    }

    /// Undoes [`Self::pay_for_singles`].
    pub(super) fn refund_singles(&mut self, account: Ref<Account>, frames: u32) {
        self.stock_mut(account).joint.add(frames);
        if !self.sets_singles_aside(account) {
            self.give_back(account, frames);
        }
    }

    /// Returns what an account has set aside.
    pub(crate) fn stock(&self, account: Ref<Account>) -> Option<&Stock> {
        self.ledger(account).stock.target().map(|stock| self.get(stock))
    }

    /// Returns the same, for an account with pages of such cells.
    pub(super) fn stock_mut(&mut self, account: Ref<Account>) -> &mut Stock {
        let stock = self.stock_of(account);
        self.get_mut(stock)
    }

    fn stock_of(&self, account: Ref<Account>) -> Ref<Stock> {
        match self.ledger(account).stock.target() {
            Some(stock) => stock,
            None => broken("account that has set nothing aside"),
        }
    }

    /// Charges an account for cells that are filled later.
    ///
    /// # Errors
    /// If the account cannot pay for all of them; it pays for none then.
    pub(crate) fn set_aside(
        &mut self,
        account: Ref<Account>,
        cells: u32,
    ) -> Result<Ref<Stock>, Shortage> {
        self.set_aside_with(account, cells, 0)
    }

    /// Charges an account for cells that are filled later, and for pages that are made into other
    /// objects later.
    ///
    /// # Errors
    /// As [`Self::set_aside`].
    pub(crate) fn set_aside_with(
        &mut self,
        account: Ref<Account>,
        cells: u32,
        objects: u32,
    ) -> Result<Ref<Stock>, Shortage> {
        let stock = match self.ledger(account).stock.target() {
            Some(stock) => stock,
            None => {
                let stock = self.alloc(account, Stock::EMPTY)?;
                self.ledger_mut(account).stock = stock.link();
                stock
            }
        };
        let missing = cells.saturating_sub(self.get(stock).spare.get());
        let pages = missing.div_ceil(RECORDS_PER_PAGE);
        if pages > 0 || objects > 0 {
            self.charge_pages(account, Charge::Records, pages.saturating_add(objects))
                .inspect_err(|_| self.review_stock(account))?;
            let stock = self.get_mut(stock);
            stock.objects.add(objects);
            stock.pages.add(pages);
            stock.spare.add(pages.saturating_mul(RECORDS_PER_PAGE));
        }
        let record = self.get_mut(stock);
        record.spare.subtract(cells);
        record.aside.add(cells);
        Ok(stock)
    }

    /// Ends that cells are set aside.
    pub(crate) fn give_back(&mut self, account: Ref<Account>, cells: u32) {
        self.give_back_with(account, cells, 0);
    }

    /// Ends that cells and pages are set aside.
    pub(crate) fn give_back_with(&mut self, account: Ref<Account>, cells: u32, objects: u32) {
        self.give_back_to(self.stock_of(account), account, (cells, objects));
    }

    #[inline(always)]
    fn give_back_to(
        &mut self,
        stock: Ref<Stock>,
        account: Ref<Account>,
        (cells, objects): (u32, u32),
    ) {
        let stock = self.get_mut(stock);
        stock.aside.subtract(cells);
        stock.spare.add(cells);
        stock.objects.subtract(objects);
        // Most often no page can be refunded yet, and the stock is needed still.
        if objects > 0 || stock.unneeded() > 0 || stock.is_empty() {
            self.review(account, objects);
        }
    }

    /// Charges pages that were set aside as what they are now.
    pub(crate) fn use_objects(&mut self, account: Ref<Account>, kind: Charge, pages: u32) {
        self.stock_mut(account).objects.subtract(pages);
        for _ in 0..pages {
            self.convert(account, Charge::Records, kind);
        }
    }

    /// Refunds what an account has paid for pages that are not needed, and ends its stock if
    /// nothing is left of it.
    pub(super) fn review_stock(&mut self, account: Ref<Account>) {
        self.review(account, 0);
    }

    /// The same, when pages that were set aside are refunded, too.
    fn review(&mut self, account: Ref<Account>, objects: u32) {
        let stock = self.stock_mut(account);
        let pages = stock.unneeded();
        stock.pages.subtract(pages);
        stock.spare.subtract(pages.saturating_mul(RECORDS_PER_PAGE));
        let is_empty = stock.is_empty();
        let refunded = pages.saturating_add(objects);
        if refunded > 0 {
            self.refund_pages(account, Charge::Records, refunded);
        }
        let stock = self.ledger(account).stock.target();
        if let Some(stock) = stock.filter(|_| is_empty) {
            self.ledger_mut(account).stock = Link::NONE;
            self.free(stock);
        }
    }

    /// Stores a record that no handle names in a cell that was set aside.
    ///
    /// # Errors
    /// The kernel's error if it refuses the page; the cell is then still set aside.
    pub(crate) fn alloc_set_aside<T: Record>(
        &mut self,
        account: Ref<Account>,
        record: T,
    ) -> Result<Ref<T>, KernelError> {
        let stock = self.stock_of(account);
        let page = match self.get(stock).record_pages.target() {
            Some(page) if self.has_free_cells(page) => page,
            _ => self.take_aside_page(account)?,
        };
        let (record, has_more) = self.fill(page, &record, Stamp::unnamed(T::KIND));
        if !has_more {
            self.move_aside_page(account, page, End::Last);
        }
        self.get_mut(stock).aside.down();
        Ok(record)
    }

    /// Takes the pages of so many of the cells that an account has set aside, so that filling them
    /// needs nothing of the kernel. Pages that get empty stay until [`Self::release_unfilled`].
    ///
    /// # Errors
    /// The kernel's error; pages that were taken stay taken.
    pub(crate) fn prepare_aside(
        &mut self,
        account: Ref<Account>,
        cells: u32,
    ) -> Result<(), KernelError> {
        self.keeps_unfilled = true;
        loop {
            let stock = self.stock_mut(account);
            let all = stock.spare.get().saturating_add(stock.aside.get());
            let in_pages = all.saturating_sub(stock.pages.get().saturating_mul(RECORDS_PER_PAGE));
            if in_pages >= cells || stock.pages.is_zero() {
                return Ok(());
            }
            self.take_aside_page(account)?;
        }
    }

    /// Releases pages that were taken to be filled and were not: they are still charged, but nobody
    /// empties them.
    pub(crate) fn release_unfilled(&mut self, account: Ref<Account>) {
        self.keeps_unfilled = false;
        if self.stock(account).is_none() {
            return;
        }
        let mut next = self.stock_mut(account).record_pages.target();
        // They were put before all others.
        for _ in 0..UNFILLED_MAX {
            let Some(page) = next.filter(|page| self.has_free_cells(*page)) else { break };
            let first = self.stock_mut(account).record_pages;
            next = self.next_of::<PagesOfAccount>(first, page);
            if self.get(page).is_empty() {
                let pages = self.remove_from_chain::<PagesOfAccount>(first, page);
                self.release_record_page(page);
                let stock = self.stock_mut(account);
                stock.record_pages = pages;
                stock.pages.up();
            }
        }
        self.review_stock(account);
    }

    fn take_aside_page(&mut self, account: Ref<Account>) -> Result<Ref<Places>, KernelError> {
        let page = self.take_record_page(account.link())?;
        self.get_mut(page).set_aside();
        let first = self.stock_mut(account).record_pages;
        let pages = self.add_first::<PagesOfAccount>(first, page);
        let stock = self.stock_mut(account);
        stock.record_pages = pages;
        stock.pages.down();
        Ok(page)
    }

    fn move_aside_page(&mut self, account: Ref<Account>, page: Ref<Places>, to: End) {
        let first = self.stock_mut(account).record_pages;
        let pages = self.move_page(first, page, to);
        self.stock_mut(account).record_pages = pages;
    }

    /// Frees a record in a page of cells that were set aside; sets its cell aside again.
    pub(super) fn empty_aside<T: Record>(&mut self, account: Ref<Account>, record: Ref<T>) {
        let emptied = self.empty(record);
        self.set_aside_again(account, emptied);
    }

    /// Sets the cell of a record that was freed aside again.
    #[inline(always)]
    fn set_aside_again(&mut self, account: Ref<Account>, emptied: Emptied) -> Ref<Stock> {
        let stock = self.stock_of(account);
        let Emptied { page, was_full, is_empty, .. } = emptied;
        if is_empty && !self.keeps_unfilled {
            let pages = self.get(stock).record_pages;
            let pages = self.remove_from_chain::<PagesOfAccount>(pages, page);
            self.release_record_page(page);
            let stock = self.get_mut(stock);
            stock.record_pages = pages;
            stock.pages.up();
        } else if was_full {
            self.move_aside_page(account, page, End::First);
        }
        self.get_mut(stock).aside.up();
        stock
    }

    /// Gives back the cell of a record that was freed, in a page of cells that were set aside.
    #[inline(never)]
    pub(super) fn free_aside(&mut self, emptied: Emptied) {
        let owner = self.account_of_page(emptied.page);
        let stock = self.set_aside_again(owner, emptied);
        self.give_back_to(stock, owner, (1, 0));
    }
}
