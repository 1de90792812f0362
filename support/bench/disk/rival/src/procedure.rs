// SPDX-License-Identifier: BSD-2-Clause
//! What the rival does when it is called. The label of a request is the number of the procedure.

use proto::{PAGE_BYTES, VirtAddr};

/// Where the rival and its client have the share.
pub const SHARE: VirtAddr = VirtAddr::new_page(0x2820_0000).unwrap();
/// How many frames and bytes it has, as many as the rival's cache.
pub const SHARE_FRAMES: u64 = 512;
/// See [`SHARE_FRAMES`].
pub const SHARE_BYTES: u64 = SHARE_FRAMES * PAGE_BYTES;

/// A procedure of the rival. Those that use the disk only begin, and notify the client when they
/// have ended; there is one at a time, and no other procedure meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Procedure {
    /// Does nothing: what a protected procedure costs.
    Nothing = 0,
    /// Reads so many blocks, from one on, into the cache.
    Fetch = 1,
    /// Copies so many bytes from the cache into the share.
    Read = 2,
    /// Copies so many blocks from the share into the cache, and writes them to the disk.
    Store = 3,
    /// Makes what was written last.
    Flush = 4,
}

impl Procedure {
    const ALL: [Self; 5] = [Self::Nothing, Self::Fetch, Self::Read, Self::Store, Self::Flush];

    /// Returns the label of a request.
    #[must_use]
    #[allow(clippy::as_conversions)] // The discriminant of a fieldless enum has no other accessor.
    pub const fn label(self) -> u64 {
        self as u64
    }

    /// Returns the procedure with this label.
    #[must_use]
    pub fn of_label(label: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|procedure| procedure.label() == label)
    }
}

/// What the rival answers. The label of the reply is its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Answer {
    /// It is done, or has begun.
    Done = 0,
    /// There is no such procedure, or the disk has failed.
    Refused = 1,
    /// What was begun before has not ended.
    Busy = 2,
}

impl Answer {
    /// Returns the label of a reply.
    #[must_use]
    #[allow(clippy::as_conversions)] // As for procedures.
    pub const fn label(self) -> u64 {
        self as u64
    }

    /// Returns the answer with this label.
    #[must_use]
    pub fn of_label(label: u64) -> Option<Self> {
        [Self::Done, Self::Refused, Self::Busy].into_iter().find(|answer| answer.label() == label)
    }
}
