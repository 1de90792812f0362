// SPDX-License-Identifier: BSD-2-Clause
//! allocate, deallocate, mark (O4, O5).

use pmserver_api::{AllocateFlags, DeallocateFlags, Failure, Frames, Marks, PmError};
use proto::PeerId;

use crate::config::Privileges;
use crate::kernel::{Kernel, KernelError};
use crate::ops::Operations;
use crate::records::account::Account;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::frame::FrameMarks;
use crate::records::lease::Need;
use crate::records::range::Range;
use crate::store::extra::Demoted;

/// The work of making a frame and removing it again, and what each account above adds.
const NEW_FRAME_WORK: u64 = 1_900;
const NEW_FRAME_WORK_ABOVE: u64 = 100;

/// The progress of an allocation.
#[derive(Default)]
struct Progress {
    done: u64,
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
        let fills = squash || is_for_device;
        if is_for_device && !squash {
            self.stock_clean(count.get())?;
        }
        self.check_room_for(payer, count.get())?;
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
                if fills && progress.done > 0 {
                    self.fill_frames(access.container, made, flags)?;
                }
                result
                    .map(|()| progress.done)
                    .map_err(|failure| Failure { done: progress.done, ..failure })
            }
        }
    }

    /// Refuses to make frames if the call has no room for making and removing so many.
    ///
    /// # Errors
    /// `Pending`: at the next call there is room.
    pub(super) fn check_room_for(&self, payer: Ref<Account>, frames: u64) -> Result<(), Failure> {
        let depth = u64::try_from(self.store.depth(payer)).unwrap_or(u64::MAX);
        let each = NEW_FRAME_WORK.saturating_add(depth.saturating_mul(NEW_FRAME_WORK_ABOVE));
        self.store.meter().check_room(frames.saturating_mul(each), 0)
    }

    /// Makes so many free pages clean, if there are so many, so that a call that gives memory to
    /// many frames does not have to scrub pages.
    ///
    /// # Errors
    /// `Pending` if one call cannot clean so many.
    fn stock_clean(&mut self, pages: u64) -> Result<(), Failure> {
        while u64::from(self.store.clean.count.get()) < pages {
            self.store.meter().begin_frame(0)?;
            if !self.store.make_one_clean() {
                break;
            }
        }
        Ok(())
    }

    /// Clears the frames of a range with SQUASH, and gives memory to them with DMA. Frames that
    /// this allocation has just made are empty already.
    ///
    /// # Errors
    /// `Pending` if one call cannot clear all; they are all there.
    fn fill_frames(
        &mut self,
        container: Ref<Container>,
        range: Range,
        flags: AllocateFlags,
    ) -> Result<(), Failure> {
        let is_squashed = flags.contains(AllocateFlags::SQUASH);
        let mut rest = Some(range);
        while let Some((frame, number)) = self.take_frame(container, &mut rest) {
            let done = number.saturating_sub(range.first);
            let refused = |_: KernelError| Failure { error: PmError::Kernel, done, at: number };
            if is_squashed {
                self.store.meter().begin_frame(done)?;
                self.drop_contents(frame).map_err(refused)?;
                let record = self.store.get_mut(frame);
                record.set(FrameMarks::TAKEN_OVER | FrameMarks::CONTIGUOUS, false);
            }
            if flags.contains(AllocateFlags::DMA) {
                self.bind(frame).map_err(refused)?;
            }
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
                Some(_) if squash => {}
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
            self.store.meter().begin_frame(freed)?;
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
