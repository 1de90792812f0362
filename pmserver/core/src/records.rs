// SPDX-License-Identifier: BSD-2-Clause
//! Records: the fixed-size cells that everything pmserver knows of its clients is kept in.
//!
//! A cell is 64 bytes; a page of 64 cells belongs to one account, which is charged for it. So the
//! memory that a client's requests make pmserver use is the client's own (design D7). A record is
//! named by the number of its cell; a handle adds the generation that the cell was filled in, so
//! that a stale handle names nothing.
//!
//! ```text
//!   handle:  | generation: 36 bits | cell: 28 bits |      cell = page * 64 + position in the page
//!   stamp:   | generation: 36 bits | ...    | kind: 8 bits |   first word of every cell
//! ```

use core::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::frame_table::PageIndex;

/// Bytes of a cell.
pub(crate) const CELL_BYTES: usize = 64;
/// Cells in a page.
pub(crate) const CELLS_PER_PAGE: u32 = 64;
const HANDLE_CELL_BITS: u32 = 28;
const HANDLE_CELL_MASK: u64 = (1 << HANDLE_CELL_BITS) - 1;
const KIND_BITS: u32 = 8;
/// The last generation; a pool that has filled this many cells makes no more.
pub(crate) const GENERATION_MAX: u64 = (1 << (64 - HANDLE_CELL_BITS)) - 1;

/// What a cell holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Free = 0,
    Account = 1,
    Container = 2,
    Frame = 3,
    Share = 4,
    Lease = 5,
    Mapping = 6,
    Table = 7,
    Node = 8,
}

/// The first word of every cell: what it holds and when it was filled.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Stamp(u64);

impl Stamp {
    /// The stamp of a record that has not been put into a cell yet.
    pub(crate) const UNSET: Self = Self(0);

    #[allow(clippy::as_conversions)] // The discriminant of a fieldless enum has no other accessor.
    pub(crate) const fn new(kind: Kind, generation: u64) -> Self {
        Self(generation << KIND_BITS | kind as u64)
    }

    pub(crate) const fn is(self, kind: Kind) -> bool {
        Self::new(kind, self.generation()).0 == self.0
    }

    pub(crate) const fn generation(self) -> u64 {
        self.0 >> KIND_BITS
    }
}

/// A type that fills a cell.
pub(crate) trait Record: FromBytes + IntoBytes + Immutable + KnownLayout + Copy {
    /// What a cell with such a record says it holds.
    const KIND: Kind;

    /// Returns the first word.
    fn stamp(&self) -> Stamp;

    /// Sets the first word.
    fn set_stamp(&mut self, stamp: Stamp);
}

/// Implements [`Record`] for a struct whose first field is `stamp`, and checks its size.
macro_rules! record {
    ($name:ident, $kind:ident) => {
        const _: () = assert!(size_of::<$name>() == crate::records::CELL_BYTES);

        impl crate::records::Record for $name {
            const KIND: crate::records::Kind = crate::records::Kind::$kind;

            fn stamp(&self) -> crate::records::Stamp {
                self.stamp
            }

            fn set_stamp(&mut self, stamp: crate::records::Stamp) {
                self.stamp = stamp;
            }
        }
    };
}
pub(crate) use record;

/// The name of a record. Holding one proves that the cell was filled with a `T` when it was made;
/// whoever frees a record removes every link to it first.
#[derive(Debug)]
pub(crate) struct Ref<T> {
    cell: u32,
    record: PhantomData<fn() -> T>,
}

impl<T> Clone for Ref<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Ref<T> {}

impl<T> PartialEq for Ref<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cell == other.cell
    }
}

impl<T> Eq for Ref<T> {}

impl<T> Ref<T> {
    /// Returns the record that a link in another record names; 0 names none.
    pub(crate) const fn from_link(link: u32) -> Option<Self> {
        if link == 0 { None } else { Some(Self { cell: link, record: PhantomData }) }
    }

    /// Returns the link that names this record.
    pub(crate) const fn link(self) -> u32 {
        self.cell
    }

    /// Returns the page and the position in it.
    pub(crate) const fn place(self) -> (PageIndex, u32) {
        (PageIndex::new(self.cell / CELLS_PER_PAGE), self.cell % CELLS_PER_PAGE)
    }

    /// Returns the name of the cell at a place; `None` beyond what a handle can name.
    pub(crate) fn at(page: PageIndex, position: u32) -> Option<Self> {
        let cell = page.get().checked_mul(CELLS_PER_PAGE)?.checked_add(position)?;
        (u64::from(cell) <= HANDLE_CELL_MASK).then_some(Self { cell, record: PhantomData })
    }

    /// Returns the handle for this record with the generation that its stamp has.
    pub(crate) fn handle(self, stamp: Stamp) -> u64 {
        stamp.generation() << HANDLE_CELL_BITS | u64::from(self.cell)
    }
}

/// A handle taken apart: a number that a client sent, of which nothing is known yet.
#[derive(Clone, Copy)]
pub(crate) struct Alleged {
    /// Which cell it speaks of.
    pub(crate) cell: u32,
    /// In which generation.
    pub(crate) generation: u64,
}

impl Alleged {
    pub(crate) fn from_handle(handle: u64) -> Option<Self> {
        let cell = u32::try_from(handle & HANDLE_CELL_MASK).ok()?;
        Some(Self { cell, generation: handle >> HANDLE_CELL_BITS })
    }
}

/// Returns a link to what may be a record.
pub(crate) fn link_of<T>(record: Option<Ref<T>>) -> u32 {
    record.map_or(0, Ref::link)
}
