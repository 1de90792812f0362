// SPDX-License-Identifier: BSD-2-Clause
//! Charging pages to accounts and refunding them. A charge counts in the account and in every
//! account above it.

use crate::kernel::Kernel;
use crate::records::account::{Account, AccountFlags, Change, Charge, Shortage};
use crate::records::broken::broken;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::meter::LINK_WORK;
use crate::store::Store;

impl<K: Kernel> Store<K> {
    /// Returns an account and all accounts above it, bottom up, without those that were removed.
    fn upwards(&self, account: Ref<Account>) -> impl Iterator<Item = Ref<Account>> {
        let parent = |account: &Ref<Account>| self.get(*account).parent.target();
        core::iter::successors(Some(account), parent)
            .inspect(|_| self.meter().charge(LINK_WORK))
            .filter(|account| !self.get(*account).has(AccountFlags::REMOVED))
    }

    /// Returns in how many accounts a charge to this one counts.
    pub(crate) fn depth(&self, account: Ref<Account>) -> usize {
        let parent = |account: &Ref<Account>| self.get(*account).parent.target();
        core::iter::successors(Some(account), parent).count()
    }

    /// Returns the account that is charged for this one: itself or, if it was removed, the nearest
    /// account above it that was not.
    pub(crate) fn payer_for(&self, account: Ref<Account>) -> Ref<Account> {
        self.upwards(account).next().unwrap_or(account)
    }

    /// Returns the account that pays for a container.
    pub(crate) fn payer_of_container(&self, container: Ref<Container>) -> Ref<Account> {
        match self.get(container).account.target() {
            Some(account) => self.payer_for(account),
            None => broken("container without an account"),
        }
    }

    /// Returns whether an account, or one above it, is being destroyed.
    pub(crate) fn is_closed(&self, account: Ref<Account>) -> bool {
        let is_dying = |account: Ref<Account>| self.get(account).has(AccountFlags::DYING);
        !self.dying_accounts.is_zero() && self.upwards(account).any(is_dying)
    }

    /// Returns whether an account may have extra frames: it and all above it may.
    pub(crate) fn may_have_extra(&self, account: Ref<Account>) -> bool {
        self.upwards(account).all(|account| self.get(account).has(AccountFlags::EXTRA))
    }

    /// Charges one page to an account and all accounts above it, or fails and charges none. The
    /// caller checks whether the account may have extra frames.
    pub(crate) fn charge(&mut self, account: Ref<Account>, kind: Charge) -> Result<(), Shortage> {
        self.charge_pages(account, kind, 1)
    }

    /// Charges pages to an account and all accounts above it, all or none.
    pub(crate) fn charge_pages(
        &mut self,
        account: Ref<Account>,
        kind: Charge,
        pages: u32,
    ) -> Result<(), Shortage> {
        let (mut payer, mut pool) = (None, account);
        let mut is_closed = false;
        let mut next = Some(account);
        while let Some(above) = next {
            self.meter().charge(LINK_WORK);
            let record = self.get(above);
            next = record.parent.target();
            if !record.has(AccountFlags::REMOVED) {
                payer = payer.or(Some(above));
                is_closed |= record.has(AccountFlags::DYING);
                pool = above;
            }
        }
        let payer = payer.unwrap_or(account);
        let has_room = kind == Charge::Extra || self.get(payer).room() >= pages;
        if is_closed || !has_room || self.allowances.forbids(payer, pages) {
            return Err(Shortage::Account);
        }
        if kind == Charge::Extra {
            self.check_extra(account)?;
        } else if self.get(pool).free() < pages {
            // The account has room, so extra frames occupy the memory that it was promised.
            self.is_starved = true;
            return Err(Shortage::Pool);
        }
        self.allowances.count(payer, Change::Up(pages));
        self.count(account, kind, Change::Up(pages));
        Ok(())
    }

    /// Refuses a new extra frame if nothing is free or somebody waits for promised memory (PM-342).
    pub(crate) fn check_extra(&self, account: Ref<Account>) -> Result<(), Shortage> {
        let is_claimed = self.claims.oldest(self.kernel.now()).is_some();
        if self.unused(account) == 0 || is_claimed { Err(Shortage::Pool) } else { Ok(()) }
    }

    /// Returns how much memory is unused, given any account.
    fn unused(&self, account: Ref<Account>) -> u32 {
        self.get(self.pool_above(account)).free()
    }

    /// Returns the pool's account, given any account.
    pub(crate) fn pool_above(&self, account: Ref<Account>) -> Ref<Account> {
        self.upwards(account).last().unwrap_or(account)
    }

    /// Refunds one page to an account and all accounts above it.
    pub(crate) fn refund(&mut self, account: Ref<Account>, kind: Charge) {
        self.refund_pages(account, kind, 1);
    }

    /// Refunds pages to an account and all accounts above it.
    pub(crate) fn refund_pages(&mut self, account: Ref<Account>, kind: Charge, pages: u32) {
        self.allowances.count(self.payer_for(account), Change::Down(pages));
        self.count(account, kind, Change::Down(pages));
    }

    /// Changes the kind of one charge, without checking for room.
    pub(super) fn convert(&mut self, account: Ref<Account>, from: Charge, to: Charge) {
        self.count(account, from, Change::Down(1));
        self.count(account, to, Change::Up(1));
    }

    fn count(&mut self, account: Ref<Account>, kind: Charge, change: Change) {
        let mut next = Some(account);
        let mut is_below = false;
        while let Some(payer) = next {
            self.meter().charge(LINK_WORK);
            let record = self.get_mut(payer);
            next = record.parent.target();
            if !record.has(AccountFlags::REMOVED) {
                record.count(kind, is_below, change);
                is_below = true;
            }
        }
    }
}
