// SPDX-License-Identifier: BSD-2-Clause
//! Charging pages to accounts and refunding them. A charge counts in the account and in every
//! account above it: a call that makes or removes several frames has one credit for all of them.

use crate::kernel::Kernel;
use crate::records::account::{Account, AccountFlags, Change, Charge, Shortage};
use crate::records::broken::broken;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::count::Count;
use crate::records::meter::LINK_WORK;
use crate::store::Store;

/// Frames that an account is charged for and that the running call has not made yet, or has
/// removed.
#[derive(Clone)]
pub(super) struct Credit {
    account: Ref<Account>,
    frames: Count<u32>,
}

impl<K: Kernel> Store<K> {
    /// Charges an account for so many frames at once, if it can pay for them. Until
    /// [`Self::close_credit`], frames that are made or removed one by one change only what is left.
    /// An allowance is spent page by page.
    pub(crate) fn open_credit(&mut self, account: Ref<Account>, frames: u32) {
        if self.allowances.limits(account) {
            return;
        }
        if frames == 0 || self.charge_pages(account, Charge::Frames, frames).is_ok() {
            self.credit = Some(Credit { account, frames: Count::starting_at(frames) });
        }
    }

    /// Refunds what is left.
    #[inline(always)]
    pub(crate) fn close_credit(&mut self) {
        if let Some(Credit { account, frames }) = &self.credit {
            let (account, frames) = (*account, frames.get());
            self.credit = None;
            self.refund_pages(account, Charge::Frames, frames);
        }
    }

    /// Charges a frame within the limit to an account that was not removed.
    #[inline(always)]
    pub(super) fn charge_guaranteed(&mut self, payer: Ref<Account>) -> Result<(), Shortage> {
        match &mut self.credit {
            Some(credit) if credit.account == payer && !credit.frames.is_zero() => {
                credit.frames.down();
                Ok(())
            }
            _ => self.charge_payer(payer, Charge::Frames, 1),
        }
    }

    /// Refunds frames within the limit to an account that was not removed.
    #[inline(always)]
    pub(super) fn refund_guaranteed(&mut self, payer: Ref<Account>, frames: u32) {
        match &mut self.credit {
            Some(credit) if credit.account == payer => credit.frames.add(frames),
            _ => self.refund_payer(payer, Charge::Frames, frames),
        }
    }

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
    #[inline(always)]
    pub(crate) fn payer_for(&self, account: Ref<Account>) -> Ref<Account> {
        let mut payer = account;
        while let record = self.get(payer)
            && record.has(AccountFlags::REMOVED)
            && let Some(above) = record.parent.target()
        {
            self.meter().charge(LINK_WORK);
            payer = above;
        }
        payer
    }

    /// Returns the account that pays for a container.
    #[inline]
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
    #[inline(never)]
    pub(crate) fn charge(&mut self, account: Ref<Account>, kind: Charge) -> Result<(), Shortage> {
        self.charge_pages(account, kind, 1)
    }

    /// Charges pages to an account and all accounts above it, all or none.
    #[inline(always)]
    pub(crate) fn charge_pages(
        &mut self,
        account: Ref<Account>,
        kind: Charge,
        pages: u32,
    ) -> Result<(), Shortage> {
        self.charge_payer(self.payer_for(account), kind, pages)
    }

    /// The same for an account that was not removed.
    #[inline(always)]
    fn charge_payer(
        &mut self,
        payer: Ref<Account>,
        kind: Charge,
        pages: u32,
    ) -> Result<(), Shortage> {
        let has_room = kind == Charge::Extra || self.get(payer).room() >= pages;
        if !has_room || self.is_closed(payer) || self.allowances.forbids(payer, pages) {
            return Err(Shortage::Account);
        }
        if kind == Charge::Extra {
            self.check_extra()?;
        } else if !self.pressed.is_empty() && self.unused() < pages {
            // The account has room, and limits are promises: only extra frames can occupy the
            // memory.
            self.is_starved = true;
            return Err(Shortage::Pool);
        }
        self.allowances.count(payer, Change::Up(pages));
        self.count(payer, kind, Change::Up(pages));
        Ok(())
    }

    /// Refuses a new extra frame if nothing is free or somebody waits for promised memory (PM-342).
    pub(crate) fn check_extra(&self) -> Result<(), Shortage> {
        let is_claimed = self.claims.oldest(self.kernel.now()).is_some();
        if self.unused() == 0 || is_claimed { Err(Shortage::Pool) } else { Ok(()) }
    }

    /// Returns how many pages are unused.
    pub(crate) fn unused(&self) -> u32 {
        self.get(self.pool()).free()
    }

    /// Returns the pool's account.
    pub(crate) fn pool(&self) -> Ref<Account> {
        match self.pool.target() {
            Some(pool) => pool,
            None => broken("the pool's account comes first"),
        }
    }

    /// Refunds one page to an account and all accounts above it.
    #[inline(never)]
    pub(crate) fn refund(&mut self, account: Ref<Account>, kind: Charge) {
        self.refund_pages(account, kind, 1);
    }

    /// Refunds pages to an account and all accounts above it.
    #[inline(always)]
    pub(crate) fn refund_pages(&mut self, account: Ref<Account>, kind: Charge, pages: u32) {
        self.refund_payer(self.payer_for(account), kind, pages);
    }

    /// The same for an account that was not removed.
    #[inline(always)]
    fn refund_payer(&mut self, payer: Ref<Account>, kind: Charge, pages: u32) {
        self.allowances.count(payer, Change::Down(pages));
        self.count(payer, kind, Change::Down(pages));
    }

    /// Changes the kind of one charge, without checking for room.
    pub(super) fn convert(&mut self, account: Ref<Account>, from: Charge, to: Charge) {
        let payer = self.payer_for(account);
        self.count(payer, from, Change::Down(1));
        self.count(payer, to, Change::Up(1));
    }

    /// Counts a charge to an account that was not removed, and in every account above it.
    #[inline(always)]
    fn count(&mut self, payer: Ref<Account>, kind: Charge, change: Change) {
        let record = self.get_mut(payer);
        record.count(kind, false, change);
        let mut next = record.parent.target();
        let mut work = LINK_WORK;
        while let Some(above) = next {
            work = work.wrapping_add(LINK_WORK);
            let record = self.get_mut(above);
            next = record.parent.target();
            if !record.has(AccountFlags::REMOVED) {
                record.count(kind, true, change);
            }
        }
        self.meter().charge(work);
    }
}
