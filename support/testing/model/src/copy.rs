// SPDX-License-Identifier: BSD-2-Clause
//! Copies in all modes (PM-160 to PM-166).

use std::collections::BTreeSet;

use pmserver_api::{CopyFlags, MapFlags, PmError, Reply, Request, Rights};
use proto::{FrameNumber, PeerId};

use crate::arguments::twice;
use crate::container::span;
use crate::contents::{Doubt, Place};
use crate::expected::{Expected, Seen};
use crate::lease::Want;
use crate::objects::{CellId, ContainerId, Frame, Lease, Via};
use crate::{Model, Outcome};

const GROUP_MAX: usize = 8;

/// One side of a copy.
#[derive(Clone, Copy)]
pub(crate) struct Side {
    pub(crate) container: ContainerId,
    pub(crate) via: Via,
}

/// What a copy is asked to do.
pub(crate) struct Job {
    pub(crate) from: Side,
    pub(crate) to: Side,
    pub(crate) pairs: Vec<(u64, u64)>,
    pub(crate) flags: CopyFlags,
}

impl Job {
    fn places(&self, index: usize) -> (Place, Place) {
        let (from, to) = self.pairs[index];
        ((self.from.container, from), (self.to.container, to))
    }

    fn has(&self, flag: CopyFlags) -> bool {
        self.flags.contains(flag)
    }

    /// Whether a number is the source of one pair and the destination of another, where that has no
    /// meaning (PM-164).
    fn is_circular(&self) -> bool {
        let is_read = |to: u64| self.pairs.iter().any(|other| other.0 == to && other.1 != to);
        let is_within = self.from.container == self.to.container;
        self.is_real() && is_within && self.pairs.iter().any(|(_, to)| is_read(*to))
    }

    fn is_real(&self) -> bool {
        self.flags.intersects(CopyFlags::SHARED | CopyFlags::MOVE)
    }
}

impl Model {
    pub(crate) fn copy(&mut self, caller: PeerId, request: &Request, seen: Seen) -> Outcome {
        let (source, destination, flags, pairs) = match *request {
            Request::Copy {
                source,
                source_start,
                destination,
                destination_start,
                count,
                flags,
            } => {
                let pair = |index| {
                    let from = source_start.checked_add(index);
                    from.zip(destination_start.checked_add(index))
                };
                let pairs: Vec<_> = (0..count.get()).map_while(pair).collect();
                (source, destination, flags, (pairs, count.get()))
            }
            Request::CopyList { source, destination, ref pairs, flags } => {
                let pairs = pairs.items().to_vec();
                let count = pairs.len() as u64;
                (source, destination, flags, (pairs, count))
            }
            _ => unreachable!("is no copy"),
        };
        let (from, from_via) = self.container(caller, source)?;
        let (to, to_via) = self.container(caller, destination)?;
        let pairs_whole = pairs.0.len() as u64 == pairs.1;
        let pairs = pairs.0.iter().map(|(from, to)| (from.get(), to.get())).collect();
        let job = Job {
            from: Side { container: from, via: from_via },
            to: Side { container: to, via: to_via },
            pairs,
            flags,
        };
        self.may_copy(&job, pairs_whole)?;
        let is_list = matches!(request, Request::CopyList { .. });
        if !pairs_whole || self.is_ambiguous(&job) || is_list && job.is_circular() {
            return Err(PmError::Invalid.into());
        }
        self.run(&job, seen)
    }

    /// Returns the refusal where the handles do not allow the copy.
    fn may_copy(&self, job: &Job, is_whole: bool) -> Result<(), Expected> {
        let is_strong = job.from.via == Via::Owner && job.to.via == Via::Owner;
        let is_new_by_weak = job.has(CopyFlags::NEW) && job.to.via != Via::Owner;
        let reads =
            job.pairs.iter().all(|(from, _)| self.allows(job.from.via, *from, 1, Rights::READ));
        let writes = job.pairs.iter().all(|(_, to)| self.allows(job.to.via, *to, 1, Rights::WRITE));
        let is_outside = !is_whole && !is_strong;
        if job.is_real() && !is_strong || is_new_by_weak || !reads || !writes || is_outside {
            return Err(PmError::NoRight.into());
        }
        Ok(())
    }

