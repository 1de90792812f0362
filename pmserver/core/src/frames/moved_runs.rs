// SPDX-License-Identifier: BSD-2-Clause
//! Bound runs that leave their piece before they are split, because nobody pays for what would be
//! left of it (decision 0042): their pages are copied to other ones, over several calls if need be,
//! as those of a large frame are. Meanwhile they are mapped nowhere.
//!
//! ```text
//!   run a --+--> piece                run a --+--> copy 0, copy 1, ...
//!   run b --+              --->       run b --+
//!                                     piece: free
//! ```

use pmserver_api::PmError;
use proto::limits::FRAME_WORK_MAX;

use crate::frames::FrameManager;
use crate::frames::bound_runs::MAKE_EQUAL_WORK;
use crate::kernel::{Kernel, KernelError, PIECE_PAGES, PageIndex};
use crate::records::page::PageUse;

/// Copying a page of a run to one that is cleared for it.
const COPY_PAGE_WORK: u64 = 25_000;

impl<K: Kernel> FrameManager<K> {
    /// Moves the runs on a piece to other pages, and returns the first of them.
    ///
    /// # Errors
    /// `Pending` if there is more to do than the call has room for: the next one goes on. `Kernel`
    /// if the kernel refuses a step; what was done stays done, and is not seen.
    pub(super) fn move_bound_run(&mut self, run: PageIndex) -> Result<PageIndex, PmError> {
        let kernel = |_: KernelError| PmError::Kernel;
        self.end_other_splitting(run)?;
        if !self.store.is_splitting(run) {
            self.store.begin_splitting(run);
        }
        let holders = self.store.holders(run);
        for holder in &holders {
            for mapping in self.mappings_of_run(holder.record) {
                if self.store.get(mapping).caps() != 0 {
                    self.has_room(MAKE_EQUAL_WORK.saturating_add(FRAME_WORK_MAX))?;
                    self.forget_caps_of(mapping, 1).map_err(kernel)?;
                }
            }
        }
        while self.store.splitting.is_some_and(|now| u32::from(now.copied) < PIECE_PAGES) {
            self.has_room(COPY_PAGE_WORK)?;
            self.store.copy_next_part().map_err(kernel)?;
        }
        let first = self.store.join_copies(run);
        for holder in &holders {
            self.store.get_mut(holder.record).set_page(0, Some(first));
        }
        self.store.release_frame(run);
        Ok(first)
    }

    /// Goes on with the splitting of something else, of which there is one at a time.
    pub(super) fn end_other_splitting(&mut self, block: PageIndex) -> Result<(), PmError> {
        match self.store.splitting.filter(|other| other.block != block) {
            None => Ok(()),
            Some(other) if self.store.entry(other.block).is(PageUse::Run) => {
                self.move_bound_run(other.block).map(drop)
            }
            Some(other) => self.go_on_splitting(other.block),
        }
    }
}
