// SPDX-License-Identifier: BSD-2-Clause
//! Invariants of memory: pages and the frames on them know each other, and nothing is mapped with
//! more than its memory allows.

use super::ensure;
use crate::kernel::{Kernel, PageIndex};
use crate::records::cell::Ref;
use crate::records::count::Count;
use crate::records::frame::{Frame, RUN_PAGES};
use crate::records::id::{Id, MappingId, indices};
use crate::records::mapping::Installed;
use crate::records::page::PageUse;
use crate::serve::Service;

/// The uses of pages that have holders: of a run the first.
const HELD: [PageUse; 3] = [PageUse::Frame, PageUse::Run, PageUse::Large];

impl<K: Kernel> Service<K> {
    /// Checks that the frames of a record are on pages that know them, and those of a ring on one
    /// page. Returns how many holders of pages they are: a ring counts once.
    pub(super) fn check_memory(&self, frame: Ref<Frame>) -> Result<u32, &'static str> {
        let mut held = 0_u32;
        for index in indices(self.store.get(frame).all()) {
            let frame = Id::new(frame, index);
            let page = self.store.page_of(frame);
            let ring = self.sharers(frame);
            let is_one = ring.iter().all(|sharer| self.store.page_of(*sharer) == page);
            ensure(is_one, "I6: what is really shared is one memory")?;
            let Some(page) = page else { continue };
            let entry = self.store.entry(page);
            let is_used = HELD.iter().any(|used| entry.is(*used));
            ensure(is_used, "I3: a page that a frame is on is one for frames")?;
            let names = ring.iter().filter(|sharer| self.store.is_named(page, **sharer)).count();
            let has_more = entry.is(PageUse::Frame) && self.store.is_crowded(page);
            let is_named = names == 1 || names == 0 && has_more;
            ensure(is_named, "I3: a page names who is on it, or has more than it can name")?;
            let is_first = ring.iter().all(|sharer| frame.raw() <= sharer.raw());
            held = held.saturating_add(is_first.into());
        }
        Ok(held)
    }

    /// Checks that pages know the frames that are on them, of which there are so many.
    pub(super) fn check_bindings(&self, held: u32) -> Result<(), &'static str> {
        let (mut counted, mut in_runs) = (0_u32, 0_usize);
        let mut used = Count::<u32>::ZERO;
        for page in (0..self.store.page_count()).map(PageIndex::new) {
            let entry = self.store.entry(page);
            if !HELD.iter().any(|used| entry.is(*used)) {
                continue;
            }
            if entry.is(PageUse::Run) {
                in_runs = in_runs.saturating_add(self.check_run(page)?);
            }
            for holder in self.store.holders(page) {
                let is_on_it = self.store.page_of(holder) == Some(page);
                ensure(is_on_it, "I3: a frame is on the page that has it")?;
            }
            ensure(entry.holders() > 0, "I3: a page in use has a holder")?;
            let may_move = !entry.is_pinned() || !self.store.is_crowded(page);
            ensure(may_move, "a page under a pin names all that are on it")?;
            let references = u32::from(entry.is_joined());
            let holders = entry.holders().saturating_sub(references);
            counted = counted.saturating_add(holders);
            used.add(u32::from(entry.is_original_used()));
        }
        let pages = (0..self.store.page_count()).map(PageIndex::new);
        let others = pages.filter(|page| self.store.entry(*page).is(PageUse::InRun)).count();
        ensure(in_runs == others, "I3: a page of a bound run is in one run")?;
        let users = |peer| self.sum_of_mappings(peer, |record| record.originals().count_ones());
        let users = self.peers.iter().flatten().map(users).sum::<u32>();
        ensure(users == used.get(), "an original capability that is used has one user")?;
        ensure(counted == held, "I3: pages have as many holders as they say")
    }

    /// Returns how many pages a bound run has beside its first one.
    fn check_run(&self, first: PageIndex) -> Result<usize, &'static str> {
        let pages = self.store.pages_of_run(first);
        let mut others = pages.iter().skip(1);
        let are_others = others.all(|page| self.store.entry(*page).is(PageUse::InRun));
        let last = pages.last().map(|last| self.store.entry(*last).next_in_run());
        let is_ring = pages.len() == usize::from(RUN_PAGES) && last == Some(first);
        ensure(are_others && is_ring, "I3: a bound run has 64 pages in a ring")?;
        Ok(pages.len().saturating_sub(1))
    }

    /// Checks what is installed for a mapping.
    pub(super) fn check_installed(&self, mapping: MappingId) -> Result<(), &'static str> {
        let record = self.store.get(mapping.record);
        let installed = record.installed(mapping.index);
        let frame = self.frame_of(mapping);
        let page = self.store.page_of(frame);
        let has_cap = record.has_cap(mapping.index);
        ensure(has_cap || installed == Installed::No, "I5: what is mapped has a capability")?;
        let may_write = page.is_some() && !self.is_cow(frame);
        ensure(
            may_write || installed != Installed::ReadWrite,
            "I6: nobody writes to memory that is shared copy-on-write",
        )?;
        let is_original = record.is_original(mapping.index);
        let is_known = page.is_some_and(|page| self.store.entry(page).is_original_used());
        ensure(!is_original || is_known, "a page knows that its original capability is used")
    }
}
