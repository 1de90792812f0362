// SPDX-License-Identifier: BSD-2-Clause
//! A pool that the initialiser hands over, as microkit #436 proposes, is the same as one whose
//! parts the system file states.
#![allow(clippy::unwrap_used)]

use crate::world::{World, at, equal_peers, filled, frames, page};
use pmserver_api::{AccountHandle, MapFlags};
use pmserver_core::config::Privileges;
use pmserver_core::kernel::Kernel;
use proto::{ByteCount, PeerId};
use sim::machine::Architecture;
use sim::{BootPlan, PoolPart, SimKernel};

#[test]
fn a_pool_that_is_handed_over_is_the_one_that_is_stated() {
    for architecture in [Architecture::X86_64, Architecture::Aarch64] {
        let peers = equal_peers::<2>(ByteCount::new(4 << 20), Privileges::empty());
        // The largest first, which is the order of those that are handed over.
        let pool: Vec<PoolPart> = [(8, 24), (9, 23), (10, 21), (11, 13)]
            .map(|(slot, size_bits)| PoolPart { slot, size_bits })
            .into();
        let plan = BootPlan {
            architecture,
            pool: pool.clone(),
            peers: peers.iter().map(|peer| PeerId::new(peer.peer.into()).unwrap()).collect(),
            cspaces: Vec::new(),
            regions: Vec::new(),
        };
        let found = [SimKernel::boot(&plan), SimKernel::boot_handed_over(&plan)].map(|kernel| {
            assert_eq!(kernel.pool(), pool);
            let pages = kernel.page_count();
            let world = World::over(kernel, &peers);
            let mut pm = world.as_peer(2);
            let container = filled(&mut pm, 256);
            pm.map(container, at(0), frames(256), page(0), MapFlags::WRITE).unwrap();
            world.store(2, 7, page(255)).unwrap();
            (pages, world.load(2, page(255)), pm.account_info(AccountHandle::OWN).unwrap())
        });
        assert_eq!(found[0], found[1]);
        assert_eq!(found[1].1, Ok(7));
    }
}
