// SPDX-License-Identifier: BSD-2-Clause
//! What hangs in an account, and how an account comes into the tree and out of it.
//!
//! An account has two records: the counters (`account.rs`), and this one with the heads of all its
//! lists. Both are paid for by the account above, as they have to outlive the account's own memory.
//!
//! ```text
//!   Account ---- Ledger --< Container     live ones, and dying ones that wait for their end
//!      |           |  \---< Frame         within the limit; extra ones; discardable extra ones
//!      v           v
//!   Account     pages of records, CNodes, loans
//! ```

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::accounts::account::{Account, AccountFlags, Charge, Children, Shortage};
use crate::accounts::extra::FrameList;
use crate::broken;
use crate::kernel::Kernel;
use crate::memory::chain::{Links, chain};
use crate::memory::pool::Pool;
use crate::memory::records::{Record, Ref, Stamp, record};

/// The lists of an account.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub(crate) struct Ledger {
    stamp: Stamp,
    pub(crate) account: u32,
    /// Its pages of records, those with a free cell first.
    pub(crate) record_pages: u32,
    /// Its CNodes, those with a free slot first.
    pub(crate) slot_pages: u32,
    /// Its containers.
    pub(crate) containers: u32,
    /// Those of them that are being destroyed, first come first.
    pub(crate) dying: u32,
    /// To whom it is lent.
    pub(crate) loans: u32,
    /// The frames within its limit, newest first, as in the next two.
    frames: u32,
    /// The extra frames without the mark DISCARDABLE.
    extra: u32,
    /// Those with it.
    discardable: u32,
    /// The others with something to tear down.
    work: Links,
    /// The others with extra frames.
    pressed: Links,
    padding: u32,
}

record!(Ledger, Ledger);
chain!(
    /// The accounts in which there is something to tear down, first come first.
    Work, Ledger, work
);
chain!(
    /// The accounts that have extra frames.
    PressedAccounts, Ledger, pressed
);

impl Ledger {
    const fn new(account: u32) -> Self {
        Self {
            stamp: Stamp::UNSET,
            account,
            record_pages: 0,
            slot_pages: 0,
            containers: 0,
            dying: 0,
            loans: 0,
            frames: 0,
            extra: 0,
            discardable: 0,
            work: Links::NONE,
            pressed: Links::NONE,
            padding: 0,
        }
    }

    /// Returns the first frame of a list: the newest.
    pub(crate) const fn list(&self, list: FrameList) -> u32 {
        match list {
            FrameList::Guaranteed => self.frames,
            FrameList::Extra => self.extra,
            FrameList::Discardable => self.discardable,
        }
    }

    /// Returns the last list that has a frame in it: whether it has extra frames, and discardable
    /// ones.
    pub(crate) const fn last_list(&self) -> FrameList {
        if self.discardable != 0 {
            FrameList::Discardable
        } else if self.extra != 0 {
            FrameList::Extra
        } else {
            FrameList::Guaranteed
        }
    }

    /// Returns whether it is in the queue of what is to be torn down.
    pub(crate) const fn is_queued(&self) -> bool {
        !self.work.is_none()
    }

    pub(crate) const fn set_list(&mut self, list: FrameList, first: u32) {
        match list {
            FrameList::Guaranteed => self.frames = first,
            FrameList::Extra => self.extra = first,
            FrameList::Discardable => self.discardable = first,
        }
    }
}

impl<K: Kernel> Pool<K> {
    pub(crate) fn ledger_ref(&self, account: Ref<Account>) -> Ref<Ledger> {
        match Ref::from_link(self.get(account).ledger) {
            Some(ledger) => ledger,
            None => broken("account without a ledger"),
        }
    }

    /// Returns the lists of an account.
    pub(crate) fn ledger(&self, account: Ref<Account>) -> &Ledger {
        self.get(self.ledger_ref(account))
    }

