// SPDX-License-Identifier: BSD-2-Clause
//! extra_request: whether extra frames are asked back (O16).

use pmserver_api::{AccountRights, ExtraRequest};
use proto::{Micros, PeerId};

use crate::kernel::Kernel;
use crate::ops::Operations;
use crate::records::account::Account;
use crate::records::cell::Ref;
use crate::records::loan::Loan;

impl<K: Kernel> Operations<K> {
    /// Returns how many extra frames the caller is asked to free.
    pub(crate) fn extra_request(&self, caller: PeerId) -> ExtraRequest {
        let demand = &self.store.demand;
        let open = demand.open().filter(|asked| self.can_give_back(caller, asked.account));
        let count = open.map(|asked| u64::from(asked.count)).sum();
        if count == 0 {
            return ExtraRequest { count, deadline: Micros::new(0), sequence: 0 };
        }
        ExtraRequest { count, deadline: demand.deadline, sequence: demand.sequence }
    }

    /// Returns whether a peer can free the frames of an account: the account is its own, or it has
    /// split it off, or may allocate from it.
    fn can_give_back(&self, peer: PeerId, account: Ref<Account>) -> bool {
        let is_lent =
            |loan: &Loan| loan.is_for(peer) && loan.rights().contains(AccountRights::ALLOCATE);
        self.peer_of_account(account) == Some(peer)
            || self.store.get(account).is_made_by(peer)
            || self.store.loans(account).any(is_lent)
    }
}
