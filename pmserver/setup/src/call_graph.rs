// SPDX-License-Identifier: BSD-2-Clause
//! Who calls whom: the protected procedure channels between peers.

use proto::PeerId;
use proto::limits::PEERS_MAX;

/// For each peer, the peers that it may call, and so may have rescued if they do not answer
/// (PM-371).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallGraph([u32; PEERS_MAX]);

impl CallGraph {
    /// Nobody calls anybody.
    pub const NONE: Self = Self([0; PEERS_MAX]);
    /// Everybody calls everybody: for tests.
    pub const ALL: Self = Self([u32::MAX; PEERS_MAX]);

    /// Returns the same, and that one peer calls another.
    #[must_use]
    pub fn with(mut self, caller: PeerId, server: PeerId) -> Self {
        if let Some(servers) = self.0.get_mut(usize::from(caller.get())) {
            *servers |= bit(server);
        }
        self
    }

    /// Returns whether one peer calls another. None calls itself.
    #[must_use]
    pub fn contains(&self, caller: PeerId, server: PeerId) -> bool {
        caller != server && self.servers_of(caller) & bit(server) != 0
    }

    /// Returns the peers that one calls, a bit for each number.
    pub(crate) fn servers_of(&self, caller: PeerId) -> u32 {
        self.0.get(usize::from(caller.get())).copied().unwrap_or_default()
    }

    /// Sets the peers that one calls; bits are numbers of peers.
    pub(crate) fn set_servers_of(&mut self, caller: PeerId, servers: u32) {
        if let Some(place) = self.0.get_mut(usize::from(caller.get())) {
            *place = servers;
        }
    }
}

const _: () = assert!(PEERS_MAX == 32);

/// Returns the bit of a peer in a set.
pub(crate) fn bit(peer: PeerId) -> u32 {
    1_u32.checked_shl(peer.get().into()).unwrap_or_default()
}
