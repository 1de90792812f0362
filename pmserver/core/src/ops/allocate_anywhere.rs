// SPDX-License-Identifier: BSD-2-Clause
//! allocate_anywhere (O4): frames whose numbers the server chooses; renew (O14).

use pmserver_api::{AllocateFlags, ContainerHandle, Failure, Frames, Placed, PmError};
use proto::{FrameCount, FrameNumber, PeerId};

use crate::kernel::{Kernel, KernelError};
use crate::ops::Operations;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::frame::{Frame, FrameMarks};
use crate::records::id::Id;
use crate::records::leaf::Leaf;
use crate::records::lease::Need;
use crate::records::range::Range;

/// The number of frames that a search for unused numbers looks at. The search is needed only if the
/// largest number has been used.
const SEARCH_FRAMES_MAX: u32 = 64;

impl<K: Kernel> Operations<K> {
    /// Allocates frames in a range of numbers that the server chooses.
    #[inline(never)]
    pub(crate) fn allocate_anywhere(
        &mut self,
        caller: PeerId,
        container: ContainerHandle,
        count: FrameCount,
        flags: AllocateFlags,
    ) -> Result<Placed, Failure> {
        let owned = self.owned(caller, container)?.container;
        if flags.contains(AllocateFlags::SQUASH) {
            return Err(PmError::Invalid.into());
        }
        let start = self.unused_range(owned, count.get()).ok_or(PmError::TooMany)?;
        let frames = Frames { container, start: FrameNumber::new(start), count };
        match self.allocate(caller, frames, flags) {
            Ok(count) => Ok(Placed { start: FrameNumber::new(start), count }),
            // The caller must learn the numbers, or the frames leak.
            Err(failure) if failure.done > 0 => {
                Ok(Placed { start: FrameNumber::new(start), count: failure.done })
            }
            Err(failure) => Err(failure),
        }
    }

    /// Returns the first of `count` unused numbers in a row.
    fn unused_range(&self, container: Ref<Container>, count: u64) -> Option<u64> {
        // Above all numbers that were ever used, and above ranges that borrowers have locked.
        let locked = self.leases(container).filter(|lease| !lease.share.is_none());
        let locked = locked.map(|lease| lease.range.last.saturating_add(1)).max();
        let above = self.store.get(container).unused_from.max(locked.unwrap_or(0));
        let above = Range::new(FrameNumber::new(above), count);
        if let Some(range) = above.filter(|range| self.last_in_the_way(container, *range).is_none())
        {
            return Some(range.first);
        }
        let mut first: u64 = 0;
        for _ in 0..SEARCH_FRAMES_MAX {
            let wanted = Range::new(FrameNumber::new(first), count)?;
            match self.last_in_the_way(container, wanted) {
                None => return Some(first),
                Some(number) => first = number.checked_add(1)?,
            }
        }
        None
    }

    /// Returns the last number of a borrower's lease on a range, or that of the first frame or run
    /// in it.
    fn last_in_the_way(&self, container: Ref<Container>, range: Range) -> Option<u64> {
        let lease = self
            .leases(container)
            .find(|lease| !lease.share.is_none() && lease.range.overlaps(range))
            .map(|lease| lease.range.last);
        lease.or_else(|| {
            let (frame, _) = self.next_frame(container, range)?;
            Some(self.store.get(frame).last())
        })
    }

    /// Drops the contents of frames, which then read as zero (O14).
    #[inline(never)]
    pub(crate) fn renew(
        &mut self,
        caller: PeerId,
        Frames { container, start, count }: Frames,
    ) -> Result<u64, Failure> {
        let access = self.owned(caller, container)?;
        let range = Range::new(start, count.get()).ok_or(PmError::Invalid)?;
        self.check_leases(&access, range, Need::Remove)?;
        self.split_at_ends(access.container, range)?;
        let mut renewed: u64 = 0;
        let mut rest = Some(range);
        while let Some((frame, mask, number)) = self.take_step(access.container, &mut rest) {
            self.store.meter().begin_frame(renewed)?;
            let record = self.store.get(frame);
            let frames = if record.is_cluster() {
                mask.count_ones().into()
            } else {
                record.last().min(range.last).saturating_sub(number).saturating_add(1)
            };
            self.renew_frames(frame, mask).map_err(|_: KernelError| Failure {
                error: PmError::Kernel,
                done: renewed,
                at: number,
            })?;
            renewed = renewed.saturating_add(frames);
        }
        Ok(renewed)
    }

    fn renew_frames(&mut self, frame: Ref<Frame>, frames: u8) -> Result<(), KernelError> {
        let record = *self.store.get(frame);
        match record.page(0).filter(|_| record.has(FrameMarks::CONTIGUOUS)) {
            // It stays on its page and is cleared there.
            Some(page) => {
                self.remove_mappings(frame, frames)?;
                self.clear_apart(Id::first(frame), page)?;
            }
            None => self.drop_contents(frame, frames)?,
        }
        self.store.get_mut(frame).set(FrameMarks::TAKEN_OVER, false);
        Ok(())
    }
}
