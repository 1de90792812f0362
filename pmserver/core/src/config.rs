// SPDX-License-Identifier: BSD-2-Clause
//! The policy that pmserver starts with: who its peers are and what each may use.
//!
//! A system's own numbers go here; the mechanism is elsewhere.

use bitflags::bitflags;
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
    /// What it may do beyond what every peer may.
    pub privileges: Privileges,
}

bitflags! {
    /// What a peer may do beyond what every peer may.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Privileges: u8 {
        /// Read the accounts of others.
        const READ_ACCOUNTS = 1 << 0;
        /// Rescue servers that do not answer, and say that a device was reset.
        const SUPERVISE = 1 << 1;
        /// Set the limits of others and destroy their accounts, and split accounts off the pool.
        const SET_POLICY = 1 << 2;
        /// Pin memory for a device, and learn where it is.
        const DMA = 1 << 3;
        /// Have extra frames.
        const EXTRA = 1 << 4;
        /// Have pmserver do at once what it may do at any time: for tests.
        const DISTURB = 1 << 5;
    }
}

impl PeerConfig {
    /// Returns the number of the peer, where it is one that a peer can have.
    pub(crate) fn id(&self) -> Option<PeerId> {
        PeerId::new(self.peer.into())
    }
}

const MIB: u64 = 1 << 20;

const fn peer(peer: u8, name: &'static str, limit_mib: u64, privileges: Privileges) -> PeerConfig {
    PeerConfig { peer, name, limit: ByteCount::new(limit_mib.saturating_mul(MIB)), privileges }
}

/// The peers of the demo, with a supervisor that a system may have.
pub const PEERS: [PeerConfig; 3] = [
    peer(1, "fsserver", 8, Privileges::empty()),
    peer(2, "client", 32, Privileges::READ_ACCOUNTS),
    peer(3, "supervisor", 1, Privileges::SUPERVISE),
];

/// The peers of the scenario system: the client that runs the scenarios, puppets that it makes do
/// what a scenario says, each with the privileges of its part, and such as die in a scenario.
pub const SCENARIO_PEERS: [PeerConfig; 10] = [
    peer(1, "fsserver", 4, Privileges::empty()),
    peer(2, "client", 8, SCENARIO_CLIENT),
    peer(3, "supervisor", 1, Privileges::SUPERVISE),
    peer(4, "puppet-1", 2, Privileges::empty()),
    peer(5, "puppet-2", 2, Privileges::DMA),
    peer(6, "puppet-3", 2, Privileges::EXTRA),
    peer(7, "puppet-4", 2, Privileges::empty()),
    peer(8, "mortal-1", 1, Privileges::empty()),
    peer(9, "mortal-2", 1, Privileges::empty()),
    peer(10, "mortal-3", 1, Privileges::empty()),
];

const SCENARIO_CLIENT: Privileges = Privileges::READ_ACCOUNTS
    .union(Privileges::SUPERVISE)
    .union(Privileges::SET_POLICY)
    .union(Privileges::DISTURB);
