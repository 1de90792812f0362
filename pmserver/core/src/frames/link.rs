// SPDX-License-Identifier: BSD-2-Clause
//! Linking contents: what a copy does with each frame, after `ops/copy.rs` has checked it.
//!
//! ```text
//!   logical   two frames, one page, mapped read-only; the first store separates them
//!   SHARED    frames in one ring, one page; a store is visible in all of them
//!   MOVE      the destination replaces the source, which is removed
//! ```

use heapless::Vec;
use pmserver_api::CopyFlags;

use crate::frames::FrameManager;
use crate::kernel::{Kernel, KernelError, PageIndex};
use crate::records::account::Shortage;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::copying::Copying;
use crate::records::frame::{Frame, FrameMarks};
use crate::records::range::CALL_FRAMES;

/// A pair whose source was read: its index, its destination, and the page with the contents.
struct Held {
    index: u64,
    destination: Ref<Frame>,
    page: Option<PageIndex>,
}

impl<K: Kernel> FrameManager<K> {
    /// Takes what is mapped of the frames of pairs out of the way, so that linking them then needs
    /// nothing of the kernel but copying bytes. All that it changes for good is that grants are
    /// revoked: a mapping comes back when it is accessed.
    pub(crate) fn prepare_links(
        &mut self,
        copying: &Copying,
        mut pairs: impl Iterator<Item = (u64, u64)>,
    ) -> Result<(), KernelError> {
        pairs.try_for_each(|(from, to)| {
            let source = self.find_frame(copying.from.container, from);
            let destination = self.find_frame(copying.to.container, to);
            let Some(source) = source.filter(|source| destination != Some(*source)) else {
                return Ok(());
            };
            if copying.is_logical() {
                self.prepare_copy(source, destination)
            } else {
                let is_joined = destination.is_some_and(|to| self.sharers(source).contains(&to));
                if copying.flags.contains(CopyFlags::MOVE) {
                    self.forget_caps(source)?;
                }
                destination.filter(|_| !is_joined).map_or(Ok(()), |to| self.forget_caps(to))
            }
        })
    }

    fn prepare_copy(
        &mut self,
        source: Ref<Frame>,
        destination: Option<Ref<Frame>>,
    ) -> Result<(), KernelError> {
        let page = self.store.get(source).page();
        if page.is_some_and(|page| !self.is_kept_apart(source, page)) {
            self.protect(source)?;
        }
        let Some(destination) = destination else { return Ok(()) };
        let is_same = page.is_some() && self.store.get(destination).page() == page;
        if is_same || self.is_in_place(destination) {
            return Ok(());
        }
        self.sharers(destination).iter().try_for_each(|sharer| self.forget_caps(*sharer))
    }

    /// Links pairs in order.
    ///
    /// # Errors
    /// The kernel's error, and how many pairs were linked before. Frames that were made for the
    /// others, and have no charge yet, are removed again.
    pub(crate) fn link_each(
        &mut self,
        copying: &Copying,
        pairs: impl Iterator<Item = (u64, u64)> + Clone,
    ) -> Result<(), (u64, KernelError)> {
        for ((from, to), done) in pairs.clone().zip(0..) {
            if let Err(error) = self.link(copying, from, to) {
                let is_uncharged = |frame: &Frame| frame.has(FrameMarks::UNCHARGED);
                self.remove_made(copying.to.container, pairs.map(|(_, to)| to), is_uncharged);
                return Err((done, error));
            }
        }
        Ok(())
    }

    /// Removes those frames that were made for a copy and that `which` selects.
    pub(crate) fn remove_made(
        &mut self,
        container: Ref<Container>,
        numbers: impl Iterator<Item = u64>,
        which: impl Fn(&Frame) -> bool,
    ) {
        for number in numbers {
            if let Some(frame) = self.find_frame(container, number)
                && which(self.store.get(frame))
            {
                // It is not mapped, so there is nothing that the kernel could refuse.
                let _ = self.remove_frame(container, frame, number);
            }
        }
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
        if let Some(page) = self.store.get(source).page()
            && self.is_kept_apart(source, page)
            && let Some(own) = self.own_page(destination).filter(|own| *own != page)
        {
            // Needs no third page, which a full pool does not have.
            return self.store.kernel.copy_page(page, own);
        }
        let page = self.take_contents(source)?;
        let result = self.give_contents(destination, page);
        self.drop_page_reference(page);
        result
    }

    /// Returns whether the contents of a frame are copied byte by byte: the frame is pinned for
    /// reading, and the device must not see stores to the copy; or it is contiguous and stays on
    /// its page.
    fn is_kept_apart(&self, frame: Ref<Frame>, page: PageIndex) -> bool {
        self.store.entry(page).is_pinned() || self.is_in_place(frame)
    }

    /// Returns a frame's page if no frame outside its ring is on it.
    fn own_page(&self, frame: Ref<Frame>) -> Option<PageIndex> {
        self.store.get(frame).page().filter(|_| !self.is_cow(frame))
    }

    /// Returns a page with the contents of a frame that others may share copy-on-write, with one
    /// page reference taken.
    fn take_contents(&mut self, source: Ref<Frame>) -> Result<Option<PageIndex>, KernelError> {
        let page = match self.store.get(source).page() {
            None => None,
            Some(page) if self.is_kept_apart(source, page) => Some(self.copied_page(page)?),
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
    ///
    /// # Errors
    /// As [`Self::link_each`].
    pub(crate) fn link_held(
        &mut self,
        copying: &Copying,
        pairs: impl Iterator<Item = (u64, u64)>,
    ) -> Result<(), (u64, KernelError)> {
        let mut held: Vec<Held, CALL_FRAMES> = Vec::new();
        let mut result = Ok(());
        for ((from, to), index) in pairs.zip(0..) {
            let source = self.find_frame(copying.from.container, from);
            let destination = self.find_frame(copying.to.container, to);
            let Some((source, destination)) = source.zip(destination) else { continue };
            if source == destination {
                continue;
            }
            match self.take_contents(source) {
                Ok(page) => {
                    let _ = held.push(Held { index, destination, page });
                }
                Err(error) => {
                    result = Err((0, error));
                    break;
                }
            }
        }
        for Held { index, destination, page } in held {
            result = result.and_then(|()| {
                self.give_contents(destination, page).map_err(|error| (index, error))
            });
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