    fn is_ambiguous(&self, job: &Job) -> bool {
        let from_twice = || twice(job.pairs.iter().map(|(from, _)| *from));
        let is_moved = job.has(CopyFlags::MOVE) && (job.has(CopyFlags::SHARED) || from_twice());
        is_moved || twice(job.pairs.iter().map(|(_, to)| *to))
    }

    /// Copies as far as nothing is in the way.
    fn run(&mut self, job: &Job, seen: Seen) -> Outcome {
        let is_atomic = job.has(CopyFlags::ATOMIC);
        let mut refusal = None;
        let mut done = 0;
        for index in 0..job.pairs.len() {
            refusal = self.problem(job, index, seen);
            if refusal.is_some() {
                break;
            }
            done = index + 1;
        }
        // Leases come first in the order of errors (and then nothing is done), and yet a copy stops
        // at the first problem: either is accepted, and the deadline of any lease in the way.
        let deadlines: Vec<u64> =
            (0..job.pairs.len()).flat_map(|index| self.locks(job, index)).collect();
        let says_so = |until: &u64| {
            let early = Expected::refused(PmError::Locked, 0, *until);
            seen.0.is_some_and(|seen| early.allows(seen))
        };
        if let Some(until) = deadlines.iter().copied().find(says_so) {
            return Err(Expected::refused(PmError::Locked, 0, until));
        }
        let kept = if is_atomic && refusal.is_some() { 0 } else { done };
        self.take(job, kept);
        match refusal {
            None => Ok(Expected::Exactly(Ok(Reply::Number(done as u64)))),
            Some(errors) => Err(Expected::OneOf(
                errors
                    .into_iter()
                    .map(|(error, at)| Expected::refused(error, kept as u64, at))
                    .collect(),
            )),
        }
    }

    /// Returns the deadlines of the leases that keep a pair from being copied.
    fn locks(&self, job: &Job, index: usize) -> Vec<u64> {
        let (from, to) = job.places(index);
        let write = self.obstacle_at(to, job.to.via, Want::Change);
        if from == to && !job.has(CopyFlags::NEW) && !job.is_real() {
            return write.into_iter().collect();
        }
        let read = self.obstacle_at(from, job.from.via, Want::Read);
        let any = [from, to].map(|place| self.any_lease_at(place).filter(|_| job.is_real()));
        let of =
            |(id, number): Place, test: fn(&Lease) -> bool| self.pinned(id, (number, number), test);
        let pins = [of(from, |lease| lease.is_exclusive), of(to, |_| true)];
        pins.into_iter().chain(any).chain([read, write]).flatten().collect()
    }

    /// Returns what may be told of a pair that cannot be copied.
    fn problem(&mut self, job: &Job, index: usize, seen: Seen) -> Option<Vec<(PmError, u64)>> {
        let (from, to) = job.places(index);
        let locks = self.locks(job, index);
        if !locks.is_empty() {
            let direct = self.direct_obstacle(to.0, job.to.via, (to.1, to.1));
            // A frame that is in the way is not touched: either comes first.
            let exists = job.has(CopyFlags::NEW) && direct.is_none() && self.frame(to).is_some();
            let exists = exists.then_some((PmError::Exists, to.1));
            let locked = locks.into_iter().map(|until| (PmError::Locked, until));
            return Some(locked.chain(exists).collect());
        }
        let mut errors = Vec::new();
        if self.frame(from).is_none() {
            errors.push((self.missing(from), from.1));
        } else if let Err(Expected::Exactly(Err(failure))) =
            self.supplied_for(job, from, index, seen)
        {
            errors.push((failure.error, from.1));
        }
        let is_there = self.frame(to).is_some();
        match job.has(CopyFlags::NEW) {
            true if is_there => errors.push((PmError::Exists, to.1)),
            false if !is_there => {
                errors.push((PmError::NotFound, to.1));
                errors.push((self.missing(to), to.1));
            }
            true => errors.extend(self.short(job, to, index, seen)),
            false => {}
        }
        if job.has(CopyFlags::SHARED)
            && let Some(cell) = self.cell(from)
            && self.group(job, cell, to, index) > GROUP_MAX
        {
            errors.push((PmError::TooMany, from.1));
            errors.push((PmError::TooMany, to.1));
        }
        (!errors.is_empty()).then_some(errors)
    }

