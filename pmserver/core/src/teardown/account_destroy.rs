// SPDX-License-Identifier: BSD-2-Clause
//! account_destroy: destroys an account with everything that it pays for and all accounts below it
//! (R17).
//!
//! First the account is marked as *dying*: nothing new can be charged to it or to accounts below
//! it. Then the leaves of its tree are destroyed one after the other, in bounded steps. What a leaf
//! pays for is freed; what leases still keep is transferred to its parent. The account itself is
//! the last leaf.

use pmserver_api::{AccountHandle, AccountRights, Failure, PmError};
use proto::limits::CALL_FRAMES_MAX;
use proto::{Micros, PeerId};

use crate::kernel::Kernel;
use crate::records::account::{Account, AccountFlags};
use crate::records::budget::Budget;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::failure::is_more_to_do;
use crate::teardown::Teardown;

impl<K: Kernel> Teardown<K> {
    /// Destroys an account.
    #[inline(never)]
    pub(crate) fn account_destroy(
        &mut self,
        caller: PeerId,
        handle: AccountHandle,
    ) -> Result<(), Failure> {
        let named = self.named_account(caller, handle);
        let (account, rights) =
            named.filter(|(account, _)| !self.is_removed(*account)).ok_or(PmError::InvalidCap)?;
        if !rights.contains(AccountRights::DESTROY) {
            return Err(PmError::NoRight.into());
        }
        self.mark_account_dying(account);
        self.destroy_account(account, &mut Budget::new(CALL_FRAMES_MAX))
    }

    fn mark_account_dying(&mut self, account: Ref<Account>) {
        if self.store.get(account).has(AccountFlags::DYING) {
            return;
        }
        self.store.get_mut(account).set(AccountFlags::DYING, true);
        self.dying_count.up();
        self.review_work(account);
        if let Some(holder) = self.peer_of_account(account) {
            // The account pays for them, and nothing new can be charged to it from now on.
            self.end_leases_of(holder);
        }
    }

    /// Continues destroying an account.
    ///
    /// # Errors
    /// `Pending` with the deadline of the last lease that keeps something, or without a deadline if
    /// there is more to free now; `Kernel` if the kernel refuses.
    pub(super) fn destroy_account(
        &mut self,
        account: Ref<Account>,
        budget: &mut Budget,
    ) -> Result<(), Failure> {
        loop {
            let leaf = self.leaf_below(account);
            budget.spend(self.store.meter())?;
            let deadline = if self.is_removed(leaf) { None } else { self.drain(leaf, budget)? };
            if let Some(deadline) = deadline.filter(|_| leaf == account) {
                return Err(budget.pending_until(deadline));
            }
            // Quarantined frames outlive the account: its parent gets their charge.
            self.remove_account(leaf, budget)?;
            if leaf == account {
                return Ok(());
            }
        }
    }

    fn leaf_below(&self, account: Ref<Account>) -> Ref<Account> {
        let child = |account: &Ref<Account>| self.store.get(*account).children.target();
        core::iter::successors(Some(account), child).last().unwrap_or(account)
    }

    /// Frees what an account itself pays for. Returns the deadline of the last lease on what
    /// remains.
    fn drain(
        &mut self,
        account: Ref<Account>,
        budget: &mut Budget,
    ) -> Result<Option<Micros>, Failure> {
        // Borrowers lose access before the memory is freed.
        while let Some(container) = self.store.ledger(account).containers.target() {
            budget.spend(self.store.meter())?;
            self.mark_dying(container);
        }
        let deadline = self.drain_dying(account, budget)?;
        while let Some(user) = self.user_of(account) {
            self.clear_vspace(user, budget)?;
            self.peer_mut(user).table_account = None;
        }
        Ok(deadline)
    }

    /// Frees the dying containers of an account, each as far as leases allow.
    fn drain_dying(
        &mut self,
        account: Ref<Account>,
        budget: &mut Budget,
    ) -> Result<Option<Micros>, Failure> {
        let mut latest: Option<Micros> = None;
        let mut first_kept: Option<Ref<Container>> = None;
        while let Some(container) = self.store.ledger(account).dying.target() {
            if first_kept == Some(container) {
                break;
            }
            budget.spend(self.store.meter())?;
            let Err(failure) = self.destroy_step(container, budget) else { continue };
            if is_more_to_do(&failure) {
                return Err(failure);
            }
            self.move_dying_to_back(container);
            if failure.error != PmError::Pending {
                return Err(failure);
            }
            latest = latest.max(Some(Micros::new(failure.at)));
            first_kept = first_kept.or(Some(container));
        }
        Ok(latest)
    }

    /// Returns a peer whose VSpace an account pays for.
    fn user_of(&self, account: Ref<Account>) -> Option<PeerId> {
        let user = self.peers.iter().flatten().find(|peer| peer.table_account == Some(account));
        user.map(|peer| peer.id)
    }
}
