// SPDX-License-Identifier: BSD-2-Clause
//! What one call may do at most (decision D6).

use pmserver_api::{Failure, PmError};
use proto::Micros;

/// How much a call may do, and how much of that it has done: counted in frames, and in records and
/// pages that take no longer.
pub(crate) struct Budget {
    done: u64,
    most: u64,
}

impl Budget {
    pub(crate) const fn new(most: u64) -> Self {
        Self { done: 0, most }
    }

    /// Counts one more.
    ///
    /// # Errors
    /// `Pending`, to be called again at once, where that would be one too many.
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

    /// Returns the failure for what has to wait until a deadline.
    pub(crate) const fn pending_until(&self, deadline: Micros) -> Failure {
        self.failure(PmError::Pending, deadline.get())
    }
}
