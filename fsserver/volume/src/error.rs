// SPDX-License-Identifier: BSD-2-Clause
//! Why an operation on a volume fails.

use core::fmt;

/// Why an operation was refused. An operation that fails leaves the files as they were, but for
/// [`Error::Io`] and a write that ends in [`Error::NoSpace`], of which a part may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is nothing of this name or number.
    NotFound,
    /// A file stands where a directory is needed.
    NotADirectory,
    /// A directory stands where a file is needed.
    IsADirectory,
    /// There is something of this name already.
    Exists,
    /// The directory has entries.
    NotEmpty,
    /// The volume, or the directory, is full.
    NoSpace,
    /// The volume was mounted for reading only.
    ReadOnly,
    /// A name has more than 255 bytes, or a symbolic link more than a block.
    NameTooLong,
    /// A name is empty, `.` or `..`, or holds a slash or a NUL; or a directory would be moved into
    /// itself.
    BadName,
    /// The file has as many names as one can have.
    TooManyLinks,
    /// The volume or the file has something that is not supported.
    Unsupported(Feature),
    /// There is no ext4 file system.
    NotExt4,
    /// What the operation needs is damaged.
    Damaged,
    /// A file, a directory, or the volume is larger, or in more pieces, than is bounded here.
    TooLarge,
    /// The disk failed. If it was a write, the volume has to be mounted again.
    Io,
    /// Too many files are open, or were removed and are open still.
    Busy,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "no such file or directory",
            Self::NotADirectory => "not a directory",
            Self::IsADirectory => "is a directory",
            Self::Exists => "exists already",
            Self::NotEmpty => "the directory is not empty",
            Self::NoSpace => "no space is left",
            Self::ReadOnly => "the volume is read-only",
            Self::NameTooLong => "the name is too long",
            Self::BadName => "not a name that a file can have",
            Self::TooManyLinks => "the file has too many names",
            Self::Unsupported(feature) => return write!(f, "not supported: {feature}"),
            Self::NotExt4 => "no ext4 file system",
            Self::Damaged => "the file system is damaged",
            Self::TooLarge => "too large, or in too many pieces",
            Self::Io => "the disk failed",
            Self::Busy => "too much is open",
        })
    }
}

impl core::error::Error for Error {}

impl From<Feature> for Error {
    fn from(feature: Feature) -> Self {
        Self::Unsupported(feature)
    }
}

macro_rules! features {
    ($($(#[$doc:meta])+ $name:ident = $text:literal,)+) => {
        /// What a volume or file has, or lacks, that is not supported.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Feature {
            $($(#[$doc])+ $name,)+
        }

        impl fmt::Display for Feature {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$name => $text,)+ })
            }
        }
    };
}

features! {
    /// It was not unmounted, and may not be written: its journal cannot be replayed.
    JournalReplay = "a journal that has to be replayed",
    /// Damage could not be detected (for writing only).
    NoChecksums = "no metadata_csum",
    /// Blocks above 4096 bytes.
    LargeBlocks = "blocks above 4096 bytes",
    /// An encrypted file, or a volume that can have them.
    Encryption = "encrypt",
    /// The data of files is in their inodes.
    InlineData = "inline_data",
    /// Compressed files.
    Compression = "compression",
    /// It is the journal of another one, or has its own elsewhere.
    JournalDevice = "a journal on another device",
    /// Descriptors are spread over the disk.
    MetaBlockGroups = "meta_bg",
    /// Directory entries do not say what they name (for writing only).
    NoFileTypes = "no filetype",
    /// Directories that ignore upper and lower case.
    Casefold = "casefold",
    /// Blocks are allocated in clusters.
    Clusters = "bigalloc",
    /// Directories with an index of three levels.
    LargeDirectories = "large_dir",
    /// Extended attributes in inodes of their own.
    AttributeInodes = "ea_inode",
    /// Protection against a second writer (for writing only).
    MultiMount = "mmp",
    /// Quotas (for writing only).
    Quota = "quota",
    /// Files that are protected against changes (for writing only).
    Verity = "verity",
    /// Files that were removed are listed in a file (for writing only).
    OrphanFile = "orphan_file with orphans",
    /// A journal of fast commits (for writing only).
    FastCommit = "fast_commit",
    /// No extents (for writing only).
    NoExtents = "no extent",
    /// No journal (for writing only).
    NoJournal = "no has_journal",
    /// The journal is too small (for writing only).
    SmallJournal = "a journal below 1024 blocks",
    /// The journal is too large.
    LargeJournal = "a journal above 65536 blocks",
    /// Errors are recorded in it: e2fsck has to check it (for writing only).
    Errors = "recorded errors",
    /// The file has a block map instead of extents (for writing, and for DMA).
    BlockMap = "a block map",
    /// The file is a device, a pipe or a socket.
    Special = "a device, a pipe or a socket",
    /// One that is not known.
    Unknown = "an unknown feature",
}
