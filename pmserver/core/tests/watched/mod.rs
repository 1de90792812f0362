// SPDX-License-Identifier: BSD-2-Clause
//! Servers with something of every kind, over a kernel that notices a walk without an end.

mod kernel;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use pmserver_api::{
    AccountHandle, AccountRights, AllocateFlags, Calls, CopyFlags, DeallocateFlags, LimitFlags,
    LockMode, MapFlags, Marks, PmError, Request, Rights, ShareTerms,
};
use pmserver_core::config::{PeerConfig, Privileges};
use pmserver_core::kernel::Kernel;
use pmserver_core::{PageIndex, Server};
use proto::{ByteCount, FrameCount, FrameNumber, Message, Micros, PeerId, Transport, VirtAddr};
use sim::SimKernel;

pub(crate) use kernel::Watched;

/// The sizes of a record, of an entry of the frame table, and of a page.
const CELL_BYTES: usize = 64;
const ENTRY_BYTES: usize = 16;
const PAGE_BYTES: usize = 4096;
/// The bits of an entry that say what its page is used as, and what they are of a page of records.
const USED_AS: u8 = 31;
const RECORDS: u8 = 6;

const PAGE: u64 = 4096;
const WINDOW: u64 = 0x1000_0000;
const LONG: Micros = Micros::new(1_000_000);
const SHORT: Micros = Micros::new(1000);
const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);

/// A server whose records a test may change.
pub(crate) struct House {
    pub(crate) server: Rc<RefCell<Server<Watched>>>,
}

struct Door(Rc<RefCell<Server<Watched>>>, PeerId);

impl Transport for Door {
    fn call(&mut self, request: Message) -> Message {
        self.0.borrow().kernel().begin();
        self.0.borrow_mut().call(self.1, &request)
    }
}

fn peer(number: u64) -> PeerId {
    PeerId::new(number).unwrap()
}

fn frames(count: u64) -> FrameCount {
    FrameCount::new(count).unwrap()
}

fn at(number: u64) -> FrameNumber {
    FrameNumber::new(number)
}

fn page(number: u64) -> VirtAddr {
    VirtAddr::new_page(WINDOW + number * PAGE).unwrap()
}

impl House {
    /// A server of three peers. Peer 1 has a device, and peer 2 may have extra frames.
    fn new() -> Self {
        let none = Privileges::empty();
        Self::with_pool(1, [(1, 120, Privileges::DMA), (2, 520, Privileges::EXTRA), (3, 60, none)])
    }

    /// The same with a pool of so many MiB, and such peers: with their limits in KiB.
    fn with_pool<const N: usize>(mib: u64, peers: [(u8, u64, Privileges); N]) -> Self {
        let peers = peers.map(|(peer, limit_kib, privileges)| PeerConfig {
            peer,
            name: "peer",
            limit: ByteCount::new(limit_kib << 10),
            privileges,
        });
        let server = Server::new(Watched::new(SimKernel::new(mib << 20)), &peers).unwrap();
        Self { server: Rc::new(RefCell::new(server)) }
    }

    fn as_peer(&self, number: u64) -> Calls<Door> {
        Calls::new(Door(self.server.clone(), peer(number)))
    }

    /// Returns the numbers in the records and in the frame table, by page and offset, but not of
    /// more than `alike` records of a kind and entries of pages with the same use. `which` is told
    /// the kind of a record, or nothing for an entry.
    pub(crate) fn places(
        &self,
        alike: usize,
        which: impl Fn(Option<u8>) -> bool,
    ) -> Vec<(PageIndex, usize)> {
        let server = self.server.borrow();
        let kernel = server.kernel();
        let (mut places, mut seen) = (Vec::new(), BTreeMap::new());
        let mut add = |kind: Option<u8>, tag: u8, start: usize, bytes: usize| {
            let so_far = seen.entry((kind, tag)).or_insert(0);
            *so_far += 1;
            if *so_far <= alike && which(kind) {
                places.extend((start..start + bytes).step_by(4).map(place_of));
            }
        };
        for number in 0..kernel.page_count() {
            let start = usize::try_from(number).unwrap();
            let (page, at) = place_of(start * ENTRY_BYTES);
            let used_as = kernel.record_page(page).0[at] & USED_AS;
            add(None, used_as, start * ENTRY_BYTES, ENTRY_BYTES);
            if used_as == RECORDS {
                let cells = &kernel.record_page(PageIndex::new(number)).0;
                for at in (0..PAGE_BYTES).step_by(CELL_BYTES).filter(|at| cells[*at] != 0) {
                    add(Some(cells[at]), 0, start * PAGE_BYTES + at, CELL_BYTES);
                }
            }
        }
        places
    }
}

