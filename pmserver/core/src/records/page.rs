// SPDX-License-Identifier: BSD-2-Clause
//! The frame table: one entry for every page of the pool.
//!
//! Its size follows from the size of the pool. It occupies the first pages of the pool and is
//! accessed through the pool window, like all records. An entry holds the use of its page and its
//! owner, and links the page into the list of pages with that use.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::kernel::{BLOCK_PAGES, PIECE_PAGES, PageIndex};
use crate::records::count::{minus, plus};
use crate::records::id::{FrameId, MappingId};
use crate::records::lease::Lease;
use crate::records::links::Link;
use crate::records::places::Places;

/// What a page is used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum PageUse {
    /// A page of a block that is whole or a large frame, or of a free piece, but not its first one.
    /// What nothing was written to is one.
    InBlock = 0,
    /// A free frame that is all zero.
    Clean = 1,
    /// A free frame that still holds old contents.
    Dirty = 2,
    /// Bound to a virtual frame.
    Frame = 3,
    /// A page table in a peer's VSpace.
    Table = 4,
    /// A CNode with slots for derived capabilities.
    Slots = 5,
    /// Records.
    Records = 6,
    /// The frame table, the page tables of the pool window, the page of zeros; never changes.
    Reserved = 7,
    /// A device may still write to it: not reused until its pin is released.
    Quarantine = 8,
    /// A free CNode, with nothing in its slots.
    EmptyNode = 9,
    /// The first page of a block that is free and whole.
    Block = 10,
    /// The first page of a free large frame, which still holds old contents.
    LargeDirty = 11,
    /// The first page of a large frame that a virtual frame is bound to.
    Large = 12,
    /// Untyped and free.
    Untyped = 13,
    /// A frame that a page of a large frame was copied to, before virtual frames are bound to it.
    Copied = 14,
    /// The first page of a run that is bound as a whole.
    Run = 15,
    /// One of the other pages of such a run.
    InRun = 16,
    /// The first page of a piece that is free and whole.
    Piece = 17,
    /// The first page of a free piece that is frames, which still hold old contents.
    PieceDirty = 18,
    /// A free frame of a piece of which others are in use one by one; it still holds old contents.
    PartDirty = 19,
    /// The same, but all zero.
    PartClean = 20,
    /// The first page of a large frame that is in quarantine.
    LargeQuarantine = 21,
}

impl PageUse {
    #[allow(clippy::as_conversions)] // The discriminant of a fieldless enum has no other accessor.
    const fn number(self) -> u8 {
        self as u8
    }
}

/// The bit of `previous` that marks a copy that virtual frames are being moved to.
const JOINED: u32 = 1 << 31;

/// The bit of `marks` of the pages of a piece that is frames. The others count, in the entry of its
/// first page, how many of them are in use one by one.
const OF_PIECE: u8 = 1 << 7;

/// Bytes of one entry.
pub(crate) const ENTRY_BYTES: usize = 32;

/// Entries in a page.
pub(crate) const ENTRIES_PER_PAGE: u32 = 128;

/// Holders that the entry of a page names.
pub(crate) const PAGE_NAMES: u8 = 4;

/// One page of the pool.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct PageEntry {
    /// A `PageUse`.
    used_as: u8,
    /// For pieces.
    marks: u8,
    /// `Frame`, `Large`: how many pins it is
    /// under.
    pub(crate) taken: u16,
    /// The next page in the list. `Frame`, `Run`: the mapping that has the original capability.
    pub(crate) next: u32,
    /// The previous page in the list. `Copied`, `Frame`: the copy of the page before, while a large
    /// frame is being split. `Run`, `InRun`: the next page of the run, of the last one the first.
    pub(crate) previous: u32,
    /// `Slots`: the record of its slots. `Frame`, `Run`, `Large`: the first holder. `Quarantine`,
    /// `LargeQuarantine`: a pin.
    owner: u32,
    /// `Frame`, `Run`, `Large`:
    /// the other holders, two in a word, and in the last half how many there are, references
    /// included.
    words: [u64; 2],
}

const _: () = assert!(size_of::<PageEntry>() == ENTRY_BYTES);

impl PageEntry {
    /// Returns the entry of a page with this use and no other property.
    pub(crate) const fn new(used_as: PageUse) -> Self {
        // By words, as compilers clear all but the first byte by a call otherwise.
        zerocopy::transmute!([u64::from_le_bytes([used_as.number(), 0, 0, 0, 0, 0, 0, 0]), 0, 0, 0])
    }

    /// Returns the entry of the same page with another use and no other property but that it is of
    /// a piece.
    pub(crate) fn reused_as(&self, used_as: PageUse) -> Self {
        let marks = if self.is_of_piece() { self.marks } else { 0 };
        Self { marks, ..Self::new(used_as) }
    }

    /// Returns whether it is a frame of a piece, which cannot become anything else alone.
    pub(crate) const fn is_of_piece(&self) -> bool {
        self.marks & OF_PIECE != 0
    }

    /// Says that it is a frame of a piece; if it is the first, how many are in use one by one.
    pub(crate) const fn set_of_piece(&mut self, used: u8) {
        self.marks = OF_PIECE | used;
    }

    /// Says that it is in no piece.
    pub(crate) const fn leave_piece(&mut self) {
        self.marks = 0;
    }

    /// Returns how many frames of the piece that it is the first page of are in use one by one.
    pub(crate) const fn used_of_piece(&self) -> u8 {
        self.marks & !OF_PIECE
    }

    /// `Frame`, `Run`: returns the mapping that has the original capability.
    pub(crate) const fn original_user(&self) -> Option<MappingId> {
        MappingId::from_raw(self.next)
    }

