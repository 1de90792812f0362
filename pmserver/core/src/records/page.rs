// SPDX-License-Identifier: BSD-2-Clause
//! The frame table: one entry for every page of the pool.
//!
//! Its size follows from the size of the pool. It occupies the first pages of the pool and is
//! accessed through the pool window, like all records. An entry is 16 bytes: what its page is used
//! as, and what there is to know about a page with that use. Whose cells or slots a page has stands
//! in records (`records/places.rs`).

use proto::limits::MOVE_HOLDERS_MAX;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::kernel::{BLOCK_PAGES, PIECE_PAGES, PageIndex};
use crate::records::count::{minus, plus};
use crate::records::id::FrameId;
use crate::records::lease::Lease;
use crate::records::links::Link;
use crate::records::places::Places;

/// What a page is used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
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
    const fn number(self) -> u32 {
        self as u32
    }
}

const _: () = assert!(PageUse::LargeQuarantine.number() <= USED_AS.most);

/// Bytes of one entry.
pub(crate) const ENTRY_BYTES: usize = 16;

/// Bytes of the frame table for each page: an entry, and a fourth holder behind all of them.
#[allow(clippy::as_conversions)] // A small number.
pub(crate) const BYTES_PER_PAGE: u32 = ENTRY_BYTES as u32 + 4;

/// Holders of a page of 4 KiB that are named: three in its entry, and one in the table behind.
pub(crate) const PAGE_NAMES: u8 = 4;

/// Holders that the entries of the pages of a bound run name.
pub(crate) const RUN_HOLDERS_MAX: u8 = 4;

/// The most holders of a page of 4 KiB: its entry counts them, and a few references.
pub(crate) const HOLDERS_MAX: u32 = COUNT.most - 8;

#[allow(clippy::as_conversions)] // To a wider type.
const _: () = assert!(PAGE_NAMES as u32 == MOVE_HOLDERS_MAX);

/// One page of the pool: what it is used as, whether it is a frame of a piece, and what there is to
/// know about such a page.
///
/// ```text
///                  names[0], names[2]        names[1]
///   Frame          holders                   holder
///   Run, InRun     holders of the run        next page of the run
///   Large, InBlock holders of the block      copy of this page
///   Copied         -                         copy of the page before, of a run
///   Slots          record of the slots       -
///   free           previous page             next page
///   quarantine     pin                       next page
/// ```
#[repr(C, align(8))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct PageEntry {
    /// Fields.
    head: u32,
    names: [u32; 3],
}

const _: () = assert!(size_of::<PageEntry>() == ENTRY_BYTES);

/// Some of the bits of an entry.
#[derive(Clone, Copy)]
struct Field {
    shift: u32,
    /// The highest value.
    most: u32,
}

const USED_AS: Field = Field { shift: 0, most: 31 };

/// The page is a frame of a piece.
const OF_PIECE: Field = Field { shift: 5, most: 1 };

/// How many frames on the page are under a pin.
const PINS: Field = Field { shift: 6, most: 15 };

/// A mapping uses the original capability.
const ORIGINAL: Field = Field { shift: 10, most: 1 };

/// The splitting of a large frame has a reference.
const JOINED: Field = Field { shift: 11, most: 1 };

/// Holders and references.
const COUNT: Field = Field { shift: 12, most: (1 << 20) - 1 };

impl PageEntry {
    /// Returns the entry of a page with this use and no other property.
    pub(crate) const fn new(used_as: PageUse) -> Self {
        Self { head: used_as.number(), names: [0; 3] }
    }

    /// Returns the entry of the same page with another use and no other property but that it is of
    /// a piece.
    pub(crate) const fn reused_as(&self, used_as: PageUse) -> Self {
        let mut entry = Self::new(used_as);
        entry.set(OF_PIECE, self.get(OF_PIECE));
        entry
    }

    const fn get(&self, field: Field) -> u32 {
        self.head >> field.shift & field.most
    }

    /// Fills a field; what does not fit is lost.
    const fn set(&mut self, field: Field, value: u32) {
        let others = self.head & !(field.most << field.shift);
        self.head = others | (value & field.most) << field.shift;
    }

    /// Returns whether it is a frame of a piece, which cannot become anything else alone.
    pub(crate) const fn is_of_piece(&self) -> bool {
        self.get(OF_PIECE) != 0
    }

    /// Says whether it is one.
    pub(crate) fn set_of_piece(&mut self, is_of_piece: bool) {
        self.set(OF_PIECE, is_of_piece.into());
    }

    /// Free, quarantine: returns the next page in the list. `Run`, `InRun`: the next one of the
    /// run, of the last one the first. 0 for none.
    pub(crate) const fn next(&self) -> u32 {
        let [_, next, _] = self.names;
        next
    }

    /// Says which is the next page.
    pub(crate) const fn set_next(&mut self, page: u32) {
        let [_, next, _] = &mut self.names;
        *next = page;
    }

    /// `Run`, `InRun`: returns the next page of the run.
    pub(crate) const fn next_in_run(&self) -> PageIndex {
        PageIndex::new(self.next())
    }

    /// Free: returns the previous page in the list; 0 for none.
    pub(crate) const fn previous(&self) -> u32 {
        let [previous, ..] = self.names;
        previous
    }

    /// Free: says which is the previous page.
    pub(crate) const fn set_previous(&mut self, page: u32) {
        let [previous, ..] = &mut self.names;
        *previous = page;
    }

