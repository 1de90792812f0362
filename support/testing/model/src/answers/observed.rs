// SPDX-License-Identifier: BSD-2-Clause
//! All that the model takes from a server's answer. Everything else it predicts.
//!
//! - Numbers of handles: the server chooses them; PM-5 says what they must look like.
//! - Deadlines: the clock is read during the call, some microseconds after it began.
//! - Where `allocate_anywhere` begins: PM-150 leaves the choice to the server.
//! - The first address of grants, bus addresses: they depend on the machine.
//! - Whether contiguous memory was found: it depends on which physical pages are free.
//! - Refusals for want of memory, and which frames are extra or were dropped: they depend on how
//!   many pages of tables, slots and records there are. PM-15 bounds how many a call takes.
//! - How far a teardown came, and how many tables were made: tables and records count as steps.
//! - What `disturb` did: PM-290 leaves it to the server.
//! - What `inspect` tells: numbers of records and pages are the server's.
//! - Refusals of the kernel: the fuzzer makes the kernel refuse at random.
//!
//! Without an answer the model decides these itself.

use std::ops::RangeInclusive;

use pmserver_api::{
    BusRun, Created, Disturbed, Failure, MapFlags, MappedRun, PmError, Reply, Row, Shared, Status,
};
use proto::{Micros, PAGE_BYTES};

use super::expected::{Answer, Expected};

/// What was answered, if anything was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Observed(Option<Answer>);

impl Observed {
    pub(crate) fn new(answer: Option<&Answer>) -> Self {
        Self(answer.copied())
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn reply(&self) -> Option<Reply> {
        self.0.and_then(Result::ok)
    }

    /// Returns the refusal if it has this error.
    pub(crate) fn refusal(&self, error: PmError) -> Option<Failure> {
        self.0.and_then(Result::err).filter(|failure| failure.error == error)
    }

    /// Returns the refusal if it is for want of memory: of an account that is refused with `error`,
    /// or of the pool.
    pub(crate) fn shortage(&self, error: PmError) -> Option<Failure> {
        let errors = [error, PmError::NoMemory, PmError::Pending, PmError::Kernel];
        errors.into_iter().find_map(|error| self.refusal(error))
    }

    /// Returns the number of the one handle in the reply.
    pub(crate) fn handle(&self) -> Option<u64> {
        match self.reply()? {
            Reply::Container(container) => Some(container.raw()),
            Reply::Lease(lease) => Some(lease.lease.raw()),
            Reply::Pinned(pinned) => Some(pinned.lease.lease.raw()),
            Reply::Account(account) => Some(account.raw()),
            Reply::Created(Created { container, .. }) => Some(container.raw()),
            Reply::Range(range) => Some(range.raw()),
            Reply::Fault(fault) => fault.map(|fault| fault.fault.raw()),
            _ => None,
        }
    }

    pub(crate) fn shared(&self) -> Option<Shared> {
        match self.reply()? {
            Reply::Shared(shared) | Reply::Created(Created { shared, .. }) => Some(shared),
            _ => None,
        }
    }

    /// Returns the deadline that was granted if it lies in the range; else the earliest.
    pub(crate) fn deadline(&self, range: &RangeInclusive<u64>) -> Micros {
        let told = self.reply().and_then(|reply| match reply {
            Reply::Lease(lease) => Some(lease.deadline.get()),
            Reply::Pinned(pinned) => Some(pinned.lease.deadline.get()),
            Reply::Time(time) => Some(time.get()),
            _ => None,
        });
        Micros::new(told.filter(|time| range.contains(time)).unwrap_or(*range.start()))
    }

    /// Returns where `allocate_anywhere` put its frames, or tried to.
    pub(crate) fn start(&self) -> Option<u64> {
        match self.0? {
            Ok(Reply::Placed(placed)) => Some(placed.start.get()),
            Ok(_) => None,
            Err(failure) => failure.at.checked_sub(failure.done),
        }
    }

    /// Returns at which frame a call stopped that maps, remaps, grants or allocates.
    pub(crate) fn stopped_after(&self) -> Option<u64> {
        match self.0? {
            Ok(Reply::Mapped(mapped)) => Some(mapped.count),
            Ok(Reply::Granted(granted)) => Some(granted.count),
            Ok(Reply::Placed(placed)) => Some(placed.count),
            Ok(_) => None,
            Err(failure) => Some(failure.done),
        }
    }

    /// Returns whether the frame at an index was mapped or granted for writing. If it is the first
    /// after the last, other rights may be why the call stopped there.
    pub(crate) fn is_writable(&self, index: u64) -> bool {
        let writable: Vec<bool> = match self.reply() {
            Some(Reply::Mapped(mapped)) => {
                let is_writable = |run: MappedRun| run.rights.contains(MapFlags::WRITE);
                let runs = mapped.runs();
                runs.flat_map(|run| vec![is_writable(run); run.count.into()]).collect()
            }
            Some(Reply::Granted(granted)) => {
                vec![granted.rights.contains(MapFlags::WRITE); granted.count as usize]
            }
            _ => Vec::new(),
        };
        let there = usize::try_from(index).ok().and_then(|index| writable.get(index));
        there.copied().unwrap_or_else(|| writable.last().is_some_and(|last| !last))
    }

    pub(crate) fn grant_address(&self) -> Option<u64> {
        match self.reply()? {
            Reply::Granted(granted) => Some(granted.address),
            _ => None,
        }
    }

    /// Returns where a device finds frames, at most so many.
    pub(crate) fn bus_run(&self, most: u64) -> BusRun {
        let told = self.reply().and_then(|reply| match reply {
            Reply::Pinned(pinned) => Some(pinned.bus),
            Reply::BusRun(run) => Some(run),
            _ => None,
        });
        let is_possible = |run: &BusRun| {
            run.address.is_multiple_of(PAGE_BYTES) && (1..=most).contains(&run.frames)
        };
        told.filter(is_possible).unwrap_or(BusRun { address: 0, frames: 1 })
    }

    pub(crate) fn status(&self) -> Option<Status> {
        match self.reply()? {
            Reply::Status(status) => Some(status),
            _ => None,
        }
    }

    pub(crate) fn disturbed(&self) -> Option<Disturbed> {
        match self.reply()? {
            Reply::Disturbed(disturbed) => Some(disturbed),
            _ => None,
        }
    }

    pub(crate) fn row(&self) -> Option<Row> {
        match self.reply()? {
            Reply::Row(row) => Some(row),
            _ => None,
        }
    }

    /// Returns the count that was told if it lies in the range; else the least.
    pub(crate) fn count(&self, range: RangeInclusive<u64>) -> u64 {
        match self.reply() {
            Some(Reply::Number(number)) if range.contains(&number) => number,
            _ => *range.start(),
        }
    }

    /// Returns which of several outcomes there was; the first if none of them was.
    pub(crate) fn which(&self, outcomes: &[Expected]) -> usize {
        let position =
            |answer: Answer| outcomes.iter().position(|expected| expected.allows(&answer));
        self.0.and_then(position).unwrap_or(0)
    }
}
