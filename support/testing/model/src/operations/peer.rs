// SPDX-License-Identifier: BSD-2-Clause
//! How peers stop, recover and are rescued (PM-76, PM-120 to PM-123), and what only some may do.

use pmserver_api::{Disturbed, PmError, Reply, RescueReport};
use proto::limits::{CALL_FRAMES_MAX, WATCH_MICROS_MAX};
use proto::{Micros, PeerId};

use crate::answers::Expected;
use crate::state::{ContainerId, Model, Outcome};

/// What becomes of a peer that faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes on at its recovery entry.
    Redirected,
    /// It is stopped.
    Stopped,
}

impl Model {
    pub(crate) fn register_recovery(&mut self, caller: PeerId) -> Expected {
        self.peers.get_mut(&caller).expect("it calls").has_recovery = true;
        Expected::done()
    }

    /// Lets a peer fault, and returns what becomes of it (PM-120, PM-121).
    pub fn fault(&mut self, id: PeerId) -> Fate {
        self.end_leases_of(id);
        let peer = self.peers.get_mut(&id).expect("it faults");
        if std::mem::take(&mut peer.has_recovery) {
            return Fate::Redirected;
        }
        peer.is_stopped = true;
        peer.watch = None;
        peer.mappings.values_mut().for_each(|mapping| mapping.is_doubtful = true);
        peer.grants.values_mut().for_each(|grant| grant.is_doubtful = true);
        let owned = self.containers.iter().filter(|(_, container)| container.owner == id);
        let owned: Vec<ContainerId> = owned.map(|(id, _)| *id).collect();
        for container in owned {
            self.begin_dying(container);
        }
        // The first step of the teardown is done at once.
        for container in self.containers.values_mut().filter(|container| container.is_dying) {
            container.is_reclaimed = true;
        }
        Fate::Stopped
    }

    pub(crate) fn watch(&mut self, caller: PeerId, server: PeerId, ttl: Micros) -> Outcome {
        if ttl.get() == 0 {
            self.peers.get_mut(&caller).expect("it calls").watch = None;
            return Ok(Expected::Time(self.within_call(0)));
        }
        if server == caller || !self.peers.contains_key(&server) {
            return Err(PmError::Invalid.into());
        }
        let range = self.within_call(ttl.get().min(WATCH_MICROS_MAX));
        let deadline = self.observed.deadline(&range);
        self.peers.get_mut(&caller).expect("it calls").watch = Some((server, deadline));
        Ok(Expected::Time(range))
    }

    pub(crate) fn rescue(&mut self, caller: PeerId) -> Outcome {
        if !self.setup(caller).is_supervisor {
            return Err(PmError::NoRight.into());
        }
        let told = match self.observed.reply() {
            Some(Reply::Rescued(report)) if self.is_kernel_unsure => Some(report),
            _ => None,
        };
        // One that the kernel did not send: its watch stays, and the deadline told has passed.
        let refused = told.filter(|told| told.next_deadline.is_some_and(|next| next <= self.now));
        let mut rescued = 0;
        while let Some((waiter, server)) = self.overdue() {
            // One without an entry, or that was sent there already, is left alone.
            let is_sent = self.peers[&server].has_recovery;
            if is_sent && refused.is_some_and(|told| told.rescued == rescued) {
                break;
            }
            self.peers.get_mut(&waiter).expect("it waits").watch = None;
            if is_sent {
                self.fault(server);
                rescued += 1;
            }
        }
        let watches = self.peers.values().filter_map(|peer| peer.watch);
        let next_deadline = watches.map(|(_, until)| until).min();
        Ok(Expected::Exactly(Ok(Reply::Rescued(RescueReport { rescued, next_deadline }))))
    }

    /// Returns the first peer whose watch has run out, and the server that it waits for.
    fn overdue(&self) -> Option<(PeerId, PeerId)> {
        self.peers.iter().find_map(|(waiter, peer)| {
            let watch = peer.watch.filter(|(_, until)| *until <= self.now);
            watch.map(|(server, _)| (*waiter, server))
        })
    }

    pub(crate) fn disturb(&mut self, caller: PeerId) -> Outcome {
        if !self.setup(caller).may_disturb {
            return Err(PmError::NoRight.into());
        }
        let grants = self.peers.values_mut().flat_map(|peer| peer.grants.values_mut());
        grants.for_each(|grant| grant.is_doubtful = true);
        let told = self.observed.disturbed().filter(|told| told.count <= CALL_FRAMES_MAX);
        let disturbed = told.unwrap_or(Disturbed { count: 0, cursor: 0 });
        Ok(Expected::Exactly(Ok(Reply::Disturbed(disturbed))))
    }
}
