// SPDX-License-Identifier: BSD-2-Clause
//! Binding virtual frames to pages (R1, R3): memory at the first store, copy-on-write, real
//! sharing.
//!
//! ```text
//!   page 7 <--- frame a <=> frame b     really shared: a ring, always on one page
//!        <---- frame c                  shared copy-on-write with a and b
//!   none   <--- frame d                 reads as zero: mapped as the page of zeros
//! ```
//!
//! A frame is *copy-on-write* while frames outside its ring are on its page. Then nobody has the
//! page mapped for writing, and the first store gives the ring a page of its own. Every frame is
//! charged when it is allocated (R4), so a page for it is always available.

use heapless::Vec;
use proto::limits::SHARERS_MAX;

use crate::frames::FrameManager;
use crate::kernel::{Kernel, KernelError, ObjectKind, PageIndex};
use crate::records::broken::broken;
use crate::records::cell::Ref;
use crate::records::frame::{Frame, FrameMarks, FramesOfPage};
use crate::records::links::Link;
use crate::records::mapping::Installed;
use crate::records::meter::LINK_WORK;
use crate::records::page::PageUse;

/// The frames of one ring.
pub(crate) type Sharers = Vec<Ref<Frame>, SHARERS_MAX>;

impl<K: Kernel> FrameManager<K> {
    /// Returns the frames of a frame's ring, itself first.
    pub(crate) fn sharers(&self, frame: Ref<Frame>) -> Sharers {
        let mut sharers = Sharers::new();
        let _ = sharers.push(frame);
        self.store.meter().charge(LINK_WORK);
        let mut next = self.store.get(frame).next_shared.target();
        while let Some(sharer) = next.filter(|next| *next != frame) {
            self.store.meter().charge(LINK_WORK);
            if sharers.push(sharer).is_err() {
                broken("ring of frames without an end");
            }
            next = self.store.get(sharer).next_shared.target();
        }
        sharers
    }

    /// Returns whether frames outside its ring have the same page.
    pub(crate) fn is_cow(&self, frame: Ref<Frame>) -> bool {
        self.store.get(frame).page().is_some_and(|page| {
            let holders = usize::try_from(self.store.entry(page).holders()).unwrap_or(usize::MAX);
            holders > 1 && holders > self.sharers(frame).len()
        })
    }

    /// Returns a frame's page if no frame outside its ring is on it.
    pub(crate) fn own_page(&self, frame: Ref<Frame>) -> Option<PageIndex> {
        self.store.get(frame).page().filter(|_| !self.is_cow(frame))
    }

    /// Gives a frame a page of zeros if it has no memory yet.
    pub(crate) fn bind(&mut self, frame: Ref<Frame>) -> Result<PageIndex, KernelError> {
        if let Some(page) = self.store.get(frame).page() {
            return Ok(page);
        }
        let page = self.store.take(ObjectKind::Frame, PageUse::Frame)?;
        self.rebind_or_release(frame, page)?;
        Ok(page)
    }

    /// Gives a frame and its ring a page of their own with the same contents.
    pub(crate) fn break_cow(&mut self, frame: Ref<Frame>) -> Result<PageIndex, KernelError> {
        let page = self.bind(frame)?;
        if !self.is_cow(frame) {
            return Ok(page);
        }
        if self.pin_deadline(frame).is_some() {
            // The others move instead. Pinning has checked that there are few enough of them.
            self.move_others_off(frame, page)?;
            return Ok(page);
        }
        self.leave_cow(frame, page)
    }

    /// Gives a frame and its ring a page of their own, and leaves the old one to the others.
    pub(crate) fn leave_cow(
        &mut self,
        frame: Ref<Frame>,
        page: PageIndex,
    ) -> Result<PageIndex, KernelError> {
        if !self.is_cow(frame) {
            return Ok(page);
        }
        let own = self.copied_page(page)?;
        self.rebind_or_release(frame, own)?;
        Ok(own)
    }

