// SPDX-License-Identifier: BSD-2-Clause
//! Faults of peers: repaired, sent to the recovery entry, or stopped (decisions D4, D11).
//!
//! ```text
//!             fault, recovery registered                 register_recovery
//!   running ------------------------------> recovering ---------------------> running
//!      |                                        |
//!      | fault, none registered                 | fault
//!      v                                        v
//!   stopped: answers callers with an error and does nothing else (PM-370); leases end at once;
//!   containers and mappings go in bounded steps (`teardown/`)
//! ```

use core::fmt::Write;

use pmserver_api::AccessKind;
use proto::{Console, LineWriter, PeerId, VirtAddr};

use crate::config::PeerName;
use crate::kernel::Kernel;
use crate::ops::repair::Repair;
use crate::serve::Service;
use crate::serve::call::RUNS_MAX;
use crate::serve::pressure::Room;
use crate::store::claims::Waiting;

/// Faults of a peer that are all printed.
const LINES_MAX: u64 = 8;

/// A fault of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An access to memory that is not mapped, or not with that right.
    Access {
        /// The address.
        address: u64,
        /// The kind of access.
        kind: AccessKind,
    },
    /// Any other fault.
    Other,
}

/// The outcome of a fault. The platform replies to the fault in every case, because the reply
/// returns the scheduling context that came with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultOutcome {
    /// The peer retries the access: it can succeed now, or waits for a handler.
    Resumed,
    /// The peer continues at its recovery entry.
    Redirected,
    /// The peer does nothing more but answer its callers with an error.
    Stopped,
}

impl<K: Kernel> Service<K> {
    /// Decides what becomes of a peer that faulted, and reports it on the console in at most one
    /// line.
    pub(crate) fn fault(
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
        let outcome = if self.redirect(peer) == Ok(true) {
            FaultOutcome::Redirected
        } else {
            FaultOutcome::Stopped
        };
        self.report(peer, &name, fault, outcome, console);
        if outcome == FaultOutcome::Stopped {
            if self.stop(peer) != Ok(true) {
                // It faulted even at its last resort, or the kernel refuses: it runs no more, and
                // its callers wait. If the kernel refuses that too, it faults again.
                let _ = self.store.kernel.retire(peer);
                self.lay_off(peer);
            }
            self.reclaim();
        }
        outcome
    }

    /// Prints a line about a fault. A peer that faults again and again gets one for each of the
    /// first [`LINES_MAX`], and then each time that the number has doubled (PM-372).
    fn report(
        &mut self,
        peer: PeerId,
        name: &PeerName,
        fault: Fault,
        outcome: FaultOutcome,
        console: &mut impl Console,
    ) {
        let count = self.peer(peer).faults.saturating_add(1);
        self.peer_mut(peer).faults = count;
        let consequence = match outcome {
            FaultOutcome::Stopped if !self.peer(peer).is_stopped => "stopped",
            _ if count > LINES_MAX && !count.is_power_of_two() => return,
            FaultOutcome::Stopped => "stopped",
            _ => "sent to its recovery entry",
        };
        let mut line = LineWriter(console);
        // The console cannot report errors.
        let _ = write!(line, "pmserver: {name} {consequence}: ");
        let _ = match fault {
            Fault::Access { address, kind } => {
                write!(line, "{} at {address:#x}", self.missing_at(peer, address, kind))
            }
            Fault::Other => write!(line, "exception"),
        };
        let _ = match count {
            0..=LINES_MAX => writeln!(line),
            _ => writeln!(line, ", its fault {count}"),
        };
    }

    /// Returns what an access that faults lacks.
    fn missing_at(&self, peer: PeerId, address: u64, kind: AccessKind) -> &'static str {
        let page = VirtAddr::new(address).map(VirtAddr::page);
        let is_mapped = |page| {
            self.find_mapping(peer, page).is_some() || self.find_region(peer, page).is_some()
        };
        match kind {
            _ if !page.is_some_and(is_mapped) => "no memory",
            AccessKind::Read => "cannot load",
            AccessKind::Write => "cannot store",
            AccessKind::Execute => "cannot execute",
        }
    }

    /// Does what a faulting access needs (PM-124). Returns whether the peer should retry: the
    /// access then succeeds, or waits for a handler.
    pub(crate) fn resolve(&mut self, peer: PeerId, address: u64, kind: AccessKind) -> bool {
        if self.find_peer(peer).is_none_or(|peer| peer.is_stopped) {
            return false;
        }
        self.store.allowances.serve(peer);
        for _ in 0..RUNS_MAX {
            self.store.is_starved = false;
            let is_repaired = self.repair(peer, address, kind) == Repair::TryAgain;
            if is_repaired || !self.store.is_starved {
                self.store.claims.close(peer, Waiting::Access);
                return is_repaired;
            }
            match self.make_room(peer, Waiting::Access, 1) {
                Room::Made => {}
                // The memory is available at a later retry.
                Room::Asked(_) | Room::More => return true,
                Room::Nowhere => return false,
            }
        }
        true
    }
}
