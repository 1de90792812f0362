// SPDX-License-Identifier: BSD-2-Clause
//! Shapes of systems: how many peers there are, what they may, what their accounts are promised,
//! and how large the pool is. Consecutive seeds have one shape after the other.

use model::{Config, PeerSetup};
use pmserver_core::config::{PeerConfig, Privileges};
use proto::limits::LARGE_FRAMES;
use proto::{ByteCount, PAGE_BYTES, PeerId};

/// A peer: its name, how many pages its account is promised of 256 of the pool, and what it may.
type Role = (&'static str, u64, Privileges);

const POLICY: Privileges = Privileges::READ_ACCOUNTS.union(Privileges::SET_POLICY);
const SUPERVISOR: Privileges = Privileges::SUPERVISE.union(Privileges::DISTURB);

/// What a system consists of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// For the line that tells of a failure.
    pub(crate) name: &'static str,
    pool_mib: u64,
    roles: &'static [Role],
}

const USUAL: &[Role] = &[
    ("driver", 48, Privileges::DMA),
    ("policy", 48, POLICY),
    ("supervisor", 32, SUPERVISOR),
    ("cache", 32, Privileges::EXTRA.union(Privileges::DMA)),
    ("client", 32, Privileges::EXTRA),
];

/// Two that may do everything, and half of the pool is promised to nobody.
const PAIR: &[Role] = &[("first", 64, Privileges::all()), ("second", 64, Privileges::all())];

/// Nearly all of the pool is promised, and each may use more than that.
const PROMISED: &[Role] = &[
    ("policy", 40, POLICY.union(Privileges::EXTRA)),
    ("cache", 80, Privileges::EXTRA),
    ("client", 60, Privileges::EXTRA.union(Privileges::DMA)),
    ("server", 40, SUPERVISOR.union(Privileges::EXTRA)),
];

/// Accounts that are soon at their limits, which they share out among themselves.
const POOR: &[Role] = &[
    ("policy", 14, POLICY),
    ("poor", 10, Privileges::empty()),
    ("driver", 12, Privileges::DMA),
    ("supervisor", 10, SUPERVISOR),
];

/// As many as the simulated kernel has, all clients of each other.
const CROWD: &[Role] = &[
    ("policy", 24, POLICY),
    ("a", 24, Privileges::empty()),
    ("b", 24, Privileges::EXTRA),
    ("c", 24, Privileges::empty()),
    ("d", 24, Privileges::DMA),
    ("e", 24, Privileges::EXTRA),
    ("f", 24, Privileges::empty()),
    ("supervisor", 24, SUPERVISOR),
];

/// One server of several clients, with room for calls on 256 frames.
const SERVER: &[Role] = &[
    ("server", 96, Privileges::DMA.union(POLICY)),
    ("client", 64, Privileges::EXTRA),
    ("other", 64, SUPERVISOR),
];

/// Room for large frames: half of the pool is promised.
const BLOCKS: &[Role] = &[
    ("policy", 40, POLICY.union(Privileges::EXTRA)),
    ("server", 48, SUPERVISOR.union(Privileges::DMA)),
    ("client", 40, Privileges::EXTRA),
];

/// All but 4 MiB are promised, and pmserver has 2 MiB for itself: there are large frames until
/// somebody is promised more.
const TIGHT: &[Role] = &[
    ("policy", 80, POLICY.union(SUPERVISOR)),
    ("cache", 80, Privileges::EXTRA),
    ("client", 70, Privileges::EXTRA),
];

/// A smaller pool has no large frames.
const LARGE_POOL_MIB: u64 = 64;

/// The shapes, in the order of the seeds.
const SHAPES: [Shape; 10] = [
    Shape { name: "usual", pool_mib: 1, roles: USUAL },
    Shape { name: "usual-large", pool_mib: 8, roles: USUAL },
    Shape { name: "pair", pool_mib: 1, roles: PAIR },
    Shape { name: "promised", pool_mib: 1, roles: PROMISED },
    Shape { name: "poor", pool_mib: 1, roles: POOR },
    Shape { name: "crowd", pool_mib: 2, roles: CROWD },
    Shape { name: "server", pool_mib: 4, roles: SERVER },
    Shape { name: "pair-large", pool_mib: 4, roles: PAIR },
    Shape { name: "blocks", pool_mib: LARGE_POOL_MIB, roles: BLOCKS },
    Shape { name: "tight", pool_mib: LARGE_POOL_MIB, roles: TIGHT },
];

impl Shape {
    /// Returns the shape of a seed.
    pub(crate) const fn of(seed: u64) -> Self {
        SHAPES[(seed % SHAPES.len() as u64) as usize]
    }

    pub(crate) const fn pool_bytes(self) -> u64 {
        self.pool_mib << 20
    }

    /// Returns how many frames most calls of a run name, at most, if the shape says so.
    pub(crate) const fn scale(self) -> Option<u64> {
        if self.pool_mib < LARGE_POOL_MIB { None } else { Some(LARGE_FRAMES) }
    }

    /// Returns the configuration as the server has it.
    pub(crate) fn configs(self) -> Vec<PeerConfig<'static>> {
        let share = self.pool_bytes() / 256;
        let config = |(index, (name, part, privileges)): (usize, &Role)| PeerConfig {
            peer: u8::try_from(index + 1).expect("there are few"),
            name,
            limit: ByteCount::new(share * part),
            privileges: *privileges,
        };
        self.roles.iter().enumerate().map(config).collect()
    }

    /// Returns who calls whom: each those whose numbers are lower.
    pub(crate) fn channels(self) -> impl Iterator<Item = (PeerId, PeerId)> {
        let count = self.roles.len() as u64;
        let numbers = move || (1..=count).filter_map(PeerId::new);
        let pairs = numbers().flat_map(move |caller| numbers().map(move |server| (caller, server)));
        pairs.filter(|(caller, server)| server < caller)
    }

    /// Returns the configuration as the model has it.
    pub(crate) fn config(self) -> Config {
        let setup = |config: PeerConfig<'_>| PeerSetup {
            peer: PeerId::new(config.peer.into()).expect("peers have numbers from 1 on"),
            limit_pages: config.limit.get() / PAGE_BYTES,
            reads_accounts: config.privileges.contains(Privileges::READ_ACCOUNTS),
            sets_policy: config.privileges.contains(Privileges::SET_POLICY),
            is_supervisor: config.privileges.contains(Privileges::SUPERVISE),
            has_dma: config.privileges.contains(Privileges::DMA),
            may_disturb: config.privileges.contains(Privileges::DISTURB),
            may_inspect: config.privileges.contains(Privileges::INSPECT),
            may_have_extra: config.privileges.contains(Privileges::EXTRA),
        };
        Config {
            pool_pages: self.pool_bytes() / PAGE_BYTES,
            peers: self.configs().into_iter().map(setup).collect(),
            calls: self.channels().collect(),
        }
    }
}
