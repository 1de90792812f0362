// SPDX-License-Identifier: BSD-2-Clause
//! Records: fixed-size cells that hold everything pmserver knows about its clients.
//!
//! A cell is 64 bytes. A page of 64 cells belongs to one account, which is charged for it, so
//! clients pay for the records that their requests make (decision D7). The first cell says which of
//! the others are taken (`records/places.rs`).
//!
//! A record that clients have handles for is *named*: the cell and the handle both contain the peer
//! that made the record and a generation. A number that was never given out, or whose object is
//! gone, names nothing. Generations do not separate peers: every handle is also checked against the
//! peer that uses it. When the generation wraps, after 2^30 records of one maker, a peer that kept
//! an old handle can at worst reach a newer object of its own.
//!
//! ```text
//!   handle:  | generation: 30 bits | maker: 6 bits | cell: 28 bits |   (page * 64 + position)
//!   stamp:   | generation: 30 bits | maker: 8 bits | kind: 8 bits |   first word of every cell
//! ```

use core::marker::PhantomData;
use core::num::NonZeroU32;

use pmserver_api::{HANDLE_MAKER_BITS, HANDLE_MAKER_MASK, HANDLE_MAKER_SHIFT};
use proto::PeerId;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::kernel::PageIndex;

/// Bytes of a cell.
pub(crate) const CELL_BYTES: usize = 64;

/// Cells in a page.
pub(crate) const CELLS_PER_PAGE: u32 = 1 << POSITION_BITS;

const POSITION_BITS: u32 = 6;

const HANDLE_CELL_BITS: u32 = 28;

const HANDLE_CELL_MASK: u64 = (1 << HANDLE_CELL_BITS) - 1;

const HANDLE_GENERATION_SHIFT: u32 = HANDLE_CELL_BITS + HANDLE_MAKER_BITS;

const STAMP_MAKER_SHIFT: u32 = 8;

const STAMP_GENERATION_SHIFT: u32 = 16;

/// Pages whose cells a handle can name: 16 GiB.
pub(crate) const PAGES_MAX: u32 = 1 << (HANDLE_CELL_BITS - POSITION_BITS);

const _: () = assert!(HANDLE_MAKER_SHIFT == HANDLE_CELL_BITS);

/// The last generation; after it, generations start again at 1.
pub(crate) const GENERATION_MAX: u64 = (1 << (64 - HANDLE_GENERATION_SHIFT)) - 1;

/// What a cell holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Account = 1,
    Container = 2,
    Frame = 3,
    Share = 4,
    Lease = 5,
    Mapping = 6,
    Table = 7,
    Node = 8,
    Region = 9,
    Handler = 10,
    Ledger = 11,
    Loan = 12,
    Stock = 13,
    Places = 14,
}

/// The first word of every cell: what it holds and when it was filled.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Stamp(u64);

impl Stamp {
    /// The stamp of a record that is not in a cell yet.
    pub(crate) const UNSET: Self = Self(0);

    /// Returns the stamp of a record that no handle names.
    #[allow(clippy::as_conversions)] // The discriminant of a fieldless enum has no other accessor.
    pub(crate) const fn unnamed(kind: Kind) -> Self {
        Self(kind as u64)
    }

    /// Returns the same, given the number of the kind.
    pub(crate) fn of_kind(kind: u8) -> Self {
        Self(kind.into())
    }

    /// Returns the number of the kind.
    pub(crate) const fn kind(self) -> u8 {
        let [kind, ..] = self.0.to_le_bytes();
        kind
    }

    /// Returns the stamp of a record that handles name.
    #[allow(clippy::as_conversions)] // As above; and both other parts are narrower than a word.
    pub(crate) const fn named(kind: Kind, maker: PeerId, generation: u64) -> Self {
        let maker = (maker.get() as u64) << STAMP_MAKER_SHIFT;
        Self(generation << STAMP_GENERATION_SHIFT | maker | kind as u64)
    }

    /// Returns whether the cell holds a record of this kind.
    #[allow(clippy::as_conversions)] // As above.
    pub(crate) const fn is(self, kind: Kind) -> bool {
        self.0 & 0xFF == kind as u64
    }
}

/// A type that fills a cell.
pub(crate) trait Record: FromBytes + IntoBytes + Immutable + KnownLayout + Copy {
    /// The kind that the stamp of such a record has.
    const KIND: Kind;

    /// Returns the first word.
    fn stamp(&self) -> Stamp;

    /// Sets the first word.
    fn set_stamp(&mut self, stamp: Stamp);
}

