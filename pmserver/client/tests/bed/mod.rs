// SPDX-License-Identifier: BSD-2-Clause
//! Peers at a pmserver that may do at every step what it may do at any time (R2).
#![allow(dead_code, clippy::unwrap_used)] // Each test file uses its part; tests fail by panicking.

use core::ops::Range;

use pmserver_api::{
    AccountHandle, AccountInfo, AllocateFlags, CallError, Calls, ContainerHandle, CopyFlags,
    Disturbance, FrameState, Lease, LockMode, MapFlags, Mapped, PmError, Rights, Shared,
};
use proto::{FrameCount, FrameNumber, Message, Micros, PeerId, Transport, VirtAddr};
use sim::testbed::{Channel, Memory, Testbed};

/// Where peers look at frames one by one.
const SCRATCH: u64 = 0x7000_0000;
/// The peer that disturbs.
const DISTURBER: u64 = 4;

/// A channel over which every call is preceded by a disturbance.
#[derive(Clone)]
pub(crate) struct Shaken {
    channel: Channel,
    disturber: Channel,
    what: Option<Disturbance>,
}

impl Shaken {
    fn disturb(&self) {
        let Some(what) = self.what else { return };
        let mut pm = Calls::new(self.disturber.clone());
        let mut cursor = 0;
        loop {
            cursor = pm.disturb(what, cursor).unwrap().cursor;
            if cursor == 0 {
                return;
            }
        }
    }
}

impl Transport for Shaken {
    fn call(&mut self, request: Message) -> Message {
        if !std::thread::panicking() {
            self.disturb();
        }
        self.channel.call(request)
    }
}

/// pmserver and its peers 1 to 4.
#[derive(Clone)]
pub(crate) struct Bed {
    pub(crate) testbed: Testbed,
    what: Option<Disturbance>,
}

impl Bed {
    pub(crate) fn new(what: Option<Disturbance>) -> Self {
        Self { testbed: Testbed::new(), what }
    }

    pub(crate) fn calm() -> Self {
        Self::new(None)
    }

    /// Runs a test undisturbed, and with each disturbance before each call.
    pub(crate) fn each(test: impl Fn(&Self)) {
        for what in [None, Some(Disturbance::Unmap), Some(Disturbance::Move)] {
            let bed = Self::new(what);
            test(&bed);
            bed.testbed.check();
        }
    }

    pub(crate) fn peer(&self, number: u64) -> Peer {
        let channel = Shaken {
            channel: self.testbed.channel(number),
            disturber: self.testbed.channel(DISTURBER),
            what: self.what,
        };
        let memory = self.testbed.memory(number);
        let id = PeerId::new(number).unwrap();
        Peer { pm: Calls::new(channel.clone()), channel, memory, id, bed: self.testbed.clone() }
    }

    /// A peer whose calls are not preceded by anything: one that runs while another waits for an
    /// access, which would never get to make it.
    pub(crate) fn calm_peer(&self, number: u64) -> Peer {
        Self { testbed: self.testbed.clone(), what: None }.peer(number)
    }

    pub(crate) fn peers(&self) -> [Peer; 3] {
        [self.peer(1), self.peer(2), self.peer(3)]
    }

    /// What all accounts that have small numbers are charged.
    pub(crate) fn charges(&self) -> Vec<Result<AccountInfo, CallError>> {
        let mut pm = Calls::new(self.testbed.channel(DISTURBER));
        let own = (1..=4).map(|peer| AccountHandle::of_peer(PeerId::new(peer).unwrap()));
        own.chain([AccountHandle::POOL]).map(|account| pm.account_info(account)).collect()
    }

    /// Returns why a call is refused, which has changed no charge.
    pub(crate) fn refused<R>(&self, call: impl FnOnce() -> Result<R, CallError>) -> Refusal {
        let before = self.charges();
        let refusal = why(call());
        assert_eq!(self.charges(), before, "{refusal:?} changes no charge (PM-4)");
        self.testbed.check();
        refusal
    }
}