    fn supplied_for(
        &mut self,
        job: &Job,
        from: Place,
        index: usize,
        seen: Seen,
    ) -> Result<(), Expected> {
        // Moving or sharing a frame looks at no contents: whether it waits for them is not said.
        let says_so = seen.failure().is_some_and(|failure| failure.error == PmError::Absent);
        if job.is_real() && !says_so {
            return Ok(());
        }
        self.supplied(from, index as u64, seen)
    }

    /// Returns how many frames would be one memory after a pair, with those of the pairs before it.
    fn group(&self, job: &Job, cell: CellId, to: Place, index: usize) -> usize {
        let mut members = self.contents.members(cell).clone();
        for (from, to) in (0..index).map(|index| job.places(index)) {
            if self.cell(from) == Some(cell) {
                members.insert(to);
            }
        }
        members.insert(to);
        members.len()
    }

    fn short(&mut self, job: &Job, to: Place, index: usize, seen: Seen) -> Option<(PmError, u64)> {
        let account = self.containers[&to.0].account;
        let needed = index as u64 + 1;
        let error = PmError::QuotaExceeded;
        let all = job.pairs.len() as u64;
        if let Some(failure) = self.shortage(seen, Some(account), all, error) {
            let is_here = failure.done == index as u64 || job.has(CopyFlags::ATOMIC);
            let numbers = [to.1, job.pairs[index].0, 0];
            if is_here && (numbers.contains(&failure.at) || failure.error == PmError::Pending) {
                return Some((failure.error, failure.at));
            }
        }
        // What a move frees in the same account may be counted in.
        let is_surely_new = !job.has(CopyFlags::MOVE);
        (is_surely_new && self.room(account).1 < needed).then_some((error, to.1))
    }

    /// Copies the first pairs, as if all sources had been read before anything was changed.
    pub(crate) fn take(&mut self, job: &Job, count: usize) {
        let cells: Vec<Option<CellId>> =
            (0..count).map(|index| self.cell(job.places(index).0)).collect();
        if job.is_real() {
            self.rehome(job, &cells);
        } else {
            let snapshots: Vec<CellId> = cells
                .iter()
                .flatten()
                .map(|cell| {
                    let snapshot = self.contents.make(None);
                    self.contents.copy(*cell, snapshot);
                    snapshot
                })
                .collect();
            for (index, snapshot) in snapshots.iter().enumerate() {
                self.replace(job, index, *snapshot);
            }
            for snapshot in snapshots {
                self.contents.drop_cell(snapshot);
            }
        }
    }

    fn replace(&mut self, job: &Job, index: usize, contents: CellId) {
        let (from, to) = job.places(index);
        if job.has(CopyFlags::NEW) {
            self.put_frame(to, Doubt::No);
        }
        let (Some(from_cell), Some(to_cell)) = (self.cell(from), self.cell(to)) else { return };
        if from_cell == to_cell {
            // It stays as it is; whether grants do is not said.
            self.doubt_grants(to_cell);
            return;
        }
        for member in self.contents.members(to_cell).clone() {
            self.strip(member, |_| false, |_| true);
            if let Some(frame) = self.frame_mut(member) {
                frame.is_taken_over = frame.is_taken_over.min(Doubt::Perhaps);
            }
        }
        for member in self.contents.members(from_cell).clone() {
            self.strip(member, |_| false, |grant| grant.rights.contains(MapFlags::WRITE));
        }
        self.contents.copy(contents, to_cell);
        let is_pinned = self.pinned(from.0, (from.1, from.1), |_| true).is_some();
        if is_pinned {
            // What a device reads stays where it is: it is copied byte by byte.
            self.contents.bind_alone(to_cell);
        } else if [from, to].iter().any(|place| self.keeps_memory(*place)) {
            self.contents.blur(to_cell);
        }
    }

