// SPDX-License-Identifier: BSD-2-Clause
//! Errors of a block server. Numbers are stable; 0 on the wire is success.

use core::fmt;

use pmserver_api::{ServerCallError, ServerError, ServerFailure};

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
    /// Returns the number on the wire.
    #[must_use]
    #[allow(clippy::as_conversions)] // The discriminant of a fieldless enum has no other accessor.
    pub const fn status(self) -> u32 {
        self as u32
    }
}

impl ServerError for BlockError {
    const ALL: &'static [Self] = &[
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

    const PM_REFUSED: Self = Self::PmRefused;

    fn status(self) -> u64 {
        self.status().into()
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

/// A refusal, as the reply carries it: the detail is the blocks of the disk or pmserver's status,
/// as the error says; 0 for the other errors.
pub type Failure = ServerFailure<BlockError>;

/// Why a call has no result.
pub type CallError = ServerCallError<BlockError>;

#[cfg(test)]
mod tests {
    use pmserver_api::PmError;
    use proto::{Message, ProtocolError};

    use super::*;

    #[test]
    fn numbers_are_stable_and_come_back() {
        for (error, number) in BlockError::ALL.iter().zip(1..=11) {
            assert_eq!(error.status(), number);
            assert_eq!(BlockError::from_status(number.into()), Some(*error));
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
