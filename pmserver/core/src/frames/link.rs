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
use crate::frames::binding::Sharers;
use crate::frames::copying::Copying;
use crate::kernel::{Kernel, KernelError, ObjectKind, PageIndex};
use crate::records::account::Shortage;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::frame::{Frame, FrameMarks};
use crate::records::id::{FrameId, Id};
use crate::records::page::PageUse;
use crate::records::range::CALL_FRAMES;

/// A pair whose source was read: its index, its destination, and the page with the contents.
struct Held {
    index: u64,
    destination: FrameId,
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
            let source = self.find_id(copying.from.container, from);
            let destination = self.find_id(copying.to.container, to);
            let Some(source) = source.filter(|source| destination != Some(*source)) else {
                return Ok(());
            };
            if copying.is_logical() {
                self.prepare_copy(source, destination)
            } else {
                let is_moved = copying.flags.contains(CopyFlags::MOVE);
                if is_moved {
                    self.forget_caps(source)?;
                }
                let changes = |to: &FrameId| is_moved || !self.sharers(source).contains(to);
                destination.filter(changes).map_or(Ok(()), |to| self.forget_caps(to))
            }
        })
    }

    fn prepare_copy(
        &mut self,
        source: FrameId,
        destination: Option<FrameId>,
    ) -> Result<(), KernelError> {
        let page = self.store.page_of(source);
        if page.is_some_and(|page| !self.is_kept_apart(source, page, destination)) {
            self.protect(source)?;
        }
        let Some(destination) = destination else { return Ok(()) };
        let is_same = page.is_some() && self.store.page_of(destination) == page;
        if is_same || self.is_in_place(destination) {
            return Ok(());
        }
        self.sharers(destination).iter().try_for_each(|sharer| self.forget_caps(*sharer))
    }

    /// Links pairs in order.
    ///
    /// # Errors
    /// The kernel's error, and how many pairs were linked before.
    pub(crate) fn link_each(
        &mut self,
        copying: &Copying,
        pairs: impl Iterator<Item = (u64, u64)>,
    ) -> Result<(), (u64, KernelError)> {
        pairs.zip(0..).try_for_each(|((from, to), done)| {
            self.link(copying, from, to).map_err(|error| (done, error))
        })
    }

    /// Removes frames that were made for a copy.
    pub(crate) fn remove_made(
        &mut self,
        container: Ref<Container>,
        numbers: impl Iterator<Item = u64>,
    ) {
        for number in numbers {
            if let Some(frame) = self.find_frame(container, number) {
                // It is not mapped, so there is nothing that the kernel could refuse.
                let _ = self.remove_frame(container, frame);
            }
        }
    }

    fn link(&mut self, copying: &Copying, from: u64, to: u64) -> Result<(), KernelError> {
        let source = self.find_id(copying.from.container, from);
        let destination = self.find_id(copying.to.container, to);
        if source.is_some() && source == destination {
            return Ok(());
        }
        match (source, destination) {
            (Some(source), Some(destination)) if copying.flags.contains(CopyFlags::SHARED) => {
                self.link_shared(source.record, destination.record)
            }
            (Some(source), destination) if copying.flags.contains(CopyFlags::MOVE) => {
                self.link_moved(copying, (source.record, from), (destination, to))
            }
            (Some(source), Some(destination)) => self.link_copy(source, destination),
            _ => Err(KernelError::Refused),
        }
    }

    /// Gives a frame and its ring the contents of another frame, copy-on-write.
    pub(crate) fn link_copy(
        &mut self,
        source: FrameId,
        destination: FrameId,
    ) -> Result<(), KernelError> {
        if let Some(page) = self.store.page_of(source)
            && self.is_kept_apart(source, page, Some(destination))
            && let Some(own) = self.own_page(destination).filter(|own| *own != page)
        {
            // Needs no third page, which a full pool does not have.
            return self.copy_in_place(page, own);
        }
        let page = self.take_contents(source, destination)?;
        let result = self.give_contents(destination, page);
        self.drop_page_reference(page);
        result
    }

    /// Copies bytes to memory that stays. Tried twice: what is overwritten cannot be restored, so a
    /// copy that one refusal stops half-way could not be undone.
    fn copy_in_place(&mut self, from: PageIndex, to: PageIndex) -> Result<(), KernelError> {
        let result = self.store.kernel.overwrite_page(from, to);
        result.or_else(|_| self.store.kernel.overwrite_page(from, to))
    }

    /// Returns whether the contents of a frame are copied byte by byte: its page takes no more
    /// holders, and the copy is not on it yet; or it is contiguous and stays on its page. A copy of
    /// a large frame leaves it before a store.
    fn is_kept_apart(&self, frame: FrameId, page: PageIndex, copy: Option<FrameId>) -> bool {
        let is_there = || copy.is_some_and(|copy| self.store.page_of(copy) == Some(page));
        self.store.is_kept_apart(page) && !is_there() || self.is_in_place(frame)
    }

    /// Returns a page with the contents of a frame that others may share copy-on-write, with one
    /// page reference taken.
    fn take_contents(
        &mut self,
        source: FrameId,
        destination: FrameId,
    ) -> Result<Option<PageIndex>, KernelError> {
        let page = match self.store.page_of(source) {
            None => None,
            Some(page) if self.is_kept_apart(source, page, Some(destination)) => {
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
        destination: FrameId,
        page: Option<PageIndex>,
    ) -> Result<(), KernelError> {
        if let Some(own) = self.store.page_of(destination).filter(|own| Some(*own) != page)
            && self.is_in_place(destination)
        {
            let from = page.unwrap_or(self.store.zero);
            return self.copy_in_place(from, own);
        }
        if page.is_none() && self.needs_memory(destination) {
            if let Some(own) = self.own_page(destination) {
                return self.copy_in_place(self.store.zero, own);
            }
            let zeros = self.store.take(ObjectKind::Frame, PageUse::Frame)?;
            return self.rebind_or_release(destination, zeros);
        }
        self.rebind(destination, page)
    }

    /// Returns whether zeros that are copied to a frame must have memory: without it, the frame or
    /// one that it is really shared with would be absent.
    fn needs_memory(&self, frame: FrameId) -> bool {
        self.ring_needs_memory(&self.sharers(frame))
    }

    /// The same, given the frames of its ring.
    pub(super) fn ring_needs_memory(&self, ring: &Sharers) -> bool {
        ring.iter().any(|sharer| self.handler_of(*sharer).is_some())
    }

    /// Returns whether a frame must stay on its page.
    pub(super) fn is_in_place(&self, frame: FrameId) -> bool {
        self.ring_is_in_place(&self.sharers(frame))
    }

    /// The same, given the frames of its ring.
    pub(super) fn ring_is_in_place(&self, ring: &Sharers) -> bool {
        ring.iter().any(|sharer| self.store.get(sharer.record).has(FrameMarks::CONTIGUOUS))
    }

    /// Makes a frame share the memory of another.
    fn link_shared(
        &mut self,
        source: Ref<Frame>,
        destination: Ref<Frame>,
    ) -> Result<(), KernelError> {
        let of_destination = Id::first(destination);
        if self.sharers(Id::first(source)).contains(&of_destination) {
            return Ok(());
        }
        self.forget_caps(of_destination)?;
        self.leave_page(of_destination);
        self.store.get_mut(destination).set(FrameMarks::CONTIGUOUS, false);
        self.join_ring(destination, source);
        Ok(())
    }

    /// Moves a frame: the destination gets everything that the source had.
    fn link_moved(
        &mut self,
        copying: &Copying,
        (source, from): (Ref<Frame>, u64),
        (destination, to): (Option<FrameId>, u64),
    ) -> Result<(), KernelError> {
        // If the ranges overlap, the destination may have been moved away before: its record has
        // stayed, and its charge went with it.
        let destination = match destination {
            Some(destination) => destination.record,
            None => self
                .insert_moved_frame(copying.to.container, to)
                .map(|()| self.keep_or_remove_frame(copying.to.container, to, true))
                .map(|()| self.find_frame(copying.to.container, to))
                .map_err(|_: Shortage| KernelError::NotEnoughMemory)?
                .ok_or(KernelError::Refused)?,
        };
        self.remove_mappings(source, 1)?;
        self.forget_caps(Id::first(destination))?;
        self.leave_page(Id::first(destination));
        self.replace(source, destination);
        if self.store.get(destination).has(FrameMarks::UNCHARGED) {
            let payer = self.store.payer_of_container(copying.to.container);
            self.store.move_charge(payer, source, destination);
        }
        if copying.moves_to(from) {
            // A later pair is moved to this number: its record stays, so that nothing can fail.
            self.discard_frame(copying.from.container, source);
            return Ok(());
        }
        self.remove_frame(copying.from.container, source)
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
            let source = self.find_id(copying.from.container, from);
            let destination = self.find_id(copying.to.container, to);
            let Some((source, destination)) = source.zip(destination) else { continue };
            if source == destination {
                continue;
            }
            match self.take_contents(source, destination) {
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

    fn add_page_reference(&mut self, page: Option<PageIndex>) {
        if let Some(page) = page {
            self.store.add_reference(page);
        }
    }

    fn drop_page_reference(&mut self, page: Option<PageIndex>) {
        if let Some(page) = page {
            self.store.drop_reference(page);
        }
    }
}
