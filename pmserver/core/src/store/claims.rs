// SPDX-License-Identifier: BSD-2-Clause
//! Claims of peers to memory that they were promised and that extra frames occupy (PM-342).
//!
//! A claim begins when an operation or an access is refused such memory. It ends when the operation
//! succeeds, or if it is not tried again in time. While there is a claim nobody gets new extra
//! frames, so what is given back or dropped is there for those who wait.

use proto::limits::{CLAIM_MICROS, PEERS_MAX};
use proto::{Micros, PeerId};

/// What a peer waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// The operation with this number.
    Operation(u64),
    /// An access.
    Access,
}

#[derive(Clone, Copy)]
struct Claim {
    of: Waiting,
    since: Micros,
    /// When it ends if it is not renewed.
    until: Micros,
}

/// The claims of all peers, at most one each.
#[derive(Clone)]
pub(crate) struct Claims([Option<Claim>; PEERS_MAX]);

impl Claims {
    /// Nobody waits.
    pub(crate) const NONE: Self = Self([None; PEERS_MAX]);

    /// Begins or renews the claim of a peer, and returns since when it has waited.
    pub(crate) fn open(&mut self, peer: PeerId, of: Waiting, now: Micros) -> Micros {
        let Some(place) = self.0.get_mut(usize::from(peer.get())) else { return now };
        let old = place.filter(|claim| now <= claim.until);
        let claim = old.unwrap_or(Claim { of, since: now, until: now });
        *place = Some(Claim { until: claim.until.max(later(now)), ..claim });
        claim.since
    }

    /// Keeps the claim of a peer that is told to try again at a time.
    pub(crate) fn keep(&mut self, peer: PeerId, at: Micros) {
        if let Some(Some(claim)) = self.0.get_mut(usize::from(peer.get())) {
            claim.until = later(at);
        }
    }

    /// Ends the claim of a peer that has got what it waited for.
    pub(crate) fn close(&mut self, peer: PeerId, of: Waiting) {
        if let Some(place) = self.0.get_mut(usize::from(peer.get())) {
            *place = place.filter(|claim| claim.of != of);
        }
    }

    /// Returns since when the longest claim is open.
    pub(crate) fn oldest(&self, now: Micros) -> Option<Micros> {
        let open = self.0.iter().flatten().filter(|claim| now <= claim.until);
        open.map(|claim| claim.since).min()
    }
}

fn later(at: Micros) -> Micros {
    at.saturating_add(Micros::new(CLAIM_MICROS))
}
