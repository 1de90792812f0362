// SPDX-License-Identifier: BSD-2-Clause
//! pmserver on the simulated kernel, with peers that run no programs: a test acts as the peers.
//!
//! A test makes the calls of a peer on its [`Channel`], and its loads and stores in its [`Memory`].
//! A fault goes to pmserver as in a running system: either pmserver repairs it and the access is
//! repeated, or the peer is stopped or sent to its recovery entry.
//!
//! ```
//! use pmserver_api::{AccountHandle, AllocateFlags, CallGraph, MapFlags};
//! use proto::{AddressSpace, FrameCount, FrameNumber, VirtAddr};
//! use sim::testbed::Testbed;
//!
//! let testbed = Testbed::new();
//! let mut pm = CallGraph::new(testbed.channel(1));
//! let mut memory = testbed.memory(1);
//! let container = pm.container_create(AccountHandle::OWN).unwrap();
//! let (frame, one) = (FrameNumber::new(7), FrameCount::ONE);
//! pm.allocate(container, frame, one, AllocateFlags::empty()).unwrap();
//! let window = VirtAddr::new(0x1000_0000).unwrap();
//! pm.map(container, frame, one, window, MapFlags::WRITE).unwrap();
//! memory.copy_out(b"bytes", window);
//!
//! pm.unmap(window, one).unwrap();
//! let fault = memory.load(window).unwrap_err();
//! assert_eq!(fault.line, "pmserver: peer-1 stopped: no memory at 0x10000000\n");
//! ```

use std::cell::RefCell;
use std::rc::Rc;

use pmserver_api::{AccessKind, PmError};
use pmserver_core::config::{CallGraph, PeerConfig, Privileges};
use pmserver_core::kernel::VSpace;
use pmserver_core::{Fault, FaultOutcome, Server};
use proto::{AddressSpace, ByteCount, Console, Message, PeerId, Transport, VirtAddr};

use crate::kernel::SimKernel;

const POOL_BYTES: u64 = 32 << 20;
const LIMIT: ByteCount = ByteCount::new(6 << 20);
const NAMES: [&str; 4] = ["peer-1", "peer-2", "peer-3", "peer-4"];

/// Virtual time of a call and its reply.
const CALL_MICROS: u64 = 2;
/// Virtual time of a fault.
const FAULT_MICROS: u64 = 3;
/// Virtual time of one pause in a waiting loop.
const RELAX_MICROS: u64 = 50;

/// A program that runs while a peer waits.
type Attendant = Box<dyn FnMut()>;

/// pmserver on the simulated kernel, and its peers. Clones refer to the same testbed.
#[derive(Clone)]
pub struct Testbed {
    server: Rc<RefCell<Server<SimKernel>>>,
    attendants: Rc<RefCell<Vec<Attendant>>>,
}

impl Default for Testbed {
    fn default() -> Self {
        Self::new()
    }
}

impl Testbed {
    /// Returns a testbed with a pool of 32 MiB and the peers 1 to 4, each with a limit of 6 MiB and
    /// every privilege.
    ///
    /// # Panics
    /// Never: the pool is large enough.
    #[must_use]
    pub fn new() -> Self {
        let peers: Vec<PeerConfig> = NAMES
            .into_iter()
            .zip(1..)
            .map(|(name, peer)| PeerConfig {
                peer,
                name,
                limit: LIMIT,
                privileges: Privileges::all(),
            })
            .collect();
        Self::with_peers(POOL_BYTES, &peers)
    }

    /// Returns a testbed with these peers, numbered 1 to 8, and a pool of `pool_bytes` bytes, which
    /// must be a power of two. Every peer may watch every other.
    ///
    /// # Panics
    /// If pmserver cannot start, for example because the pool is too small.
    #[must_use]
    pub fn with_peers(pool_bytes: u64, peers: &[PeerConfig]) -> Self {
        let server = Server::new(SimKernel::new(pool_bytes), peers).expect("the pool is too small");
        let server = server.with_calls(CallGraph::ALL);
        Self { server: Rc::new(RefCell::new(server)), attendants: Rc::default() }
    }

    /// Returns a peer's channel to pmserver.
    ///
    /// # Panics
    /// If no peer can have this number.
    #[must_use]
    pub fn channel(&self, peer: u64) -> Channel {
        Channel { testbed: self.clone(), peer: id(peer) }
    }

    /// Returns a peer's memory.
    ///
    /// # Panics
    /// If no peer can have this number.
    #[must_use]
    pub fn memory(&self, peer: u64) -> Memory {
        Memory { testbed: self.clone(), peer: id(peer) }
    }

    /// Runs `program` each time after pmserver has answered a fault, while the peer waits: for
    /// example the handler that supplies the missing memory.
    pub fn attend(&self, program: impl FnMut() + 'static) {
        self.attendants.borrow_mut().push(Box::new(program));
    }

