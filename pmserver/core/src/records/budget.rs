// SPDX-License-Identifier: BSD-2-Clause
//! The bound on the work of one call (decision D6).

use pmserver_api::{Failure, PmError};
use proto::Micros;

/// How much work a call may do and how much it has done, counted in frames, records and pages.
pub(crate) struct Budget {
    done: u64,
    most: u64,
}

impl Budget {
    pub(crate) const fn new(most: u64) -> Self {
        Self { done: 0, most }
    }

    /// Counts one unit of work.
    ///
    /// # Errors
    /// `Pending` without a deadline if the budget is used up: the caller calls again at once.
    pub(crate) fn spend(&mut self) -> Result<(), Failure> {
        if self.done >= self.most {
            return Err(self.failure(PmError::Pending, 0));
        }
        self.done = self.done.saturating_add(1);
        Ok(())
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
