// SPDX-License-Identifier: BSD-2-Clause
//! A virtual frame's record, and that of a run of frames.

use bitflags::bitflags;
use pmserver_api::FrameState;
use proto::limits::{FRAME_MAPPINGS_MAX, LARGE_FRAMES};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, transmute};

use crate::kernel::{BLOCK_PAGES, PageIndex};
use crate::records::cell::{Ref, record};
use crate::records::container::Container;
use crate::records::count::Count;
use crate::records::id::{CLUSTER_ORDER, FrameId, Id, indices, place_in_cluster};
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
        /// A cluster that is opened: its frames have records of their own, which it names in place
        /// of pages.
        const OPEN = 1 << 7;
        /// A pin without a deadline is on it: it does not become an extra frame.
        const KEPT = 1 << 8;
    }
}

/// The order of a large frame: it has `2^9` pages.
pub(crate) const LARGE_ORDER: u8 = 9;

/// The order of a run that can be bound as a whole.
pub(crate) const RUN_ORDER: u8 = 6;

/// The pages of such a run.
pub(crate) const RUN_PAGES: u16 = 1 << RUN_ORDER;

/// The pages of a large frame.
pub(crate) const LARGE_PAGES: u16 = 1 << LARGE_ORDER;

#[allow(clippy::as_conversions)] // Of constants.
const _: () =
    assert!(LARGE_PAGES as u64 == LARGE_FRAMES && LARGE_PAGES as u32 == BLOCK_PAGES, "one size");

/// A virtual frame, or several at aligned numbers in one record:
///
/// - A *cluster*: eight frames, each with memory of its own or without.
/// - A *run* of 64 or 512 that nothing has happened to since they were allocated: no memory, no
///   mapping, no sharer (`store/runs.rs`).
/// - A run of 64 that is bound to 64 pages as a whole: a *bound run* (`frames/bound_runs.rs`).
/// - A run of 512 that is bound to a block as a whole: a *large frame* (`frames/large.rs`).
#[repr(C, align(16))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Frame {
    kind: u8,
    /// 0, 3, 6 or 9.
    order: u8,
    marks: u16,
    /// How many records of mappings it has.
    pub(crate) mapping_count: Count<u16>,
    /// A mask of the frames of a cluster that are not in its record: those that were removed, and
    /// of an opened one all.
    gone: u8,
    padding: u8,
    number: u64,
    pub(crate) mappings: Link<Mapping>,
    pub(crate) container: Link<Container>,
    // What is 0 at first stands together at a whole word: compilers clear it inline then.
    /// Its place in one of the account's lists of frames (`store/extra.rs`).
    of_account: Links<Frame>,
    /// The pages that its frames are bound to; 0 for one that has none. A single frame has the
    /// first, and in place of the second the next frame of its ring of really shared ones, and of
    /// the third the opened cluster that it is of. An opened cluster has its frames' records.
    pages: [u32; 8],
}

record!(unnamed Frame, Frame);

chain!(
    /// The frames of an account in one of its lists.
    FramesOfAccount, Frame, of_account
);

impl Frame {
    /// Returns a frame without memory.
    pub(crate) const fn new(container: Link<Container>, number: u64, marks: FrameMarks) -> Self {
        Self {
            kind: 0,
            order: 0,
            marks: marks.bits(),
            mapping_count: Count::ZERO,
            gone: 0,
            padding: 0,
            number,
            container,
            mappings: Link::NONE,
            of_account: Links::NONE,
            pages: [0; 8],
        }
    }

    /// Returns a run.
    pub(crate) const fn new_run(container: Link<Container>, number: u64, order: u8) -> Self {
        Self { order, ..Self::new(container, number, FrameMarks::empty()) }
    }

    /// Returns the eighth part of a run or cluster, by its place in it, without mappings.
    pub(crate) fn part(&self, place: u8) -> Self {
        let order = self.order.saturating_sub(CLUSTER_ORDER);
        let number = self.number.saturating_add(u64::from(place) << order);
        let mut pages = [0; 8];
        if let (true, [first, ..]) = (self.is_cluster(), &mut pages) {
            *first = self.page_link(place);
        }
        Self { number, order, pages, gone: 0, of_account: Links::NONE, ..*self }
    }

