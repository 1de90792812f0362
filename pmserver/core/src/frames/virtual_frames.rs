// SPDX-License-Identifier: BSD-2-Clause
//! The virtual frames of a container: lookup, removal. `frames/insertion.rs` inserts them.
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
use crate::records::frame::{Frame, FrameMarks};
use crate::records::id::{FrameId, Id};
use crate::records::leaf::Leaf;
use crate::records::ledger::FrameList;
use crate::records::range::Range;
use crate::store::radix::Near;

impl<K: Kernel> FrameManager<K> {
    /// Makes the tentative frames of a range permanent, or removes them.
    pub(crate) fn keep_or_remove_frames(
        &mut self,
        container: Ref<Container>,
        mut rest: Option<Range>,
        keep: bool,
    ) {
        while let Some((frame, _)) = self.take_frame(container, &mut rest) {
            self.settle(container, frame, keep);
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
            self.settle(container, frame, keep);
        }
    }

    fn settle(&mut self, container: Ref<Container>, frame: Ref<Frame>, keep: bool) {
        if !self.store.get(frame).has(FrameMarks::TENTATIVE) {
            return;
        }
        if keep {
            let was = FrameMarks::TENTATIVE | FrameMarks::DISCARDED;
            self.store.get_mut(frame).set(was, false);
            return;
        }
        self.take_out(container, frame);
    }

    /// Removes a frame that a call has made: if it was a discarded one, it is one again.
    pub(crate) fn take_out(&mut self, container: Ref<Container>, frame: Ref<Frame>) {
        // It has no mapping yet, so there is nothing that the kernel could refuse.
        let _ = if self.store.get(frame).has(FrameMarks::DISCARDED) {
            self.drop_contents(frame, 1).map(|()| self.discard_frame(container, frame))
        } else {
            self.remove_frame(container, frame)
        };
    }

    /// Returns the account that is charged for something new in a container.
    ///
    /// # Errors
    /// If its owner may not charge that account any more.
    pub(crate) fn charged(&self, container: Ref<Container>) -> Result<Ref<Account>, Shortage> {
        let payer = self.store.payer_of_container(container);
        let owner = self.store.get(container).owner();
        if self.may_charge_payer(owner, payer) { Ok(payer) } else { Err(Shortage::Account) }
    }

    pub(crate) fn find_frame(&self, container: Ref<Container>, number: u64) -> Option<Ref<Frame>> {
        self.frame_at(container, number).ok()
    }

    /// Returns the record that stands for a number, also if it is that of a discarded frame.
    #[inline]
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
    pub(super) fn next_record_near(
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
    #[inline(never)]
    pub(crate) fn remove_frame(
        &mut self,
        container: Ref<Container>,
        frame: Ref<Frame>,
    ) -> Result<(), KernelError> {
        self.remove_inline(container, frame)
    }

    /// Does the same; compiled into its caller.
    ///
    /// # Errors
    /// As [`Self::remove_frame`].
    #[inline(always)]
    pub(crate) fn remove_inline(
        &mut self,
        container: Ref<Container>,
        frame: Ref<Frame>,
    ) -> Result<(), KernelError> {
        self.drop_contents(frame, self.store.get(frame).all())?;
        let record = self.store.get(frame);
        let order = record.order();
        if !record.is_discarded() {
            self.uncharge_frame(container, frame);
        }
        let tree = self.store.get(container).frames;
        let tree = self.store.tree_remove(tree, frame);
        self.store.get_mut(container).frames = tree;
        self.store.free_frame(frame, order);
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
        let record = self.store.get(frame);
        let (frames, is_charged) = (record.frames(), !record.has(FrameMarks::UNCHARGED));
        let list = FrameList::of(record);
        let payer = self.store.payer_of_container(container);
        self.store.get_mut(container).frame_count.subtract(frames);
        if is_charged {
            self.store.refund_frames(payer, (frame, frames), list);
        }
    }
}
