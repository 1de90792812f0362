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
pub(crate) struct Claims {
    of_peer: [Option<Claim>; PEERS_MAX],
    count: u32,
}

impl Claims {
    /// Nobody waits.
    pub(crate) const NONE: Self = Self { of_peer: [None; PEERS_MAX], count: 0 };

    /// Begins or renews the claim of a peer, and returns since when it has waited.
    pub(crate) fn open(&mut self, peer: PeerId, of: Waiting, now: Micros) -> Micros {
        let Some(place) = self.of_peer.get_mut(usize::from(peer.get())) else { return now };
        self.count = self.count.saturating_add(place.is_none().into());
        let old = place.filter(|claim| now <= claim.until);
        let claim = old.unwrap_or(Claim { of, since: now, until: now });
        *place = Some(Claim { until: claim.until.max(later(now)), ..claim });
        claim.since
    }

    /// Keeps the claim of a peer that is told to try again at a time.
    pub(crate) fn keep(&mut self, peer: PeerId, at: Micros) {
        if let Some(Some(claim)) = self.of_peer.get_mut(usize::from(peer.get())) {
            claim.until = later(at);
        }
    }

    /// Ends the claim of a peer that has got what it waited for.
    pub(crate) fn close(&mut self, peer: PeerId, of: Waiting) {
        if self.is_empty() {
            return;
        }
        if let Some(place) = self.of_peer.get_mut(usize::from(peer.get()))
            && place.is_some_and(|claim| claim.of == of)
        {
            *place = None;
            self.count = self.count.saturating_sub(1);
        }
    }

    /// Returns whether nobody has one, open or run out.
    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns since when the longest claim is open.
    pub(crate) fn oldest(&self, now: Micros) -> Option<Micros> {
        let open = self.of_peer.iter().flatten().filter(|claim| now <= claim.until);
        open.map(|claim| claim.since).min()
    }
}

fn later(at: Micros) -> Micros {
    at.saturating_add(Micros::new(CLAIM_MICROS))
}