/// Error, `done` and `at`.
pub(crate) type Refusal = (PmError, u64, u64);

pub(crate) fn why<R>(result: Result<R, CallError>) -> Refusal {
    match result {
        Ok(_) => panic!("it was not refused"),
        Err(CallError::Refused(failure)) => (failure.error, failure.done, failure.at),
        Err(error) => panic!("{error}"),
    }
}

/// One peer.
pub(crate) struct Peer {
    pub(crate) pm: Calls<Shaken>,
    pub(crate) channel: Shaken,
    pub(crate) memory: Memory,
    pub(crate) id: PeerId,
    bed: Testbed,
}

pub(crate) const fn at(vaddr: u64) -> VirtAddr {
    VirtAddr::new(vaddr).unwrap()
}

pub(crate) const fn n(number: u64) -> FrameNumber {
    FrameNumber::new(number)
}

pub(crate) const fn count(frames: u64) -> FrameCount {
    FrameCount::new(frames).unwrap()
}

fn span(range: &Range<u64>) -> (FrameNumber, FrameCount) {
    (n(range.start), count(range.end - range.start))
}

pub(crate) const NONE: CopyFlags = CopyFlags::empty();
pub(crate) const WRITE: MapFlags = MapFlags::WRITE;
pub(crate) const READ: MapFlags = MapFlags::READ;
pub(crate) const FORCE: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);

impl Peer {
    /// An empty container.
    pub(crate) fn empty(&mut self) -> ContainerHandle {
        self.pm.container_create(AccountHandle::OWN).unwrap()
    }

    /// A container with these frames.
    pub(crate) fn container(&mut self, frames: Range<u64>) -> ContainerHandle {
        let container = self.empty();
        self.allocate(container, frames).unwrap();
        container
    }

    /// A container with these bytes, one a frame, 0 for one that was never written to.
    pub(crate) fn filled(&mut self, bytes: &[u8]) -> ContainerHandle {
        let container = self.container(0..u64::try_from(bytes.len()).unwrap());
        for (number, byte) in (0..).zip(bytes) {
            if *byte != 0 {
                self.put(container, number, *byte);
            }
        }
        container
    }

    pub(crate) fn allocate(
        &mut self,
        container: ContainerHandle,
        frames: Range<u64>,
    ) -> Result<u64, CallError> {
        self.allocate_with(container, frames, AllocateFlags::empty())
    }

    pub(crate) fn allocate_with(
        &mut self,
        container: ContainerHandle,
        frames: Range<u64>,
        flags: AllocateFlags,
    ) -> Result<u64, CallError> {
        let (start, count) = span(&frames);
        self.pm.allocate(container, start, count, flags)
    }

    pub(crate) fn free(
        &mut self,
        container: ContainerHandle,
        frames: Range<u64>,
    ) -> Result<u64, CallError> {
        let (start, count) = span(&frames);
        self.pm.deallocate(container, start, count, pmserver_api::DeallocateFlags::empty())
    }

    pub(crate) fn renew(
        &mut self,
        container: ContainerHandle,
        frames: Range<u64>,
    ) -> Result<u64, CallError> {
        let (start, count) = span(&frames);
        self.pm.renew(container, start, count)
    }

    pub(crate) fn map(
        &mut self,
        container: ContainerHandle,
        frames: Range<u64>,
        vaddr: u64,
        flags: MapFlags,
    ) -> Result<Mapped, CallError> {
        let (start, count) = span(&frames);
        self.pm.map(container, start, count, at(vaddr), flags)
    }

    pub(crate) fn unmap(&mut self, vaddr: u64, pages: u64) -> u64 {
        self.pm.unmap(at(vaddr), count(pages)).unwrap()
    }

    /// Copies `frames` of one container to the numbers from `to` on in another.
    pub(crate) fn copy(
        &mut self,
        (source, frames): (ContainerHandle, Range<u64>),
        (destination, to): (ContainerHandle, u64),
        flags: CopyFlags,
    ) -> Result<u64, CallError> {
        let (start, count) = span(&frames);
        self.pm.copy((source, start), (destination, n(to)), count, flags)
    }

