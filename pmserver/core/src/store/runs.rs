// SPDX-License-Identifier: BSD-2-Clause
//! Runs: frames that nothing has happened to since they were allocated, 64 or 512 in one record.
//!
//! A run is *split* when something happens to one of its frames: into eight parts and, as often as
//! needed, down to single frames. A split fills the run's own place in the tree. The cells for all
//! records of its frames and for the nodes above them are *set aside* when the run is made: they
//! are charged then, so a split is never refused for want of memory. They are in pages of their
//! own, so that no other record takes them. Such a page is taken when its first cell is filled.
//!
//! ```text
//!   node of 64                    node of 64
//!     |     \                        |     \
//!   run 0-7  run 8-15     -->    run 0-7   node of 8
//!                                           | | | | | | | \
//!                                           8 9 ...         15
//! ```

use crate::kernel::{Kernel, KernelError, PageIndex};
use crate::records::account::{Account, Charge, Shortage};
use crate::records::broken::broken;
use crate::records::cell::{CELLS_PER_PAGE, Record, Ref, Stamp};
use crate::records::container::Container;
use crate::records::frame::{Frame, FramesOfAccount, LARGE_ORDER};
use crate::records::id::{CLUSTER, CLUSTER_ORDER, FrameId};
use crate::records::leaf::Leaf;
use crate::records::links::Link;
use crate::records::stock::Stock;
use crate::store::Store;
use crate::store::cells::End;
use crate::store::extra::Age;
use crate::store::radix::{FANOUT, Near, Node};

/// Pages that runs may take more than single frames: one for cells that were set aside, and one for
/// other records.
const PAGES_BESIDE: u64 = 2;

/// The room that an account has left if a few frames become a cluster: one with less counts pages.
const ROOM_FOR_FEW: u64 = 256;

/// More pages than one call takes before they are filled.
const UNFILLED_MAX: u32 = 64;

/// The orders of runs that nothing has been split off, the larger one first.
pub(crate) const RUN_ORDERS: [u8; 3] = [LARGE_ORDER, 6, CLUSTER_ORDER];

/// The frames of the smallest run.
pub(crate) const RUN_FRAMES_MIN: u64 = 1 << CLUSTER_ORDER;

/// Returns how many cells a run needs beside its own when all of its frames are single ones: one
/// for each other frame, and the nodes above them.
pub(crate) const fn cells_aside(order: u8) -> u32 {
    let others = (1_u32 << order).saturating_sub(1);
    others.saturating_add(others / 7)
}

impl<K: Kernel> Store<K> {
    /// Returns whether an account can pay for so many frames and their records if some of these are
    /// set aside, and so in pages of their own. With less room, single frames may fit (PM-15).
    pub(crate) fn has_room_beside(&self, account: Ref<Account>, frames: u64, order: u8) -> bool {
        let records = frames.saturating_mul(2).div_ceil(CELLS_PER_PAGE.into());
        let beside = if order == CLUSTER_ORDER { ROOM_FOR_FEW } else { PAGES_BESIDE };
        self.has_room(account, frames.saturating_add(records).saturating_add(beside))
    }

    /// Returns whether an account can pay for so many pages now.
    pub(crate) fn has_room(&self, account: Ref<Account>, pages: u64) -> bool {
        [self.get(account).room(), self.unused()].iter().all(|room| u64::from(*room) >= pages)
    }

    /// Charges so many runs and inserts them near a node; no record stands for their numbers.
    /// Returns how many were inserted: less than all if the account or the kernel refuses
    /// something.
    ///
    /// # Errors
    /// If the account cannot pay for all of them; it pays for none then.
    pub(crate) fn add_runs(
        &mut self,
        account: Ref<Account>,
        container: Ref<Container>,
        first: u64,
        (runs, order): (u32, u8),
        mut near: Near,
    ) -> Result<u32, Shortage> {
        let all = |cells: u32| cells.saturating_mul(runs);
        let cells = cells_aside(order).saturating_add(1);
        let pages = 1_u32 << order;
        self.set_aside(account, all(cells))?;
        self.charge_pages(account, Charge::Frames, all(pages))
            .inspect_err(|_| self.give_back(account, all(cells)))?;
        for (done, number) in (0..runs).zip((first..).step_by(1 << order)) {
            let run = Frame::new_run(container.link(), number, order);
            if self.insert_run(account, container, run, &mut near).is_err() {
                let rest = runs.saturating_sub(done);
                self.refund_pages(account, Charge::Frames, rest.saturating_mul(pages));
                self.give_back(account, rest.saturating_mul(cells));
                return Ok(done);
            }
        }
        Ok(runs)
    }

