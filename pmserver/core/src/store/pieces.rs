// SPDX-License-Identifier: BSD-2-Clause
//! Pieces of 256 KiB (decision 0042), eight of a block that is divided: one invocation of the
//! kernel makes the 64 frames of a bound run.
//!
//! ```text
//!   whole ---- make frames ----> a bound run ---- release ----> dirty ---- join ----> whole
//!     |                           |      |                        ^
//!     | cut                 split |      | split by copying       | the last one is released
//!     v                           v      +----------------------->|
//!   64 untyped pages             parts: frames like any others ---+
//! ```
//!
//! None of these frames can become a page table or a CNode. So they are in use as a whole, and free
//! as a whole, and a free piece can be cut. When a bound run is split its frames are used one by
//! one, and one of them keeps the others from becoming anything else. Then the pool's account is
//! charged for 64 pages more, until all of them are free: what others were promised can be had from
//! the rest of the pool. If it cannot pay, the run gets other pages (`frames/moved_runs.rs`), and
//! as long as there is a run on a piece it is charged for the 64 pages that this takes for a time.

use proto::PAGE_BYTES;

use crate::kernel::{BLOCK_PAGES, Kernel, KernelError, PIECE_PAGES, PageIndex};
use crate::records::account::{Charge, Shortage};
use crate::records::broken::broken;
use crate::records::frame::RUN_PAGES;
use crate::records::page::{BYTES_PER_PAGE, PageEntry, PageUse};
use crate::store::Store;

#[allow(clippy::as_conversions)] // To a wider type.
const _: () = assert!(RUN_PAGES as u32 == PIECE_PAGES, "a bound run fills a piece");

/// The uses of the first page of a free piece.
pub(super) const FREE_PIECES: [PageUse; 2] = [PageUse::Piece, PageUse::PieceDirty];

/// The uses of a free frame of a piece of which others are in use one by one.
pub(crate) const FREE_PARTS: [PageUse; 2] = [PageUse::PartDirty, PageUse::PartClean];

#[allow(clippy::as_conversions)] // 64 is 64 everywhere.
const ALL: u8 = RUN_PAGES as u8;

impl<K: Kernel> Store<K> {
    /// Takes a piece for a run, all zero, and returns the first page. Nobody holds it yet.
    ///
    /// # Errors
    /// `NotEnoughMemory` if no piece is free, or nothing to copy it to; else the kernel's error.
    pub(super) fn take_piece(&mut self) -> Result<PageIndex, KernelError> {
        self.keep(PIECE_PAGES)?;
        let piece = self.whole_piece().and_then(|piece| {
            self.kernel.make_frames(piece)?;
            self.unlink_free(piece, PageUse::Piece);
            Ok(piece)
        });
        let piece = piece.inspect_err(|_| self.keep_as_needed())?;
        let mut entry = PageEntry::new(PageUse::Run);
        let pages = pages_of(piece);
        for (page, next) in pages.clone().zip(pages.skip(1).chain([piece])) {
            entry.set_of_piece(true);
            entry.set_next(next.get());
            *self.entry_mut(page) = entry;
            entry = PageEntry::new(PageUse::InRun);
        }
        self.runs_on_pieces.up();
        Ok(piece)
    }

    /// Returns a piece that is free and whole. Divides a block for it as long as there are many.
    fn whole_piece(&mut self) -> Result<PageIndex, KernelError> {
        if self.pieces.count.is_zero() {
            if self.has_many_blocks() {
                self.divide_block()?;
            } else {
                let dirty = PageIndex::from_link(self.pieces_dirty.head);
                self.join_piece(dirty.ok_or(KernelError::NotEnoughMemory)?)?;
            }
        }
        PageIndex::from_link(self.pieces.head).ok_or(KernelError::NotEnoughMemory)
    }

