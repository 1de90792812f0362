// SPDX-License-Identifier: BSD-2-Clause
//! copy, copy_list (O8): logical copies, real sharing, and moves. No bytes are copied here.
//!
//! An operation has two halves. The first checks every frame and changes nothing that the caller
//! could see: it finds how far the copy can go and, with NEW, makes tentative destination frames.
//! The second links contents (`frames/link.rs`). If a frame is both a source and a destination, its
//! contents are read before they are overwritten: a logical copy first takes references to the
//! pages of all sources, the others link the range back to front.

use heapless::Vec;
use pmserver_api::{ContainerHandle, CopyFlags, Failure, Frames, PairList, PmError};
use proto::limits::{CALL_FRAMES_MAX, LARGE_FRAMES};
use proto::{FrameNumber, PeerId};

use crate::frames::copying::{Copying, Joining};
use crate::kernel::Kernel;
use crate::ops::Operations;
use crate::records::account::Shortage;
use crate::records::failure::{at_frame, is_more_to_do, split_failure};
use crate::records::frame::FrameMarks;
use crate::records::id::{FrameId, Id};
use crate::records::leaf::Leaf;
use crate::records::lease::Need;
use crate::records::range::Range;

/// The distance from the first to the last frame of a half of a large frame.
const HALF_LAST: u64 = CALL_FRAMES_MAX - 1;

/// How far a copy can go, and the failure that stops it there.
struct Extent {
    count: usize,
    problem: Option<Failure>,
}

impl<K: Kernel> Operations<K> {
    /// Copies a run of frames.
    #[inline(never)]
    pub(crate) fn copy(
        &mut self,
        caller: PeerId,
        source: Frames,
        (destination, to): (ContainerHandle, FrameNumber),
        flags: CopyFlags,
    ) -> Result<u64, Failure> {
        let count = source.count.get();
        let copying = self.copying(caller, (source.container, destination), flags)?;
        let from = Range::new(source.start, count).ok_or(PmError::Invalid)?;
        let to = Range::new(to, count).ok_or(PmError::Invalid)?;
        self.copy_range(caller, &copying, from, to)
    }

    /// Copies listed frames, each to its own destination number.
    #[inline(never)]
    pub(crate) fn copy_list(
        &mut self,
        caller: PeerId,
        (source, destination): (ContainerHandle, ContainerHandle),
        pairs: &PairList,
        flags: CopyFlags,
    ) -> Result<u64, Failure> {
        let copying = self.copying(caller, (source, destination), flags)?;
        let pairs: Vec<(u64, u64), { PairList::MOST }> =
            pairs.items().iter().map(|(from, to)| (from.get(), to.get())).collect();
        for (from, to) in &pairs {
            copying.check_rights(Range::one(*from), Range::one(*to))?;
        }
        copying.check_pairs(&pairs)?;
        self.copy_pairs(caller, &copying, &pairs)
    }

    /// Copies pairs of frames. The caller has validated them.
    pub(super) fn copy_pairs(
        &mut self,
        caller: PeerId,
        copying: &Copying,
        pairs: &[(u64, u64)],
    ) -> Result<u64, Failure> {
        for (from, to) in pairs {
            self.check_sides(copying, Range::one(*from), Range::one(*to))?;
        }
        for (from, to) in pairs {
            self.split_for_copy(copying, Range::one(*from), Range::one(*to))?;
        }
        let all = pairs.iter().copied();
        let place = |number| pairs.iter().rposition(|(from, _)| *from == number);
        let holds = self.overwrites_later(copying, all.clone(), place);
        let is_whole = copying.flags.contains(CopyFlags::ATOMIC) || holds;
        let extent = self.extent(caller, copying, all.clone());
        self.check_whole(copying, is_whole, &extent, all.clone())?;
        let count = self.keep_extent(copying, &extent, all.clone())?;
        self.link_pairs(copying, all.take(count), holds && copying.is_logical())?;
        finish(count, extent.problem)
    }

