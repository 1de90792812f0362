// SPDX-License-Identifier: BSD-2-Clause
//! allocate (O4).

use pmserver_api::{AllocateFlags, Failure, Frames, PmError};
use proto::limits::{ACCOUNT_DEPTH_MAX, CALL_FRAMES_MAX, LARGE_FRAMES};
use proto::{FrameNumber, PeerId};

use crate::config::Privileges;
use crate::kernel::{Kernel, KernelError, ObjectKind};
use crate::ops::Operations;
use crate::records::account::Account;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::failure::{at_frame, is_more_to_do};
use crate::records::frame::{Frame, FrameMarks, LARGE_ORDER};
use crate::records::id::FrameId;
use crate::records::lease::Need;
use crate::records::page::PageUse;
use crate::records::range::Range;
use crate::store::extra::Demoted;

/// The work of making a frame and removing it again, and what each account above adds.
const NEW_FRAME_WORK: u64 = 1_900;
const NEW_FRAME_WORK_ABOVE: u64 = 100;

/// The progress of an allocation.
#[derive(Default)]
struct Progress {
    done: u64,
    /// How many of them are single frames that were made.
    singles: u64,
    /// Whether any of them is tentative.
    is_tentative: bool,
    demoted: Demoted,
}

impl<K: Kernel> Operations<K> {
    /// Allocates virtual frames in a container (O4): all or nothing unless PARTIAL.
    ///
    /// It is compiled twice: most calls ask for nothing special, and take no time for it then.
    #[inline(never)]
    pub(crate) fn allocate(
        &mut self,
        caller: PeerId,
        frames: Frames,
        flags: AllocateFlags,
    ) -> Result<u64, Failure> {
        let partial = flags.intersection(AllocateFlags::PARTIAL);
        if partial != flags {
            self.allocate_special(caller, frames, flags)
        } else if frames.count.get() == 1 && self.allocate_one(caller, frames).is_some() {
            Ok(1)
        } else {
            self.allocate_with(caller, frames, partial)
        }
    }

    /// Allocates one frame, if nothing is in the way: the call that is made most.
    #[inline(always)]
    fn allocate_one(&mut self, caller: PeerId, frames: Frames) -> Option<Ref<Frame>> {
        let access = self.owned(caller, frames.container).ok()?;
        let (container, number) = (access.container, frames.start.get());
        self.check_leases(&access, Range::new(frames.start, 1)?, Need::Change).ok()?;
        let unused_from = self.store.get(container).unused_from;
        let payer = self.store.payer_of_container(container);
        let is_vacant = matches!(self.vacancy(container, number), Ok(None));
        if !is_vacant || !self.may_charge_payer(caller, payer) {
            return None;
        }
        let place = (payer, container, None);
        let inserted = self.insert_frame(place, (number, FrameMarks::empty()), None);
        inserted.inspect_err(|_| self.store.get_mut(container).unused_from = unused_from).ok()
    }

    #[inline(never)]
    fn allocate_special(
        &mut self,
        caller: PeerId,
        frames: Frames,
        flags: AllocateFlags,
    ) -> Result<u64, Failure> {
        self.allocate_with(caller, frames, flags)
    }

    #[inline(always)]
    fn allocate_with(
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
        let payer = self.store.payer_of_container(access.container);
        let may_be_extra = flags.contains(AllocateFlags::EXTRA);
        if may_be_extra {
            self.prepare_extra(payer)?;
        }
        let squash = flags.contains(AllocateFlags::SQUASH);
        let need = if squash { Need::Remove } else { Need::Change };
        self.check_leases(&access, range, need)?;
        let fills = squash || is_for_device;
        if fills {
            self.split_runs(access.container, range)?;
        }
        if is_for_device && !squash {
            self.stock_clean(count.get())?;
        }
        if count.get() < LARGE_FRAMES {
            self.check_room_for(payer, count.get())?;
        } else if fills || may_be_extra || self.store.get(payer).maker().is_some() {
            // So many single frames are more than one call makes.
            return Err(PmError::TooMany.into());
        }
        let mut progress = Progress::default();
        let unused_from = self.store.get(access.container).unused_from;
        let may_charge = self.may_charge_payer(caller, payer);
        let account = if may_charge { Ok(payer) } else { Err(PmError::QuotaExceeded) };
        let at = (access.container, payer, account);
        let inserted = self.insert_frames(at, range, flags, &mut progress);
        if inserted.is_ok() && !fills && !progress.is_tentative {
            // There is nothing to clear, to settle or to undo.
            return Ok(progress.done);
        }
        self.finish((access.container, payer), range, flags, (unused_from, progress, inserted))
    }

