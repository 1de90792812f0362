// SPDX-License-Identifier: BSD-2-Clause
//! The tree of accounts: how an account is opened, lent, transferred to the one above, and closed.
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
//!
//! An account that is removed leaves its borrowers what was left of its limit, in equal parts
//! (PM-341): each gets an *allowance* of the account above. It is spent page by page and never
//! grows again, so what is charged for a borrower stays within the limit that was lent. It is not
//! promised: the account above may use the memory first.

use heapless::Vec;
use proto::PeerId;
use proto::limits::{PEER_ALLOWANCES_MAX, PEERS_MAX};

use crate::kernel::Kernel;
use crate::records::account::{Account, AccountFlags, Change, Charge, Children, Shortage};
use crate::records::broken::broken;
use crate::records::cell::{Record, Ref, Stamp};
use crate::records::count::{minus, plus};
use crate::records::ledger::Ledger;
use crate::records::links::Link;
use crate::records::loan::{Loan, LoansOfAccount};
use crate::records::places::{PagesOfAccount, Places};
use crate::store::Store;

/// How many more pages an account may be charged for a peer.
#[derive(Clone, Copy)]
struct Allowance {
    account: Ref<Account>,
    pages: u32,
    /// What it was when the running call began: a refund that undoes a charge restores up to this.
    most: u32,
}

/// The allowances of all peers.
#[derive(Clone)]
pub(crate) struct Allowances {
    of_peer: [Vec<Allowance, PEER_ALLOWANCES_MAX>; PEERS_MAX],
    /// Whether anybody was ever given one.
    has_given: bool,
    /// The peer whose call or fault is served.
    served: usize,
}

impl Allowances {
    /// Nobody has any.
    pub(crate) const NONE: Self =
        Self { of_peer: [const { Vec::new() }; PEERS_MAX], has_given: false, served: 0 };

    /// Begins a call or fault of a peer: what is charged from now on is charged for it.
    pub(crate) fn serve(&mut self, peer: PeerId) {
        self.served = peer.get().into();
        if !self.has_given {
            return;
        }
        for allowance in self.of_peer.get_mut(self.served).into_iter().flatten() {
            allowance.most = allowance.pages;
        }
    }

    /// Returns whether a peer may have something charged to an account.
    pub(crate) fn has(&self, peer: PeerId, account: Ref<Account>) -> bool {
        self.get(peer.get().into(), account).is_some_and(|allowance| allowance.pages > 0)
    }

    /// Returns whether the served peer may not have so many pages charged to an account.
    pub(super) fn forbids(&self, account: Ref<Account>, pages: u32) -> bool {
        let is_spent = |allowance: &Allowance| allowance.pages < pages;
        self.has_given && self.get(self.served, account).is_some_and(is_spent)
    }

    /// Returns whether the served peer has one of this account.
    pub(super) fn limits(&self, account: Ref<Account>) -> bool {
        self.has_given && self.get(self.served, account).is_some()
    }

    /// Counts pages that are charged to an account or refunded.
    #[inline(always)]
    pub(super) fn count(&mut self, account: Ref<Account>, change: Change) {
        if self.has_given {
            self.count_given(account, change);
        }
    }

    #[cold]
    fn count_given(&mut self, account: Ref<Account>, change: Change) {
        let all = self.of_peer.get_mut(self.served).into_iter().flatten();
        for allowance in all.filter(|allowance| allowance.account == account) {
            allowance.pages = match change {
                Change::Up(pages) => allowance.pages.saturating_sub(pages),
                Change::Down(pages) => allowance.pages.saturating_add(pages).min(allowance.most),
            };
        }
    }

    /// Allows a peer so many more pages. If it has as many allowances as it may, the smallest goes.
    pub(crate) fn give(&mut self, peer: PeerId, account: Ref<Account>, pages: u32) {
        self.has_given = true;
        let Some(all) = self.of_peer.get_mut(usize::from(peer.get())) else { return };
        if let Some(there) = all.iter_mut().find(|allowance| allowance.account == account) {
            there.pages = there.pages.saturating_add(pages);
            return;
        }
        let smallest = all.iter().enumerate().min_by_key(|(_, allowance)| allowance.pages);
        if all.is_full()
            && let Some((place, _)) = smallest
        {
            all.swap_remove(place);
        }
        let _ = all.push(Allowance { account, pages, most: pages });
    }