    /// Copies one range to another. The caller has validated both ranges.
    pub(super) fn copy_range(
        &mut self,
        caller: PeerId,
        copying: &Copying,
        from: Range,
        to: Range,
    ) -> Result<u64, Failure> {
        self.check_sides(copying, from, to)?;
        if from.last.saturating_sub(from.first) >= CALL_FRAMES_MAX {
            if self.copy_whole(caller, copying, from, to)? {
                return Ok(LARGE_FRAMES);
            }
            // Frame by frame, a call does as many as any other.
            return self.copy_half(caller, copying, from, to);
        }
        self.split_for_copy(copying, from, to)?;
        let copied = self.copy_together(caller, copying, from, to);
        let rest = from.after(copied).zip(to.after(copied));
        let Some((from, to)) = rest else { return Ok(copied) };
        self.copy_each(caller, copying, from, to)
            .map(|done| done.saturating_add(copied))
            .map_err(|failure| Failure { done: failure.done.saturating_add(copied), ..failure })
    }

    /// Copies the frames of one range to another one by one.
    fn copy_each(
        &mut self,
        caller: PeerId,
        copying: &Copying,
        from: Range,
        to: Range,
    ) -> Result<u64, Failure> {
        let pairs = (from.first..=from.last).zip(to.first..=to.last);
        let place = |number: u64| {
            let index = number.checked_sub(from.first).filter(|_| from.contains(number))?;
            usize::try_from(index).ok()
        };
        // What is overwritten must have been read: the next call could not read it any more.
        let holds = self.overwrites_later(copying, pairs.clone(), place);
        let is_whole = copying.flags.contains(CopyFlags::ATOMIC) || holds;
        let extent = self.extent(caller, copying, pairs.clone());
        self.check_whole(copying, is_whole, &extent, pairs.clone())?;
        let count = self.keep_extent(copying, &extent, pairs.clone())?;
        let linked = u64::try_from(count).unwrap_or_default();
        let is_moved = copying.flags.contains(CopyFlags::MOVE) && copying.is_within();
        let moved_to = Range::new(FrameNumber::new(to.first), linked).filter(|_| is_moved);
        let copying = &Copying { moved_to, ..*copying };
        if holds && !copying.is_logical() {
            // Back to front, so that no source is overwritten before it is read.
            let pair = |index| (from.first.saturating_add(index), to.first.saturating_add(index));
            self.link_pairs(copying, (0..linked).rev().map(pair), false)?;
        } else {
            self.link_pairs(copying, pairs.take(count), holds)?;
        }
        finish(count, extent.problem)
    }

