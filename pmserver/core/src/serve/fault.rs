// SPDX-License-Identifier: BSD-2-Clause
//! Faults of peers, and recovery and rescue of servers (decision D4, D11).
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

use pmserver_api::AccessKind;
use proto::{Console, LineWriter, PeerId};

use crate::kernel::Kernel;
use crate::ops::repair::Repair;
use crate::serve::Service;
use crate::serve::pressure::Room;

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

impl<K: Kernel> Service<K> {
    /// Decides what becomes of a peer that faulted, and says so on the console in one line.
    pub(crate) fn fault(
        &mut self,
        peer: PeerId,
        fault: Fault,
        console: &mut impl Console,
    ) -> FaultOutcome {
        let Some(name) = self.find_peer(peer).map(|peer| peer.name) else {
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
            let _ = self.store.kernel.retire(peer);
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
    pub(crate) fn resolve(&mut self, peer: PeerId, address: u64, kind: AccessKind) -> bool {
        if self.find_peer(peer).is_none_or(|peer| peer.is_stopped) {
            return false;
        }
        self.store.is_starved = false;
        self.repair(peer, address, kind) == Repair::TryAgain
            // Where extra frames have the memory that this takes, it is there at the next try.
            || self.store.is_starved && self.make_room(1) != Room::Nowhere
    }
}
