// SPDX-License-Identifier: BSD-2-Clause
//! Free pages: their lists, and the objects that pages are made into when they are taken.
//!
//! ```text
//!            make(Table, CNode, Frame)                     bind
//!   untyped ------------------------> in use      clean ---------> frame
//!      ^  |                              |          ^               |
//!      |  +---- make(Frame) ------------------------+               | release
//!      |                                 |          | scrub         v
//!      +------------- unmake ------------+          +----------- dirty
//! ```
//!
//! A few CNodes stay what they are when their last slot is emptied: the kernel goes through all
//! slots of one that it deletes, and the next mapping needs one again.

use crate::kernel::{Kernel, KernelError, ObjectKind, PageIndex};
use crate::records::broken::broken;
use crate::records::count::Count;
use crate::records::page::{PageEntry, PageUse};
use crate::store::Store;
use crate::store::blocks::SMALL_PAGES_MIN;
use crate::store::pieces::FREE_PARTS;

/// Empty CNodes that are kept.
const EMPTY_NODES_MAX: u32 = 8;

/// Pages that one step makes clean.
const STOCK_STEP_PAGES: u32 = 8;

/// Clean pages that are made of such as were never used.
const CLEAN_MAX: u32 = 512;

/// Deleting a CNode, beside what an invocation costs: the kernel visits 128 slots.
const NODE_UNMAKE_WORK: u64 = 30_000;

/// A list of free pages, last in, first out.
#[derive(Clone, Copy, Default)]
pub(crate) struct FreeList {
    pub(crate) head: u32,
    pub(crate) count: Count<u32>,
}

impl<K: Kernel> Store<K> {
    fn list(&mut self, used_as: PageUse) -> &mut FreeList {
        match used_as {
            PageUse::Untyped => &mut self.untyped,
            PageUse::Clean => &mut self.clean,
            PageUse::Dirty => &mut self.dirty,
            PageUse::EmptyNode => &mut self.empty_nodes,
            PageUse::Block => &mut self.blocks,
            PageUse::LargeDirty => &mut self.large_dirty,
            PageUse::Piece => &mut self.pieces,
            PageUse::PieceDirty => &mut self.pieces_dirty,
            _ => broken("not a free use"),
        }
    }

    /// Puts a page into a list; a frame of a piece is in none, and stays a frame.
    pub(super) fn push_free(&mut self, page: PageIndex, used_as: PageUse) {
        if self.entry(page).is_of_piece() {
            return self.release_part(page, used_as);
        }
        let list = *self.list(used_as);
        let entry = self.entry_mut(page);
        *entry = PageEntry::new(used_as);
        entry.set_next(list.head);
        if let Some(first) = PageIndex::from_link(list.head) {
            self.entry_mut(first).set_previous(page.get());
        }
        let list = self.list(used_as);
        list.head = page.get();
        list.count.up();
    }

    pub(super) fn pop_free(&mut self, used_as: PageUse) -> Option<PageIndex> {
        let page = PageIndex::from_link(self.list(used_as).head)?;
        self.unlink_free(page, used_as);
        Some(page)
    }

    pub(super) fn unlink_free(&mut self, page: PageIndex, used_as: PageUse) {
        let entry = self.entry(page);
        let (next, previous) = (entry.next(), entry.previous());
        if let Some(after) = PageIndex::from_link(next) {
            self.entry_mut(after).set_previous(previous);
        }
        match PageIndex::from_link(previous) {
            Some(before) => self.entry_mut(before).set_next(next),
            None => self.list(used_as).head = next,
        }
        self.list(used_as).count.down();
    }

    /// Returns the use of a page, or of the block or piece that it is in, if it is free.
    pub(crate) fn free_use(&self, page: PageIndex) -> Option<PageUse> {
        const USES: [PageUse; 10] = [
            PageUse::Untyped,
            PageUse::Clean,
            PageUse::Dirty,
            PageUse::EmptyNode,
            PageUse::Block,
            PageUse::LargeDirty,
            PageUse::Piece,
            PageUse::PieceDirty,
            PageUse::PartDirty,
            PageUse::PartClean,
        ];
        let entry = self.entry(self.free_whole_of(page).unwrap_or(page));
        USES.into_iter().find(|used| entry.is(*used))
    }

    /// Takes one particular free page as a frame, all zero.
    ///
    /// # Errors
    /// `Refused` if it is not free, else the kernel's error; the page is then as it was.
    pub(crate) fn take_page(&mut self, page: PageIndex) -> Result<(), KernelError> {
        if let Some(first) = self.free_whole_of(page) {
            self.cut_whole(first)?;
        }
        let from = self.free_use(page).ok_or(KernelError::Refused)?;
        if FREE_PARTS.contains(&from) {
            return self.take_part(page);
        }
        self.unlink_free(page, from);
        if from == PageUse::Clean {
            *self.entry_mut(page) = PageEntry::new(PageUse::Frame);
            return Ok(());
        }
        if from != PageUse::Untyped {
            self.unmake_taken(page, from)?;
        }
        self.make_taken(page, ObjectKind::Frame, PageUse::Frame).map(drop)
    }

