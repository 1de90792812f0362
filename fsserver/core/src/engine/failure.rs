// SPDX-License-Identifier: BSD-2-Clause
//! What a client is told of an error of the volume.

use fsserver_api::{Failure, Feature, FileKind, FileStatus, FsError};
use fsserver_volume::{Error, Feature as Has, Kind, Status};

/// Returns what a client is told.
pub(super) fn failure_of(error: Error) -> Failure {
    Failure::from(match error {
        Error::Unsupported(feature) => return feature_of(feature).into(),
        Error::NotFound => FsError::NotFound,
        Error::NotADirectory => FsError::NotADirectory,
        Error::IsADirectory => FsError::IsADirectory,
        Error::Exists => FsError::Exists,
        Error::NotEmpty => FsError::NotEmpty,
        Error::NoSpace => FsError::NoSpace,
        Error::ReadOnly => FsError::ReadOnly,
        Error::NameTooLong => FsError::NameTooLong,
        Error::BadName => FsError::BadPath,
        Error::TooManyLinks => FsError::TooManyLinks,
        Error::NotExt4 => FsError::NotExt4,
        Error::Damaged => FsError::ImageDamaged,
        Error::TooLarge => FsError::TooLarge,
        Error::Io => FsError::DiskFailed,
        Error::Busy => FsError::Busy,
    })
}

/// Returns the feature with the number that it has in the protocol.
pub(super) const fn feature_of(feature: Has) -> Feature {
    match feature {
        Has::JournalReplay => Feature::JournalReplay,
        Has::NoChecksums => Feature::NoChecksums,
        Has::LargeBlocks => Feature::LargeBlocks,
        Has::Encryption => Feature::Encryption,
        Has::InlineData => Feature::InlineData,
        Has::Compression => Feature::Compression,
        Has::JournalDevice => Feature::JournalDevice,
        Has::MetaBlockGroups => Feature::MetaBlockGroups,
        Has::NoFileTypes => Feature::NoFileTypes,
        Has::Casefold => Feature::Casefold,
        Has::Clusters => Feature::Clusters,
        Has::LargeDirectories => Feature::LargeDirectories,
        Has::AttributeInodes => Feature::AttributeInodes,
        Has::MultiMount => Feature::MultiMount,
        Has::Quota => Feature::Quota,
        Has::Verity => Feature::Verity,
        Has::OrphanFile => Feature::OrphanFile,
        Has::FastCommit => Feature::FastCommit,
        Has::NoExtents => Feature::NoExtents,
        Has::NoJournal => Feature::NoJournal,
        Has::SmallJournal => Feature::SmallJournal,
        Has::LargeJournal => Feature::LargeJournal,
        Has::Errors => Feature::Errors,
        Has::BlockMap => Feature::BlockMap,
        Has::Special => Feature::Special,
        Has::Unknown => Feature::Unknown,
    }
}

/// Returns the kind of a file with the number that it has in the protocol.
pub(crate) const fn kind_of(kind: Kind) -> FileKind {
    match kind {
        Kind::Regular => FileKind::Regular,
        Kind::Directory => FileKind::Directory,
        Kind::Symlink => FileKind::Symlink,
        Kind::Special => FileKind::Special,
    }
}

/// Returns what a client is told of a file.
pub(super) const fn status_of(status: &Status) -> FileStatus {
    FileStatus {
        kind: kind_of(status.kind),
        size_bytes: status.size_bytes,
        links: status.links,
        modified_seconds: status.modified_seconds,
        changed_seconds: status.changed_seconds,
    }
}
