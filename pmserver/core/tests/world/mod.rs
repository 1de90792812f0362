// SPDX-License-Identifier: BSD-2-Clause
//! A server over the simulated kernel, and clients that call it as its peers.
//!
//! Every call is encoded and decoded, and every invariant is checked after it.
#![allow(dead_code, unused_imports)] // Each test file uses its part.

mod stored;

use std::cell::{Cell, RefCell};
use std::fmt::Debug;
use std::rc::Rc;

use pmserver_api::{
    AccessKind, AccountHandle, AccountInfo, AllocateFlags, CallError, Calls, ContainerHandle,
    Failure, FrameState, PmError,
};
use pmserver_core::Server;
use pmserver_core::config::{CallGraph, PeerConfig, Privileges};
use pmserver_core::kernel::VSpace;
use proto::limits::{CALL_INVOCATIONS_MAX, CALL_WORK_MAX};
use proto::{ByteCount, FrameCount, FrameNumber, Message, PeerId, Transport, VirtAddr};
use sim::{Refusal, SimKernel};

pub(crate) use stored::{byte_of, check_bytes, refuse_each_step_of_a_split, stored};

pub(crate) const POOL_BYTES: u64 = 64 << 20;
pub(crate) const PAGE: u64 = 4096;
/// The address at which tests map. The program has no page table there.
pub(crate) const WINDOW: u64 = 0x1000_0000;

/// The peers of a world: a server, a client and a supervisor.
pub(crate) const PEERS: [PeerConfig; 3] = [
    peer_config(1, "fsserver", 8, Privileges::empty()),
    peer_config(2, "client", 32, Privileges::READ_ACCOUNTS),
    peer_config(3, "supervisor", 1, Privileges::SUPERVISE),
];

const fn peer_config(
    peer: u8,
    name: &str,
    limit_mib: u64,
    privileges: Privileges,
) -> PeerConfig<'_> {
    PeerConfig { peer, name, limit: ByteCount::new(limit_mib << 20), privileges }
}

/// Returns peers from number 1 on, all with the same limit and privileges.
pub(crate) fn equal_peers<const N: usize>(
    limit: ByteCount,
    privileges: Privileges,
) -> [PeerConfig<'static>; N] {
    std::array::from_fn(|index| {
        let peer = u8::try_from(index + 1).unwrap();
        PeerConfig { peer, name: "peer", limit, privileges }
    })
}

pub(crate) type Pm = Calls<Door>;

#[derive(Clone)]
pub(crate) struct World(pub(crate) Rc<RefCell<Server<SimKernel>>>, CheckEach, Rc<Cell<u64>>);

/// Whether the invariants are checked after each call, in time proportional to the number of
/// objects.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckEach {
    Yes,
    No,
}

/// A channel to the server.
pub(crate) struct Door {
    world: World,
    caller: PeerId,
}

impl Transport for Door {
    fn call(&mut self, request: Message) -> Message {
        let mut server = self.world.0.borrow_mut();
        let before = server.kernel().invocations();
        let reply = server.call(self.caller, &request);
        self.world.check_work(&server, before, &request);
        if self.world.1 == CheckEach::Yes {
            server
                .check_invariants()
                .unwrap_or_else(|broken| panic!("after {request:?}: {broken}"));
        }
        reply
    }
}

pub(crate) fn peer(number: u64) -> PeerId {
    PeerId::new(number).unwrap()
}

pub(crate) fn frames(count: u64) -> FrameCount {
    FrameCount::new(count).unwrap()
}

pub(crate) fn at(number: u64) -> FrameNumber {
    FrameNumber::new(number)
}

