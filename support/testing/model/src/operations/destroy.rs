// SPDX-License-Identifier: BSD-2-Clause
//! Destroying containers and accounts (PM-21 to PM-24, PM-130, PM-235 to PM-238).
//!
//! A call of `container_destroy` frees frames in the order of their numbers. How far `reclaim` and
//! `account_destroy` come depends on tables and records, too.

use std::collections::BTreeSet;

use pmserver_api::{AccountHandle, AccountRights, ContainerHandle, PmError, Reply};
use proto::PeerId;
use proto::limits::{CALL_FRAMES_MAX, LARGE_FRAMES};

use crate::answers::Expected;
use crate::state::{AccountId, ContainerId, Kind, Model, Object, Outcome};

impl Model {
    pub(crate) fn container_destroy(&mut self, caller: PeerId, handle: ContainerHandle) -> Outcome {
        let id = match self.names.find(caller, Kind::Container, handle.raw()) {
            Some(Object::Container(id)) => id,
            Some(Object::Weak(share)) => {
                let is_gone = self.is_gone(self.shares[&share].container);
                let error = if is_gone { PmError::InvalidCap } else { PmError::NoRight };
                return Err(error.into());
            }
            _ => return Err(PmError::InvalidCap.into()),
        };
        self.containers.get_mut(&id).expect("it has a name").may_live = false;
        if self.containers[&id].is_reclaimed {
            return Ok(self.destroy_further(id));
        }
        self.begin_dying(id);
        self.take_over(id);
        let is_leased = |number: &u64| self.active_leases().any(|l| l.covers((id, *number)));
        // What is left of a dropped frame counts as a frame.
        let container = &self.containers[&id];
        let numbers: BTreeSet<u64> =
            container.frames.keys().chain(&container.discarded).copied().collect();
        let free: Vec<u64> = numbers.into_iter().filter(|number| !is_leased(number)).collect();
        // One call may have too much work with fewer than that, too (PM-320).
        let more = self.observed.refusal(PmError::Pending).filter(|more| more.at == 0);
        let most = self.frames_freed_max(id);
        let most = more.map_or(most, |more| more.done.min(most));
        let freed = free.len().min(most as usize);
        for number in &free[..freed] {
            self.remove_frame((id, *number));
            self.containers.get_mut(&id).expect("it is dying").discarded.remove(number);
        }
        let leases = self.active_leases().filter(|lease| lease.container == id);
        let last = leases.map(|lease| lease.deadline.get()).max();
        match last {
            _ if freed < free.len() => Err(Expected::refused(PmError::Pending, freed as u64, 0)),
            Some(until) => Err(Expected::refused(PmError::Pending, freed as u64, until)),
            None => {
                self.purge(id);
                Ok(Expected::done())
            }
        }
    }

    /// Returns how many frames of a container one call frees at most: as many as it has if some may
    /// be large ones, which go as one (PM-448).
    fn frames_freed_max(&self, id: ContainerId) -> u64 {
        let container = &self.containers[&id];
        let all = container.frames.len() as u64;
        if all < LARGE_FRAMES { CALL_FRAMES_MAX } else { all + container.discarded.len() as u64 }
    }

    /// Goes on with a container of which other calls have freed nobody knows how much.
    fn destroy_further(&mut self, id: ContainerId) -> Expected {
        let mut outcomes = self.steps_of(&[id]);
        outcomes.push(PmError::InvalidCap.into());
        let outcome = outcomes.swap_remove(self.observed.which(&outcomes));
        let Expected::Refused { done, .. } = &outcome else {
            self.purge(id);
            return outcome;
        };
        let freed = self.observed.refusal(PmError::Pending).map_or(*done.end(), |f| f.done);
        let container = self.containers.get_mut(&id).expect("it is dying");
        // What is left of dropped frames may have been among them.
        let dropped = freed.min(container.discarded.len() as u64);
        for _ in 0..dropped {
            container.discarded.pop_first();
        }
        container.gone += freed - dropped;
        outcome
    }

    /// Returns what a call may be answered that goes on with containers: all is gone, one call does
    /// not suffice, or leases keep some frames.
    fn steps_of(&self, containers: &[ContainerId]) -> Vec<Expected> {
        let left = |id: &ContainerId| {
            let container = &self.containers[id];
            (container.frames.len() + container.discarded.len()) as u64 - container.gone
        };
        let left: u64 = containers.iter().map(left).sum();
        let most = containers.iter().map(|id| self.frames_freed_max(*id)).sum::<u64>();
        let most = left.min(most.max(CALL_FRAMES_MAX));
        let error = PmError::Pending;
        let leases = self.active_leases().filter(|lease| containers.contains(&lease.container));
        let deadlines: Vec<u64> = leases.map(|lease| lease.deadline.get()).collect();
        let mut outcomes = Vec::new();
        if deadlines.is_empty() {
            outcomes.push(Expected::done());
        }
        if left > CALL_FRAMES_MAX {
            outcomes.push(Expected::Refused { error, done: 0..=most, at: 0..=0 });
        }
        let kept = |until: u64| Expected::Refused { error, done: 0..=most, at: until..=until };
        outcomes.extend(deadlines.into_iter().map(kept));
        if left > 1 {
            // One call may have too much work with fewer, too (PM-320).
            outcomes.push(Expected::Refused { error, done: 0..=most, at: 0..=0 });
        }
        outcomes
    }

    fn dying(&self) -> Vec<ContainerId> {
        let all = self.containers.iter().filter(|(_, container)| container.is_dying);
        all.map(|(id, _)| *id).collect()
    }

