// SPDX-License-Identifier: BSD-2-Clause
//! Faults of peers, and recovery and rescue of servers (design D4, D11).
//!
//! ```text
//!             fault, recovery registered                 register_recovery
//!   running ------------------------------> recovering ---------------------> running
//!      |                                        |
//!      | fault, none registered                 | fault
//!      v                                        v
//!   stopped: leases end at once; containers and mappings go in bounded steps (`teardown.rs`)
//! ```

use core::fmt::Write;

use pmserver_api::{AccessKind, Failure, PmError, RescueReport};
use proto::limits::WATCH_MICROS_MAX;
use proto::{Console, LineWriter, Micros, PeerId};

use crate::accounts::pressure::Room;
use crate::config::Privileges;
use crate::kernel::Kernel;
use crate::mappings::repair::Repair;
use crate::server::Server;

/// What happened to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It touched memory that is not mapped, or not for that.
    Access {
        /// The address.
        address: u64,
        /// How.
        kind: AccessKind,
    },
    /// Anything else that stops a program.
    Other,
}

/// What becomes of a peer that faulted. In either case the fault is replied to: that gives the time
/// back that came with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultOutcome {
    /// What was missing is there now, or is waited for: it tries again.
    Resumed,
    /// It goes on at its recovery entry.
    Redirected,
    /// It does not run again.
    Stopped,
}

impl<K: Kernel> Server<K> {
    /// Decides what becomes of a peer that faulted, and says so on the console in one line.
    pub fn fault(
        &mut self,
        peer: PeerId,
        fault: Fault,
        console: &mut impl Console,
    ) -> FaultOutcome {
        let Some(name) = self.find_peer(peer).map(|peer| peer.name.clone()) else {
            return FaultOutcome::Stopped;
        };
        if let Fault::Access { address, kind } = fault
            && self.resolve(peer, address, kind)
        {
            return FaultOutcome::Resumed;
        }
        let outcome =
            if self.redirect(peer) { FaultOutcome::Redirected } else { FaultOutcome::Stopped };
        let consequence = match outcome {
            FaultOutcome::Stopped => "stopped",
            _ => "sent to its recovery entry",
        };
        let mut line = LineWriter(console);
        // A console has no way to fail.
        let _ = match fault {
            Fault::Access { address, .. } => {
                writeln!(line, "pmserver: {name} {consequence}: no memory at {address:#x}")
            }
            Fault::Other => writeln!(line, "pmserver: {name} {consequence}: exception"),
        };
        if outcome == FaultOutcome::Stopped {
            // Where the kernel refuses, the peer faults again, and is stopped again.
            let _ = self.pool.kernel.retire(peer);
            self.end_leases_of(peer);
            let record = self.peer_mut(peer);
            record.is_stopped = true;
            record.watch = None;
            self.reclaim();
        }
        outcome
    }

    /// Does what an access needs that faulted (PM-124), and returns whether the peer is to try it
    /// again: then it succeeds, or waits for somebody who supplies what is missing.
    pub fn resolve(&mut self, peer: PeerId, address: u64, kind: AccessKind) -> bool {
        if self.find_peer(peer).is_none_or(|peer| peer.is_stopped) {
            return false;
        }
        self.pool.is_starved = false;
        self.repair(peer, address, kind) == Repair::TryAgain
            // Where extra frames have the memory that this takes, it is there at the next try.
            || self.pool.is_starved && self.make_room(1) != Room::Nowhere
    }

    /// Sends a peer to its recovery entry, if it has one. It registers again when it has recovered:
    /// a recovery that faults does not go round in circles.
    fn redirect(&mut self, peer: PeerId) -> bool {
        let Some((entry, stack_top)) = self.peer(peer).recovery else { return false };
        if self.pool.kernel.redirect(peer, entry, stack_top).is_err() {
            return false;
        }
        self.peer_mut(peer).recovery = None;
        // What it was in the middle of is over; whoever lent it memory need not wait.
        self.end_leases_of(peer);
        true
    }

    /// Notes how long the caller is willing to wait for a server.
    pub(crate) fn watch(
        &mut self,
        caller: PeerId,
        server: PeerId,
        ttl: Micros,
    ) -> Result<Micros, Failure> {
        if ttl == Micros::new(0) {
            self.peer_mut(caller).watch = None;
            return Ok(self.pool.kernel.now());
        }
        if server == caller || self.find_peer(server).is_none() {
            return Err(PmError::Invalid.into());
        }
        let deadline =
            self.pool.kernel.now().saturating_add(ttl.min(Micros::new(WATCH_MICROS_MAX)));
        self.peer_mut(caller).watch = Some((server, deadline));
        Ok(deadline)
    }

    /// Sends every server to its recovery entry whose caller has waited long enough.
    pub(crate) fn rescue(&mut self, caller: PeerId) -> Result<RescueReport, Failure> {
        if !self.peer(caller).privileges.contains(Privileges::SUPERVISE) {
            return Err(PmError::NoRight.into());
        }
        let now = self.pool.kernel.now();
        let mut rescued: u64 = 0;
        while let Some((waiter, server)) = self.overdue(now) {
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
