// SPDX-License-Identifier: BSD-2-Clause
//! Teardown of containers, accounts, and objects of stopped peers, in bounded steps (decision D6).
//!
//! A container that is being destroyed is *dying*: no operation accepts it any more. It waits in
//! the list of dying containers of its account. Accounts with something to tear down, or that are
//! ending themselves, wait in a queue, oldest first. If only leases keep something, its account
//! goes to the end of the queue, so that one peer's leases do not delay another peer's memory.

pub(crate) mod accounts;

use pmserver_api::Failure;
use proto::PeerId;
use proto::limits::RECLAIM_STEP_FRAMES;

use crate::kernel::Kernel;
use crate::ops::Operations;
use crate::records::account::{Account, AccountFlags};
use crate::records::broken::broken;
use crate::records::budget::Budget;
use crate::records::cell::Ref;
use crate::records::failure::is_more_to_do;
use crate::records::ledger::Work;
use crate::records::peer::Peer;

/// Accounts that one step looks at.
const WORK_LOOK_MAX: u32 = 16;

/// The floor of teardown.
#[derive(Clone)]
pub(crate) struct Teardown<K> {
    operations: Operations<K>,
}

stands_on!(Teardown.operations: Operations);

impl<K> Teardown<K> {
    /// Builds the floor on the one below.
    pub(crate) const fn new(operations: Operations<K>) -> Self {
        Self { operations }
    }
}

impl<K: Kernel> Teardown<K> {
    /// Does one bounded step of teardown and returns how many objects are left to free. If there is
    /// nothing to free, scrubs a free page. What the kernel refused to take back is tried again.
    #[inline(never)]
    pub(crate) fn reclaim(&mut self) -> u64 {
        self.retry_refused();
        match self.peers.iter().flatten().find(|peer| peer.is_stopped && has_objects(peer)) {
            Some(peer) => self.teardown_step(peer.id),
            None => self.work_step(),
        }
        let stopped = self.peers.iter().flatten().filter(|peer| peer.is_stopped);
        let stopped = stopped.filter(|peer| has_objects(peer)).count();
        self.dying_count.get().saturating_add(u64::try_from(stopped).unwrap_or(u64::MAX))
    }

    fn work_step(&mut self) {
        let mut budget = Budget::new(RECLAIM_STEP_FRAMES);
        for _ in 0..WORK_LOOK_MAX {
            let Some(ledger) = self.work.target() else { break };
            let Err(failure) = self.work_on(self.store.account_of(ledger), &mut budget) else {
                return;
            };
            // If a lease or the kernel ended the step, the account goes to the end of the queue.
            if is_more_to_do(&failure) {
                return;
            }
            let work = self.work;
            let rest = self.store.remove_from_chain::<Work>(work, ledger);
            self.work = self.store.add_last::<Work>(rest, ledger);
        }
        self.store.stock_clean();
    }

    fn work_on(&mut self, account: Ref<Account>, budget: &mut Budget) -> Result<(), Failure> {
        if self.is_removed(account) {
            return self.remove_account(account, budget);
        }
        if self.store.get(account).has(AccountFlags::DYING) {
            return self.destroy_account(account, budget);
        }
        let first = self.store.ledger(account).dying;
        let Some(container) = first.target() else { broken("queued for nothing") };
        self.destroy_step(container, budget).inspect_err(|failure| {
            if !is_more_to_do(failure) {
                self.move_dying_to_back(container);
            }
        })
    }

    /// Frees objects of a stopped peer. Containers first: borrowers lose access before the memory
    /// is freed.
    fn teardown_step(&mut self, peer: PeerId) {
        let mut budget = Budget::new(RECLAIM_STEP_FRAMES);
        while let Some(container) = self.peer(peer).containers.target() {
            if budget.spend(self.store.meter()).is_err() {
                return;
            }
            self.mark_dying(container);
        }
        // The next step continues with what the kernel refused or what was too much for this one.
        let _ = self.clear_vspace(peer, &mut budget);
    }
}

fn has_objects(peer: &Peer) -> bool {
    !peer.vspace.is_empty() || !peer.containers.is_none()
}
