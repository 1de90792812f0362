// SPDX-License-Identifier: BSD-2-Clause
//! watch, rescue: send servers that hang to their recovery entry (decision D11).

use pmserver_api::{Failure, PmError, RescueReport};
use proto::limits::{FRAME_WORK_MAX, WATCH_MICROS_MAX};
use proto::{Micros, PeerId};

use crate::config::Privileges;
use crate::kernel::Kernel;
use crate::ops::Operations;

impl<K: Kernel> Operations<K> {
    /// Sends a peer to its recovery entry, if it has one. The entry is used once: the peer
    /// registers it again after recovering, so a recovery that faults does not loop.
    pub(crate) fn redirect(&mut self, peer: PeerId) -> bool {
        let Some((entry, stack_top)) = self.peer(peer).recovery else { return false };
        if self.store.kernel.redirect(peer, entry, stack_top).is_err() {
            return false;
        }
        self.peer_mut(peer).recovery = None;
        // What it was doing is over, so its leases need not delay the owners.
        self.end_leases_of(peer);
        true
    }

    /// Records how long the caller is willing to wait for a server.
    pub(crate) fn watch(
        &mut self,
        caller: PeerId,
        server: PeerId,
        ttl: Micros,
    ) -> Result<Micros, Failure> {
        if ttl == Micros::new(0) {
            self.peer_mut(caller).watch = None;
            return Ok(self.store.kernel.now());
        }
        if server == caller || self.find_peer(server).is_none() {
            return Err(PmError::Invalid.into());
        }
        let deadline =
            self.store.kernel.now().saturating_add(ttl.min(Micros::new(WATCH_MICROS_MAX)));
        self.peer_mut(caller).watch = Some((server, deadline));
        Ok(deadline)
    }

    /// Sends every server whose watch has expired to its recovery entry. If one call cannot do all,
    /// the next deadline is one that has passed.
    pub(crate) fn rescue(&mut self, caller: PeerId) -> Result<RescueReport, Failure> {
        if !self.peer(caller).privileges.contains(Privileges::SUPERVISE) {
            return Err(PmError::NoRight.into());
        }
        let now = self.store.kernel.now();
        let mut rescued: u64 = 0;
        while let Some((waiter, server)) = self.overdue(now) {
            if self.store.meter().check_room(FRAME_WORK_MAX.saturating_mul(2), 0).is_err() {
                break;
            }
            self.peer_mut(waiter).watch = None;
            if self.redirect(server) {
                rescued = rescued.saturating_add(1);
            }
        }
        let watches = self.peers.iter().flatten().filter_map(|peer| peer.watch);
        Ok(RescueReport { rescued, next_deadline: watches.map(|(_, deadline)| deadline).min() })
    }

    fn overdue(&self, now: Micros) -> Option<(PeerId, PeerId)> {
        self.peers.iter().flatten().find_map(|peer| {
            peer.watch.filter(|(_, deadline)| *deadline <= now).map(|(server, _)| (peer.id, server))
        })
    }
}
