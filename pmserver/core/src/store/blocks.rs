// SPDX-License-Identifier: BSD-2-Clause
//! Blocks of 2 MiB (decision 0039): whole, cut into pages, or large frames.
//!
//! ```text
//!   whole ---- cut ----> 512 untyped pages
//!     |   <--- join ---- (a large frame that is free)
//!     +---- make ----> large frame ---- release ----> dirty
//!                           ^                           | clear
//!                           +---------------------------+
//! ```
//!
//! A block may also be divided into eight pieces (`pieces.rs`).
//!
//! A large frame is split by copying its pages one after the other, and its block is free
//! afterwards (`frames/large.rs`). The pages for the copies are charged to the pool's account as
//! long as there is a large frame: if limits promise all of the pool, there are none. A pool that
//! has few blocks has no large frames either, and all of it is cut at the start.

use proto::PAGE_BYTES;

use crate::kernel::{BLOCK_PAGES, Kernel, KernelError, ObjectKind, PageIndex};
use crate::records::broken::broken;
use crate::records::frame::LARGE_PAGES;
use crate::records::page::{PageEntry, PageUse};
use crate::store::Store;
use crate::store::pieces::FREE_PIECES;

/// A pool with fewer blocks has no large frames.
const BLOCKS_MIN: u32 = 16;

/// How many small pages are free at the beginning of a call, if there is a block to cut: more than
/// a call takes, so that no call cuts a block in its middle.
pub(super) const SMALL_PAGES_MIN: u32 = 640;

/// How many of them need not be cleared, as long as there are many blocks: more than one copy
/// takes.
const READY_PAGES_MIN: u32 = 160;

/// The uses of the first page of a free block, in the order in which blocks are cut.
pub(super) const FREE_BLOCKS: [PageUse; 2] = [PageUse::Block, PageUse::LargeDirty];

/// A large frame, or a bound run on a piece, that is being split: its pages are copied, then it is
/// replaced by them.
#[derive(Clone, Copy)]
pub(crate) struct Splitting {
    pub(crate) block: PageIndex,
    /// How many of its pages were copied.
    pub(crate) copied: u16,
    /// The copies of a run's pages, the last one first. The entry of a page of a large frame names
    /// its copy.
    copies_of_run: u32,
    /// Whether virtual frames are being moved to them.
    is_joining: bool,
}

impl Splitting {
    /// Returns the copy of the last page of a run.
    pub(super) fn last_copy_of_run(&self) -> Option<PageIndex> {
        PageIndex::from_link(self.copies_of_run)
    }
}

impl<K: Kernel> Store<K> {
    /// Puts the pages that are not reserved into their lists: those of no block, or of one that is
    /// cut, as untyped ones, and the blocks.
    ///
    /// # Errors
    /// The kernel's error if it refuses to cut a block.
    pub(super) fn list_free(&mut self) -> Result<(), KernelError> {
        let mut blocks: u32 = 0;
        let mut end = self.page_count();
        while let Some(page) = end.checked_sub(1).filter(|page| *page >= self.reserved) {
            let page = PageIndex::new(page);
            match self.block_of(page).filter(|block| block.get() >= self.reserved) {
                Some(block) => {
                    self.push_free(block, PageUse::Block);
                    blocks = blocks.saturating_add(1);
                    end = block.get();
                }
                None => {
                    self.push_free(page, PageUse::Untyped);
                    end = page.get();
                }
            }
        }
        let all = blocks < BLOCKS_MIN;
        while !self.blocks.count.is_zero() && (all || self.has_few_small_pages()) {
            self.cut_any()?;
        }
        Ok(())
    }

    fn has_few_small_pages(&self) -> bool {
        let [untyped, clean, dirty] =
            [self.untyped, self.clean, self.dirty].map(|list| list.count.get());
        let ready = untyped.saturating_add(clean);
        ready.saturating_add(dirty) < SMALL_PAGES_MIN
            || ready < READY_PAGES_MIN && self.has_many_blocks()
    }

    /// Returns whether so many blocks were never used that cutting one is better than to use pages
    /// again, which the kernel has to clear.
    pub(super) fn has_many_blocks(&self) -> bool {
        self.blocks.count.get() > BLOCKS_MIN / 2
    }

