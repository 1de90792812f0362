// SPDX-License-Identifier: BSD-2-Clause
//! Accounts: who pays (protocol R4, R17, R25).
//!
//! A charge is a whole page of one of four kinds, counted in the account and in every account above
//! it; the first that refuses undoes the rest. The topmost account is the pool: its limit is all
//! untyped memory, so what has been charged is always there to be had.

use pmserver_api::{AccountInfo, PmError};
use proto::{ByteCount, PeerId};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::broken;
use crate::frame_table::{PageIndex, PageUse};
use crate::kernel::{CNODE_SLOTS, Kernel, KernelError, ObjectKind, SlotAddress};
use crate::pool::Pool;
use crate::records::{CELLS_PER_PAGE, Record, Ref, Stamp, record};

/// What a page is charged as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charge {
    /// A virtual frame, whether it has memory yet or not.
    Frames,
    /// A page table.
    Tables,
    /// A CNode.
    Slots,
    /// A page of records.
    Records,
}

/// Why a page is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// The account, or one above it, is at its limit.
    Account,
    /// The pool is.
    Pool,
    /// The kernel refused.
    Kernel,
}

impl Shortage {
    /// Returns the error where the account pays for what it asked for.
    pub(crate) const fn as_quota(self) -> PmError {
        match self {
            Self::Account => PmError::QuotaExceeded,
            Self::Pool => PmError::NoMemory,
            Self::Kernel => PmError::Kernel,
        }
    }

    /// Returns the error where the account pays for a mapping (R25).
    pub(crate) const fn as_table_quota(self) -> PmError {
        match self {
            Self::Account => PmError::NoTableQuota,
            other => other.as_quota(),
        }
    }
}

impl From<KernelError> for Shortage {
    fn from(error: KernelError) -> Self {
        match error {
            KernelError::NotEnoughMemory => Self::Pool,
            _ => Self::Kernel,
        }
    }
}

/// An account.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Account {
    stamp: Stamp,
    /// The account above; 0 for the pool.
    pub(crate) parent: u32,
    /// In pages.
    pub(crate) limit: u32,
    frames: u32,
    tables: u32,
    slots: u32,
    records: u32,
    /// Pages of records with a free cell.
    pub(crate) record_pages: u32,
    /// CNodes with a free slot.
    pub(crate) slot_pages: u32,
    /// Its containers.
    pub(crate) containers: u32,
    padding: [u32; 5],
}

record!(Account, Account);

impl Account {
    pub(crate) const fn new(parent: u32, limit: u32) -> Self {
        Self {
            stamp: Stamp::UNSET,
            parent,
            limit,
            frames: 0,
            tables: 0,
            slots: 0,
            records: 0,
            record_pages: 0,
            slot_pages: 0,
            containers: 0,
            padding: [0; 5],
        }
    }

    /// Returns all pages that are charged.
    pub(crate) const fn used(&self) -> u32 {
        self.frames
            .saturating_add(self.tables)
            .saturating_add(self.slots)
            .saturating_add(self.records)
    }

    /// Returns the pages that are charged as one kind.
    pub(crate) const fn charged(&self, kind: Charge) -> u32 {
        match kind {
            Charge::Frames => self.frames,
            Charge::Tables => self.tables,
            Charge::Slots => self.slots,
            Charge::Records => self.records,
        }
    }

    fn counter(&mut self, kind: Charge) -> &mut u32 {
        match kind {
            Charge::Frames => &mut self.frames,
            Charge::Tables => &mut self.tables,
            Charge::Slots => &mut self.slots,
            Charge::Records => &mut self.records,
        }
    }

    pub(crate) fn info(&self, free_is_known: bool) -> AccountInfo {
        let bytes = |pages: u32| ByteCount::from_pages(pages.into());
        let free = if free_is_known { self.limit.saturating_sub(self.used()) } else { 0 };
        AccountInfo {
            limit: bytes(self.limit),
            used: bytes(self.used()),
            frames: bytes(self.frames),
            tables: bytes(self.tables),
            slots: bytes(self.slots),
            records: bytes(self.records),
            extra: bytes(0),
            promised: bytes(0),
            free: bytes(free),
        }
    }
}

