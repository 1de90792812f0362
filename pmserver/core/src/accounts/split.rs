// SPDX-License-Identifier: BSD-2-Clause
//! Splitting accounts off and setting their limits (protocol O21, R16, R17).
//!
//! A limit is promised by the account above: what one has more the other has less. So a limit that
//! moves can take frames of both accounts over their limits or back, a page at a time.

use pmserver_api::{AccountHandle, AccountRights, Failure, LimitFlags, PmError};
use proto::PeerId;
use proto::limits::{ACCOUNT_DEPTH_MAX, CALL_FRAMES_MAX};

use crate::accounts::account::{Account, AccountFlags, Shortage};
use crate::broken;
use crate::config::Privileges;
use crate::kernel::Kernel;
use crate::memory::pool::Pool;
use crate::memory::records::Ref;
use crate::server::Server;
use crate::teardown::budget::Budget;

impl<K: Kernel> Server<K> {
    /// Makes an account with a part of another's limit.
    pub(crate) fn account_split(
        &mut self,
        caller: PeerId,
        handle: AccountHandle,
        limit: u32,
        flags: LimitFlags,
    ) -> Result<AccountHandle, Failure> {
        let sets_policy = self.peer(caller).privileges.contains(Privileges::SET_POLICY);
        let parent = if handle == AccountHandle::POOL && sets_policy {
            self.pool_account
        } else {
            self.account(caller, handle, AccountRights::ALLOCATE)?
        };
        if flags.contains(LimitFlags::EXCESS) {
            return Err(PmError::Invalid.into());
        }
        let mut own_flags = AccountFlags::empty();
        if flags.contains(LimitFlags::EXTRA) {
            if !self.pool.may_have_extra(parent) {
                return Err(PmError::NotEligible.into());
            }
            own_flags |= AccountFlags::EXTRA;
        }
        if self.pool.depth(parent) >= ACCOUNT_DEPTH_MAX {
            return Err(PmError::TooMany.into());
        }
        let account = Account::new(parent.link(), limit, Some(caller), own_flags);
        let account = self.pool.open_account(parent, account).map_err(Shortage::as_quota)?;
        Ok(AccountHandle::from_raw(self.pool.handle(account)))
    }

    /// Sets the limit of an account and whether it may have extra frames.
    pub(crate) fn account_set_limits(
        &mut self,
        caller: PeerId,
        handle: AccountHandle,
        limit: u32,
        flags: LimitFlags,
    ) -> Result<(), Failure> {
        let account = self.account(caller, handle, AccountRights::SET)?;
        let may_exceed = flags.contains(LimitFlags::EXCESS);
        if may_exceed && !self.peer(caller).privileges.contains(Privileges::SET_POLICY) {
            return Err(PmError::NoRight.into());
        }
        let has_extra = flags.contains(LimitFlags::EXTRA);
        if may_exceed && !has_extra {
            return Err(PmError::Invalid.into());
        }
        let parent = self.pool.parent(account);
        if has_extra && !self.pool.may_have_extra(parent) {
            return Err(PmError::NotEligible.into());
        }
        let record = self.pool.get(account);
        let frames = if may_exceed { self.pool.ledger(account).frame_count } else { 0 };
        let is_too_low = record.committed().saturating_sub(frames) > limit;
        let is_too_high = limit.saturating_sub(record.limit) > self.pool.get(parent).room();
        if is_too_low || is_too_high {
            return Err(PmError::QuotaExceeded.into());
        }
        self.pool.get_mut(account).set(AccountFlags::EXTRA, has_extra);
        self.pool.move_limit(account, limit, &mut Budget::new(CALL_FRAMES_MAX))
    }
}

impl<K: Kernel> Pool<K> {
    /// Returns the account that has promised this one's limit.
    pub(crate) fn parent(&self, account: Ref<Account>) -> Ref<Account> {
        match Ref::from_link(self.get(account).parent) {
            Some(parent) => self.heir(parent),
            None => broken("the pool's account has none above it"),
        }
    }

    /// Returns how many accounts a charge to this one goes through.
    fn depth(&self, account: Ref<Account>) -> usize {
        let parent = |account: &Ref<Account>| Ref::from_link(self.get(*account).parent);
        core::iter::successors(Some(account), parent).count()
    }

    /// Moves the limit of an account, which its parent has room for. What does not fit below it
    /// becomes extra; where either account has extra frames, they take the room that comes up.
    ///
    /// # Errors
    /// `Pending` where that is more than the call may do; then the limit is part of the way there.
    pub(crate) fn move_limit(
        &mut self,
        account: Ref<Account>,
        target: u32,
        budget: &mut Budget,
    ) -> Result<(), Failure> {
        let parent = self.parent(account);
        loop {
            let record = self.get(account);
            let (limit, room) = (record.limit, record.room());
            if limit == target {
                return Ok(());
            }
            budget.spend()?;
            if limit < target {
                let whole = target.saturating_sub(limit);
                let step = if self.has_extra(account) { 1 } else { whole };
                self.set_limit(account, parent, limit.saturating_add(step));
                self.promote(account, 1);
            } else {
                if room == 0 && !self.demote(account) {
                    broken("a limit falls below what is no frame");
                }
                let whole = limit.saturating_sub(target).min(room);
                let step = if self.has_extra(parent) { 1 } else { whole.max(1) };
                self.set_limit(account, parent, limit.saturating_sub(step));
                self.promote(parent, 1);
            }
        }
    }

    fn set_limit(&mut self, account: Ref<Account>, parent: Ref<Account>, limit: u32) {
        let before = core::mem::replace(&mut self.get_mut(account).limit, limit);
        let promised = &mut self.get_mut(parent).promised;
        *promised = promised.saturating_sub(before).saturating_add(limit);
    }

    /// Moves the limit of an account so that the account can end without anybody's extra frames
    /// being within a limit that has room for them: its own, or its parent's.
    ///
    /// # Errors
    /// `Pending` where that is more than the call may do.
    pub(crate) fn even_out(
        &mut self,
        account: Ref<Account>,
        budget: &mut Budget,
    ) -> Result<(), Failure> {
        let parent = self.parent(account);
        let room = self.get(parent).room();
        if room > 0 && self.has_extra(account) {
            let limit = self.get(account).limit.saturating_add(room);
            self.move_limit(account, limit, budget)?;
        }
        if self.has_extra(parent) {
            self.move_limit(account, self.get(account).committed(), budget)?;
        }
        Ok(())
    }
}
