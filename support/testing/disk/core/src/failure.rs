// SPDX-License-Identifier: BSD-2-Clause
//! Why the test failed.

use core::fmt;

use block_api::{BlockError, CallError};
use pmserver_client::Error;

/// Why the test failed.
pub(crate) enum Failure {
    /// pmserver refused something.
    Pm(Error),
    /// The driver refused something.
    Refused(&'static str, CallError),
    /// A request ended with an error.
    Ended(&'static str, BlockError),
    /// Something is not as it has to be.
    Wrong(&'static str),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Pm(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pm(error) => error.fmt(f),
            Self::Refused(what, error) => write!(f, "{what}: {error}"),
            Self::Ended(what, error) => write!(f, "{what}: {error}"),
            Self::Wrong(what) => f.write_str(what),
        }
    }
}
