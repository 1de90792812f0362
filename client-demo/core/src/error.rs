// SPDX-License-Identifier: BSD-2-Clause
//! What can go wrong in the demo, in words for its last line.

use core::fmt;

use fsserver_api::EntryError;
use pmserver_client::{KernelRefused, Refused};

/// Why the demo failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DemoError {
    /// pmserver refused an operation; the error names it.
    Pm(pmserver_client::Error),
    /// pmserver granted no capability, and said that it did.
    NoGrant,
    /// The kernel does not map what pmserver has granted.
    KernelRefused(KernelRefused),
    /// fsserver refused this step.
    Fs(&'static str, fsserver_api::CallError),
    /// A directory listing of fsserver's is malformed.
    Listing(EntryError),
    /// fsserver reported a length that the file, or the container, cannot have.
    ReadLength,
    /// A path is longer than fsserver takes.
    PathTooLong,
    /// The client's heap is full.
    OutOfMemory,
    /// This account is not what it was before.
    Account(&'static str),
}

impl DemoError {
    /// Returns whether it is fsserver that refused.
    #[must_use]
    pub const fn is_of_fsserver(&self) -> bool {
        matches!(self, Self::Fs(..))
    }
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pm(error) => write!(f, "pmserver: {error}"),
            Self::NoGrant => f.write_str("pmserver granted no capability"),
            Self::KernelRefused(refused) => write!(f, "mapping the page for paths: {refused}"),
            Self::Fs(step, error) => write!(f, "{step}: fsserver: {error}"),
            Self::Listing(error) => write!(f, "reading a directory: {error}"),
            Self::ReadLength => f.write_str("fsserver read another length than a file has"),
            Self::PathTooLong => f.write_str("a path is too long"),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::Account(name) => write!(f, "account {name} is not what it was before"),
        }
    }
}

impl From<pmserver_client::Error> for DemoError {
    fn from(error: pmserver_client::Error) -> Self {
        Self::Pm(error)
    }
}

/// What could not be released is dropped, which tries once more.
impl<V> From<Refused<V>> for DemoError {
    fn from(refused: Refused<V>) -> Self {
        Self::Pm(refused.error)
    }
}

impl From<EntryError> for DemoError {
    fn from(error: EntryError) -> Self {
        Self::Listing(error)
    }
}

impl From<alloc::collections::TryReserveError> for DemoError {
    fn from(_: alloc::collections::TryReserveError) -> Self {
        Self::OutOfMemory
    }
}
