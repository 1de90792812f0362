// SPDX-License-Identifier: BSD-2-Clause
//! Splitting accounts off and setting their limits (protocol O21, R16, R17).
//!
//! A limit is promised by the account above: what one has more the other has less.

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
        let excess = u64::from(record.committed().saturating_sub(limit));
        let is_too_high = limit.saturating_sub(record.limit) > self.pool.get(parent).room();
        if is_too_high || excess > 0 && !may_exceed {
            return Err(PmError::QuotaExceeded.into());
        }
        let step = excess.min(CALL_FRAMES_MAX);
        if self.pool.count_guaranteed(account, step) < step {
            return Err(PmError::QuotaExceeded.into());
        }
        self.pool.get_mut(account).set(AccountFlags::EXTRA, has_extra);
        for _ in 0..step {
            self.pool.demote(account);
        }
        // As far as the call came, so that what has become extra is not allocated once more.
        let limit = limit.max(self.pool.get(account).committed());
        self.pool.set_limit(account, limit);
        if excess > step {
            return Err(Failure { error: PmError::Pending, done: step, at: 0 });
        }
        Ok(())
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

    /// Sets a limit, for which the parent has room.
    fn set_limit(&mut self, account: Ref<Account>, limit: u32) {
        let parent = self.parent(account);
        let before = core::mem::replace(&mut self.get_mut(account).limit, limit);
        let promised = &mut self.get_mut(parent).promised;
        *promised = promised.saturating_sub(before).saturating_add(limit);
    }
}
