// SPDX-License-Identifier: BSD-2-Clause
//! What fsserver does not read: the detail of [`FsError::Unsupported`](crate::FsError).

use core::fmt;

/// What a file or an image has that fsserver cannot read. Numbers are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Feature {
    /// The file is a symbolic link.
    Symlink = 1,
    /// The file is a device, a pipe or a socket.
    Special = 2,
    /// The path leads through more symbolic links than are followed.
    ManySymlinks = 3,
    /// The image was not unmounted: its journal has to be replayed.
    JournalReplay = 4,
    /// The image has no metadata checksums, so damage could not be detected.
    NoChecksums = 5,
    /// Its blocks are larger than 4096 bytes.
    LargeBlocks = 6,
    /// The file or directory is encrypted.
    Encryption = 7,
    /// The data of the file is in its inode (`inline_data`).
    InlineData = 8,
    /// The image has compressed files.
    Compression = 9,
    /// The image is the journal of another one, or its journal is elsewhere.
    JournalDevice = 10,
    /// Descriptors are spread over the image (`meta_bg`).
    MetaBlockGroups = 11,
    /// Directory entries do not say what they name (no `filetype`).
    NoFileTypes = 12,
    /// The directory ignores upper and lower case.
    Casefold = 13,
    /// The image has a feature that fsserver does not know.
    Unknown = 14,
}

impl Feature {
    /// Every feature, in the order of the numbers.
    pub const ALL: [Self; 14] = [
        Self::Symlink,
        Self::Special,
        Self::ManySymlinks,
        Self::JournalReplay,
        Self::NoChecksums,
        Self::LargeBlocks,
        Self::Encryption,
        Self::InlineData,
        Self::Compression,
        Self::JournalDevice,
        Self::MetaBlockGroups,
        Self::NoFileTypes,
        Self::Casefold,
        Self::Unknown,
    ];

    /// Returns the number on the wire.
    #[must_use]
    #[allow(clippy::as_conversions)] // The discriminant of a fieldless enum has no other accessor.
    pub const fn number(self) -> u64 {
        self as u64
    }

    /// Returns the feature with this number.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|feature| feature.number() == number)
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Symlink => "a symbolic link",
            Self::Special => "a device, a pipe or a socket",
            Self::ManySymlinks => "more than 40 symbolic links in a path",
            Self::JournalReplay => "a journal that has to be replayed (e2fsck does it)",
            Self::NoChecksums => "an image without metadata_csum",
            Self::LargeBlocks => "blocks above 4096 bytes",
            Self::Encryption => "encryption",
            Self::InlineData => "inline_data",
            Self::Compression => "compression",
            Self::JournalDevice => "a journal on another device",
            Self::MetaBlockGroups => "meta_bg",
            Self::NoFileTypes => "an image without filetype",
            Self::Casefold => "a directory with casefold",
            Self::Unknown => "an unknown feature of ext4",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_stable_and_come_back() {
        for (feature, number) in Feature::ALL.into_iter().zip(1..) {
            assert_eq!(feature.number(), number);
            assert_eq!(Feature::from_number(number), Some(feature));
        }
        assert_eq!(Feature::from_number(0), None);
        assert_eq!(Feature::from_number(15), None);
    }
}
