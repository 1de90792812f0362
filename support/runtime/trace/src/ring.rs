// SPDX-License-Identifier: BSD-2-Clause
//! The ring as its one writer has it.
//!
//! A record is written in two parts, when the server begins and when it ends: what was asked is in
//! registers of the processor then, and need not be kept. Only the end makes it one that is read.

use proto::VirtAddr;
use proto::limits::FASTPATH_REGISTERS;

use crate::record::{HEADER, HEADER_BYTES, RECORD_BYTES, STRIDE};

const WORD_BYTES: usize = size_of::<u64>();

/// Where a ring is, in words from address 0 on: so everything in it is aligned, which the compiler
/// sees.
pub trait Place: Copy {
    /// Returns the number of the ring's first word.
    fn first_word(self) -> usize;
}

/// The address at which every server has its ring. A constant costs no instruction to load.
pub const RING: VirtAddr = VirtAddr::new_page(0x2A00_0000).unwrap();

/// The place at [`RING`].
#[derive(Clone, Copy, Debug)]
pub struct Own;

impl Place for Own {
    #[inline(always)]
    fn first_word(self) -> usize {
        At(RING).first_word()
    }
}

/// A place at an address that is a multiple of 8.
#[derive(Clone, Copy, Debug)]
pub struct At(pub VirtAddr);

impl Place for At {
    #[inline(always)]
    fn first_word(self) -> usize {
        // Both targets and every host that the tests run on have 64-bit addresses.
        usize::try_from(self.0.get()).unwrap_or(usize::MAX) / WORD_BYTES
    }
}

/// A place, and how many records it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout<P> {
    place: P,
    /// The number of words of all records, less one: the number is a power of two.
    pub(crate) mask: u64,
}

impl<P: Place> Layout<P> {
    /// Returns where things are in a region of so many bytes; `None` if no record fits into it.
    pub(crate) fn of_region(place: P, bytes: u64) -> Option<Self> {
        let words = bytes.checked_sub(HEADER_BYTES)? / RECORD_BYTES;
        let records = words.checked_ilog2()?;
        let mask = STRIDE.checked_shl(records)?.checked_sub(1)?;
        Some(Self { place, mask })
    }

    /// Returns the first word of the record before which so many words were written.
    #[inline(always)]
    fn record(self, written: u64) -> usize {
        // Not larger than the region.
        #[allow(clippy::as_conversions)]
        let skipped = (written & self.mask) as usize;
        self.place.first_word().wrapping_add(HEADER).wrapping_add(skipped)
    }

    /// Reads a word of the header.
    pub(crate) fn load_header(self, word: usize) -> u64 {
        shm::load(address(self.place.first_word(), word))
    }

    /// Reads a word of the record before which so many words were written.
    pub(crate) fn load(self, written: u64, word: usize) -> u64 {
        shm::load(address(self.record(written), word))
    }
}

#[inline(always)]
const fn address(first: usize, word: usize) -> usize {
    first.wrapping_add(word).wrapping_mul(WORD_BYTES)
}

#[inline(always)]
fn store(first: usize, word: usize, value: u64) {
    shm::store(address(first, word), value);
}

/// A ring in a region that is mapped for writing.
#[derive(Debug)]
pub struct Ring<P> {
    layout: Layout<P>,
    /// How many words of records were written.
    written: u64,
}

impl<P: Place> Ring<P> {
    /// Opens the ring in a region of so many bytes, which is cleared at the start, with how many
    /// ticks a second has, or 0. After a recovery it goes on where it was. `None` if no record fits
    /// into it.
    #[must_use]
    pub fn open(place: P, bytes: u64, ticks_per_second: u64) -> Option<Self> {
        let layout = Layout::of_region(place, bytes)?;
        store(place.first_word(), 1, ticks_per_second);
        Some(Self { layout, written: layout.load_header(0) })
    }

    /// Begins a record: with the time, the word of a [`Cause`](crate::Cause), and what is asked.
    /// One that was begun before and has not ended is forgotten.
    #[inline(always)]
    pub fn begin(&self, time: u64, cause: u64, label: u64, registers: [u64; FASTPATH_REGISTERS]) {
        let record = self.layout.record(self.written);
        let [a, b, c, d] = registers;
        store(record, 0, time);
        store(record, 2, cause);
        store(record, 3, label);
        store(record, 5, a);
        store(record, 6, b);
        store(record, 7, c);
        store(record, 8, d);
    }

    /// Ends the record that was begun.
    #[inline(always)]
    pub fn end(&mut self, time: u64, status: u64, result: u64) {
        let record = self.layout.record(self.written);
        store(record, 1, time);
        store(record, 4, status);
        store(record, 9, result);
        self.written = self.written.wrapping_add(STRIDE);
        store(self.layout.place.first_word(), 0, self.written);
    }
}