    /// Returns the block that a page is in.
    pub(crate) fn block_of(&self, page: PageIndex) -> Option<PageIndex> {
        let number = self.kernel.physical_address(page).checked_div(PAGE_BYTES)?;
        let place = u32::try_from(number.checked_rem(BLOCK_PAGES.into())?).ok()?;
        let block = PageIndex::new(page.get().checked_sub(place)?);
        self.kernel.is_block(block).then_some(block)
    }

    /// Returns the free block, or the free piece, that a page is in.
    pub(super) fn free_whole_of(&self, page: PageIndex) -> Option<PageIndex> {
        let entry = self.entry(page);
        let uses = [FREE_BLOCKS, FREE_PIECES];
        if !entry.is(PageUse::InBlock) && !uses.iter().any(|uses| entry.is_one_of(uses)) {
            return None;
        }
        let firsts = [self.block_of(page), Some(self.piece_of(page))];
        let mut firsts = firsts.into_iter().zip(uses);
        firsts.find_map(|(first, uses)| first.filter(|first| self.entry(*first).is_one_of(&uses)))
    }

    /// Cuts a block if few small pages are free. Called when a call begins.
    pub(crate) fn stock_small_pages(&mut self) {
        if core::mem::take(&mut self.is_short) && self.has_few_small_pages() {
            // If the kernel refuses, the call that needs a page says so.
            let _ = self.cut_any();
        }
    }

    /// Cuts a free block, or else a free piece, if there is one.
    pub(super) fn cut_any(&mut self) -> Result<(), KernelError> {
        let lists = [self.blocks, self.large_dirty, self.pieces, self.pieces_dirty];
        let first = lists.iter().find_map(|list| PageIndex::from_link(list.head));
        let before = self.meter().spent();
        let cut = self.cut_whole(first.ok_or(KernelError::NotEnoughMemory)?);
        self.meter().count_split(before);
        cut
    }

    /// Cuts the free block or the free piece that begins at a page.
    pub(super) fn cut_whole(&mut self, first: PageIndex) -> Result<(), KernelError> {
        let is_block = self.entry(first).is_one_of(&FREE_BLOCKS);
        if is_block { self.cut_block(first) } else { self.cut_piece(first) }
    }

    /// Makes the pages of a free block untyped ones.
    ///
    /// # Errors
    /// The kernel's error; the block is then free, and whole or as it was.
    fn cut_block(&mut self, block: PageIndex) -> Result<(), KernelError> {
        let mut from = self.free_use(block).ok_or(KernelError::Refused)?;
        if from != PageUse::Block {
            self.kernel.join(block)?;
            self.unlink_free(block, from);
            from = PageUse::Block;
            self.push_free(block, from);
        }
        self.kernel.cut(block)?;
        self.unlink_free(block, from);
        self.push_untyped(block, BLOCK_PAGES);
        Ok(())
    }

    /// Puts the pages of what was cut into their list.
    pub(super) fn push_untyped(&mut self, first: PageIndex, pages: u32) {
        let end = first.get().saturating_add(pages);
        for page in (first.get()..end).rev() {
            self.push_free(PageIndex::new(page), PageUse::Untyped);
        }
    }

    /// Takes a large frame, all zero. Its entry says so and nothing else.
    ///
    /// # Errors
    /// `NotEnoughMemory` if no block is free, or nothing to split it with; else the kernel's error.
    pub(crate) fn take_large(&mut self) -> Result<PageIndex, KernelError> {
        self.keep(BLOCK_PAGES)?;
        let block = self.take_large_block().inspect_err(|_| self.keep_as_needed())?;
        *self.entry_mut(block) = PageEntry::new(PageUse::Large);
        self.larges.up();
        Ok(block)
    }

    fn take_large_block(&mut self) -> Result<PageIndex, KernelError> {
        if let Some(block) = self.pop_free(PageUse::Block) {
            self.kernel.make_large(block).inspect_err(|_| self.push_free(block, PageUse::Block))?;
            return Ok(block);
        }
        let block = self.pop_free(PageUse::LargeDirty).ok_or(KernelError::NotEnoughMemory)?;
        let cleared = self.kernel.clear_large(block, 0, LARGE_PAGES);
        let cleared = cleared.and_then(|()| self.kernel.end_copies());
        cleared.inspect_err(|_| self.push_free(block, PageUse::LargeDirty))?;
        Ok(block)
    }

