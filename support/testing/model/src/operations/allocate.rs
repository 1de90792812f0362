// SPDX-License-Identifier: BSD-2-Clause
//! Putting frames into containers (PM-30 to PM-36, PM-150, PM-155).

use pmserver_api::{AllocateFlags, ContainerHandle, Frames, Placed, PmError, Reply};
use proto::limits::{CALL_FRAMES_MAX, LARGE_FRAMES};
use proto::{FrameCount, FrameNumber, PeerId};

use crate::answers::{Doubt, Expected};
use crate::rules::{Need, for_records, span_of};
use crate::state::{ContainerId, Model, Outcome, Span, Via};

/// How many frames and leases `allocate_anywhere` looks behind (PM-150).
const SEARCH_FRAMES_MAX: usize = 63;

/// Where an allocation stops.
struct Stop {
    /// After so many frames.
    after: u64,
    expected: Expected,
}

impl Model {
    pub(crate) fn allocate(
        &mut self,
        caller: PeerId,
        frames: &Frames,
        flags: AllocateFlags,
    ) -> Outcome {
        let id = self.owned(caller, frames.container)?;
        let range = span_of(frames)?;
        self.may_allocate(caller, id, flags)?;
        let is_squash = flags.contains(AllocateFlags::SQUASH);
        let need = if is_squash { Need::Remove } else { Need::Change };
        self.check_leases(id, Via::Owner, range, need)?;
        if frames.count.get() == LARGE_FRAMES {
            self.check_large(id, flags)?;
        }
        let stop = self.stop_of(id, range, flags);
        let keeps = flags.contains(AllocateFlags::PARTIAL) || stop.is_none();
        let count = stop.as_ref().map_or(frames.count.get(), |stop| stop.after);
        if keeps {
            self.put_frames(id, range.0, count, flags);
        }
        match stop {
            Some(stop) => Err(stop.expected),
            None => Ok(Expected::Exactly(Ok(Reply::Number(count)))),
        }
    }

    fn may_allocate(
        &self,
        caller: PeerId,
        id: ContainerId,
        flags: AllocateFlags,
    ) -> Result<(), Expected> {
        if flags.contains(AllocateFlags::DMA) && !self.setup(caller).has_dma {
            return Err(PmError::NoRight.into());
        }
        let account = self.containers[&id].account;
        if flags.contains(AllocateFlags::EXTRA) && !self.may_have_extra(account) {
            return Err(PmError::NotEligible.into());
        }
        Ok(())
    }

    /// Refuses 512 frames that would have to be made one by one (PM-446).
    fn check_large(&self, id: ContainerId, flags: AllocateFlags) -> Result<(), Expected> {
        let single = AllocateFlags::SQUASH | AllocateFlags::DMA | AllocateFlags::EXTRA;
        let is_split_off = self.accounts[&self.containers[&id].account].maker.is_some();
        let is_refused = flags.intersects(single) || is_split_off;
        if is_refused { Err(PmError::TooMany.into()) } else { Ok(()) }
    }

    /// Returns where 512 frames stop if the server says that they had to be made one by one and if
    /// that may be (PM-446).
    fn one_by_one(&self, id: ContainerId, range: Span, flags: AllocateFlags) -> Option<Stop> {
        let told = self.observed.refusal(PmError::TooMany)?;
        let frames = range.1 - range.0 + 1;
        let pages = frames + for_records(2 * frames);
        let container = &self.containers[&id];
        let is_possible = self.may_be_short(Some(container.account), pages)
            || self.may_pool_be_short(pages)
            || self.is_kernel_unsure
            || container.discarded.iter().any(|number| (range.0..=range.1).contains(number));
        let after = if flags.contains(AllocateFlags::PARTIAL) { told.done } else { 0 };
        let is_part = (CALL_FRAMES_MAX..frames).contains(&after) || after == 0;
        let expected = Expected::refused(PmError::TooMany, after, 0);
        (frames == LARGE_FRAMES && is_part && is_possible).then_some(Stop { after, expected })
    }

