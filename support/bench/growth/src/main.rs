// SPDX-License-Identifier: BSD-2-Clause
//! Calls pmserver's core while its books grow: from 10 to 10,000 containers, from 4 K to 960 K
//! frames in a pool of 4 GiB, and from 1 to 13 levels of accounts. Runs under callgrind, which
//! counts the instructions of each [`measured`] call; `support/make/growth.sh` pairs the counts
//! with the lines that this prints, one for each such call: what there is, how many, and the
//! operation.
#![forbid(unsafe_code)]

mod kernel;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use pmserver_api::{
    AccountHandle, AllocateFlags, CallError, Calls, ContainerHandle, CopyFlags, DeallocateFlags,
    LimitFlags, LockMode, MapFlags, Rights,
};
use pmserver_core::Server;
use pmserver_core::config::{PeerConfig, Privileges};
use proto::{ByteCount, FrameCount, FrameNumber, Message, Micros, PeerId, Transport, VirtAddr};

use crate::kernel::FreeKernel;

const POOL_PAGES: u32 = 1 << 20;
/// Containers, and frames, at which calls are measured. Books take a part of the pool.
const CONTAINERS: &[u64] = &[10, 100, 1_000, 10_000];
const FRAMES: &[u64] = &[4_000, 16_000, 64_000, 256_000, 960_000];
/// Where frames are left out, to measure with: the tree has ever more levels above them.
const HOLE: u64 = 32;
/// The limit of the first account below the peer's own, in pages.
const LIMIT: u64 = 16_384;
/// Levels of accounts, below the peer's own.
const LEVELS: &[u64] = &[1, 5, 9, 13];
/// Frames of each measured call.
const BATCH: u64 = 16;
const WINDOW: VirtAddr = VirtAddr::new_page(0x1000_0000).unwrap();
const LONG: Micros = Micros::new(1_000_000);

/// pmserver, called as a peer.
struct Door {
    server: Rc<RefCell<Server<FreeKernel>>>,
    /// The operation to be measured, if the next call is.
    label: Rc<Cell<Option<String>>>,
    peer: PeerId,
}

impl Transport for Door {
    fn call(&mut self, request: Message) -> Message {
        let mut server = self.server.borrow_mut();
        match self.label.take() {
            Some(label) => {
                println!("{label}");
                measured(&mut server, self.peer, &request)
            }
            None => server.call(self.peer, &request),
        }
    }
}

/// The function whose instructions are counted.
#[inline(never)]
fn measured(server: &mut Server<FreeKernel>, peer: PeerId, request: &Message) -> Message {
    std::hint::black_box(server.call(peer, request))
}

struct Growth {
    pm: Calls<Door>,
    label: Rc<Cell<Option<String>>>,
}

fn main() -> Result<(), String> {
    Growth::new()?.containers().map_err(|error| error.to_string())?;
    Growth::new()?.frames().map_err(|error| error.to_string())?;
    Growth::new()?.accounts().map_err(|error| error.to_string())
}

impl Growth {
    fn new() -> Result<Self, String> {
        let peer_config = |peer, pages: u32| PeerConfig {
            peer,
            name: "peer",
            limit: ByteCount::from_pages(pages.into()),
            privileges: Privileges::empty(),
        };
        // pmserver itself keeps some memory for the table of frames.
        let peers = [peer_config(1, POOL_PAGES / 64 * 62), peer_config(2, 1024)];
        let server = Server::new(FreeKernel::new(POOL_PAGES), &peers)
            .map_err(|error| format!("pmserver does not start: {error:?}"))?;
        let label = Rc::new(Cell::new(None));
        let peer = PeerId::new(1).ok_or("a peer")?;
        let server = Rc::new(RefCell::new(server));
        Ok(Self { pm: Calls::new(Door { server, label: Rc::clone(&label), peer }), label })
    }

    fn containers(&mut self) -> Result<(), CallError> {
        let mut made: u64 = 0;
        for size in CONTAINERS {
            while made < *size {
                let container = self.pm.container_create(AccountHandle::OWN)?;
                self.allocate(container, 0, 1)?;
                made = made.saturating_add(1);
            }
            let container = self.pm.container_create(AccountHandle::OWN)?;
            self.measure(container, 0, &format!("containers {size}"))?;
            self.pm.container_destroy(container)?;
        }
        Ok(())
    }