    /// Clears and settles what an allocation has inserted, or undoes it.
    #[inline(never)]
    fn finish(
        &mut self,
        (container, payer): (Ref<Container>, Ref<Account>),
        range: Range,
        flags: AllocateFlags,
        (unused_from, mut progress, inserted): (u64, Progress, Result<(), Failure>),
    ) -> Result<u64, Failure> {
        let squash = flags.contains(AllocateFlags::SQUASH);
        let fills = squash || flags.contains(AllocateFlags::DMA);
        let is_partial = flags.contains(AllocateFlags::PARTIAL);
        let filled = if fills && (inserted.is_ok() || is_partial) {
            let numbers = (range.first..=range.last).zip(0..progress.done);
            self.fill_frames(container, numbers, flags)
        } else {
            Ok(())
        };
        let kept = match filled {
            // All are there, if one was replaced: the next call replaces the others.
            Err(failure) if is_more_to_do(&failure) && failure.done > 0 => progress.done,
            // What was replaced stays so.
            Err(failure) if squash || is_partial => failure.done,
            Ok(()) if inserted.is_ok() || is_partial => progress.done,
            _ => 0,
        };
        let rest = FrameNumber::new(range.first.saturating_add(kept));
        let undone = Range::new(rest, progress.done.saturating_sub(kept));
        let kept_range =
            Range::new(FrameNumber::new(range.first), kept).filter(|_| progress.is_tentative);
        self.keep_or_remove_frames(container, kept_range, true);
        self.remove_made(container, undone, squash);
        if kept == 0 {
            self.store.get_mut(container).unused_from = unused_from;
            while let Some(list) = progress.demoted.pop() {
                self.store.undo_demote(payer, list);
            }
        }
        filled.map_err(|failure| Failure { done: failure.done.min(kept), ..failure })?;
        inserted.map_err(|failure| Failure { done: kept, ..failure })?;
        Ok(kept)
    }

    /// Prepares an account for extra frames.
    ///
    /// # Errors
    /// `NotEligible` if it may have none.
    fn prepare_extra(&mut self, payer: Ref<Account>) -> Result<(), Failure> {
        if !self.store.may_have_extra(payer) {
            return Err(PmError::NotEligible.into());
        }
        self.split_newest(payer)
    }

    /// Refuses to make frames if the call has no room for making and removing so many.
    ///
    /// # Errors
    /// `Pending`: at the next call there is room.
    pub(super) fn check_room_for(&self, payer: Ref<Account>, frames: u64) -> Result<(), Failure> {
        let check = |depth: usize| {
            let depth = u64::try_from(depth).unwrap_or(u64::MAX);
            let each = NEW_FRAME_WORK.saturating_add(depth.saturating_mul(NEW_FRAME_WORK_ABOVE));
            self.store.meter().check_room(frames.saturating_mul(each), 0)
        };
        check(ACCOUNT_DEPTH_MAX).or_else(|_| check(self.store.depth(payer)))
    }

