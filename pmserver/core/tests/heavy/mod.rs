// SPDX-License-Identifier: BSD-2-Clause
//! A world in which calls have as much work as they can have.
#![allow(dead_code)] // Each test file uses its part.

use std::cell::Cell;

use pmserver_api::{
    AccessKind, AccountHandle, AllocateFlags, CallError, ContainerHandle, CopyFlags, Failure,
    LimitFlags, LockMode, MapFlags, PmError, Rights, ShareHandle, ShareTerms,
};
use pmserver_core::config::{PeerConfig, Privileges};
use pmserver_core::{Fault, FaultOutcome};
use proto::limits::CALL_WORK_MAX;
use proto::{ByteCount, Console, Micros, VirtAddr};

use crate::world::{PAGE, Pm, World, at, frames, peer};

pub(crate) const OWN: AccountHandle = AccountHandle::OWN;
pub(crate) const POOL: AccountHandle = AccountHandle::POOL;
pub(crate) const PLAIN: AllocateFlags = AllocateFlags::empty();
pub(crate) const LONG: Micros = Micros::new(1_000_000);
pub(crate) const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);
/// Where mappings begin that are close together.
pub(crate) const FIRST: u64 = 1 << 32;

const POOL_MIB: u64 = 64;
/// No call is asked for more often than this to go on.
const AGAIN_MAX: u32 = 2000;

struct Quiet;
impl Console for Quiet {
    fn write(&mut self, _: &[u8]) {}
}

/// A world whose peer 1 may use most of the memory. All peers may do everything.
pub(crate) struct Heavy {
    pub(crate) world: World,
    next: Cell<u64>,
    apart: Cell<u64>,
}

impl Heavy {
    pub(crate) fn new() -> Self {
        let all = Privileges::all();
        let peers: Vec<PeerConfig> = (1..=5)
            .map(|peer| PeerConfig {
                peer,
                name: "peer",
                limit: ByteCount::new(if peer == 1 { POOL_MIB * 3 / 4 } else { 3 } << 20),
                privileges: all,
            })
            .collect();
        let world = World::with_peers(POOL_MIB << 20, &peers).unchecked();
        Self { world, next: Cell::new(FIRST), apart: Cell::new(0) }
    }

    /// Returns the most that a call did.
    pub(crate) fn most(&self) -> u64 {
        self.world.most_work()
    }

    /// Compares what a fault did with the bound.
    pub(crate) fn check_last(&self) {
        let work = self.world.0.borrow().work();
        assert!(work <= CALL_WORK_MAX, "a fault did {work}");
    }

    pub(crate) fn owner(&self) -> Pm {
        self.world.as_peer(1)
    }

    pub(crate) fn borrower(&self) -> Pm {
        self.world.as_peer(2)
    }

    pub(crate) fn supervisor(&self) -> Pm {
        self.world.as_peer(5)
    }

    pub(crate) fn filled(&self, count: u64) -> ContainerHandle {
        let mut pm = self.owner();
        let container = pm.container_create(OWN).unwrap();
        for start in (0..count).step_by(128) {
            let more = frames((count - start).min(128));
            pm.allocate(container, at(start), more, PLAIN).unwrap();
        }
        container
    }

    /// Lends frames to peer 2.
    pub(crate) fn lend(&self, container: ContainerHandle) -> ContainerHandle {
        let shared = self.owner().share(container, at(0), 256, peer(2), Rights::all(), LONG);
        shared.unwrap().weak
    }

    /// Lends new frames to peer 2, to be taken. The owner has them mapped.
    pub(crate) fn once(&self, count: u64) -> (ShareHandle, ContainerHandle) {
        let container = self.filled(count);
        self.map(container, count, 1, FORCED);
        let (peer, rights, lease_max) = (peer(2), Rights::WRITE, LONG);
        let terms = ShareTerms { peer, rights, lease_max, once: true };
        let shared = self.owner().share_on(container, at(0), count, terms).unwrap();
        (shared.share, shared.weak)
    }

    /// Where nothing is mapped.
    pub(crate) fn window(&self) -> VirtAddr {
        VirtAddr::new_page(FIRST).unwrap()
    }

    /// Maps frames `0..count` so many times, close together.
    pub(crate) fn map(&self, of: ContainerHandle, count: u64, times: u64, flags: MapFlags) {
        let mut pm = self.owner();
        for _ in 0..times {
            let mut done = 0;
            while done < count {
                let vaddr = VirtAddr::new_page(self.next.get() + done * PAGE).unwrap();
                let more = frames((count - done).min(256));
                done += pm.map(of, at(done), more, vaddr, flags).unwrap().count;
            }
            self.next.set(self.next.get() + count * PAGE);
        }
    }

