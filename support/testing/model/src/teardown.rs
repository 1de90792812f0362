// SPDX-License-Identifier: BSD-2-Clause
//! How containers and accounts go (PM-21 to PM-24, PM-130, PM-235 to PM-238): at once in the end,
//! and in steps of which only the server knows the order.

use std::ops::RangeInclusive;

use pmserver_api::{AccountHandle, AccountRights, ContainerHandle, PmError, Reply};
use proto::PeerId;
use proto::limits::CALL_FRAMES_MAX;

use crate::expected::{Expected, Seen};
use crate::names::{Kind, Object};
use crate::objects::{AccountId, ContainerId, LeaseId, ShareId};
use crate::{Model, Outcome};

impl Model {
    pub(crate) fn container_destroy(
        &mut self,
        caller: PeerId,
        handle: ContainerHandle,
        seen: Seen,
    ) -> Outcome {
        let id = match self.names.find(caller, Kind::Container, handle.raw()) {
            Some(Object::Container(id)) => id,
            Some(Object::Weak(share)) => {
                let container = &self.containers[&self.shares[&share].container];
                let is_dying = container.is_dying;
                let error = if is_dying { PmError::InvalidCap } else { PmError::NoRight };
                return Err(error.into());
            }
            _ => return Err(PmError::InvalidCap.into()),
        };
        let account = self.containers[&id].account;
        let is_resumed = self.containers[&id].is_dying;
        if is_resumed && self.accounts[&account].is_dying {
            // It goes with its account.
            let gone = PmError::InvalidCap.into();
            if seen.0.is_some_and(|seen| Expected::allows(&gone, seen)) {
                return Err(gone);
            }
        }
        self.begin_dying(id);
        let mut outcomes = self.steps_of(&[id]);
        if is_resumed && self.containers[&id].is_reclaimed {
            outcomes.push(PmError::InvalidCap.into());
        }
        let outcome = outcomes.swap_remove(seen.which(&outcomes));
        let Expected::Refused { error, done, at } = &outcome else {
            self.purge(id);
            return Ok(outcome);
        };
        // Without a server that says otherwise as much is done as may be.
        let freed = seen.failure().map_or(*done.end(), |failure| failure.done);
        self.containers.get_mut(&id).expect("it is dying").gone += freed;
        let exact = Expected::refused(*error, freed, *at.start());
        Ok(if seen.0.is_some() { outcome } else { exact })
    }

    /// Lets nothing more be done with a container.
    pub(crate) fn begin_dying(&mut self, id: ContainerId) {
        let container = self.containers.get_mut(&id).expect("it is there");
        container.is_dying = true;
        for peer in self.peers.values_mut() {
            for mapping in peer.mappings.values_mut().filter(|there| there.place.0 == id) {
                mapping.is_doubtful = true;
            }
            for grant in peer.grants.values_mut().filter(|there| there.place.0 == id) {
                grant.is_doubtful = true;
            }
        }
    }

    /// Returns what a call may answer that takes containers down: that all is gone, that there is
    /// more than one call does, or that leases keep some.
    fn steps_of(&self, containers: &[ContainerId]) -> Vec<Expected> {
        let mut left = 0..=0;
        let mut surely_kept = false;
        let mut deadlines = Vec::new();
        let mut is_vague = false;
        for id in containers {
            let container = &self.containers[id];
            let frames = container.frames.len() as u64 - container.gone;
            left = *left.start() + frames..=*left.end() + frames;
            is_vague |= container.is_reclaimed;
            // A lease on numbers without frames may keep the container itself.
            let leases = self.leases.values().filter(|l| l.is_active() && l.container == *id);
            deadlines.extend(leases.map(|lease| lease.deadline.get()));
            for number in container.frames.keys() {
                let direct = self
                    .leases
                    .values()
                    .filter(|lease| lease.is_active() && lease.covers((*id, *number)));
                let mut direct = direct.peekable();
                surely_kept |= direct.peek().is_some();
                deadlines.extend(direct.map(|lease| lease.deadline.get()));
                deadlines.extend(self.any_lease_at((*id, *number)));
            }
        }
        self.steps(left, surely_kept, &deadlines, is_vague)
    }

    fn steps(
        &self,
        left: RangeInclusive<u64>,
        surely_kept: bool,
        deadlines: &[u64],
        is_vague: bool,
    ) -> Vec<Expected> {
        let error = PmError::Pending;
        let most = (*left.end()).min(CALL_FRAMES_MAX);
        let mut outcomes = Vec::new();
        let is_long = *left.end() > CALL_FRAMES_MAX;
        let frames = if is_vague { 0..=most } else { 1.min(most)..=most };
        if !surely_kept && (!is_long || is_vague) {
            outcomes.push(Expected::done());
        }
        if is_long {
            outcomes.push(Expected::Refused { error, done: frames, at: 0..=0 });
        }
        for deadline in deadlines {
            let at = *deadline..=*deadline;
            outcomes.push(Expected::Refused { error, done: 0..=most, at });
        }
        outcomes
    }

