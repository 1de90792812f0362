// SPDX-License-Identifier: BSD-2-Clause
//! Directory entries as `read_dir` writes them into a container.
//!
//! Entries follow each other without a gap, across pages too, each a header and a name:
//!
//! | bytes | field |
//! |---|---|
//! | 0..2 | length of the name, 1 to 255, little-endian |
//! | 2 | kind |
//! | 3 | 0 |
//! | 4.. | the name: any bytes but `/` and NUL, no terminator |
//!
//! `.` and `..` are left out. A client copies an entry out of the container, then decodes the copy:
//! decoding accepts any bytes, so nonsense from a server is an error and nothing worse.

use core::fmt;

/// Bytes of the header that stands before each name.
pub const ENTRY_HEADER_BYTES: usize = 4;

/// Bytes of the longest name of one entry, as in ext4.
pub const NAME_BYTES_MAX: usize = 255;

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FileKind {
    /// A regular file.
    Regular = 1,
    /// A directory.
    Directory = 2,
    /// A symbolic link. fsserver reports its kind, and never follows it as the last component.
    Symlink = 3,
    /// A device, a pipe or a socket.
    Special = 4,
}

impl FileKind {
    /// Returns the number on the wire.
    #[must_use]
    #[allow(clippy::as_conversions)] // The discriminant of a fieldless enum has no other accessor.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// Returns the kind with this number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Regular),
            2 => Some(Self::Directory),
            3 => Some(Self::Symlink),
            4 => Some(Self::Special),
            _ => None,
        }
    }
}

/// Why bytes are no directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryError {
    /// There are fewer bytes than the header, or than the header promises.
    Truncated,
    /// The kind is unknown, or the reserved byte is not 0.
    BadHeader,
    /// The name is empty, too long, `.`, `..`, or holds `/` or NUL.
    BadName,
}

impl fmt::Display for EntryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "a directory entry is cut off",
            Self::BadHeader => "a directory entry has no valid header",
            Self::BadName => "a directory entry has no valid name",
        })
    }
}

/// One entry of a directory. Holding one proves that the name is 1 to 255 bytes long, is neither
/// `.` nor `..`, and holds neither `/` nor NUL: it can be a component of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryEntry<'a> {
    kind: FileKind,
    name: &'a [u8],
}

impl<'a> DirectoryEntry<'a> {
    /// Returns the entry of this kind and name.
    ///
    /// # Errors
    /// [`EntryError::BadName`] if the name cannot be a component of a path.
    pub fn new(kind: FileKind, name: &'a [u8]) -> Result<Self, EntryError> {
        let is_bad = name.is_empty()
            || name.len() > NAME_BYTES_MAX
            || matches!(name, b"." | b"..")
            || name.iter().any(|byte| matches!(byte, b'/' | 0));
        if is_bad { Err(EntryError::BadName) } else { Ok(Self { kind, name }) }
    }

    /// Returns the kind.
    #[must_use]
    pub const fn kind(&self) -> FileKind {
        self.kind
    }

    /// Returns the name, as the file system has it.
    #[must_use]
    pub const fn name(&self) -> &'a [u8] {
        self.name
    }

    /// Returns the first entry of `bytes` and the bytes after it. Accepts any bytes.
    ///
    /// # Errors
    /// [`EntryError`] if the bytes do not begin with an entry.
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), EntryError> {
        let ([low, high, kind, reserved], rest) =
            bytes.split_first_chunk::<ENTRY_HEADER_BYTES>().ok_or(EntryError::Truncated)?;
        let kind = FileKind::from_number(*kind).ok_or(EntryError::BadHeader)?;
        if *reserved != 0 {
            return Err(EntryError::BadHeader);
        }
        let name_bytes = u16::from_le_bytes([*low, *high]).into();
        let (name, rest) = rest.split_at_checked(name_bytes).ok_or(EntryError::Truncated)?;
        Ok((Self::new(kind, name)?, rest))
    }

    /// Writes the entry to the start of `to` and returns its length, or `None` if it does not fit.
    pub fn encode(&self, to: &mut [u8]) -> Option<usize> {
        let name_bytes = u16::try_from(self.name.len()).ok()?;
        let (header, rest) = to.split_first_chunk_mut::<ENTRY_HEADER_BYTES>()?;
        rest.get_mut(..self.name.len())?.copy_from_slice(self.name);
        let [low, high] = name_bytes.to_le_bytes();
        *header = [low, high, self.kind.number(), 0];
        self.name.len().checked_add(ENTRY_HEADER_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_one_after_the_other() {
        let mut bytes = [0; 600];
        let first = DirectoryEntry::new(FileKind::Regular, b"a b\n\xff\\").unwrap();
        let second = DirectoryEntry::new(FileKind::Directory, &[b'x'; 255]).unwrap();
        let first_bytes = first.encode(&mut bytes).unwrap();
        let second_bytes = second.encode(&mut bytes[first_bytes..]).unwrap();
        let bytes = &bytes[..first_bytes + second_bytes];

        let (entry, rest) = DirectoryEntry::decode(bytes).unwrap();
        assert_eq!(entry, first);
        let (entry, rest) = DirectoryEntry::decode(rest).unwrap();
        assert_eq!(entry, second);
        assert_eq!(DirectoryEntry::decode(rest), Err(EntryError::Truncated));
        for cut in 0..first_bytes {
            assert_eq!(DirectoryEntry::decode(&bytes[..cut]), Err(EntryError::Truncated));
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        let decode = |bytes: &[u8]| DirectoryEntry::decode(bytes).map(|_| ());
        assert_eq!(decode(&[1, 0, 0, 0, b'a']), Err(EntryError::BadHeader));
        assert_eq!(decode(&[1, 0, 5, 0, b'a']), Err(EntryError::BadHeader));
        assert_eq!(decode(&[1, 0, 1, 1, b'a']), Err(EntryError::BadHeader));
        assert_eq!(decode(&[0, 0, 1, 0]), Err(EntryError::BadName));
        assert_eq!(decode(&[1, 0, 1, 0, b'/']), Err(EntryError::BadName));
        assert_eq!(decode(&[1, 0, 1, 0, 0]), Err(EntryError::BadName));
        assert_eq!(decode(&[1, 0, 1, 0, b'.']), Err(EntryError::BadName));
        assert_eq!(decode(&[2, 0, 1, 0, b'.', b'.']), Err(EntryError::BadName));
        assert_eq!(decode(&[255, 255, 1, 0, b'a']), Err(EntryError::Truncated));
        let mut long = [b'a'; 300];
        long[..4].copy_from_slice(&[0, 1, 1, 0]);
        assert_eq!(decode(&long), Err(EntryError::BadName));
    }

    #[test]
    fn an_entry_that_does_not_fit_is_not_written() {
        let entry = DirectoryEntry::new(FileKind::Regular, b"name").unwrap();
        let mut bytes = [7; 7];
        assert_eq!(entry.encode(&mut bytes), None);
        assert_eq!(entry.encode(&mut [0; 8]), Some(8));
    }
}