pub(crate) fn page(number: u64) -> VirtAddr {
    VirtAddr::new_page(WINDOW + number * PAGE).unwrap()
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with_pool(POOL_BYTES)
    }

    /// A world with little memory, which is quick to make and to check.
    pub(crate) fn small() -> Self {
        Self::with_pool(4 << 20)
    }

    /// The same world, with the invariants checked only if the test asks for it.
    pub(crate) fn unchecked(self) -> Self {
        Self(self.0, CheckEach::No, self.2)
    }

    /// Checks that a call did no more than one may (PM-320).
    fn check_work(&self, server: &Server<SimKernel>, before: u64, what: &dyn Debug) {
        let made = server.kernel().invocations() - before;
        let work = server.work();
        assert!(
            work <= CALL_WORK_MAX && made <= CALL_INVOCATIONS_MAX,
            "{what:?} did {work}, with {made} invocations"
        );
        self.2.set(self.2.get().max(work));
    }

    /// Returns the most work that a call did.
    pub(crate) fn most_work(&self) -> u64 {
        self.2.get()
    }

    pub(crate) fn check(&self) {
        self.0.borrow().check_invariants().unwrap();
    }

    /// A world with so much memory, of which the peers get the shares that they have in the system.
    /// The client calls the server, and nobody anybody else.
    pub(crate) fn with_pool(bytes: u64) -> Self {
        let peers = PEERS.map(|peer| PeerConfig {
            limit: ByteCount::new(peer.limit.get() * bytes / POOL_BYTES),
            ..peer
        });
        // What is left of the smallest share in a small world would hold nothing.
        let peers = peers
            .map(|peer| PeerConfig { limit: peer.limit.max(ByteCount::new(bytes / 16)), ..peer });
        let calls = CallGraph::NONE.with(peer(2), peer(1));
        Self::calling(SimKernel::new(bytes), &peers, calls)
    }

    /// A world with so much memory and these peers.
    pub(crate) fn with_peers(bytes: u64, peers: &[PeerConfig]) -> Self {
        Self::over(SimKernel::new(bytes), peers)
    }

    /// A world over a kernel that the test has built, in which every peer calls every other.
    pub(crate) fn over(kernel: SimKernel, peers: &[PeerConfig]) -> Self {
        Self::calling(kernel, peers, CallGraph::ALL)
    }

    /// The same, in which these peers call each other.
    fn calling(kernel: SimKernel, peers: &[PeerConfig], calls: CallGraph) -> Self {
        let server = Server::new(kernel, peers).unwrap().with_calls(calls);
        server.check_invariants().unwrap();
        Self(Rc::new(RefCell::new(server)), CheckEach::Yes, Rc::default())
    }

    /// A world with devices: peer 1 is their driver, peer 2 a client, peer 3 may say that a device
    /// was reset. With an IOMMU or without one.
    pub(crate) fn with_devices(has_iommu: bool) -> Self {
        let privileges = [Privileges::DMA, Privileges::READ_ACCOUNTS, Privileges::SUPERVISE];
        let peers = [1, 2, 3].map(|peer| PeerConfig {
            peer,
            name: "peer",
            limit: ByteCount::new(2 << 20),
            privileges: privileges[usize::from(peer) - 1],
        });
        let kernel = SimKernel::new(8 << 20);
        Self::over(if has_iommu { kernel.with_iommu() } else { kernel }, &peers)
    }

    /// Has the device of the driver write a byte; returns whether it reached memory.
    pub(crate) fn device_write(&self, bus_address: u64, byte: u8) -> bool {
        let mut server = self.0.borrow_mut();
        server.kernel_mut().device_write(peer(1), bus_address, &[byte]).is_ok()
    }

    /// A world of 4 MiB whose peers may use half a MiB each: peer 1 sets policy and reads all
    /// accounts, peer 4 may have extra frames, peers 2 and 3 have no privileges.
    pub(crate) fn with_policy() -> Self {
        let policy = Privileges::SET_POLICY | Privileges::READ_ACCOUNTS;
        let none = Privileges::empty();
        let privileges = [(1, policy), (2, none), (3, none), (4, Privileges::EXTRA)];
        let peers = privileges.map(|(peer, privileges)| PeerConfig {
            peer,
            name: "peer",
            limit: ByteCount::new(512 << 10),
            privileges,
        });
        Self::with_peers(4 << 20, &peers)
    }

    /// The client of the system: owns containers, may read accounts.
    pub(crate) fn client(&self) -> Pm {
        self.as_peer(2)
    }

    /// The server of the system: is lent containers.
    pub(crate) fn fs(&self) -> Pm {
        self.as_peer(1)
    }

    pub(crate) fn supervisor(&self) -> Pm {
        self.as_peer(3)
    }

    pub(crate) fn as_peer(&self, number: u64) -> Pm {
        Calls::new(Door { world: self.clone(), caller: peer(number) })
    }

    /// Calls with the given registers.
    pub(crate) fn raw(&self, caller: u64, request: Message) -> Message {
        Door { world: self.clone(), caller: peer(caller) }.call(request)
    }

    /// Loads a byte as a peer would, with what pmserver does where that faults; the address where
    /// it is a fault all the same.
    pub(crate) fn load(&self, number: u64, address: VirtAddr) -> Result<u8, u64> {
        let mut byte = [0];
        self.access(number, AccessKind::Read, |server| {
            server.kernel().load(VSpace::Peer(peer(number)), address.get(), &mut byte)
        })?;
        Ok(byte[0])
    }

    /// Stores a byte as a peer would; as [`Self::load`].
    pub(crate) fn store(&self, number: u64, byte: u8, address: VirtAddr) -> Result<(), u64> {
        self.access(number, AccessKind::Write, |server| {
            server.kernel_mut().store(VSpace::Peer(peer(number)), &[byte], address.get())
        })
    }

    fn access(
        &self,
        number: u64,
        kind: AccessKind,
        mut attempt: impl FnMut(&mut Server<SimKernel>) -> Result<(), u64>,
    ) -> Result<(), u64> {
        let mut server = self.0.borrow_mut();
        let mut result = attempt(&mut server);
        while let Err(address) = result {
            let before = server.kernel().invocations();
            let is_resumed = server.resolve(peer(number), address, kind);
            self.check_work(&server, before, &kind);
            if !is_resumed {
                break;
            }
            // An access takes time, so that waiting ends.
            server.kernel().clock().advance(10);
            result = attempt(&mut server);
        }
        if self.1 == CheckEach::Yes {
            server.check_invariants().unwrap_or_else(|broken| panic!("after an access: {broken}"));
        }
        result
    }

    pub(crate) fn advance(&self, micros: u64) {
        self.0.borrow().kernel().clock().advance(micros);
    }

    /// Returns the peers that were notified since the last call of this.
    pub(crate) fn notified(&self) -> Vec<u8> {
        let peers = self.0.borrow_mut().kernel_mut().take_notifications();
        peers.into_iter().map(PeerId::get).collect()
    }

    pub(crate) fn fail_nth(&self, n: Option<u64>) {
        self.0.borrow_mut().kernel_mut().fail_nth(n);
    }

    /// Has the kernel refuse one invocation meanwhile; returns whether it was made.
    pub(crate) fn refuse(&self, refusal: Refusal, run: impl FnOnce()) -> bool {
        let invocations = || self.0.borrow().kernel().invocations();
        let before = invocations();
        self.0.borrow_mut().kernel_mut().refuse(Some(refusal));
        run();
        self.0.borrow_mut().kernel_mut().refuse(None);
        invocations() >= before + refusal.nth
    }

    /// Returns all accounts, to compare them before and after.
    pub(crate) fn accounts(&self) -> [AccountInfo; 4] {
        let mut pm = self.client();
        [
            AccountHandle::POOL,
            AccountHandle::of_peer(peer(1)),
            AccountHandle::of_peer(peer(2)),
            AccountHandle::of_peer(peer(3)),
        ]
        .map(|account| pm.account_info(account).unwrap())
    }
}