    /// Takes away what is left of a container.
    pub(crate) fn purge(&mut self, id: ContainerId) {
        let Some(container) = self.containers.get(&id) else { return };
        for number in container.frames.keys().copied().collect::<Vec<u64>>() {
            self.remove_frame((id, number));
        }
        let shares = self.shares.iter().filter(|(_, share)| share.container == id);
        for share in shares.map(|(share, _)| *share).collect::<Vec<ShareId>>() {
            self.forget_share(share);
        }
        let leases = self.leases.iter().filter(|(_, lease)| lease.container == id);
        let leases = leases.filter(|(_, lease)| lease.is_active()).map(|(lease, _)| *lease);
        for lease in leases.collect::<Vec<LeaseId>>() {
            self.leases.remove(&lease);
            self.names.forget(Object::Lease(lease));
        }
        // A server may still tell what was asked before.
        for fault in self.faults.values_mut().filter(|fault| fault.place.0 == id) {
            fault.waiters.clear();
        }
        for peer in self.peers.values_mut() {
            peer.mappings.retain(|_, mapping| mapping.place.0 != id);
            peer.grants.retain(|_, grant| grant.place.0 != id);
        }
        self.containers.remove(&id);
        self.names.forget(Object::Container(id));
    }

    fn dying(&self) -> Vec<ContainerId> {
        let all = self.containers.iter().filter(|(_, container)| container.is_dying);
        all.map(|(id, _)| *id).collect()
    }

    pub(crate) fn reclaim(&mut self, seen: Seen) -> Expected {
        let containers = self.dying();
        let accounts: Vec<AccountId> =
            self.accounts.iter().filter(|(_, a)| a.is_dying).map(|(id, _)| *id).collect();
        let stopped = self.peers.values().filter(|peer| peer.is_stopped && !peer.is_clean).count();
        let most = (containers.len() + accounts.len() + stopped) as u64;
        let is_kept = containers.iter().any(|id| {
            self.leases.values().any(|lease| {
                let numbers = self.containers[id].frames.keys();
                lease.is_active() && numbers.into_iter().any(|n| lease.covers((*id, *n)))
            })
        });
        let least = u64::from(is_kept);
        let left = match seen.reply() {
            Some(Reply::Number(left)) if (least..=most).contains(left) => *left,
            _ => least,
        };
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

    pub(crate) fn account_destroy(
        &mut self,
        caller: PeerId,
        handle: AccountHandle,
        seen: Seen,
    ) -> Outcome {
        let id = self.account(caller, handle, AccountRights::DESTROY)?;
        let is_resumed = self.accounts[&id].is_dying;
        let all = self.subtree(id);
        let containers: Vec<ContainerId> = self
            .containers
            .iter()
            .filter(|(_, container)| all.contains(&container.account))
            .map(|(id, _)| *id)
            .collect();
        self.begin_account_dying(&all, &containers);
        let mut outcomes = self.steps_of(&containers);
        let pages: usize = self
            .peers
            .values()
            .filter(|peer| peer.vspace_account.is_some_and(|id| all.contains(&id)))
            .map(|peer| peer.mappings.len() + peer.grants.len() + peer.regions.len())
            .sum();
        let frames: usize = containers.iter().map(|id| self.containers[id].frames.len()).sum();
        if pages + frames + containers.len() + all.len() > CALL_FRAMES_MAX as usize {
            let (done, at) = (0..=CALL_FRAMES_MAX, 0..=0);
            outcomes.push(Expected::Refused { error: PmError::Pending, done, at });
        }
        for outcome in &mut outcomes {
            // What is counted besides frames is not said.
            if let Expected::Refused { done, .. } = outcome {
                *done = 0..=CALL_FRAMES_MAX;
            }
        }
        let is_reclaimed = containers.iter().any(|id| self.containers[id].is_reclaimed);
        if is_resumed && (is_reclaimed || containers.is_empty()) {
            outcomes.push(PmError::InvalidCap.into());
        }
        let outcome = outcomes.swap_remove(seen.which(&outcomes));
        if matches!(outcome, Expected::Refused { .. }) {
            for id in containers {
                self.containers.get_mut(&id).expect("it is dying").is_reclaimed = true;
            }
        } else {
            containers.into_iter().for_each(|id| self.purge(id));
            self.purge_account(id);
        }
        Ok(outcome)
    }

    fn begin_account_dying(&mut self, accounts: &[AccountId], containers: &[ContainerId]) {
        for id in accounts {
            self.accounts.get_mut(id).expect("it is there").is_dying = true;
        }
        for id in containers {
            self.begin_dying(*id);
        }
        let is_theirs =
            |account: Option<AccountId>| account.is_some_and(|id| accounts.contains(&id));
        for peer in self.peers.values_mut().filter(|peer| is_theirs(peer.vspace_account)) {
            peer.mappings.values_mut().for_each(|mapping| mapping.is_doubtful = true);
            peer.grants.values_mut().for_each(|grant| grant.is_doubtful = true);
        }
        let holders: Vec<PeerId> = self
            .peers
            .iter()
            .filter(|(_, peer)| is_theirs(peer.account))
            .map(|(id, _)| *id)
            .collect();
        holders.into_iter().for_each(|holder| self.end_leases_of(holder));
    }

    /// Takes away an account and those below it, which pay for nothing any more.
    fn purge_account(&mut self, id: AccountId) {
        for account in self.subtree(id) {
            self.accounts.remove(&account);
            self.names.forget(Object::Account(account));
            for peer in self.peers.values_mut() {
                if peer.account == Some(account) {
                    peer.account = None;
                }
                if peer.vspace_account == Some(account) {
                    peer.vspace_account = None;
                    peer.mappings.clear();
                    peer.regions.clear();
                    peer.grants.clear();
                }
            }
        }
    }
}
