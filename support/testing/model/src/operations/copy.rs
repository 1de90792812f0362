// SPDX-License-Identifier: BSD-2-Clause
//! Copies in all modes (PM-160 to PM-166).

use std::collections::BTreeSet;

use pmserver_api::{CopyFlags, Failure, MapFlags, PmError, Reply, Request, Rights};
use proto::PeerId;
use proto::limits::{CALL_WORK_MAX, LARGE_FRAMES, SHARERS_MAX};

use crate::answers::{Doubt, Expected};
use crate::rules::{Need, for_records, span};
use crate::state::{CellId, ContainerId, Model, Outcome, Place, Span, Via};

/// The most of a call's work that a pair takes, whoever pays, so that 128 fit; and what is added
/// for one that is copied slowly, and for each grant and mapping that is removed.
const PAIR_WORK: u64 = 7_800;
const SLOW_WORK: u64 = 54_900;
const GRANT_WORK: u64 = 10_000;
const MAPPING_WORK: u64 = 33_000;

/// One side of a copy.
#[derive(Clone, Copy)]
pub(crate) struct Side {
    pub(crate) container: ContainerId,
    pub(crate) via: Via,
}

/// What a copy is asked to do.
pub(crate) struct Job {
    pub(crate) caller: PeerId,
    pub(crate) from: Side,
    pub(crate) to: Side,
    pub(crate) pairs: Vec<(u64, u64)>,
    pub(crate) flags: CopyFlags,
}

/// Returns whether a number is twice in a list.
fn is_twice(numbers: impl Iterator<Item = u64>) -> bool {
    let mut known = BTreeSet::new();
    numbers.into_iter().any(|number| !known.insert(number))
}

impl Job {
    fn places(&self, index: usize) -> (Place, Place) {
        let (from, to) = self.pairs[index];
        ((self.from.container, from), (self.to.container, to))
    }

    fn has(&self, flag: CopyFlags) -> bool {
        self.flags.contains(flag)
    }

    /// Returns whether it copies contents; else it shares or moves frames.
    fn is_logical(&self) -> bool {
        !self.flags.intersects(CopyFlags::SHARED | CopyFlags::MOVE)
    }

    /// Returns whether the pairs of a list have no result that is independent of their order
    /// (PM-164).
    fn is_ambiguous(&self) -> bool {
        let is_read = |to: u64| self.pairs.iter().any(|other| other.0 == to && other.1 != to);
        let is_within = self.from.container == self.to.container;
        let is_circular = || self.pairs.iter().any(|(_, to)| is_read(*to));
        is_twice(self.pairs.iter().map(|(_, to)| *to))
            || self.has(CopyFlags::MOVE) && is_twice(self.pairs.iter().map(|(from, _)| *from))
            || !self.is_logical() && is_within && is_circular()
    }
}

impl Model {
    pub(crate) fn copy(&mut self, caller: PeerId, request: &Request) -> Outcome {
        let (Request::Copy { source, destination, flags, .. }
        | Request::CopyList { source, destination, flags, .. }) = *request
        else {
            unreachable!("is no copy");
        };
        let (from, from_via) = self.container(caller, source)?;
        let (to, to_via) = self.container(caller, destination)?;
        let is_real = flags.intersects(CopyFlags::SHARED | CopyFlags::MOVE);
        let needs_destination = is_real || flags.contains(CopyFlags::NEW);
        if is_real && from_via != Via::Owner || needs_destination && to_via != Via::Owner {
            return Err(PmError::NoRight.into());
        }
        if flags.contains(CopyFlags::SHARED | CopyFlags::MOVE) {
            return Err(PmError::Invalid.into());
        }
        let from = Side { container: from, via: from_via };
        let to = Side { container: to, via: to_via };
        match *request {
            Request::Copy { source_start, destination_start, count, .. } => {
                let from_range = span(source_start, count.get())?;
                let to_range = span(destination_start, count.get())?;
                let pairs = (from_range.0..=from_range.1).zip(to_range.0..=to_range.1).collect();
                let job = Job { caller, from, to, pairs, flags };
                self.check_sides(&job, from_range, to_range)?;
                self.check_divided(&job)?;
                self.run(&job)
            }
            Request::CopyList { ref pairs, .. } => {
                let pairs = pairs.items().iter().map(|(from, to)| (from.get(), to.get())).collect();
                let job = Job { caller, from, to, pairs, flags };
                for (from, to) in &job.pairs {
                    self.demand(job.from.via, (*from, *from), Rights::READ)?;
                    self.demand(job.to.via, (*to, *to), Rights::WRITE)?;
                }
                if job.is_ambiguous() {
                    return Err(PmError::Invalid.into());
                }
                for (from, to) in &job.pairs {
                    self.check_sides(&job, (*from, *from), (*to, *to))?;
                }
                self.run(&job)
            }
            _ => unreachable!("is no copy"),
        }
    }

