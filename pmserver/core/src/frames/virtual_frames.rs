// SPDX-License-Identifier: BSD-2-Clause
//! The virtual frames of a container: putting one in, finding it, taking it out.
//!
//! A frame that was dropped under pressure leaves its record behind, which says so to whoever looks
//! for it; nobody is charged for it, and to most operations it is not there.

use pmserver_api::{Failure, PmError};

use crate::broken;
use crate::frames::FrameManager;
use crate::kernel::{Kernel, KernelError};
use crate::records::account::{Account, Shortage};
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::failure::at_frame;
use crate::records::frame::{Frame, FrameMarks};
use crate::records::leaf::Leaf;
use crate::records::range::Range;
use crate::store::Store;
use crate::store::extra::Demoted;

impl<K: Kernel> FrameManager<K> {
    /// Charges a frame and puts it into a container, tentative. Where it may be extra, notes which
    /// others became that for its sake.
    pub(crate) fn insert_frame(
        &mut self,
        container: Ref<Container>,
        number: u64,
        mut demoted: Option<&mut Demoted>,
    ) -> Result<(), Shortage> {
        let account = self.payer(container);
        let frame = self.insert_record(container, number, demoted.as_deref_mut())?;
        // Only now: the record may have needed the room that is left.
        self.store.charge_frame(account, frame, demoted.is_some()).inspect_err(|_| {
            self.store.get_mut(frame).set(FrameMarks::UNCHARGED, true);
            self.settle_frame(container, number, false);
        })
    }

    /// Puts a frame into a container, tentative, that takes over the charge of another.
    pub(crate) fn insert_moved_frame(
        &mut self,
        container: Ref<Container>,
        number: u64,
    ) -> Result<(), Shortage> {
        let frame = self.insert_record(container, number, None)?;
        self.store.get_mut(frame).set(FrameMarks::UNCHARGED, true);
        Ok(())
    }

    /// Puts the record of a tentative frame into a container, or takes what is left of one that was
    /// discarded.
    fn insert_record(
        &mut self,
        container: Ref<Container>,
        number: u64,
        demoted: Option<&mut Demoted>,
    ) -> Result<Ref<Frame>, Shortage> {
        let tree = self.store.get(container).frames;
        let frame = match self.store.tree_get::<Frame>(tree, number) {
            Some(discarded) => {
                self.store.get_mut(discarded).set(FrameMarks::TENTATIVE, true);
                discarded
            }
            None => self.new_record(container, number, demoted)?,
        };
        let record = self.store.get_mut(container);
        record.frame_count.up();
        record.unused_from = record.unused_from.max(number.saturating_add(1));
        Ok(frame)
    }

    fn new_record(
        &mut self,
        container: Ref<Container>,
        number: u64,
        mut demoted: Option<&mut Demoted>,
    ) -> Result<Ref<Frame>, Shortage> {
        let account = self.payer(container);
        let new = Frame::new(container.link(), number);
        let make = |pool: &mut Store<K>| pool.alloc(account, new);
        let frame = self.with_page(account, demoted.as_deref_mut(), make)?;
        let tree = self.store.get(container).frames;
        let insert = |pool: &mut Store<K>| pool.tree_insert(account, tree, frame);
        let tree = self.with_page(account, demoted, insert).inspect_err(|_| {
            self.store.free(frame);
        })?;
        self.store.get_mut(container).frames = tree;
        Ok(frame)
    }

    /// Makes something that can take a page for records. Where the account is at its limit and the
    /// page is for an extra frame, the newest frame of the account makes room for it.
    fn with_page<T>(
        &mut self,
        account: Ref<Account>,
        demoted: Option<&mut Demoted>,
        make: impl Fn(&mut Store<K>) -> Result<T, Shortage>,
    ) -> Result<T, Shortage> {
        let result = make(&mut self.store);
        let Some(demoted) = demoted.filter(|demoted| !demoted.is_full()) else { return result };
        if !matches!(result, Err(Shortage::Account)) {
            return result;
        }
        let Some(list) = self.store.demote(account) else { return result };
        let result = make(&mut self.store);
        if result.is_ok() {
            let _ = demoted.push(list);
        } else {
            self.store.undo_demote(account, list);
        }
        result
    }

    /// Keeps or takes out the tentative frames of a range.
    pub(crate) fn settle_frames(&mut self, container: Ref<Container>, range: Range, keep: bool) {
        let mut rest = Some(range);
        while let Some((_, number)) = self.take_frame(container, &mut rest) {
            self.settle_frame(container, number, keep);
        }
    }

