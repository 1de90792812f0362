// SPDX-License-Identifier: BSD-2-Clause
//! pmserver's core over the simulated kernel, called through the wire form.

use model::{Access, Answer, Config, Fate, PeerSetup};
use pmserver_api::{AccessKind, Request};
use pmserver_core::config::{PeerConfig, Privileges};
use pmserver_core::kernel::VSpace;
use pmserver_core::{Fault, FaultOutcome, Server};
use proto::limits::CALL_WORK_MAX;
use proto::{ByteCount, Console, Micros, PAGE_BYTES, PeerId, VirtAddr};

use super::decode::decode;
use super::subject::{Failed, Outcome, Subject};
use crate::kernel::SimKernel;

/// Where the second copy of a page's word is: it shows whether the whole page was copied.
const LAST_WORD: u64 = PAGE_BYTES - 8;
/// What an access that faults costs.
const FAULT_MICROS: u64 = 3;
const PEERS: usize = 5;

/// Peers, what they may, and which part of the pool their accounts have, in sixteenths.
const ROLES: [(&str, u64, Privileges); PEERS] = [
    ("driver", 3, Privileges::DMA),
    ("policy", 3, Privileges::READ_ACCOUNTS.union(Privileges::SET_POLICY)),
    ("supervisor", 2, Privileges::SUPERVISE.union(Privileges::DISTURB)),
    ("cache", 2, Privileges::EXTRA.union(Privileges::DMA)),
    ("client", 2, Privileges::EXTRA),
];

/// The server, and its peers' memory.
pub(crate) struct CoreSubject {
    server: Server<SimKernel>,
}

struct Quiet;

impl Console for Quiet {
    fn write(&mut self, _: &[u8]) {}
}

/// Returns how large the pool is: small pools reach shortages.
fn pool_bytes(seed: u64) -> u64 {
    [1, 2, 8][(seed % 3) as usize] << 20
}

fn peer_configs(seed: u64) -> [PeerConfig<'static>; PEERS] {
    let mut peer = 0;
    ROLES.map(|(name, part, privileges)| {
        peer += 1;
        let limit = ByteCount::new(pool_bytes(seed) / 16 * part);
        PeerConfig { peer, name, limit, privileges }
    })
}

/// Returns the configuration of a seed as the model has it.
pub(crate) fn config(seed: u64) -> Config {
    let setup = |config: PeerConfig| PeerSetup {
        peer: PeerId::new(config.peer.into()).expect("peers have numbers from 1 on"),
        limit_pages: config.limit.get() / PAGE_BYTES,
        reads_accounts: config.privileges.contains(Privileges::READ_ACCOUNTS),
        sets_policy: config.privileges.contains(Privileges::SET_POLICY),
        is_supervisor: config.privileges.contains(Privileges::SUPERVISE),
        has_dma: config.privileges.contains(Privileges::DMA),
        may_disturb: config.privileges.contains(Privileges::DISTURB),
        may_have_extra: config.privileges.contains(Privileges::EXTRA),
    };
    Config {
        pool_pages: pool_bytes(seed) / PAGE_BYTES,
        peers: peer_configs(seed).map(setup).to_vec(),
    }
}

impl CoreSubject {
    pub(crate) fn new(seed: u64) -> Self {
        let kernel = SimKernel::new(pool_bytes(seed));
        let server = Server::new(kernel, &peer_configs(seed)).expect("the pool is large enough");
        Self { server }
    }

    pub(crate) const fn server_mut(&mut self) -> &mut Server<SimKernel> {
        &mut self.server
    }
}

const fn kind(access: Access) -> AccessKind {
    match access {
        Access::Load => AccessKind::Read,
        Access::Store(_) => AccessKind::Write,
    }
}

impl Subject for CoreSubject {
    fn now(&self) -> Micros {
        self.server.kernel().clock().now()
    }

    fn advance(&mut self, micros: u64) {
        self.server.kernel().clock().advance(micros);
    }

    fn call(&mut self, peer: PeerId, request: &Request) -> Result<Answer, String> {
        decode(request, self.server.call(peer, &request.encode()))
    }

    fn touch(&mut self, peer: PeerId, vaddr: VirtAddr, access: Access) -> Result<u64, Failed> {
        let (vspace, page) = (VSpace::Peer(peer), vaddr.page().get());
        let mut words = [0; 2];
        for (word, at) in words.iter_mut().zip([page, page + LAST_WORD]) {
            if let Access::Store(value) = access {
                let kernel = self.server.kernel_mut();
                kernel.store(vspace, &value.to_le_bytes(), at).map_err(|_| Failed::Faulted)?;
            }
            let mut bytes = [0; 8];
            let kernel = self.server.kernel();
            kernel.load(vspace, at, &mut bytes).map_err(|_| Failed::Faulted)?;
            *word = u64::from_le_bytes(bytes);
        }
        let [first, last] = words;
        if first == last {
            return Ok(first);
        }
        Err(Failed::Torn(format!("the page begins with {first:#x} and ends with {last:#x}")))
    }

    fn resolve(&mut self, peer: PeerId, vaddr: VirtAddr, access: Access) -> bool {
        self.advance(FAULT_MICROS);
        self.server.resolve(peer, vaddr.get(), kind(access))
    }

    fn fault(&mut self, peer: PeerId, vaddr: VirtAddr, access: Access) -> Outcome {
        self.advance(FAULT_MICROS);
        let fault = Fault::Access { address: vaddr.get(), kind: kind(access) };
        match self.server.fault(peer, fault, &mut Quiet) {
            FaultOutcome::Resumed => Outcome::Resumed,
            FaultOutcome::Redirected => Outcome::Ended(Fate::Redirected),
            FaultOutcome::Stopped => Outcome::Ended(Fate::Stopped),
        }
    }

    fn fail_nth(&mut self, n: Option<u64>) {
        self.server.kernel_mut().fail_nth(n);
    }

    fn check(&self) -> Result<(), String> {
        let work = self.server.work();
        if work > CALL_WORK_MAX {
            return Err(format!("it did {work}, more than {CALL_WORK_MAX} (PM-320)"));
        }
        self.server.check_invariants().map_err(|broken| broken.to_string())
    }
}
