// SPDX-License-Identifier: BSD-2-Clause
//! Large frames (decision 0039): 512 frames at aligned numbers that are bound to one block, in one
//! record and, at aligned addresses, one mapping for each VSpace.
//!
//! A large frame is what it is as long as it is used as a whole. When somebody needs a part of it,
//! it is *split*: all mappings of it are suspended, its pages are copied one after the other, over
//! several calls if need be, and then all virtual frames on it, and their mappings, are replaced by
//! clusters on the copies. What they shared they share still. One that is pinned stays where it is.
//!
//! ```text
//!   large frame a --+--> block             frame a0, a1, ...  --+--> copy 0, copy 1, ...
//!   large frame b --+            --->      frame b0, b1, ...  --+         block: free
//! ```

use heapless::Vec;
use pmserver_api::{Failure, PmError};
use proto::limits::FRAME_WORK_MAX;

use crate::frames::FrameManager;
use crate::frames::binding::Sharers;
use crate::kernel::{BLOCK_PAGES, Kernel, KernelError, PageIndex};
use crate::records::account::Account;
use crate::records::broken::broken;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::failure::split_failure;
use crate::records::frame::{Frame, FrameMarks, LARGE_PAGES};
use crate::records::id::{CLUSTER, Id, LAST_IN_CLUSTER};
use crate::records::ledger::FrameList;
use crate::records::mapping::{Mapping, MappingsOfFrame};
use crate::records::page::PageUse;
use crate::records::range::Range;
use crate::tables::large::{MAPPING_CELLS, PartFrames, Parts};

/// Mappings of one large frame, or of one bound run: splitting replaces them all in one call.
pub(super) const WHOLE_MAPPINGS_MAX: usize = 2;

/// Replacing a large frame, or a large mapping, by its parts.
const REPLACE_WORK: u64 = 300_000;

/// Copying one page of a large frame.
const PART_WORK: u64 = 20_000;

/// The accounts that pay for a large frame and its mappings.
type Payers = Vec<Ref<Account>, { WHOLE_MAPPINGS_MAX + 1 }>;

/// The mappings of a large frame, with what their parts need.
type Prepared = Vec<(Ref<Mapping>, Parts), WHOLE_MAPPINGS_MAX>;

impl<K: Kernel> FrameManager<K> {
    /// Splits a large frame into single frames.
    ///
    /// # Errors
    /// `Pending` if there is more to do than the call has room for: the next one goes on. The same,
    /// until its deadline, if a pin keeps the frame on its block; others have left it then.
    /// `Kernel` if the kernel refuses a step; what was done stays done, and is not seen.
    pub(crate) fn split_large(
        &mut self,
        frame: Ref<Frame>,
        block: PageIndex,
    ) -> Result<(), PmError> {
        let deadline = self.pin_deadline(Id::first(frame));
        if !self.store.entry(block).is(PageUse::Large) {
            // The pin has run out, and that has split it.
            return Ok(());
        }
        if deadline.is_some() && !self.store.is_held_twice(block) {
            self.store.held_until = deadline;
            self.store.end_splitting(block);
            return Err(PmError::Pending);
        }
        self.split_others(block)?;
        // What could not be done to all of it may be possible now.
        if deadline.is_some() { Err(PmError::Pending) } else { Ok(()) }
    }

    /// Splits the large frames on a block, but for one that is pinned.
    ///
    /// # Errors
    /// As [`Self::split_large`].
    pub(crate) fn split_others(&mut self, block: PageIndex) -> Result<(), PmError> {
        self.leave_block(block, Self::go_on_splitting)
    }

    /// Moves the virtual frames off a block, as `leave` says, after what is being split already.
    ///
    /// # Errors
    /// As [`Self::split_large`].
    pub(super) fn leave_block(
        &mut self,
        block: PageIndex,
        leave: impl FnOnce(&mut Self, PageIndex) -> Result<(), PmError>,
    ) -> Result<(), PmError> {
        let before = self.store.meter().spent();
        let left = self.end_other_splitting(block).and_then(|()| leave(self, block));
        self.store.meter().count_split(before);
        left
    }

