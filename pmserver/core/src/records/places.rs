// SPDX-License-Identifier: BSD-2-Clause
//! Which cells of a page of records, or which slots of a CNode, are taken, and who is charged for
//! it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::kernel::PageIndex;
use crate::records::account::Account;
use crate::records::broken::broken;
use crate::records::cell::{CELLS_PER_PAGE, Ref, record};
use crate::records::links::{Link, Links, chain};

/// Records that a page has room for: its first cell says which of the others are taken.
pub(crate) const RECORDS_PER_PAGE: u32 = CELLS_PER_PAGE - 1;

/// The bit of the first cell.
const FIRST: u64 = 1;

/// The cells of a page of records, whose first one it is in, or the slots of a CNode.
#[repr(C, align(16))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Places {
    kind: u8,
    /// 1 for the cells of a page that were set aside.
    is_aside: u8,
    unused: u16,
    /// The page.
    page: u32,
    /// Who is charged.
    pub(crate) account: Link<Account>,
    padding: u32,
    /// A set bit for every one that is taken, and for the first cell of a page of records.
    words: [u64; 2],
    /// Its place in one of the account's rings of pages.
    of_account: Links<Places>,
    rest: [u64; 3],
}

record!(unnamed Places, Places);

chain!(
    /// The pages of records of an account, those that were set aside, or its CNodes. Those with a
    /// free place come first.
    PagesOfAccount, Places, of_account
);

impl Places {
    /// Returns the places of a page, of which none is taken.
    const fn new(page: PageIndex, account: Link<Account>) -> Self {
        Self {
            kind: 0,
            is_aside: 0,
            unused: 0,
            page: page.get(),
            account,
            padding: 0,
            words: [0; 2],
            of_account: Links::NONE,
            rest: [0; 3],
        }
    }

    /// Returns the cells of a page of records, of which none is taken but the first.
    pub(crate) const fn of_records(page: PageIndex, account: Link<Account>) -> Self {
        Self { words: [FIRST, 0], ..Self::new(page, account) }
    }

    /// Returns the slots of an empty CNode.
    pub(crate) const fn of_node(page: PageIndex, account: Link<Account>) -> Self {
        Self::new(page, account)
    }

    /// Returns the slots of a CNode, all of which are taken.
    pub(crate) const fn of_full_node(page: PageIndex, account: Link<Account>) -> Self {
        Self { words: [u64::MAX; 2], ..Self::new(page, account) }
    }

    /// Returns the page.
    pub(crate) const fn page(&self) -> PageIndex {
        PageIndex::new(self.page)
    }

    /// Returns whether the cells of a page of records were set aside.
    pub(crate) const fn is_aside(&self) -> bool {
        self.is_aside != 0
    }

    /// Says that they were.
    pub(crate) const fn set_aside(&mut self) {
        self.is_aside = 1;
    }

    /// Returns how many cells of a page of records are free.
    pub(crate) fn free_cells(&self) -> u32 {
        let [cells, _] = self.words;
        cells.count_zeros()
    }

    /// Returns whether no cell of a page of records is free.
    pub(crate) const fn is_full(&self) -> bool {
        let [cells, _] = self.words;
        cells == u64::MAX
    }

    /// Returns whether no cell of a page of records is taken.
    pub(crate) const fn is_empty(&self) -> bool {
        let [cells, _] = self.words;
        cells == FIRST
    }

    /// Returns whether no slot of a CNode is free.
    pub(crate) fn is_full_node(&self) -> bool {
        self.words == [u64::MAX; 2]
    }

    /// Takes the first free cell, if there is one, and returns its place.
    #[inline(always)]
    pub(crate) const fn take_cell(&mut self) -> Option<u32> {
        let [cells, _] = &mut self.words;
        let place = cells.trailing_ones();
        *cells |= cells.wrapping_add(1);
        if place < CELLS_PER_PAGE { Some(place) } else { None }
    }

    /// Leaves a cell.
    #[inline(always)]
    pub(crate) const fn leave_cell(&mut self, place: u32) {
        let [cells, _] = &mut self.words;
        *cells &= !(1 << (place % CELLS_PER_PAGE));
    }

    /// Returns the first cell from a place on that is taken.
    pub(crate) fn next_taken(&self, place: u32) -> Option<u32> {
        let [cells, _] = self.words;
        let rest = cells & u64::MAX.checked_shl(place)?;
        (rest != 0).then_some(rest.trailing_zeros())
    }

    /// Returns the first of so many free slots, 1, 8 or 64, at an aligned place.
    pub(crate) fn first_free_row(&self, slots: u32) -> Option<u8> {
        let free = |word: u64| match slots {
            1 => !word,
            u64::BITS => u64::from(word == 0),
            _ => free_octets(word),
        };
        let [low, high] = self.words.map(free);
        let place = match low.trailing_zeros() {
            u64::BITS => u64::BITS.saturating_add(high.trailing_zeros()),
            place => place,
        };
        u8::try_from(place).ok().filter(|_| low | high != 0)
    }

    /// Takes or leaves slots: those of a mask, from one on in whose word they are all. Returns
    /// whether none is taken now.
    #[inline(always)]
    pub(crate) fn set_slots(&mut self, first: u8, mask: u64, are_taken: bool) -> bool {
        let [low, high] = &mut self.words;
        let first = u32::from(first);
        let word = if first < u64::BITS { low } else { high };
        let bits = mask << (first % u64::BITS);
        *word = if are_taken { *word | bits } else { *word & !bits };
        self.words == [0; 2]
    }
}

impl<T> Ref<T> {
    /// Returns the record of the cells of its page.
    pub(crate) fn places(self) -> Ref<Places> {
        match Ref::from_cell(self.cell() & !(CELLS_PER_PAGE - 1)) {
            Some(places) => places,
            None => broken("record in the first page"),
        }
    }
}

/// Returns the first bit of each octet of a word that is 0.
const fn free_octets(word: u64) -> u64 {
    let word = word | word >> 4;
    let word = word | word >> 2;
    let word = word | word >> 1;
    !word & 0x0101_0101_0101_0101
}