    /// Keeps or takes out a frame, where it is tentative.
    pub(crate) fn settle_frame(&mut self, container: Ref<Container>, number: u64, keep: bool) {
        let frame = self.find_frame(container, number);
        let is_tentative = |frame: &Ref<Frame>| self.store.get(*frame).has(FrameMarks::TENTATIVE);
        let Some(frame) = frame.filter(is_tentative) else { return };
        if keep {
            let was = FrameMarks::TENTATIVE | FrameMarks::DISCARDED;
            self.store.get_mut(frame).set(was, false);
        } else if self.store.get(frame).has(FrameMarks::DISCARDED) {
            self.discard_frame(container, frame);
        } else {
            // It has no mapping yet, so there is nothing that the kernel could refuse.
            let _ = self.remove_frame(container, frame, number);
        }
    }

    /// Returns the account that pays for a container.
    pub(crate) fn payer(&self, container: Ref<Container>) -> Ref<Account> {
        match self.store.get(container).account.target() {
            Some(account) => self.store.heir(account),
            None => broken("container without an account"),
        }
    }

    pub(crate) fn find_frame(&self, container: Ref<Container>, number: u64) -> Option<Ref<Frame>> {
        self.frame_at(container, number).ok()
    }

    /// Returns the frame with this number.
    ///
    /// # Errors
    /// `NotFound`, or `Discarded` where it was dropped.
    pub(crate) fn frame_at(
        &self,
        container: Ref<Container>,
        number: u64,
    ) -> Result<Ref<Frame>, PmError> {
        let tree = self.store.get(container).frames;
        let frame = self.store.tree_get::<Frame>(tree, number).ok_or(PmError::NotFound)?;
        if self.store.get(frame).is_discarded() { Err(PmError::Discarded) } else { Ok(frame) }
    }

    /// Returns the first frame of a range, with its number.
    pub(crate) fn next_frame(
        &self,
        container: Ref<Container>,
        range: Range,
    ) -> Option<(Ref<Frame>, u64)> {
        let mut rest = Some(range);
        loop {
            let (frame, number) = self.next_record(container, rest?)?;
            if !self.store.get(frame).is_discarded() {
                return Some((frame, number));
            }
            rest = number.checked_add(1).map(|first| Range { first, ..range });
        }
    }

    /// Returns the first frame of a range, or what is left of one that was discarded.
    pub(crate) fn next_record(
        &self,
        container: Ref<Container>,
        range: Range,
    ) -> Option<(Ref<Frame>, u64)> {
        let tree = self.store.get(container).frames;
        let frame = self.store.tree_next::<Frame>(tree, range.first)?;
        let number = self.store.get(frame).key();
        range.contains(number).then_some((frame, number))
    }

    /// Returns the first frame of what is left of a range, and leaves what comes after it.
    pub(crate) fn take_frame(
        &self,
        container: Ref<Container>,
        rest: &mut Option<Range>,
    ) -> Option<(Ref<Frame>, u64)> {
        let (frame, number) = self.next_frame(container, (*rest)?)?;
        *rest = number.checked_add(1).zip(*rest).map(|(first, range)| Range { first, ..range });
        Some((frame, number))
    }

    /// Takes a frame out of its container, with its mappings and its charge.
    ///
    /// # Errors
    /// What the kernel says where it refuses to unmap; then the frame stays.
    pub(crate) fn remove_frame(
        &mut self,
        container: Ref<Container>,
        frame: Ref<Frame>,
        number: u64,
    ) -> Result<(), KernelError> {
        self.drop_contents(frame)?;
        if !self.store.get(frame).is_discarded() {
            self.discard_frame(container, frame);
        }
        let tree = self.store.get(container).frames;
        self.store.get_mut(container).frames = self.store.tree_remove(tree, number);
        self.store.free(frame);
        Ok(())
    }

    /// Takes the charge for a frame without contents back: its record only says that it was there.
    pub(crate) fn discard_frame(&mut self, container: Ref<Container>, frame: Ref<Frame>) {
        if !self.store.get(frame).has(FrameMarks::UNCHARGED) {
            let payer = self.payer(container);
            self.store.refund_frame(payer, frame);
        }
        self.store.get_mut(frame).discard();
        self.store.get_mut(container).frame_count.down();
    }

    /// Returns a frame of a container, or why there is none.
    pub(crate) fn present_frame(
        &self,
        container: Ref<Container>,
        number: u64,
    ) -> Result<Ref<Frame>, Failure> {
        let frame = self.frame_at(container, number).map_err(|error| at_frame(error, number))?;
        if self.store.get(frame).has(FrameMarks::TENTATIVE) {
            return Err(at_frame(PmError::NotFound, number));
        }
        Ok(frame)
    }
}
