// SPDX-License-Identifier: BSD-2-Clause
//! Errors of the servers that stand on pmserver: each has its own numbers, and replies with one of
//! them and one register, the detail. 0 on the wire is success.

use core::fmt;

use proto::{Message, ProtocolError};

use crate::error::PmError;

/// Why a server refuses an operation.
pub trait ServerError: Copy + Eq + fmt::Display + 'static {
    /// Every error, in the order of the numbers.
    const ALL: &'static [Self];
    /// pmserver has refused a call that the operation needs; the detail is pmserver's status.
    const PM_REFUSED: Self;

    /// Returns the number on the wire, which is stable.
    #[must_use]
    fn status(self) -> u64;

    /// Returns the error with this number.
    #[must_use]
    fn from_status(status: u64) -> Option<Self> {
        Self::ALL.iter().copied().find(|error| error.status() == status)
    }

    /// Returns what a detail stands for, if people have a word for it.
    #[must_use]
    fn meaning(self, detail: u64) -> Option<&'static dyn fmt::Display> {
        let _ = detail;
        None
    }
}

/// A refusal, as the reply carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerFailure<E> {
    /// Why.
    pub error: E,
    /// What the error says that it is; 0 for the errors that say nothing.
    pub detail: u64,
}

impl<E: ServerError> ServerFailure<E> {
    /// Returns that pmserver has refused with this status.
    #[must_use]
    pub const fn pm_refused(status: u64) -> Self {
        Self { error: E::PM_REFUSED, detail: status }
    }

    /// Returns the reply that reports this failure.
    #[must_use]
    pub fn reply(self) -> Message {
        Message::new(self.error.status(), [self.detail])
    }

    /// Returns pmserver's error, if that is what stopped the server.
    #[must_use]
    pub fn pm_refusal(&self) -> Option<PmError> {
        if self.error == E::PM_REFUSED { PmError::from_status(self.detail) } else { None }
    }
}

impl<E: ServerError> From<E> for ServerFailure<E> {
    fn from(error: E) -> Self {
        Self { error, detail: 0 }
    }
}

impl<E: ServerError> From<PmError> for ServerFailure<E> {
    fn from(error: PmError) -> Self {
        Self::pm_refused(error.status())
    }
}

impl<E: ServerError> fmt::Display for ServerFailure<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pm_refusal(), self.error.meaning(self.detail)) {
            (Some(refusal), _) => write!(f, "{}: {refusal}", self.error),
            (None, Some(meaning)) => write!(f, "{}: {meaning}", self.error),
            (None, None) if self.detail != 0 => write!(f, "{} ({})", self.error, self.detail),
            (None, None) => self.error.fmt(f),
        }
    }
}

/// Why a call has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerCallError<E> {
    /// The server refused the operation.
    Refused(ServerFailure<E>),
    /// The message itself was refused, or the reply was not understood.
    Protocol(ProtocolError),
}

impl<E: ServerError> ServerCallError<E> {
    /// Returns the server's error; nothing for an error of the protocol itself.
    #[must_use]
    pub const fn refusal(&self) -> Option<E> {
        match self {
            Self::Refused(failure) => Some(failure.error),
            Self::Protocol(_) => None,
        }
    }

    /// Returns pmserver's error, if the server passes one on.
    #[must_use]
    pub fn pm_refusal(&self) -> Option<PmError> {
        match self {
            Self::Refused(failure) => failure.pm_refusal(),
            Self::Protocol(_) => None,
        }
    }

    /// Returns the reply that reports this error.
    #[must_use]
    pub fn reply(&self) -> Message {
        match self {
            Self::Refused(failure) => failure.reply(),
            Self::Protocol(error) => error.reply(),
        }
    }

    /// Returns the registers of a successful reply.
    ///
    /// # Errors
    /// What the reply reports; `BadReply` if it is none of the server's.
    pub fn check<const N: usize>(reply: &Message) -> Result<[u64; N], Self> {
        match reply.label() {
            0 => reply.exactly().map_err(|_: ProtocolError| ProtocolError::BadReply.into()),
            status => Err(Self::from_reply(status, reply)),
        }
    }

    fn from_reply(status: u64, reply: &Message) -> Self {
        let refusal = E::from_status(status).zip(reply.exactly::<1>().ok());
        match (refusal, ProtocolError::from_status(status)) {
            (Some((error, [detail])), _) => Self::Refused(ServerFailure { error, detail }),
            (None, Some(error)) => Self::Protocol(error),
            (None, None) => Self::Protocol(ProtocolError::BadReply),
        }
    }
}

impl<E: ServerError> From<E> for ServerCallError<E> {
    fn from(error: E) -> Self {
        Self::Refused(error.into())
    }
}

impl<E: ServerError> From<ServerFailure<E>> for ServerCallError<E> {
    fn from(failure: ServerFailure<E>) -> Self {
        Self::Refused(failure)
    }
}

impl<E: ServerError> From<ProtocolError> for ServerCallError<E> {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl<E: ServerError> fmt::Display for ServerCallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(failure) => failure.fmt(f),
            Self::Protocol(error) => error.fmt(f),
        }
    }
}
