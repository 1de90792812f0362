// SPDX-License-Identifier: BSD-2-Clause
//! What can go wrong, in words for the person who types.

use core::fmt;

use client_demo_core::DemoError;
use pmserver_client::Refused;
use puppet_core::OrderError;

/// Why a command failed.
pub(crate) enum ShellError {
    /// A server refused something.
    Server(DemoError),
    /// The client did not do what it was told.
    Client(OrderError),
    /// The command cannot be carried out.
    Usage(&'static str),
}

impl fmt::Display for ShellError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(error) => error.fmt(f),
            Self::Client(error) => write!(f, "client: {error}"),
            Self::Usage(sentence) => f.write_str(sentence),
        }
    }
}

impl From<DemoError> for ShellError {
    fn from(error: DemoError) -> Self {
        Self::Server(error)
    }
}

impl From<pmserver_client::Error> for ShellError {
    fn from(error: pmserver_client::Error) -> Self {
        Self::Server(error.into())
    }
}

/// What could not be released is dropped, which tries once more.
impl<V> From<Refused<V>> for ShellError {
    fn from(refused: Refused<V>) -> Self {
        Self::Server(refused.error.into())
    }
}

impl From<OrderError> for ShellError {
    fn from(error: OrderError) -> Self {
        Self::Client(error)
    }
}
