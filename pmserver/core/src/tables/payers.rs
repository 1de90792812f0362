// SPDX-License-Identifier: BSD-2-Clause
//! The accounts that are charged for what a peer causes.

use pmserver_api::{AccountRights, PmError};
use proto::PeerId;

use crate::kernel::Kernel;
use crate::records::account::Account;
use crate::records::cell::Ref;
use crate::records::loan::Loan;
use crate::tables::Tables;

impl<K: Kernel> Tables<K> {
    /// Returns the account that pays for a peer's leases and pins.
    pub(crate) fn own_account(&self, peer: PeerId) -> Result<Ref<Account>, PmError> {
        self.peer(peer).account.ok_or(PmError::QuotaExceeded)
    }

    /// Returns the account that pays for a peer's tables, slots and mapping records (R25).
    ///
    /// # Errors
    /// `NoTableQuota` if there is none, or if the peer may not charge it any more.
    pub(crate) fn table_account(&self, peer: PeerId) -> Result<Ref<Account>, PmError> {
        let account = self.peer(peer).table_account;
        account.filter(|account| self.may_charge(peer, *account)).ok_or(PmError::NoTableQuota)
    }

    /// Returns whether something new may be charged to an account for a peer now (PM-341): the peer
    /// is a user of it, or has something left of an account below it that was removed.
    pub(crate) fn may_charge(&self, peer: PeerId, account: Ref<Account>) -> bool {
        self.may_charge_payer(peer, self.store.payer_for(account))
    }

    /// The same for an account that was not removed.
    #[inline(always)]
    pub(crate) fn may_charge_payer(&self, peer: PeerId, payer: Ref<Account>) -> bool {
        self.is_user(peer, payer) || self.store.allowances.has(peer, payer)
    }

    /// Returns whether an account is the peer's own, or the peer has split it off, or it is lent to
    /// the peer with ALLOCATE.
    #[inline(always)]
    pub(crate) fn is_user(&self, peer: PeerId, account: Ref<Account>) -> bool {
        self.peer(peer).account == Some(account) || self.is_user_of_another(peer, account)
    }

    fn is_user_of_another(&self, peer: PeerId, account: Ref<Account>) -> bool {
        let is_lent =
            |loan: &Loan| loan.is_for(peer) && loan.rights().contains(AccountRights::ALLOCATE);
        self.store.get(account).is_made_by(peer) || self.store.loans(account).any(is_lent)
    }
}
