// SPDX-License-Identifier: BSD-2-Clause
//! Peers: how they stop, recover and are rescued (PM-76, PM-120 to PM-123), and what the
//! configuration allows to some.

use pmserver_api::{Disturbed, PmError, Reply, RescueReport};
use proto::limits::WATCH_MICROS_MAX;
use proto::{Micros, PeerId};

use crate::expected::{Expected, Seen};
use crate::objects::{AccountId, LeaseId, Peer};
use crate::{Model, Outcome};

/// What becomes of a peer that faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on at its recovery entry.
    Redirected,
    /// It is stopped.
    Stopped,
}

impl Peer {
    pub(crate) const fn new(account: AccountId) -> Self {
        Self {
            account: Some(account),
            vspace_account: Some(account),
            is_stopped: false,
            has_recovery: false,
            watch: None,
            mappings: std::collections::BTreeMap::new(),
            regions: std::collections::BTreeMap::new(),
            grants: std::collections::BTreeMap::new(),
            had_tables: false,
            refused: None,
            is_clean: false,
        }
    }
}

impl Model {
    pub(crate) fn register_recovery(&mut self, caller: PeerId) -> Expected {
        self.peers.get_mut(&caller).expect("it calls").has_recovery = true;
        Expected::done()
    }

    /// Lets a peer fault, and returns what becomes of it (PM-120, PM-121).
    pub fn fault(&mut self, id: PeerId) -> Fate {
        self.end_leases_of(id);
        self.doubt_waiter(id);
        let peer = self.peers.get_mut(&id).expect("it faults");
        peer.refused = None;
        if std::mem::take(&mut peer.has_recovery) {
            return Fate::Redirected;
        }
        peer.is_stopped = true;
        peer.watch = None;
        peer.mappings.values_mut().for_each(|mapping| mapping.is_doubtful = true);
        peer.grants.values_mut().for_each(|grant| grant.is_doubtful = true);
        for fault in self.faults.values_mut() {
            fault.waiters.remove(&id);
        }
        let containers = self.containers.iter();
        let owned: Vec<_> = containers.filter(|(_, c)| c.owner == id).map(|(id, _)| *id).collect();
        for container in owned {
            self.begin_dying(container);
        }
        Fate::Stopped
    }

    pub(crate) fn watch(
        &mut self,
        caller: PeerId,
        server: PeerId,
        ttl: Micros,
        seen: Seen,
    ) -> Outcome {
        let is_stopped = self.peers.get(&server).map(|peer| peer.is_stopped);
        // Of watching one that is stopped nothing is said.
        let says_so = seen.failure().is_some_and(|failure| failure.error == PmError::Invalid);
        let is_wrong = server == caller || is_stopped.is_none_or(|is_stopped| is_stopped);
        // Nor of ending a watch of nobody.
        let is_open = is_stopped.is_some() && server != caller || ttl.get() == 0;
        if is_wrong && (says_so || !is_open) {
            return Err(PmError::Invalid.into());
        }
        let range = self.within_call(ttl.get().min(WATCH_MICROS_MAX));
        let deadline = seen.deadline(&range);
        let watch = (ttl.get() > 0).then_some((server, deadline));
        self.peers.get_mut(&caller).expect("it calls").watch = watch;
        // What is told where a watch is ended is not said.
        let range = if ttl.get() > 0 { range } else { 0..=u64::MAX };
        Ok(Expected::Time(range))
    }

    pub(crate) fn rescue(&mut self, caller: PeerId, seen: Seen) -> Outcome {
        if !self.setup(caller).is_supervisor {
            return Err(PmError::NoRight.into());
        }
        let mut targets = std::collections::BTreeSet::new();
        let mut next = None;
        for peer in self.peers.values_mut() {
            let Some((server, deadline)) = peer.watch else { continue };
            if deadline <= self.now {
                targets.insert(server);
                peer.watch = None;
            } else {
                next = next.into_iter().chain([deadline]).min();
            }
        }
        targets.retain(|target| !self.peers[target].is_stopped);
        let all = targets.len() as u64;
        let registered: Vec<PeerId> =
            targets.iter().copied().filter(|id| self.peers[id].has_recovery).collect();
        let rescued = registered.len() as u64;
        // Whether one that has no recovery entry is stopped, or left alone, is not said: what is
        // counted tells.
        let told = match seen.reply() {
            Some(Reply::Rescued(report)) => report.rescued,
            _ => rescued,
        };
        let are_stopped = told == all;
        for target in targets.into_iter().filter(|id| are_stopped || registered.contains(id)) {
            self.fault(target);
        }
        let rescued = if are_stopped { all } else { rescued };
        let watched = self.peers.values().filter_map(|peer| peer.watch.map(|(_, until)| until));
        let next_deadline = watched.min().filter(|_| next.is_some());
        Ok(Expected::Exactly(Ok(Reply::Rescued(RescueReport { rescued, next_deadline }))))
    }

    pub(crate) fn device_reset(&mut self, caller: PeerId, of: PeerId) -> Outcome {
        if !self.setup(caller).is_supervisor {
            return Err(PmError::NoRight.into());
        }
        if !self.peers.contains_key(&of) {
            return Err(PmError::Invalid.into());
        }
        let over = self.leases.iter().filter(|(_, lease)| lease.holder == of && !lease.is_active());
        let over: Vec<LeaseId> = over.map(|(id, _)| *id).collect();
        for id in over {
            self.leases.remove(&id);
            self.names.forget(crate::names::Object::Lease(id));
        }
        Ok(Expected::done())
    }

    pub(crate) fn disturb(&mut self, caller: PeerId, seen: Seen) -> Outcome {
        if !self.setup(caller).may_disturb {
            return Err(PmError::NoRight.into());
        }
        let grants = self.peers.values_mut().flat_map(|peer| peer.grants.values_mut());
        grants.for_each(|grant| grant.is_doubtful = true);
        let disturbed = match seen.reply() {
            Some(Reply::Disturbed(disturbed)) if disturbed.count <= 256 => *disturbed,
            _ => Disturbed { count: 0, cursor: 0 },
        };
        Ok(Expected::Exactly(Ok(Reply::Disturbed(disturbed))))
    }
}
