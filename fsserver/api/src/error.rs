// SPDX-License-Identifier: BSD-2-Clause
//! Errors of fsserver. Numbers are stable; 0 on the wire is success.

use core::fmt;

use pmserver_api::PmError;
use proto::{Message, ProtocolError};

use crate::feature::Feature;

/// Why an operation was refused. If a call fails, the client has lost nothing: the container is
/// unmapped and unlocked again, and no handle was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum FsError {
    /// There is no file or directory of this name.
    NotFound = 1,
    /// It is a file, and the operation needs a directory.
    NotADirectory = 2,
    /// It is a directory, and the operation needs a file.
    IsADirectory = 3,
    /// A component of the path is `..`.
    DotDot = 4,
    /// The path is empty, not absolute, holds a NUL byte or a component above 255 bytes.
    BadPath = 5,
    /// The path has more bytes or more components than fsserver accepts.
    PathTooLong = 6,
    /// The range begins past the end of the file; the detail is the file's size.
    PastEnd = 7,
    /// The length or the number of frames is zero, or more than one call reads.
    BadRange = 8,
    /// The container lacks a frame that the operation needs, or the share does not cover it.
    ContainerTooSmall = 9,
    /// pmserver refused a call that the operation needs; the detail is pmserver's status.
    PmRefused = 10,
    /// The handle names nothing that the caller has open.
    BadHandle = 11,
    /// The caller, or all callers together, have too many files open.
    TooManyOpenFiles = 12,
    /// The listing is not at this cookie: look the directory up again.
    StaleCookie = 13,
    // 14 was `Again`.
    /// It exists, but fsserver cannot read it; the detail is the [`Feature`] that it has.
    Unsupported = 15,
    /// The part of the image that the operation needs is damaged.
    ImageDamaged = 16,
    /// fsserver was restarted during the call: handles from before name nothing.
    Restarted = 17,
    /// The lease that the share allows ends before fsserver is done.
    LeaseTooShort = 18,
    /// There is no ext4 file system in the image.
    NotExt4 = 19,
    /// The image makes the operation read more blocks than one call may.
    TooManyBlocks = 20,
}

impl FsError {
    /// Every error, in the order of the numbers.
    pub const ALL: [Self; 19] = [
        Self::NotFound,
        Self::NotADirectory,
        Self::IsADirectory,
        Self::DotDot,
        Self::BadPath,
        Self::PathTooLong,
        Self::PastEnd,
        Self::BadRange,
        Self::ContainerTooSmall,
        Self::PmRefused,
        Self::BadHandle,
        Self::TooManyOpenFiles,
        Self::StaleCookie,
        Self::Unsupported,
        Self::ImageDamaged,
        Self::Restarted,
        Self::LeaseTooShort,
        Self::NotExt4,
        Self::TooManyBlocks,
    ];

    /// Returns the number on the wire.
    #[must_use]
    #[allow(clippy::as_conversions)] // The discriminant of a fieldless enum has no other accessor.
    pub const fn status(self) -> u64 {
        self as u64
    }

    /// Returns the error with this number.
    #[must_use]
    pub fn from_status(status: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|error| error.status() == status)
    }

    /// Returns the reply that reports this error without a detail.
    #[must_use]
    pub const fn reply(self) -> Message {
        Failure { error: self, detail: 0 }.reply()
    }
}

impl fmt::Display for FsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "no such file or directory",
            Self::NotADirectory => "not a directory",
            Self::IsADirectory => "is a directory",
            Self::DotDot => "the path holds `..`",
            Self::BadPath => "not a valid absolute path",
            Self::PathTooLong => "the path is too long",
            Self::PastEnd => "the range begins past the end of the file",
            Self::BadRange => "the length is zero or above what one call moves",
            Self::ContainerTooSmall => "the container is too small",
            Self::PmRefused => "pmserver refused",
            Self::BadHandle => "the handle names nothing that the caller has open",
            Self::TooManyOpenFiles => "too many open files",
            Self::StaleCookie => "the listing does not stand there",
            Self::Unsupported => "the server does not read this",
            Self::ImageDamaged => "the image is damaged",
            Self::Restarted => "the server was restarted during the call",
            Self::LeaseTooShort => "the share allows too short a lease",
            Self::NotExt4 => "the image is no ext4 file system",
            Self::TooManyBlocks => "the image needs more blocks than one call reads",
        })
    }
}

