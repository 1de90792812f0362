// SPDX-License-Identifier: BSD-2-Clause
//! Ranges of frame numbers, which may include the largest number.

use proto::FrameNumber;
use proto::limits::CALL_FRAMES_MAX;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Frames of one call, as the size of an array.
#[allow(clippy::as_conversions)] // 256 is 256 everywhere.
pub(crate) const CALL_FRAMES: usize = CALL_FRAMES_MAX as usize;

/// The bits of a number that say which one of a run of 64 it is.
const LAST_IN_RUN: u64 = 63;

/// A range of frame numbers with both ends included, so that it can contain the largest number.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Range {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Range {
    /// Every frame number.
    pub(crate) const ALL: Self = Self { first: 0, last: u64::MAX };

    /// Returns one number.
    pub(crate) const fn one(number: u64) -> Self {
        Self { first: number, last: number }
    }

    /// Returns the `count` numbers from `start`; `None` if `count` is 0 or they pass the largest.
    pub(crate) fn new(start: FrameNumber, count: u64) -> Option<Self> {
        let last = start.get().checked_add(count.checked_sub(1)?)?;
        Some(Self { first: start.get(), last })
    }

    /// Returns how many numbers follow the first one.
    pub(crate) const fn others(&self) -> u64 {
        // The last number is not below the first one.
        self.last.wrapping_sub(self.first)
    }

    pub(crate) const fn contains(&self, number: u64) -> bool {
        self.first <= number && number <= self.last
    }

    /// Returns what is left of it behind a number; `None` behind its end.
    pub(crate) fn behind(&self, number: u64) -> Option<Self> {
        let first = number.checked_add(1)?;
        (first <= self.last).then_some(Self { first, ..*self })
    }

    /// Returns what is left of it behind so many of its numbers; `None` if nothing is.
    pub(crate) fn after(&self, count: u64) -> Option<Self> {
        let first = self.first.checked_add(count)?;
        (first <= self.last).then_some(Self { first, ..*self })
    }

    /// Returns the numbers behind so many of its numbers that a run of 64 may stand for: as many,
    /// at an aligned number; `None` if that is not in it.
    pub(crate) fn run_after(&self, count: u64) -> Option<Self> {
        let rest = self.after(count)?;
        let run = Self { last: rest.first | LAST_IN_RUN, ..rest };
        (rest.first & LAST_IN_RUN == 0 && self.covers(run)).then_some(run)
    }

    pub(crate) const fn covers(&self, other: Self) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    pub(crate) const fn overlaps(&self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_reach_the_last_number_and_no_further() {
        assert!(Range::new(FrameNumber::new(u64::MAX), 1).is_some());
        assert!(Range::new(FrameNumber::new(u64::MAX), 2).is_none());
        assert!(Range::new(FrameNumber::new(0), 0).is_none());
        let range = Range::new(FrameNumber::new(4), 4).unwrap();
        assert!(range.contains(4) && range.contains(7) && !range.contains(8));
        assert!(range.overlaps(Range { first: 7, last: 9 }));
        assert!(!range.overlaps(Range { first: 8, last: 9 }));
        assert!(!range.covers(Range { first: 4, last: 8 }));
    }
}