    /// Returns a frame of a cluster that is opened, by its place in it, without mappings.
    pub(crate) fn individual(&self, place: u8, cluster: Ref<Self>) -> Self {
        let none = Self { mappings: Link::NONE, mapping_count: Count::ZERO, ..*self };
        let mut frame = none.part(place);
        frame.set_home(cluster);
        frame
    }

    /// Opens a cluster: its frames are in these records from now on.
    pub(crate) const fn open(&mut self, frames: [u32; 8]) {
        self.marks = FrameMarks::OPEN.bits();
        self.gone = u8::MAX;
        self.of_account = Links::NONE;
        self.pages = frames;
    }

    /// Returns whether its frames have records of their own.
    pub(crate) const fn is_open(&self) -> bool {
        self.has(FrameMarks::OPEN)
    }

    /// Returns the record of a frame of an opened cluster.
    pub(crate) fn opened(&self, index: u8) -> Option<Ref<Self>> {
        Ref::from_cell(self.page_link(index))
    }

    /// Says which record a frame of an opened cluster has. Returns whether there is one at all.
    pub(crate) fn set_opened(&mut self, index: u8, frame: Option<Ref<Self>>) -> bool {
        if let Some((_, [place, ..])) = self.pages.split_at_mut_checked(usize::from(index)) {
            *place = frame.map_or(0, Ref::cell);
        }
        self.pages != [0; 8]
    }

    /// Returns the opened cluster that a frame is of.
    pub(crate) const fn home(&self) -> Option<Ref<Self>> {
        let [_, _, home, ..] = self.pages;
        if self.is_run() { None } else { Ref::from_cell(home) }
    }

    /// Returns the name of a frame in the opened cluster that it is of.
    #[inline]
    pub(crate) fn name_in_cluster(&self) -> Option<FrameId> {
        self.home().map(|cluster| Id::new(cluster, place_in_cluster(self.number)))
    }

    /// Returns whether it is a cluster whose frames have more records of mappings than one frame
    /// may have: to do something to all would be too much for one step.
    pub(crate) fn is_crowded(&self) -> bool {
        self.is_cluster() && self.mapping_count.get() > FRAME_MAPPINGS_MAX
    }

    /// Says which opened cluster a single frame is of.
    pub(crate) const fn set_home(&mut self, cluster: Ref<Self>) {
        let [_, _, home, ..] = &mut self.pages;
        *home = cluster.cell();
    }

    /// Removes frames of a cluster. Returns whether none is left.
    pub(crate) const fn remove(&mut self, frames: u8) -> bool {
        self.gone |= frames;
        self.gone == u8::MAX
    }

    /// Returns whether all frames that it covers are in its record.
    pub(crate) const fn is_full(&self) -> bool {
        self.gone == 0
    }

    /// Makes a run's record that of one of its parts.
    pub(crate) fn become_part(&mut self, place: u8) {
        let part = self.part(place);
        *self = Self { of_account: self.of_account, ..part };
    }

    pub(crate) const fn order(&self) -> u8 {
        self.order
    }

    /// Returns whether it stands for more than one frame.
    pub(crate) const fn is_run(&self) -> bool {
        self.order > 0
    }

    pub(crate) const fn is_cluster(&self) -> bool {
        self.order == CLUSTER_ORDER
    }

    /// Returns whether it stands for more than the frames of a cluster.
    pub(crate) const fn is_above_cluster(&self) -> bool {
        self.order > CLUSTER_ORDER
    }

    /// Returns whether nothing has happened to its frames.
    pub(crate) fn is_blank(&self) -> bool {
        // Not by a comparison of arrays, which is a call of `memcmp`; two pages at once.
        let pairs: [u64; 4] = transmute!(self.pages);
        pairs.into_iter().fold(0, |all, pair| all | pair) == 0 && self.mappings.is_none()
    }

