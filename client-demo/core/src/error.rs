// SPDX-License-Identifier: BSD-2-Clause
//! What can go wrong in the demo, in words for its last line.

use core::fmt;

use fsserver_api::EntryError;
use pmserver_api::KernelRefused;

/// Why the demo failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DemoError {
    /// pmserver refused this step.
    Pm(&'static str, pmserver_api::CallError),
    /// The kernel does not map what pmserver has granted.
    Grant(KernelRefused),
    /// fsserver refused this step.
    Fs(&'static str, fsserver_api::CallError),
    /// fsserver listed a directory in a way that cannot be read.
    Listing(EntryError),
    /// fsserver said that it wrote more, or less, than it can have written.
    ReadLength,
    /// A path is longer than fsserver takes.
    PathTooLong,
    /// The client's heap is full.
    OutOfMemory,
    /// A constant of the demo is no valid address or count.
    Layout,
    /// An account is not what it was before.
    Account(&'static str),
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pm(step, error) => write!(f, "{step}: pmserver: {error}"),
            Self::Grant(refused) => write!(f, "mapping the page for paths: {refused}"),
            Self::Fs(step, error) => write!(f, "{step}: fsserver: {error}"),
            Self::Listing(error) => write!(f, "reading a directory: {error}"),
            Self::ReadLength => f.write_str("fsserver read another length than a file has"),
            Self::PathTooLong => f.write_str("a path is too long"),
            Self::OutOfMemory => f.write_str("out of memory"),
            Self::Layout => f.write_str("the demo's own layout is wrong"),
            Self::Account(name) => write!(f, "account {name} is not what it was before"),
        }
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