    /// Moves the virtual frames off a block, but for one that a pin keeps there.
    pub(super) fn go_on_splitting(&mut self, block: PageIndex) -> Result<(), PmError> {
        let holders = self.store.holders(block);
        let pinned = holders.iter().find(|holder| self.pin_of(**holder).is_some());
        self.move_off(block, pinned.map(|pinned| pinned.record))
    }

    /// Moves the virtual frames off a block, but for one that may stay.
    pub(super) fn move_off(
        &mut self,
        block: PageIndex,
        staying: Option<Ref<Frame>>,
    ) -> Result<(), PmError> {
        let kernel = |_: KernelError| PmError::Kernel;
        if !self.store.is_splitting(block) {
            self.has_room(FRAME_WORK_MAX)?;
            self.forget_holders(block, &Sharers::new()).map_err(kernel)?;
            self.store.begin_splitting(block);
        }
        while self.store.splitting.is_some_and(|now| u32::from(now.copied) < BLOCK_PAGES) {
            self.has_room(PART_WORK)?;
            self.store.copy_next_part().map_err(kernel)?;
        }
        self.store.begin_joining();
        while let Some(frame) = self.first_on(block, staying) {
            let links = u64::from(self.store.get(frame).mapping_count.get()).saturating_add(1);
            self.has_room(REPLACE_WORK.saturating_mul(links))?;
            self.replace_frame(block, frame).map_err(kernel)?;
        }
        self.store.end_splitting(block);
        Ok(())
    }

    /// Returns the record of more than a cluster that stands for exactly a range.
    pub(crate) fn whole(&self, container: Ref<Container>, range: Range) -> Option<Ref<Frame>> {
        let frame = self.find_frame(container, range.first)?;
        self.is_whole_range(frame, container, range).then_some(frame)
    }

    /// Returns whether a record of more than a cluster stands for exactly a range of a container.
    pub(crate) fn is_whole_range(
        &self,
        frame: Ref<Frame>,
        container: Ref<Container>,
        range: Range,
    ) -> bool {
        let record = self.store.get(frame);
        record.container == container.link()
            && record.is_above_cluster()
            && record.range() == range
            && !record.has(FrameMarks::TENTATIVE)
    }

    /// Returns the first virtual frame on a block, but for one that stays, if that is a large frame
    /// still.
    fn first_on(&self, block: PageIndex, staying: Option<Ref<Frame>>) -> Option<Ref<Frame>> {
        if !self.store.entry(block).is(PageUse::Large) {
            return None;
        }
        let holders = self.store.holders(block);
        holders.iter().map(|holder| holder.record).find(|frame| Some(*frame) != staying)
    }

    pub(super) fn has_room(&self, work: u64) -> Result<(), PmError> {
        self.store.meter().check_room(work, 0).map_err(|failure| failure.error)
    }

    /// Returns whether a large frame or a bound run may get one more mapping.
    pub(crate) fn has_mappings_left(&self, frame: Ref<Frame>) -> bool {
        usize::from(self.store.get(frame).mapping_count.get()) < WHOLE_MAPPINGS_MAX
    }

    /// Returns whether one more virtual frame may be on a block, or one more run on its pages.
    pub(crate) fn has_holders_left(&self, first: PageIndex) -> bool {
        !self.store.is_splitting(first)
            && self.store.entry(first).holders() < self.store.places(first).into()
    }

    /// Replaces a virtual frame on a block, and its mappings, by clusters on the copies.
    fn replace_frame(&mut self, block: PageIndex, frame: Ref<Frame>) -> Result<(), KernelError> {
        self.drop_kept_of(frame)?;
        let payers = self.payers_of_parts(frame);
        let mut prepared = Prepared::new();
        if let Err(error) = self.prepare(frame, &mut prepared) {
            for (_, parts) in &prepared {
                self.drop_parts(parts);
            }
            payers.iter().for_each(|payer| self.store.release_unfilled(*payer));
            return Err(error);
        }
        // From here on nothing can fail.
        for (mapping, _) in &prepared {
            self.unlink_mapping(*mapping);
        }
        self.store.add_reference(block);
        self.leave_page(Id::first(frame));
        let frames = self.split_to_copies(block, frame);
        for (mapping, parts) in &prepared {
            self.replace_mapping(*mapping, parts, &frames);
        }
        self.store.drop_reference(block);
        payers.iter().for_each(|payer| self.store.release_unfilled(*payer));
        Ok(())
    }

