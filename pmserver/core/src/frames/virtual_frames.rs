// SPDX-License-Identifier: BSD-2-Clause
//! The virtual frames of a container: insertion, lookup, removal.
//!
//! A frame that was dropped under memory pressure leaves its record, which reports the loss to
//! whoever looks it up. Nobody is charged for it, and most operations treat the number as free.

use pmserver_api::{Failure, PmError};

use crate::frames::FrameManager;
use crate::kernel::{Kernel, KernelError};
use crate::records::account::{Account, Shortage};
use crate::records::broken::broken;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::failure::at_frame;
use crate::records::frame::{Frame, FrameMarks};
use crate::records::leaf::Leaf;
use crate::records::range::Range;
use crate::store::Store;
use crate::store::extra::Demoted;

impl<K: Kernel> FrameManager<K> {
    /// Charges a tentative frame and inserts it. If extra frames are allowed, records in `demoted`
    /// which frames were made extra to pay for its record.
    pub(crate) fn insert_frame(
        &mut self,
        container: Ref<Container>,
        number: u64,
        mut demoted: Option<&mut Demoted>,
    ) -> Result<(), Shortage> {
        let account = self.charged(container)?;
        let frame = self.insert_record(container, number, demoted.as_deref_mut())?;
        // After the record, which may have needed the last room.
        self.store.charge_frame(account, frame, demoted.is_some()).inspect_err(|_| {
            self.store.get_mut(frame).set(FrameMarks::UNCHARGED, true);
            self.keep_or_remove_frame(container, number, false);
        })
    }

    /// Inserts a tentative frame that will get the charge of another.
    pub(crate) fn insert_moved_frame(
        &mut self,
        container: Ref<Container>,
        number: u64,
    ) -> Result<(), Shortage> {
        let frame = self.insert_record(container, number, None)?;
        self.store.get_mut(frame).set(FrameMarks::UNCHARGED, true);
        Ok(())
    }

    /// Inserts the record of a tentative frame, or reuses the record of a discarded one.
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

    /// Makes something that may need a page for records. If the account is at its limit and extra
    /// frames are allowed, the newest frame within the limit is demoted to make room.
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
        // The demoted frame is a new extra one.
        self.store.check_extra(account)?;
        let Some(list) = self.store.demote(account) else { return result };
        let result = make(&mut self.store);
        if result.is_ok() {
            let _ = demoted.push(list);
        } else {
            self.store.undo_demote(account, list);
        }
        result
    }

    /// Makes the tentative frames of a range permanent, or removes them.
    pub(crate) fn keep_or_remove_frames(
        &mut self,
        container: Ref<Container>,
        range: Range,
        keep: bool,
    ) {
        let mut rest = Some(range);
        while let Some((_, number)) = self.take_frame(container, &mut rest) {
            self.keep_or_remove_frame(container, number, keep);
        }
    }

    /// Makes a tentative frame permanent, or removes it; does nothing to other frames.
    pub(crate) fn keep_or_remove_frame(
        &mut self,
        container: Ref<Container>,
        number: u64,
        keep: bool,
    ) {
        let frame = self.find_frame(container, number);
        let is_tentative = |frame: &Ref<Frame>| self.store.get(*frame).has(FrameMarks::TENTATIVE);
        let Some(frame) = frame.filter(is_tentative) else { return };
        if keep {
            let was = FrameMarks::TENTATIVE | FrameMarks::DISCARDED;
            self.store.get_mut(frame).set(was, false);
            return;
        }
        // It has no mapping yet, so there is nothing that the kernel could refuse.
        let _ = if self.store.get(frame).has(FrameMarks::DISCARDED) {
            self.drop_contents(frame).map(|()| self.discard_frame(container, frame))
        } else {
            self.remove_frame(container, frame, number)
        };
    }

    /// Returns the account that is charged for something new in a container.
    ///
    /// # Errors
    /// If its owner may not charge that account any more.
    pub(crate) fn charged(&self, container: Ref<Container>) -> Result<Ref<Account>, Shortage> {
        let payer = self.payer(container);
        let owner = self.store.get(container).owner();
        if self.may_charge(owner, payer) { Ok(payer) } else { Err(Shortage::Account) }
    }

    /// Returns the account that pays for a container.
    pub(crate) fn payer(&self, container: Ref<Container>) -> Ref<Account> {
        match self.store.get(container).account.target() {
            Some(account) => self.store.payer_for(account),
            None => broken("container without an account"),
        }
    }

    pub(crate) fn find_frame(&self, container: Ref<Container>, number: u64) -> Option<Ref<Frame>> {
        self.frame_at(container, number).ok()
    }

    /// Returns the frame with this number.
    ///
    /// # Errors
    /// `NotFound`, or `Discarded` if it was dropped.
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

    /// Returns the first frame of a range, discarded ones included.
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

    /// Returns the first frame of `rest` and advances `rest` behind it.
    pub(crate) fn take_frame(
        &self,
        container: Ref<Container>,
        rest: &mut Option<Range>,
    ) -> Option<(Ref<Frame>, u64)> {
        let (frame, number) = self.next_frame(container, (*rest)?)?;
        *rest = number.checked_add(1).zip(*rest).map(|(first, range)| Range { first, ..range });
        Some((frame, number))
    }

    /// Removes a frame from its container, with its mappings and its charge.
    ///
    /// # Errors
    /// The kernel's error if it refuses to unmap; the frame then stays.
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

    /// Refunds a frame without contents and leaves its record to report the loss.
    pub(crate) fn discard_frame(&mut self, container: Ref<Container>, frame: Ref<Frame>) {
        if !self.store.get(frame).has(FrameMarks::UNCHARGED) {
            let payer = self.payer(container);
            self.store.refund_frame(payer, frame);
        }
        self.store.get_mut(frame).discard();
        self.store.get_mut(container).frame_count.down();
    }

    /// Returns a frame of a container.
    ///
    /// # Errors
    /// `NotFound` or `Discarded`, with the number.
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