    /// Moves all frames that are not in a frame's ring to another page.
    fn move_others_off(&mut self, frame: Ref<Frame>, page: PageIndex) -> Result<(), KernelError> {
        let sharers = self.sharers(frame);
        self.forget_holders(page, &sharers)?;
        let other = self.copied_page(page)?;
        // The reference keeps the page until the first frame is on it, and frees it if none is.
        self.add_page_reference(Some(other));
        let mut result = Ok(());
        let mut next = self.store.entry(page).first_frame().target();
        while let (Ok(()), Some(holder)) = (result, next) {
            let first = self.store.entry(page).first_frame();
            next = self.store.next_of::<FramesOfPage>(first, holder);
            if !sharers.contains(&holder) {
                result = self.rebind(holder, Some(other));
                // Its whole ring has moved, and may have included the next frame: start again.
                next = self.store.entry(page).first_frame().target();
            }
        }
        self.drop_page_reference(Some(other));
        result
    }

    /// Takes the capabilities of all frames on a page but those that stay, so that moving the
    /// others needs nothing more of the kernel than the copy.
    pub(super) fn forget_holders(
        &mut self,
        page: PageIndex,
        staying: &Sharers,
    ) -> Result<(), KernelError> {
        let first = self.store.entry(page).first_frame();
        let mut next = first.target();
        while let Some(holder) = next {
            next = self.store.next_of::<FramesOfPage>(first, holder);
            if !staying.contains(&holder) {
                self.forget_caps(holder)?;
            }
        }
        Ok(())
    }

    /// Takes a free page and copies another page to it.
    pub(super) fn copied_page(&mut self, page: PageIndex) -> Result<PageIndex, KernelError> {
        let copy = self.store.take(ObjectKind::Frame, PageUse::Frame)?;
        match self.store.kernel.copy_page(page, copy) {
            Ok(()) => Ok(copy),
            Err(error) => {
                self.store.release_frame(copy);
                Err(error)
            }
        }
    }

    pub(super) fn rebind_or_release(
        &mut self,
        frame: Ref<Frame>,
        page: PageIndex,
    ) -> Result<(), KernelError> {
        let result = self.rebind(frame, Some(page));
        if result.is_err() {
            self.store.release_frame(page);
        }
        result
    }

    /// Binds a frame and its ring to another page, or to none. Their mappings stay and are
    /// installed with the new page when they are accessed; their grants are revoked.
    ///
    /// # Errors
    /// The kernel's error if it keeps a mapping; all frames are then on their old page.
    pub(crate) fn rebind(
        &mut self,
        frame: Ref<Frame>,
        page: Option<PageIndex>,
    ) -> Result<(), KernelError> {
        if self.store.get(frame).page() == page {
            return Ok(());
        }
        let sharers = self.sharers(frame);
        for sharer in &sharers {
            self.forget_caps(*sharer)?;
        }
        for sharer in &sharers {
            self.leave_page(*sharer);
            if let Some(page) = page {
                self.join_page(*sharer, page);
            }
        }
        Ok(())
    }

    /// Unmaps all mappings of a frame and takes their capabilities; revokes its grants.
    pub(super) fn forget_caps(&mut self, frame: Ref<Frame>) -> Result<(), KernelError> {
        let mut next = self.store.get(frame).mappings.target();
        while let Some(mapping) = next {
            next = self.next_mapping(frame, mapping);
            if self.store.get(mapping).is_grant() {
                self.remove_mapping(mapping)?;
            } else {
                self.forget_cap(mapping)?;
            }
        }
        Ok(())
    }

    /// Binds a frame without memory to a page.
    pub(crate) fn join_page(&mut self, frame: Ref<Frame>, page: PageIndex) {
        let (is_run, is_large) =
            (self.store.get(frame).is_run(), self.store.get(frame).is_large_range());
        let is_block = self.store.entry(page).is(PageUse::Large);
        assert!(is_large == is_block && (is_large || !is_run), "a run has no memory, or a block");
        let first = self.store.entry(page).first_frame();
        let first = self.store.add_first::<FramesOfPage>(first, frame);
        let entry = self.store.entry_mut(page);
        entry.set_first_frame(first);
        entry.add_holder();
        self.store.get_mut(frame).page = page.get();
    }

