// SPDX-License-Identifier: BSD-2-Clause
//! Ranges as programs write them, and the pieces that one call takes.

use core::ops::{Bound, RangeBounds};

use proto::limits::{CALL_FRAMES_MAX, LARGE_FRAMES};
use proto::{FrameCount, FrameNumber, PAGE_BYTES, VirtAddr};

use super::error::Error;
use super::operation::Operation;

/// The longest range that an operation processes in several calls: more frames than any account may
/// use. A longer one is a mistake, and would keep the caller busy for hours.
pub const RANGE_FRAMES_MAX: u64 = 1 << 32;

/// Some consecutive frame numbers. Holding one proves that there is at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    start: u64,
    count: u64,
}

impl Span {
    /// Returns a range of any length.
    pub(crate) fn any(operation: Operation, range: &impl RangeBounds<u64>) -> Result<Self, Error> {
        Self::of(range).ok_or(Error::invalid(operation))
    }

    /// Returns a range that is processed in as many calls as it takes.
    pub(crate) fn long(operation: Operation, range: &impl RangeBounds<u64>) -> Result<Self, Error> {
        let span = Self::of(range).filter(|span| span.count <= RANGE_FRAMES_MAX);
        span.ok_or(Error::invalid(operation))
    }

    /// Returns a range that fits into one call, for an operation that cannot be split. It may be
    /// the numbers of a large frame; pmserver says for which operations.
    pub(crate) fn short(
        operation: Operation,
        range: &impl RangeBounds<u64>,
    ) -> Result<(FrameNumber, FrameCount), Error> {
        let piece = |span: Self| span.piece(0, LARGE_FRAMES).filter(|(_, n)| n.get() == span.count);
        Self::of(range).and_then(piece).ok_or(Error::invalid(operation))
    }

    fn of(range: &impl RangeBounds<u64>) -> Option<Self> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.checked_add(1)?,
            Bound::Unbounded => 0,
        };
        let last = match range.end_bound() {
            Bound::Included(last) => *last,
            Bound::Excluded(end) => end.checked_sub(1)?,
            // 2^64 numbers are one more than a message can ask for.
            Bound::Unbounded => u64::MAX.saturating_sub(u64::from(start == 0)),
        };
        let count = last.checked_sub(start)?.checked_add(1)?;
        Some(Self { start, count })
    }

    /// Returns the numbers `0..count`.
    pub(crate) const fn first(count: u64) -> Self {
        Self { start: 0, count }
    }

    pub(crate) const fn start(self) -> FrameNumber {
        FrameNumber::new(self.start)
    }

    pub(crate) const fn count(self) -> u64 {
        self.count
    }

    /// Returns all of it, if it fits into one call.
    pub(crate) fn whole(self) -> Option<(FrameNumber, FrameCount)> {
        let count = Some(self.count).filter(|count| *count <= CALL_FRAMES_MAX)?;
        Some((self.start(), FrameCount::new(count)?))
    }

    /// Returns what the next call takes after `done` numbers, at most so many: a large frame as a
    /// whole, if `most` has room for it. Nothing if none are left.
    pub(crate) fn piece(self, done: u64, most: u64) -> Option<(FrameNumber, FrameCount)> {
        let start = self.start().checked_add(done)?;
        let left = self.count.checked_sub(done)?.min(most);
        let is_large = left == LARGE_FRAMES && start.get().is_multiple_of(LARGE_FRAMES);
        let count = if is_large { left } else { left.min(CALL_FRAMES_MAX) };
        Some((start, FrameCount::new(count)?))
    }

    /// Whether it overlaps a range of the same length from `start` on.
    pub(crate) const fn meets(self, start: FrameNumber) -> bool {
        start.get().abs_diff(self.start) < self.count
    }
}

/// Returns the address of the `index`-th page from `start` on; nothing above user space.
pub(crate) fn page(start: VirtAddr, index: u64) -> Option<VirtAddr> {
    start.checked_add(index.checked_mul(PAGE_BYTES)?)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    fn numbers(range: impl RangeBounds<u64>) -> Option<(u64, u64)> {
        Span::of(&range).map(|span| (span.start, span.count))
    }

    #[test]
    fn ranges_of_every_kind_are_a_start_and_a_count() {
        assert_eq!(numbers(3..7), Some((3, 4)));
        assert_eq!(numbers(3..=7), Some((3, 5)));
        assert_eq!(numbers(..7), Some((0, 7)));
        assert_eq!(numbers(u64::MAX..=u64::MAX), Some((u64::MAX, 1)));
        assert_eq!(numbers((Bound::Excluded(3), Bound::Included(4))), Some((4, 1)));
        assert_eq!(numbers(..), Some((0, u64::MAX)), "as many as a message can ask for");
        assert_eq!(numbers(1..), Some((1, u64::MAX)), "to the last number there is");
        assert_eq!(numbers(2..), Some((2, u64::MAX - 1)));
    }

    #[test]
    #[allow(clippy::reversed_empty_ranges)] // That is what is tested.
    fn a_range_without_a_number_is_none() {
        assert_eq!(numbers(3..3), None);
        assert_eq!(numbers(7..3), None);
        assert_eq!(numbers(..0), None);
        assert_eq!(numbers(0..=u64::MAX), None, "more than a message can ask for");
        assert_eq!(numbers((Bound::Excluded(u64::MAX), Bound::Unbounded)), None);
    }

    #[test]
    fn what_one_call_does_has_the_bound_of_one_call() {
        let operation = Operation::Lock;
        assert!(Span::short(operation, &(5..261)).is_ok());
        assert_eq!(Span::short(operation, &(5..262)), Err(Error::invalid(operation)));
        assert!(Span::short(operation, &(512..1024)).is_ok());
        assert!(Span::short(operation, &(5..517)).is_err());
        assert!(Span::long(operation, &(0..RANGE_FRAMES_MAX)).is_ok());
        assert!(Span::long(operation, &(0..=RANGE_FRAMES_MAX)).is_err());
        assert!(Span::any(operation, &..).is_ok());
    }

    #[test]
    fn the_pieces_of_a_range_are_all_of_it() {
        let span = Span::of(&(10..610)).unwrap();
        let mut pieces = Vec::new();
        let mut done = 0;
        while let Some((start, count)) = span.piece(done, CALL_FRAMES_MAX) {
            pieces.push((start.get(), count.get()));
            done += count.get();
        }
        assert_eq!(pieces, [(10, 256), (266, 256), (522, 88)]);
        assert_eq!(Span::of(&(u64::MAX..=u64::MAX)).unwrap().piece(1, CALL_FRAMES_MAX), None);
        let piece = |span: Span| span.piece(0, LARGE_FRAMES).unwrap().1.get();
        let of = |numbers| piece(Span::of(&numbers).unwrap());
        assert_eq!((of(512..2000), of(512..1000), of(511..2000)), (512, 256, 256));
    }

    #[test]
    fn ranges_of_one_length_meet_where_their_starts_are_near() {
        let span = Span::of(&(100..110)).unwrap();
        assert!(span.meets(FrameNumber::new(91)) && span.meets(FrameNumber::new(109)));
        assert!(!span.meets(FrameNumber::new(90)) && !span.meets(FrameNumber::new(110)));
    }
}
