// SPDX-License-Identifier: BSD-2-Clause
//! The virtual frames of a container: removal. `frames/insertion.rs` inserts them.

use crate::frames::FrameManager;
use crate::kernel::{Kernel, KernelError};
use crate::records::account::{Account, Shortage};
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::frame::{Frame, FrameMarks};
use crate::records::ledger::FrameList;
use crate::records::range::Range;

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
        self.remove_inline(container, frame).map(drop)
    }

    /// Does the same; compiled into its caller. Returns how many frames there were that had not
    /// been discarded.
    ///
    /// # Errors
    /// As [`Self::remove_frame`].
    #[inline(always)]
    pub(crate) fn remove_inline(
        &mut self,
        container: Ref<Container>,
        frame: Ref<Frame>,
    ) -> Result<u32, KernelError> {
        self.drop_contents(frame, self.store.get(frame).all())?;
        let record = self.store.get(frame);
        let order = record.order();
        let frames = if record.is_discarded() { 0 } else { record.frames() };
        if frames > 0 {
            self.uncharge_frame(container, frame);
        }
        self.store.take_out_of_tree(container, frame);
        self.store.free_frame(frame, order);
        Ok(frames)
    }

    /// Removes frames of a cluster, with their mappings and charges.
    ///
    /// # Errors
    /// The kernel's error if it refuses to unmap; the frames then stay.
    pub(crate) fn remove_frames_of(
        &mut self,
        cluster: Ref<Frame>,
        frames: u8,
    ) -> Result<(), KernelError> {
        self.drop_contents(cluster, frames)?;
        self.store.remove_part(cluster, frames);
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
