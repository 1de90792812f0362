// SPDX-License-Identifier: BSD-2-Clause
//! deallocate, mark (O5).

use pmserver_api::{DeallocateFlags, Failure, Frames, Marks, PmError};
use proto::PeerId;

use crate::kernel::{Kernel, KernelError};
use crate::ops::Operations;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::failure::split_failure;
use crate::records::id::Id;
use crate::records::lease::Need;
use crate::records::range::Range;

impl<K: Kernel> Operations<K> {
    /// Removes virtual frames from a container (O5). Holes are skipped unless STRICT.
    #[inline(never)]
    pub(crate) fn deallocate(
        &mut self,
        caller: PeerId,
        Frames { container, start, count }: Frames,
        flags: DeallocateFlags,
    ) -> Result<u64, Failure> {
        let access = self.owned(caller, container)?;
        let range = Range::new(start, count.get()).ok_or(PmError::Invalid)?;
        self.check_leases(&access, range, Need::Remove)?;
        if flags.contains(DeallocateFlags::STRICT) {
            for number in range.first..=range.last {
                if self.find_frame(access.container, number).is_none() {
                    return Err(Failure { error: PmError::NotFound, done: 0, at: number });
                }
            }
        }
        if count.get() > 1 {
            let payer = self.store.payer_of_container(access.container);
            self.store.open_credit(payer, 0);
        }
        let removed = self.remove_frames(access.container, range);
        self.store.close_credit();
        removed
    }

    /// Removes the frames of a range. Returns how many there were.
    fn remove_frames(&mut self, container: Ref<Container>, range: Range) -> Result<u64, Failure> {
        let mut freed: u64 = 0;
        let mut rest = Some(range);
        while let Some((frame, number)) = rest.and_then(|rest| self.next_record(container, rest)) {
            self.store.meter().begin_frame(freed)?;
            let failure = |error| Failure { done: freed, ..split_failure(error, number) };
            let kernel = |_: KernelError| failure(PmError::Kernel);
            let record = self.store.get(frame);
            let (numbers, is_crowded) = (record.range(), record.is_crowded());
            let mut last = numbers.last;
            let frames = if range.covers(numbers) && !is_crowded {
                self.remove_inline(container, frame).map_err(kernel)?
            } else if record.is_cluster() {
                let frames = if is_crowded {
                    last = number;
                    Id::new(frame, record.index_of(number)).bit()
                } else {
                    record.within(range)
                };
                self.remove_frames_of(frame, frames).map_err(kernel)?;
                frames.count_ones()
            } else {
                self.split(frame).map_err(failure)?;
                continue;
            };
            freed = freed.saturating_add(frames.into());
            rest = range.behind(last);
        }
        Ok(freed)
    }

    /// Sets the marks of the frames of a range to exactly these.
    #[inline(never)]
    pub(crate) fn mark(
        &mut self,
        caller: PeerId,
        Frames { container, start, count }: Frames,
        marks: Marks,
    ) -> Result<u64, Failure> {
        let access = self.owned(caller, container)?;
        let range = Range::new(start, count.get()).ok_or(PmError::Invalid)?;
        let account = self.store.payer_of_container(access.container);
        self.split_parts(access.container, range)?;
        let mut marked: u64 = 0;
        let mut rest = Some(range);
        while let Some((frame, _)) = rest.and_then(|rest| self.next_frame(access.container, rest)) {
            let record = self.store.get(frame);
            let (numbers, frames) = (record.range(), record.frames());
            self.store.set_discardable(account, frame, marks.contains(Marks::DISCARDABLE));
            marked = marked.saturating_add(frames.into());
            rest = range.behind(numbers.last);
        }
        Ok(marked)
    }

    /// Splits what a range covers in part, so that it covers all of each record.
    ///
    /// # Errors
    /// As [`Self::split`]; nothing shows of what was split before.
    fn split_parts(&mut self, container: Ref<Container>, range: Range) -> Result<(), Failure> {
        let mut rest = Some(range);
        while let Some((frame, number)) = rest.and_then(|rest| self.next_frame(container, rest)) {
            let numbers = self.store.get(frame).range();
            if range.covers(numbers) {
                rest = range.behind(numbers.last);
            } else {
                self.split(frame).map_err(|error| split_failure(error, number))?;
            }
        }
        Ok(())
    }
}