/// Returns in which page a byte of the pool is, and where.
fn place_of(byte: usize) -> (PageIndex, usize) {
    (PageIndex::new(u32::try_from(byte / PAGE_BYTES).unwrap()), byte % PAGE_BYTES)
}

/// A server with containers, shares, leases, mappings, grants, regions, handlers, copies, a bound
/// run, frames that are really shared, a pin, pages in quarantine, extra frames, and accounts below
/// accounts.
pub(crate) fn furnished() -> House {
    let house = House::new();
    let (mut driver, mut pm) = (house.as_peer(1), house.as_peer(2));
    let none = AllocateFlags::empty();
    let container = pm.container_create(AccountHandle::OWN).unwrap();
    let shared = pm.share(container, at(0), 12, peer(1), Rights::all(), LONG).unwrap();
    pm.share(container, at(0), 12, peer(1), Rights::all(), LONG).unwrap();
    pm.share(container, at(2), 3, peer(3), Rights::READ, LONG).unwrap();
    pm.allocate(container, at(0), frames(12), none).unwrap();
    pm.map(container, at(0), frames(4), page(0), FORCED).unwrap();
    driver.map(shared.weak, at(0), frames(3), page(0), MapFlags::READ).unwrap();
    driver.map(shared.weak, at(1), frames(1), page(600), MapFlags::READ).unwrap();
    driver.map(shared.weak, at(8), frames(1), page(610), MapFlags::READ).unwrap();
    pm.grant(container, at(2), frames(1), MapFlags::READ).unwrap();
    pm.attach(container, at(8), 2, page(1000), FORCED).unwrap();
    pm.attach(container, at(0), 2, page(1010), MapFlags::READ).unwrap();
    // Copies, and frames that are one memory.
    let other = pm.container_create(AccountHandle::OWN).unwrap();
    pm.allocate(other, at(0), frames(6), none).unwrap();
    let blank = pm.container_create(AccountHandle::OWN).unwrap();
    pm.allocate(blank, at(64), frames(64), none).unwrap();
    pm.map(blank, at(64), frames(64), page(1024), FORCED).unwrap();
    pm.copy((container, at(0)), (other, at(0)), frames(2), CopyFlags::empty()).unwrap();
    pm.copy((container, at(2)), (other, at(2)), frames(2), CopyFlags::SHARED).unwrap();
    pm.map(other, at(0), frames(3), page(100), MapFlags::READ).unwrap();
    // A share without a lease, and one that is taken.
    let weak = pm.share(other, at(0), 6, peer(3), Rights::READ, LONG).unwrap().weak;
    house.as_peer(3).map(weak, at(0), frames(1), page(0), MapFlags::READ).unwrap();
    let terms = ShareTerms { peer: peer(3), rights: Rights::READ, lease_max: LONG, once: true };
    let once = pm.share_on(other, at(1), 1, terms).unwrap();
    pm.arm(once.share).unwrap();
    house.as_peer(3).take(once.weak, at(1), frames(1), page(1), MapFlags::READ).unwrap();
    for (peer, start) in [(1, 4), (3, 5)] {
        let handler = Some(self::peer(peer));
        pm.set_handler(other, at(start), 1, handler, 7).unwrap();
    }
    // A pin that has run out, one that has not, and leases.
    driver.pin(shared.weak, at(6), frames(2), LockMode::Exclusive, SHORT).unwrap();
    house.server.borrow().kernel().clock().advance(2 * SHORT.get());
    pm.status(container, at(0), frames(8)).unwrap();
    driver.pin(shared.weak, at(8), frames(2), LockMode::Read, LONG).unwrap();
    driver.lock(shared.weak, at(10), frames(1), LockMode::Exclusive, LONG).unwrap();
    pm.lock(container, at(4), frames(1), LockMode::Exclusive, LONG).unwrap();
    pm.lock(container, at(0), frames(2), LockMode::Read, LONG).unwrap();
    // Accounts, one below the other and lent, and what they pay for.
    let split = pm.account_split(AccountHandle::OWN, 30, LimitFlags::EXTRA).unwrap();
    let below = pm.account_split(split, 10, LimitFlags::empty()).unwrap();
    pm.account_split(split, 2, LimitFlags::empty()).unwrap();
    pm.account_lend(split, peer(1), AccountRights::ALLOCATE).unwrap();
    pm.account_lend(split, peer(3), AccountRights::READ).unwrap();
    for account in [split, split, below] {
        let container = pm.container_create(account).unwrap();
        pm.allocate(container, at(0), frames(3), none).unwrap();
    }
    let extra = pm.container_create(split).unwrap();
    pm.allocate(extra, at(0), frames(20), AllocateFlags::EXTRA).unwrap();
    pm.mark(extra, at(18), frames(2), Marks::DISCARDABLE).unwrap();
    for _ in 0..2 {
        let small = pm.account_split(AccountHandle::OWN, 2, LimitFlags::EXTRA).unwrap();
        let container = pm.container_create(small).unwrap();
        pm.allocate(container, at(0), frames(3), AllocateFlags::EXTRA).unwrap();
    }
    // One that is destroyed, as far as a lease allows.
    let dying = pm.container_create(AccountHandle::OWN).unwrap();
    pm.allocate(dying, at(0), frames(2), none).unwrap();
    pm.lock(dying, at(0), frames(1), LockMode::Read, LONG).unwrap();
    let destroy = Request::ContainerDestroy { container: dying }.encode();
    house.server.borrow_mut().call(peer(2), &destroy);
    house
}

