// SPDX-License-Identifier: BSD-2-Clause
//! The steps of a call that tears something down.

use pmserver_api::{Failure, PmError};
use proto::Micros;

use crate::records::meter::Meter;

/// How many steps a call may do and how many it has done, counted in frames, records and pages. The
/// meter may end it earlier.
pub(crate) struct Budget {
    done: u64,
    most: u64,
    is_metered: bool,
}

impl Budget {
    pub(crate) const fn new(most: u64) -> Self {
        Self { done: 0, most, is_metered: true }
    }

    /// Returns the budget for undoing what the same call has made, which has to be done at once.
    pub(crate) const fn to_undo(most: u64) -> Self {
        Self { done: 0, most, is_metered: false }
    }

    /// Counts one step before it is done.
    ///
    /// # Errors
    /// `Pending` without a deadline if the budget is used up: the caller calls again at once.
    pub(crate) fn spend(&mut self, meter: &Meter) -> Result<(), Failure> {
        self.check(meter)?;
        self.add(1);
        Ok(())
    }

    /// Refuses another step if the budget is used up.
    ///
    /// # Errors
    /// As for [`Self::spend`].
    pub(crate) fn check(&self, meter: &Meter) -> Result<(), Failure> {
        if self.is_metered {
            meter.begin_frame(self.done)?;
        }
        if self.done >= self.most {
            return Err(self.failure(PmError::Pending, 0));
        }
        Ok(())
    }

    /// Returns whether there are so many steps left.
    pub(crate) const fn has_room(&self, steps: u64) -> bool {
        self.done.saturating_add(steps) <= self.most
    }

    /// Counts steps that were done, be there so many or not.
    pub(crate) const fn add(&mut self, steps: u64) {
        self.done = self.done.saturating_add(steps);
    }

    /// Returns a failure that says how much was done.
    pub(crate) const fn failure(&self, error: PmError, at: u64) -> Failure {
        Failure { error, done: self.done, at }
    }

    /// Returns the failure for an operation that must wait until a deadline.
    pub(crate) const fn pending_until(&self, deadline: Micros) -> Failure {
        self.failure(PmError::Pending, deadline.get())
    }
}
