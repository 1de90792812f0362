// SPDX-License-Identifier: BSD-2-Clause
//! Errors of a block server. Numbers are stable; 0 on the wire is success.

use core::fmt;

use pmserver_api::PmError;
use proto::{Message, ProtocolError};

/// Why a request was refused, or how a queued one has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BlockError {
    /// The count is 0 or more than one request moves, or the offset is beyond every container.
    BadRange = 1,
    /// The range is not on the disk; the detail is how many blocks that has.
    PastEnd = 2,
    /// The disk cannot be written to.
    ReadOnly = 3,
    /// The disk has no such operation: `flush` or `discard`.
    Unsupported = 4,
    /// The caller, or all callers together, have as many requests, or as many frames in them, as
    /// there may be. Those that have ended count until `completed` has told them.
    TooManyRequests = 5,
    /// The container lacks a frame that the request needs.
    ContainerTooSmall = 6,
    /// pmserver refused a call that the request needs; the detail is pmserver's status.
    PmRefused = 7,
    /// The share allows a lease that may end before the disk is done.
    LeaseTooShort = 8,
    /// There is no disk, or it cannot be made to work.
    NoDisk = 9,
    /// The disk reports that it failed.
    Failed = 10,
    /// The disk did not do it in time, or was reset meanwhile. Some of it may be done.
    Aborted = 11,
}

impl BlockError {
    /// Every error, in the order of the numbers.
    pub const ALL: [Self; 11] = [
        Self::BadRange,
        Self::PastEnd,
        Self::ReadOnly,
        Self::Unsupported,
        Self::TooManyRequests,
        Self::ContainerTooSmall,
        Self::PmRefused,
        Self::LeaseTooShort,
        Self::NoDisk,
        Self::Failed,
        Self::Aborted,
    ];

    /// Returns the number on the wire.
    #[must_use]
    #[allow(clippy::as_conversions)] // The discriminant of a fieldless enum has no other accessor.
    pub const fn status(self) -> u32 {
        self as u32
    }

    /// Returns the error with this number.
    #[must_use]
    pub fn from_status(status: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|error| error.status() == status)
    }
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadRange => "the range is empty or above what one request moves",
            Self::PastEnd => "the range is not on the disk",
            Self::ReadOnly => "the disk cannot be written to",
            Self::Unsupported => "the disk cannot do this",
            Self::TooManyRequests => "too many requests under way",
            Self::ContainerTooSmall => "the container is too small",
            Self::PmRefused => "pmserver refused",
            Self::LeaseTooShort => "the share allows too short a lease",
            Self::NoDisk => "there is no disk that works",
            Self::Failed => "the disk failed",
            Self::Aborted => "the disk did not do it in time",
        })
    }
}

/// A refusal, as the reply carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub error: BlockError,
    /// The blocks of the disk or pmserver's status, as the error says; 0 for the other errors.
    pub detail: u64,
}

impl Failure {
    /// Returns the reply that reports this failure.
    #[must_use]
    pub fn reply(self) -> Message {
        Message::new(self.error.status().into(), [self.detail])
    }

    /// Returns pmserver's error, if that is what stopped the server.
    #[must_use]
    pub fn pm_refusal(&self) -> Option<PmError> {
        match self.error {
            BlockError::PmRefused => PmError::from_status(self.detail),
            _ => None,
        }
    }
}

impl From<BlockError> for Failure {
    fn from(error: BlockError) -> Self {
        Self { error, detail: 0 }
    }
}

impl From<PmError> for Failure {
    fn from(error: PmError) -> Self {
        Self { error: BlockError::PmRefused, detail: error.status() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pm_refusal() {
            Some(refusal) => write!(f, "{}: {refusal}", self.error),
            None if self.detail != 0 => write!(f, "{} ({})", self.error, self.detail),
            None => self.error.fmt(f),
        }
    }
}

/// Why a call has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The server refused the operation.
    Refused(Failure),
    /// The message itself was refused, or the reply was not understood.
    Protocol(ProtocolError),
}

impl CallError {
    /// Returns the server's error; nothing for an error of the protocol itself.
    #[must_use]
    pub const fn refusal(&self) -> Option<BlockError> {
        match self {
            Self::Refused(failure) => Some(failure.error),
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
    pub(crate) fn check<const N: usize>(reply: &Message) -> Result<[u64; N], Self> {
        match reply.label() {
            0 => reply.exactly().map_err(|_: ProtocolError| ProtocolError::BadReply.into()),
            status => Err(Self::from_reply(status, reply)),
        }
    }

    fn from_reply(status: u64, reply: &Message) -> Self {
        let error = u32::try_from(status).ok().and_then(BlockError::from_status);
        match (error.zip(reply.exactly::<1>().ok()), ProtocolError::from_status(status)) {
            (Some((error, [detail])), _) => Self::Refused(Failure { error, detail }),
            (None, Some(error)) => Self::Protocol(error),
            (None, None) => Self::Protocol(ProtocolError::BadReply),
        }
    }
}

impl From<BlockError> for CallError {
    fn from(error: BlockError) -> Self {
        Self::Refused(error.into())
    }
}

impl From<Failure> for CallError {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl From<ProtocolError> for CallError {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(failure) => failure.fmt(f),
            Self::Protocol(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable_and_come_back() {
        for (error, number) in BlockError::ALL.into_iter().zip(1..=11) {
            assert_eq!(error.status(), number);
            assert_eq!(BlockError::from_status(number), Some(error));
        }
        assert_eq!(BlockError::from_status(0), None);
        assert_eq!(BlockError::from_status(12), None);
    }

    #[test]
    fn failures_come_back_with_what_they_carry() {
        let failure = Failure::from(PmError::InvalidCap);
        assert_eq!(CallError::check::<2>(&failure.reply()), Err(CallError::Refused(failure)));
        assert_eq!(failure.pm_refusal(), Some(PmError::InvalidCap));
        for reply in [Message::new(11, []), Message::new(99, [0]), Message::new(0, [1])] {
            let error = CallError::Protocol(ProtocolError::BadReply);
            assert_eq!(CallError::check::<0>(&reply), Err(error));
        }
        let stopped = ProtocolError::Stopped;
        assert_eq!(CallError::check::<0>(&stopped.reply()), Err(stopped.into()));
    }
}
