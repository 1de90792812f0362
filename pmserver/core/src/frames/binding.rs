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
use crate::records::frame::{Frame, FrameMarks, LARGE_ORDER, RUN_ORDER};
use crate::records::id::{FrameId, Id, indices};
use crate::records::links::Link;
use crate::records::mapping::Installed;
use crate::records::meter::LINK_WORK;
use crate::records::page::PageUse;

/// The frames of one ring.
pub(crate) type Sharers = Vec<FrameId, SHARERS_MAX>;

impl<K: Kernel> FrameManager<K> {
    /// Returns the frames of a frame's ring, itself first.
    pub(crate) fn sharers(&self, frame: FrameId) -> Sharers {
        let mut sharers = Sharers::new();
        let _ = sharers.push(frame);
        self.store.meter().charge(LINK_WORK);
        let mut next = self.store.get(frame.record).next_shared().target();
        while let Some(sharer) = next.filter(|next| *next != frame.record) {
            self.store.meter().charge(LINK_WORK);
            if sharers.push(Id::first(sharer)).is_err() {
                broken("ring of frames without an end");
            }
            next = self.store.get(sharer).next_shared().target();
        }
        sharers
    }

    /// Returns whether frames outside its ring have the same page.
    pub(crate) fn is_cow(&self, frame: FrameId) -> bool {
        self.store.page_of(frame).is_some_and(|page| self.store.is_held_twice(page))
    }

    /// Returns a frame's page if no frame outside its ring is on it.
    pub(crate) fn own_page(&self, frame: FrameId) -> Option<PageIndex> {
        self.store.page_of(frame).filter(|_| !self.is_cow(frame))
    }

    /// Gives a frame a page of zeros if it has no memory yet.
    pub(crate) fn bind(&mut self, frame: FrameId) -> Result<PageIndex, KernelError> {
        if let Some(page) = self.store.page_of(frame) {
            return Ok(page);
        }
        let page = self.store.take(ObjectKind::Frame, PageUse::Frame)?;
        self.rebind_or_release(frame, page)?;
        Ok(page)
    }

    /// Gives some frames of a cluster, which have no memory, pages of zeros, up to the first for
    /// which the kernel refuses something. Returns which have one now.
    pub(crate) fn bind_cluster(&mut self, frame: Ref<Frame>, frames: u8) -> u8 {
        let mut bound = 0;
        if self.forget_caps_in(frame, frames).is_err() {
            return bound;
        }
        for index in indices(frames) {
            let Ok(page) = self.store.take(ObjectKind::Frame, PageUse::Frame) else { break };
            self.store.get_mut(frame).set_page(index, Some(page));
            self.store.add_first_holder(page, Id::new(frame, index));
            bound |= 1 << index;
        }
        bound
    }

    /// Gives a frame and its ring a page of their own with the same contents.
    pub(crate) fn break_cow(&mut self, frame: FrameId) -> Result<PageIndex, KernelError> {
        let page = self.bind(frame)?;
        if !self.is_cow(frame) {
            self.store.name_if_alone(page, frame);
            return Ok(page);
        }
        if self.pin_deadline(frame).is_some() {
            // The others move instead. Pinning has checked that all of them are named.
            self.move_others_off(frame, page)?;
            return Ok(page);
        }
        self.leave_cow(frame, page)
    }

