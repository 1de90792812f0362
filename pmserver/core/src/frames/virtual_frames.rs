// SPDX-License-Identifier: BSD-2-Clause
//! The virtual frames of a container: insertion, lookup, removal.
//!
//! A frame that was dropped under memory pressure leaves its record, which reports the loss to
//! whoever looks it up. Nobody is charged for it, and most operations treat the number as free.
//!
//! A record may be that of a run (`store/runs.rs`) or a cluster (`frames/clusters.rs`).
//! `frames/individual.rs` splits it, for what happens to one frame; others may return it.

use pmserver_api::PmError;

use crate::frames::FrameManager;
use crate::kernel::{Kernel, KernelError};
use crate::records::account::{Account, Shortage};
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::frame::{Frame, FrameMarks, LARGE_ORDER};
use crate::records::id::{FrameId, Id};
use crate::records::leaf::Leaf;
use crate::records::ledger::FrameList;
use crate::records::range::Range;
use crate::store::Store;
use crate::store::extra::Demoted;
use crate::store::radix::Near;
use crate::store::runs::{RUN_FRAMES_MIN, RUN_ORDERS};

impl<K: Kernel> FrameManager<K> {
    /// Charges a frame with these marks and inserts it. A discarded one of its number that is there
    /// becomes a tentative one. If extra frames are allowed, records in `demoted` which frames were
    /// made extra to pay for its record.
    #[inline(always)]
    pub(crate) fn insert_frame(
        &mut self,
        (account, container, there): (Ref<Account>, Ref<Container>, Option<Ref<Frame>>),
        (number, marks): (u64, FrameMarks),
        mut demoted: Option<&mut Demoted>,
    ) -> Result<Ref<Frame>, Shortage> {
        let new = Frame::new(container.link(), number, marks);
        let frame =
            self.insert_record((account, container, there), &new, demoted.as_deref_mut())?;
        // After the record, which may have needed the last room.
        self.store.charge_frame(account, frame, demoted.is_some()).inspect_err(|_| {
            self.store.get_mut(frame).set(FrameMarks::UNCHARGED, true);
            self.take_out(container, frame, number);
        })?;
        Ok(frame)
    }

    /// Charges a tentative frame within the limit and inserts it, as [`Self::insert_frame`].
    pub(crate) fn insert_tentative(
        &mut self,
        at: (Ref<Account>, Ref<Container>, Option<Ref<Frame>>),
        number: u64,
    ) -> Result<(), Shortage> {
        self.insert_frame(at, (number, FrameMarks::TENTATIVE), None).map(drop)
    }

    /// Inserts a tentative frame that will get the charge of another.
    pub(crate) fn insert_moved_frame(
        &mut self,
        container: Ref<Container>,
        number: u64,
    ) -> Result<(), Shortage> {
        let account = self.store.payer_of_container(container);
        let there = self.record_at(container, number);
        let new = Frame::new(container.link(), number, FrameMarks::TENTATIVE);
        let frame = self.insert_record((account, container, there), &new, None)?;
        self.store.get_mut(frame).set(FrameMarks::UNCHARGED, true);
        Ok(())
    }

    /// Inserts the record of a frame, or reuses the record of a discarded one.
    #[inline(always)]
    fn insert_record(
        &mut self,
        (account, container, there): (Ref<Account>, Ref<Container>, Option<Ref<Frame>>),
        new: &Frame,
        demoted: Option<&mut Demoted>,
    ) -> Result<Ref<Frame>, Shortage> {
        let frame = match there {
            Some(discarded) => {
                self.store.get_mut(discarded).set(FrameMarks::TENTATIVE, true);
                discarded
            }
            None => self.new_record(account, container, new, demoted)?,
        };
        let record = self.store.get_mut(container);
        record.frame_count.up();
        record.unused_from = record.unused_from.max(new.key().saturating_add(1));
        Ok(frame)
    }

