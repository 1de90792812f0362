// SPDX-License-Identifier: BSD-2-Clause
//! The tree of accounts: how an account is opened, moved below another and closed.
//!
//! An account has two records: the counters (`records/account.rs`), and the heads of its lists
//! (`records/ledger.rs`). The account above pays for both, since they outlive the account's own
//! memory.
//!
//! ```text
//!   Account ---- Ledger --< Container     live ones, and dying ones that wait for their end
//!      |           |  \---< Frame         within the limit; extra ones; discardable extra ones
//!      v           v
//!   Account     pages of records, CNodes, loans
//! ```

use crate::kernel::Kernel;
use crate::records::account::{Account, AccountFlags, Charge, Children, Shortage};
use crate::records::broken::broken;
use crate::records::cell::{Record, Ref, Stamp};
use crate::records::count::{minus, plus};
use crate::records::ledger::Ledger;
use crate::records::links::Link;
use crate::store::Store;

impl<K: Kernel> Store<K> {
    pub(crate) fn ledger_ref(&self, account: Ref<Account>) -> Ref<Ledger> {
        match self.get(account).ledger.target() {
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
        match self.get(ledger).account.target() {
            Some(account) => account,
            None => broken("ledger without an account"),
        }
    }

    /// Makes the topmost account, whose limit is the pool and which pays for pmserver's own memory.
    pub(crate) fn new_pool_account(&mut self) -> Result<Ref<Account>, Shortage> {
        let overhead = self.kernel.overhead_pages();
        let total = self.page_count().saturating_add(overhead);
        let page = self.take_record_page(Link::NONE)?;
        let mut account = Account::of_pool(total, self.reserved().saturating_add(1), overhead);
        account.set_stamp(Stamp::unnamed(Account::KIND));
        let account = self.fill(page, &account);
        let mut ledger = Ledger::new(account.link());
        ledger.set_stamp(Stamp::unnamed(Ledger::KIND));
        let ledger = self.fill(page, &ledger);
        self.get_mut(account).ledger = ledger.link();
        self.entry_mut(page).set_account(account.link());
        let pages = self.link_page(0, page);
        self.get_mut(ledger).record_pages = pages;
        Ok(account)
    }

    /// Opens an account below another, which promises its limit.
    ///
    /// # Errors
    /// If the parent has less room than the limit, or cannot pay for the records.
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
        parent.promised = plus(parent.promised, limit);
        Ok(account)
    }

    /// Frees the records of an empty account that was removed or destroyed. Its parent may have
    /// been removed itself.
    pub(crate) fn close_account(&mut self, account: Ref<Account>) {
        let record = *self.get(account);
        let Some(parent) = record.parent.target() else {
            broken("the pool's account is there for ever")
        };
        let ledger = self.ledger_ref(account);
        let lists = self.get(ledger);
        let owns_pages = lists.record_pages != 0 || lists.slot_pages != 0;
        let has_containers = !lists.containers.is_none() || !lists.dying.is_none();
        let is_named = !record.children.is_none() || !lists.loans.is_none();
        let charged = [record.used(), record.promised, record.charged(Charge::Extra)];
        let is_empty = !owns_pages && !has_containers && !is_named && charged == [0; 3];
        assert!(is_empty, "an account ends empty");
        let children = self.remove_from_chain::<Children>(self.get(parent).children, account);
        self.get_mut(parent).children = children;
        let payer = self.payer_for(parent);
        let promised = &mut self.get_mut(payer).promised;
        *promised = minus(*promised, record.limit);
        self.allowances.forget(account);
        self.free(ledger);
        self.free(account);
    }

    /// Moves an account whose parent was removed below another account.
    pub(crate) fn reparent(&mut self, from: Ref<Account>, child: Ref<Account>, to: Ref<Account>) {
        assert!(self.get(from).has(AccountFlags::REMOVED), "adopted from one that was removed");
        let children = self.remove_from_chain::<Children>(self.get(from).children, child);
        self.get_mut(from).children = children;
        let children = self.add_last::<Children>(self.get(to).children, child);
        self.get_mut(to).children = children;
        self.get_mut(child).parent = to.link();
    }

    /// Returns the account that promises this one's limit.
    pub(crate) fn parent(&self, account: Ref<Account>) -> Ref<Account> {
        match self.get(account).parent.target() {
            Some(parent) => self.payer_for(parent),
            None => broken("the pool's account has none above it"),
        }
    }

    /// Returns in how many accounts a charge to this one counts.
    pub(crate) fn depth(&self, account: Ref<Account>) -> usize {
        let parent = |account: &Ref<Account>| self.get(*account).parent.target();
        core::iter::successors(Some(account), parent).count()
    }

    /// Sets a limit. The caller has checked that the parent has room for it.
    pub(crate) fn set_limit(&mut self, account: Ref<Account>, limit: u32) {
        let parent = self.parent(account);
        let before = core::mem::replace(&mut self.get_mut(account).limit, limit);
        let promised = &mut self.get_mut(parent).promised;
        *promised = plus(minus(*promised, before), limit);
    }
}