    fn divide_block(&mut self) -> Result<(), KernelError> {
        let block = PageIndex::from_link(self.blocks.head).ok_or(KernelError::NotEnoughMemory)?;
        self.kernel.divide(block)?;
        self.unlink_free(block, PageUse::Block);
        for piece in (0..BLOCK_PAGES / PIECE_PAGES).rev() {
            let first = block.get().saturating_add(piece.saturating_mul(PIECE_PAGES));
            self.push_free(PageIndex::new(first), PageUse::Piece);
        }
        Ok(())
    }

    fn join_piece(&mut self, piece: PageIndex) -> Result<(), KernelError> {
        self.kernel.join_piece(piece)?;
        self.unlink_free(piece, PageUse::PieceDirty);
        self.push_free(piece, PageUse::Piece);
        Ok(())
    }

    /// Makes the pages of a free piece untyped ones.
    ///
    /// # Errors
    /// The kernel's error; the piece is then free, and whole or as it was.
    pub(super) fn cut_piece(&mut self, piece: PageIndex) -> Result<(), KernelError> {
        if self.entry(piece).is(PageUse::PieceDirty) {
            self.join_piece(piece)?;
        }
        self.kernel.cut_piece(piece)?;
        self.unlink_free(piece, PageUse::Piece);
        self.push_untyped(piece, PIECE_PAGES);
        Ok(())
    }

    /// Returns the first page of the piece that a page of a block is in.
    pub(crate) fn piece_of(&self, page: PageIndex) -> PageIndex {
        let number = self.kernel.physical_address(page) / PAGE_BYTES;
        let place = number.checked_rem(PIECE_PAGES.into()).and_then(|it| u32::try_from(it).ok());
        PageIndex::new(page.get().saturating_sub(place.unwrap_or(0)))
    }

    /// Releases a piece on which a run was that nobody is on any more.
    pub(super) fn release_piece(&mut self, piece: PageIndex) {
        self.end_splitting(piece);
        self.push_dirty(piece);
        self.runs_on_pieces.down();
        self.keep_as_needed();
    }

    fn push_dirty(&mut self, piece: PageIndex) {
        for page in pages_of(piece) {
            *self.entry_mut(page) = PageEntry::new(PageUse::InBlock);
        }
        self.push_free(piece, PageUse::PieceDirty);
    }

    /// Makes the copies of the pages of a run the pages of that run, and returns the first. Nobody
    /// is on the piece then.
    pub(crate) fn join_copies(&mut self, piece: PageIndex) -> PageIndex {
        let mut copy = self.splitting.and_then(|splitting| splitting.last_copy_of_run());
        self.splitting = None;
        let Some(last) = copy else { broken("a run without copies") };
        // Each gets the entry of the page that it is a copy of: some name holders.
        let mut originals = pages_of(piece).rev();
        let (mut next, mut first) = (last, last);
        while let Some((page, original)) = copy.zip(originals.next()) {
            copy = self.entry(page).copy();
            let mut entry = *self.entry(original);
            entry.set_of_piece(false);
            entry.set_next(next.get());
            *self.entry_mut(page) = entry;
            (next, first) = (page, page);
        }
        self.entry_mut(last).set_next(first.get());
        first
    }

    /// Begins to use the frames of a piece one by one. Returns whether the pool's account pays.
    pub(crate) fn begin_parts(&mut self, piece: PageIndex) -> bool {
        let is_paid = self.charge_pool(PIECE_PAGES).is_ok();
        if is_paid {
            self.pieces_in_parts.up();
            self.runs_on_pieces.down();
            self.keep_as_needed();
            *self.used_of_piece_mut(piece) = ALL;
        }
        is_paid
    }

    /// Takes a free frame of a piece that is used one by one, all zero.
    ///
    /// # Errors
    /// The kernel's error; it is then free as before.
    pub(super) fn take_part(&mut self, page: PageIndex) -> Result<(), KernelError> {
        if self.entry(page).is(PageUse::PartDirty) {
            self.kernel.overwrite_page(self.zero, page)?;
        }
        *self.entry_mut(page) = self.entry(page).reused_as(PageUse::Frame);
        self.count_parts(page, u8::checked_add);
        Ok(())
    }

