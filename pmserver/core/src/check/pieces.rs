// SPDX-License-Identifier: BSD-2-Clause
//! Invariants of pieces: a frame that cannot become anything else alone is in use together with all
//! of its piece, or the pool's account pays for that piece.

use super::ensure;
use crate::kernel::{Kernel, PIECE_PAGES, PageIndex};
use crate::records::count::Count;
use crate::records::page::{PageEntry, PageUse};
use crate::serve::Service;
use crate::store::pieces::{FREE_PARTS, pages_of};

impl<K: Kernel> Service<K> {
    /// Checks the pieces that are frames. Returns how many of these are free while others are not.
    pub(super) fn check_pieces(&self) -> Result<u32, &'static str> {
        let [mut frames, mut runs, mut in_parts, mut free] = [const { Count::<u32>::ZERO }; 4];
        for page in (0..self.store.page_count()).map(PageIndex::new) {
            let entry = self.store.entry(page);
            ensure(
                entry.is_of_piece() || !entry.is_one_of(&FREE_PARTS),
                "a free frame that stays one is of a piece",
            )?;
            if !entry.is_of_piece() {
                continue;
            }
            frames.up();
            if self.store.piece_of(page) != page {
                continue;
            }
            match self.check_piece(page)? {
                None => runs.up(),
                Some(unused) => {
                    in_parts.up();
                    free.add(unused);
                }
            }
        }
        let pieces = runs.get().saturating_add(in_parts.get());
        let all = pieces.saturating_mul(PIECE_PAGES);
        ensure(frames.get() == all, "all pages of a piece are its frames, or none is")?;
        let counted = [self.store.runs_on_pieces.get(), self.store.pieces_in_parts.get()];
        let is_counted = counted == [runs.get(), in_parts.get()];
        ensure(is_counted, "I1: the pool's account pays for pieces that are used one by one")?;
        let paid = in_parts.get().saturating_add(u32::from(!runs.is_zero()));
        let is_paid = self.store.kept() >= paid.saturating_mul(PIECE_PAGES);
        ensure(is_paid, "I1: the pool's account pays for moving a run off its piece")?;
        Ok(free.get())
    }

    /// Returns how many frames of a piece are free while others are in use; nothing if a run is on
    /// it.
    fn check_piece(&self, piece: PageIndex) -> Result<Option<u32>, &'static str> {
        let entries = || pages_of(piece).map(|page| self.store.entry(page));
        let first = self.store.entry(piece);
        if first.is(PageUse::Run) {
            let are_in_it = entries().skip(1).all(|entry| entry.is(PageUse::InRun));
            ensure(are_in_it, "a run on a piece is on all of it")?;
            return Ok(None);
        }
        let is_single = |entry: &PageEntry| !entry.is_of_run() && !entry.is(PageUse::Records);
        ensure(entries().all(is_single), "frames of a piece are used all as one, or one by one")?;
        let used = entries().filter(|entry| !entry.is_one_of(&FREE_PARTS)).count();
        let counted = self.store.used_of_piece(piece);
        let is_counted = used > 0 && usize::from(counted) == used;
        ensure(is_counted, "a piece knows how many of its frames are in use")?;
        Ok(PIECE_PAGES.checked_sub(counted.into()))
    }
}
