// SPDX-License-Identifier: BSD-2-Clause
//! The errors that seL4 can return for each invocation that pmserver makes.
//!
//! Errors that `seam.rs` converts to the same error of the core are one here.

use super::InvocationKind;
use crate::machine::Error;

/// An invocation that the kernel refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which invocation from now on, of those that can be refused, counted from 1.
    pub nth: u64,
    /// With which of the [`InvocationKind::errors`], or the first if there are fewer.
    pub error: usize,
}

/// Stands for every error that the core knows as `Refused`.
const REFUSED: Error = Error::IllegalOperation;
const RETYPE: [Error; 2] = [Error::NotEnoughMemory { left: 0 }, REFUSED];
const PAGE_MAP: [Error; 5] = [
    REFUSED,
    Error::DeleteFirst,
    Error::table_missing(21),
    Error::table_missing(30),
    Error::table_missing(39),
];
const TABLE_MAP: [Error; 4] =
    [REFUSED, Error::DeleteFirst, Error::table_missing(30), Error::table_missing(39)];

impl InvocationKind {
    /// Returns the errors that this invocation can end with; none if the kernel cannot refuse it.
    #[must_use]
    pub const fn errors(self) -> &'static [Error] {
        match self {
            Self::Retype => &RETYPE,
            Self::PageMap => &PAGE_MAP,
            Self::TableMap => &TABLE_MAP,
            Self::Copy
            | Self::Mint
            | Self::Delete
            | Self::Revoke
            | Self::PageUnmap
            | Self::BusMap
            | Self::BusUnmap
            | Self::WriteRegisters
            | Self::SetSchedParams => &[REFUSED],
            Self::Signal => &[],
        }
    }
}