    /// Refuses what the handles do not give, and what leases on the ranges forbid.
    fn check_sides(&self, job: &Job, from: Span, to: Span) -> Result<(), Expected> {
        let is_logical = job.is_logical();
        let (reading, writing) =
            if is_logical { (Need::Read, Need::Change) } else { (Need::Alone, Need::Alone) };
        self.demand(job.from.via, from, Rights::READ)?;
        self.demand(job.to.via, to, Rights::WRITE)?;
        self.check_leases(job.from.container, job.from.via, from, reading)?;
        self.check_leases(job.to.container, job.to.via, to, writing)
    }

    /// Refuses a copy that is to be done in one call if the server says that it does not fit: 512
    /// frames (PM-447), or frames that are copied slowly (PM-323).
    pub(super) fn check_divided(&self, job: &Job) -> Result<(), Expected> {
        let Some(told) = self.observed.refusal(PmError::TooMany) else { return Ok(()) };
        // Its sources may be overwritten before they are read (PM-164).
        let is_of_source = |place: &Place| place.0 == job.from.container;
        let is_read = |index: usize| self.members(job.places(index).1).iter().any(is_of_source);
        let is_within = job.from.container == job.to.container;
        let is_within = is_within || (0..job.pairs.len()).any(is_read);
        let is_whole = job.has(CopyFlags::ATOMIC) || is_within;
        let is_large = job.pairs.len() as u64 == LARGE_FRAMES && told.at == 0;
        let is_source = job.pairs.iter().any(|(from, _)| *from == told.at);
        let more: u64 = (0..job.pairs.len()).map(|index| self.slow_work(job, index)).sum();
        let work = more + PAIR_WORK * job.pairs.len() as u64;
        let is_too_slow = is_source && work > CALL_WORK_MAX && (more > 0 || self.is_long(job));
        let is_refused = is_whole && told.done == 0 && (is_large || is_too_slow);
        if is_refused { Err(Expected::refused(PmError::TooMany, 0, told.at)) } else { Ok(()) }
    }

    /// Returns whether many frames may be too many for one call because they are made: they are
    /// charged to an account that was split off, or their sources are mapped.
    fn is_long(&self, job: &Job) -> bool {
        let is_mapped = |index: usize| self.mappings_of(job.places(index).0).next().is_some();
        let account = self.containers[&job.to.container].account;
        let is_split_off = self.accounts[&account].maker.is_some();
        job.has(CopyFlags::NEW) && (is_split_off || (0..job.pairs.len()).any(is_mapped))
    }

    /// Returns what a pair takes beyond the usual: bytes that are copied, large groups, grants, and
    /// mappings of frames that are moved.
    fn slow_work(&self, job: &Job, index: usize) -> u64 {
        let (from, to) = job.places(index);
        let is_slow = self.is_slow(from) || self.is_slow(to) || self.handler_of(to).is_some();
        let moved = if job.has(CopyFlags::MOVE) { self.mappings_of(from).count() } else { 0 };
        let grants = self.peers.values().flat_map(|peer| peer.grants.values());
        let members = [from, to].map(|place| self.members(place));
        let has = |place: &Place| members.iter().any(|members| members.contains(place));
        let revoked = grants.filter(|grant| has(&grant.place)).count();
        u64::from(is_slow) * SLOW_WORK + moved as u64 * MAPPING_WORK + revoked as u64 * GRANT_WORK
    }

    /// Returns whether a copy from or to a frame takes long: byte by byte, or in a large group.
    fn is_slow(&self, place: Place) -> bool {
        let members = self.members(place);
        !members.is_empty()
            && (self.is_contiguous(place)
                || self.pinned(place, |_| true).is_some()
                || members.len() > SHARERS_MAX / 2)
    }