    pub(crate) fn pairs(
        &mut self,
        source: ContainerHandle,
        destination: ContainerHandle,
        pairs: &[(u64, u64)],
        flags: CopyFlags,
    ) -> Result<u64, CallError> {
        let pairs: Vec<_> = pairs.iter().map(|(from, to)| (n(*from), n(*to))).collect();
        let pairs = pmserver_api::PairList::new(&pairs).unwrap();
        self.pm.copy_list(source, destination, pairs, flags)
    }

    pub(crate) fn lend(
        &mut self,
        container: ContainerHandle,
        frames: Range<u64>,
        to: &Self,
        rights: Rights,
    ) -> Shared {
        let (start, count) = (n(frames.start), frames.end - frames.start);
        self.pm.share(container, start, count, to.id, rights, Micros::new(900_000)).unwrap()
    }

    pub(crate) fn lock(
        &mut self,
        container: ContainerHandle,
        frames: Range<u64>,
        mode: LockMode,
        micros: u64,
    ) -> Result<Lease, CallError> {
        let (start, count) = span(&frames);
        self.pm.lock(container, start, count, mode, Micros::new(micros))
    }

    pub(crate) fn pin(
        &mut self,
        container: ContainerHandle,
        frames: Range<u64>,
        mode: LockMode,
        micros: u64,
    ) -> Result<pmserver_api::Pinned, CallError> {
        let (start, count) = span(&frames);
        self.pm.pin(container, start, count, mode, Micros::new(micros))
    }

    pub(crate) fn state(&mut self, container: ContainerHandle, number: u64) -> FrameState {
        self.pm.status(container, n(number), FrameCount::ONE).unwrap().frames[0]
    }

    pub(crate) fn has(
        &mut self,
        container: ContainerHandle,
        number: u64,
        state: FrameState,
    ) -> bool {
        self.state(container, number).contains(state)
    }

    /// The first byte of a frame, by a mapping for a moment.
    pub(crate) fn get(&mut self, container: ContainerHandle, number: u64) -> u8 {
        self.map(container, number..number + 1, SCRATCH, READ).unwrap();
        let byte = self.load(SCRATCH);
        self.unmap(SCRATCH, 1);
        byte
    }

    pub(crate) fn bytes(&mut self, container: ContainerHandle, frames: Range<u64>) -> Vec<u8> {
        frames.map(|number| self.get(container, number)).collect()
    }

    /// Writes the first byte of a frame, by a mapping for a moment.
    pub(crate) fn put(&mut self, container: ContainerHandle, number: u64, byte: u8) {
        self.map(container, number..number + 1, SCRATCH, WRITE).unwrap();
        self.store(byte, SCRATCH);
        self.unmap(SCRATCH, 1);
    }

    pub(crate) fn load(&self, vaddr: u64) -> u8 {
        self.channel.disturb();
        self.memory.load(at(vaddr)).unwrap()
    }

    pub(crate) fn store(&mut self, byte: u8, vaddr: u64) {
        self.channel.disturb();
        self.memory.store(byte, at(vaddr)).unwrap();
    }

    /// Whether a load stops the peer.
    pub(crate) fn load_faults(&self, vaddr: u64) -> bool {
        self.channel.disturb();
        self.memory.load(at(vaddr)).is_err()
    }

    /// Whether a store stops the peer.
    pub(crate) fn store_faults(&mut self, vaddr: u64) -> bool {
        self.channel.disturb();
        self.memory.store(1, at(vaddr)).is_err()
    }

    pub(crate) fn info(&mut self) -> AccountInfo {
        self.pm.account_info(AccountHandle::OWN).unwrap()
    }

    pub(crate) fn pass(&self, micros: u64) {
        self.bed.advance(micros);
    }
}

pub(crate) const fn micros(number: u64) -> Micros {
    Micros::new(number)
}
