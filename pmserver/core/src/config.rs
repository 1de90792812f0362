// SPDX-License-Identifier: BSD-2-Clause
//! The policy that pmserver starts with: who its peers are and what each may use.
//!
//! A system's own numbers go here; the mechanism is elsewhere.

use proto::{ByteCount, PeerId};

/// One protection domain that pmserver serves.
#[derive(Clone, Copy, Debug)]
pub struct PeerConfig {
    /// Its channel and child number at pmserver.
    pub peer: u8,
    /// Its name on the console.
    pub name: &'static str,
    /// What its account may use, in whole pages.
    pub limit: ByteCount,
    /// Whether it may read the accounts of others.
    pub reads_accounts: bool,
    /// Whether it may rescue servers that do not answer.
    pub supervises: bool,
}

impl PeerConfig {
    /// Returns the number of the peer, where it is one that a peer can have.
    pub(crate) fn id(&self) -> Option<PeerId> {
        PeerId::new(self.peer.into())
    }
}

const MIB: u64 = 1 << 20;

/// The peers of the demo and of the scenario system.
pub const PEERS: [PeerConfig; 3] = [
    PeerConfig {
        peer: 1,
        name: "fsserver",
        limit: ByteCount::new(8 * MIB),
        reads_accounts: false,
        supervises: false,
    },
    PeerConfig {
        peer: 2,
        name: "client",
        limit: ByteCount::new(32 * MIB),
        reads_accounts: true,
        supervises: false,
    },
    PeerConfig {
        peer: 3,
        name: "supervisor",
        limit: ByteCount::new(MIB),
        reads_accounts: false,
        supervises: true,
    },
];