    fn frames(&mut self) -> Result<(), CallError> {
        let container = self.pm.container_create(AccountHandle::OWN)?;
        self.allocate(container, 0, HOLE)?;
        let mut made = HOLE.saturating_add(BATCH);
        for size in FRAMES {
            while made < *size {
                let more = size.saturating_sub(made).min(256);
                self.allocate(container, made, more)?;
                made = made.saturating_add(more);
            }
            // Twice: the first time, memory for records is taken from the pool.
            self.measure(container, HOLE, "")?;
            self.measure(container, HOLE, &format!("frames {size}"))?;
        }
        Ok(())
    }

    fn accounts(&mut self) -> Result<(), CallError> {
        let mut account = AccountHandle::OWN;
        let mut depth: u64 = 0;
        for levels in LEVELS {
            while depth < *levels {
                // What is not promised to the account below is for the records of that.
                let limit = LIMIT.saturating_sub(depth.saturating_mul(64));
                let limit = u32::try_from(limit).unwrap_or(0);
                account = self.pm.account_split(account, limit, LimitFlags::empty())?;
                depth = depth.saturating_add(1);
            }
            let container = self.pm.container_create(account)?;
            // The first batch takes memory for records from the pool.
            self.allocate(container, 0, BATCH)?;
            let of = format!("accounts {levels}");
            self.next(&of, "allocate_16");
            self.allocate(container, BATCH, BATCH)?;
            self.next(&of, "deallocate_16");
            let (at, count) = (FrameNumber::new(BATCH), frames(BATCH));
            self.pm.deallocate(container, at, count, DeallocateFlags::empty())?;
            self.pm.container_destroy(container)?;
        }
        Ok(())
    }

    fn allocate(
        &mut self,
        container: ContainerHandle,
        start: u64,
        count: u64,
    ) -> Result<u64, CallError> {
        let none = AllocateFlags::empty();
        self.pm.allocate(container, FrameNumber::new(start), frames(count), none)
    }

    /// Says that the next call is measured, if `of` says what there is.
    fn next(&self, of: &str, operation: &str) {
        self.label.set(Some(format!("{of} {operation}")).filter(|_| !of.is_empty()));
    }

    /// Measures operations on frames of a container from `start` on, which has none there.
    fn measure(
        &mut self,
        container: ContainerHandle,
        start: u64,
        of: &str,
    ) -> Result<(), CallError> {
        let (at, count) = (FrameNumber::new(start), frames(BATCH));
        self.next(of, "allocate_16");
        self.allocate(container, start, BATCH)?;
        let flags = MapFlags::READ | MapFlags::WRITE;
        self.pm.map(container, at, count, WINDOW, flags | MapFlags::FORCE_WRITE)?;
        self.pm.unmap(WINDOW, count)?;
        self.next(of, "map_16");
        self.pm.map(container, at, count, WINDOW, flags)?;
        self.next(of, "unmap_16");
        self.pm.unmap(WINDOW, count)?;
        self.next(of, "lock_16");
        let lease = self.pm.lock(container, at, count, LockMode::Exclusive, LONG)?;
        self.next(of, "unlock");
        self.pm.unlock(lease.lease)?;
        let peer = PeerId::new(2).ok_or(proto::ProtocolError::BadReply)?;
        self.next(of, "share");
        let shared = self.pm.share(container, at, BATCH, peer, Rights::all(), LONG)?;
        self.next(of, "unshare");
        self.pm.unshare(shared.share)?;
        let other = self.pm.container_create(AccountHandle::OWN)?;
        self.allocate(other, 0, BATCH)?;
        self.next(of, "copy_16");
        let to = (other, FrameNumber::new(0));
        self.pm.copy((container, at), to, count, CopyFlags::empty())?;
        self.pm.container_destroy(other)?;
        self.next(of, "deallocate_16");
        self.pm.deallocate(container, at, count, DeallocateFlags::empty())?;
        self.next(of, "container_create");
        let empty = self.pm.container_create(AccountHandle::OWN)?;
        self.next(of, "container_destroy");
        self.pm.container_destroy(empty)
    }
}

fn frames(count: u64) -> FrameCount {
    FrameCount::new(count).unwrap_or(FrameCount::ONE)
}