/// A server that keeps the record of a large frame that was unmapped, and has an opened cluster, a
/// run on a piece, and a piece of which frames are in use.
pub(crate) fn with_kept_record() -> House {
    let house = House::with_pool(64, [(2, 6 << 10, Privileges::empty())]);
    let mut pm = house.as_peer(2);
    let runs = pm.container_create(AccountHandle::OWN).unwrap();
    pm.allocate(runs, at(0), frames(128), AllocateFlags::empty()).unwrap();
    pm.map(runs, at(0), frames(128), page(0), FORCED).unwrap();
    pm.deallocate(runs, at(0), frames(60), DeallocateFlags::empty()).unwrap();
    pm.unmap(page(64), frames(64)).unwrap();
    let container = pm.container_create(AccountHandle::OWN).unwrap();
    for (first, count) in [(0, 512), (512, 8)] {
        pm.allocate(container, at(first), frames(count), AllocateFlags::empty()).unwrap();
    }
    pm.mark(container, at(513), frames(1), Marks::DISCARDABLE).unwrap();
    pm.map(container, at(0), frames(512), page(1024), FORCED).unwrap();
    assert_eq!(pm.unmap(page(1024), frames(512)), Ok(512));
    house
}

/// A server with an account that was removed, and has not been transferred wholly.
pub(crate) fn with_account_on_its_way() -> House {
    let house = House::new();
    let mut pm = house.as_peer(2);
    let split = pm.account_split(AccountHandle::OWN, 60, LimitFlags::empty()).unwrap();
    for _ in 0..300 {
        pm.container_create(split).unwrap();
    }
    let remove = Request::AccountRemove { account: split }.encode();
    let reply = house.server.borrow_mut().call(peer(2), &remove);
    assert_eq!(reply.label(), PmError::Pending.status());
    house
}

/// Keeps the panics of a walk over a broken state off the output of the tests.
pub(crate) fn silence_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let is_expected = info.location().is_some_and(|place| {
            ["core/src", "watched/kernel.rs", "sim/src"]
                .iter()
                .any(|path| place.file().contains(path))
        });
        if !is_expected {
            usual(info);
        }
    }));
}
