// SPDX-License-Identifier: BSD-2-Clause
//! Accounts.

use proto::{Micros, PeerId, Transport};

use super::Calls;
use crate::error::CallError;
use crate::flags::{AccountRights, LimitFlags};
use crate::handles::AccountHandle;
use crate::ops::Request;
use crate::reply::{AccountInfo, ExtraRequest};

impl<T: Transport> Calls<T> {
    /// Returns the limit and the use of an account.
    ///
    /// # Errors
    /// [`CallError`]: see operation 15, account_info.
    pub fn account_info(&mut self, account: AccountHandle) -> Result<AccountInfo, CallError> {
        self.call(Request::AccountInfo { account }).map(AccountInfo::decode)
    }

    /// Makes an account below another one; the caller has all rights to it.
    ///
    /// # Errors
    /// [`CallError`]: see operation 34, account_split.
    pub fn account_split(
        &mut self,
        account: AccountHandle,
        limit_pages: u32,
        flags: LimitFlags,
    ) -> Result<AccountHandle, CallError> {
        self.call(Request::AccountSplit { account, limit_pages, flags })
            .map(|[handle]| AccountHandle::from_raw(handle))
    }

    /// Destroys an account with all that it pays for, in as many calls as it takes.
    ///
    /// # Errors
    /// [`CallError`]: see operation 35, account_destroy.
    pub fn account_destroy(&mut self, account: AccountHandle) -> Result<(), CallError> {
        self.call_until_done(Request::AccountDestroy { account })
    }

    /// Removes an account and transfers what it pays for to its parent, in as many calls as it
    /// takes.
    ///
    /// # Errors
    /// [`CallError`]: see operation 36, account_remove.
    pub fn account_remove(&mut self, account: AccountHandle) -> Result<(), CallError> {
        self.call_until_done(Request::AccountRemove { account })
    }

    /// Sets the limit of an account and whether it may have extra frames, in as many calls as it
    /// takes.
    ///
    /// # Errors
    /// [`CallError`]: see operation 37, account_set_limits.
    pub fn account_set_limits(
        &mut self,
        account: AccountHandle,
        limit_pages: u32,
        flags: LimitFlags,
    ) -> Result<(), CallError> {
        self.call_until_done(Request::AccountSetLimits { account, limit_pages, flags })
    }

    /// Lets a peer use an account. Returns the handle for the peer, which must be sent its number.
    ///
    /// # Errors
    /// [`CallError`]: see operation 38, account_lend.
    pub fn account_lend(
        &mut self,
        account: AccountHandle,
        peer: PeerId,
        rights: AccountRights,
    ) -> Result<AccountHandle, CallError> {
        self.call(Request::AccountLend { account, peer, rights })
            .map(|[handle]| AccountHandle::from_raw(handle))
    }

    /// Takes an account back from a peer, by the handle that `account_lend` returned.
    ///
    /// # Errors
    /// [`CallError`]: see operation 39, account_recall.
    pub fn account_recall(&mut self, lent: AccountHandle) -> Result<(), CallError> {
        self.call(Request::AccountRecall { lent }).map(|[]| ())
    }

    /// Sets the account that pays for the caller's page tables, capability slots and mapping
    /// records.
    ///
    /// # Errors
    /// [`CallError`]: see operation 40, vspace_account.
    pub fn vspace_account(&mut self, account: AccountHandle) -> Result<(), CallError> {
        self.call(Request::VspaceAccount { account }).map(|[]| ())
    }

    /// Returns how many of the caller's extra frames are asked back.
    ///
    /// # Errors
    /// [`CallError`]: see operation 42, extra_request.
    pub fn extra_request(&mut self) -> Result<ExtraRequest, CallError> {
        self.call(Request::ExtraRequest).map(|[count, deadline, sequence]| ExtraRequest {
            count,
            deadline: Micros::new(deadline),
            sequence,
        })
    }
}