    /// `Frame`, `Run`: says which mapping has the original capability.
    pub(crate) fn set_original_user(&mut self, mapping: Option<MappingId>) {
        self.next = mapping.map_or(0, MappingId::raw);
    }

    /// `Slots`: returns the record of its slots.
    pub(crate) const fn places(&self) -> Link<Places> {
        Link::from_raw(self.owner)
    }

    /// `Slots`: says which is the record of its slots.
    pub(crate) const fn set_places(&mut self, places: Link<Places>) {
        self.owner = places.raw();
    }

    /// `Quarantine`, `LargeQuarantine`: says which pin it is kept for.
    pub(crate) const fn set_pin(&mut self, lease: Link<Lease>) {
        self.owner = lease.raw();
    }

    /// `Frame`, `Run`, `Large`: returns one of the places for holders.
    pub(crate) fn holder(&self, place: u8) -> Option<FrameId> {
        let Some(other) = place.checked_sub(1) else { return FrameId::from_raw(self.owner) };
        let word = self.words.get(usize::from(other / 2))?;
        FrameId::from_raw(u32::try_from(word >> half(other) & u64::from(u32::MAX)).ok()?)
    }

    /// `Frame`, `Run`, `Large`: fills or empties one of the places for holders.
    pub(crate) fn set_holder(&mut self, place: u8, holder: Option<FrameId>) {
        let raw = holder.map_or(0, FrameId::raw);
        let Some(other) = place.checked_sub(1) else {
            self.owner = raw;
            return;
        };
        let [first, second] = &mut self.words;
        let word = if other < 2 { first } else { second };
        *word &= !(u64::from(u32::MAX) << half(other));
        *word |= u64::from(raw) << half(other);
    }

    /// `Frame`, `Run`, `Large`: returns how many holders it has, and references.
    #[allow(clippy::as_conversions)] // Of the upper half.
    pub(crate) const fn holders(&self) -> u32 {
        let [_, last] = self.words;
        (last >> u32::BITS) as u32
    }

    fn set_holders(&mut self, count: u32) {
        let [_, last] = &mut self.words;
        *last = *last & u64::from(u32::MAX) | u64::from(count) << u32::BITS;
    }

    /// `Frame`, `Run`, `Large`: counts one more holder or reference.
    pub(crate) fn add_reference(&mut self) {
        self.set_holders(plus(self.holders(), 1));
    }

    /// `Frame`, `Run`, `Large`: counts one less; returns how many are left.
    pub(crate) fn remove_reference(&mut self) -> u32 {
        let left = minus(self.holders(), 1);
        self.set_holders(left);
        left
    }

    /// `Frame`, `Large`: returns whether a pin keeps it where it is.
    pub(crate) const fn is_pinned(&self) -> bool {
        self.taken > 0
    }

    /// `Copied`, `Frame`: returns the copy of the page before, while a large frame is being split.
    pub(crate) fn copy_before(&self) -> Option<PageIndex> {
        PageIndex::from_link(self.previous & !JOINED)
    }

    /// `Copied`: says which is the copy of the page before; 0 for none.
    pub(crate) const fn set_copy_before(&mut self, page: u32) {
        self.previous = page;
    }

    /// `Copied`: makes it a frame that the splitting of the large frame has a reference to.
    pub(crate) fn become_frame(&mut self) {
        self.used_as = PageUse::Frame.number();
        self.previous |= JOINED;
        self.add_reference();
    }

    /// `Frame`: returns whether the splitting of a large frame has a reference to it.
    pub(crate) const fn is_joined(&self) -> bool {
        self.previous & JOINED != 0
    }

    /// `Frame`: ends that; returns how many holders are left.
    pub(crate) fn end_joining(&mut self) -> u32 {
        self.previous = 0;
        self.remove_reference()
    }

    /// `Run`, `InRun`: returns the next page of the run.
    pub(crate) const fn next_in_run(&self) -> PageIndex {
        PageIndex::new(self.previous)
    }

    /// `Run`, `InRun`: says which is the next page of the run.
    pub(crate) const fn set_next_in_run(&mut self, page: PageIndex) {
        self.previous = page.get();
    }

    /// Returns whether it is a page of a run that is bound as a whole.
    pub(crate) const fn is_of_run(&self) -> bool {
        self.is(PageUse::Run) || self.is(PageUse::InRun)
    }

    /// Returns for how many pages it speaks: for all of a block that is whole or a large frame, or
    /// of a free piece, if it is that of the first page, and for none if it is that of another.
    pub(crate) fn pages(&self) -> u32 {
        const FIRST: [PageUse; 4] =
            [PageUse::Block, PageUse::LargeDirty, PageUse::Large, PageUse::LargeQuarantine];
        if self.is_one_of(&FIRST) {
            BLOCK_PAGES
        } else if self.is_one_of(&[PageUse::Piece, PageUse::PieceDirty]) {
            PIECE_PAGES
        } else {
            u32::from(!self.is(PageUse::InBlock))
        }
    }

    /// Returns whether the page is used as one of these.
    pub(crate) fn is_one_of(&self, uses: &[PageUse]) -> bool {
        uses.iter().any(|used| self.is(*used))
    }

    /// Returns whether the page is used as this.
    pub(crate) const fn is(&self, used_as: PageUse) -> bool {
        self.used_as == used_as.number()
    }
}

/// Returns the shift of a half of a word.
const fn half(index: u8) -> u32 {
    if index.is_multiple_of(2) { 0 } else { u32::BITS }
}
