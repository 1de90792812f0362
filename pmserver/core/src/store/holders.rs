// SPDX-License-Identifier: BSD-2-Clause
//! The holders of a page: the virtual frames that are bound to it. Frames that are really shared
//! are one holder, whichever of them is named.
//!
//! The entry of a page of 4 KiB names three, and a table behind the entries a fourth; more are only
//! counted, and then the page cannot move. All holders of a large frame and of a bound run are
//! named: the entries of their other pages have places for them. A page may have *references*
//! besides, which keep it for a moment and are counted, too.

use heapless::Vec;

use crate::kernel::{Kernel, PageIndex};
use crate::records::id::FrameId;
use crate::records::page::{HOLDERS_MAX, PAGE_NAMES, PageUse, RUN_HOLDERS_MAX};
use crate::store::Store;

/// Holders of a large frame.
pub(crate) const LARGE_HOLDERS_MAX: u8 = 32;

/// The holders of a page.
#[allow(clippy::as_conversions)] // To a wider type.
pub(crate) type Holders = Vec<FrameId, { LARGE_HOLDERS_MAX as usize }>;

/// The place that is not in the entry.
const FOURTH: usize = 3;

/// A place for the name of a holder, in the entry of a page or behind.
#[derive(Clone, Copy)]
struct Name {
    page: PageIndex,
    place: usize,
}

impl<K: Kernel> Store<K> {
    /// Returns the page that a frame is bound to.
    pub(crate) fn page_of(&self, frame: FrameId) -> Option<PageIndex> {
        self.get(frame.record).page(frame.index)
    }

    /// Returns the number of a frame.
    pub(crate) fn number_of(&self, frame: FrameId) -> u64 {
        self.get(frame.record).number(frame.index)
    }

    /// Returns how many holders of a page can be named.
    pub(crate) fn places(&self, page: PageIndex) -> u8 {
        let entry = self.entry(page);
        if entry.is(PageUse::Large) {
            LARGE_HOLDERS_MAX
        } else if entry.is(PageUse::Run) {
            RUN_HOLDERS_MAX
        } else {
            PAGE_NAMES
        }
    }

    /// Returns whether more than one frame or ring, or a reference, holds a page.
    pub(crate) fn is_held_twice(&self, page: PageIndex) -> bool {
        self.entry(page).holders() > 1
    }

    /// Returns whether a page of 4 KiB takes no more holders: a device uses it, and must not see
    /// stores to a copy; or it has as many as are counted.
    pub(crate) fn is_kept_apart(&self, page: PageIndex) -> bool {
        let entry = self.entry(page);
        !entry.is(PageUse::Large) && (entry.is_pinned() || entry.holders() >= HOLDERS_MAX)
    }

    /// Returns whether some holders of a page are not named.
    pub(crate) fn is_crowded(&self, page: PageIndex) -> bool {
        let named = u32::try_from(self.holders(page).len()).unwrap_or(u32::MAX);
        let references = u32::from(self.entry(page).is_joined());
        self.entry(page).holders() > named.saturating_add(references)
    }

    /// Returns the holders of a page that are named.
    pub(crate) fn holders(&self, page: PageIndex) -> Holders {
        let fourth = self.fourth_holder(page);
        self.naming(page).flat_map(|page| self.entry(page).named()).chain(fourth).collect()
    }

    /// Returns the fourth holder of a page of 4 KiB.
    fn fourth_holder(&self, page: PageIndex) -> Option<FrameId> {
        let raw = self.kernel.record_piece(self.place_of_fourth(page));
        FrameId::from_raw(u32::from_le_bytes(*raw))
    }

    /// Returns in which piece of four bytes it stands: behind the frame table, as most pages have
    /// none.
    fn place_of_fourth(&self, page: PageIndex) -> u32 {
        let words_per_entry = 4;
        self.page_count().saturating_mul(words_per_entry).saturating_add(page.get())
    }

