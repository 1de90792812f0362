// SPDX-License-Identifier: BSD-2-Clause
//! The rows of pmserver's books, and how they stand in the parts that `inspect` returns.
//!
//! A part is three words. The first one, the *head*, begins with the number of the book, so it is
//! never 0; then come three bytes and a field of 32 bits. PM-471 has the table of all parts.

mod holding;
mod marks;
mod owners;

use core::num::NonZeroU32;

use proto::{pack_pair, unpack_pair};

use crate::flags::Book;
use crate::handles::{HANDLE_MAKER_BITS, HANDLE_MAKER_SHIFT};

pub use holding::{
    CURSOR_PEER_SHIFT, GrantRow, LeaseRow, MappingRow, PagesRow, RegionRow, ShareRow,
};
pub use marks::{AccountMarks, LeaseMarks, MappingState, PageMarks, PageState, ShareMarks};
pub use owners::{AccountRow, ContainerRow, PeerName, PeerRow};

/// The most parts that a row has.
pub const PARTS_MAX: usize = 5;

/// The parts of a row; those that it does not have are 0.
pub type Parts = [[u64; 3]; PARTS_MAX];

/// Names an object in rows: the number of its record. Another object may have it later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(NonZeroU32);

impl RecordId {
    /// Returns the one with this number; 0 is none.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        match NonZeroU32::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Returns the one with this number.
    #[must_use]
    pub const fn of(number: NonZeroU32) -> Self {
        Self(number)
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// Returns the record of a row, by the cursor behind it.
    fn at(cursor: u64) -> Option<Self> {
        // Those above say who made it, and when.
        Self::new(u32::try_from(cursor & ((1 << HANDLE_MAKER_SHIFT) - 1)).ok()?)
    }
}

/// A row of a book.
pub trait BookRow: Sized {
    /// The book.
    const BOOK: Book;

    /// Returns a part of it.
    fn part(&self, part: u8) -> [u64; 3];

    /// Returns the row that these parts are of, given the cursor behind it; `None` if they are of
    /// none.
    fn from_parts(cursor: u64, parts: &Parts) -> Option<Self>;
}

/// Returns the first word of a part.
fn head<R: BookRow>([a, b, c]: [u8; 3], last: impl Into<u32>) -> u64 {
    pack_pair(u32::from_le_bytes([R::BOOK.number(), a, b, c]), last.into())
}

/// Returns the fields of the first word of a part, if it is of this book.
fn unpack<R: BookRow>(word: u64) -> Option<([u8; 3], u32)> {
    let (low, high) = unpack_pair(word);
    let [book, bytes @ ..] = low.to_le_bytes();
    (book == R::BOOK.number()).then_some((bytes, high))
}

fn number(record: Option<RecordId>) -> u32 {
    record.map_or(0, RecordId::get)
}

/// Returns when the record of a row was made, by the cursor behind it.
fn serial(cursor: u64) -> u32 {
    u32::try_from(cursor >> (HANDLE_MAKER_SHIFT + HANDLE_MAKER_BITS)).unwrap_or(0)
}