    /// Returns how many frames of a range do not exist.
    pub(crate) fn missing_frames(&self, caller: PeerId, frames: &Frames) -> u64 {
        let container = self.owned_container(caller, frames.container.raw());
        let range = Range::new(frames.start, frames.count.get());
        let Some((container, range)) = container.zip(range) else { return 0 };
        let is_missing = |number: &u64| self.find_frame(container, *number).is_none();
        let missing = (range.first..=range.last).filter(is_missing).count();
        u64::try_from(missing).unwrap_or(u64::MAX)
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
    /// `Pending` if one call cannot clear all; they are all there. `Kernel` with the number of
    /// frames that are done.
    fn fill_frames(
        &mut self,
        container: Ref<Container>,
        numbers: impl Iterator<Item = (u64, u64)>,
        flags: AllocateFlags,
    ) -> Result<(), Failure> {
        for (number, done) in numbers {
            if flags.contains(AllocateFlags::SQUASH) {
                self.store.meter().begin_frame(done)?;
            }
            let Some(frame) = self.find_id(container, number) else { continue };
            let filled = if flags.contains(AllocateFlags::DMA) {
                self.replace_memory(frame)
            } else {
                self.drop_contents(frame.record, frame.bit())
            };
            filled.map_err(|_: KernelError| Failure {
                error: PmError::Kernel,
                done,
                at: number,
            })?;
            let record = self.store.get_mut(frame.record);
            record.set(FrameMarks::TAKEN_OVER | FrameMarks::CONTIGUOUS, false);
        }
        Ok(())
    }

    /// Gives a frame other memory, all zero, and ends its mappings and its relations to others.
    ///
    /// # Errors
    /// The kernel's error; the frame then has what it had.
    fn replace_memory(&mut self, frame: FrameId) -> Result<(), KernelError> {
        let page = match self.store.take(ObjectKind::Frame, PageUse::Frame) {
            Ok(page) => page,
            // In a full pool there is only its own.
            Err(error) => {
                let own = self.own_page(frame).ok_or(error)?;
                self.remove_mappings(frame.record, frame.bit())?;
                return self.clear_apart(frame, own);
            }
        };
        if let Err(error) = self.drop_contents(frame.record, frame.bit()) {
            self.store.release_clean(page);
            return Err(error);
        }
        self.join_page(frame, page);
        Ok(())
    }

    /// Removes the frames of a range that this allocation has made: with SQUASH those are
    /// tentative, and the others were there before.
    fn remove_made(&mut self, container: Ref<Container>, mut rest: Option<Range>, squash: bool) {
        if squash {
            return self.keep_or_remove_frames(container, rest, false);
        }
        while let Some((frame, _)) = self.take_frame(container, &mut rest) {
            self.take_out(container, frame);
        }
    }

    /// Inserts frames up to the first problem. An account that has no runs pays for them at once if
    /// it has room for all of them and their records.
    #[inline(always)]
    fn insert_frames(
        &mut self,
        (container, payer, account): (Ref<Container>, Ref<Account>, Result<Ref<Account>, PmError>),
        range: Range,
        flags: AllocateFlags,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let others = range.others();
        if others > 0
            && !flags.contains(AllocateFlags::EXTRA)
            && self.store.get(payer).maker().is_some()
            && let Some(frames) = u32::try_from(others).ok().and_then(|it| it.checked_add(1))
            && self.store.has_room_beside(payer, frames.into(), LARGE_ORDER)
        {
            self.store.open_credit(payer, frames);
        }
        let inserted = self.insert_each((container, account), range, flags, progress);
        self.store.close_credit();
        inserted
    }

    /// Inserts frames up to the first problem.
    #[inline(always)]
    fn insert_each(
        &mut self,
        (container, account): (Ref<Container>, Result<Ref<Account>, PmError>),
        range: Range,
        flags: AllocateFlags,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let squash = flags.contains(AllocateFlags::SQUASH);
        let may_be_extra = flags.contains(AllocateFlags::EXTRA);
        let may_be_run = !squash && !may_be_extra && !flags.contains(AllocateFlags::DMA);
        let marks = if squash { FrameMarks::TENTATIVE } else { FrameMarks::empty() };
        let mut rest = Some(range);
        while let Some(left) = rest {
            let number = left.first;
            if may_be_run
                && let Ok(account) = account
                && let Some(run) = self.insert_runs(account, container, left)
            {
                progress.done = progress.done.saturating_add(run);
                rest = left.behind(number.saturating_add(run.saturating_sub(1)));
                continue;
            }
            let at = |error| at_frame(error, number);
            match self.vacancy(container, number) {
                Err(_) if squash => {}
                Err(error) => return Err(at(error)),
                Ok(_) if progress.singles == CALL_FRAMES_MAX => {
                    return Err(PmError::TooMany.into());
                }
                Ok(there) => {
                    progress.singles = progress.singles.saturating_add(1);
                    let demoted = may_be_extra.then_some(&mut progress.demoted);
                    let place = (account.map_err(at)?, container, there);
                    self.insert_frame(place, (number, marks), demoted)
                        .map_err(|shortage| at(shortage.as_quota()))?;
                    progress.is_tentative |= squash || there.is_some();
                }
            }
            progress.done = progress.done.saturating_add(1);
            rest = left.behind(number);
        }
        Ok(())
    }
}