    /// Takes what a peer is allowed of an account.
    pub(crate) fn take(&mut self, peer: PeerId, account: Ref<Account>) -> Option<u32> {
        let all = self.of_peer.get_mut(usize::from(peer.get()))?;
        let place = all.iter().position(|allowance| allowance.account == account)?;
        Some(all.swap_remove(place).pages)
    }

    /// Forgets an account that is gone.
    pub(super) fn forget(&mut self, account: Ref<Account>) {
        for all in &mut self.of_peer {
            all.retain(|allowance| allowance.account != account);
        }
    }

    fn get(&self, peer: usize, account: Ref<Account>) -> Option<&Allowance> {
        self.of_peer.get(peer)?.iter().find(|allowance| allowance.account == account)
    }
}

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
        let account = Account::of_pool(total, self.reserved().saturating_add(1), overhead);
        let (account, _) = self.fill(page, &account, Stamp::unnamed(Account::KIND));
        let ledger = Ledger::new(account.link());
        let (ledger, _) = self.fill(page, &ledger, Stamp::unnamed(Ledger::KIND));
        self.get_mut(account).ledger = ledger.link();
        self.get_mut(page).account = account.link();
        let pages = self.add_first::<PagesOfAccount>(Link::NONE, page);
        self.get_mut(ledger).record_pages = pages;
        self.pool = account.link();
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
        let has_stock = !lists.stock.is_none();
        let owns_pages = !lists.record_pages.is_none() || !lists.slot_pages.is_none() || has_stock;
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
        if record.has(AccountFlags::DYING) {
            self.dying_accounts.down();
        }
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

    /// Sets a limit. The caller has checked that the parent has room for it.
    pub(crate) fn set_limit(&mut self, account: Ref<Account>, limit: u32) {
        let parent = self.parent(account);
        let before = core::mem::replace(&mut self.get_mut(account).limit, limit);
        let promised = &mut self.get_mut(parent).promised;
        *promised = plus(minus(*promised, before), limit);
    }

    /// Returns the loans of an account.
    pub(crate) fn loans(&self, account: Ref<Account>) -> impl Iterator<Item = &Loan> {
        self.chain::<LoansOfAccount>(self.ledger(account).loans).map(|loan| self.get(loan))
    }

    /// Adds a loan to those of its account.
    pub(crate) fn link_loan(&mut self, account: Ref<Account>, loan: Ref<Loan>) {
        let loans = self.add_first::<LoansOfAccount>(self.ledger(account).loans, loan);
        self.ledger_mut(account).loans = loans;
    }

    /// Ends all loans of an account.
    pub(crate) fn end_loans(&mut self, account: Ref<Account>) {
        while let Some(loan) = self.ledger(account).loans.target() {
            self.end_loan(account, loan);
        }
    }

    pub(crate) fn end_loan(&mut self, account: Ref<Account>, loan: Ref<Loan>) {
        let loans = self.remove_from_chain::<LoansOfAccount>(self.ledger(account).loans, loan);
        self.ledger_mut(account).loans = loans;
        self.free(loan);
    }

    /// Transfers the first page of records or slots of one account to another, and returns whether
    /// there was one. The charge has been transferred before.
    pub(crate) fn transfer_page(&mut self, from: Ref<Account>, to: Ref<Account>) -> bool {
        let ledger = *self.ledger(from);
        if let Some(page) = ledger.record_pages.target() {
            let rest = self.remove_from_chain::<PagesOfAccount>(ledger.record_pages, page);
            self.ledger_mut(from).record_pages = rest;
            let is_full = !self.has_free_cells(page);
            let pages = self.receive(to, self.ledger(to).record_pages, (page, is_full));
            self.ledger_mut(to).record_pages = pages;
            return true;
        }
        if let Some(page) = ledger.slot_pages.target() {
            let rest = self.remove_from_chain::<PagesOfAccount>(ledger.slot_pages, page);
            self.ledger_mut(from).slot_pages = rest;
            let is_full = self.get(page).is_full_node();
            let pages = self.receive(to, self.ledger(to).slot_pages, (page, is_full));
            self.ledger_mut(to).slot_pages = pages;
            return true;
        }
        false
    }

    fn receive(
        &mut self,
        account: Ref<Account>,
        pages: Link<Places>,
        (page, is_full): (Ref<Places>, bool),
    ) -> Link<Places> {
        self.get_mut(page).account = account.link();
        if is_full {
            self.add_last::<PagesOfAccount>(pages, page)
        } else {
            self.add_first::<PagesOfAccount>(pages, page)
        }
    }
}
