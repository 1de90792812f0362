// SPDX-License-Identifier: BSD-2-Clause
//! Random numbers.

/// Marsaglia's xorshift generator.
pub struct Dice(u64);

impl Dice {
    /// Returns a generator whose numbers depend on the seed alone.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Returns a number below the bound; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The lowest bits are the least random ones.
        (self.0 >> 11).checked_rem(bound).unwrap_or_default()
    }
}
