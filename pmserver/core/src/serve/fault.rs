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
use pmserver_setup::LAST_RESORT;
use proto::{Console, LineWriter, PeerId, VirtAddr};

use crate::kernel::Kernel;
use crate::ops::repair::Repair;
use crate::serve::Service;
use crate::serve::call::RUNS_MAX;
use crate::serve::pressure::Room;
use crate::store::claims::Waiting;

/// Where a stopped peer goes on.
const LAST_RESORT_ENTRY: VirtAddr = match VirtAddr::new(LAST_RESORT) {
    Some(entry) => entry,
    None => unreachable!(),
};

/// The code there uses none.
const NO_STACK: VirtAddr = LAST_RESORT_ENTRY;

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
    /// Decides what becomes of a peer that faulted, and reports it on the console in one line.
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
        let outcome =
            if self.redirect(peer) { FaultOutcome::Redirected } else { FaultOutcome::Stopped };
        let consequence = match outcome {
            FaultOutcome::Stopped => "stopped",
            _ => "sent to its recovery entry",
        };
        let mut line = LineWriter(console);
        // The console cannot report errors.
        let _ = match fault {
            Fault::Access { address, .. } => {
                writeln!(line, "pmserver: {name} {consequence}: no memory at {address:#x}")
            }
            Fault::Other => writeln!(line, "pmserver: {name} {consequence}: exception"),
        };
        if outcome == FaultOutcome::Stopped {
            self.lay_off(peer);
            self.end_leases_of(peer);
            let record = self.peer_mut(peer);
            record.is_stopped = true;
            record.watch = None;
            self.reclaim();
        }
        outcome
    }

    /// Sends a peer to its last resort, where it answers its callers (PM-370). One that faults even
    /// there runs no more, and its callers wait.
    fn lay_off(&mut self, peer: PeerId) {
        let was_stopped = self.peer(peer).is_stopped;
        let kernel = &mut self.store.kernel;
        if was_stopped || kernel.redirect(peer, LAST_RESORT_ENTRY, NO_STACK).is_err() {
            // If the kernel refuses, the peer faults again, and it is tried again.
            let _ = kernel.retire(peer);
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