/// A refusal, as the reply carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Why.
    pub error: FsError,
    /// A size, a [`Feature`] or pmserver's status, as the error says; 0 for the other errors.
    pub detail: u64,
}

impl Failure {
    /// Returns the reply that reports this failure.
    #[must_use]
    pub const fn reply(self) -> Message {
        Message::new(self.error.status(), [self.detail])
    }

    /// Returns pmserver's error, if that is what stopped fsserver.
    #[must_use]
    pub fn pm_refusal(&self) -> Option<PmError> {
        match self.error {
            FsError::PmRefused => PmError::from_status(self.detail),
            _ => None,
        }
    }

    /// Returns what fsserver cannot read, if that is what stopped it.
    #[must_use]
    pub fn feature(&self) -> Option<Feature> {
        match self.error {
            FsError::Unsupported => Feature::from_number(self.detail),
            _ => None,
        }
    }
}

impl From<Feature> for Failure {
    fn from(feature: Feature) -> Self {
        Self { error: FsError::Unsupported, detail: feature.number() }
    }
}

impl From<FsError> for Failure {
    fn from(error: FsError) -> Self {
        Self { error, detail: 0 }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pm_refusal(), self.feature()) {
            (Some(refusal), _) => write!(f, "{}: {refusal}", self.error),
            (None, Some(feature)) => write!(f, "{}: {feature}", self.error),
            (None, None) if self.detail != 0 => write!(f, "{} ({})", self.error, self.detail),
            (None, None) => self.error.fmt(f),
        }
    }
}

/// Why a call has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// fsserver refused the operation.
    Refused(Failure),
    /// The message itself was refused, or the reply was not understood.
    Protocol(ProtocolError),
}

impl CallError {
    /// Returns fsserver's error; nothing for an error of the protocol itself.
    #[must_use]
    pub const fn refusal(&self) -> Option<FsError> {
        match self {
            Self::Refused(failure) => Some(failure.error),
            Self::Protocol(_) => None,
        }
    }

    /// Returns pmserver's error, if fsserver passes one on.
    #[must_use]
    pub fn pm_refusal(&self) -> Option<PmError> {
        match self {
            Self::Refused(failure) => failure.pm_refusal(),
            Self::Protocol(_) => None,
        }
    }

    /// Returns the reply that reports this error.
    #[must_use]
    pub const fn reply(&self) -> Message {
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
        let refusal = FsError::from_status(status).zip(reply.exactly::<1>().ok());
        match (refusal, ProtocolError::from_status(status)) {
            (Some((error, [detail])), _) => Self::Refused(Failure { error, detail }),
            (None, Some(error)) => Self::Protocol(error),
            (None, None) => Self::Protocol(ProtocolError::BadReply),
        }
    }
}

impl From<FsError> for CallError {
    fn from(error: FsError) -> Self {
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
        for (error, number) in FsError::ALL.into_iter().zip((1..=20).filter(|number| *number != 14))
        {
            assert_eq!(error.status(), number);
            assert_eq!(FsError::from_status(number), Some(error));
        }
        assert_eq!(FsError::from_status(0), None);
        assert_eq!(FsError::from_status(14), None);
        assert_eq!(FsError::from_status(21), None);
    }

    #[test]
    fn failures_come_back_with_what_they_carry() {
        let failure = Failure { error: FsError::PmRefused, detail: PmError::InvalidCap.status() };
        let error = CallError::check::<2>(&failure.reply()).unwrap_err();
        assert_eq!(error.pm_refusal(), Some(PmError::InvalidCap));
        assert_eq!(
            CallError::check::<0>(&FsError::Restarted.reply()).unwrap_err().refusal(),
            Some(FsError::Restarted)
        );
        for reply in [Message::new(17, []), Message::new(99, [0]), Message::new(0, [1])] {
            assert_eq!(
                CallError::check::<0>(&reply),
                Err(CallError::Protocol(ProtocolError::BadReply))
            );
        }
    }
}
