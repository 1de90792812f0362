// SPDX-License-Identifier: BSD-2-Clause
//! account_destroy, account_remove: the end of an account (R17, O21).
//!
//! An account that is *destroyed* ends with everything that it pays for and all accounts below it.
//! First it is marked as *dying*: nothing new can be charged to it or to accounts below it. Then
//! the leaves of its tree end one after the other, in bounded steps: what a leaf pays for is freed,
//! and the leaf is removed. The account itself is the last leaf.
//!
//! An account that is *removed* leaves what it has to its parent: all, or what leases and
//! quarantine have kept of a leaf. The charges are transferred at once, in constant time. From then
//! on the account stands for its parent: a charge to it is a charge to the parent. Objects that
//! refer to it are transferred in bounded steps. When nothing refers to it any more, its records
//! are freed.
//!
//! ```text
//!           drain        transfer_to_parent               transfer_one, step by step
//!   leaf ---------> empty -----------------> removed: stands for its parent ----------> gone
//! ```

use heapless::Vec;
use pmserver_api::{AccountHandle, AccountRights, Failure, PmError};
use proto::limits::{CALL_FRAMES_MAX, PEERS_MAX};
use proto::{Micros, PeerId};

use crate::kernel::Kernel;
use crate::records::account::{Account, AccountFlags};
use crate::records::budget::Budget;
use crate::records::cell::Ref;
use crate::records::container::{Container, ContainersOfAccount};
use crate::records::failure::is_more_to_do;
use crate::records::ledger::Work;
use crate::tables::Tables;
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
        self.store.dying_accounts.up();
        self.dying_count.up();
        self.review_work(account);
        if let Some(holder) = self.peer_of_account(account) {
            // The account pays for them, and nothing new can be charged to it from now on.
            self.end_leases_of(holder);
        }
    }

    /// Returns the peer whose account this is.
    fn peer_of_account(&self, account: Ref<Account>) -> Option<PeerId> {
        let holder = self.peers.iter().flatten().find(|peer| peer.account == Some(account));
        holder.map(|peer| peer.id)
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

    /// Removes an account and transfers what it has to its parent.
    #[inline(never)]
    pub(crate) fn account_remove(
        &mut self,
        caller: PeerId,
        handle: AccountHandle,
    ) -> Result<(), Failure> {
        let named = self.named_account(caller, handle);
        let removed = named.filter(|(account, _)| self.is_removed(*account));
        let account = match removed {
            Some((account, _)) => account,
            None => self.account(caller, handle, AccountRights::REMOVE)?,
        };
        self.remove_account(account, &mut Budget::new(CALL_FRAMES_MAX))
    }

    pub(crate) fn is_removed(&self, account: Ref<Account>) -> bool {
        self.store.get(account).has(AccountFlags::REMOVED)
    }

    /// Continues removing an account.
    ///
    /// # Errors
    /// `Pending` if there is more to transfer than one call may.
    pub(super) fn remove_account(
        &mut self,
        account: Ref<Account>,
        budget: &mut Budget,
    ) -> Result<(), Failure> {
        if !self.is_removed(account) {
            self.transfer_to_parent(account);
        }
        let payer = self.store.payer_for(account);
        while self.transfer_one(account, payer) {
            budget.spend(self.store.meter())?;
        }
        self.close_account(account);
        Ok(())
    }

    /// Transfers the charges of an account to its parent.
    fn transfer_to_parent(&mut self, account: Ref<Account>) {
        let payer = self.store.parent(account);
        self.leave_to_borrowers(account, payer);
        self.store.end_loans(account);
        self.store.demand.forget(account);
        let mut record = *self.store.get(account);
        self.store.get_mut(payer).inherit(&mut record);
        *self.store.get_mut(account) = record;
        self.store.transfer_frames(account, payer);
        let tables: &mut Tables<K> = self;
        for peer in tables.peers.iter_mut().flatten() {
            if peer.account == Some(account) {
                peer.account = None;
            }
            if peer.table_account == Some(account) {
                peer.table_account = Some(payer);
                if let Some(node) = peer.vspace.grant_node {
                    let slots = tables.store.slots_of(node);
                    tables.store.get_mut(slots).account = payer.link();
                }
            }
        }
        if !record.has(AccountFlags::DYING) {
            self.dying_count.up();
        }
        self.review_work(account);
    }

    /// Lets those who could charge an account have charged what is left of its limit to the one
    /// above, in equal parts (PM-341).
    fn leave_to_borrowers(&mut self, account: Ref<Account>, payer: Ref<Account>) {
        let room = self.store.get(account).room();
        let is_dying = self.store.is_closed(account);
        let users: Vec<PeerId, PEERS_MAX> = (self.peers.iter().flatten())
            .map(|peer| peer.id)
            .filter(|peer| self.may_charge(*peer, account) && !self.is_user(*peer, payer))
            .collect();
        let count = u32::try_from(users.len()).unwrap_or(u32::MAX);
        let part = room.checked_div(count).unwrap_or(0);
        for peer in users.into_iter().filter(|_| !is_dying) {
            let left = self.store.allowances.take(peer, account).unwrap_or(part);
            self.store.allowances.give(peer, payer, left.min(part));
        }
    }

    /// Transfers one object that refers to an account; returns whether there was one.
    fn transfer_one(&mut self, from: Ref<Account>, to: Ref<Account>) -> bool {
        if let Some(child) = self.store.get(from).children.target() {
            self.store.reparent(from, child, to);
            return true;
        }
        let ledger = *self.store.ledger(from);
        if let Some(container) = ledger.containers.target() {
            let rest =
                self.store.remove_from_chain::<ContainersOfAccount>(ledger.containers, container);
            self.store.ledger_mut(from).containers = rest;
            let others = self.store.ledger(to).containers;
            let joined = self.store.add_last::<ContainersOfAccount>(others, container);
            self.store.ledger_mut(to).containers = joined;
            self.store.get_mut(container).account = to.link();
            return true;
        }
        if let Some(container) = ledger.dying.target() {
            let rest = self.store.remove_from_chain::<ContainersOfAccount>(ledger.dying, container);
            self.store.ledger_mut(from).dying = rest;
            let others = self.store.ledger(to).dying;
            let joined = self.store.add_last::<ContainersOfAccount>(others, container);
            self.store.ledger_mut(to).dying = joined;
            self.store.get_mut(container).account = to.link();
            self.review_work(to);
            return true;
        }
        self.store.transfer_page(from, to)
    }

    /// Frees the records of an empty account.
    fn close_account(&mut self, account: Ref<Account>) {
        let ledger = self.store.ledger_ref(account);
        if self.store.get(ledger).is_queued() {
            let work = self.work;
            self.work = self.store.remove_from_chain::<Work>(work, ledger);
        }
        self.store.close_account(account);
        self.dying_count.down();
    }
}