    /// Returns where an allocation stops: at a frame that exists, or if there is no memory left.
    fn stop_of(&mut self, id: ContainerId, range: Span, flags: AllocateFlags) -> Option<Stop> {
        let account = self.containers[&id].account;
        let (start, last) = range;
        let there = self.numbers(id, range);
        let is_squash = flags.contains(AllocateFlags::SQUASH);
        let in_the_way = there.first().copied().filter(|_| !is_squash);
        let new: Vec<u64> = (start..=last).filter(|number| !there.contains(number)).collect();
        let nth = |n: u64| usize::try_from(n).ok().and_then(|n| new.get(n)).copied();
        let is_extra = flags.contains(AllocateFlags::EXTRA);
        let beyond = match self.charged(id) {
            Some(_) => nth(self.room(account).1).filter(|_| !is_extra),
            None => nth(0),
        };
        let without = nth(self.pool_left());
        let certain = in_the_way.into_iter().chain(beyond).chain(without).min();
        let is_partial = flags.contains(AllocateFlags::PARTIAL);
        let done = |number: u64| if is_partial { number - start } else { 0 };
        let short = self.shortage_in(id, range, &new, flags);
        if let Some(stop) = short.or_else(|| self.one_by_one(id, range, flags)) {
            // A certain problem before it comes first.
            if certain.is_none_or(|certain| start + stop.after <= certain || !is_partial) {
                return Some(stop);
            }
        }
        let number = certain?;
        let error = match number {
            _ if in_the_way == Some(number) => PmError::Exists,
            _ if beyond == Some(number) => PmError::QuotaExceeded,
            _ => PmError::NoMemory,
        };
        let expected = Expected::refused(error, done(number), number);
        Some(Stop { after: done(number), expected })
    }

    /// Returns where the server says that memory was short, if it may have been.
    fn shortage_in(
        &mut self,
        id: ContainerId,
        (start, last): Span,
        new: &[u64],
        flags: AllocateFlags,
    ) -> Option<Stop> {
        let account = Some(self.containers[&id].account);
        let is_partial = flags.contains(AllocateFlags::PARTIAL);
        let after = self.observed.stopped_after().filter(|_| is_partial).unwrap_or(0);
        let end = if is_partial { start.saturating_add(after) } else { last };
        let frames = new.iter().filter(|number| **number <= end).count() as u64;
        let pages = frames + for_records(2 * frames);
        let error = PmError::QuotaExceeded;
        let failure = self.shortage(account, pages, error)?;
        // Extra frames need no room within the limit, but their records do.
        let is_within = !flags.contains(AllocateFlags::EXTRA) || failure.error != error;
        if !is_within && !self.may_be_short(account, for_records(2 * frames)) {
            return None;
        }
        let at = if is_partial { end..=end } else { start..=last };
        Some(Stop { after, expected: self.short_of(failure, after, at) })
    }

    fn put_frames(&mut self, id: ContainerId, start: u64, count: u64, flags: AllocateFlags) {
        let account = self.containers[&id].account;
        let is_told = !self.observed.is_nothing();
        let pages = count + for_records(2 * count);
        let is_near = self.may_be_short(Some(account), pages) && is_told;
        let may_be_extra = flags.contains(AllocateFlags::EXTRA);
        if may_be_extra && is_near {
            self.doubt_extra(account);
        }
        for number in (0..count).map(|index| start + index) {
            let is_extra = match may_be_extra {
                true if self.room(account).1 == 0 => Doubt::Yes,
                true if is_near => Doubt::Perhaps,
                _ => Doubt::No,
            };
            self.put_frame((id, number), is_extra);
            if flags.contains(AllocateFlags::DMA) {
                let cell = self.cell((id, number)).expect("it was put there");
                self.contents.bind(cell);
            }
        }
    }

    /// Returns whether there may be no memory for some of these frames.
    pub(crate) fn may_lack(&mut self, caller: PeerId, frames: &Frames) -> bool {
        let Ok(id) = self.owned(caller, frames.container) else { return false };
        let count = frames.count.get();
        let pages = count + for_records(2 * count);
        self.may_be_short(Some(self.containers[&id].account), pages)
            || self.may_pool_be_short(pages)
            || self.is_kernel_unsure
    }

    /// Notes that there may have been no memory for a frame that was just made.
    pub(crate) fn doubt_made(&mut self, caller: PeerId, frame: &Frames) {
        let Ok(id) = self.owned(caller, frame.container) else { return };
        if let Some(frame) = self.frame_mut((id, frame.start.get())) {
            frame.may_be_missing = true;
        }
    }