/// Returns whether a type fills a cell, with an alignment at which compilers copy a record inline:
/// a call of `memcpy` takes as long as a lookup.
pub(crate) const fn fits<T>() -> bool {
    size_of::<T>() == CELL_BYTES && align_of::<T>() == 16
}

/// Implements [`Record`] for a struct whose first field is `stamp`, or for an *unnamed* one, which
/// no handle names, whose first field is the byte `kind`; and checks its size.
macro_rules! record {
    (unnamed $name:ident, $kind:ident) => {
        const _: () = assert!(crate::records::cell::fits::<$name>());

        impl crate::records::cell::Record for $name {
            const KIND: crate::records::cell::Kind = crate::records::cell::Kind::$kind;

            fn stamp(&self) -> crate::records::cell::Stamp {
                crate::records::cell::Stamp::of_kind(self.kind)
            }

            fn set_stamp(&mut self, stamp: crate::records::cell::Stamp) {
                self.kind = stamp.kind();
            }
        }
    };
    ($name:ident, $kind:ident) => {
        const _: () = assert!(crate::records::cell::fits::<$name>());

        impl crate::records::cell::Record for $name {
            const KIND: crate::records::cell::Kind = crate::records::cell::Kind::$kind;

            fn stamp(&self) -> crate::records::cell::Stamp {
                self.stamp
            }

            fn set_stamp(&mut self, stamp: crate::records::cell::Stamp) {
                self.stamp = stamp;
            }
        }
    };
}

/// A reference to a record. Holding one proves that the cell held a `T` when the reference was
/// made; code that frees a record removes every link to it first.
#[derive(Debug)]
pub(crate) struct Ref<T> {
    /// Never 0, so that a reference or none takes no more room, and fits one register.
    cell: NonZeroU32,
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
    /// Returns the record in the cell with this number; 0 is none.
    pub(crate) const fn from_cell(cell: u32) -> Option<Self> {
        match NonZeroU32::new(cell) {
            Some(cell) => Some(Self { cell, record: PhantomData }),
            None => None,
        }
    }

    /// Returns the number of its cell.
    pub(crate) const fn cell(self) -> u32 {
        self.cell.get()
    }

    /// Returns the same, which is never 0.
    pub(crate) const fn number(self) -> NonZeroU32 {
        self.cell
    }

    /// Returns the page and the position in it.
    pub(crate) const fn place(self) -> (PageIndex, u32) {
        (PageIndex::new(self.cell() / CELLS_PER_PAGE), self.cell() % CELLS_PER_PAGE)
    }

    /// Returns the reference to a cell of a page; `None` if a handle could not name that cell.
    pub(crate) fn at(page: PageIndex, position: u32) -> Option<Self> {
        if page.get() >= PAGES_MAX || position >= CELLS_PER_PAGE {
            return None;
        }
        Self::from_cell(page.get() << POSITION_BITS | position)
    }

    /// Returns the handle for this record, given its stamp.
    pub(crate) fn handle(self, stamp: Stamp) -> u64 {
        let generation = stamp.0 >> STAMP_GENERATION_SHIFT;
        let maker = stamp.0 >> STAMP_MAKER_SHIFT & HANDLE_MAKER_MASK;
        generation << HANDLE_GENERATION_SHIFT | maker << HANDLE_MAKER_SHIFT | u64::from(self.cell())
    }
}

/// Returns the number of the cell that a handle would be of.
#[allow(clippy::as_conversions)] // The number is masked.
pub(crate) const fn cell_of(handle: u64) -> u32 {
    (handle & HANDLE_CELL_MASK) as u32
}

/// The parts of a handle that a client sent and that nothing has been verified of yet.
#[derive(Clone, Copy)]
pub(crate) struct Alleged {
    /// The number of the cell.
    pub(crate) cell: u32,
    maker: PeerId,
    generation: u64,
}

impl Alleged {
    pub(crate) fn from_handle(handle: u64) -> Option<Self> {
        Some(Self {
            cell: u32::try_from(handle & HANDLE_CELL_MASK).ok()?,
            maker: PeerId::new(handle >> HANDLE_MAKER_SHIFT & HANDLE_MAKER_MASK)?,
            generation: handle >> HANDLE_GENERATION_SHIFT,
        })
    }

    /// Returns the stamp that the cell has if the handle names a record of this kind.
    pub(crate) const fn stamp(&self, kind: Kind) -> Stamp {
        Stamp::named(kind, self.maker, self.generation)
    }
}

pub(crate) use record;
