// SPDX-License-Identifier: BSD-2-Clause
//! Taking an account out of the tree: its parent inherits what it has (protocol O21).
//!
//! The books change hands at once, in constant time. From then on the account stands for its
//! parent, in whatever names it: a charge to it is a charge to the parent. What names it is moved
//! over in bounded steps, and when nothing does any more its records are freed.
//!
//! ```text
//!            bequeath                     hand_over, step by step
//!   account ----------> removed: stands for its parent ----------> gone
//! ```

use pmserver_api::{AccountHandle, AccountRights, Failure};
use proto::PeerId;
use proto::limits::CALL_FRAMES_MAX;

use crate::kernel::Kernel;
use crate::records::account::{Account, AccountFlags};
use crate::records::budget::Budget;
use crate::records::cell::Ref;
use crate::records::container::ContainersOfAccount;
use crate::tables::Tables;
use crate::teardown::Teardown;

impl<K: Kernel> Teardown<K> {
    /// Removes an account, whose parent inherits what it has.
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

    /// Has its parent inherit from an account, and frees it.
    ///
    /// # Errors
    /// `Pending` where that is more than the call may do.
    pub(super) fn remove_account(
        &mut self,
        account: Ref<Account>,
        budget: &mut Budget,
    ) -> Result<(), Failure> {
        if !self.is_removed(account) {
            self.bequeath(account);
        }
        let heir = self.store.heir(account);
        while self.hand_over_one(account, heir) {
            budget.spend()?;
        }
        self.close_account(account);
        Ok(())
    }

    /// Makes the charges of an account its parent's own.
    fn bequeath(&mut self, account: Ref<Account>) {
        let heir = self.store.parent(account);
        self.store.end_loans(account);
        self.store.demand.forget(account);
        let mut record = *self.store.get(account);
        self.store.get_mut(heir).inherit(&mut record);
        *self.store.get_mut(account) = record;
        self.store.hand_over_frames(account, heir);
        let tables: &mut Tables<K> = self;
        for peer in tables.peers.iter_mut().flatten() {
            if peer.account == Some(account) {
                peer.account = None;
            }
            if peer.table_account == Some(account) {
                peer.table_account = Some(heir);
                if let Some(node) = peer.vspace.grant_node {
                    tables.store.entry_mut(node).set_account(heir.link());
                }
            }
        }
        if !record.has(AccountFlags::DYING) {
            self.doomed.up();
        }
        self.review_work(account);
    }

    /// Moves one thing that names an account over to its heir; returns whether there was one.
    fn hand_over_one(&mut self, from: Ref<Account>, to: Ref<Account>) -> bool {
        if let Some(child) = self.store.get(from).children.target() {
            self.store.adopt(from, child, to);
            return true;
        }
        let ledger = *self.store.ledger(from);
        if let Some(container) = ledger.containers.target() {
            let rest = self.store.take_out::<ContainersOfAccount>(ledger.containers, container);
            self.store.ledger_mut(from).containers = rest;
            let others = self.store.ledger(to).containers;
            let joined = self.store.add_last::<ContainersOfAccount>(others, container);
            self.store.ledger_mut(to).containers = joined;
            self.store.get_mut(container).account = to.link();
            return true;
        }
        if let Some(container) = ledger.dying.target() {
            let rest = self.store.take_out::<ContainersOfAccount>(ledger.dying, container);
            self.store.ledger_mut(from).dying = rest;
            let others = self.store.ledger(to).dying;
            let joined = self.store.add_last::<ContainersOfAccount>(others, container);
            self.store.ledger_mut(to).dying = joined;
            self.store.get_mut(container).account = to.link();
            self.review_work(to);
            return true;
        }
        self.store.hand_over_page(from, to)
    }
}
