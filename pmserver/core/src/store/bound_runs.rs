// SPDX-License-Identifier: BSD-2-Clause
//! The pages of bound runs (`frames/bound_runs.rs`): a piece of 64 frames, or 64 pages wherever
//! they are in the pool. The first one names the holders; each names the next one, and the last one
//! the first.

use heapless::Vec;

use crate::kernel::{Kernel, KernelError, ObjectKind, PageIndex};
use crate::records::frame::RUN_PAGES;
use crate::records::page::PageUse;
use crate::store::Store;

/// The pages of a bound run, first to last.
#[allow(clippy::as_conversions)] // To a wider type.
pub(crate) type RunPages = Vec<PageIndex, { RUN_PAGES as usize }>;

impl<K: Kernel> Store<K> {
    /// Takes pages for a run, all zero, and returns the first. Nobody holds them yet.
    ///
    /// # Errors
    /// The kernel's error if it refuses one; none is taken then.
    pub(crate) fn take_run(&mut self) -> Result<PageIndex, KernelError> {
        if self.clean.count.get() < RUN_PAGES.into()
            && let Ok(piece) = self.take_piece()
        {
            return Ok(piece);
        }
        let first = self.take(ObjectKind::Frame, PageUse::Run)?;
        let mut last = first;
        for _ in 1..RUN_PAGES {
            self.entry_mut(last).set_next(first.get());
            match self.take(ObjectKind::Frame, PageUse::InRun) {
                Ok(page) => {
                    self.entry_mut(last).set_next(page.get());
                    last = page;
                }
                Err(error) => {
                    for page in self.pages_of_run(first) {
                        self.release_clean(page);
                    }
                    return Err(error);
                }
            }
        }
        self.entry_mut(last).set_next(first.get());
        Ok(first)
    }

    /// Returns the pages of a run, given one of them.
    pub(crate) fn pages_of_run(&self, first: PageIndex) -> RunPages {
        let next = |page: &PageIndex| Some(self.entry(*page).next_in_run());
        let pages = core::iter::successors(Some(first), next);
        let mut all = RunPages::new();
        for page in pages {
            if all.first() == Some(&page) || all.push(page).is_err() {
                break;
            }
        }
        all
    }

    /// Returns the first page of the run that a page is in.
    pub(crate) fn run_of(&self, page: PageIndex) -> Option<PageIndex> {
        if !self.entry(page).is_of_run() {
            return None;
        }
        self.pages_of_run(page).into_iter().find(|page| self.entry(*page).is(PageUse::Run))
    }

    /// Releases the pages of a run that nothing maps.
    pub(super) fn release_run(&mut self, first: PageIndex) {
        if self.entry(first).is_of_piece() {
            return self.release_piece(first);
        }
        for page in self.pages_of_run(first) {
            self.push_free(page, PageUse::Dirty);
        }
    }
}
