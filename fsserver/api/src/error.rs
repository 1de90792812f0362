// SPDX-License-Identifier: BSD-2-Clause
//! Errors of fsserver. Numbers are stable; 0 on the wire is success.

use core::fmt;

use pmserver_api::{ServerCallError, ServerError, ServerFailure};
use proto::Message;

use crate::feature::Feature;

/// Why an operation was refused. If a call fails, the client has lost nothing: the container is
/// unmapped and unlocked again, no handle was made, and nothing was changed. Exceptions are
/// [`Self::Pending`]; [`Self::DiskFailed`]; and a write that ends in [`Self::NoSpace`], of which a
/// part may be there.
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
    /// It exists, but fsserver does not support it; the detail is the [`Feature`] that it has.
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
    /// The request was started, and waits for the disk. fsserver notifies the caller when it is
    /// worth repeating the same request, with which the caller gets the result.
    Pending = 21,
    /// The volume cannot be written to.
    ReadOnly = 22,
    /// The system file does not let the client write, or go there.
    NotPermitted = 23,
    /// The volume, or the directory, is full.
    NoSpace = 24,
    /// The directory has entries.
    NotEmpty = 25,
    /// There is something of this name already.
    Exists = 26,
    /// A name has more than 255 bytes, or where a symbolic link leads to more than a block.
    NameTooLong = 27,
    /// Too many requests of the client are under way, or too many files were removed and are open.
    Busy = 28,
    /// The disk failed.
    DiskFailed = 29,
    /// The file or directory is larger, or would be in more pieces, than is supported.
    TooLarge = 30,
    /// The file has as many names as one can have.
    TooManyLinks = 31,
}

impl FsError {
    /// Returns the number on the wire.
    #[must_use]
    #[allow(clippy::as_conversions)] // The discriminant of a fieldless enum has no other accessor.
    pub const fn status(self) -> u64 {
        self as u64
    }

    /// Returns the reply that reports this error without a detail.
    #[must_use]
    pub fn reply(self) -> Message {
        Failure::from(self).reply()
    }
}

impl ServerError for FsError {
    const ALL: &'static [Self] = &[
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
        Self::Pending,
        Self::ReadOnly,
        Self::NotPermitted,
        Self::NoSpace,
        Self::NotEmpty,
        Self::Exists,
        Self::NameTooLong,
        Self::Busy,
        Self::DiskFailed,
        Self::TooLarge,
        Self::TooManyLinks,
    ];

    const PM_REFUSED: Self = Self::PmRefused;

    fn status(self) -> u64 {
        self.status()
    }

    fn meaning(self, detail: u64) -> Option<&'static dyn fmt::Display> {
        match Feature::ALL.iter().find(|feature| feature.number() == detail) {
            Some(feature) if self == Self::Unsupported => Some(feature),
            _ => None,
        }
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
            Self::Unsupported => "the server does not support this",
            Self::ImageDamaged => "the image is damaged",
            Self::Restarted => "the server was restarted during the call",
            Self::LeaseTooShort => "the share allows too short a lease",
            Self::NotExt4 => "the image is no ext4 file system",
            Self::TooManyBlocks => "the image needs more blocks than one call reads",
            Self::Pending => "it has begun, and waits for the disk",
            Self::ReadOnly => "the volume is read-only",
            Self::NotPermitted => "the client is not permitted to do this",
            Self::NoSpace => "no space is left",
            Self::NotEmpty => "the directory is not empty",
            Self::Exists => "exists already",
            Self::NameTooLong => "the name is too long",
            Self::Busy => "too much is under way or open",
            Self::DiskFailed => "the disk failed",
            Self::TooLarge => "too large, or in too many pieces",
            Self::TooManyLinks => "the file has too many names",
        })
    }
}

/// A refusal, as the reply carries it: the detail is a size, a [`Feature`] or pmserver's status, as
/// the error says; 0 for the other errors.
pub type Failure = ServerFailure<FsError>;

/// Why a call has no result.
pub type CallError = ServerCallError<FsError>;

impl From<Feature> for Failure {
    fn from(feature: Feature) -> Self {
        Self { error: FsError::Unsupported, detail: feature.number() }
    }
}

#[cfg(test)]
mod tests {
    use pmserver_api::PmError;
    use proto::ProtocolError;

    use super::*;

    #[test]
    fn numbers_are_stable_and_come_back() {
        for (error, number) in FsError::ALL.iter().zip((1..=31).filter(|number| *number != 14)) {
            assert_eq!(error.status(), number);
            assert_eq!(FsError::from_status(number), Some(*error));
        }
        assert_eq!(FsError::from_status(0), None);
        assert_eq!(FsError::from_status(14), None);
        assert_eq!(FsError::from_status(32), None);
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
