// SPDX-License-Identifier: BSD-2-Clause
//! Failures that name a frame.

use pmserver_api::{Failure, PmError};

/// Returns the failure for an error at a frame number, with nothing done.
/// Returns the failure for an error at a frame number, with nothing done.
pub(crate) const fn at_frame(error: PmError, number: u64) -> Failure {
    Failure { error, done: 0, at: number }
}