    pub(crate) fn allocate_anywhere(
        &mut self,
        caller: PeerId,
        container: ContainerHandle,
        count: FrameCount,
        flags: AllocateFlags,
    ) -> Outcome {
        let id = self.owned(caller, container)?;
        if flags.contains(AllocateFlags::SQUASH) {
            return Err(PmError::Invalid.into());
        }
        self.may_allocate(caller, id, flags)?;
        let is_free = |start: &u64| self.is_unused(id, *start, count);
        let is_told = self.observed.refusal(PmError::TooMany).is_some();
        if is_told && self.may_find_no_range(id, count) {
            return Err(PmError::TooMany.into());
        }
        let told = self.observed.start().filter(is_free);
        let start = told.or_else(|| (0..).find(is_free)).unwrap_or(0);
        let stop = self.stop_of(id, (start, start + (count.get() - 1)), flags);
        let after = match (&stop, self.observed.reply()) {
            // The reply to a part tells no error: it may have been any shortage.
            (stop, Some(Reply::Placed(placed)))
                if stop.as_ref().is_none_or(|stop| placed.count < stop.after) =>
            {
                self.shorter(id, &placed, count, flags)
            }
            _ => None,
        };
        let after = after.or(stop.as_ref().map(|stop| stop.after));
        let done = after.unwrap_or(count.get());
        let keeps = flags.contains(AllocateFlags::PARTIAL) || after.is_none();
        if keeps {
            self.put_frames(id, start, done, flags);
        }
        match stop {
            Some(stop) if !keeps || done == 0 => Err(stop.expected),
            _ => {
                let placed = Placed { start: FrameNumber::new(start), count: done };
                Ok(Expected::Exactly(Ok(Reply::Placed(placed))))
            }
        }
    }

    /// Returns whether `allocate_anywhere` may take these numbers.
    fn is_unused(&self, id: ContainerId, start: u64, count: FrameCount) -> bool {
        start.checked_add(count.get() - 1).is_some_and(|last| {
            let lease = self.check_leases(id, Via::Owner, (start, last), Need::Change);
            lease.is_ok() && self.numbers(id, (start, last)).is_empty()
        })
    }

    /// Returns whether `allocate_anywhere` may be `TooMany` (PM-150).
    fn may_find_no_range(&self, id: ContainerId, count: FrameCount) -> bool {
        let container = &self.containers[&id];
        let leases = self.active_leases().filter(|lease| lease.container == id);
        let locked: Vec<u64> =
            leases.filter(|lease| lease.via != Via::Owner).map(|lease| lease.last).collect();
        let top = container.highest.max(locked.iter().max().copied());
        let is_room_above = top.is_none_or(|top| top.checked_add(count.get()).is_some());
        // To look behind a lease costs as much as to look behind a frame.
        let looks = SEARCH_FRAMES_MAX.saturating_sub(locked.len());
        let mut behind = container.frames.keys().take(looks).filter_map(|n| n.checked_add(1));
        let is_found = |start| self.is_unused(id, start, count);
        !is_room_above && !is_found(0) && !behind.any(is_found)
    }

    /// Returns after how many frames `allocate_anywhere` may have stopped for want of memory.
    fn shorter(
        &self,
        id: ContainerId,
        placed: &Placed,
        count: FrameCount,
        flags: AllocateFlags,
    ) -> Option<u64> {
        let account = Some(self.containers[&id].account);
        let frames = placed.count + 1;
        let pages = frames + for_records(2 * frames);
        let is_short = self.may_be_short(account, pages) || self.may_pool_be_short(pages);
        let is_part = (1..count.get()).contains(&placed.count);
        let is_possible = is_part && is_short && flags.contains(AllocateFlags::PARTIAL);
        is_possible.then_some(placed.count)
    }

    pub(crate) fn allocate_contiguous(&mut self, caller: PeerId, frames: &Frames) -> Outcome {
        let id = self.owned(caller, frames.container)?;
        if !self.setup(caller).has_dma {
            return Err(PmError::NoRight.into());
        }
        let range = span_of(frames)?;
        self.check_leases(id, Via::Owner, range, Need::Change)?;
        if let Some(number) = self.numbers(id, range).first() {
            return Err(Expected::refused(PmError::Exists, 0, *number));
        }
        // What cannot be charged is seen before it is looked for (PM-155).
        let payer = self.charged(id);
        if payer.is_none_or(|payer| self.room(payer).1 < frames.count.get())
            && let Some(stop) = self.stop_of(id, range, AllocateFlags::DMA)
        {
            return Err(stop.expected);
        }
        for error in [PmError::NoMemory, PmError::Pending] {
            if self.observed.refusal(error).is_some_and(|failure| failure.at == 0) {
                // Frames may have been moved already (PM-322).
                self.doubt_all_grants();
                return Err(Expected::Refused { error, done: 0..=0, at: 0..=0 });
            }
        }
        if let Some(stop) = self.stop_of(id, range, AllocateFlags::DMA) {
            return Err(stop.expected);
        }
        // Other frames may have been moved for it, which takes their grants back.
        self.doubt_all_grants();
        self.put_frames(id, range.0, frames.count.get(), AllocateFlags::DMA);
        for number in range.0..=range.1 {
            self.frame_mut((id, number)).expect("it was put there").is_contiguous = true;
        }
        Ok(Expected::Exactly(Ok(Reply::Number(frames.count.get()))))
    }
}