    /// Copies up to the first problem.
    fn run(&mut self, job: &Job) -> Outcome {
        let mut done = 0;
        let mut refusal = None;
        for index in 0..job.pairs.len() {
            refusal = self.check_pair(job, index).err();
            if refusal.is_some() {
                break;
            }
            done = index + 1;
        }
        let kept = if job.has(CopyFlags::ATOMIC) && refusal.is_some() { 0 } else { done };
        self.take(job, kept);
        let Some(refusal) = refusal else {
            return Ok(Expected::Exactly(Ok(Reply::Number(done as u64))));
        };
        Err(match refusal {
            Expected::Exactly(Err(failure)) => {
                Expected::Exactly(Err(Failure { done: kept as u64, ..failure }))
            }
            Expected::Refused { error, at, .. } => {
                Expected::Refused { error, done: kept as u64..=kept as u64, at }
            }
            other => other,
        })
    }

    /// Refuses a pair that cannot be copied.
    fn check_pair(&mut self, job: &Job, index: usize) -> Result<(), Expected> {
        let (from, to) = job.places(index);
        if job.has(CopyFlags::SHARED)
            && let Some(cell) = self.cell(from)
            && self.group(job, cell, to, index) > SHARERS_MAX
        {
            return Err(Expected::refused(PmError::TooMany, 0, from.1));
        }
        if !job.is_logical() {
            self.present(from)?;
            self.pay_for_single(from, 2 * index)?;
        }
        self.check_source(job.caller, from)?;
        if !job.is_logical() {
            self.check_sharers(from, Need::Alone)?;
        }
        if job.has(CopyFlags::NEW) {
            return self.check_new(job, to, index);
        }
        if self.frame(to).is_none() {
            return Err(Expected::refused(PmError::NotFound, 0, to.1));
        }
        if !job.is_logical() {
            self.pay_for_single(to, 2 * index + 1)?;
        }
        let need = if job.is_logical() { Need::Change } else { Need::Alone };
        self.check_sharers(to, need)?;
        self.take_over_frame(to);
        match self.pinned(to, |_| true).filter(|_| from != to) {
            Some(until) => Err(Expected::refused(PmError::Locked, 0, until)),
            None => Ok(()),
        }
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

    /// Refuses to make a destination frame that exists, or for which there is no memory.
    fn check_new(&mut self, job: &Job, to: Place, index: usize) -> Result<(), Expected> {
        if self.frame(to).is_some() {
            return Err(Expected::refused(PmError::Exists, 0, to.1));
        }
        let error = PmError::QuotaExceeded;
        let Some(account) = self.charged(to.0) else {
            return Err(Expected::refused(error, 0, to.1));
        };
        let frames = index as u64 + 1;
        if self.observed.stopped_after() == Some(index as u64) || job.has(CopyFlags::ATOMIC) {
            let pages = frames + for_records(2 * frames);
            let failure = self.shortage(Some(account), pages, error);
            if let Some(failure) = failure.filter(|f| f.at == to.1 || f.error == PmError::Pending) {
                return Err(self.short_of(failure, 0, to.1..=to.1));
            }
        }
        // A frame that is moved within an account takes its charge along.
        let is_moved = |index: &usize| {
            let (from, _) = job.places(*index);
            let is_extra = self.frame(from).is_some_and(|frame| frame.is_extra.perhaps());
            job.has(CopyFlags::MOVE) && self.containers[&from.0].account == account && !is_extra
        };
        let charged = (0..=index).filter(|index| !is_moved(index)).count() as u64;
        let is_charged = !is_moved(&index);
        if is_charged && self.room(account).1 < charged {
            return Err(Expected::refused(error, 0, to.1));
        }
        Ok(())
    }

    /// Copies the first pairs, as if all sources had been read before anything was changed.
    pub(crate) fn take(&mut self, job: &Job, count: usize) {
        let cells: Vec<CellId> =
            (0..count).filter_map(|index| self.cell(job.places(index).0)).collect();
        if !job.is_logical() {
            return self.rehome(job, &cells);
        }
        // A snapshot keeps the contents of each source, and whether they are in pinned memory that
        // the destination is not in.
        let snapshots: Vec<(CellId, Doubt)> = (0..)
            .zip(&cells)
            .map(|(index, cell)| {
                let to = self.cell(job.places(index).1);
                let is_there = to.is_some_and(|to| self.contents.is_same_memory(*cell, to));
                let snapshot = self.contents.make(None);
                self.contents.copy(*cell, snapshot);
                (snapshot, if is_there { Doubt::No } else { self.is_memory_pinned(*cell) })
            })
            .collect();
        for (index, snapshot) in snapshots.iter().enumerate() {
            self.replace(job, index, *snapshot);
        }
        snapshots.into_iter().for_each(|(snapshot, _)| self.contents.drop_cell(snapshot));
    }

    fn replace(&mut self, job: &Job, index: usize, (contents, is_pinned): (CellId, Doubt)) {
        let (from, to) = job.places(index);
        if from == to {
            return;
        }
        if job.has(CopyFlags::NEW) {
            self.put_frame(to, Doubt::No);
        }
        let Some(to_cell) = self.cell(to) else { return };
        let is_kept = self.is_contiguous(from);
        if !is_kept && !is_pinned.surely() {
            let members = self.members(from);
            let is_writable = |grant: MapFlags| grant.contains(MapFlags::WRITE);
            for member in members {
                self.strip(member, |_| false, |grant| is_writable(grant.rights));
            }
        }
        let is_in_place = self.is_contiguous(to);
        if !is_in_place && !self.contents.is_same_memory(contents, to_cell) {
            let members = self.members(to);
            self.strip_grants(&members);
        }
        self.contents.copy(contents, to_cell);
        if is_kept || is_in_place || is_pinned.surely() {
            // The bytes are copied.
            self.contents.bind_alone(to_cell);
        } else if is_pinned.perhaps() {
            self.contents.blur(to_cell);
        } else if self.members(to).into_iter().any(|member| self.handler_of(member).is_some()) {
            // Zeros that were copied are contents.
            self.contents.bind(to_cell);
        }
    }

    /// Returns whether a frame, or one that it is really shared with, is contiguous.
    fn is_contiguous(&self, place: Place) -> bool {
        let is_contiguous = |member: &Place| self.frame(*member).is_some_and(|f| f.is_contiguous);
        self.members(place).iter().any(is_contiguous)
    }

    /// Makes destinations members of the sources' cells, and takes moved sources away.
    fn rehome(&mut self, job: &Job, cells: &[CellId]) {
        let is_move = job.has(CopyFlags::MOVE);
        let pairs: Vec<(Place, Place, CellId)> = (0..cells.len())
            .map(|index| (job.places(index).0, job.places(index).1, cells[index]))
            .filter(|(from, to, _)| from != to)
            .collect();
        // A placeholder keeps each cell while its frames come and go.
        let holder = (ContainerId(u64::MAX), 0);
        pairs.iter().for_each(|(_, _, cell)| self.contents.join(*cell, holder));
        let mut moved = Vec::new();
        for (from, ..) in pairs.iter().filter(|_| is_move) {
            moved.push(self.remove_frame(*from).expect("it was looked up"));
        }
        for (index, (_, to, cell)) in pairs.iter().enumerate() {
            let is_new = self.frame(*to).is_none();
            if is_new {
                self.put_frame(*to, Doubt::No);
            } else if is_move || self.cell(*to) != Some(*cell) {
                self.strip_grants(&[*to]);
            }
            let account = self.containers[&to.0].account;
            let is_same_account = self.containers[&job.from.container].account == account;
            let frame = self.frame_mut(*to).expect("it is there");
            let old = std::mem::replace(&mut frame.cell, *cell);
            frame.is_contiguous &= old == *cell;
            if let Some(source) = moved.get(index) {
                frame.is_contiguous = source.is_contiguous;
                let takes_charge = is_new
                    && is_same_account
                    && !(job.has(CopyFlags::NEW) && source.is_extra.perhaps());
                if takes_charge {
                    frame.is_extra = source.is_extra;
                    frame.is_discardable = source.is_discardable;
                }
            }
            if old != *cell {
                self.contents.leave(old, *to);
                self.contents.join(*cell, *to);
            }
        }
        for (_, _, cell) in pairs {
            if self.contents.members(cell).contains(&holder) {
                self.contents.leave(cell, holder);
            }
        }
    }
}
