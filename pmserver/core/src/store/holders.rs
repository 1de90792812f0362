// SPDX-License-Identifier: BSD-2-Clause
//! The holders of a page: the virtual frames that are bound to it. Frames that are really shared
//! are one holder, whichever of them is named.
//!
//! The entry of a page names the first four; more are only counted, and then the page cannot move.
//! All holders of a large frame are named: the entries of the other pages of its block have places
//! for them. A page may have *references* besides, which keep it for a moment and are counted, too.

use heapless::Vec;

use crate::kernel::{Kernel, PageIndex};
use crate::records::id::FrameId;
use crate::records::page::{PAGE_NAMES, PageUse};
use crate::store::Store;

/// Holders of a large frame.
pub(crate) const LARGE_HOLDERS_MAX: u8 = 32;

/// The holders of a page.
#[allow(clippy::as_conversions)] // To a wider type.
pub(crate) type Holders = Vec<FrameId, { LARGE_HOLDERS_MAX as usize }>;

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
        if self.entry(page).is(PageUse::Large) { LARGE_HOLDERS_MAX } else { PAGE_NAMES }
    }

    /// Returns whether more than one frame or ring, or a reference, holds a page.
    pub(crate) fn is_held_twice(&self, page: PageIndex) -> bool {
        self.entry(page).holders() > 1
    }

    /// Returns whether some holders of a page are not named.
    pub(crate) fn is_crowded(&self, page: PageIndex) -> bool {
        let named = u32::try_from(self.holders(page).len()).unwrap_or(u32::MAX);
        let references = u32::from(self.entry(page).is_joined());
        self.entry(page).holders() > named.saturating_add(references)
    }

    /// Returns the holders of a page that are named.
    pub(crate) fn holders(&self, page: PageIndex) -> Holders {
        let places = 0..self.places(page);
        places.filter_map(|place| self.holder_at(page, place)).collect()
    }

    fn holder_at(&self, page: PageIndex, place: u8) -> Option<FrameId> {
        let (page, place) = place_of(page, place);
        self.entry(page).holder(place)
    }

    fn set_holder_at(&mut self, page: PageIndex, place: u8, holder: Option<FrameId>) {
        let (page, place) = place_of(page, place);
        self.entry_mut(page).set_holder(place, holder);
    }

    fn find_holder(&self, page: PageIndex, holder: Option<FrameId>) -> Option<u8> {
        (0..self.places(page)).find(|place| self.holder_at(page, *place) == holder)
    }

    /// Adds a holder to a page.
    pub(crate) fn add_holder(&mut self, page: PageIndex, holder: FrameId) {
        self.name_holder(page, holder);
        self.add_reference(page);
    }

    /// Adds the first holder to a page of 4 KiB.
    pub(crate) fn add_first_holder(&mut self, page: PageIndex, holder: FrameId) {
        let entry = self.entry_mut(page);
        entry.set_holder(0, Some(holder));
        entry.add_reference();
    }

    /// Names a holder, which is not named yet, if there is a place for its name.
    pub(crate) fn name_holder(&mut self, page: PageIndex, holder: FrameId) {
        if let Some(place) = self.find_holder(page, None) {
            self.set_holder_at(page, place, Some(holder));
        }
    }

    /// Removes a holder from a page; frees the page with the last one.
    pub(crate) fn remove_holder(&mut self, page: PageIndex, holder: FrameId) {
        if let Some(place) = self.find_holder(page, Some(holder)) {
            self.set_holder_at(page, place, None);
        }
        self.drop_reference(page);
    }

    /// Returns whether a frame is named as a holder of a page.
    pub(crate) fn is_named(&self, page: PageIndex, holder: FrameId) -> bool {
        self.find_holder(page, Some(holder)).is_some()
    }

    /// Names another frame as one of the holders of a page, if `old` is one.
    pub(crate) fn replace_holder(&mut self, page: PageIndex, old: FrameId, new: FrameId) {
        if let Some(place) = self.find_holder(page, Some(old)) {
            self.set_holder_at(page, place, Some(new));
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

/// Returns in which entry a place for a holder is, and where.
fn place_of(page: PageIndex, place: u8) -> (PageIndex, u8) {
    let entry = page.get().saturating_add(u32::from(place / PAGE_NAMES));
    (PageIndex::new(entry), place % PAGE_NAMES)
}
