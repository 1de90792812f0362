// SPDX-License-Identifier: BSD-2-Clause
//! allocate, deallocate, mark (O4, O5).

use pmserver_api::{AllocateFlags, DeallocateFlags, Failure, Frames, Marks, PmError};
use proto::PeerId;

use crate::config::Privileges;
use crate::kernel::{Kernel, KernelError};
use crate::ops::Operations;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::frame::FrameMarks;
use crate::records::lease::Need;
use crate::records::range::Range;
use crate::store::extra::Demoted;

/// The progress of an allocation.
#[derive(Default)]
struct Progress {
    done: u64,
    /// Frames that existed before and will be replaced.
    replaced: u64,
    demoted: Demoted,
}

impl<K: Kernel> Operations<K> {
    /// Allocates virtual frames in a container (O4): all or nothing unless PARTIAL.
    pub(crate) fn allocate(
        &mut self,
        caller: PeerId,
        Frames { container, start, count }: Frames,
        flags: AllocateFlags,
    ) -> Result<u64, Failure> {
        let access = self.owned(caller, container)?;
        let range = Range::new(start, count.get()).ok_or(PmError::Invalid)?;
        let is_for_device = flags.contains(AllocateFlags::DMA);
        if is_for_device && !self.peer(caller).privileges.contains(Privileges::DMA) {
            return Err(PmError::NoRight.into());
        }
        let payer = self.payer(access.container);
        if flags.contains(AllocateFlags::EXTRA) && !self.store.may_have_extra(payer) {
            return Err(PmError::NotEligible.into());
        }
        let squash = flags.contains(AllocateFlags::SQUASH);
        let need = if squash { Need::Remove } else { Need::Change };
        self.check_leases(&access, range, need)?;
        let mut progress = Progress::default();
        let result = self.insert_frames(access.container, range, flags, &mut progress);
        match result {
            Err(failure) if !flags.contains(AllocateFlags::PARTIAL) => {
                self.keep_or_remove_frames(access.container, range, false);
                while let Some(list) = progress.demoted.pop() {
                    self.store.undo_demote(payer, list);
                }
                Err(Failure { done: 0, ..failure })
            }
            result => {
                self.keep_or_remove_frames(access.container, range, true);
                let last = range.first.saturating_add(progress.done.saturating_sub(1));
                let made = Range { last, ..range };
                if progress.replaced > 0 {
                    self.squash_frames(access.container, made)?;
                }
                if is_for_device && progress.done > 0 {
                    self.bind_frames(access.container, made)?;
                }
                result
                    .map(|()| progress.done)
                    .map_err(|failure| Failure { done: progress.done, ..failure })
            }
        }
    }

    /// Gives memory to the frames of a range that have none.
    fn bind_frames(&mut self, container: Ref<Container>, range: Range) -> Result<(), Failure> {
        let mut rest = Some(range);
        while let Some((frame, number)) = self.take_frame(container, &mut rest) {
            self.bind(frame).map_err(|_: KernelError| Failure {
                error: PmError::Kernel,
                done: number.saturating_sub(range.first),
                at: number,
            })?;
        }
        Ok(())
    }

    /// Inserts tentative frames up to the first problem.
    fn insert_frames(
        &mut self,
        container: Ref<Container>,
        range: Range,
        flags: AllocateFlags,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let squash = flags.contains(AllocateFlags::SQUASH);
        let may_be_extra = flags.contains(AllocateFlags::EXTRA);
        for number in range.first..=range.last {
            let at = |error| Failure { error, done: 0, at: number };
            match self.find_frame(container, number) {
                Some(_) if squash => progress.replaced = progress.replaced.saturating_add(1),
                Some(_) => return Err(at(PmError::Exists)),
                None => {
                    let demoted = may_be_extra.then_some(&mut progress.demoted);
                    self.insert_frame(container, number, demoted)
                        .map_err(|shortage| at(shortage.as_quota()))?;
                }
            }
            progress.done = progress.done.saturating_add(1);
        }
        Ok(())
    }

    /// Clears the frames of a range and returns how many there were. Frames that this allocation
    /// has just made are empty already.
    fn squash_frames(&mut self, container: Ref<Container>, range: Range) -> Result<u64, Failure> {
        let mut renewed: u64 = 0;
        let mut rest = Some(range);
        while let Some((frame, number)) = self.take_frame(container, &mut rest) {
            self.drop_contents(frame).map_err(|_: KernelError| Failure {
                error: PmError::Kernel,
                done: renewed,
                at: number,
            })?;
            let record = self.store.get_mut(frame);
            record.set(FrameMarks::TAKEN_OVER | FrameMarks::CONTIGUOUS, false);
            renewed = renewed.saturating_add(1);
        }
        Ok(renewed)
    }

    /// Removes virtual frames from a container (O5). Holes are skipped unless STRICT.
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
        let mut freed: u64 = 0;
        while let Some((frame, number)) = self.next_record(access.container, range) {
            let is_there = !self.store.get(frame).is_discarded();
            self.remove_frame(access.container, frame, number).map_err(|_: KernelError| {
                Failure { error: PmError::Kernel, done: freed, at: number }
            })?;
            freed = freed.saturating_add(is_there.into());
        }
        Ok(freed)
    }

    /// Sets the marks of the frames of a range to exactly these.
    pub(crate) fn mark(
        &mut self,
        caller: PeerId,
        Frames { container, start, count }: Frames,
        marks: Marks,
    ) -> Result<u64, Failure> {
        let access = self.owned(caller, container)?;
        let range = Range::new(start, count.get()).ok_or(PmError::Invalid)?;
        let account = self.payer(access.container);
        let mut marked: u64 = 0;
        let mut rest = Some(range);
        while let Some((frame, _)) = self.take_frame(access.container, &mut rest) {
            self.store.set_discardable(account, frame, marks.contains(Marks::DISCARDABLE));
            marked = marked.saturating_add(1);
        }
        Ok(marked)
    }
}
