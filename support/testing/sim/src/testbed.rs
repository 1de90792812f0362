// SPDX-License-Identifier: BSD-2-Clause
//! pmserver and some peers that run no programs of their own: a test speaks for all of them.
//!
//! A peer is a [`Channel`], for its calls, and a [`Memory`], for its loads and stores. What
//! pmserver repairs when a peer touches it is repaired here as it is in a running system, and what
//! it does not stops the peer.
//!
//! ```
//! use pmserver_api::{AccountHandle, AllocateFlags, Calls, MapFlags};
//! use proto::{AddressSpace, FrameCount, FrameNumber, VirtAddr};
//! use sim::testbed::Testbed;
//!
//! let testbed = Testbed::new();
//! let mut pm = Calls::new(testbed.channel(1));
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
use pmserver_core::config::{PeerConfig, Privileges};
use pmserver_core::kernel::VSpace;
use pmserver_core::{Fault, FaultOutcome, Server};
use proto::{AddressSpace, ByteCount, Console, Message, PeerId, Transport, VirtAddr};

use crate::kernel::SimKernel;

const POOL_BYTES: u64 = 32 << 20;
const LIMIT: ByteCount = ByteCount::new(6 << 20);
const NAMES: [&str; 4] = ["peer-1", "peer-2", "peer-3", "peer-4"];

/// What a call costs on the virtual clock, there and back.
const CALL_MICROS: u64 = 2;
/// What an access that faults costs.
const FAULT_MICROS: u64 = 3;
/// One turn of waiting.
const RELAX_MICROS: u64 = 50;

/// A program that runs while a peer waits.
type Attendant = Box<dyn FnMut()>;

/// pmserver over the simulated kernel, and its peers. Clones are the same one.
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
    /// Returns one with a pool of 32 MiB and the peers 1 to 4, each of which may use 6 MiB and has
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

    /// Returns one with a pool of so many bytes, a power of two, and these peers of those that
    /// [`SimKernel::new`] has programs for.
    ///
    /// # Panics
    /// Where pmserver cannot start with that.
    #[must_use]
    pub fn with_peers(pool_bytes: u64, peers: &[PeerConfig]) -> Self {
        let server = Server::new(SimKernel::new(pool_bytes), peers).expect("the pool is too small");
        Self { server: Rc::new(RefCell::new(server)), attendants: Rc::default() }
    }

    /// Returns a peer's channel to pmserver.
    ///
    /// # Panics
    /// Where the number is none that a peer can have.
    #[must_use]
    pub fn channel(&self, peer: u64) -> Channel {
        Channel { testbed: self.clone(), peer: id(peer) }
    }

    /// Returns a peer's memory.
    ///
    /// # Panics
    /// Where the number is none that a peer can have.
    #[must_use]
    pub fn memory(&self, peer: u64) -> Memory {
        Memory { testbed: self.clone(), peer: id(peer) }
    }

    /// Has a program run while a peer waits for what it touched: the one that is to supply it.
    pub fn attend(&self, program: impl FnMut() + 'static) {
        self.attendants.borrow_mut().push(Box::new(program));
    }

    /// Moves the clock on.
    pub fn advance(&self, micros: u64) {
        self.server.borrow().kernel().clock().advance(micros);
    }

    /// Looks at pmserver, or touches it, between two calls.
    pub fn with_server<R>(&self, look: impl FnOnce(&mut Server<SimKernel>) -> R) -> R {
        look(&mut self.server.borrow_mut())
    }

    /// Panics unless everything holds in pmserver that always holds.
    ///
    /// # Panics
    /// Where it does not.
    pub fn check(&self) {
        if let Err(sentence) = self.server.borrow().check_invariants() {
            panic!("{sentence}");
        }
    }

    /// Lets time pass for a peer that waits, and those run that it waits for.
    fn wait(&self) {
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
        // A program that is being given up makes no calls: what it had on its stack is abandoned.
        if std::thread::panicking() {
            return pmserver_api::Failure::from(PmError::InvalidCap).reply();
        }
        self.testbed.advance(CALL_MICROS);
        self.testbed.server.borrow_mut().call(self.peer, &request)
    }
}

/// A peer's memory: every access goes through its page tables, and to pmserver where it faults.
#[derive(Clone)]
pub struct Memory {
    testbed: Testbed,
    peer: PeerId,
}

/// An access that pmserver did not repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faulted {
    /// What became of the peer.
    pub outcome: FaultOutcome,
    /// What pmserver said on the console.
    pub line: String,
}

/// The console of one fault.
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
    /// What became of the peer where it may not.
    pub fn load(&self, from: VirtAddr) -> Result<u8, Faulted> {
        let mut byte = [0];
        self.try_copy_in(from, &mut byte).map(|()| byte[0])
    }

    /// Stores a byte.
    ///
    /// # Errors
    /// What became of the peer where it may not.
    pub fn store(&mut self, byte: u8, to: VirtAddr) -> Result<(), Faulted> {
        self.try_copy_out(&[byte], to)
    }

    /// Loads bytes.
    ///
    /// # Errors
    /// What became of the peer where it may not; the bytes before are copied.
    pub fn try_copy_in(&self, from: VirtAddr, to: &mut [u8]) -> Result<(), Faulted> {
        self.access(AccessKind::Read, |server, vspace| server.kernel().load(vspace, from.get(), to))
    }

    /// Stores bytes.
    ///
    /// # Errors
    /// What became of the peer where it may not; the bytes before are copied.
    pub fn try_copy_out(&mut self, from: &[u8], to: VirtAddr) -> Result<(), Faulted> {
        self.access(AccessKind::Write, |server, vspace| {
            server.kernel_mut().store(vspace, from, to.get())
        })
    }

    /// Makes an access, which returns the address where it faults, until it does not any more.
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
            self.testbed.wait();
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