    #[inline(always)]
    fn new_record(
        &mut self,
        account: Ref<Account>,
        container: Ref<Container>,
        new: &Frame,
        mut demoted: Option<&mut Demoted>,
    ) -> Result<Ref<Frame>, Shortage> {
        let make = |pool: &mut Store<K>| pool.alloc(account, *new);
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
    #[inline(always)]
    fn with_page<T>(
        &mut self,
        account: Ref<Account>,
        demoted: Option<&mut Demoted>,
        make: impl Fn(&mut Store<K>) -> Result<T, Shortage>,
    ) -> Result<T, Shortage> {
        match (make(&mut self.store), demoted) {
            (Err(Shortage::Account), Some(demoted)) if !demoted.is_full() => {
                let list = self.demote_for_page(account)?;
                let made = make(&mut self.store);
                if made.is_ok() {
                    let _ = demoted.push(list);
                } else {
                    self.store.undo_demote(account, list);
                }
                made
            }
            (result, _) => result,
        }
    }

    /// Demotes a frame, so that there is room for a page for records.
    #[cold]
    fn demote_for_page(&mut self, account: Ref<Account>) -> Result<FrameList, Shortage> {
        // The demoted frame is a new extra one.
        self.store.check_extra()?;
        self.split_newest(account).map_err(|_| Shortage::Account)?;
        self.store.demote(account).ok_or(Shortage::Account)
    }

    /// Charges frames at the beginning of a range as runs, if it can: if they are of an
    /// account that is never removed, and nothing is at their numbers. Returns how many.
    pub(crate) fn insert_runs(
        &mut self,
        account: Ref<Account>,
        container: Ref<Container>,
        range: Range,
    ) -> Option<u64> {
        let count = range.last.saturating_sub(range.first).saturating_add(1);
        if count < RUN_FRAMES_MIN {
            return None;
        }
        let fits = |frames: u64| count >= frames && range.first.is_multiple_of(frames);
        let mut orders = RUN_ORDERS.into_iter().filter(|order| fits(1 << order));
        orders.find_map(|order| self.insert_runs_of(account, container, (range, count), order))
    }

    fn insert_runs_of(
        &mut self,
        account: Ref<Account>,
        container: Ref<Container>,
        (range, count): (Range, u64),
        order: u8,
    ) -> Option<u64> {
        let mut near = None;
        let free = match self.next_record_near(container, range, &mut near) {
            Some((_, number)) => number.saturating_sub(range.first),
            None => count,
        };
        let runs = u32::try_from(free >> order).ok().filter(|runs| *runs > 0)?;
        if self.store.get(account).maker().is_some()
            || order < LARGE_ORDER && !self.store.has_room_beside(account, count, order)
        {
            return None;
        }
        let is_starved = self.store.is_starved;
        let added = self.store.add_runs(account, container, range.first, (runs, order), near);
        // If not all of them can be had, some can.
        self.store.is_starved = is_starved;
        let added = added.ok().filter(|added| *added > 0)?;
        Some(u64::from(added) << order)
    }

    /// Makes the tentative frames of a range permanent, or removes them.
    pub(crate) fn keep_or_remove_frames(
        &mut self,
        container: Ref<Container>,
        mut rest: Option<Range>,
        keep: bool,
    ) {
        while let Some((frame, number)) = self.take_frame(container, &mut rest) {
            self.settle(container, (frame, number), keep);
        }
    }

    /// Makes a tentative frame permanent, or removes it; does nothing to other frames.
    pub(crate) fn keep_or_remove_frame(
        &mut self,
        container: Ref<Container>,
        number: u64,
        keep: bool,
    ) {
        if let Some(frame) = self.find_frame(container, number) {
            self.settle(container, (frame, number), keep);
        }
    }

    fn settle(
        &mut self,
        container: Ref<Container>,
        (frame, number): (Ref<Frame>, u64),
        keep: bool,
    ) {
        if !self.store.get(frame).has(FrameMarks::TENTATIVE) {
            return;
        }
        if keep {
            let was = FrameMarks::TENTATIVE | FrameMarks::DISCARDED;
            self.store.get_mut(frame).set(was, false);
            return;
        }
        self.take_out(container, frame, number);
    }

    /// Removes a frame that a call has made: if it was a discarded one, it is one again.
    pub(crate) fn take_out(&mut self, container: Ref<Container>, frame: Ref<Frame>, number: u64) {
        // It has no mapping yet, so there is nothing that the kernel could refuse.
        let _ = if self.store.get(frame).has(FrameMarks::DISCARDED) {
            self.drop_contents(frame, 1).map(|()| self.discard_frame(container, frame))
        } else {
            self.remove_frame(container, frame, number)
        };
    }

    /// Returns the account that is charged for something new in a container.
    ///
    /// # Errors
    /// If its owner may not charge that account any more.
    pub(crate) fn charged(&self, container: Ref<Container>) -> Result<Ref<Account>, Shortage> {
        self.charged_payer(container, self.store.payer_of_container(container))
    }

    /// The same, given the account that pays for the container.
    #[inline(always)]
    pub(crate) fn charged_payer(
        &self,
        container: Ref<Container>,
        payer: Ref<Account>,
    ) -> Result<Ref<Account>, Shortage> {
        let owner = self.store.get(container).owner();
        if self.may_charge_payer(owner, payer) { Ok(payer) } else { Err(Shortage::Account) }
    }

    pub(crate) fn find_frame(&self, container: Ref<Container>, number: u64) -> Option<Ref<Frame>> {
        self.frame_at(container, number).ok()
    }

    /// Returns the record that stands for a number, also if it is that of a discarded frame.
    pub(crate) fn record_at(&self, container: Ref<Container>, number: u64) -> Option<Ref<Frame>> {
        self.store.tree_get(self.store.get(container).frames, number)
    }

    /// Returns the frame with this number, or the run that it is in.
    ///
    /// # Errors
    /// `NotFound`, or `Discarded` if it was dropped.
    pub(crate) fn frame_at(
        &self,
        container: Ref<Container>,
        number: u64,
    ) -> Result<Ref<Frame>, PmError> {
        let frame = self.record_at(container, number).ok_or(PmError::NotFound)?;
        if self.store.get(frame).is_discarded() { Err(PmError::Discarded) } else { Ok(frame) }
    }

    /// Returns the frame with this number; of a run, the run.
    pub(crate) fn find_id(&self, container: Ref<Container>, number: u64) -> Option<FrameId> {
        let frame = self.find_frame(container, number)?;
        Some(Id::new(frame, self.store.get(frame).index_of(number)))
    }

    /// Returns the first frame or run of a range, with the first of its numbers in the range.
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
            rest = range.behind(number);
        }
    }

    /// Returns the first frame or run of a range, discarded ones included.
    pub(crate) fn next_record(
        &self,
        container: Ref<Container>,
        range: Range,
    ) -> Option<(Ref<Frame>, u64)> {
        self.next_record_near(container, range, &mut None)
    }

    /// Does the same and says which node of the tree the first of the range would be below.
    fn next_record_near(
        &self,
        container: Ref<Container>,
        range: Range,
        near: &mut Near,
    ) -> Option<(Ref<Frame>, u64)> {
        let tree = self.store.get(container).frames;
        let frame = self.store.tree_next_near::<Frame>(tree, range.first, near)?;
        let number = self.store.get(frame).key().max(range.first);
        range.contains(number).then_some((frame, number))
    }

    /// Returns the first frame or run of `rest` and advances `rest` behind it.
    pub(crate) fn take_frame(
        &self,
        container: Ref<Container>,
        rest: &mut Option<Range>,
    ) -> Option<(Ref<Frame>, u64)> {
        let range = (*rest)?;
        let (frame, number) = self.next_frame(container, range)?;
        *rest = range.behind(self.store.get(frame).last());
        Some((frame, number))
    }

    /// Returns the first frame of `rest`, of a cluster alone, and advances `rest` behind it. Of a
    /// run it returns the run.
    pub(crate) fn take_each(
        &self,
        container: Ref<Container>,
        rest: &mut Option<Range>,
    ) -> Option<(FrameId, u64)> {
        let range = (*rest)?;
        let (frame, number) = self.next_frame(container, range)?;
        let record = self.store.get(frame);
        *rest = range.behind(if record.is_cluster() { number } else { record.last() });
        Some((Id::new(frame, record.index_of(number)), number))
    }

    /// Removes a frame or run from its container, with its mappings and its charge.
    ///
    /// # Errors
    /// The kernel's error if it refuses to unmap; the frame then stays.
    pub(crate) fn remove_frame(
        &mut self,
        container: Ref<Container>,
        frame: Ref<Frame>,
        number: u64,
    ) -> Result<(), KernelError> {
        self.drop_contents(frame, self.store.get(frame).all())?;
        if !self.store.get(frame).is_discarded() {
            self.uncharge_frame(container, frame);
        }
        let tree = self.store.get(container).frames;
        self.store.get_mut(container).frames = self.store.tree_remove(tree, number);
        self.store.free_frame(frame);
        Ok(())
    }

    /// Refunds a frame without contents and leaves its record to report the loss.
    pub(crate) fn discard_frame(&mut self, container: Ref<Container>, frame: Ref<Frame>) {
        self.uncharge_frame(container, frame);
        self.store.get_mut(frame).discard();
    }

    /// Refunds a frame without contents that is to be removed or discarded.
    #[inline(always)]
    fn uncharge_frame(&mut self, container: Ref<Container>, frame: Ref<Frame>) {
        if !self.store.get(frame).has(FrameMarks::UNCHARGED) {
            let payer = self.store.payer_of_container(container);
            self.store.refund_frame(payer, frame);
        }
        let frames = self.store.get(frame).frames();
        self.store.get_mut(container).frame_count.subtract(frames);
    }
}
