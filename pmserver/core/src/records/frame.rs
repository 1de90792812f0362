// SPDX-License-Identifier: BSD-2-Clause
//! A virtual frame's record, and that of a run of frames.

use bitflags::bitflags;
use pmserver_api::FrameState;
use proto::limits::LARGE_FRAMES;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::kernel::{BLOCK_PAGES, PageIndex};
use crate::records::cell::{Stamp, record};
use crate::records::container::Container;
use crate::records::count::Count;
use crate::records::leaf::Leaf;
use crate::records::links::{Link, Links, chain};
use crate::records::mapping::Mapping;
use crate::records::range::Range;

bitflags! {
    /// Properties of a virtual frame.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub(crate) struct FrameMarks: u16 {
        /// The call that allocates it may still fail.
        const TENTATIVE = 1 << 0;
        /// It is charged above the limit.
        const EXTRA = 1 << 1;
        /// Its owner allows it to be discarded under memory pressure.
        const DISCARDABLE = 1 << 2;
        /// It was dropped under memory pressure. The record remains only to report that.
        const DISCARDED = 1 << 3;
        /// A pin on it expired, and its contents were copied to another page.
        const TAKEN_OVER = 1 << 4;
        /// It was allocated contiguously: it stays on its page.
        const CONTIGUOUS = 1 << 5;
        /// It is not charged: it will get the charge of the frame that is moved to it, or has given
        /// its own charge to one.
        const UNCHARGED = 1 << 6;
    }
}

/// The order of a large frame: it has `2^9` pages.
pub(crate) const LARGE_ORDER: u8 = 9;

/// The pages of a large frame.
pub(crate) const LARGE_PAGES: u16 = 1 << LARGE_ORDER;

#[allow(clippy::as_conversions)] // Of constants.
const _: () =
    assert!(LARGE_PAGES as u64 == LARGE_FRAMES && LARGE_PAGES as u32 == BLOCK_PAGES, "one size");

/// A virtual frame, or a *run*: `2^order` frames at aligned numbers that nothing has happened to
/// since they were allocated. They have no memory, no mapping and no sharer (`store/runs.rs`). A
/// run of order 9 may be bound to a block as a whole: then it is a *large frame*
/// (`frames/large.rs`).
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Frame {
    stamp: Stamp,
    number: u64,
    pub(crate) container: Link<Container>,
    /// The page that it is bound to; 0 while it has none.
    pub(crate) page: u32,
    /// The other frames that are bound to the page.
    of_page: Links<Frame>,
    /// The next frame of its ring of really shared frames; 0 if it is not shared.
    pub(crate) next_shared: Link<Frame>,
    pub(crate) mappings: Link<Mapping>,
    /// Its place in one of the account's lists of frames (`store/extra.rs`).
    of_account: Links<Frame>,
    pub(crate) mapping_count: Count<u16>,
    marks: u16,
    /// 0, or for a run 9, 6 or 3.
    order: u8,
    padding: [u8; 11],
}

record!(Frame, Frame);

chain!(
    /// The frames of an account in one of its lists.
    FramesOfAccount, Frame, of_account
);

chain!(
    /// The frames that are bound to a page.
    FramesOfPage, Frame, of_page
);

impl Frame {
    /// Returns a tentative frame without memory.
    pub(crate) const fn new(container: Link<Container>, number: u64) -> Self {
        Self {
            stamp: Stamp::UNSET,
            number,
            container,
            page: 0,
            of_page: Links::NONE,
            next_shared: Link::NONE,
            mappings: Link::NONE,
            of_account: Links::NONE,
            mapping_count: Count::ZERO,
            marks: FrameMarks::TENTATIVE.bits(),
            order: 0,
            padding: [0; 11],
        }
    }

    /// Returns a tentative run.
    pub(crate) const fn new_run(container: Link<Container>, number: u64, order: u8) -> Self {
        Self { order, ..Self::new(container, number) }
    }

    /// Returns the eighth part of a run, by its place in it.
    pub(crate) fn part(&self, place: u64) -> Self {
        let order = self.order.saturating_sub(3);
        let number = self.number.saturating_add(place << order);
        Self { number, order, stamp: Stamp::UNSET, of_account: Links::NONE, ..*self }
    }

    /// Makes a run's record that of one of its parts.
    pub(crate) fn become_part(&mut self, place: u64) {
        let part = self.part(place);
        self.number = part.number;
        self.order = part.order;
    }

    pub(crate) const fn order(&self) -> u8 {
        self.order
    }

    pub(crate) const fn is_run(&self) -> bool {
        self.order > 0
    }

    /// Returns whether it stands for as many frames as are in a large one, and has memory or not.
    pub(crate) const fn is_large_range(&self) -> bool {
        self.order == LARGE_ORDER
    }

    /// Returns whether it is a large frame: a run with memory.
    pub(crate) const fn is_large(&self) -> bool {
        self.order == LARGE_ORDER && self.page != 0
    }

    /// Returns how many frames it stands for.
    pub(crate) const fn frames(&self) -> u32 {
        1 << self.order
    }

    /// Returns the numbers that it stands for.
    pub(crate) fn range(&self) -> Range {
        Range { first: self.number, last: self.last() }
    }

    pub(crate) fn page(&self) -> Option<PageIndex> {
        PageIndex::from_link(self.page)
    }

    pub(crate) const fn has(&self, marks: FrameMarks) -> bool {
        FrameMarks::from_bits_truncate(self.marks).contains(marks)
    }

    pub(crate) fn set(&mut self, marks: FrameMarks, value: bool) {
        let mut now = FrameMarks::from_bits_truncate(self.marks);
        now.set(marks, value);
        self.marks = now.bits();
    }

    /// Returns whether only the report of a dropped frame is left. A call that allocates the number
    /// again makes it a frame at once.
    pub(crate) const fn is_discarded(&self) -> bool {
        self.has(FrameMarks::DISCARDED) && !self.has(FrameMarks::TENTATIVE)
    }

    /// Turns it into the report of a dropped frame.
    pub(crate) const fn discard(&mut self) {
        self.marks = FrameMarks::DISCARDED.bits();
    }

    /// Returns the part of the state that the record alone determines.
    pub(crate) fn state(&self) -> FrameState {
        let mut state = FrameState::PRESENT;
        state.set(FrameState::BOUND, self.page != 0);
        state.set(FrameState::MAPPED, !self.mappings.is_none());
        state.set(FrameState::EXTRA, self.has(FrameMarks::EXTRA));
        state.set(FrameState::DISCARDABLE, self.has(FrameMarks::DISCARDABLE));
        state.set(FrameState::TAKEN_OVER, self.has(FrameMarks::TAKEN_OVER));
        state
    }
}

impl Leaf for Frame {
    fn key(&self) -> u64 {
        self.number
    }

    fn last(&self) -> u64 {
        self.number | u64::from(self.frames()).saturating_sub(1)
    }
}