    pub(crate) fn reclaim(&mut self) -> Expected {
        let containers = self.dying();
        let accounts: Vec<AccountId> =
            self.accounts.iter().filter(|(_, a)| a.is_dying).map(|(id, _)| *id).collect();
        let stopped = self.peers.values().filter(|peer| peer.is_stopped && !peer.is_clean).count();
        let most = (containers.len() + accounts.len() + stopped) as u64;
        let is_kept = self.active_leases().any(|lease| containers.contains(&lease.container));
        let left = self.observed.count(u64::from(is_kept)..=most);
        for id in &containers {
            self.containers.get_mut(id).expect("it is dying").is_reclaimed = true;
        }
        if left == 0 {
            containers.into_iter().for_each(|id| self.purge(id));
            accounts.into_iter().for_each(|id| self.purge_account(id));
            self.clean_peers();
        }
        Expected::Exactly(Ok(Reply::Number(left)))
    }

    fn clean_peers(&mut self) {
        for peer in self.peers.values_mut().filter(|peer| peer.is_stopped) {
            peer.mappings.clear();
            peer.regions.clear();
            peer.grants.clear();
            peer.is_clean = true;
        }
    }

    pub(crate) fn account_destroy(&mut self, caller: PeerId, handle: AccountHandle) -> Outcome {
        let named = self.account(caller, handle, AccountRights::DESTROY);
        if named.is_err() && self.may_have_ended_with(caller, handle) {
            // One that is gone gives no rights, and none is asked for.
            return Err(PmError::InvalidCap.into());
        }
        let id = named?;
        let is_resumed = self.accounts[&id].is_dying;
        let all = self.subtree(id);
        let is_theirs = |id: Option<AccountId>| id.is_some_and(|id| all.contains(&id));
        let containers = self.paid_for_by(&all);
        self.begin_account_dying(&all, &containers);
        let mut outcomes = self.steps_of(&containers);
        let users = self.peers.values().filter(|peer| is_theirs(peer.vspace_account));
        let pages: usize = users.map(|peer| peer.mappings.len() + peer.grants.len()).sum();
        let frames: usize = containers.iter().map(|id| self.containers[id].frames.len()).sum();
        let tables: u64 = all.iter().map(|id| self.accounts[id].overhead).sum();
        let steps = pages + frames + 2 * containers.len() + 2 * all.len() + tables as usize;
        if steps > 1 {
            let done = CALL_FRAMES_MAX..=CALL_FRAMES_MAX;
            outcomes.push(Expected::Refused { error: PmError::Pending, done, at: 0..=0 });
        }
        let most = containers.iter().map(|id| self.frames_freed_max(*id)).max();
        for outcome in &mut outcomes {
            // Records and pages count, too.
            if let Expected::Refused { done, .. } = outcome {
                *done = 0..=CALL_FRAMES_MAX + most.unwrap_or(0);
            }
        }
        if is_resumed && self.may_be_freed(&containers) {
            outcomes.push(PmError::InvalidCap.into());
        }
        let outcome = outcomes.swap_remove(self.observed.which(&outcomes));
        if let Expected::Refused { at, .. } = &outcome {
            // All that is left is what leases keep, or there is more to free.
            let are_marked = *at.start() > 0;
            for id in containers {
                let container = self.containers.get_mut(&id).expect("it is dying");
                container.is_reclaimed = true;
                container.may_live &= !are_marked;
            }
        } else {
            containers.into_iter().for_each(|id| self.purge(id));
            self.purge_account(id);
        }
        Ok(outcome)
    }

    /// Returns the containers that some accounts pay for.
    fn paid_for_by(&self, accounts: &[AccountId]) -> Vec<ContainerId> {
        let all = self.containers.iter();
        let theirs = all.filter(|(_, container)| accounts.contains(&container.account));
        theirs.map(|(id, _)| *id).collect()
    }

    /// Returns whether nothing may be left of an account with these containers that is being
    /// destroyed.
    fn may_be_freed(&self, containers: &[ContainerId]) -> bool {
        containers.is_empty() || containers.iter().any(|id| self.containers[id].is_reclaimed)
    }

    /// Returns whether an account may be gone with one above it (PM-235), and the server says so.
    fn may_have_ended_with(&self, caller: PeerId, handle: AccountHandle) -> bool {
        let named = self.account_of(caller, handle).map(|(id, _)| id);
        let dying = named.filter(|id| self.accounts[id].is_dying);
        let may_be = |id| self.may_be_freed(&self.paid_for_by(&self.subtree(id)));
        self.observed.refusal(PmError::InvalidCap).is_some() && dying.is_some_and(may_be)
    }

    fn begin_account_dying(&mut self, accounts: &[AccountId], containers: &[ContainerId]) {
        for id in accounts {
            self.accounts.get_mut(id).expect("it is there").is_dying = true;
        }
        containers.iter().for_each(|id| self.begin_ending(*id));
        let is_theirs = |id: Option<AccountId>| id.is_some_and(|id| accounts.contains(&id));
        for peer in self.peers.values_mut().filter(|peer| is_theirs(peer.vspace_account)) {
            peer.mappings.values_mut().for_each(|mapping| mapping.is_doubtful = true);
            peer.grants.values_mut().for_each(|grant| grant.is_doubtful = true);
        }
        let holders = self.peers.iter().filter(|(_, peer)| is_theirs(peer.account));
        let holders: Vec<PeerId> = holders.map(|(id, _)| *id).collect();
        holders.into_iter().for_each(|holder| self.end_leases_of(holder));
    }
}