    /// Takes a free page and makes it into `kind`; a frame comes all zero. The page's entry says
    /// `used_as` and nothing else.
    ///
    /// # Errors
    /// The kernel's error. A charge beforehand ensures that a page is free.
    pub(crate) fn take(
        &mut self,
        kind: ObjectKind,
        used_as: PageUse,
    ) -> Result<PageIndex, KernelError> {
        let ready = match kind {
            ObjectKind::Frame => self.pop_free(PageUse::Clean),
            ObjectKind::CNode => self.pop_free(PageUse::EmptyNode),
            ObjectKind::Table { .. } => None,
        };
        if let Some(page) = ready {
            *self.entry_mut(page) = PageEntry::new(used_as);
            return Ok(page);
        }
        self.is_short |= self.untyped.count.get() < SMALL_PAGES_MIN;
        if let Some(page) = self.pop_free(PageUse::Untyped) {
            return self.make_taken(page, kind, used_as);
        }
        if (self.dirty.count.is_zero() || self.has_many_blocks()) && self.cut_any().is_ok() {
            return self.take(kind, used_as);
        }
        for from in [PageUse::Dirty, PageUse::Clean, PageUse::EmptyNode] {
            if let Some(page) = self.pop_free(from) {
                self.unmake_taken(page, from)?;
                return self.make_taken(page, kind, used_as);
            }
        }
        Err(KernelError::NotEnoughMemory)
    }

    /// Makes a page that was taken from a list untyped; puts it back if the kernel refuses.
    fn unmake_taken(&mut self, page: PageIndex, from: PageUse) -> Result<(), KernelError> {
        if from == PageUse::EmptyNode {
            self.meter().charge(NODE_UNMAKE_WORK);
        }
        self.kernel.unmake(page).inspect_err(|_| self.push_free(page, from))
    }

    fn make_taken(
        &mut self,
        page: PageIndex,
        kind: ObjectKind,
        used_as: PageUse,
    ) -> Result<PageIndex, KernelError> {
        if let Err(error) = self.kernel.make(page, kind) {
            self.push_free(page, PageUse::Untyped);
            return Err(error);
        }
        *self.entry_mut(page) = PageEntry::new(used_as);
        Ok(page)
    }

    /// Releases a frame that nothing maps. Its contents stay until the page is taken again: then
    /// the kernel clears it.
    pub(crate) fn release_frame(&mut self, page: PageIndex) {
        if self.entry(page).is_one_of(&[PageUse::Large, PageUse::LargeQuarantine]) {
            return self.release_large(page);
        }
        if self.entry(page).is(PageUse::Run) {
            return self.release_run(page);
        }
        self.push_free(page, PageUse::Dirty);
    }

    /// Releases a page that is a CNode, or a table that is not installed.
    pub(crate) fn release_object(&mut self, page: PageIndex) {
        if self.unmake_object(page).is_err() {
            // The object is still there: taking the page again unmakes it first.
            self.push_free(page, PageUse::Dirty);
        }
    }

    /// Releases a CNode with nothing in its slots, which is in nobody's CSpace.
    pub(crate) fn release_empty_node(&mut self, page: PageIndex) {
        if self.empty_nodes.count.get() < EMPTY_NODES_MAX {
            self.push_free(page, PageUse::EmptyNode);
        } else {
            self.meter().charge(NODE_UNMAKE_WORK);
            self.release_object(page);
        }
    }

    /// Releases a page that is an object, even if the kernel still uses the object.
    ///
    /// # Errors
    /// The kernel's error if it keeps the object; the page is then as it was.
    pub(crate) fn unmake_object(&mut self, page: PageIndex) -> Result<(), KernelError> {
        self.kernel.unmake(page)?;
        self.push_free(page, PageUse::Untyped);
        Ok(())
    }

    /// Releases a frame that nothing has written to since it was taken.
    pub(crate) fn release_clean(&mut self, page: PageIndex) {
        self.push_free(page, PageUse::Clean);
    }

    /// Makes some free pages clean ones, so that the next frames are had at once: used ones, and
    /// then some of the others, as long as there are more of those, which can become anything.
    pub(crate) fn stock_clean(&mut self) {
        for _ in 0..STOCK_STEP_PAGES {
            let clean = self.clean.count.get();
            let takes_new = clean < CLEAN_MAX.min(self.untyped.count.get());
            let is_made = self.scrub_one() || takes_new && self.make_one_clean();
            if !is_made {
                break;
            }
            if let Some(page) = PageIndex::from_link(self.clean.head) {
                // If the kernel refuses, it is mapped when it is copied to.
                let _ = self.kernel.prepare_copy(page);
            }
        }
    }

    /// Makes one free page clean and returns whether it did.
    pub(crate) fn make_one_clean(&mut self) -> bool {
        let Some(page) = self.pop_free(PageUse::Untyped) else { return self.scrub_one() };
        if self.make_taken(page, ObjectKind::Frame, PageUse::Frame).is_err() {
            return false;
        }
        self.release_clean(page);
        true
    }

    /// Cleans one dirty page and returns whether it did.
    pub(crate) fn scrub_one(&mut self) -> bool {
        let Some(page) = self.pop_free(PageUse::Dirty) else { return false };
        let done = self.kernel.unmake(page).is_ok();
        if done && self.kernel.make(page, ObjectKind::Frame).is_ok() {
            self.push_free(page, PageUse::Clean);
        } else {
            self.push_free(page, if done { PageUse::Untyped } else { PageUse::Dirty });
        }
        done
    }
}
