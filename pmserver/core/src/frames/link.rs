// SPDX-License-Identifier: BSD-2-Clause
//! Linking contents: what a copy does with each frame, after `ops/copy.rs` has checked it.
//!
//! ```text
//!   logical   two frames, one page, mapped read-only; the first store separates them
//!   SHARED    frames in one ring, one page; a store is visible in all of them
//!   MOVE      the destination replaces the source, which is removed
//! ```

use heapless::Vec;
use pmserver_api::{CopyFlags, PairList};

use crate::frames::FrameManager;
use crate::kernel::{Kernel, KernelError, PageIndex};
use crate::records::account::Shortage;
use crate::records::cell::Ref;
use crate::records::copying::Copying;
use crate::records::frame::{Frame, FrameMarks};

impl<K: Kernel> FrameManager<K> {
    /// Links pairs in order. If the kernel refuses one, the uncharged destination frames of the
    /// pairs that were not moved are removed again.
    pub(crate) fn link_each(
        &mut self,
        copying: &Copying,
        pairs: impl Iterator<Item = (u64, u64)> + Clone,
    ) -> Result<(), KernelError> {
        let result = pairs.clone().try_for_each(|(from, to)| self.link(copying, from, to));
        if result.is_err() {
            let container = copying.to.container;
            for (_, to) in pairs {
                if let Some(frame) = self.find_frame(container, to)
                    && self.store.get(frame).has(FrameMarks::UNCHARGED)
                {
                    // It is not mapped, so there is nothing that the kernel could refuse.
                    let _ = self.remove_frame(container, frame, to);
                }
            }
        }
        result
    }

    fn link(&mut self, copying: &Copying, from: u64, to: u64) -> Result<(), KernelError> {
        let source = self.find_frame(copying.from.container, from);
        let destination = self.find_frame(copying.to.container, to);
        if source.is_some() && source == destination {
            return Ok(());
        }
        match (source, destination) {
            (Some(source), Some(destination)) if copying.flags.contains(CopyFlags::SHARED) => {
                self.link_shared(source, destination)
            }
            (Some(source), destination) if copying.flags.contains(CopyFlags::MOVE) => {
                self.link_moved(copying, (source, from), (destination, to))
            }
            (Some(source), Some(destination)) => self.link_copy(source, destination),
            _ => Err(KernelError::Refused),
        }
    }

    /// Gives a frame and its ring the contents of another frame, copy-on-write.
    pub(crate) fn link_copy(
        &mut self,
        source: Ref<Frame>,
        destination: Ref<Frame>,
    ) -> Result<(), KernelError> {
        let page = self.take_contents(source)?;
        let result = self.give_contents(destination, page);
        self.drop_page_reference(page);
        result
    }

    /// Returns a page with the contents of a frame that others may share copy-on-write, with one
    /// page reference taken.
    fn take_contents(&mut self, source: Ref<Frame>) -> Result<Option<PageIndex>, KernelError> {
        let page = match self.store.get(source).page() {
            None => None,
            // The frame is pinned for reading, and the device must not see stores to the copy; or
            // it is contiguous and must stay on its page.
            Some(page) if self.store.entry(page).is_pinned() || self.is_in_place(source) => {
                Some(self.copied_page(page)?)
            }
            Some(page) => {
                self.protect(source)?;
                Some(page)
            }
        };
        self.add_page_reference(page);
        Ok(page)
    }

    fn give_contents(
        &mut self,
        destination: Ref<Frame>,
        page: Option<PageIndex>,
    ) -> Result<(), KernelError> {
        if let Some(own) = self.store.get(destination).page().filter(|own| Some(*own) != page)
            && self.is_in_place(destination)
        {
            let from = page.unwrap_or(self.store.zero);
            return self.store.kernel.copy_page(from, own);
        }
        if page.is_none() && self.store.get(destination).page().is_none() {
            // The destination has a handler: copied zeros must be contents, not an absent frame.
            if self.awaited_handler(destination).is_some() {
                self.bind(destination)?;
            }
            return Ok(());
        }
        self.rebind(destination, page)?;
        if self.awaited_handler(destination).is_some() {
            self.bind(destination)?;
        }
        Ok(())
    }

    /// Returns whether a frame must stay on its page.
    pub(super) fn is_in_place(&self, frame: Ref<Frame>) -> bool {
        let sharers = self.sharers(frame);
        sharers.iter().any(|sharer| self.store.get(*sharer).has(FrameMarks::CONTIGUOUS))
    }

    /// Makes a frame share the memory of another.
    fn link_shared(
        &mut self,
        source: Ref<Frame>,
        destination: Ref<Frame>,
    ) -> Result<(), KernelError> {
        if self.sharers(source).contains(&destination) {
            return Ok(());
        }
        self.forget_caps(destination)?;
        self.leave_ring(destination);
        self.leave_page(destination);
        self.store.get_mut(destination).set(FrameMarks::CONTIGUOUS, false);
        self.join_ring(destination, source);
        Ok(())
    }

    /// Moves a frame: the destination gets everything that the source had.
    fn link_moved(
        &mut self,
        copying: &Copying,
        (source, from): (Ref<Frame>, u64),
        (destination, to): (Option<Ref<Frame>>, u64),
    ) -> Result<(), KernelError> {
        // If the ranges overlap, the destination may have been moved away before. Its number is
        // free then, and its charge went with it.
        let destination = match destination {
            Some(destination) => destination,
            None => self
                .insert_moved_frame(copying.to.container, to)
                .map(|()| self.keep_or_remove_frame(copying.to.container, to, true))
                .map(|()| self.find_frame(copying.to.container, to))
                .map_err(|_: Shortage| KernelError::NotEnoughMemory)?
                .ok_or(KernelError::Refused)?,
        };
        self.remove_mappings(source, |_| true)?;
        self.forget_caps(destination)?;
        self.leave_ring(destination);
        self.leave_page(destination);
        self.replace(source, destination);
        if self.store.get(destination).has(FrameMarks::UNCHARGED) {
            let payer = self.payer(copying.to.container);
            self.store.move_charge(payer, source, destination);
        }
        self.remove_frame(copying.from.container, source, from)
    }

    /// Copies pairs as if all sources had been read first, by taking references to their pages.
    pub(crate) fn link_held(
        &mut self,
        copying: &Copying,
        pairs: &[(u64, u64)],
    ) -> Result<(), KernelError> {
        let mut held: Vec<(Ref<Frame>, Option<PageIndex>), { PairList::MOST }> = Vec::new();
        let mut result = Ok(());
        for (from, to) in pairs {
            let source = self.find_frame(copying.from.container, *from);
            let destination = self.find_frame(copying.to.container, *to);
            let Some((source, destination)) = source.zip(destination) else { continue };
            if source == destination {
                continue;
            }
            let page = self.take_contents(source);
            result = page.map(|page| {
                let _ = held.push((destination, page));
            });
            if result.is_err() {
                break;
            }
        }
        for (destination, page) in held {
            result = result.and_then(|()| self.give_contents(destination, page));
            self.drop_page_reference(page);
        }
        result
    }

    pub(super) fn add_page_reference(&mut self, page: Option<PageIndex>) {
        if let Some(page) = page {
            let entry = self.store.entry_mut(page);
            entry.add_holder();
        }
    }

    pub(super) fn drop_page_reference(&mut self, page: Option<PageIndex>) {
        if let Some(page) = page {
            let entry = self.store.entry_mut(page);
            if entry.remove_holder() == 0 {
                self.store.release_frame(page);
            }
        }
    }
}