    /// Inserts a run, whose cell is set aside. If that is refused, the cell is set aside again.
    fn insert_run(
        &mut self,
        account: Ref<Account>,
        container: Ref<Container>,
        new: Frame,
        near: &mut Near,
    ) -> Result<(), Shortage> {
        let run = self.alloc_set_aside(account, new)?;
        let tree = self.get(container).frames;
        let tree = self.tree_insert_near(account, tree, run, near);
        let tree = tree.inspect_err(|_| self.empty_aside(account, run))?;
        self.add_to_list(account, run, Age::Newest);
        let record = self.get_mut(container);
        record.frames = tree;
        record.frame_count.add(new.frames());
        record.unused_from = record.unused_from.max(new.last().saturating_add(1));
        Ok(())
    }

    /// Splits a run, or a cluster that is not mapped, into eight parts. Its record becomes that of
    /// the last part.
    ///
    /// # Errors
    /// The kernel's error if it refuses a page for records; the run is then as it was.
    pub(crate) fn split_run(&mut self, run: Ref<Frame>) -> Result<(), KernelError> {
        let before = self.meter().spent();
        let record = *self.get(run);
        let container = self.container_of(run);
        let account = self.payer_of_container(container);
        let mut children = [run.cell(); FANOUT];
        let node = self
            .alloc_parts(account, &record, &mut children)
            .inspect_err(|_| self.free_parts(account, run, &children))?;
        let tree = self.get(container).frames;
        self.get_mut(container).frames = self.tree_replace(tree, record.key(), node);
        self.get_mut(run).become_part(CLUSTER - 1);
        let parts = children.iter().filter_map(|cell| Ref::from_cell(*cell));
        for (part, place) in parts.zip(0_u8..) {
            if part != run {
                // The list is newest first, as if they had been allocated one after the other.
                self.add_behind::<FramesOfAccount>(run, part);
            }
            if let Some(page) = record.page(place).filter(|_| record.is_cluster()) {
                self.replace_holder(page, FrameId::new(run, place), FrameId::first(part));
            }
        }
        self.meter().count_split(before);
        Ok(())
    }

    /// Returns the container of a frame or run.
    pub(crate) fn container_of(&self, frame: Ref<Frame>) -> Ref<Container> {
        match self.get(frame).container.target() {
            Some(container) => container,
            None => broken("frame without a container"),
        }
    }

    /// Makes the records of all parts of a run but the last, and the node above them.
    fn alloc_parts(
        &mut self,
        account: Ref<Account>,
        run: &Frame,
        children: &mut [u32; FANOUT],
    ) -> Result<Ref<Node>, KernelError> {
        for (place, child) in (0..CLUSTER - 1).zip(children.iter_mut()) {
            *child = self.alloc_set_aside(account, run.part(place))?.cell();
        }
        let shift = u32::from(run.order().saturating_sub(3));
        self.alloc_set_aside(account, Node::full(run.key(), shift, *children))
    }

    /// Frees the parts that were made when making the others was refused.
    fn free_parts(&mut self, account: Ref<Account>, run: Ref<Frame>, children: &[u32; FANOUT]) {
        let parts = children.iter().filter(|cell| **cell != run.cell());
        for part in parts.filter_map(|cell| Ref::<Frame>::from_cell(*cell)) {
            self.empty_aside(account, part);
        }
    }

    /// Frees the record of a frame or run that is in no tree and no list.
    #[inline(always)]
    pub(crate) fn free_frame(&mut self, frame: Ref<Frame>, order: u8) {
        if order > 0 {
            let (page, _) = frame.place();
            self.give_back(self.page_owner(page), cells_aside(order));
        }
        self.free(frame);
    }

    /// Returns what an account has set aside.
    pub(crate) fn stock(&self, account: Ref<Account>) -> Option<&Stock> {
        self.ledger(account).stock.target().map(|stock| self.get(stock))
    }

    /// Returns the same, for an account with pages of such cells.
    pub(super) fn stock_mut(&mut self, account: Ref<Account>) -> &mut Stock {
        match self.ledger(account).stock.target() {
            Some(stock) => self.get_mut(stock),
            None => broken("account that has set nothing aside"),
        }
    }

