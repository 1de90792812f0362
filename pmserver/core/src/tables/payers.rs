// SPDX-License-Identifier: BSD-2-Clause
//! The accounts that are charged for what a peer causes.

use pmserver_api::PmError;
use proto::PeerId;

use crate::kernel::Kernel;
use crate::records::account::Account;
use crate::records::cell::Ref;
use crate::tables::Tables;

impl<K: Kernel> Tables<K> {
    /// Returns the account that pays for a peer's leases and pins.
    pub(crate) fn own_account(&self, peer: PeerId) -> Result<Ref<Account>, PmError> {
        self.peer(peer).account.ok_or(PmError::QuotaExceeded)
    }

    /// Returns the account that pays for a peer's tables, slots and mapping records (R25).
    pub(crate) fn table_account(&self, peer: PeerId) -> Result<Ref<Account>, PmError> {
        self.peer(peer).table_account.ok_or(PmError::NoTableQuota)
    }

    /// Returns the peer whose account this is.
    pub(crate) fn peer_of_account(&self, account: Ref<Account>) -> Option<PeerId> {
        let holder = self.peers.iter().flatten().find(|peer| peer.account == Some(account));
        holder.map(|peer| peer.id)
    }
}
