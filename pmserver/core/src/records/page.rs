// SPDX-License-Identifier: BSD-2-Clause
//! The frame table: one entry for every page of the pool.
//!
//! Its size follows from the size of the pool. It occupies the first pages of the pool and is
//! accessed through the pool window, like all records. An entry holds the use of its page and its
//! owner, and links the page into the list of pages with that use.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::kernel::{BLOCK_PAGES, PageIndex};
use crate::records::account::Account;
use crate::records::count::{minus, plus};
use crate::records::frame::Frame;
use crate::records::lease::Lease;
use crate::records::links::Link;
use crate::records::mapping::Mapping;

/// What a page is used as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum PageUse {
    /// A page of a block that is whole or a large frame, but not its first one. What nothing was
    /// written to is one.
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
}

impl PageUse {
    #[allow(clippy::as_conversions)] // The discriminant of a fieldless enum has no other accessor.
    const fn number(self) -> u8 {
        self as u8
    }
}

/// Bytes of one entry.
pub(crate) const ENTRY_BYTES: usize = 32;

/// Entries in a page.
pub(crate) const ENTRIES_PER_PAGE: u32 = 128;

/// One page of the pool.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct PageEntry {
    /// A `PageUse`.
    used_as: u8,
    /// `Records`: 1 for a page of cells that were set aside.
    pub(crate) is_aside: u8,
    /// `Records`, `Slots`: how many cells or slots are taken. `Frame`: how many pins it is under.
    pub(crate) taken: u16,
    /// The next page in the list.
    pub(crate) next: u32,
    /// The previous page in the list.
    pub(crate) previous: u32,
    /// `Records`, `Slots`: the account. `Frame`: the first of the virtual frames that are bound to
    /// it. `Quarantine`: the pin.
    owner: u32,
    /// `Records`, `Slots`: a set bit for every cell or slot that is taken.
    pub(crate) bitmap: [u64; 2],
}

const _: () = assert!(size_of::<PageEntry>() == ENTRY_BYTES);

impl PageEntry {
    /// Returns the entry of a page with this use and no other property.
    pub(crate) const fn new(used_as: PageUse) -> Self {
        let used_as = used_as.number();
        Self { used_as, is_aside: 0, taken: 0, next: 0, previous: 0, owner: 0, bitmap: [0; 2] }
    }

    /// `Frame`: returns the mapping that has the original capability; 0 for none.
    pub(crate) const fn original_user(&self) -> Link<Mapping> {
        Link::from_raw(self.next)
    }

    /// `Frame`: says which mapping has the original capability.
    pub(crate) const fn set_original_user(&mut self, mapping: Link<Mapping>) {
        self.next = mapping.raw();
    }

    /// `Records`, `Slots`: returns the account.
    pub(crate) const fn account(&self) -> Link<Account> {
        Link::from_raw(self.owner)
    }

    /// `Records`, `Slots`: says which account it belongs to.
    pub(crate) const fn set_account(&mut self, account: Link<Account>) {
        self.owner = account.raw();
    }

    /// `Frame`: returns the first of the virtual frames that are bound to it.
    pub(crate) const fn first_frame(&self) -> Link<Frame> {
        Link::from_raw(self.owner)
    }

    /// `Frame`: says which is the first of the virtual frames that are bound to it.
    pub(crate) const fn set_first_frame(&mut self, frame: Link<Frame>) {
        self.owner = frame.raw();
    }

    /// `Quarantine`: says which pin it is kept for.
    pub(crate) const fn set_pin(&mut self, lease: Link<Lease>) {
        self.owner = lease.raw();
    }

    /// `Frame`: returns how many virtual frames are bound to it.
    pub(crate) const fn holders(&self) -> u32 {
        self.previous
    }

    /// `Frame`: counts one more virtual frame that is bound to it.
    pub(crate) fn add_holder(&mut self) {
        self.previous = plus(self.previous, 1);
    }

    /// `Frame`: counts one less; returns how many are left.
    pub(crate) fn remove_holder(&mut self) -> u32 {
        self.previous = minus(self.previous, 1);
        self.previous
    }

    /// `Records`, `Slots`: counts one more cell or slot that is taken.
    pub(crate) fn take_place(&mut self) {
        self.taken = plus(self.taken, 1);
    }

    /// `Records`, `Slots`: counts one less; returns how many are left.
    pub(crate) fn leave_place(&mut self) -> u16 {
        self.taken = minus(self.taken, 1);
        self.taken
    }

    /// `Frame`: returns whether a pin keeps it where it is.
    pub(crate) const fn is_pinned(&self) -> bool {
        self.taken > 0
    }

    /// `Copied`, `Frame`: returns the copy of the page before, while a large frame is being split.
    pub(crate) fn copy_before(&self) -> Option<PageIndex> {
        let [before, _] = self.bitmap;
        u32::try_from(before).ok().and_then(PageIndex::from_link)
    }

    /// `Copied`: says which is the copy of the page before; 0 for none.
    pub(crate) fn set_copy_before(&mut self, page: u32) {
        self.bitmap = [page.into(), 0];
    }

    /// `Copied`: makes it a frame that the splitting of the large frame has a reference to.
    pub(crate) fn become_frame(&mut self) {
        self.used_as = PageUse::Frame.number();
        self.add_holder();
    }

    /// Returns for how many pages it speaks: for all of a block that is whole or a large frame if
    /// it is that of the first page, and for none if it is that of another.
    pub(crate) fn pages(&self) -> u32 {
        const FIRST: [PageUse; 3] = [PageUse::Block, PageUse::LargeDirty, PageUse::Large];
        if FIRST.iter().any(|used| self.is(*used)) {
            return BLOCK_PAGES;
        }
        u32::from(!self.is(PageUse::InBlock))
    }

    /// Returns whether the page is used as this.
    pub(crate) const fn is(&self, used_as: PageUse) -> bool {
        self.used_as == used_as.number()
    }
}