    /// Returns the accounts that pay for a large frame and its mappings.
    fn payers_of_parts(&self, frame: Ref<Frame>) -> Payers {
        let mut payers = Payers::new();
        let container = self.store.container_of(frame);
        let _ = payers.push(self.store.payer_of_container(container));
        for mapping in self.store.chain::<MappingsOfFrame>(self.store.get(frame).mappings) {
            let _ = payers.push(self.store.payer_of(mapping));
        }
        payers
    }

    fn prepare(&mut self, frame: Ref<Frame>, prepared: &mut Prepared) -> Result<(), KernelError> {
        let links = u32::from(self.store.get(frame).mapping_count.get()).saturating_add(1);
        let cells = MAPPING_CELLS.saturating_mul(links);
        let account = self.store.payer_of_container(self.store.container_of(frame));
        self.store.prepare_aside(account, cells)?;
        let mut next = self.store.get(frame).mappings.target();
        while let Some(mapping) = next {
            next = self.next_mapping(frame, mapping);
            let parts = self.prepare_parts(mapping, cells)?;
            if let Err((_, parts)) = prepared.push((mapping, parts)) {
                self.drop_parts(&parts);
                return Err(KernelError::Refused);
            }
        }
        Ok(())
    }

    /// Splits a frame that was large into clusters, binds them to the copies of its pages, and
    /// returns them in order.
    fn split_to_copies(&mut self, block: PageIndex, frame: Ref<Frame>) -> PartFrames {
        let container = self.store.container_of(frame);
        let range = self.store.get(frame).range();
        let mut frames = PartFrames::new();
        let mut rest = Some(range);
        while let Some((part, number)) = rest.and_then(|rest| self.next_frame(container, rest)) {
            if self.store.get(part).is_above_cluster() {
                if self.store.split_run(part).is_err() {
                    broken("cell that was prepared");
                }
            } else {
                let _ = frames.push(part);
                rest = range.behind(number | LAST_IN_CLUSTER);
            }
        }
        let mut parts = 0..LARGE_PAGES;
        for frame in &frames {
            for (index, part) in (0..CLUSTER).zip(parts.by_ref()) {
                self.join_page(Id::new(*frame, index), self.store.copy_of(block, part));
            }
        }
        frames
    }

    /// Splits the newest frame within the limit of an account if it is in use together with others:
    /// a part of it may become an extra frame.
    ///
    /// # Errors
    /// As [`Self::split`].
    pub(crate) fn split_newest(&mut self, account: Ref<Account>) -> Result<(), Failure> {
        self.store.pass_kept(account)?;
        while let Some(newest) = self.store.ledger(account).list(FrameList::Guaranteed).target()
            && self.split_if_used(newest)?
        {}
        Ok(())
    }

    fn split_if_used(&mut self, frame: Ref<Frame>) -> Result<bool, Failure> {
        let record = self.store.get(frame);
        let is_used = record.is_run() && !record.is_blank();
        if is_used {
            self.split(frame)?;
        }
        Ok(is_used)
    }

    /// Splits a frame if it is bound together with others as a whole.
    ///
    /// # Errors
    /// As [`Self::split`].
    pub(crate) fn split_if_whole(&mut self, frame: Ref<Frame>) -> Result<(), Failure> {
        if self.store.get(frame).is_whole() {
            self.split(frame)?;
        }
        Ok(())
    }

    /// Splits the large frames and bound runs that a range covers only in part.
    ///
    /// # Errors
    /// As [`Self::split`].
    pub(crate) fn split_at_ends(
        &mut self,
        container: Ref<Container>,
        range: Range,
    ) -> Result<(), Failure> {
        for number in [range.first, range.last] {
            let Some(frame) = self.find_frame(container, number) else { continue };
            let record = self.store.get(frame);
            if record.is_whole() && !range.covers(record.range()) {
                self.split(frame).map_err(|error| split_failure(error, number))?;
            }
        }
        Ok(())
    }
}
