// SPDX-License-Identifier: BSD-2-Clause
//! The cells that an account has set aside for its runs.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::records::cell::{Stamp, record};
use crate::records::count::Count;
use crate::records::links::Link;
use crate::records::places::{Places, RECORDS_PER_PAGE};

/// The third record of an account, while it has runs or what they were split into: its pages of
/// cells that were set aside.
///
/// ```text
///   free cells in these pages + 63 * pages  =  spare + aside
/// ```
#[repr(C, align(16))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Stock {
    stamp: Stamp,
    /// The pages, those with a free cell first.
    pub(crate) record_pages: Link<Places>,
    /// Pages that are charged and not taken yet.
    pub(crate) pages: Count<u32>,
    /// Free cells that nothing needs.
    pub(crate) spare: Count<u32>,
    /// Free cells that runs need when they are split.
    pub(crate) aside: Count<u32>,
    /// Pages that are charged, not taken, and not for records: for the page tables and the CNodes
    /// of what large mappings are split into.
    pub(crate) objects: Count<u32>,
    /// The frames of the account that share a record.
    pub(crate) joint: Count<u32>,
    padding: [u32; 8],
}

record!(Stock, Stock);

impl Stock {
    /// Returns how many pages are charged and not taken.
    pub(crate) fn untaken(&self) -> u32 {
        self.pages.get().saturating_add(self.objects.get())
    }

    /// Returns how many pages are charged, not taken, and not needed.
    pub(crate) fn unneeded(&self) -> u32 {
        self.pages.get().min(self.spare.get() / RECORDS_PER_PAGE)
    }

    /// Returns whether nothing needs the cells, and none of them was filled.
    pub(crate) fn is_empty(&self) -> bool {
        let is_unused = self.aside.is_zero() && self.objects.is_zero() && self.joint.is_zero();
        is_unused && self.record_pages.is_none()
    }

    /// Nothing is charged.
    pub(crate) const EMPTY: Self = Self {
        stamp: Stamp::UNSET,
        record_pages: Link::NONE,
        pages: Count::ZERO,
        spare: Count::ZERO,
        aside: Count::ZERO,
        objects: Count::ZERO,
        joint: Count::ZERO,
        padding: [0; 8],
    };
}
