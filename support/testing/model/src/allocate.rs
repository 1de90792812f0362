// SPDX-License-Identifier: BSD-2-Clause
//! Putting frames into containers (PM-30 to PM-36, PM-150, PM-155).

use pmserver_api::{AllocateFlags, ContainerHandle, Failure, Frames, Placed, PmError, Reply};
use proto::{FrameCount, FrameNumber, PeerId};

use crate::container::{Span, span_of};
use crate::contents::Doubt;
use crate::expected::{Expected, Seen};
use crate::lease::Want;
use crate::objects::{AccountId, ContainerId, Via};
use crate::{Model, Outcome};

/// Where a call has to stop, or did.
pub(crate) struct Stop {
    /// After so many frames.
    pub(crate) after: u64,
    pub(crate) expected: Expected,
}

impl Model {
    pub(crate) fn allocate(
        &mut self,
        caller: PeerId,
        frames: &Frames,
        flags: AllocateFlags,
        seen: Seen,
    ) -> Outcome {
        let id = self.owned(caller, frames.container)?;
        self.may_allocate(caller, id, flags)?;
        let range = span_of(frames)?;
        self.unlocked(id, range, flags, seen)?;
        let stop = self.stop_of(id, range, flags, seen);
        let keeps = flags.contains(AllocateFlags::PARTIAL) || stop.is_none();
        let count = stop.as_ref().map_or(frames.count.get(), |stop| stop.after);
        if keeps {
            self.put_frames(id, range.0, count, flags, seen);
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
        let account = self.containers[&id].account;
        if flags.contains(AllocateFlags::DMA) && !self.setup(caller).has_dma {
            return Err(PmError::NoRight.into());
        }
        if flags.contains(AllocateFlags::EXTRA) && !self.accounts[&account].may_have_extra {
            return Err(PmError::NotEligible.into());
        }
        Ok(())
    }

    fn unlocked(
        &self,
        id: ContainerId,
        range: Span,
        flags: AllocateFlags,
        seen: Seen,
    ) -> Result<(), Expected> {
        let foreign = self.obstacle(id, Via::Owner, range, Want::Change);
        let pinned =
            self.pinned(id, range, |_| true).filter(|_| flags.contains(AllocateFlags::SQUASH));
        let Some(deadline) = foreign.max(pinned) else { return Ok(()) };
        let locked = Expected::refused(PmError::Locked, 0, deadline);
        let is_direct = self.direct_obstacle(id, Via::Owner, range).max(pinned).is_some();
        if !is_direct && seen.0.is_some_and(|seen| !locked.allows(seen)) {
            // As where frames are freed.
            return Ok(());
        }
        let in_the_way = self.numbers(id, range).first().copied();
        match in_the_way.filter(|_| !is_direct && !flags.contains(AllocateFlags::SQUASH)) {
            // A frame that is in the way is not touched: either comes first.
            Some(number) => {
                let done = 0..=number - range.0;
                let exists =
                    Expected::Refused { error: PmError::Exists, done, at: number..=number };
                Err(Expected::OneOf(vec![locked, exists]))
            }
            None => Err(locked),
        }
    }

    /// Returns where an allocation stops: at a frame that is in the way, or where the account or
    /// the pool is short, be it that the server says so.
    fn stop_of(
        &mut self,
        id: ContainerId,
        (start, last): Span,
        flags: AllocateFlags,
        seen: Seen,
    ) -> Option<Stop> {
        let account = self.containers[&id].account;
        let is_squash = flags.contains(AllocateFlags::SQUASH);
        let is_partial = flags.contains(AllocateFlags::PARTIAL);
        let there = self.numbers(id, (start, last));
        let in_the_way = there.first().copied().filter(|_| !is_squash);
        let new: Vec<u64> = (start..=last).filter(|number| !there.contains(number)).collect();
        let room = self.room(account).1;
        let beyond = usize::try_from(room).ok().and_then(|room| new.get(room)).copied();
        let beyond = beyond.filter(|_| !flags.contains(AllocateFlags::EXTRA));
        let left = self.pool_left(seen);
        let without = usize::try_from(left).ok().and_then(|left| new.get(left)).copied();
        let certain = in_the_way.into_iter().chain(beyond).chain(without).min();
        let done = |number: u64| if is_partial { number - start } else { 0 };
        if let Some(failure) = self.shortage_of(seen, id, new.len() as u64, flags) {
            // Whoever reserves first may say so at any frame before the certain end.
            let end = certain.unwrap_or(last);
            let number = if is_partial { start.saturating_add(failure.done) } else { end };
            if number <= end {
                let numbers = if is_partial { number..=number } else { start..=end };
                let expected = self.short_of(failure, done(number), numbers);
                return Some(Stop { after: done(number), expected });
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

    fn shortage_of(
        &self,
        seen: Seen,
        id: ContainerId,
        new: u64,
        flags: AllocateFlags,
    ) -> Option<Failure> {
        let account = Some(self.containers[&id].account);
        let failure = self.shortage(seen, account, new, PmError::QuotaExceeded)?;
        // Extra frames need no room; what records they take may be without it.
        let is_extra = flags.contains(AllocateFlags::EXTRA);
        let is_quota = failure.error == PmError::QuotaExceeded;
        (!is_extra || !is_quota || self.may_be_short(account, 0)).then_some(failure)
    }

    fn put_frames(
        &mut self,
        id: ContainerId,
        start: u64,
        count: u64,
        flags: AllocateFlags,
        seen: Seen,
    ) {
        let account = self.containers[&id].account;
        if flags.contains(AllocateFlags::EXTRA) && seen.0.is_some() {
            self.doubt_extra(account);
        }
        for number in (0..count).map(|index| start + index) {
            let (least, most) = self.room(account);
            let may_be_short = self.may_be_short(Some(account), count) || least == 0;
            let is_extra = match flags.contains(AllocateFlags::EXTRA) {
                true if most == 0 => Doubt::Yes,
                true if may_be_short && seen.0.is_some() => Doubt::Perhaps,
                _ => Doubt::No,
            };
            self.put_frame((id, number), is_extra);
            let cell = self.cell((id, number)).expect("it was put there");
            if flags.contains(AllocateFlags::DMA) {
                self.contents.bind(cell);
            }
        }
    }

    /// Notes that frames that were within the limit may be above it now.
    pub(crate) fn doubt_extra(&mut self, account: AccountId) {
        let containers = self.containers.values_mut().filter(|c| c.account == account);
        for frame in containers.flat_map(|container| container.frames.values_mut()) {
            frame.is_extra = frame.is_extra.max(Doubt::Perhaps);
        }
    }

    pub(crate) fn allocate_anywhere(
        &mut self,
        caller: PeerId,
        container: ContainerHandle,
        count: FrameCount,
        flags: AllocateFlags,
        seen: Seen,
    ) -> Outcome {
        let id = self.owned(caller, container)?;
        self.may_allocate(caller, id, flags)?;
        if flags.contains(AllocateFlags::SQUASH) {
            return Err(PmError::Invalid.into());
        }
        let start = match (seen.reply(), seen.failure()) {
            (Some(Reply::Placed(placed)), _) => Some(placed.start.get()),
            (_, Some(failure)) => failure.at.checked_sub(failure.done),
            _ => None,
        };
        let is_free = |start: &u64| {
            let last = start.checked_add(count.get() - 1);
            last.is_some_and(|last| {
                self.numbers(id, (*start, last)).is_empty()
                    && self.obstacle(id, Via::Owner, (*start, last), Want::Change).is_none()
            })
        };
        let locked = self.any_lease(id, Via::Owner);
        if let (Some(failure), Some(deadline)) = (seen.failure(), locked)
            && failure.error == PmError::Locked
        {
            return Err(Expected::refused(PmError::Locked, 0, deadline));
        }
        let start = start.filter(is_free).or_else(|| (0..).find(is_free)).unwrap_or(0);
        let range = (start, start + (count.get() - 1));
        let stop = match seen.reply() {
            Some(Reply::Placed(placed)) if placed.count < count.get() => {
                let (error, done) = (PmError::QuotaExceeded, placed.count);
                let failure = Err(Failure { error, done, at: start.saturating_add(done) });
                self.stop_of(id, range, flags, Seen(Some(&failure)))
            }
            _ => self.stop_of(id, range, flags, seen),
        };
        let keeps = flags.contains(AllocateFlags::PARTIAL) || stop.is_none();
        let done = stop.as_ref().map_or(count.get(), |stop| stop.after);
        if keeps {
            self.put_frames(id, start, done, flags, seen);
        }
        match stop {
            // Of an error one does not learn where the frames are: a server may say it this way.
            Some(_) if keeps && done > 0 && seen.reply().is_some() => {
                let placed = Placed { start: FrameNumber::new(start), count: done };
                Err(Expected::Exactly(Ok(Reply::Placed(placed))))
            }
            Some(stop) => Err(stop.expected),
            None => {
                let placed = Placed { start: FrameNumber::new(start), count: done };
                Ok(Expected::Exactly(Ok(Reply::Placed(placed))))
            }
        }
    }

    /// Contiguous memory is had, or the pool has none, or more of it has to be looked at: nobody
    /// but the server can tell.
    pub(crate) fn allocate_contiguous(
        &mut self,
        caller: PeerId,
        frames: &Frames,
        seen: Seen,
    ) -> Outcome {
        let id = self.owned(caller, frames.container)?;
        let flags = AllocateFlags::DMA;
        self.may_allocate(caller, id, flags)?;
        let range = span_of(frames)?;
        self.unlocked(id, range, flags, seen)?;
        let stop = self.stop_of(id, range, flags, seen);
        let unlucky = [
            Expected::Refused { error: PmError::NoMemory, done: 0..=0, at: 0..=u64::MAX },
            Expected::Refused { error: PmError::Pending, done: 0..=u64::MAX, at: 0..=0 },
        ];
        let refusal = unlucky.into_iter().find(|no| seen.0.is_some_and(|seen| no.allows(seen)));
        if let Some(expected) = refusal.or(stop.map(|stop| stop.expected)) {
            return Err(expected);
        }
        // Others may have been moved for it, which takes their grants back (PM-290).
        let grants = self.peers.values_mut().flat_map(|peer| peer.grants.values_mut());
        grants.for_each(|grant| grant.is_doubtful = true);
        self.put_frames(id, range.0, frames.count.get(), flags, seen);
        for number in range.0..=range.1 {
            if let Some(frame) = self.frame_mut((id, number)) {
                frame.is_contiguous = true;
            }
        }
        Ok(Expected::Exactly(Ok(Reply::Number(frames.count.get()))))
    }
}