    /// Unbinds a frame that is not mapped from its page. The page is freed with its last frame.
    pub(super) fn leave_page(&mut self, frame: Ref<Frame>) {
        let Some(page) = self.store.get(frame).page() else { return };
        let first = self.store.entry(page).first_frame();
        let first = self.store.remove_from_chain::<FramesOfPage>(first, frame);
        self.store.get_mut(frame).page = 0;
        let entry = self.store.entry_mut(page);
        entry.set_first_frame(first);
        if entry.remove_holder() == 0 {
            self.store.release_frame(page);
        }
    }

    /// Adds a frame that is not shared and has no memory to the ring of another.
    pub(super) fn join_ring(&mut self, frame: Ref<Frame>, other: Ref<Frame>) {
        let next = self.store.get(other).next_shared;
        if next.is_none() {
            self.tie(other);
        }
        self.tie(frame);
        self.store.get_mut(frame).next_shared = if next.is_none() { other.link() } else { next };
        self.store.get_mut(other).next_shared = frame.link();
        if let Some(page) = self.store.get(other).page() {
            self.join_page(frame, page);
        }
    }

    /// Removes a frame from its ring. It stays on its page, copy-on-write from now on; the caller
    /// gives it other memory, or none, before anything is mapped.
    pub(super) fn leave_ring(&mut self, frame: Ref<Frame>) {
        let sharers = self.sharers(frame);
        let Some(before) = sharers.last().filter(|last| **last != frame) else { return };
        let next = self.store.get(frame).next_shared;
        self.untie(frame);
        if next == before.link() {
            self.untie(*before);
        }
        self.store.get_mut(*before).next_shared =
            if next == before.link() { Link::NONE } else { next };
        self.store.get_mut(frame).next_shared = Link::NONE;
    }

    /// Clears a frame on its page and takes it out of its ring; the others get a copy of what it
    /// had.
    ///
    /// # Errors
    /// The kernel's error; ring and contents are then as they were.
    pub(crate) fn clear_apart(
        &mut self,
        frame: Ref<Frame>,
        page: PageIndex,
    ) -> Result<(), KernelError> {
        let sharers = self.sharers(frame);
        for sharer in &sharers {
            self.forget_caps(*sharer)?;
        }
        let next = sharers.get(1).copied();
        let other = next.map(|_| self.copied_page(page)).transpose()?;
        let zero = self.store.zero;
        if let Err(error) = self.store.kernel.copy_page(zero, page) {
            other.into_iter().for_each(|other| self.store.release_frame(other));
            return Err(error);
        }
        self.leave_ring(frame);
        match next.zip(other) {
            Some((next, other)) => self.rebind_or_release(next, other),
            None => Ok(()),
        }
    }

    /// Replaces a frame that is not mapped by another that is not shared and has no memory: the new
    /// one takes its position in the ring and its page.
    pub(crate) fn replace(&mut self, old: Ref<Frame>, new: Ref<Frame>) {
        let before = self.sharers(old).last().copied().filter(|last| *last != old);
        if let Some(before) = before {
            self.untie(old);
            self.tie(new);
            self.store.get_mut(new).next_shared = self.store.get(old).next_shared;
            self.store.get_mut(before).next_shared = new.link();
            self.store.get_mut(old).next_shared = Link::NONE;
        }
        if let Some(page) = self.store.get(old).page() {
            self.join_page(new, page);
            self.leave_page(old);
        }
        let stays = self.store.get(old).has(FrameMarks::CONTIGUOUS);
        self.store.get_mut(new).set(FrameMarks::CONTIGUOUS, stays);
    }

    /// Removes a frame's mappings, grants and memory, and takes it out of its ring. It then reads
    /// as zero.
    ///
    /// # Errors
    /// The kernel's error if it keeps a mapping; the memory then stays.
    pub(crate) fn drop_contents(&mut self, frame: Ref<Frame>) -> Result<(), KernelError> {
        self.remove_mappings(frame, |_| true)?;
        self.leave_ring(frame);
        self.leave_page(frame);
        Ok(())
    }

    /// Makes every mapping of a frame's memory read-only, so that it can be shared copy-on-write.
    pub(super) fn protect(&mut self, frame: Ref<Frame>) -> Result<(), KernelError> {
        if self.is_cow(frame) {
            return Ok(());
        }
        for sharer in self.sharers(frame) {
            self.limit_mappings(sharer, Installed::ReadOnly, |_| true)?;
        }
        Ok(())
    }
}
