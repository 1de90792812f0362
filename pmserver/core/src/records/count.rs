// SPDX-License-Identifier: BSD-2-Clause
//! Numbers of things that are there, and sums of them.
//!
//! No request can make one wrong: if it would go below zero or over the top, the server's own state
//! is broken and it stops, rather than go on with a number that hides it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::records::broken::broken;

/// How many of something there are.
#[repr(transparent)]
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
)]
pub(crate) struct Count<N>(N);

impl<N: Number> Count<N> {
    /// There are none.
    pub(crate) const ZERO: Self = Self(N::ZERO);

    /// Returns a count that begins at a number.
    pub(crate) const fn starting_at(number: N) -> Self {
        Self(number)
    }

    /// Counts one more.
    pub(crate) fn up(&mut self) {
        self.0 = plus(self.0, N::ONE);
    }

    /// Counts so many more.
    pub(crate) fn add(&mut self, more: N) {
        self.0 = plus(self.0, more);
    }

    /// Counts so many less.
    pub(crate) fn subtract(&mut self, less: N) {
        self.0 = minus(self.0, less);
    }

    /// Counts one less.
    pub(crate) fn down(&mut self) {
        self.0 = minus(self.0, N::ONE);
    }

    /// Returns how many there are.
    pub(crate) const fn get(self) -> N {
        self.0
    }

    /// Returns whether there are none.
    pub(crate) fn is_zero(self) -> bool {
        self.0 == N::ZERO
    }
}

/// Returns a sum, which fits.
pub(crate) fn plus<N: Number>(left: N, right: N) -> N {
    match left.checked_plus(right) {
        Some(sum) => sum,
        None => broken("count above its type"),
    }
}

/// Returns a difference of what is there and a part of that.
pub(crate) fn minus<N: Number>(all: N, part: N) -> N {
    match all.checked_minus(part) {
        Some(rest) => rest,
        None => broken("count below zero"),
    }
}

/// A type of number that things are counted in.
pub(crate) trait Number: Copy + PartialEq {
    const ZERO: Self;
    const ONE: Self;

    fn checked_plus(self, other: Self) -> Option<Self>;

    fn checked_minus(self, other: Self) -> Option<Self>;
}

/// Implements [`Number`] for a type of the language.
macro_rules! number {
    ($name:ty) => {
        impl Number for $name {
            const ZERO: Self = 0;
            const ONE: Self = 1;

            fn checked_plus(self, other: Self) -> Option<Self> {
                self.checked_add(other)
            }

            fn checked_minus(self, other: Self) -> Option<Self> {
                self.checked_sub(other)
            }
        }
    };
}

number!(u8);
number!(u16);
number!(u32);
number!(u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_comes_back_to_zero() {
        let mut count = Count::<u16>::ZERO;
        count.up();
        assert_eq!(count.get(), 1);
        count.down();
        assert!(count.is_zero());
    }

    #[test]
    #[should_panic(expected = "count below zero")]
    fn one_less_than_none_stops_the_server() {
        let mut count = Count::<u32>::ZERO;
        count.down();
    }

    #[test]
    #[should_panic(expected = "count above its type")]
    fn one_more_than_fits_stops_the_server() {
        let mut count = Count(u16::MAX);
        count.up();
    }
}
