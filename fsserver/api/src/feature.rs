// SPDX-License-Identifier: BSD-2-Clause
//! What fsserver does not support: the detail of [`FsError::Unsupported`](crate::FsError).

use core::fmt;

macro_rules! features {
    ($($(#[$doc:meta])+ $name:ident = $number:literal: $text:literal,)+) => {
        /// What a file or an image has, or lacks, that fsserver does not support. Numbers are
        /// stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u64)]
        pub enum Feature {
            $($(#[$doc])+ $name = $number,)+
        }

        impl Feature {
            /// Every feature, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];
        }

        impl fmt::Display for Feature {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$name => $text,)+ })
            }
        }
    };
}

features! {
    /// The file is a symbolic link.
    Symlink = 1: "a symbolic link",
    /// The file is a device, a pipe or a socket.
    Special = 2: "a device, a pipe or a socket",
    /// The path leads through more symbolic links than are followed.
    ManySymlinks = 3: "more than 40 symbolic links in a path",
    /// The image was not unmounted: its journal has to be replayed.
    JournalReplay = 4: "a journal that has to be replayed (e2fsck does it)",
    /// The image has no metadata checksums, so damage could not be detected (for writing only).
    NoChecksums = 5: "an image without metadata_csum",
    /// Its blocks are larger than 4096 bytes.
    LargeBlocks = 6: "blocks above 4096 bytes",
    /// The file or directory is encrypted.
    Encryption = 7: "encryption",
    /// The data of the file is in its inode (`inline_data`).
    InlineData = 8: "inline_data",
    /// The image has compressed files.
    Compression = 9: "compression",
    /// The image is the journal of another one, or its journal is elsewhere.
    JournalDevice = 10: "a journal on another device",
    /// Descriptors are spread over the image (`meta_bg`).
    MetaBlockGroups = 11: "meta_bg",
    /// Directory entries do not say what they name (no `filetype`, for writing only).
    NoFileTypes = 12: "an image without filetype",
    /// The directory ignores upper and lower case.
    Casefold = 13: "a directory with casefold",
    /// The image has a feature that fsserver does not know.
    Unknown = 14: "an unknown feature of ext4",
    /// Blocks are allocated in clusters.
    Clusters = 15: "bigalloc",
    /// Directories have an index of three levels.
    LargeDirectories = 16: "large_dir",
    /// Extended attributes are in inodes of their own.
    AttributeInodes = 17: "ea_inode",
    /// The image is protected against a second writer (for writing only).
    MultiMount = 18: "mmp",
    /// The image has quotas (for writing only).
    Quota = 19: "quota",
    /// Files are protected against changes (for writing only).
    Verity = 20: "verity",
    /// Files that were removed are listed in a file (for writing only).
    OrphanFile = 21: "orphan_file with orphans",
    /// The journal has fast commits (for writing only).
    FastCommit = 22: "fast_commit",
    /// The image has no extents (for writing only).
    NoExtents = 23: "an image without extent",
    /// The image has no journal (for writing only).
    NoJournal = 24: "an image without has_journal",
    /// The journal is too small (for writing only).
    SmallJournal = 25: "a journal below 1024 blocks",
    /// The journal is too large.
    LargeJournal = 26: "a journal above 65536 blocks",
    /// Errors are recorded in the image: e2fsck has to check it (for writing only).
    Errors = 27: "recorded errors (e2fsck mends them)",
    /// The file has a block map instead of extents (for writing, and for DMA).
    BlockMap = 28: "a block map",
}

impl Feature {
    /// Returns the number on the wire.
    #[must_use]
    #[allow(clippy::as_conversions)] // The discriminant of a fieldless enum has no other accessor.
    pub const fn number(self) -> u64 {
        self as u64
    }

    /// Returns the feature with this number.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.iter().copied().find(|feature| feature.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable_and_come_back() {
        for (feature, number) in Feature::ALL.iter().zip(1..) {
            assert_eq!(feature.number(), number);
            assert_eq!(Feature::from_number(number), Some(*feature));
        }
        assert_eq!(Feature::from_number(0), None);
        assert_eq!(Feature::from_number(29), None);
    }
}
