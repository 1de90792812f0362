// SPDX-License-Identifier: BSD-2-Clause
//! The ring as its one writer has it.
//!
//! A record is written in two parts, when the server begins and when it ends: what was asked is in
//! registers of the processor then, and need not be kept. Only the end makes it one that is read.

use proto::VirtAddr;
use proto::limits::FASTPATH_REGISTERS;

use crate::record::{HEADER, STRIDE};

const WORD_BYTES: usize = size_of::<u64>();

/// Places in a region, in words from address 0 on: so every one is aligned, which the compiler
/// sees.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    pub(crate) header: usize,
    /// The number of words of all records, less one: the number is a power of two.
    pub(crate) mask: usize,
}

impl Layout {
    /// Returns where things are in a region; `None` if no record fits into it, or it begins at
    /// address 0.
    pub(crate) fn of_region(at: VirtAddr, bytes: u64) -> Option<Self> {
        let header = usize::try_from(at.get()).ok()?.checked_div(WORD_BYTES)?;
        let words = usize::try_from(bytes).ok()?.checked_div(WORD_BYTES)?;
        let records = words.checked_sub(HEADER)?.checked_div(STRIDE)?.checked_ilog2()?;
        let mask = STRIDE.checked_shl(records)?.checked_sub(1)?;
        Some(Self { header, mask }).filter(|_| header > 0)
    }

    /// Returns the first word of the record before which so many words were written.
    #[inline(always)]
    pub(crate) const fn record(self, written: usize) -> usize {
        self.header.wrapping_add(HEADER).wrapping_add(written & self.mask)
    }
}

/// Returns the address of a word.
#[inline(always)]
pub(crate) const fn address(word: usize) -> usize {
    word.wrapping_mul(WORD_BYTES)
}

#[inline(always)]
fn store(first: usize, word: usize, value: u64) {
    shm::store(address(first.wrapping_add(word)), value);
}

/// A ring in a region that is mapped for writing.
#[derive(Debug)]
pub struct Ring {
    layout: Layout,
    written: usize,
}

impl Ring {
    /// Opens the ring in a region, which is cleared at the start, with how many ticks a second has,
    /// or 0. After a recovery it goes on where it was. `None` if no record fits into it, or it
    /// begins at address 0.
    #[must_use]
    pub fn open(at: VirtAddr, bytes: u64, ticks_per_second: u64) -> Option<Self> {
        let layout = Layout::of_region(at, bytes)?;
        let written = usize::try_from(shm::load::<u64>(address(layout.header))).ok()?;
        store(layout.header, 1, ticks_per_second);
        // Only what is written here can be there; but a place that no record has would be outside.
        Some(Self { layout, written: written.checked_next_multiple_of(STRIDE)? })
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
        // Addresses have 64 bits on both targets and on every host that the tests run on.
        #[allow(clippy::as_conversions)]
        store(self.layout.header, 0, self.written as u64);
    }
}