    /// `Large`, `InBlock`: returns the copy of this page, if it was copied, while the large frame
    /// is being split. `Copied`, of a page of a run: the copy of the page before.
    pub(crate) fn copy(&self) -> Option<PageIndex> {
        PageIndex::from_link(self.next())
    }

    /// Says which copy that is.
    pub(crate) const fn set_copy(&mut self, page: u32) {
        self.set_next(page);
    }

    /// `Frame`, `Run`, `Large`: returns whether a mapping has the original capability.
    pub(crate) const fn is_original_used(&self) -> bool {
        self.get(ORIGINAL) != 0
    }

    /// `Frame`, `Run`, `Large`: says whether a mapping has the original capability.
    pub(crate) fn set_original_used(&mut self, is_used: bool) {
        self.set(ORIGINAL, is_used.into());
    }

    /// `Slots`: returns the record of its slots.
    pub(crate) const fn places(&self) -> Link<Places> {
        let [places, ..] = self.names;
        Link::from_raw(places)
    }

    /// `Slots`: says which is the record of its slots.
    pub(crate) const fn set_places(&mut self, places: Link<Places>) {
        let [name, ..] = &mut self.names;
        *name = places.raw();
    }

    /// `Quarantine`, `LargeQuarantine`: says which pin it is kept for.
    pub(crate) const fn set_pin(&mut self, lease: Link<Lease>) {
        let [pin, ..] = &mut self.names;
        *pin = lease.raw();
    }

    /// `Frame`, `Run`, `InRun`, `Large`, `InBlock`: returns the holders that it names.
    pub(crate) fn named(&self) -> impl Iterator<Item = FrameId> {
        let [first, second, third] = self.names;
        let second = if self.is(PageUse::Frame) { second } else { 0 };
        [first, second, third].into_iter().filter_map(FrameId::from_raw)
    }

    /// The same: returns the place that names a holder, or a free one.
    #[inline(always)]
    pub(crate) fn place_of(&self, holder: Option<FrameId>) -> Option<usize> {
        let wanted = holder.map_or(0, FrameId::raw);
        let [first, second, third] = self.names;
        if first == wanted {
            Some(0)
        } else if third == wanted {
            Some(2)
        } else {
            (second == wanted && self.is(PageUse::Frame)).then_some(1)
        }
    }

    /// The same: fills or empties a place.
    #[inline(always)]
    pub(crate) fn set_holder(&mut self, place: usize, holder: Option<FrameId>) {
        let [first, second, third] = &mut self.names;
        let name = match place {
            0 => first,
            1 => second,
            _ => third,
        };
        *name = holder.map_or(0, FrameId::raw);
    }

    /// `Frame`: returns whether it names no holder.
    pub(crate) fn names_nobody(&self) -> bool {
        self.names == [0; 3]
    }

    /// `Frame`, `Run`, `Large`: returns how many holders it has, and references.
    pub(crate) const fn holders(&self) -> u32 {
        self.get(COUNT)
    }

    /// `Frame`, `Run`, `Large`: counts one more holder or reference.
    pub(crate) fn add_reference(&mut self) {
        // Nothing is above this field.
        self.head = plus(self.head, 1 << COUNT.shift);
    }

    /// `Frame`, `Run`, `Large`: counts one less; returns how many are left.
    pub(crate) fn remove_reference(&mut self) -> u32 {
        self.head = minus(self.head, 1 << COUNT.shift);
        self.holders()
    }

    /// `Frame`, `Large`: returns how many frames on it are under a pin.
    pub(crate) const fn pins(&self) -> u32 {
        self.get(PINS)
    }

    /// Returns whether a pin keeps it where it is.
    pub(crate) const fn is_pinned(&self) -> bool {
        self.pins() > 0
    }

    /// `Frame`, `Large`: says how many frames on it are under a pin.
    pub(crate) const fn set_pins(&mut self, pins: u32) {
        self.set(PINS, pins);
    }

    /// `Copied`: makes it a frame that the splitting of the large frame has a reference to.
    pub(crate) fn become_frame(&mut self) {
        *self = Self::new(PageUse::Frame);
        self.set(JOINED, 1);
        self.add_reference();
    }

    /// `Frame`: returns whether the splitting of a large frame has a reference to it.
    pub(crate) const fn is_joined(&self) -> bool {
        self.get(JOINED) != 0
    }

    /// `Frame`: ends that; returns how many holders are left.
    pub(crate) fn end_joining(&mut self) -> u32 {
        self.set(JOINED, 0);
        self.remove_reference()
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
        self.get(USED_AS) == used_as.number()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn what_is_known_of_a_frame_does_not_mix() {
        let mut entry = PageEntry::new(PageUse::Frame);
        entry.set_of_piece(true);
        entry.set_pins(8);
        (1..COUNT.most).for_each(|_| entry.add_reference());
        assert!(entry.is(PageUse::Frame) && entry.is_of_piece());
        assert!(!entry.is_original_used() && !entry.is_joined());
        assert_eq!((entry.pins(), entry.holders()), (8, COUNT.most - 1));
        entry.set_original_used(true);
        entry.set_pins(0);
        assert!(entry.is_original_used() && !entry.is_joined() && !entry.is_pinned());
        assert_eq!(entry.remove_reference(), COUNT.most - 2);
        assert!(entry.is(PageUse::Frame) && entry.is_of_piece());
    }

    #[test]
    #[should_panic(expected = "count above its type")]
    fn holders_that_cannot_be_counted_stop_the_server() {
        let mut entry = PageEntry::new(PageUse::Frame);
        (0..=COUNT.most).for_each(|_| entry.add_reference());
    }
}
