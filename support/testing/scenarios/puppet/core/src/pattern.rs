// SPDX-License-Identifier: BSD-2-Clause
//! The pattern that puppets fill pages with, and its checksum.

use proto::PAGE_BYTES;

const WORD_BYTES: u64 = 8;
/// The number of words in a page.
pub(crate) const PAGE_WORDS: u64 = PAGE_BYTES / WORD_BYTES;

/// The multiplier of the 64-bit FNV hash.
const FNV_PRIME: u64 = 0x100_0000_01b3;
const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// Returns a word of the pattern: with seed 0 all words are 0, with any other all differ.
pub(crate) const fn word(seed: u64, index: u64) -> u64 {
    // Each index gives another odd factor, so no two products are equal.
    seed.wrapping_mul(index.wrapping_mul(2).wrapping_add(1))
}

/// A checksum, so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checksum(u64);

impl Checksum {
    pub(crate) const fn new() -> Self {
        Self(FNV_START)
    }

    pub(crate) const fn add(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(FNV_PRIME);
    }

    pub(crate) const fn get(self) -> u64 {
        self.0
    }
}

/// Returns the checksum of `pages` pages filled with the pattern of `seed`; 0 is the seed of pages
/// that nobody has filled.
#[must_use]
pub fn checksum_of(pages: u64, seed: u64) -> u64 {
    let mut checksum = Checksum::new();
    for index in 0..pages.saturating_mul(PAGE_WORDS) {
        checksum.add(word(seed, index));
    }
    checksum.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_differ_from_each_other_and_from_zero() {
        assert_eq!(word(0, 5), 0);
        assert_ne!(word(7, 5), word(7, 6));
        assert_ne!(checksum_of(1, 0), checksum_of(1, 1));
        assert_ne!(checksum_of(1, 1), checksum_of(1, 2));
        assert_ne!(checksum_of(1, 1), checksum_of(2, 1));
    }
}