impl<K: Kernel> Pool<K> {
    /// Makes the topmost account, which has all memory and pays for pmserver's own.
    pub(crate) fn new_pool_account(&mut self) -> Result<Ref<Account>, Shortage> {
        let total = self.page_count().saturating_add(self.kernel.overhead_pages());
        let page = self.take_record_page(0)?;
        let mut account = Account {
            records: self.reserved().saturating_add(1),
            slots: self.kernel.overhead_pages(),
            record_pages: page.get(),
            ..Account::new(0, total)
        };
        account.set_stamp(Stamp::unnamed(Account::KIND));
        let account = self.fill(page, &account);
        self.entry_mut(page).owner = account.link();
        Ok(account)
    }

    /// Charges one page to an account and all above it, or to none.
    pub(crate) fn charge(&mut self, account: Ref<Account>, kind: Charge) -> Result<(), Shortage> {
        let mut next = Some(account);
        while let Some(payer) = next {
            let record = self.get_mut(payer);
            if record.used() >= record.limit {
                let shortage = if record.parent == 0 { Shortage::Pool } else { Shortage::Account };
                self.refund_below(account, payer, kind);
                return Err(shortage);
            }
            let counter = record.counter(kind);
            *counter = counter.saturating_add(1);
            next = Ref::from_link(record.parent);
        }
        Ok(())
    }

    /// Takes one page off an account and all above it.
    pub(crate) fn refund(&mut self, account: Ref<Account>, kind: Charge) {
        let mut next = Some(account);
        while let Some(payer) = next {
            next = self.refund_one(payer, kind);
        }
    }

    fn refund_below(&mut self, account: Ref<Account>, end: Ref<Account>, kind: Charge) {
        let mut next = Some(account).filter(|payer| *payer != end);
        while let Some(payer) = next {
            next = self.refund_one(payer, kind).filter(|payer| *payer != end);
        }
    }

    fn refund_one(&mut self, payer: Ref<Account>, kind: Charge) -> Option<Ref<Account>> {
        let record = self.get_mut(payer);
        let counter = record.counter(kind);
        assert!(*counter > 0, "refund of what was never charged");
        *counter = counter.saturating_sub(1);
        Ref::from_link(record.parent)
    }

    // --- records ---

    /// Puts a record that no handle names into memory of the account's.
    pub(crate) fn alloc<T: Record>(
        &mut self,
        account: Ref<Account>,
        mut record: T,
    ) -> Result<Ref<T>, Shortage> {
        record.set_stamp(Stamp::unnamed(T::KIND));
        self.put(account, &record)
    }

    /// Puts a record into memory of the account's that the peer who makes it gets a handle for.
    pub(crate) fn alloc_named<T: Record>(
        &mut self,
        account: Ref<Account>,
        maker: PeerId,
        mut record: T,
    ) -> Result<Ref<T>, Shortage> {
        let generation = self.next_generation();
        record.set_stamp(Stamp::named(T::KIND, maker, generation));
        self.put(account, &record)
    }

    fn put<T: Record>(&mut self, account: Ref<Account>, record: &T) -> Result<Ref<T>, Shortage> {
        let page = match PageIndex::from_link(self.get(account).record_pages) {
            Some(page) => page,
            None => self.add_record_page(account)?,
        };
        let record = self.fill(page, record);
        if u32::from(self.entry(page).taken) == CELLS_PER_PAGE {
            let head = self.get(account).record_pages;
            self.get_mut(account).record_pages = self.unlink_page(head, page);
        }
        Ok(record)
    }

    fn add_record_page(&mut self, account: Ref<Account>) -> Result<PageIndex, Shortage> {
        self.charge(account, Charge::Records)?;
        let page = self.take_record_page(account.link()).map_err(|error| {
            self.refund(account, Charge::Records);
            Shortage::from(error)
        })?;
        let head = self.get(account).record_pages;
        self.get_mut(account).record_pages = self.link_page(head, page);
        Ok(page)
    }

    /// Frees a record; the caller has removed every link to it.
    pub(crate) fn free<T: Record>(&mut self, record: Ref<T>) {
        let (page, _) = record.place();
        let owner = self.page_owner(page);
        let was_full = u32::from(self.entry(page).taken) == CELLS_PER_PAGE;
        let left = self.empty(record);
        let head = self.get(owner).record_pages;
        if left == 0 {
            self.get_mut(owner).record_pages = self.unlink_page(head, page);
            self.release_record_page(page);
            self.refund(owner, Charge::Records);
        } else if was_full {
            self.get_mut(owner).record_pages = self.link_page(head, page);
        }
    }

