// SPDX-License-Identifier: BSD-2-Clause
//! Taking down containers, accounts, and what stopped peers had, in bounded steps (design D6).
//!
//! A container that is being destroyed is *dying*: nothing else can be done with it from the first
//! moment on. It waits among the dying ones of its account. Accounts in which something waits, or
//! that end themselves, stand in a queue, first come, first served; one that only leases keep goes
//! to the end, so that nobody's leases keep anybody else's memory.

pub(crate) mod budget;
mod destroy;
mod removal;

use pmserver_api::{Failure, PmError};
use proto::PeerId;
use proto::limits::RECLAIM_STEP_FRAMES;

use crate::accounts::account::{Account, AccountFlags};
use crate::accounts::ledger::{Ledger, Work};
use crate::broken;
use crate::containers::objects::{Container, ContainersOfAccount, ContainersOfOwner};
use crate::kernel::{Kernel, KernelError};
use crate::memory::records::Ref;
use crate::peers::peer::Peer;
use crate::server::Server;
use crate::teardown::budget::Budget;

/// Accounts that one step looks at.
const WORK_LOOK_MAX: u32 = 16;

impl<K: Kernel> Server<K> {
    /// Marks a container as dying: weak handles end here, and the owner's can do nothing else.
    pub(crate) fn doom(&mut self, container: Ref<Container>) {
        let record = self.pool.get_mut(container);
        if record.is_dying() {
            return;
        }
        record.dying = 1;
        let owner = record.owner();
        let rest = self.peer(owner).containers;
        let rest = self.pool.take_out::<ContainersOfOwner>(rest, container);
        self.peer_mut(owner).containers = rest;
        let account = self.home(container);
        let rest = self.pool.ledger(account).containers;
        let rest = self.pool.take_out::<ContainersOfAccount>(rest, container);
        self.pool.ledger_mut(account).containers = rest;
        let dying = self.pool.ledger(account).dying;
        let dying = self.pool.add_last::<ContainersOfAccount>(dying, container);
        self.pool.ledger_mut(account).dying = dying;
        self.doomed = self.doomed.saturating_add(1);
        self.review_work(account);
    }

    /// Returns the account in whose lists a container is, be it removed.
    fn home(&self, container: Ref<Container>) -> Ref<Account> {
        match Ref::from_link(self.pool.get(container).account) {
            Some(account) => account,
            None => broken("container without an account"),
        }
    }

    /// Moves a dying container behind the others of its account.
    pub(crate) fn pass_over_dying(&mut self, container: Ref<Container>) {
        let account = self.home(container);
        let dying = self.pool.ledger(account).dying;
        let rest = self.pool.take_out::<ContainersOfAccount>(dying, container);
        let dying = self.pool.add_last::<ContainersOfAccount>(rest, container);
        self.pool.ledger_mut(account).dying = dying;
    }

    /// Frees frames of a dying container and, when none is left, the container.
    ///
    /// # Errors
    /// `Pending` with what was done: with the deadline of a lease that is in the way, or without
    /// one where there is more to free now.
    pub(crate) fn destroy_step(
        &mut self,
        container: Ref<Container>,
        budget: &mut Budget,
    ) -> Result<(), Failure> {
        self.expire_leases(container);
        while let Some((frame, number)) = self.next_unleased_frame(container) {
            budget.spend()?;
            self.remove_frame(container, frame, number)
                .map_err(|_: KernelError| budget.failure(PmError::Kernel, number))?;
        }
        if let Some(deadline) = self.last_deadline(container) {
            return Err(budget.pending_until(deadline));
        }
        self.remove_shares(container);
        self.remove_handlers(container);
        let account = self.home(container);
        let dying = self.pool.ledger(account).dying;
        let rest = self.pool.take_out::<ContainersOfAccount>(dying, container);
        self.pool.ledger_mut(account).dying = rest;
        self.pool.free(container);
        self.doomed = self.doomed.saturating_sub(1);
        self.review_work(account);
        Ok(())
    }

    /// Frees the records of an account that has nothing any more.
    pub(crate) fn close_account(&mut self, account: Ref<Account>) {
        let ledger = self.pool.ledger_ref(account);
        if self.pool.get(ledger).is_queued() {
            self.work = self.pool.take_out::<Work>(self.work, ledger);
        }
        self.pool.close_account(account);
        self.doomed = self.doomed.saturating_sub(1);
    }

    // --- the queue ---

    /// Puts an account into the queue, or takes it out, as there is something to do or not.
    pub(crate) fn review_work(&mut self, account: Ref<Account>) {
        let record = self.pool.get(account);
        let ends = record.has(AccountFlags::DYING) || record.has(AccountFlags::REMOVED);
        let ledger = self.pool.ledger_ref(account);
        let lists = self.pool.get(ledger);
        let has_work = ends || lists.dying != 0;
        if has_work && !lists.is_queued() {
            self.work = self.pool.add_last::<Work>(self.work, ledger);
        } else if !has_work && lists.is_queued() {
            self.work = self.pool.take_out::<Work>(self.work, ledger);
        }
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
        self.doomed.saturating_add(u64::try_from(stopped).unwrap_or(u64::MAX))
    }

    fn work_step(&mut self) {
        let mut budget = Budget::new(RECLAIM_STEP_FRAMES);
        for _ in 0..WORK_LOOK_MAX {
            let Some(ledger) = Ref::<Ledger>::from_link(self.work) else { break };
            let Err(failure) = self.work_on(self.pool.account_of(ledger), &mut budget) else {
                return;
            };
            if is_more_to_do(&failure) {
                return;
            }
            let rest = self.pool.take_out::<Work>(self.work, ledger);
            self.work = self.pool.add_last::<Work>(rest, ledger);
        }
        self.pool.scrub_one();
    }

    fn work_on(&mut self, account: Ref<Account>, budget: &mut Budget) -> Result<(), Failure> {
        if self.is_removed(account) {
            return self.remove_account(account, budget);
        }
        if self.pool.get(account).has(AccountFlags::DYING) {
            return self.destroy_account(account, budget);
        }
        let first = self.pool.ledger(account).dying;
        let Some(container) = Ref::from_link(first) else { broken("queued for nothing") };
        self.destroy_step(container, budget).inspect_err(|failure| {
            if !is_more_to_do(failure) {
                self.pass_over_dying(container);
            }
        })
    }

    /// Containers first: whoever was lent one loses it before the memory goes.
    fn teardown_step(&mut self, peer: PeerId) {
        let mut budget = Budget::new(RECLAIM_STEP_FRAMES);
        while let Some(container) = Ref::from_link(self.peer(peer).containers) {
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
    !peer.vspace.is_empty() || peer.containers != 0
}
