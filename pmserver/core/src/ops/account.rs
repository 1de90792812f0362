// SPDX-License-Identifier: BSD-2-Clause
//! account_info, vspace_account, and the lookup of account handles with their rights (O21).
//!
//! Accounts that exist from the start have small numbers; the configuration decides who may use
//! them. An account that was split off has a handle for the peer that split it off, and each loan
//! of it has a handle for its borrower (`ops/account_lend.rs`).

use pmserver_api::{AccountHandle, AccountInfo, AccountRights, Failure, PmError};
use proto::PeerId;

use crate::config::Privileges;
use crate::kernel::{Kernel, KernelError};
use crate::ops::Operations;
use crate::records::account::{Account, AccountFlags};
use crate::records::cell::Ref;
use crate::records::loan::Loan;
use crate::records::mapping::Mapping;

impl<K: Kernel> Operations<K> {
    /// Returns the account that a handle names.
    ///
    /// # Errors
    /// `InvalidCap` if there is none or it is ending; `NoRight` if the caller lacks a right to it.
    pub(crate) fn account(
        &self,
        caller: PeerId,
        handle: AccountHandle,
        needed: AccountRights,
    ) -> Result<Ref<Account>, Failure> {
        let (account, rights) = self.named_account(caller, handle).ok_or(PmError::InvalidCap)?;
        if self.store.get(account).has(AccountFlags::REMOVED) || self.store.is_closed(account) {
            return Err(PmError::InvalidCap.into());
        }
        if rights.contains(needed) { Ok(account) } else { Err(PmError::NoRight.into()) }
    }

    /// Returns the account that a handle names, and the caller's rights to it, even if the account
    /// is ending: for operations that take several calls to end it.
    pub(crate) fn named_account(
        &self,
        caller: PeerId,
        handle: AccountHandle,
    ) -> Option<(Ref<Account>, AccountRights)> {
        if handle == AccountHandle::POOL {
            return Some((self.store.pool(), self.rights_to_pool(caller)));
        }
        let holder = if handle == AccountHandle::OWN { Some(caller) } else { handle.peer() };
        if let Some(holder) = holder {
            let account = self.find_peer(holder)?.account?;
            return Some((account, self.rights_to_account_of(holder, caller)));
        }
        if let Some((account, record)) = self.store.find::<Account>(handle.raw()) {
            return record.is_made_by(caller).then_some((account, AccountRights::all()));
        }
        let (_, loan) = self.store.find::<Loan>(handle.raw())?;
        let account = loan.account.target()?;
        loan.is_for(caller).then_some((account, loan.rights()))
    }

    fn rights_to_pool(&self, caller: PeerId) -> AccountRights {
        if self.peer(caller).privileges.contains(Privileges::READ_ACCOUNTS) {
            AccountRights::READ
        } else {
            AccountRights::empty()
        }
    }

    fn rights_to_account_of(&self, holder: PeerId, caller: PeerId) -> AccountRights {
        let privileges = self.peer(caller).privileges;
        let mut rights = AccountRights::empty();
        if holder == caller {
            rights |= AccountRights::ALLOCATE | AccountRights::READ;
        }
        // Limit and use would be a covert channel between siblings, so they need the right.
        if privileges.contains(Privileges::READ_ACCOUNTS) {
            rights |= AccountRights::READ;
        }
        if privileges.contains(Privileges::SET_POLICY) {
            rights |= AccountRights::READ | AccountRights::SET | AccountRights::DESTROY;
        }
        rights
    }

    /// Returns limit and use of an account (O21).
    #[inline(never)]
    pub(crate) fn account_info(
        &self,
        caller: PeerId,
        handle: AccountHandle,
    ) -> Result<AccountInfo, Failure> {
        let account = self.account(caller, handle, AccountRights::READ)?;
        Ok(self.store.get(account).info(account == self.store.pool()))
    }

    /// Makes an account pay for the caller's VSpace (R25), which must be empty.
    #[inline(never)]
    pub(crate) fn vspace_account(
        &mut self,
        caller: PeerId,
        handle: AccountHandle,
    ) -> Result<(), Failure> {
        let account = self.account(caller, handle, AccountRights::ALLOCATE)?;
        let mut first = self.first_mapping(caller);
        while let Some(mapping) = first
            && self.drop_if_kept(mapping).map_err(|_: KernelError| PmError::Kernel)?
        {
            self.store.meter().begin_frame(0)?;
            first = self.first_mapping(caller);
        }
        let vspace = &self.peer(caller).vspace;
        if !vspace.is_empty() {
            let at = first.map_or(0, |mapping| self.store.get(mapping).first_vaddr());
            return Err(Failure { error: PmError::Occupied, done: 0, at });
        }
        self.peer_mut(caller).table_account = Some(account);
        Ok(())
    }

    fn first_mapping(&self, peer: PeerId) -> Option<Ref<Mapping>> {
        self.store.tree_next::<Mapping>(self.peer(peer).vspace.mappings, 0)
    }
}