    /// Returns the pages whose entries name the holders of a page.
    fn naming(&self, page: PageIndex) -> impl Iterator<Item = PageIndex> {
        let entry = self.entry(page);
        let is_run = entry.is(PageUse::Run);
        let pages = if is_run || entry.is(PageUse::Large) { self.places(page) / 2 } else { 1 };
        let next = move |page: &PageIndex| {
            let behind = PageIndex::new(page.get().saturating_add(1));
            Some(if is_run { self.entry(*page).next_in_run() } else { behind })
        };
        core::iter::successors(Some(page), next).take(pages.into())
    }

    /// Returns the place that names a holder, or a free one, in the entry of a page.
    #[inline(always)]
    fn find_holder(&self, page: PageIndex, holder: Option<FrameId>) -> Option<Name> {
        let entry = self.entry(page);
        match entry.place_of(holder) {
            Some(place) => Some(Name { page, place }),
            None => self.find_further(page, holder),
        }
    }

    #[inline(never)]
    fn find_further(&self, page: PageIndex, holder: Option<FrameId>) -> Option<Name> {
        if self.entry(page).is(PageUse::Frame) {
            let is_fourth = self.fourth_holder(page) == holder;
            return is_fourth.then_some(Name { page, place: FOURTH });
        }
        let mut others = self.naming(page).skip(1);
        others.find_map(|page| Some(Name { page, place: self.entry(page).place_of(holder)? }))
    }

    fn set_holder(&mut self, name: Name, holder: Option<FrameId>) {
        if name.place == FOURTH {
            let place = self.place_of_fourth(name.page);
            let raw = holder.map_or(0, FrameId::raw);
            *self.kernel.record_piece_mut(place) = raw.to_le_bytes();
        } else {
            self.entry_mut(name.page).set_holder(name.place, holder);
        }
    }

    /// Adds a holder to a page, and names it if there is a place for its name.
    pub(crate) fn add_holder(&mut self, page: PageIndex, holder: FrameId) {
        if let Some(name) = self.find_holder(page, None) {
            self.set_holder(name, Some(holder));
        }
        self.add_reference(page);
    }

    /// Adds the first holder to a page of 4 KiB.
    pub(crate) fn add_first_holder(&mut self, page: PageIndex, holder: FrameId) {
        let entry = self.entry_mut(page);
        entry.set_holder(0, Some(holder));
        entry.add_reference();
    }

    /// Removes a holder from a page; frees the page with the last one.
    pub(crate) fn remove_holder(&mut self, page: PageIndex, holder: FrameId) {
        if let Some(name) = self.find_holder(page, Some(holder)) {
            self.set_holder(name, None);
        }
        self.drop_reference(page);
    }

    /// Returns whether a frame is named as a holder of a page.
    pub(crate) fn is_named(&self, page: PageIndex, holder: FrameId) -> bool {
        self.find_holder(page, Some(holder)).is_some()
    }

    /// Names the only holder of a page of 4 KiB if it is not named: it came when others were there.
    pub(crate) fn name_if_alone(&mut self, page: PageIndex, holder: FrameId) {
        let entry = self.entry(page);
        let may_be_unnamed = entry.is(PageUse::Frame) && entry.holders() == 1;
        if may_be_unnamed && entry.names_nobody() && self.fourth_holder(page).is_none() {
            self.entry_mut(page).set_holder(0, Some(holder));
        }
    }

    /// Names another frame as one of the holders of a page, if `old` is one.
    pub(crate) fn replace_holder(&mut self, page: PageIndex, old: FrameId, new: FrameId) {
        if let Some(name) = self.find_holder(page, Some(old)) {
            self.set_holder(name, Some(new));
        }
    }

    /// Adds a reference to a page.
    pub(crate) fn add_reference(&mut self, page: PageIndex) {
        self.entry_mut(page).add_reference();
    }

    /// Drops a reference to a page, which is freed with the last one.
    pub(crate) fn drop_reference(&mut self, page: PageIndex) {
        if self.entry_mut(page).remove_reference() == 0 {
            self.release_frame(page);
        }
    }
}