/// A new container with frames `0..count`.
pub(crate) fn filled(pm: &mut Pm, count: u64) -> ContainerHandle {
    let container = pm.container_create(AccountHandle::OWN).unwrap();
    let flags = pmserver_api::AllocateFlags::empty();
    assert_eq!(pm.allocate(container, at(0), frames(count), flags), Ok(count));
    container
}

/// Repeats a call that has more to do.
pub(crate) fn all<T>(mut call: impl FnMut() -> Result<T, CallError>) -> Result<T, CallError> {
    for _ in 0..100 {
        match call() {
            Err(CallError::Refused(more)) if more.error == PmError::Pending && more.at == 0 => {}
            result => return result,
        }
    }
    panic!("there is always more to do");
}

/// Returns the error with which a call was refused.
pub(crate) fn refusal<T>(result: Result<T, CallError>) -> Option<PmError> {
    result.err().and_then(|error| error.refusal())
}

/// Returns the failure of a call that was refused.
pub(crate) fn failure<T: std::fmt::Debug>(result: Result<T, CallError>) -> Failure {
    match result {
        Err(CallError::Refused(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn pages(bytes: proto::ByteCount) -> u64 {
    bytes.get() / PAGE
}

pub(crate) fn info(pm: &mut Pm, account: AccountHandle) -> AccountInfo {
    pm.account_info(account).unwrap()
}

/// Returns the states of the first so many frames.
pub(crate) fn states(pm: &mut Pm, container: ContainerHandle, of: u64) -> Vec<FrameState> {
    let mut states = Vec::new();
    for start in (0..of).step_by(24) {
        let most = (of - start).min(24);
        let status = pm.status(container, at(start), frames(most)).unwrap();
        states.extend(&status.frames[..usize::try_from(status.count).unwrap()]);
    }
    states
}

/// Counts the frames among the first so many that are in a state.
pub(crate) fn count(pm: &mut Pm, container: ContainerHandle, of: u64, state: FrameState) -> u64 {
    let states = states(pm, container, of);
    states.iter().filter(|has| has.contains(state)).count().try_into().unwrap()
}

/// Allocates frames from a number on until the first refusal.
pub(crate) fn allocate_all(
    pm: &mut Pm,
    container: ContainerHandle,
    flags: AllocateFlags,
) -> (u64, Failure) {
    let mut next = 0;
    loop {
        match pm.allocate(container, at(next), frames(200), flags | AllocateFlags::PARTIAL) {
            Ok(done) => next += done,
            Err(CallError::Refused(failure)) => return (next + failure.done, failure),
            other => panic!("{other:?}"),
        }
    }
}
