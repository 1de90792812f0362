// SPDX-License-Identifier: BSD-2-Clause
//! Finding frames by their numbers.
//!
//! A frame that was dropped under memory pressure leaves its record, which reports the loss to
//! whoever looks it up. Nobody is charged for it, and most operations treat the number as free.
//!
//! A record may be that of a run (`store/runs.rs`) or a cluster (`frames/clusters.rs`).
//! `frames/individual.rs` splits it, for what happens to one frame; others may return it.

use pmserver_api::PmError;

use crate::frames::FrameManager;
use crate::kernel::Kernel;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::frame::Frame;
use crate::records::id::{FrameId, Id};
use crate::records::leaf::Leaf;
use crate::records::range::Range;
use crate::store::radix::Near;

impl<K: Kernel> FrameManager<K> {
    pub(crate) fn find_frame(&self, container: Ref<Container>, number: u64) -> Option<Ref<Frame>> {
        self.frame_at(container, number).ok()
    }

    /// Returns the record that stands for a number, also if it is that of a discarded frame.
    #[inline]
    fn record_at(&self, container: Ref<Container>, number: u64) -> Option<Ref<Frame>> {
        let tree = self.store.get(container).frames;
        let (leaf, record) = self.store.tree_look_up(tree, number)?;
        if record.is_full() { Some(leaf) } else { self.store.record_in(leaf, number) }
    }

    /// Returns what is at a number that has no frame, for [`Self::insert_frame`]: the record of a
    /// discarded one, or the cluster that covers it.
    ///
    /// # Errors
    /// `Exists` if it has a frame.
    #[inline(always)]
    pub(crate) fn vacancy(
        &self,
        container: Ref<Container>,
        number: u64,
    ) -> Result<Option<Ref<Frame>>, PmError> {
        let tree = self.store.get(container).frames;
        let Some((leaf, record)) = self.store.tree_look_up::<Frame>(tree, number) else {
            return Ok(None);
        };
        let there = if record.is_full() { Some(leaf) } else { self.store.record_in(leaf, number) };
        match there {
            None => Ok(Some(leaf)),
            Some(there) if self.store.get(there).is_discarded() => Ok(Some(there)),
            Some(_) => Err(PmError::Exists),
        }
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

    /// Returns the numbers that a frame stands for: more than one if it is large, or a run.
    pub(crate) fn range_of(&self, frame: FrameId) -> Range {
        let record = self.store.get(frame.record);
        if record.is_cluster() { Range::one(record.number(frame.index)) } else { record.range() }
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

    /// Returns the first frame or run of a range, discarded ones included. One number is looked up,
    /// which is faster.
    #[inline]
    pub(crate) fn next_record(
        &self,
        container: Ref<Container>,
        range: Range,
    ) -> Option<(Ref<Frame>, u64)> {
        if range.others() == 0 {
            return Some((self.record_at(container, range.first)?, range.first));
        }
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
        let mut rest = range;
        loop {
            let leaf = self.store.tree_next_near::<Frame>(tree, rest.first, near)?;
            let record = self.store.get(leaf);
            let number = record.key().max(rest.first);
            let next = if record.is_full() {
                Some((leaf, number))
            } else {
                self.store.next_in(leaf, number)
            };
            if let Some((frame, number)) = next {
                return range.contains(number).then_some((frame, number));
            }
            rest = range.behind(record.last())?;
        }
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
}
