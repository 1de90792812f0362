// SPDX-License-Identifier: BSD-2-Clause
//! A search for contiguous pages that continues in the next call.

use proto::PAGE_BYTES;

/// A search for contiguous pages that one call did not finish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Search {
    pub(crate) wanted: Wanted,
    /// The page that the next call looks at first.
    pub(crate) next: u32,
}

/// The properties that a run of contiguous pages must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) pages: u32,
    pub(crate) align_bits: u8,
    pub(crate) limit_bits: u8,
}

impl Wanted {
    pub(crate) fn is_aligned(&self, address: u64) -> bool {
        address.trailing_zeros() >= u32::from(self.align_bits)
    }

    pub(crate) fn is_below_limit(&self, address: u64) -> bool {
        let bytes = u64::from(self.pages).saturating_mul(PAGE_BYTES);
        let last = address.saturating_add(bytes).saturating_sub(1);
        last.checked_shr(self.limit_bits.into()).unwrap_or(0) == 0
    }
}