    /// Returns the lists of an account for writing.
    pub(crate) fn ledger_mut(&mut self, account: Ref<Account>) -> &mut Ledger {
        self.get_mut(self.ledger_ref(account))
    }

    pub(crate) fn account_of(&self, ledger: Ref<Ledger>) -> Ref<Account> {
        match Ref::from_link(self.get(ledger).account) {
            Some(account) => account,
            None => broken("ledger without an account"),
        }
    }

    /// Makes the topmost account, which has all memory and pays for pmserver's own.
    pub(crate) fn new_pool_account(&mut self) -> Result<Ref<Account>, Shortage> {
        let overhead = self.kernel.overhead_pages();
        let total = self.page_count().saturating_add(overhead);
        let page = self.take_record_page(0)?;
        let mut account = Account::of_pool(total, self.reserved().saturating_add(1), overhead);
        account.set_stamp(Stamp::unnamed(Account::KIND));
        let account = self.fill(page, &account);
        let mut ledger = Ledger::new(account.link());
        ledger.set_stamp(Stamp::unnamed(Ledger::KIND));
        let ledger = self.fill(page, &ledger);
        self.get_mut(account).ledger = ledger.link();
        self.entry_mut(page).owner = account.link();
        let pages = self.link_page(0, page);
        self.get_mut(ledger).record_pages = pages;
        Ok(account)
    }

    /// Puts an account below another, which promises its limit.
    ///
    /// # Errors
    /// Where the parent has less than that left, or cannot pay for the records.
    pub(crate) fn open_account(
        &mut self,
        parent: Ref<Account>,
        account: Account,
    ) -> Result<Ref<Account>, Shortage> {
        let limit = account.limit;
        let account = match account.maker() {
            Some(maker) => self.alloc_named(parent, maker, account)?,
            None => self.alloc(parent, account)?,
        };
        let ledger = self.alloc(parent, Ledger::new(account.link())).inspect_err(|_| {
            self.free(account);
        })?;
        if self.get(parent).room() < limit {
            self.free(ledger);
            self.free(account);
            return Err(Shortage::Account);
        }
        self.get_mut(account).ledger = ledger.link();
        let children = self.add_last::<Children>(self.get(parent).children, account);
        let parent = self.get_mut(parent);
        parent.children = children;
        parent.promised = parent.promised.saturating_add(limit);
        Ok(account)
    }

    /// Frees the records of an account that was removed or destroyed and has nothing any more. Its
    /// parent may have been removed itself.
    pub(crate) fn close_account(&mut self, account: Ref<Account>) {
        let record = *self.get(account);
        let Some(parent) = Ref::<Account>::from_link(record.parent) else {
            broken("the pool's account is there for ever")
        };
        let ledger = self.ledger_ref(account);
        let lists = self.get(ledger);
        let is_empty = [lists.record_pages, lists.slot_pages, lists.containers, lists.dying]
            .into_iter()
            .chain([
                record.children,
                record.used(),
                record.promised,
                record.charged(Charge::Extra),
                lists.loans,
            ])
            .all(|what| what == 0);
        assert!(is_empty, "an account ends empty");
        let children = self.take_out::<Children>(self.get(parent).children, account);
        self.get_mut(parent).children = children;
        let payer = self.heir(parent);
        let promised = &mut self.get_mut(payer).promised;
        *promised = promised.saturating_sub(record.limit);
        self.free(ledger);
        self.free(account);
    }

    /// Hangs an account below another instead of its parent, which was removed.
    pub(crate) fn adopt(&mut self, from: Ref<Account>, child: Ref<Account>, to: Ref<Account>) {
        assert!(self.get(from).has(AccountFlags::REMOVED), "adopted from one that was removed");
        let children = self.take_out::<Children>(self.get(from).children, child);
        self.get_mut(from).children = children;
        let children = self.add_last::<Children>(self.get(to).children, child);
        self.get_mut(to).children = children;
        self.get_mut(child).parent = to.link();
    }
}
