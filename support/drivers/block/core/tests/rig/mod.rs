// SPDX-License-Identifier: BSD-2-Clause
//! A block server on the real pmserver, with a disk that does what a test tells it to.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::rc::Rc;

use block_api::{BlockCount, Client, Completion, DiskFeatures, Geometry, Place, Tag};
use block_core::{BlockServer, Broken, Device, Limits, Refusal, RequestIndex, Transfer};
use pmserver_client::{
    AddressSpace, Container, ContainerHandle, FrameState, MapFlags, Message, Micros, PeerId, Pm,
    Rights, ShareTerms, Transport, VirtAddr,
};
use pmserver_core::config::{PeerConfig, Privileges};
use proto::ByteCount;
use proto::limits::{LARGE_FRAMES, LEASE_MICROS_MAX};
use sim::testbed::{Channel, Testbed};

pub(crate) const DRIVER: u64 = 1;
pub(crate) const CLIENT: u64 = 2;
pub(crate) const OTHER: u64 = 3;

/// Where clients map what they lend, one after the other.
const WINDOWS: u64 = 0x1000_0000;

pub(crate) const BLOCKS: u64 = 4096;
/// Transfers that the disk does at a time.
pub(crate) const ROOM: usize = 4;
/// What a transfer moves at most.
pub(crate) const TRANSFER_BYTES: u64 = 16 * 1024;

/// The disk, as the test sees it.
pub(crate) struct Disk {
    testbed: Testbed,
    pub(crate) bytes: Vec<u8>,
    pub(crate) geometry: Geometry,
    /// What was begun, with where memory was then.
    pub(crate) begun: VecDeque<(RequestIndex, Transfer)>,
    ended: VecDeque<(RequestIndex, bool)>,
    /// All that was ever begun.
    pub(crate) log: Vec<Transfer>,
    /// Does what was begun when it is asked what has ended.
    pub(crate) is_quick: bool,
    /// Refuses to begin anything.
    pub(crate) is_broken: bool,
    /// Does not stop.
    pub(crate) is_stuck: bool,
    /// Fails transfers of this block.
    pub(crate) bad_block: Option<u64>,
    pub(crate) resets: u32,
}

impl Disk {
    /// Does the first transfer that was begun.
    pub(crate) fn step(&mut self) {
        let (index, transfer) = self.begun.pop_front().expect("something was begun");
        let is_done = self.perform(&transfer);
        self.ended.push_back((index, is_done));
    }

    /// Does the last transfer that was begun.
    pub(crate) fn step_last(&mut self) {
        let last = self.begun.pop_back().expect("something was begun");
        self.begun.push_front(last);
        self.step();
    }

    /// Says once more that the first transfer has ended, without having done it.
    pub(crate) fn lie(&mut self) {
        let (index, _) = *self.begun.front().expect("something was begun");
        self.ended.extend([(index, true); 2]);
    }

    /// Moves the data of a transfer, as a device does: by bus addresses.
    pub(crate) fn perform(&mut self, transfer: &Transfer) -> bool {
        let (block, blocks) = match transfer {
            Transfer::Read { block, to: range } | Transfer::Write { block, from: range } => {
                assert_eq!(range.bytes % 512, 0);
                assert!(range.bytes > 0 && u64::from(range.bytes) <= TRANSFER_BYTES);
                (*block, u64::from(range.bytes) / 512)
            }
            Transfer::Flush => return true,
            Transfer::Discard { block, count } => (*block, (*count).into()),
        };
        if self.bad_block.is_some_and(|bad| (block..block + blocks).contains(&bad)) {
            return false;
        }
        let driver = PeerId::new(DRIVER).unwrap();
        let on_disk = block as usize * 512..(block + blocks) as usize * 512;
        match transfer {
            Transfer::Read { to, .. } => {
                let bytes = &self.bytes[on_disk];
                self.testbed.with_server(|server| {
                    server.kernel_mut().device_write(driver, to.address, bytes).unwrap();
                });
            }
            Transfer::Write { from, .. } => {
                let bytes = &mut self.bytes[on_disk];
                self.testbed.with_server(|server| {
                    server.kernel_mut().device_read(driver, from.address, bytes).unwrap();
                });
            }
            _ => self.bytes[on_disk].fill(0),
        }
        true
    }
}

