// SPDX-License-Identifier: BSD-2-Clause
//! What the registers of a request carry.

use proto::PAGE_BYTES;
use proto::limits::CALL_FRAMES_MAX;

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

/// The length of a range that one call reads. Holding one proves that it is at least 1 and at most
/// 1 MiB, the bytes of [`CALL_FRAMES_MAX`] frames.
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
