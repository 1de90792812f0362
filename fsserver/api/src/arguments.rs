// SPDX-License-Identifier: BSD-2-Clause
//! What the registers of a request carry.

use proto::limits::{CALL_FRAMES_MAX, FS_TWO_PATHS_BYTES_MAX, PATH_BYTES_MAX};
use proto::{FrameNumber, PAGE_BYTES, pack_pair, unpack_pair};

use crate::error::FsError;

/// A file that the caller has open: an index with a generation into the table of the caller, which
/// fsserver selects by the channel of the call. Holding one proves nothing: fsserver looks it up in
/// every call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileHandle(u64);

impl FileHandle {
    /// Returns the handle with this number.
    #[must_use]
    pub const fn from_raw(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number, to send it.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }
}

/// A position in the listing of a directory, from the reply of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryCookie(u64);

impl DirectoryCookie {
    /// The start of every listing.
    pub const START: Self = Self(0);

    /// Returns the cookie with this number.
    #[must_use]
    pub const fn from_raw(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number, to send it.
    #[must_use]
    pub const fn raw(self) -> u64 {
        self.0
    }
}

/// The length of a range that one call reads or writes. Holding one proves that it is at least 1
/// and at most 1 MiB, the bytes of [`CALL_FRAMES_MAX`] frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReadLength(u32);

impl ReadLength {
    /// Returns the length, or `None` at 0 or above the bound on a call.
    #[must_use]
    pub fn new(bytes: u64) -> Option<Self> {
        let max = CALL_FRAMES_MAX.saturating_mul(PAGE_BYTES);
        let length = u32::try_from(bytes).ok()?;
        (1 <= bytes && bytes <= max).then_some(Self(length))
    }

    /// Returns the length in bytes.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// The lengths of two paths that lie one after the other at the start of frame 0 of a container.
/// Holding one proves that neither is empty, and that they have at most
/// [`FS_TWO_PATHS_BYTES_MAX`] bytes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwoPaths {
    first_bytes: u16,
    second_bytes: u16,
}

impl TwoPaths {
    /// Returns the lengths.
    ///
    /// # Errors
    /// [`FsError::BadPath`] if one is 0, [`FsError::PathTooLong`] if the sum is too large.
    pub fn new(first_bytes: usize, second_bytes: usize) -> Result<Self, FsError> {
        if first_bytes == 0 || second_bytes == 0 {
            return Err(FsError::BadPath);
        }
        let is_short = first_bytes.saturating_add(second_bytes) <= FS_TWO_PATHS_BYTES_MAX;
        match (u16::try_from(first_bytes), u16::try_from(second_bytes)) {
            (Ok(first_bytes), Ok(second_bytes)) if is_short => {
                Ok(Self { first_bytes, second_bytes })
            }
            _ => Err(FsError::PathTooLong),
        }
    }

    /// Returns the length of the first path.
    #[must_use]
    pub const fn first_bytes(self) -> u16 {
        self.first_bytes
    }

    /// Returns the length of the second path, which begins at once after the first.
    #[must_use]
    pub const fn second_bytes(self) -> u16 {
        self.second_bytes
    }
}

/// Returns the length of a path.
///
/// # Errors
/// [`FsError::BadPath`] if it is 0, [`FsError::PathTooLong`] above [`PATH_BYTES_MAX`].
pub(crate) fn path_bytes(bytes: u64) -> Result<u16, FsError> {
    match u16::try_from(bytes) {
        Ok(0) => Err(FsError::BadPath),
        Ok(path_bytes) if usize::from(path_bytes) <= PATH_BYTES_MAX => Ok(path_bytes),
        _ => Err(FsError::PathTooLong),
    }
}

/// Returns the register that carries the first frame of a range, and its length.
pub(crate) fn frames_register(start: FrameNumber, length: ReadLength) -> u64 {
    // A frame beyond the field lies beyond every container that a client can pay for.
    pack_pair(u32::try_from(start.get()).unwrap_or(u32::MAX), length.get())
}

/// Returns the range that a register carries.
///
/// # Errors
/// [`FsError::BadRange`] for a length that no call moves.
pub(crate) fn frames_of(register: u64) -> Result<(FrameNumber, ReadLength), FsError> {
    let (start, length) = unpack_pair(register);
    let length = ReadLength::new(length.into()).ok_or(FsError::BadRange)?;
    Ok((FrameNumber::new(start.into()), length))
}