/// The disk, as the server sees it.
pub(crate) struct FakeDevice(Rc<RefCell<Disk>>);

impl Device for FakeDevice {
    fn geometry(&self) -> Geometry {
        self.0.borrow().geometry
    }

    fn limits(&self) -> Limits {
        Limits { bytes: TRANSFER_BYTES, discard_blocks: 100 }
    }

    fn begin(&mut self, request: RequestIndex, transfer: &Transfer) -> Result<(), Refusal> {
        let mut disk = self.0.borrow_mut();
        if disk.is_broken {
            return Err(Refusal::Broken);
        }
        if disk.begun.len() == ROOM {
            return Err(Refusal::Full);
        }
        disk.begun.push_back((request, *transfer));
        disk.log.push(*transfer);
        Ok(())
    }

    fn ended(&mut self) -> Result<Option<(RequestIndex, bool)>, Broken> {
        let mut disk = self.0.borrow_mut();
        if disk.is_quick && !disk.begun.is_empty() {
            disk.step();
        }
        Ok(disk.ended.pop_front())
    }

    fn acknowledge(&mut self) {}

    fn reset(&mut self) -> Result<(), Broken> {
        let mut disk = self.0.borrow_mut();
        disk.resets += 1;
        if disk.is_stuck {
            return Err(Broken);
        }
        disk.begun.clear();
        disk.ended.clear();
        Ok(())
    }
}

type Server = BlockServer<Channel, FakeDevice>;

/// The whole system.
pub(crate) struct Rig {
    pub(crate) testbed: Testbed,
    disk: Rc<RefCell<Disk>>,
    server: Rc<RefCell<Server>>,
    /// How many windows are used for memory that was lent.
    windows: Cell<u64>,
}

/// The server, as one client reaches it.
pub(crate) struct ToServer {
    server: Rc<RefCell<Server>>,
    client: PeerId,
}

impl Transport for ToServer {
    fn call(&mut self, request: Message) -> Message {
        self.server.borrow_mut().call(self.client, &request)
    }
}

/// Memory of a client, mapped and shared with the server.
pub(crate) struct Lent {
    client: u64,
    testbed: Testbed,
    container: Container<'static, Channel>,
    pub(crate) weak: ContainerHandle,
    window: VirtAddr,
}

impl Lent {
    /// Returns a place in it.
    pub(crate) fn at(&self, offset: u64) -> Place {
        Place { container: self.weak, offset }
    }

    pub(crate) fn write(&self, block: u64, bytes: &[u8]) {
        let at = self.window.checked_add(block * 512).unwrap();
        self.testbed.memory(self.client).copy_out(bytes, at);
    }

    pub(crate) fn read(&self, block: u64, count: u64) -> Vec<u8> {
        let at = self.window.checked_add(block * 512).unwrap();
        let mut bytes = vec![0; count as usize * 512];
        self.testbed.memory(self.client).copy_in(at, &mut bytes);
        bytes
    }

    pub(crate) fn remove_frame(&self, frame: u64) {
        self.container.deallocate(frame..=frame).unwrap();
    }

    pub(crate) fn state(&self, frame: u64) -> FrameState {
        self.container.state(frame).unwrap()
    }
}

impl Rig {
    pub(crate) fn new() -> Self {
        let features = DiskFeatures { is_read_only: false, has_flush: true, has_discard: true };
        Self::with(features)
    }

    pub(crate) fn with(features: DiskFeatures) -> Self {
        let peers = [DRIVER, CLIENT, OTHER].map(|peer| PeerConfig {
            peer: u8::try_from(peer).unwrap(),
            name: "peer",
            limit: ByteCount::new(6 << 20),
            privileges: Privileges::all(),
        });
        let testbed = Testbed::with_peers(64 << 20, &peers);
        let disk = Disk {
            testbed: testbed.clone(),
            bytes: noise(BLOCKS * 512, 7),
            geometry: Geometry { blocks: BLOCKS, features },
            begun: VecDeque::new(),
            ended: VecDeque::new(),
            log: Vec::new(),
            is_quick: false,
            is_broken: false,
            is_stuck: false,
            bad_block: None,
            resets: 0,
        };
        let disk = Rc::new(RefCell::new(disk));
        let device = FakeDevice(Rc::clone(&disk));
        let server = BlockServer::new(testbed.channel(DRIVER), device).unwrap();
        Self { testbed, disk, server: Rc::new(RefCell::new(server)), windows: Cell::new(0) }
    }

