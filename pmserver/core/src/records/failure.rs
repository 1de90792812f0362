// SPDX-License-Identifier: BSD-2-Clause
//! Failures that name a frame.

use pmserver_api::{Failure, PmError};

pub(crate) const fn at_frame(error: PmError, number: u64) -> Failure {
    Failure { error, done: 0, at: number }
}
