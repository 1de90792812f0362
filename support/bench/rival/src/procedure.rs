// SPDX-License-Identifier: BSD-2-Clause
//! What the rival does when it is called. The label of a request is the number of the procedure.

use proto::VirtAddr;

/// Bytes of the cache, and of the standing share.
pub const READ_BYTES_MAX: usize = 0x20_0000;

/// Where the rival has its cache, and the share.
pub const CACHE: VirtAddr = VirtAddr::new_page(0x2800_0000).unwrap();
/// See [`CACHE`].
pub const SHARE: VirtAddr = VirtAddr::new_page(0x2820_0000).unwrap();

/// Pages of the toucher in which a fault is repaired.
pub const FAULT_PAGES: u32 = 64;
/// The first of them.
pub const FAULTS: VirtAddr = VirtAddr::new_page(0x3000_0000).unwrap();

/// A procedure of the rival's program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Procedure {
    /// Does nothing: what a protected procedure costs.
    Nothing = 0,
    /// Returns the counter as it was when the domain started.
    Started = 1,
    /// Copies so many bytes from the cache into the share.
    Read = 2,
    /// Makes the frames with which faults of the toucher are repaired. Called once.
    PrepareFaults = 3,
    /// Unmaps these frames.
    ForgetFaults = 4,
    /// Loads a word of each of the pages in which a fault is repaired.
    Touch = 5,
}

impl Procedure {
    /// Returns the label of a request.
    #[must_use]
    #[allow(clippy::as_conversions)] // The discriminant of a fieldless enum has no other accessor.
    pub const fn label(self) -> u64 {
        self as u64
    }

    /// Returns the procedure with this label.
    #[must_use]
    pub const fn of_label(label: u64) -> Option<Self> {
        match label {
            0 => Some(Self::Nothing),
            1 => Some(Self::Started),
            2 => Some(Self::Read),
            3 => Some(Self::PrepareFaults),
            4 => Some(Self::ForgetFaults),
            5 => Some(Self::Touch),
            _ => None,
        }
    }
}
