// SPDX-License-Identifier: BSD-2-Clause
//! Random trees of accounts that are split, lent, recalled, limited, removed and destroyed while
//! what they pay for is made, moved, leased, pinned and dropped: no count goes wrong (PM-9,
//! PM-112).
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use crate::world::{World, at, frames, page, peer};
use pmserver_api::{
    AccountHandle, AccountRights, AllocateFlags, ContainerHandle, CopyFlags, DeallocateFlags,
    LeaseHandle, LimitFlags, LockMode, MapFlags, Marks, Rights,
};
use pmserver_core::config::{PeerConfig, Privileges};
use proto::limits::EXTRA_MICROS;
use proto::{ByteCount, Micros};

const STEPS: u64 = 400;
const LONG: Micros = Micros::new(1_000_000);

/// A small generator, so that a failure is repeated from its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }
}

fn world(has_iommu: bool) -> World {
    let both = Privileges::EXTRA | Privileges::DMA;
    let policy = Privileges::SET_POLICY | Privileges::READ_ACCOUNTS | both;
    let peers = [(1, policy), (2, both), (3, both), (4, Privileges::empty())];
    let peers = peers.map(|(peer, privileges)| PeerConfig {
        peer,
        name: "peer",
        limit: ByteCount::new(96 << 10),
        privileges,
    });
    let kernel = sim::SimKernel::new(1 << 20);
    World::over(if has_iommu { kernel.with_iommu() } else { kernel }, &peers)
}

/// One random step; refusals are as good as successes.
fn step(
    world: &World,
    dice: &mut Dice,
    accounts: &mut Vec<AccountHandle>,
    containers: &mut Vec<ContainerHandle>,
    leases: &mut Vec<LeaseHandle>,
) {
    let mut pm = world.as_peer(1 + dice.below(4));
    let (account, container) = (dice.of(accounts), dice.of(containers));
    let (start, other) = (dice.below(40), dice.below(40));
    let some = frames(1 + dice.below(24));
    let extra = dice.of(&[LimitFlags::empty(), LimitFlags::EXTRA]);
    let whom = peer(1 + dice.below(4));
    let mode = dice.of(&[LockMode::Read, LockMode::Exclusive]);
    match dice.below(28) {
        0..=1 => {
            accounts.extend(pm.account_split(account, dice.below(30).try_into().unwrap(), extra))
        }
        2 => {
            let flags = extra | dice.of(&[LimitFlags::empty(), LimitFlags::EXCESS]);
            let _ = pm.account_set_limits(account, dice.below(40).try_into().unwrap(), flags);
        }
        3 => accounts.extend(pm.account_lend(account, whom, AccountRights::all())),
        4 => drop(pm.account_recall(account)),
        5 => drop(pm.account_remove(account)),
        6 => drop(pm.account_destroy(account)),
        7 => drop(pm.vspace_account(account)),
        8..=9 => containers.extend(pm.container_create(account)),
        10..=13 => {
            let flags = dice.of(&[AllocateFlags::empty(), AllocateFlags::EXTRA]);
            let _ = pm.allocate(container, at(start), some, flags | AllocateFlags::PARTIAL);
        }
        14 => drop(pm.deallocate(container, at(start), some, DeallocateFlags::empty())),
        15..=17 => {
            let flags = dice.of(&[CopyFlags::empty(), CopyFlags::SHARED, CopyFlags::MOVE]);
            let flags = flags | dice.of(&[CopyFlags::empty(), CopyFlags::NEW]);
            let _ = pm.copy((container, at(start)), (dice.of(containers), at(other)), some, flags);
        }
        18..=19 => drop(pm.map(container, at(start), some, page(other), MapFlags::WRITE)),
        20 => drop(pm.unmap(page(start), some)),
        21 => {
            let shared = pm.share(container, at(0), 64, whom, Rights::all(), LONG);
            containers.extend(shared.map(|shared| shared.weak));
        }
        22 => leases.extend(pm.lock(container, at(start), some, mode, LONG).map(|l| l.lease)),
        23 => leases.extend(pm.pin(container, at(start), some, mode, LONG).map(|p| p.lease.lease)),
        24 if !leases.is_empty() => drop(pm.unlock(dice.of(leases))),
        25 => drop(pm.mark(container, at(start), some, Marks::DISCARDABLE)),
        26 => drop(pm.container_destroy(container)),
        27 => drop(pm.reclaim()),
        _ => world.advance(dice.below(4 * EXTRA_MICROS)),
    }
    let _ = world.store(1 + dice.below(4), 1, page(dice.below(40)));
}

#[test]
fn no_count_goes_wrong() {
    for seed in 1..=12 {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed));
        let world = world(seed % 2 == 0);
        let mut accounts = vec![AccountHandle::OWN, AccountHandle::POOL];
        let mut containers: Vec<_> = (1..=4)
            .map(|number| world.as_peer(number).container_create(AccountHandle::OWN).unwrap())
            .collect();
        let mut leases = Vec::new();
        for _ in 0..STEPS {
            step(&world, &mut dice, &mut accounts, &mut containers, &mut leases);
        }
    }
}
