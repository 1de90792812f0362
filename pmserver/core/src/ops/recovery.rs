// SPDX-License-Identifier: BSD-2-Clause
//! watch, rescue: send servers that hang to their recovery entry (decision D11), or to their last
//! resort (decision 0025).

use pmserver_api::{Failure, PmError, RescueReport};
use pmserver_setup::LAST_RESORT;
use proto::limits::{FRAME_WORK_MAX, RECOVERY_MICROS_MAX, WATCH_MICROS_MAX};
use proto::{Micros, PeerId, VirtAddr};

use crate::config::Privileges;
use crate::kernel::{Kernel, KernelError};
use crate::ops::Operations;
use crate::tables::Tables;

/// Where a stopped peer goes on.
const LAST_RESORT_ENTRY: VirtAddr = match VirtAddr::new(LAST_RESORT) {
    Some(entry) => entry,
    None => unreachable!(),
};

/// The code there uses none.
const NO_STACK: VirtAddr = LAST_RESORT_ENTRY;

impl<K: Kernel> Operations<K> {
    /// Sends a peer to its recovery entry, if it has one. The entry is used once: the peer
    /// registers it again after recovering, so a recovery that faults does not loop.
    ///
    /// # Errors
    /// The kernel's error; it goes on where it is then.
    pub(crate) fn redirect(&mut self, peer: PeerId) -> Result<bool, KernelError> {
        let Some((entry, stack_top)) = self.peer(peer).recovery else { return Ok(false) };
        self.store.kernel.redirect(peer, entry, stack_top)?;
        let until = self.store.kernel.now().saturating_add(Micros::new(RECOVERY_MICROS_MAX));
        let record = self.peer_mut(peer);
        record.recovery = None;
        record.recovering = Some(until);
        // What it was doing is over, so its leases need not delay the owners.
        self.end_leases_of(peer);
        Ok(true)
    }

    /// Sends a peer to its last resort, where it answers its callers (PM-370), and takes it out of
    /// service. Returns false if it is there already.
    ///
    /// # Errors
    /// The kernel's error; it goes on where it is then.
    pub(crate) fn stop(&mut self, peer: PeerId) -> Result<bool, KernelError> {
        if self.peer(peer).is_stopped {
            return Ok(false);
        }
        self.store.kernel.redirect(peer, LAST_RESORT_ENTRY, NO_STACK)?;
        self.lay_off(peer);
        Ok(true)
    }

    /// Takes a peer out of service: it has nothing from now on. Who calls it is notified (PM-374):
    /// it may wait for a notification of this peer.
    pub(crate) fn lay_off(&mut self, peer: PeerId) {
        self.end_leases_of(peer);
        let record = self.peer_mut(peer);
        record.is_stopped = true;
        record.watch = None;
        record.restarted = None;
        record.recovering = None;
        let calls = self.calls;
        let tables: &mut Tables<K> = self;
        for caller in tables.peers.iter().flatten().filter(|caller| !caller.is_stopped) {
            if calls.contains(caller.id, peer) {
                tables.store.kernel.notify(caller.id);
            }
        }
    }

    /// Registers where the caller goes on after a fault; it has recovered from the last one.
    #[inline(never)]
    pub(crate) fn register_recovery(&mut self, caller: PeerId, entry: VirtAddr, stack: VirtAddr) {
        let record = self.peer_mut(caller);
        record.recovery = Some((entry, stack));
        record.recovering = None;
    }

    /// Records how long the caller is willing to wait for a server.
    #[inline(never)]
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
        if !self.calls.contains(caller, server) {
            return Err(PmError::NoRight.into());
        }
        let deadline =
            self.store.kernel.now().saturating_add(ttl.min(Micros::new(WATCH_MICROS_MAX)));
        self.peer_mut(caller).watch = Some((server, deadline));
        Ok(deadline)
    }

    /// Sends every server whose watch has expired to its recovery entry, and stops it if it has
    /// none or has been there in vain. If one call cannot do all, or the kernel refuses one, the
    /// next deadline is one that has passed.
    #[inline(never)]
    pub(crate) fn rescue(&mut self, caller: PeerId) -> Result<RescueReport, Failure> {
        if !self.peer(caller).privileges.contains(Privileges::SUPERVISE) {
            return Err(PmError::NoRight.into());
        }
        let now = self.store.kernel.now();
        let mut rescued: u64 = 0;
        while self.store.meter().check_room(FRAME_WORK_MAX.saturating_mul(2), 0).is_ok() {
            let Some(wait) = self.take_overdue(now) else { break };
            // Who calls does not hang.
            if wait.server == caller {
                continue;
            }
            let Ok(is_sent) = self.end_wait(&wait, now) else {
                self.put_back(wait);
                break;
            };
            rescued = rescued.saturating_add(is_sent.into());
        }
        let watches = self.peers.iter().flatten().filter_map(|peer| peer.watch);
        Ok(RescueReport { rescued, next_deadline: watches.map(|(_, deadline)| deadline).min() })
    }

    /// Takes the first wait that has lasted too long.
    fn take_overdue(&mut self, now: Micros) -> Option<Wait> {
        let is_over = |(_, until): &mut (PeerId, Micros)| *until <= now;
        let watched = self.peers.iter_mut().flatten().find_map(|peer| {
            let (server, until) = peer.watch.take_if(is_over)?;
            Some(Wait { waiter: peer.id, server, until, is_last: false })
        });
        watched.or_else(|| {
            self.peers.iter_mut().flatten().find_map(|peer| {
                let (server, until) = peer.restarted.take_if(is_over)?;
                Some(Wait { waiter: peer.id, server, until, is_last: true })
            })
        })
    }

    /// Keeps a wait that the kernel did not let end, for the next call.
    fn put_back(&mut self, Wait { waiter, server, until, is_last }: Wait) {
        let record = self.peer_mut(waiter);
        let place = if is_last { &mut record.restarted } else { &mut record.watch };
        *place = Some((server, until));
    }

    /// Has a server answer a peer that has waited too long. Returns whether it was sent somewhere:
    /// one that is recovering already is left the time for that.
    ///
    /// # Errors
    /// The kernel's error; the server goes on where it is then.
    fn end_wait(&mut self, wait: &Wait, now: Micros) -> Result<bool, KernelError> {
        let server = wait.server;
        let record = self.peer(server);
        let is_recovering = record.recovering.is_some_and(|until| until > now);
        if wait.is_last || (!is_recovering && record.recovery.is_none()) {
            return self.stop(server);
        }
        let is_sent = self.redirect(server)?;
        let until = self.peer(server).recovering;
        self.peer_mut(wait.waiter).restarted = until.map(|until| (server, until));
        Ok(is_sent)
    }
}

/// A peer that waits for a server.
struct Wait {
    waiter: PeerId,
    server: PeerId,
    until: Micros,
    /// Whether the server was sent to its recovery entry for that before.
    is_last: bool,
}
