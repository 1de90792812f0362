// SPDX-License-Identifier: BSD-2-Clause
//! Destroying an account with all that it pays for and all below it (protocol R17, lesson 9).
//!
//! The account is *dying* from the first moment on, and with it all below it: nothing new can be
//! charged to them. Then the leaves of its tree go, one after the other, each in bounded steps:
//! what it pays for is freed, and its parent inherits the rest, which is what leases keep. The
//! last leaf is the account itself.

use pmserver_api::{AccountHandle, AccountRights, Failure, PmError};
use proto::limits::CALL_FRAMES_MAX;
use proto::{Micros, PeerId};

use crate::kernel::{Kernel, KernelError};
use crate::records::account::{Account, AccountFlags};
use crate::records::budget::Budget;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::mapping::Mapping;
use crate::records::peer::VSpaceState;
use crate::teardown::{Teardown, is_more_to_do};

impl<K: Kernel> Teardown<K> {
    /// Destroys an account.
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
        self.doom_account(account);
        self.destroy_account(account, &mut Budget::new(CALL_FRAMES_MAX))
    }

    fn doom_account(&mut self, account: Ref<Account>) {
        if self.store.get(account).has(AccountFlags::DYING) {
            return;
        }
        self.store.get_mut(account).set(AccountFlags::DYING, true);
        self.doomed.up();
        self.review_work(account);
        if let Some(holder) = self.peer_of_account(account) {
            // They are paid for by the account, and no new ones are from now on.
            self.end_leases_of(holder);
        }
    }

    /// Goes on with destroying an account.
    ///
    /// # Errors
    /// `Pending`: with the deadline of the last lease that is in the way, or without one where
    /// there is more to free now. What the kernel says where it refuses.
    pub(super) fn destroy_account(
        &mut self,
        account: Ref<Account>,
        budget: &mut Budget,
    ) -> Result<(), Failure> {
        loop {
            let leaf = self.leaf_below(account);
            budget.spend()?;
            let deadline = if self.is_removed(leaf) { None } else { self.drain(leaf, budget)? };
            if let Some(deadline) = deadline.filter(|_| leaf == account) {
                return Err(budget.pending_until(deadline));
            }
            // Of the last, what a pin of its peer's has left for good is its parent's to pay now.
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

    /// Frees what an account itself pays for, and returns the deadline of the last lease on what
    /// is left.
    fn drain(
        &mut self,
        account: Ref<Account>,
        budget: &mut Budget,
    ) -> Result<Option<Micros>, Failure> {
        // Whoever was lent one of them loses it before the memory goes.
        while let Some(container) = self.store.ledger(account).containers.target() {
            budget.spend()?;
            self.doom(container);
        }
        let deadline = self.drain_dying(account, budget)?;
        while let Some(user) = self.user_of(account) {
            self.clear_vspace(user, budget)?;
            self.peer_mut(user).table_account = None;
        }
        Ok(deadline)
    }

    /// Frees the containers of an account that are being destroyed, each as far as can be.
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
            budget.spend()?;
            let Err(failure) = self.destroy_step(container, budget) else { continue };
            if is_more_to_do(&failure) {
                return Err(failure);
            }
            self.pass_over_dying(container);
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

    /// Takes away all that pmserver has put into the VSpace of a peer.
    pub(super) fn clear_vspace(
        &mut self,
        peer: PeerId,
        budget: &mut Budget,
    ) -> Result<(), Failure> {
        // First, so that nothing is mapped again.
        self.remove_regions(peer);
        loop {
            let VSpaceState { mappings, grants, .. } = self.peer(peer).vspace;
            let first = self.store.tree_next::<Mapping>(mappings, 0);
            let next = first.or_else(|| self.store.tree_next(grants, 0));
            let Some(mapping) = next else { break };
            budget.spend()?;
            self.remove_mapping(mapping)
                .map_err(|_: KernelError| budget.failure(PmError::Kernel, 0))?;
        }
        self.clear_tables(peer, budget)
    }
}
