// SPDX-License-Identifier: BSD-2-Clause
//! How peers stop, recover and are rescued (PM-76, PM-120 to PM-123), and what only some may do.

use pmserver_api::{Disturbed, PmError, Reply, RescueReport, Row};
use proto::limits::{CALL_FRAMES_MAX, RECOVERY_MICROS_MAX, WATCH_MICROS_MAX};
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
        let peer = self.peers.get_mut(&caller).expect("it calls");
        peer.has_recovery = true;
        peer.recovers_until = None;
        Expected::done()
    }

    /// Lets a peer fault, and returns what becomes of it (PM-120, PM-121).
    pub fn fault(&mut self, id: PeerId) -> Fate {
        self.end_leases_of(id);
        let peer = self.peers.get_mut(&id).expect("it faults");
        if std::mem::take(&mut peer.has_recovery) {
            peer.recovers_until = Some(self.now.saturating_add(Micros::new(RECOVERY_MICROS_MAX)));
            return Fate::Redirected;
        }
        peer.is_stopped = true;
        peer.watch = None;
        peer.restarted = None;
        peer.mappings.values_mut().for_each(|mapping| mapping.is_doubtful = true);
        peer.grants.values_mut().for_each(|grant| grant.is_doubtful = true);
        let owned = self.containers.iter().filter(|(_, container)| container.owner == id);
        let owned: Vec<ContainerId> = owned.map(|(id, _)| *id).collect();
        for container in owned {
            self.begin_ending(container);
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
        if !self.config.calls.contains(&(caller, server)) {
            return Err(PmError::NoRight.into());
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
        let now = self.now;
        let told = match self.observed.reply() {
            Some(Reply::Rescued(report)) if self.is_kernel_unsure => Some(report),
            _ => None,
        };
        // One that the kernel did not send: its watch stays, and the deadline told has passed.
        let refused = told.filter(|told| told.next_deadline.is_some_and(|next| next <= now));
        let is_refused = |rescued| refused.is_some_and(|told| told.rescued == rescued);
        let mut rescued = 0;
        while let Some((waiter, server)) = self.overdue() {
            if self.is_sent_by_rescue(caller, server) && is_refused(rescued) {
                break;
            }
            self.peers.get_mut(&waiter).expect("it waits").watch = None;
            rescued += self.restart(caller, waiter, server);
        }
        let is_over = |(_, until): &mut (PeerId, Micros)| *until <= now;
        let waiters: Vec<PeerId> = self.peers.keys().copied().collect();
        for waiter in waiters {
            let is_refused = told.is_some_and(|told| told.rescued == rescued);
            let restarted = &mut self.peers.get_mut(&waiter).expect("it is there").restarted;
            let Some((server, until)) = restarted.take_if(is_over) else { continue };
            // It has had its time, whether it registered again or not (PM-373).
            if server != caller && !self.peers[&server].is_stopped {
                if is_refused {
                    let waiter = self.peers.get_mut(&waiter).expect("it is there");
                    waiter.restarted = Some((server, until));
                    break;
                }
                self.peers.get_mut(&server).expect("it was watched").has_recovery = false;
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

    /// Returns whether a server whose caller has waited too long is sent anywhere.
    fn is_sent_by_rescue(&self, caller: PeerId, server: PeerId) -> bool {
        let peer = &self.peers[&server];
        let is_recovering = peer.recovers_until.is_some_and(|until| until > self.now);
        server != caller && !peer.is_stopped && !is_recovering
    }

    /// Does with a server whose caller has waited too long as if it had faulted, and returns how
    /// many that were (PM-123, PM-373).
    fn restart(&mut self, caller: PeerId, waiter: PeerId, server: PeerId) -> u64 {
        let peer = &self.peers[&server];
        if server == caller || peer.is_stopped {
            return 0;
        }
        let is_recovering = peer.recovers_until.is_some_and(|until| until > self.now);
        if !is_recovering && self.fault(server) == Fate::Stopped {
            return 1;
        }
        let until = self.peers[&server].recovers_until.map(|until| (server, until));
        self.peers.get_mut(&waiter).expect("it waits").restarted = until;
        u64::from(!is_recovering)
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

    /// What a row says is the server's to tell: `pmserver/core/tests/suite/inspecting.rs` compares
    /// it with what was done.
    pub(crate) fn inspect(&self, caller: PeerId) -> Outcome {
        if !self.setup(caller).may_inspect {
            return Err(PmError::NoRight.into());
        }
        Ok(Expected::Exactly(Ok(Reply::Row(self.observed.row().unwrap_or(Row::END)))))
    }
}