    pub(crate) fn disk(&self) -> RefMut<'_, Disk> {
        self.disk.borrow_mut()
    }

    pub(crate) fn raw(&self, client: u64) -> ToServer {
        let client = PeerId::new(client).unwrap();
        ToServer { server: Rc::clone(&self.server), client }
    }

    pub(crate) fn client(&self, client: u64) -> Client<ToServer> {
        Client::new(self.raw(client))
    }

    /// Lends memory of a client for as long as a pin lasts: if it has as many frames, a large one.
    pub(crate) fn lend(&self, client: u64, frames: u64, rights: Rights) -> Lent {
        self.lend_for(client, frames, rights, LEASE_MICROS_MAX)
    }

    pub(crate) fn lend_for(&self, client: u64, frames: u64, rights: Rights, micros: u64) -> Lent {
        // The connection lives as long as the test.
        let pm: &'static Pm<Channel> = Box::leak(Box::new(Pm::new(self.testbed.channel(client))));
        let container = pm.account().create_container().unwrap();
        container.allocate(0..frames).unwrap();
        let window = WINDOWS + (self.windows.replace(self.windows.get() + 1) << 24);
        let window = VirtAddr::new(window).unwrap();
        let is_large = frames == LARGE_FRAMES;
        let forced = if is_large { MapFlags::FORCE_WRITE } else { MapFlags::empty() };
        container.map(0..frames, window, MapFlags::WRITE | forced).unwrap().into_pages();
        let peer = PeerId::new(DRIVER).unwrap();
        let lease_max = Micros::new(micros);
        let terms = ShareTerms { peer, rights, lease_max, once: false };
        let (_, weak) = container.share(0..frames, terms).unwrap().into_raw();
        let weak = ContainerHandle::from_raw(weak);
        Lent { client, testbed: self.testbed.clone(), container, weak, window }
    }

    /// The interrupt of the disk. Returns who was notified.
    pub(crate) fn interrupt(&self) -> Vec<u8> {
        self.server.borrow_mut().wake();
        self.notices()
    }

    pub(crate) fn notices(&self) -> Vec<u8> {
        let next = || self.server.borrow_mut().take_notice().map(PeerId::get);
        std::iter::from_fn(next).collect()
    }

    /// Lets the disk do all that there is to do, and returns how the client's requests ended.
    pub(crate) fn finish(&self, client: u64) -> Vec<(u32, Option<u32>)> {
        self.disk().is_quick = true;
        let mut all = Vec::new();
        for _ in 0..200 {
            self.interrupt();
            all.extend(self.ended(client));
        }
        all
    }

    /// Asks for requests that have ended until none is left.
    pub(crate) fn ended(&self, client: u64) -> Vec<(u32, Option<u32>)> {
        let mut all = Vec::new();
        loop {
            let completed = self.client(client).completed().unwrap();
            let told = completed.iter().map(|Completion { tag, result }| {
                (tag.get(), result.err().map(|error| error.status()))
            });
            all.extend(told);
            if completed.waiting == 0 {
                return all;
            }
        }
    }

    /// What the driver's account is charged for frames that are pinned, in pages.
    pub(crate) fn pinned(&self) -> u64 {
        let pm = Pm::new(self.testbed.channel(DRIVER));
        pm.account().info().unwrap().frames.get() / 4096
    }
}

pub(crate) const fn tag(number: u32) -> Tag {
    Tag::new(number)
}

pub(crate) fn count(blocks: u64) -> BlockCount {
    BlockCount::new(blocks).unwrap()
}

/// Returns bytes that depend on where they are, and on the seed.
pub(crate) fn noise(bytes: u64, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..bytes).map(|_| next()).collect()
}