    /// Charges an account for cells that are filled later.
    ///
    /// # Errors
    /// If the account cannot pay for all of them; it pays for none then.
    pub(super) fn set_aside(&mut self, account: Ref<Account>, cells: u32) -> Result<(), Shortage> {
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
    ) -> Result<(), Shortage> {
        let stock = match self.ledger(account).stock.target() {
            Some(stock) => stock,
            None => {
                let stock = self.alloc(account, Stock::EMPTY)?;
                self.ledger_mut(account).stock = stock.link();
                stock
            }
        };
        let missing = cells.saturating_sub(self.get(stock).spare.get());
        let pages = missing.div_ceil(CELLS_PER_PAGE);
        if pages > 0 || objects > 0 {
            self.charge_pages(account, Charge::Records, pages.saturating_add(objects))
                .inspect_err(|_| self.review_stock(account))?;
            let stock = self.get_mut(stock);
            stock.objects.add(objects);
            stock.pages.add(pages);
            stock.spare.add(pages.saturating_mul(CELLS_PER_PAGE));
        }
        let stock = self.get_mut(stock);
        stock.spare.subtract(cells);
        stock.aside.add(cells);
        Ok(())
    }

    /// Ends that cells are set aside.
    pub(crate) fn give_back(&mut self, account: Ref<Account>, cells: u32) {
        self.give_back_with(account, cells, 0);
    }

    /// Ends that cells and pages are set aside.
    pub(crate) fn give_back_with(&mut self, account: Ref<Account>, cells: u32, objects: u32) {
        let stock = self.stock_mut(account);
        stock.aside.subtract(cells);
        stock.spare.add(cells);
        stock.objects.subtract(objects);
        // Most often no page can be refunded yet, and the stock is needed still.
        let is_used = stock.spare.get() < CELLS_PER_PAGE && !stock.aside.is_zero();
        if objects > 0 || !is_used {
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
        let pages = stock.pages.get().min(stock.spare.get() / CELLS_PER_PAGE);
        stock.pages.subtract(pages);
        stock.spare.subtract(pages.saturating_mul(CELLS_PER_PAGE));
        let is_empty = stock.aside.is_zero() && stock.objects.is_zero() && stock.record_pages == 0;
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
        let page = match PageIndex::from_link(self.stock_mut(account).record_pages) {
            Some(page) if !self.is_full_of_cells(page) => page,
            _ => self.take_aside_page(account)?,
        };
        let record = self.fill(page, &record, Stamp::unnamed(T::KIND));
        if self.is_full_of_cells(page) {
            self.move_aside_page(account, page, End::Last);
        }
        self.stock_mut(account).aside.down();
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
            let in_pages = all.saturating_sub(stock.pages.get().saturating_mul(CELLS_PER_PAGE));
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
        let mut next = PageIndex::from_link(self.stock_mut(account).record_pages);
        // They were put before all others.
        for _ in 0..UNFILLED_MAX {
            let Some(page) = next.filter(|page| !self.is_full_of_cells(*page)) else { break };
            let first = self.stock_mut(account).record_pages;
            let after = self.entry(page).next;
            next = PageIndex::from_link(after).filter(|_| after != first);
            if self.entry(page).taken == 0 {
                let pages = self.unlink_page(first, page);
                self.release_record_page(page);
                let stock = self.stock_mut(account);
                stock.record_pages = pages;
                stock.pages.up();
            }
        }
        self.review_stock(account);
    }

    fn take_aside_page(&mut self, account: Ref<Account>) -> Result<PageIndex, KernelError> {
        let page = self.take_record_page(account.link())?;
        self.entry_mut(page).set_aside(true);
        let first = self.stock_mut(account).record_pages;
        let pages = self.link_page(first, page);
        let stock = self.stock_mut(account);
        stock.record_pages = pages;
        stock.pages.down();
        Ok(page)
    }

    fn move_aside_page(&mut self, account: Ref<Account>, page: PageIndex, to: End) {
        let first = self.stock_mut(account).record_pages;
        let pages = self.move_page(first, page, to);
        self.stock_mut(account).record_pages = pages;
    }

    /// Frees a record in a page of cells that were set aside; sets its cell aside again.
    pub(super) fn empty_aside<T: Record>(&mut self, account: Ref<Account>, record: Ref<T>) {
        let (page, _) = record.place();
        let was_full = self.is_full_of_cells(page);
        if self.empty(record) == 0 && !self.keeps_unfilled {
            let first = self.stock_mut(account).record_pages;
            let pages = self.unlink_page(first, page);
            self.release_record_page(page);
            let stock = self.stock_mut(account);
            stock.record_pages = pages;
            stock.pages.up();
        } else if was_full {
            self.move_aside_page(account, page, End::First);
        }
        self.stock_mut(account).aside.up();
    }
}