    /// Releases a large frame that nothing maps. Its contents stay until it is taken again.
    pub(super) fn release_large(&mut self, block: PageIndex) {
        self.end_splitting(block);
        self.push_free(block, PageUse::LargeDirty);
        self.larges.down();
        self.keep_as_needed();
    }

    /// Returns whether the pages of a large frame, or of a bound run, are being copied. It is
    /// mapped nowhere then, so that they do not change.
    pub(crate) fn is_splitting(&self, block: PageIndex) -> bool {
        self.splitting.is_some_and(|splitting| splitting.block == block)
    }

    /// Copies the next page of the large frame or the bound run that is being split.
    ///
    /// # Errors
    /// The kernel's error; the page is then copied the next time.
    pub(crate) fn copy_next_part(&mut self) -> Result<(), KernelError> {
        let Some(splitting) = self.splitting else { return Ok(()) };
        let page = self.take(ObjectKind::Frame, PageUse::Copied)?;
        let Splitting { block, copied: part, .. } = splitting;
        let is_run = self.entry(block).is(PageUse::Run);
        let copied = if is_run {
            self.kernel.copy_page(page_of_block(block, part), page)
        } else {
            self.kernel.copy_part(block, part, page)
        };
        if let Err(error) = copied {
            self.release_frame(page);
            return Err(error);
        }
        let mut copies_of_run = splitting.copies_of_run;
        if is_run {
            self.entry_mut(page).set_copy(core::mem::replace(&mut copies_of_run, page.get()));
        } else {
            self.entry_mut(page_of_block(block, part)).set_copy(page.get());
        }
        let copied = part.saturating_add(1);
        self.splitting = Some(Splitting { copied, copies_of_run, ..splitting });
        Ok(())
    }

    /// Begins to split a large frame, or a bound run.
    pub(crate) fn begin_splitting(&mut self, block: PageIndex) {
        self.splitting = Some(Splitting { block, copied: 0, copies_of_run: 0, is_joining: false });
    }

    /// Makes the copies frames, each with a reference that keeps it, and that keeps it shared,
    /// until all virtual frames of the block are on them.
    pub(crate) fn begin_joining(&mut self) {
        let Some(splitting) = self.splitting.filter(|splitting| !splitting.is_joining) else {
            return;
        };
        for part in 0..splitting.copied {
            let page = self.copy_of(splitting.block, part);
            self.entry_mut(page).become_frame();
        }
        self.splitting = Some(Splitting { is_joining: true, ..splitting });
    }

    /// Returns the copy of one part of the large frame that is being split.
    pub(crate) fn copy_of(&self, block: PageIndex, part: u16) -> PageIndex {
        match self.entry(page_of_block(block, part)).copy() {
            Some(page) => page,
            None => broken("part that was not copied"),
        }
    }

    /// Ends the splitting, if it has begun, of what nobody has to leave any more, and frees the
    /// copies that nobody is on.
    pub(crate) fn end_splitting(&mut self, block: PageIndex) {
        let splitting = self.splitting.take_if(|splitting| splitting.block == block);
        let Some(splitting) = splitting else { return };
        // If the kernel refuses, it is asked again when the next copy is made.
        let _ = self.kernel.end_copies();
        let mut copy_of_run = splitting.last_copy_of_run();
        for part in 0..splitting.copied {
            let page = match copy_of_run {
                Some(page) => page,
                None => self.copy_of(block, part),
            };
            copy_of_run = copy_of_run.and_then(|page| self.entry(page).copy());
            if !splitting.is_joining || self.entry_mut(page).end_joining() == 0 {
                self.push_free(page, PageUse::Dirty);
            }
        }
    }
}

/// Returns the page of one part of a large frame, or of a run on a piece.
fn page_of_block(block: PageIndex, part: u16) -> PageIndex {
    PageIndex::new(block.get().saturating_add(part.into()))
}