    /// Gives a frame and its ring a page of their own, and leaves the old one to the others.
    pub(crate) fn leave_cow(
        &mut self,
        frame: FrameId,
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
    fn move_others_off(&mut self, frame: FrameId, page: PageIndex) -> Result<(), KernelError> {
        let sharers = self.sharers(frame);
        self.forget_holders(page, &sharers)?;
        let other = self.copied_page(page)?;
        self.move_holders(page, &sharers, other)
    }

    /// Moves the frames on a page to another, but for those that stay; releases that if none is
    /// moved.
    ///
    /// # Errors
    /// The kernel's error; some may have been moved then.
    pub(super) fn move_holders(
        &mut self,
        page: PageIndex,
        staying: &Sharers,
        other: PageIndex,
    ) -> Result<(), KernelError> {
        // The reference keeps the page until the first frame is on it, and frees it if none is.
        self.store.add_reference(other);
        let holders = self.store.holders(page);
        let mut moving = holders.iter().filter(|holder| !staying.contains(holder));
        let result = moving.try_for_each(|holder| self.rebind(*holder, Some(other)));
        self.store.drop_reference(other);
        result
    }

    /// Takes the capabilities of all frames on a page but those that stay, so that moving the
    /// others needs nothing more of the kernel than the copy.
    pub(super) fn forget_holders(
        &mut self,
        page: PageIndex,
        staying: &Sharers,
    ) -> Result<(), KernelError> {
        for holder in self.store.holders(page).iter().filter(|holder| !staying.contains(holder)) {
            self.sharers(*holder).iter().try_for_each(|sharer| self.forget_caps(*sharer))?;
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
        frame: FrameId,
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
        frame: FrameId,
        page: Option<PageIndex>,
    ) -> Result<(), KernelError> {
        if self.store.page_of(frame) == page {
            return Ok(());
        }
        let sharers = self.sharers(frame);
        for sharer in &sharers {
            self.forget_caps(*sharer)?;
        }
        self.move_ring(&sharers, page);
        Ok(())
    }

    /// Binds a whole ring that has no capabilities to another page.
    fn move_ring(&mut self, sharers: &Sharers, page: Option<PageIndex>) {
        let Some(first) = sharers.first() else { return };
        let old = self.store.page_of(*first);
        for sharer in sharers {
            self.store.get_mut(sharer.record).set_page(sharer.index, page);
        }
        if let Some(old) = old {
            let named = sharers.iter().find(|sharer| self.store.is_named(old, **sharer));
            self.store.remove_holder(old, *named.unwrap_or(first));
        }
        if let Some(page) = page {
            self.store.add_holder(page, *first);
        }
    }

    /// Binds a frame without memory and without a ring to a page.
    pub(crate) fn join_page(&mut self, frame: FrameId, page: PageIndex) {
        let record = self.store.get(frame.record);
        let entry = self.store.entry(page);
        let fits = match record.order() {
            LARGE_ORDER => entry.is(PageUse::Large),
            RUN_ORDER => entry.is(PageUse::Run),
            _ => entry.is(PageUse::Frame),
        };
        assert!(fits, "what is bound together is bound to memory of its size");
        self.store.get_mut(frame.record).set_page(frame.index, Some(page));
        self.store.add_holder(page, frame);
    }

    /// Takes a frame that is not mapped out of its ring, and unbinds it from its page, which is
    /// freed with its last holder.
    pub(super) fn leave_page(&mut self, frame: FrameId) {
        let Some(page) = self.store.page_of(frame) else {
            self.leave_ring(frame);
            return;
        };
        match self.leave_ring(frame) {
            Some(next) => self.store.replace_holder(page, frame, next),
            None => self.store.remove_holder(page, frame),
        }
        self.store.get_mut(frame.record).set_page(frame.index, None);
    }

    /// Adds a frame that is not shared and has no memory to the ring of another.
    pub(super) fn join_ring(&mut self, frame: Ref<Frame>, other: Ref<Frame>) {
        let next = self.store.get(other).next_shared();
        if next.is_none() {
            self.tie(other);
        }
        self.tie(frame);
        let page = self.store.get(other).page(0);
        let record = self.store.get_mut(frame);
        record.set_next_shared(if next.is_none() { other.link() } else { next });
        record.set_page(0, page);
        self.store.get_mut(other).set_next_shared(frame.link());
    }

    /// Takes a frame out of its ring, and returns the next one in it. The caller makes that, or
    /// this, leave the page.
    fn leave_ring(&mut self, frame: FrameId) -> Option<FrameId> {
        let sharers = self.sharers(frame);
        let before = sharers.last().filter(|last| **last != frame)?.record;
        let next = self.store.get(frame.record).next_shared();
        self.untie(frame.record);
        let is_alone = next == before.link();
        if is_alone {
            self.untie(before);
        }
        self.store.get_mut(before).set_next_shared(if is_alone { Link::NONE } else { next });
        self.store.get_mut(frame.record).set_next_shared(Link::NONE);
        next.target().map(Id::first)
    }

    /// Clears a frame on its page and takes it out of its ring; the others get a copy of what it
    /// had.
    ///
    /// # Errors
    /// The kernel's error; ring and contents are then as they were.
    pub(crate) fn clear_apart(
        &mut self,
        frame: FrameId,
        page: PageIndex,
    ) -> Result<(), KernelError> {
        let sharers = self.sharers(frame);
        for sharer in &sharers {
            self.forget_caps(*sharer)?;
        }
        let other = sharers.get(1).map(|_| self.copied_page(page)).transpose()?;
        let zero = self.store.zero;
        if let Err(error) = self.store.kernel.overwrite_page(zero, page) {
            other.into_iter().for_each(|other| self.store.release_frame(other));
            return Err(error);
        }
        if let Some((next, other)) = self.leave_ring(frame).zip(other) {
            let named = sharers.iter().find(|sharer| self.store.is_named(page, **sharer));
            self.store.replace_holder(page, *named.unwrap_or(&frame), frame);
            for sharer in self.sharers(next) {
                self.store.get_mut(sharer.record).set_page(sharer.index, Some(other));
            }
            self.store.add_holder(other, next);
        }
        Ok(())
    }

    /// Replaces a frame that is not mapped by another that is not shared and has no memory: the new
    /// one takes its position in the ring and its page. Both are alone in their records.
    pub(crate) fn replace(&mut self, old: Ref<Frame>, new: Ref<Frame>) {
        let [of_old, of_new] = [old, new].map(FrameId::first);
        let before = self.sharers(of_old).last().copied().filter(|last| *last != of_old);
        if let Some(before) = before {
            self.untie(old);
            self.tie(new);
            let next = self.store.get(old).next_shared();
            self.store.get_mut(new).set_next_shared(next);
            self.store.get_mut(before.record).set_next_shared(new.link());
            self.store.get_mut(old).set_next_shared(Link::NONE);
        }
        if let Some(page) = self.store.page_of(of_old) {
            self.store.replace_holder(page, of_old, of_new);
            self.store.get_mut(new).set_page(0, Some(page));
            self.store.get_mut(old).set_page(0, None);
        }
        let stays = self.store.get(old).has(FrameMarks::CONTIGUOUS);
        self.store.get_mut(new).set(FrameMarks::CONTIGUOUS, stays);
    }

    /// Removes the mappings, grants and memory of some frames of a record, and takes it out of its
    /// ring. They then read as zero.
    ///
    /// # Errors
    /// The kernel's error if it keeps a mapping; the memory then stays.
    #[inline(always)]
    pub(crate) fn drop_contents(
        &mut self,
        frame: Ref<Frame>,
        frames: u8,
    ) -> Result<(), KernelError> {
        if self.store.get(frame).is_blank() { Ok(()) } else { self.empty(frame, frames) }
    }

    #[inline(never)]
    fn empty(&mut self, frame: Ref<Frame>, frames: u8) -> Result<(), KernelError> {
        self.remove_mappings(frame, frames)?;
        for index in indices(frames) {
            self.leave_page(Id::new(frame, index));
        }
        Ok(())
    }

    /// Makes every mapping of a frame's memory read-only, so that it can be shared copy-on-write.
    pub(super) fn protect(&mut self, frame: FrameId) -> Result<(), KernelError> {
        if self.is_cow(frame) {
            return Ok(());
        }
        for sharer in self.sharers(frame) {
            self.limit_mappings(sharer.record, sharer.bit(), Installed::ReadOnly, |_| true)?;
        }
        Ok(())
    }
}
