// SPDX-License-Identifier: BSD-2-Clause
//! account_split, account_set_limits (O21, R16, R17).
//!
//! The account above promises the limit, so raising a limit lowers the room of the account above.

use pmserver_api::{AccountHandle, AccountRights, Failure, LimitFlags, PmError};
use proto::PeerId;
use proto::limits::{ACCOUNT_DEPTH_MAX, CALL_FRAMES_MAX};

use crate::config::Privileges;
use crate::kernel::Kernel;
use crate::ops::Operations;
use crate::records::account::{Account, AccountFlags, Shortage};

impl<K: Kernel> Operations<K> {
    /// Makes an account with a part of another account's limit.
    #[inline(never)]
    pub(crate) fn account_split(
        &mut self,
        caller: PeerId,
        handle: AccountHandle,
        limit: u32,
        flags: LimitFlags,
    ) -> Result<AccountHandle, Failure> {
        let sets_policy = self.peer(caller).privileges.contains(Privileges::SET_POLICY);
        let parent = if handle == AccountHandle::POOL && sets_policy {
            self.store.pool()
        } else {
            self.account(caller, handle, AccountRights::ALLOCATE)?
        };
        if flags.contains(LimitFlags::EXCESS) {
            return Err(PmError::Invalid.into());
        }
        let mut own_flags = AccountFlags::empty();
        if flags.contains(LimitFlags::EXTRA) {
            if !self.store.may_have_extra(parent) {
                return Err(PmError::NotEligible.into());
            }
            own_flags |= AccountFlags::EXTRA;
        }
        if self.store.depth(parent) >= ACCOUNT_DEPTH_MAX {
            return Err(PmError::TooMany.into());
        }
        let account = Account::new(parent.link(), limit, Some(caller), own_flags);
        let account = self.store.open_account(parent, account).map_err(Shortage::as_quota)?;
        Ok(AccountHandle::from_raw(self.store.handle(account)))
    }

    /// Sets the limit of an account and whether it may have extra frames.
    #[inline(never)]
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
        let parent = self.store.parent(account);
        if has_extra && !self.store.may_have_extra(parent) {
            return Err(PmError::NotEligible.into());
        }
        let record = self.store.get(account);
        let had_extra = record.has(AccountFlags::EXTRA);
        let is_too_high = limit.saturating_sub(record.limit) > self.store.get(parent).room();
        if is_too_high || record.committed() > limit && !may_exceed {
            return Err(PmError::QuotaExceeded.into());
        }
        if has_extra {
            self.store.set_may_have_extra(account, true).map_err(Shortage::as_quota)?;
        }
        let excess = u64::from(self.store.get(account).committed().saturating_sub(limit));
        let step = excess.min(CALL_FRAMES_MAX);
        if self.store.count_guaranteed(account, step) < step || excess > 0 && !may_exceed {
            let _ = self.store.set_may_have_extra(account, had_extra);
            return Err(PmError::QuotaExceeded.into());
        }
        let mut demoted: u64 = 0;
        let mut pending = Ok(());
        while demoted < step {
            pending = self.split_newest(account);
            if pending.is_err() {
                break;
            }
            self.store.demote(account);
            demoted = demoted.saturating_add(1);
        }
        if demoted == 0 && pending.is_err() {
            let _ = self.store.set_may_have_extra(account, had_extra);
            return pending;
        }
        // If the call ends early, the limit is set as far as frames were demoted: otherwise the
        // room of the demoted frames could be allocated again.
        let _ = self.store.set_may_have_extra(account, has_extra);
        let limit = limit.max(self.store.get(account).committed());
        self.store.set_limit(account, limit);
        pending.map_err(|failure| Failure { done: demoted, ..failure })?;
        if excess > step {
            return Err(Failure { error: PmError::Pending, done: step, at: 0 });
        }
        Ok(())
    }
}
