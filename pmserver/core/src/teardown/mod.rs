// SPDX-License-Identifier: BSD-2-Clause
//! Taking down containers, accounts, and what stopped peers had, in bounded steps (design D6).
//!
//! A container that is being destroyed is *dying*: nothing else can be done with it from the first
//! moment on. It waits among the dying ones of its account. Accounts in which something waits, or
//! that end themselves, stand in a queue, first come, first served; one that only leases keep goes
//! to the end, so that nobody's leases keep anybody else's memory.

pub(crate) mod account_destroy;
pub(crate) mod account_remove;

use pmserver_api::{Failure, PmError};
use proto::PeerId;
use proto::limits::RECLAIM_STEP_FRAMES;

use crate::broken;
use crate::kernel::Kernel;
use crate::ops::Operations;
use crate::records::account::{Account, AccountFlags};
use crate::records::budget::Budget;
use crate::records::cell::Ref;
use crate::records::ledger::Work;
use crate::records::peer::Peer;

/// Accounts that one step looks at.
const WORK_LOOK_MAX: u32 = 16;

/// The floor that takes down what is over.
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
    /// Frees the records of an account that has nothing any more.
    pub(crate) fn close_account(&mut self, account: Ref<Account>) {
        let ledger = self.store.ledger_ref(account);
        if self.store.get(ledger).is_queued() {
            let work = self.work;
            self.work = self.store.take_out::<Work>(work, ledger);
        }
        self.store.close_account(account);
        self.doomed.down();
    }

    /// Does one bounded step of what is left to do, and returns how many objects are left to free.
    /// With nothing to free it scrubs a free page.
    pub(crate) fn reclaim(&mut self) -> u64 {
        match self.peers.iter().flatten().find(|peer| peer.is_stopped && has_objects(peer)) {
            Some(peer) => self.teardown_step(peer.id),
            None => self.work_step(),
        }
        let stopped = self.peers.iter().flatten().filter(|peer| peer.is_stopped);
        let stopped = stopped.filter(|peer| has_objects(peer)).count();
        self.doomed.get().saturating_add(u64::try_from(stopped).unwrap_or(u64::MAX))
    }

    fn work_step(&mut self) {
        let mut budget = Budget::new(RECLAIM_STEP_FRAMES);
        for _ in 0..WORK_LOOK_MAX {
            let Some(ledger) = self.work.target() else { break };
            let Err(failure) = self.work_on(self.store.account_of(ledger), &mut budget) else {
                return;
            };
            if is_more_to_do(&failure) {
                return;
            }
            let work = self.work;
            let rest = self.store.take_out::<Work>(work, ledger);
            self.work = self.store.add_last::<Work>(rest, ledger);
        }
        self.store.scrub_one();
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
                self.pass_over_dying(container);
            }
        })
    }

    /// Containers first: whoever was lent one loses it before the memory goes.
    fn teardown_step(&mut self, peer: PeerId) {
        let mut budget = Budget::new(RECLAIM_STEP_FRAMES);
        while let Some(container) = self.peer(peer).containers.target() {
            if budget.spend().is_err() {
                return;
            }
            self.doom(container);
        }
        // What the kernel refuses, or what is too much, is left to the next step.
        let _ = self.clear_vspace(peer, &mut budget);
    }
}

/// Returns whether the bound on the step was all that ended it, and not a lease or the kernel: what
/// these keep goes to the end of the queue.
pub(crate) const fn is_more_to_do(failure: &Failure) -> bool {
    matches!(failure, Failure { error: PmError::Pending, at: 0, .. })
}

fn has_objects(peer: &Peer) -> bool {
    !peer.vspace.is_empty() || !peer.containers.is_none()
}
