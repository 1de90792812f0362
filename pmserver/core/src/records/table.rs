// SPDX-License-Identifier: BSD-2-Clause
//! The record of a page table.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::kernel::PageIndex;
use crate::records::cell::{Stamp, record};
use crate::records::count::Count;
use crate::records::leaf::Leaf;

/// A page table that pmserver installed in a VSpace.
#[repr(C, align(16))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Table {
    stamp: Stamp,
    /// The first address that it translates.
    base: u64,
    pub(crate) page: u32,
    /// How many mappings and tables that pmserver made are below it.
    pub(crate) children: Count<u32>,
    padding: [u64; 5],
}

record!(Table, Table);

impl Table {
    pub(crate) const fn new(base: u64, page: PageIndex) -> Self {
        Self { stamp: Stamp::UNSET, base, page: page.get(), children: Count::ZERO, padding: [0; 5] }
    }
}

impl Leaf for Table {
    fn key(&self) -> u64 {
        self.base
    }
}