    /// Releases a frame of a piece that is used one by one; with the last one all are free.
    pub(super) fn release_part(&mut self, page: PageIndex, used_as: PageUse) {
        let is_clean = used_as == PageUse::Clean;
        let used_as = if is_clean { PageUse::PartClean } else { PageUse::PartDirty };
        *self.entry_mut(page) = self.entry(page).reused_as(used_as);
        let (piece, used) = self.count_parts(page, u8::checked_sub);
        if used == 0 {
            self.push_dirty(piece);
            self.pieces_in_parts.down();
            self.refund_pages(self.pool(), Charge::Records, PIECE_PAGES);
        }
    }

    fn count_parts(
        &mut self,
        page: PageIndex,
        change: fn(u8, u8) -> Option<u8>,
    ) -> (PageIndex, u8) {
        let piece = self.piece_of(page);
        let count = self.used_of_piece_mut(piece);
        let Some(used) = change(*count, 1) else { broken("a piece of which nothing is in use") };
        *count = used;
        (piece, used)
    }

    /// Returns how many frames of a piece are in use one by one.
    pub(crate) fn used_of_piece(&self, piece: PageIndex) -> u8 {
        let [used] = self.kernel.record_piece(self.place_of_count(piece));
        *used
    }

    fn used_of_piece_mut(&mut self, piece: PageIndex) -> &mut u8 {
        let place = self.place_of_count(piece);
        let [used] = self.kernel.record_piece_mut(place);
        used
    }

    /// Returns which byte of the pool counts that: behind the frame table and the fourth holders
    /// there is one for each 64 pages, wherever pieces begin among them.
    fn place_of_count(&self, piece: PageIndex) -> u32 {
        let before = self.page_count().saturating_mul(BYTES_PER_PAGE);
        before.saturating_add(piece.get() / PIECE_PAGES)
    }

    /// Returns how many pages are charged to the pool's account for large frames and pieces.
    pub(crate) fn kept(&self) -> u32 {
        self.kept.saturating_add(self.pieces_in_parts.get().saturating_mul(PIECE_PAGES))
    }

    /// Charges the pool's account for copying what is in use as a whole, so many pages.
    ///
    /// # Errors
    /// `NotEnoughMemory` if so much is promised to others.
    pub(super) fn keep(&mut self, pages: u32) -> Result<(), KernelError> {
        if let Some(more) = pages.checked_sub(self.kept) {
            self.charge_pool(more)?;
            self.kept = pages;
        }
        Ok(())
    }

    /// Refunds what is kept and not needed.
    pub(super) fn keep_as_needed(&mut self) {
        let needed = if !self.larges.is_zero() {
            BLOCK_PAGES
        } else if !self.runs_on_pieces.is_zero() {
            PIECE_PAGES
        } else {
            0
        };
        if let Some(less) = self.kept.checked_sub(needed).filter(|less| *less > 0) {
            self.refund_pages(self.pool(), Charge::Records, less);
            self.kept = needed;
        }
    }

    fn charge_pool(&mut self, pages: u32) -> Result<(), KernelError> {
        let is_starved = self.is_starved;
        let charged = self.charge_pages(self.pool(), Charge::Records, pages);
        // Nobody has to give back memory for this: the frames can be had one by one.
        self.is_starved = is_starved;
        charged.map_err(|_: Shortage| KernelError::NotEnoughMemory)
    }
}

/// Returns the pages of a piece.
pub(crate) fn pages_of(piece: PageIndex) -> impl DoubleEndedIterator<Item = PageIndex> + Clone {
    (piece.get()..piece.get().saturating_add(PIECE_PAGES)).map(PageIndex::new)
}