    /// Whether a frame keeps its physical memory whatever is copied to it.
    fn keeps_memory(&self, place: Place) -> bool {
        let is_contiguous = |frame: &Frame| frame.is_contiguous || frame.may_be_bound;
        let is_pinned = self.pinned(place.0, (place.1, place.1), |_| true).is_some();
        self.frame(place).is_some_and(is_contiguous) || is_pinned
    }

    fn doubt_grants(&mut self, cell: CellId) {
        let members = self.contents.members(cell).clone();
        let grants = self.peers.values_mut().flat_map(|peer| peer.grants.values_mut());
        for grant in grants.filter(|grant| members.contains(&grant.place)) {
            grant.is_doubtful = true;
        }
    }

    /// Makes destinations members of the sources' cells, and takes moved sources away.
    fn rehome(&mut self, job: &Job, cells: &[Option<CellId>]) {
        let is_move = job.has(CopyFlags::MOVE);
        let places: Vec<(Place, Place)> = (0..cells.len())
            .map(|index| job.places(index))
            .filter(|(from, to)| from != to)
            .collect();
        let cells: Vec<CellId> = cells
            .iter()
            .copied()
            .enumerate()
            .filter_map(|(index, cell)| {
                let (from, to) = job.places(index);
                cell.filter(|_| from != to)
            })
            .collect();
        // A placeholder keeps each cell while its frames come and go.
        let holder = (ContainerId(u64::MAX), 0);
        cells.iter().for_each(|cell| self.contents.join(*cell, holder));
        let destinations: BTreeSet<Place> = places.iter().map(|(_, to)| *to).collect();
        for (from, _) in places.iter().filter(|_| is_move) {
            if destinations.contains(from) {
                let peers = self.peers.values_mut();
                let mappings = peers.flat_map(|peer| peer.mappings.values_mut());
                for mapping in mappings.filter(|mapping| mapping.place == *from) {
                    mapping.is_doubtful = true;
                }
            } else {
                self.remove_frame(*from);
            }
        }
        for ((from, to), cell) in places.iter().zip(&cells) {
            if job.has(CopyFlags::NEW) {
                self.put_frame(*to, Doubt::No);
            }
            self.strip(*to, |_| false, |_| true);
            self.join(*to, *cell, *from);
        }
        for cell in cells {
            if self.contents.members(cell).contains(&holder) {
                self.contents.leave(cell, holder);
            }
        }
    }

    fn join(&mut self, to: Place, cell: CellId, from: Place) {
        let keeps = self.keeps_memory(to) || self.frame(from).is_some_and(|f| f.is_contiguous);
        let Some(frame) = self.frame_mut(to) else { return };
        let old = std::mem::replace(&mut frame.cell, cell);
        frame.is_taken_over = frame.is_taken_over.max(Doubt::Perhaps);
        if frame.is_discardable == Doubt::No {
            frame.is_discardable = Doubt::Perhaps;
        }
        if old != cell {
            self.contents.leave(old, to);
            self.contents.join(cell, to);
        }
        if keeps {
            self.contents.blur(cell);
        }
    }
}

/// Returns the pairs that copy consecutive frames to the numbers from 0 on.
pub(crate) fn in_order(from: impl Iterator<Item = FrameNumber>) -> Vec<(u64, u64)> {
    from.map(FrameNumber::get).zip(0..).collect()
}

/// Returns the numbers of a range.
pub(crate) fn numbers_of(
    start: FrameNumber,
    count: u64,
) -> Result<impl Iterator<Item = FrameNumber>, Expected> {
    let (start, last) = span(start, count)?;
    Ok((start..=last).map(FrameNumber::new))
}
