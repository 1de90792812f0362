// SPDX-License-Identifier: BSD-2-Clause
//! account_remove: removes an account from the tree and transfers what it has to its parent (O21).
//!
//! The charges are transferred at once, in constant time. From then on the account stands for its
//! parent: a charge to it is a charge to the parent. Objects that refer to it are transferred in
//! bounded steps. When nothing refers to it any more, its records are freed.
//!
//! ```text
//!        transfer_to_parent               transfer_one, step by step
//!   account ----------> removed: stands for its parent ----------> gone
//! ```

use heapless::Vec;
use pmserver_api::{AccountHandle, AccountRights, Failure};
use proto::PeerId;
use proto::limits::{CALL_FRAMES_MAX, PEERS_MAX};

use crate::kernel::Kernel;
use crate::records::account::{Account, AccountFlags};
use crate::records::budget::Budget;
use crate::records::cell::Ref;
use crate::records::container::ContainersOfAccount;
use crate::tables::Tables;
use crate::teardown::Teardown;

impl<K: Kernel> Teardown<K> {
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
                    tables.store.entry_mut(node).set_account(payer.link());
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
}
