// SPDX-License-Identifier: BSD-2-Clause
//! account_lend, account_recall: letting a peer use an account (O21).

use pmserver_api::{AccountHandle, AccountRights, Failure, PmError};
use proto::PeerId;
use proto::limits::ACCOUNT_LOANS_MAX;

use crate::kernel::Kernel;
use crate::ops::Operations;
use crate::records::account::Shortage;
use crate::records::loan::Loan;

impl<K: Kernel> Operations<K> {
    /// Lets a peer use an account that the caller has split off.
    #[inline(never)]
    pub(crate) fn account_lend(
        &mut self,
        caller: PeerId,
        handle: AccountHandle,
        peer: PeerId,
        rights: AccountRights,
    ) -> Result<AccountHandle, Failure> {
        let account = self.account(caller, handle, AccountRights::empty())?;
        if !self.store.get(account).is_made_by(caller) {
            return Err(PmError::NoRight.into());
        }
        if peer == caller || rights.is_empty() || self.find_peer(peer).is_none_or(|p| p.is_stopped)
        {
            return Err(PmError::Invalid.into());
        }
        if self.store.loans(account).count() >= ACCOUNT_LOANS_MAX {
            return Err(PmError::TooMany.into());
        }
        let loan = Loan::new(account.link(), peer, rights);
        let loan = self.store.alloc_named(account, caller, loan).map_err(Shortage::as_quota)?;
        self.store.link_loan(account, loan);
        if rights.contains(AccountRights::ALLOCATE) {
            self.store.allowances.take(peer, account);
        }
        Ok(AccountHandle::from_raw(self.store.handle(loan)))
    }

    /// Ends a loan. Objects that were made through it stay.
    #[inline(never)]
    pub(crate) fn account_recall(
        &mut self,
        caller: PeerId,
        lent: AccountHandle,
    ) -> Result<(), Failure> {
        let (loan, record) = self.store.find::<Loan>(lent.raw()).ok_or(PmError::InvalidCap)?;
        let account = record.account.target().ok_or(PmError::InvalidCap)?;
        if !self.store.get(account).is_made_by(caller) || self.store.is_closed(account) {
            return Err(PmError::InvalidCap.into());
        }
        self.store.end_loan(account, loan);
        Ok(())
    }
}
