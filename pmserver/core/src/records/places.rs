// SPDX-License-Identifier: BSD-2-Clause
//! Which cells of a page of records, or which slots of a CNode, are taken, and who is charged for
//! it.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::kernel::{CNODE_SLOTS, PageIndex};
use crate::records::account::Account;
use crate::records::broken::broken;
use crate::records::cell::{CELLS_PER_PAGE, Ref, record};
use crate::records::count::{minus, plus};
use crate::records::links::{Link, Links, chain};

/// Records that a page has room for: its first cell says which of the others are taken.
pub(crate) const RECORDS_PER_PAGE: u32 = CELLS_PER_PAGE - 1;

/// The cells of a page of records, whose first one it is in, or the slots of a CNode.
#[repr(C, align(16))]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Places {
    kind: u8,
    /// 1 for the cells of a page that were set aside.
    is_aside: u8,
    /// How many are taken.
    taken: u16,
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
            taken: 0,
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
        Self { words: [1, 0], ..Self::new(page, account) }
    }

    /// Returns the slots of an empty CNode.
    pub(crate) const fn of_node(page: PageIndex, account: Link<Account>) -> Self {
        Self::new(page, account)
    }

    /// Returns the slots of a CNode, all of which are taken.
    pub(crate) const fn of_full_node(page: PageIndex, account: Link<Account>) -> Self {
        Self { words: [u64::MAX; 2], taken: 128, ..Self::new(page, account) }
    }

    /// Returns the page.
    pub(crate) const fn page(&self) -> PageIndex {
        PageIndex::new(self.page)
    }

    /// Returns how many cells or slots are taken.
    pub(crate) const fn taken(&self) -> u16 {
        self.taken
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
        RECORDS_PER_PAGE.saturating_sub(self.taken.into())
    }

    /// Returns whether no slot of a CNode is free.
    pub(crate) fn is_full_node(&self) -> bool {
        usize::from(self.taken) == CNODE_SLOTS
    }

    /// Returns the first cell that is free, if there is one.
    pub(crate) const fn first_free(&self) -> u32 {
        let [cells, _] = self.words;
        cells.trailing_ones()
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

    /// Takes or leaves cells or slots: those of a mask, from a place on whose word they are all in.
    /// Returns how many are taken now.
    #[inline(always)]
    pub(crate) fn set(&mut self, place: u32, mask: u64, is_taken: bool) -> u16 {
        let [low, high] = &mut self.words;
        let word = if place < u64::BITS { low } else { high };
        let bits = mask << (place % u64::BITS);
        let count = u16::try_from(mask.count_ones()).unwrap_or(0);
        if is_taken {
            *word |= bits;
            self.taken = plus(self.taken, count);
        } else {
            *word &= !bits;
            self.taken = minus(self.taken, count);
        }
        self.taken
    }
}

impl<T> Ref<T> {
    /// Returns the record of the cells of its page.
    pub(crate) fn places(self) -> Ref<Places> {
        let (page, _) = self.place();
        Ref::at(page, 0).unwrap_or_else(|| broken("record in the first page"))
    }
}

/// Returns the first bit of each octet of a word that is 0.
const fn free_octets(word: u64) -> u64 {
    let word = word | word >> 4;
    let word = word | word >> 2;
    let word = word | word >> 1;
    !word & 0x0101_0101_0101_0101
}
