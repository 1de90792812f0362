// SPDX-License-Identifier: BSD-2-Clause
//! Failures, and what they mean to a caller.

use pmserver_api::{Failure, PmError};

/// Returns the failure for an error at a frame number, with nothing done.
pub(crate) const fn at_frame(error: PmError, number: u64) -> Failure {
    Failure { error, done: 0, at: number }
}

/// Returns the failure for a frame that cannot be split now.
pub(crate) fn split_failure(error: PmError, number: u64) -> Failure {
    Failure { error, done: 0, at: if error == PmError::Pending { 0 } else { number } }
}

/// Returns whether only the bound on work ended a step: the next call goes on at once.
pub(crate) const fn is_more_to_do(failure: &Failure) -> bool {
    matches!(failure, Failure { error: PmError::Pending, at: 0, .. })
}