    /// Copies the first half of a range that is too long to be copied frame by frame.
    ///
    /// # Errors
    /// `Pending` with how many are copied; `TooMany` for a copy that is not to be divided.
    fn copy_half(
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

    /// Returns whether a pair overwrites the source of a later one: its destination is that frame
    /// or, in a logical copy, really shared with it. `place` returns the last place of a source.
    fn overwrites_later(
        &self,
        copying: &Copying,
        pairs: impl Iterator<Item = (u64, u64)>,
        place: impl Fn(u64) -> Option<usize>,
    ) -> bool {
        let source = copying.from.container.link();
        pairs.enumerate().any(|(index, (_, to))| {
            let destination = self.find_id(copying.to.container, to);
            let written = destination.map(|frame| self.sharers(frame)).unwrap_or_default();
            let most = if copying.is_logical() { written.len() } else { 1 };
            written.iter().take(most).zip(0..).any(|(frame, sharer)| {
                let record = self.store.get(frame.record);
                // The first one may be a run.
                let number = if sharer == 0 { to } else { record.key() };
                record.container == source && place(number).is_some_and(|at| at > index)
            })
        })
    }

    /// Links pairs that were checked; `holds` their sources before anything is overwritten.
    ///
    /// # Errors
    /// `Kernel` or `NoMemory` with the number of pairs that were linked. The destinations that were
    /// made for the others are removed.
    fn link_pairs(
        &mut self,
        copying: &Copying,
        pairs: impl Iterator<Item = (u64, u64)> + Clone,
        holds: bool,
    ) -> Result<(), Failure> {
        let prepared = self.prepare_links(copying, pairs.clone()).map_err(|error| (0, error));
        let linked = prepared.and_then(|()| {
            if holds {
                self.link_held(copying, pairs.clone())
            } else {
                self.link_each(copying, pairs.clone())
            }
        });
        linked.map_err(|(linked, error)| {
            // A frame that was moved is the only one with its contents.
            let is_undone = copying.flags.contains(CopyFlags::NEW | CopyFlags::ATOMIC)
                && !copying.flags.contains(CopyFlags::MOVE);
            let done = if is_undone { 0 } else { linked };
            if copying.makes_new() {
                let rest = pairs.skip(usize::try_from(done).unwrap_or(usize::MAX));
                self.remove_made(copying.to.container, rest.map(|(_, to)| to));
            }
            Failure { error: Shortage::from(error).as_quota(), done, at: 0 }
        })
    }

    #[inline(always)]
    fn copying(
        &mut self,
        caller: PeerId,
        (source, destination): (ContainerHandle, ContainerHandle),
        flags: CopyFlags,
    ) -> Result<Copying, Failure> {
        let from = self.access(caller, source)?;
        let to = self.access(caller, destination)?;
        let needs_both = flags.intersects(CopyFlags::SHARED | CopyFlags::MOVE);
        let needs_destination = needs_both || flags.contains(CopyFlags::NEW);
        if needs_both && !from.is_strong() || needs_destination && !to.is_strong() {
            return Err(PmError::NoRight.into());
        }
        if flags.contains(CopyFlags::SHARED | CopyFlags::MOVE) {
            return Err(PmError::Invalid.into());
        }
        Ok(Copying { from, to, flags, moved_to: None })
    }

    /// Refuses a copy that cannot be divided and that one call cannot do. Mappings that are in the
    /// way are suspended, so that the next call has less to do.
    ///
    /// # Errors
    /// `Pending` if the next call can do more; `TooMany` if it cannot.
    fn check_whole(
        &mut self,
        copying: &Copying,
        is_whole: bool,
        extent: &Extent,
        pairs: impl Iterator<Item = (u64, u64)> + Clone,
    ) -> Result<(), Failure> {
        let Some(failure) = extent.problem.filter(|problem| is_whole && is_more_to_do(problem))
        else {
            return Ok(());
        };
        let left = self.store.meter().left();
        for (_, to) in pairs.clone().take(extent.count) {
            self.keep_or_remove_frame(copying.to.container, to, false);
        }
        let beyond = pairs.clone().nth(extent.count).map_or(0, |(from, _)| from);
        let work = pairs.clone().map(|(from, to)| self.pair_work(copying, from, to));
        // Without what this call had to split, the next one may have room.
        let split_work = self.store.meter().split_work();
        let fits = split_work > 0 && work.sum::<u64>() <= left.saturating_add(split_work);
        let has_gained = self.make_way(copying, pairs).map_err(|_| PmError::Kernel)?;
        Err(if has_gained || fits { failure } else { at_frame(PmError::TooMany, beyond) })
    }

    /// Finds the first pair that cannot be copied, or that one call cannot copy any more. With NEW,
    /// makes the frames before it.
    fn extent(
        &mut self,
        caller: PeerId,
        copying: &Copying,
        pairs: impl Iterator<Item = (u64, u64)>,
    ) -> Extent {
        let mut count: usize = 0;
        let mut joining = Joining::new();
        let mut linking: u64 = 0;
        for (from, to) in pairs {
            let result = if copying.flags.contains(CopyFlags::SHARED) {
                let destination = self.find_id(copying.to.container, to);
                self.check_ring((copying.from.container, from), destination, &mut joining)
            } else {
                Ok(())
            };
            let result = result.and_then(|()| self.check_pair(caller, copying, from, to));
            let result = result.and_then(|(source, destination)| {
                let work = self.link_work(copying, source, destination);
                linking = linking.saturating_add(work);
                let room = self.store.meter().check_room(linking, 0);
                room.inspect_err(|_| {
                    if copying.makes_new() {
                        self.keep_or_remove_frame(copying.to.container, to, false);
                    }
                })
            });
            if let Err(failure) = result {
                return Extent { count, problem: Some(failure) };
            }
            count = count.saturating_add(1);
        }
        Extent { count, problem: None }
    }

    /// Returns what linking a pair costs at most.
    fn pair_work(&self, copying: &Copying, from: u64, to: u64) -> u64 {
        let source = self.find_id(copying.from.container, from);
        let destination = self.find_id(copying.to.container, to);
        source.map_or(0, |source| self.link_work(copying, source, destination))
    }

    /// Checks a pair and, with NEW, makes its destination. Returns the two frames.
    fn check_pair(
        &mut self,
        caller: PeerId,
        copying: &Copying,
        from: u64,
        to: u64,
    ) -> Result<(FrameId, Option<FrameId>), Failure> {
        let source = if copying.is_logical() {
            self.present(copying.from.container, from)?
        } else {
            self.present_alone(copying.from.container, from)?
        };
        self.check_copied_from(caller, source)?;
        if !copying.is_logical() {
            self.check_sharers(source, Need::Alone)?;
        }
        if copying.makes_new() {
            self.make_destination(copying, source, to)?;
            return Ok((source, self.find_id(copying.to.container, to)));
        }
        let destination = if copying.is_logical() {
            self.clustered(copying.to.container, to)
        } else {
            self.individual(copying.to.container, to).map(|single| single.map(Id::first))
        };
        let destination = destination.map_err(|error| split_failure(error, to))?;
        let destination = destination.ok_or(at_frame(PmError::NotFound, to))?;
        self.check_copied_to(source, destination, copying.is_logical())?;
        Ok((source, Some(destination)))
    }

    fn make_destination(
        &mut self,
        copying: &Copying,
        source: FrameId,
        to: u64,
    ) -> Result<(), Failure> {
        let container = copying.to.container;
        let there = self.vacancy(container, to).map_err(|error| at_frame(error, to))?;
        let payer = self.charged(container).map_err(|error| at_frame(error.as_quota(), to))?;
        // A new frame is charged within the limit, even if an extra frame is moved to it.
        let is_same_charge = copying.flags.contains(CopyFlags::MOVE)
            && self.store.payer_of_container(copying.from.container) == payer
            && !self.store.get(source.record).has(FrameMarks::EXTRA);
        let result = if is_same_charge {
            self.insert_moved_frame(container, to)
        } else {
            self.insert_tentative((payer, container, there), to)
        };
        result.map_err(|shortage| at_frame(shortage.as_quota(), to))
    }

    /// Decides how much of a copy is done, and removes the frames that were made beyond that.
    fn keep_extent(
        &mut self,
        copying: &Copying,
        extent: &Extent,
        pairs: impl Iterator<Item = (u64, u64)>,
    ) -> Result<usize, Failure> {
        let keep = match extent.problem {
            Some(failure) if copying.flags.contains(CopyFlags::ATOMIC) || extent.count == 0 => {
                Err(failure)
            }
            _ => Ok(extent.count),
        };
        if copying.makes_new() {
            for (_, to) in pairs.take(extent.count) {
                self.keep_or_remove_frame(copying.to.container, to, keep.is_ok());
            }
        }
        keep
    }
}

fn finish(count: usize, problem: Option<Failure>) -> Result<u64, Failure> {
    let done = u64::try_from(count).unwrap_or_default();
    problem.map_or(Ok(done), |failure| Err(Failure { done, ..failure }))
}