    /// Maps each frame so many times, each mapping under page tables of its own.
    pub(crate) fn map_apart(&self, of: ContainerHandle, count: u64, times: u64, flags: MapFlags) {
        let mut pm = self.owner();
        for _ in 0..times {
            for number in 0..count {
                // There are 256 top-level entries: beyond, mappings have two tables of their own.
                let made = self.apart.get();
                self.apart.set(made + 1);
                let vaddr = ((1 + made % 200) << 39) + ((1 + made / 200) << 30);
                let vaddr = VirtAddr::new_page(vaddr).unwrap();
                pm.map(of, at(number), frames(1), vaddr, flags).unwrap();
            }
        }
    }

    /// Frames with four mappings each, and page tables for each mapping alone.
    pub(crate) fn apart(&self, count: u64) -> ContainerHandle {
        let container = self.filled(count);
        self.map_apart(container, count, 4, FORCED);
        container
    }

    /// Rings of 8 frames, each frame mapped so often.
    pub(crate) fn rings(&self, count: u64, mappings: u64, flags: MapFlags) -> ContainerHandle {
        let mut pm = self.owner();
        let first = self.filled(count);
        self.map(first, count, mappings, flags);
        for _ in 1..8 {
            let other = pm.container_create(OWN).unwrap();
            let flags_of_copy = CopyFlags::NEW | CopyFlags::SHARED;
            let all = frames(count);
            pm.copy((first, at(0)), (other, at(0)), all, flags_of_copy).unwrap();
            self.map(other, count, mappings, flags);
        }
        first
    }

    /// The same with three mappings, whose memory others share copy-on-write.
    pub(crate) fn cow_rings(&self, count: u64) -> ContainerHandle {
        let mut pm = self.owner();
        let container = self.rings(count, 3, FORCED);
        let other = pm.container_create(OWN).unwrap();
        again(|done| {
            let from = (container, at(done));
            pm.copy(from, (other, at(done)), frames(count - done), CopyFlags::NEW)
        });
        container
    }

    /// 256 frames that these peers have pinned for reading, 64 at a time, and so many others with
    /// the same memory, all mapped.
    pub(crate) fn pinned(&self, peers: &[u64], holders: u64) -> ContainerHandle {
        let mut pm = self.owner();
        let container = self.filled(256);
        self.map(container, 256, 3, FORCED);
        for _ in 1..holders {
            let copy = pm.container_create(OWN).unwrap();
            again(|done| {
                let from = (container, at(done));
                pm.copy(from, (copy, at(done)), frames(256 - done), CopyFlags::NEW)
            });
            self.map(copy, 256, 4, MapFlags::READ);
        }
        for (number, start) in peers.iter().cycle().zip((0..256).step_by(64)) {
            let terms = (peer(*number), Rights::all());
            let weak = pm.share(container, at(0), 256, terms.0, terms.1, LONG).unwrap().weak;
            let mut driver = self.world.as_peer(*number);
            let count = frames(64);
            again(|_| driver.pin(weak, at(start), count, LockMode::Read, LONG));
        }
        container
    }

    /// So many frames that share one page copy-on-write, all mapped.
    pub(crate) fn copies(&self, count: u64) -> ContainerHandle {
        let (mut pm, container) = (self.owner(), self.filled(count));
        self.map(container, 1, 1, FORCED);
        self.world.store(1, 7, VirtAddr::new_page(self.next.get() - PAGE).unwrap()).unwrap();
        for number in 1..count {
            let (from, to) = ((container, at(0)), (container, at(number)));
            pm.copy(from, to, frames(1), CopyFlags::empty()).unwrap();
        }
        self.map(container, count, 2, MapFlags::READ);
        container
    }

    /// An account as deep as they can be.
    pub(crate) fn deep(&self) -> AccountHandle {
        let mut pm = self.owner();
        let mut account = OWN;
        for level in 0..14 {
            account = pm.account_split(account, 530 - level, LimitFlags::empty()).unwrap();
        }
        account
    }

    /// Stops a peer by a fault.
    pub(crate) fn stop(&self, number: u64) {
        let fault = Fault::Access { address: 0, kind: AccessKind::Read };
        loop {
            let outcome = self.world.0.borrow_mut().fault(peer(number), fault, &mut Quiet);
            self.check_last();
            if outcome == FaultOutcome::Stopped {
                return;
            }
        }
    }
}

/// Calls until all is done. The call is told how much was done before.
pub(crate) fn again<T>(mut call: impl FnMut(u64) -> Result<T, CallError>) -> T {
    let mut done = 0;
    for _ in 0..AGAIN_MAX {
        match call(done) {
            Ok(reply) => return reply,
            Err(CallError::Refused(Failure { error: PmError::Pending, done: more, at: 0 })) => {
                done += more;
            }
            Err(other) => panic!("{other:?} after {done}"),
        }
    }
    panic!("a call asks to be called again for ever");
}
