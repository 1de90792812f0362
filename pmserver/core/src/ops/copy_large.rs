// SPDX-License-Identifier: BSD-2-Clause
//! copy for 512 frames at aligned numbers: as one, if both sides are large frames or runs.

use pmserver_api::{CopyFlags, Failure, PmError};
use proto::PeerId;
use proto::limits::CALL_FRAMES_MAX;

use crate::frames::copying::Copying;
use crate::kernel::Kernel;
use crate::ops::Operations;
use crate::records::account::Shortage;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::frame::Frame;
use crate::records::range::Range;

/// The distance from the first to the last frame of a half of a large frame.
const HALF_LAST: u64 = CALL_FRAMES_MAX - 1;

impl<K: Kernel> Operations<K> {
    /// Copies the first half of a range that is too long to be copied frame by frame.
    ///
    /// # Errors
    /// `Pending` with how many are copied; `TooMany` for a copy that is not to be divided.
    pub(super) fn copy_half(
        &mut self,
        caller: PeerId,
        copying: &Copying,
        from: Range,
        to: Range,
    ) -> Result<u64, Failure> {
        if copying.flags.contains(CopyFlags::ATOMIC) || copying.is_within() {
            return Err(PmError::TooMany.into());
        }
        let half = |range: Range| Range { last: range.first.saturating_add(HALF_LAST), ..range };
        let done = self.copy_range(caller, copying, half(from), half(to))?;
        Err(Failure { error: PmError::Pending, done, at: 0 })
    }

    /// Copies a range as one, if that is possible: both sides are frames that stand for all of it.
    pub(super) fn copy_large(
        &mut self,
        caller: PeerId,
        copying: &Copying,
        from: Range,
        to: Range,
    ) -> Result<bool, Failure> {
        let source = self.whole_large(copying.from.container, from);
        let destination = self.whole_large(copying.to.container, to);
        let Some((source, destination)) = source.zip(destination) else { return Ok(false) };
        let block = self.store.get(source).page();
        let has_room = block.is_none_or(|block| self.has_holders_left(block));
        let is_replaced = copying.is_logical() && !copying.makes_new() && source != destination;
        let mut handlers = self.handlers(copying.to.container);
        let is_supplied = handlers.any(|(_, handler)| handler.range.overlaps(to));
        drop(handlers);
        if !has_room || !is_replaced || is_supplied {
            return Ok(false);
        }
        self.store.meter().begin_frame(0)?;
        if block.is_none() {
            let mut handlers = self.handlers(copying.from.container);
            if handlers.any(|(_, handler)| handler.range.overlaps(from)) {
                return Ok(false);
            }
        }
        self.check_copied_from(caller, source)?;
        self.check_copied_to(source, destination, true)?;
        let linked = self.link_copy(source, destination);
        linked.map_err(|error| Failure::from(Shortage::from(error).as_quota()))?;
        Ok(true)
    }

    /// Returns the frame or run that stands for exactly a range of 512.
    fn whole_large(&self, container: Ref<Container>, range: Range) -> Option<Ref<Frame>> {
        let frame = self.find_frame(container, range.first)?;
        let record = self.store.get(frame);
        (record.is_large_range() && record.range() == range).then_some(frame)
    }

    /// Splits large frames of which a copy needs a part that may have to be done as a whole: it
    /// does not come to an end otherwise.
    ///
    /// # Errors
    /// As for `split_at_ends`.
    pub(super) fn split_for_whole(
        &mut self,
        copying: &Copying,
        from: Range,
        to: Range,
    ) -> Result<(), Failure> {
        if copying.flags.contains(CopyFlags::ATOMIC) || copying.is_within() {
            self.split_at_ends(copying.from.container, from)?;
            self.split_at_ends(copying.to.container, to)?;
        }
        Ok(())
    }
}