    /// Returns the frame with a number that it stands for.
    pub(crate) fn index_of(&self, number: u64) -> u8 {
        let index = number.saturating_sub(self.number);
        if self.is_cluster() { u8::try_from(index).unwrap_or(0) } else { 0 }
    }

    /// Returns the number of one of its frames.
    pub(crate) fn number(&self, index: u8) -> u64 {
        self.number.saturating_add(index.into())
    }

    /// Returns the mask of its frames with numbers of a range.
    pub(crate) fn within(&self, range: Range) -> u8 {
        if !self.is_cluster() {
            return 1;
        }
        if range.covers(self.range()) {
            return self.all();
        }
        let is_in = |index: &u8| range.contains(self.number(*index));
        indices(self.all()).filter(is_in).fold(0, |mask, index| mask | 1 << index)
    }

    /// Returns the mask of its frames, of which one that is not a cluster has one.
    pub(crate) const fn all(&self) -> u8 {
        if self.is_cluster() { !self.gone } else { 1 }
    }

    /// Returns whether it is a large frame: a run with memory.
    pub(crate) const fn is_large(&self) -> bool {
        let [first, ..] = self.pages;
        self.order == LARGE_ORDER && first != 0
    }

    /// Returns whether it is a run of 64 that is bound as a whole.
    pub(crate) const fn is_bound_run(&self) -> bool {
        let [first, ..] = self.pages;
        self.order == RUN_ORDER && first != 0
    }

    /// Returns whether it is bound as a whole: a large frame or a bound run.
    pub(crate) const fn is_whole(&self) -> bool {
        let [first, ..] = self.pages;
        self.is_above_cluster() && first != 0
    }

    /// Returns how many frames it stands for.
    pub(crate) const fn frames(&self) -> u32 {
        // Orders are far below 32: compilers leave out the check then.
        let covered = 1_u32 << (self.order % 32);
        if self.is_full() { covered } else { covered.saturating_sub(self.gone.count_ones()) }
    }

    /// Returns the numbers that it stands for.
    pub(crate) fn range(&self) -> Range {
        Range { first: self.number, last: self.last() }
    }

    /// Returns the page that one of its frames is bound to.
    pub(crate) fn page(&self, index: u8) -> Option<PageIndex> {
        PageIndex::from_link(self.page_link(index))
    }

    fn page_link(&self, index: u8) -> u32 {
        self.pages.get(usize::from(index)).copied().unwrap_or(0)
    }

    /// Says to which page one of its frames is bound.
    pub(crate) fn set_page(&mut self, index: u8, page: Option<PageIndex>) {
        if let Some((_, [place, ..])) = self.pages.split_at_mut_checked(usize::from(index)) {
            *place = page.map_or(0, PageIndex::get);
        }
    }

    /// Returns the next frame of its ring; none if it is not really shared.
    pub(crate) const fn next_shared(&self) -> Link<Self> {
        let [_, next, ..] = self.pages;
        if self.is_run() { Link::NONE } else { Link::from_raw(next) }
    }

    /// Says which frame is the next of the ring of a single frame.
    pub(crate) const fn set_next_shared(&mut self, frame: Link<Self>) {
        let [_, next, ..] = &mut self.pages;
        *next = frame.raw();
    }

    pub(crate) const fn has(&self, marks: FrameMarks) -> bool {
        FrameMarks::from_bits_truncate(self.marks).contains(marks)
    }

    pub(crate) fn set(&mut self, marks: FrameMarks, value: bool) {
        let mut now = FrameMarks::from_bits_truncate(self.marks);
        now.set(marks, value);
        self.marks = now.bits();
    }

    /// Returns whether it is there for good.
    pub(crate) const fn is_settled(&self) -> bool {
        !self.has(FrameMarks::TENTATIVE)
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

    /// Returns the part of the state of one of its frames that the record alone determines.
    pub(crate) fn state(&self, index: u8) -> FrameState {
        let mut state = FrameState::PRESENT;
        state.set(FrameState::BOUND, self.page(index).is_some());
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
        self.number | (1_u64 << self.order).saturating_sub(1)
    }
}
