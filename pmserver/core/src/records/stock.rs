// SPDX-License-Identifier: BSD-2-Clause
//! The cells that an account has set aside for its runs.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::records::cell::{Stamp, record};
use crate::records::count::Count;

/// The third record of an account, while it has runs or what they were split into: its pages of
/// cells that were set aside.
///
/// ```text
///   free cells in these pages + 64 * pages  =  spare + aside
/// ```
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Stock {
    stamp: Stamp,
    /// The pages, those with a free cell first.
    pub(crate) record_pages: u32,
    /// Pages that are charged and not taken yet.
    pub(crate) pages: Count<u32>,
    /// Free cells that nothing needs.
    pub(crate) spare: Count<u32>,
    /// Free cells that runs need when they are split.
    pub(crate) aside: Count<u32>,
    padding: [u64; 5],
}

record!(Stock, Stock);

impl Stock {
    /// Nothing is charged.
    pub(crate) const EMPTY: Self = Self {
        stamp: Stamp::UNSET,
        record_pages: 0,
        pages: Count::ZERO,
        spare: Count::ZERO,
        aside: Count::ZERO,
        padding: [0; 5],
    };
}