    /// Advances the clock.
    pub fn advance(&self, micros: u64) {
        self.server.borrow().kernel().clock().advance(micros);
    }

    /// Gives `action` access to pmserver between two calls.
    pub fn with_server<R>(&self, action: impl FnOnce(&mut Server<SimKernel>) -> R) -> R {
        action(&mut self.server.borrow_mut())
    }

    /// Checks pmserver's invariants.
    ///
    /// # Panics
    /// If one does not hold.
    pub fn check(&self) {
        if let Err(sentence) = self.server.borrow().check_invariants() {
            panic!("{sentence}");
        }
    }

    /// Runs all attendants once.
    fn run_attendants(&self) {
        let mut attendants = self.attendants.take();
        attendants.iter_mut().for_each(|program| program());
        self.attendants.borrow_mut().append(&mut attendants);
    }
}

fn id(peer: u64) -> PeerId {
    PeerId::new(peer).expect("a number that a peer can have")
}

/// A peer's channel to pmserver.
#[derive(Clone)]
pub struct Channel {
    testbed: Testbed,
    peer: PeerId,
}

impl Transport for Channel {
    fn call(&mut self, request: Message) -> Message {
        // While a panic unwinds the stack, destructors must not make calls: the domain has ended.
        if std::thread::panicking() {
            return pmserver_api::Failure::from(PmError::InvalidCap).reply();
        }
        self.testbed.advance(CALL_MICROS);
        self.testbed.server.borrow_mut().call(self.peer, &request)
    }
}

/// A peer's memory: every access goes through its page tables, and a fault goes to pmserver.
#[derive(Clone)]
pub struct Memory {
    testbed: Testbed,
    peer: PeerId,
}

/// An access that pmserver did not repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faulted {
    /// What pmserver did with the peer.
    pub outcome: FaultOutcome,
    /// What pmserver printed on the console.
    pub line: String,
}

/// A console that collects what pmserver prints about one fault.
#[derive(Default)]
struct Line(String);

impl Console for Line {
    fn write(&mut self, bytes: &[u8]) {
        self.0.push_str(&String::from_utf8_lossy(bytes));
    }
}

impl Memory {
    /// Loads a byte.
    ///
    /// # Errors
    /// [`Faulted`] if pmserver does not repair the fault.
    pub fn load(&self, from: VirtAddr) -> Result<u8, Faulted> {
        let mut byte = [0];
        self.try_copy_in(from, &mut byte).map(|()| byte[0])
    }

    /// Stores a byte.
    ///
    /// # Errors
    /// [`Faulted`] if pmserver does not repair the fault.
    pub fn store(&mut self, byte: u8, to: VirtAddr) -> Result<(), Faulted> {
        self.try_copy_out(&[byte], to)
    }

    /// Loads bytes.
    ///
    /// # Errors
    /// [`Faulted`] if pmserver does not repair the fault; the bytes before it have been copied.
    pub fn try_copy_in(&self, from: VirtAddr, to: &mut [u8]) -> Result<(), Faulted> {
        self.access(AccessKind::Read, |server, vspace| server.kernel().load(vspace, from.get(), to))
    }

    /// Stores bytes.
    ///
    /// # Errors
    /// [`Faulted`] if pmserver does not repair the fault; the bytes before it have been copied.
    pub fn try_copy_out(&mut self, from: &[u8], to: VirtAddr) -> Result<(), Faulted> {
        self.access(AccessKind::Write, |server, vspace| {
            server.kernel_mut().store(vspace, from, to.get())
        })
    }

    /// Repeats `attempt`, which returns the address if it faults, until it succeeds.
    fn access(
        &self,
        kind: AccessKind,
        mut attempt: impl FnMut(&mut Server<SimKernel>, VSpace) -> Result<(), u64>,
    ) -> Result<(), Faulted> {
        let vspace = VSpace::Peer(self.peer);
        while let Err(address) = self.testbed.with_server(|server| attempt(server, vspace)) {
            self.testbed.advance(FAULT_MICROS);
            let mut line = Line::default();
            let fault = Fault::Access { address, kind };
            let outcome =
                self.testbed.with_server(|server| server.fault(self.peer, fault, &mut line));
            if outcome != FaultOutcome::Resumed {
                return Err(Faulted { outcome, line: line.0 });
            }
            self.testbed.run_attendants();
        }
        Ok(())
    }
}

impl AddressSpace for Memory {
    fn copy_in(&self, from: VirtAddr, to: &mut [u8]) {
        if let Err(fault) = self.try_copy_in(from, to) {
            panic!("{}", fault.line);
        }
    }

    fn copy_out(&mut self, from: &[u8], to: VirtAddr) {
        if let Err(fault) = self.try_copy_out(from, to) {
            panic!("{}", fault.line);
        }
    }

    fn relax(&mut self) {
        self.testbed.advance(RELAX_MICROS);
    }
}