    pub(crate) fn page_owner(&self, page: PageIndex) -> Ref<Account> {
        match Ref::from_link(self.entry(page).owner) {
            Some(owner) => owner,
            None => broken("page without an owner"),
        }
    }

    // --- slots ---

    /// Takes an empty slot of a CNode of the account's.
    pub(crate) fn alloc_slot(&mut self, account: Ref<Account>) -> Result<SlotAddress, Shortage> {
        let node = match PageIndex::from_link(self.get(account).slot_pages) {
            Some(page) => page,
            None => self.add_slot_page(account)?,
        };
        let entry = self.entry_mut(node);
        let [low, high] = entry.bitmap;
        let position = match low.trailing_ones() {
            64 => high.trailing_ones().saturating_add(64),
            position => position,
        };
        let index = u8::try_from(position).unwrap_or(u8::MAX);
        assert!(usize::from(index) < CNODE_SLOTS, "a CNode in the list has a free slot");
        set_bit(&mut entry.bitmap, index, true);
        entry.taken = entry.taken.saturating_add(1);
        if usize::from(entry.taken) == CNODE_SLOTS {
            let head = self.get(account).slot_pages;
            self.get_mut(account).slot_pages = self.unlink_page(head, node);
        }
        Ok(SlotAddress { node, index })
    }

    /// Takes a page as a CNode that the account pays for.
    pub(crate) fn take_node(&mut self, account: Ref<Account>) -> Result<PageIndex, Shortage> {
        self.charge(account, Charge::Slots)?;
        let page = self.take(ObjectKind::CNode, PageUse::Slots).map_err(|error| {
            self.refund(account, Charge::Slots);
            Shortage::from(error)
        })?;
        self.entry_mut(page).owner = account.link();
        Ok(page)
    }

    /// Gives a CNode back.
    pub(crate) fn release_node(&mut self, account: Ref<Account>, node: PageIndex) {
        self.release_object(node);
        self.refund(account, Charge::Slots);
    }

    fn add_slot_page(&mut self, account: Ref<Account>) -> Result<PageIndex, Shortage> {
        let page = self.take_node(account)?;
        let head = self.get(account).slot_pages;
        self.get_mut(account).slot_pages = self.link_page(head, page);
        Ok(page)
    }

    /// Gives back a slot, which is empty.
    pub(crate) fn free_slot(&mut self, slot: SlotAddress) {
        let owner = self.page_owner(slot.node);
        let entry = self.entry_mut(slot.node);
        let was_full = usize::from(entry.taken) == CNODE_SLOTS;
        set_bit(&mut entry.bitmap, slot.index, false);
        entry.taken = entry.taken.saturating_sub(1);
        let left = entry.taken;
        let head = self.get(owner).slot_pages;
        if left == 0 {
            self.get_mut(owner).slot_pages = self.unlink_page(head, slot.node);
            self.release_node(owner, slot.node);
        } else if was_full {
            self.get_mut(owner).slot_pages = self.link_page(head, slot.node);
        }
    }

    // --- lists of an account's pages ---

    /// Puts a page at the head of a list and returns the new head.
    fn link_page(&mut self, head: u32, page: PageIndex) -> u32 {
        if let Some(first) = PageIndex::from_link(head) {
            self.entry_mut(first).previous = page.get();
        }
        let entry = self.entry_mut(page);
        entry.previous = 0;
        entry.next = head;
        page.get()
    }

    /// Takes a page out of a list and returns the new head.
    fn unlink_page(&mut self, head: u32, page: PageIndex) -> u32 {
        let (previous, next) = {
            let entry = self.entry(page);
            (entry.previous, entry.next)
        };
        if let Some(after) = PageIndex::from_link(next) {
            self.entry_mut(after).previous = previous;
        }
        match PageIndex::from_link(previous) {
            Some(before) => {
                self.entry_mut(before).next = next;
                head
            }
            None => next,
        }
    }
}

fn set_bit(bitmap: &mut [u64; 2], index: u8, value: bool) {
    let [low, high] = bitmap;
    let word = if index < 64 { low } else { high };
    let bit = 1 << (index % 64);
    if value {
        *word |= bit;
    } else {
        *word &= !bit;
    }
}
