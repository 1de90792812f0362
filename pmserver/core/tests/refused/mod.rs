// SPDX-License-Identifier: BSD-2-Clause
//! Small worlds in which a call meets much, and all that their peers can see of them.

pub(crate) mod cases;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug, Formatter};

use pmserver_api::{
    AccessKind, AccountHandle, AllocateFlags, CallError, ContainerHandle, CopyFlags, Failure,
    FrameState, LockMode, MapFlags, PmError, Rights, Shared,
};
use pmserver_core::config::{PeerConfig, Privileges};
use pmserver_core::kernel::{Kernel, VSpace};
use pmserver_core::{Fault, FaultOutcome};
use proto::{ByteCount, Console, Micros, VirtAddr};
use sim::{InvocationKind, Refusal, SimKernel};

use crate::world::{Pm, World, at, frames, page, peer};

pub(crate) const OWN: AccountHandle = AccountHandle::OWN;
pub(crate) const LONG: Micros = Micros::new(1_000_000);
pub(crate) const FORCED: MapFlags = MapFlags::WRITE.union(MapFlags::FORCE_WRITE);
/// Frames of each container.
pub(crate) const COUNT: u64 = 4;
/// Pages from one container's mappings to the next one's.
pub(crate) const APART: u64 = 16;
/// Where calls map, in pages; nothing is there before, not even a table.
pub(crate) const NEW: u64 = 8 * 512;
/// Where each container is mapped to look at it, in pages.
const LOOK: u64 = 16 * 512;
const POOL: u64 = 1 << 20;

/// What frames have when a call meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Memory of their own.
    Plain,
    /// None: nothing was ever written to them.
    Empty,
    /// Memory that others share copy-on-write.
    Copied,
    /// Memory that is really shared.
    Joined,
    /// Both.
    CopiedAndJoined,
    /// Contiguous memory.
    Contiguous,
    /// Contiguous memory that is really shared.
    ContiguousJoined,
    /// A pin for reading, and others that share the memory copy-on-write.
    Pinned,
    /// A pin that has run out; contents go to other memory.
    Overdue,
    /// The same with an IOMMU.
    OverdueBehindIommu,
    /// The state TAKEN_OVER.
    TakenOver,
    /// A handler, for those without memory.
    Handled,
}

impl Flavour {
    pub(crate) const ALL: [Self; 12] = [
        Self::Plain,
        Self::Empty,
        Self::Copied,
        Self::Joined,
        Self::CopiedAndJoined,
        Self::Contiguous,
        Self::ContiguousJoined,
        Self::Pinned,
        Self::Overdue,
        Self::OverdueBehindIommu,
        Self::TakenOver,
        Self::Handled,
    ];
}

struct Quiet;
impl Console for Quiet {
    fn write(&mut self, _: &[u8]) {}
}

/// A world with an owner (1), a borrower with a device (2) and a supervisor (3).
pub(crate) struct Scene {
    pub(crate) world: World,
    /// Containers of the owner, lent to the borrower, that both have mapped.
    pub(crate) a: ContainerHandle,
    pub(crate) b: ContainerHandle,
    /// One more, where the flavour has copies, mapped by the owner.
    pub(crate) c: ContainerHandle,
    pub(crate) share_a: Shared,
    pub(crate) share_b: Shared,
    /// Containers that calls make.
    pub(crate) made: RefCell<Vec<ContainerHandle>>,
    /// What a call needs and was made before it: a handle or an address.
    pub(crate) kept: Cell<u64>,
}

impl Scene {
    /// `records` is how many records the peers have more than they need: it decides whether the
    /// next one takes a page.
    pub(crate) fn new(flavour: Flavour, records: u64) -> Self {
        let limit = ByteCount::new(224 << 10);
        let peers = [1, 2, 3].map(|peer| PeerConfig {
            peer,
            name: "peer",
            limit,
            privileges: Privileges::all(),
        });
        let kernel = SimKernel::new(POOL);
        let has_iommu = flavour == Flavour::OverdueBehindIommu;
        let kernel = if has_iommu { kernel.with_iommu() } else { kernel };
        let world = World::over(kernel, &peers).unchecked();
        for number in 1..=3 {
            let mut pm = world.as_peer(number);
            (0..records).for_each(|_| assert!(pm.container_create(OWN).is_ok()));
        }
        let mut pm = world.as_peer(1);
        let [a, b, c] = [0; 3].map(|_| pm.container_create(OWN).unwrap());
        for container in [a, b] {
            if matches!(flavour, Flavour::Contiguous | Flavour::ContiguousJoined) {
                pm.allocate_contiguous(container, at(0), frames(COUNT), 12, 64).unwrap();
            } else {
                pm.allocate(container, at(0), frames(COUNT), AllocateFlags::empty()).unwrap();
            }
        }
        let lend = |pm: &mut Pm, container| {
            pm.share(container, at(0), 64, peer(2), Rights::all(), LONG).unwrap()
        };
        let (share_a, share_b) = (lend(&mut pm, a), lend(&mut pm, b));
        let (made, kept) = (RefCell::default(), Cell::default());
        let scene = Self { world, a, b, c, share_a, share_b, made, kept };
        scene.map_all(flavour);
        scene.furnish(flavour);
        scene
    }

    pub(crate) fn owner(&self) -> Pm {
        self.world.as_peer(1)
    }

    pub(crate) fn borrower(&self) -> Pm {
        self.world.as_peer(2)
    }

    pub(crate) fn supervisor(&self) -> Pm {
        self.world.as_peer(3)
    }

    fn map_all(&self, flavour: Flavour) {
        let is_empty = matches!(flavour, Flavour::Empty | Flavour::Handled);
        let flags = if is_empty { MapFlags::WRITE } else { FORCED };
        for (container, first, letter) in [(self.a, 0, b'a'), (self.b, APART, b'p')] {
            self.owner().map(container, at(0), frames(COUNT), page(first), flags).unwrap();
            for (number, byte) in (0..COUNT).zip(letter..) {
                if !is_empty {
                    self.world.store(1, byte, page(first + number)).unwrap();
                }
            }
        }
        for (weak, first) in [(self.share_a.weak, 0), (self.share_b.weak, APART)] {
            self.borrower().map(weak, at(0), frames(COUNT), page(first), flags).unwrap();
        }
        self.owner().attach(self.a, at(0), 4, page(3 * APART), MapFlags::WRITE).unwrap();
    }

    fn furnish(&self, flavour: Flavour) {
        let (mut pm, mut driver) = (self.owner(), self.borrower());
        let copy = |pm: &mut Pm, from, to: u64, flags| {
            let to = (self.c, at(to));
            pm.copy((from, at(0)), to, frames(COUNT), CopyFlags::NEW | flags).unwrap();
        };
        let (logical, shared) = (CopyFlags::empty(), CopyFlags::SHARED);
        let copies = match flavour {
            Flavour::Copied => vec![logical],
            Flavour::Joined | Flavour::ContiguousJoined => vec![shared],
            Flavour::CopiedAndJoined => vec![shared, logical],
            _ => vec![],
        };
        for (flags, place) in copies.into_iter().zip([0, 8]) {
            copy(&mut pm, self.a, place, flags);
            copy(&mut pm, self.b, place + COUNT, flags);
        }
        if pm.map(self.c, at(0), frames(2 * COUNT), page(2 * APART), MapFlags::WRITE).is_ok() {
            self.world.load(1, page(2 * APART)).unwrap();
        }
        if !matches!(flavour, Flavour::Empty | Flavour::Handled) {
            let _ = pm.grant(self.a, at(1), frames(1), MapFlags::READ);
            let _ = driver.grant(self.share_b.weak, at(2), frames(1), MapFlags::WRITE);
        }
        match flavour {
            Flavour::Pinned => {
                self.pin(LockMode::Read, LONG);
                copy(&mut pm, self.a, 0, logical);
            }
            Flavour::Overdue | Flavour::OverdueBehindIommu | Flavour::TakenOver => {
                self.pin(LockMode::Exclusive, Micros::new(2000));
                self.world.advance(3000);
                if flavour == Flavour::TakenOver {
                    pm.status(self.a, at(0), frames(1)).unwrap();
                }
            }
            Flavour::Handled => {
                self.world.store(1, b'a', page(0)).unwrap();
                self.world.store(1, b'q', page(APART + 1)).unwrap();
                pm.set_handler(self.a, at(0), 64, Some(peer(2)), 1).unwrap();
                pm.set_handler(self.b, at(0), 64, Some(peer(2)), 2).unwrap();
            }
            _ => {}
        }
        driver.register_recovery(page(0), page(1)).unwrap();
    }

    fn pin(&self, mode: LockMode, ttl: Micros) {
        let count = frames(COUNT);
        self.borrower().pin(self.share_a.weak, at(0), count, mode, ttl).unwrap();
    }

    /// Refuses the n-th invocation from now on with one of the errors of its kind.
    pub(crate) fn refuse(&self, nth: u64, error: usize) {
        self.world.0.borrow_mut().kernel_mut().refuse(Some(Refusal { nth, error }));
    }

    pub(crate) fn refuse_nothing(&self) {
        self.world.fail_nth(None);
    }

    /// Returns the kind of the invocation that was refused, if it was made.
    pub(crate) fn refused(&self) -> Option<InvocationKind> {
        self.world.0.borrow().kernel().last_refused()
    }

    pub(crate) fn invocations(&self) -> u64 {
        self.world.0.borrow().kernel().invocations()
    }

    /// Stops a peer by a fault.
    pub(crate) fn stop(&self, number: u64) {
        let fault = Fault::Access { address: 0, kind: AccessKind::Read };
        for _ in 0..8 {
            let outcome = self.world.0.borrow_mut().fault(peer(number), fault, &mut Quiet);
            if outcome == FaultOutcome::Stopped {
                return;
            }
        }
        panic!("peer {number} does not stop");
    }

    /// Makes a container by a call of the owner, to be looked at later.
    pub(crate) fn made(
        &self,
        call: impl FnOnce(&mut Pm) -> Result<ContainerHandle, CallError>,
    ) -> Result<u64, CallError> {
        call(&mut self.owner()).map(|container| {
            self.made.borrow_mut().push(container);
            0
        })
    }

    /// Returns all that can be seen. Looking changes the world: it is looked at once.
    pub(crate) fn look(&self) -> Seen {
        self.world.check();
        let mut seen = Seen::default();
        let made = self.made.borrow().clone();
        let containers: Vec<_> = [self.a, self.b, self.c].into_iter().chain(made).collect();
        let mut pm = self.owner();
        for (place, container) in (0..).zip(&containers) {
            for number in 0..3 * COUNT {
                let state = pm.status(*container, at(number), frames(1));
                let state = state.ok().map(|status| status.frames[0]);
                let memory = FrameState::BOUND | FrameState::COW;
                seen.note("state", place, number, state.map(|state| state.difference(memory)));
                seen.note("memory", place, number, state.map(|state| state & memory));
            }
        }
        let mut policy = self.supervisor();
        for number in 1..=3 {
            let info = policy.account_info(AccountHandle::of_peer(peer(number)));
            // A table that the kernel keeps is charged for some time (PM-381), and how full pages
            // of records and slots are depends on the order of what was done.
            seen.note("account", number, 0, info.ok().map(|info| info.frames));
        }
        let places = (0..4 * APART).chain(NEW..NEW + 2 * APART);
        let places: Vec<_> =
            [1, 2].into_iter().flat_map(|n| places.clone().map(move |p| (n, p))).collect();
        for (place, container) in (0..).zip(&containers) {
            for number in 0..3 * COUNT {
                let vaddr = page(LOOK + number);
                let mapped = pm.map(*container, at(number), frames(1), vaddr, MapFlags::READ);
                let byte = mapped.ok().map(|_| self.touch(1, LOOK + number, None));
                seen.note("contents", place, number, byte);
                let _ = pm.unmap(vaddr, frames(1));
            }
        }
        for (number, place) in &places {
            let byte = self.touch(*number, *place, None);
            seen.note("load", *number, *place, byte);
        }
        for (byte, (number, place)) in (1..).zip(&places) {
            let stored = self.touch(*number, *place, Some(byte));
            seen.note("store", *number, *place, stored);
        }
        for (number, place) in &places {
            let byte = self.touch(*number, *place, None);
            seen.note("relation", *number, *place, byte);
        }
        let all = frames(128);
        let first = self.world.0.borrow().kernel().grant_address(0);
        for number in [1, 2] {
            let granted = self.world.as_peer(number).ungrant(first, all);
            seen.note("grants", number, 0, granted.ok());
        }
        self.world.check();
        seen
    }

    /// Has a peer load a byte of a page, or store one; returns what came of it.
    pub(crate) fn touch(&self, number: u64, place: u64, byte: Option<u8>) -> Touch {
        let mut server = self.world.0.borrow_mut();
        let (space, address) = (VSpace::Peer(peer(number)), page(place).get());
        let kind = if byte.is_some() { AccessKind::Write } else { AccessKind::Read };
        for _ in 0..4 {
            let mut bytes = [byte.unwrap_or(0)];
            let result = match byte {
                Some(_) => server.kernel_mut().store(space, &bytes, address),
                None => server.kernel().load(space, address, &mut bytes),
            };
            if result.is_ok() {
                return Touch::Done(bytes[0]);
            }
            if !server.resolve(peer(number), address, kind) {
                return Touch::Fault;
            }
        }
        Touch::Waits
    }

    /// Destroys everything; returns what the accounts and the pool have then.
    pub(crate) fn settle(&self) -> Seen {
        self.world.advance(2_000_000);
        let mut policy = self.supervisor();
        let mut left = Seen::default();
        for number in [2, 1] {
            self.stop(number);
            for _ in 0..100 {
                if policy.reclaim().unwrap() == 0 {
                    break;
                }
            }
            let _ = policy.device_reset(peer(number));
            let info = policy.account_info(AccountHandle::of_peer(peer(number)));
            left.note("account", number, 0, info.ok());
        }
        for _ in 0..20 {
            policy.reclaim().unwrap();
        }
        left.note("pool", 0, 0, policy.account_info(AccountHandle::POOL).ok());
        self.world.check();
        left
    }
}

/// What comes of an access.
#[derive(Debug)]
pub(crate) enum Touch {
    /// The byte that was loaded or stored.
    Done(#[allow(dead_code)] u8), // It is printed.
    Fault,
    Waits,
}

/// All that the peers of a scene can see, by what is looked at.
#[derive(Debug, Default)]
pub(crate) struct Seen(BTreeMap<Place, String>);

/// Something that is looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) what: &'static str,
    of: u64,
    at: u64,
    /// The number of the frame, if it is about one.
    pub(crate) index: Option<u64>,
}

/// Two worlds differ in what is seen at a place.
pub(crate) struct Difference {
    pub(crate) place: Place,
    is: String,
    other: String,
}

impl Debug for Difference {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        let Self { place: Place { what, of, at, .. }, is, other } = self;
        write!(to, "{what} {of}/{at} {is} not {other}")
    }
}

impl Seen {
    fn note(&mut self, what: &'static str, of: u64, at: u64, is: impl Debug) {
        // Calls change frames of `a` by their number, and of the others those from a multiple on.
        let index = match what {
            "state" | "memory" | "contents" if of == 0 => Some(at),
            "load" | "store" | "relation" if at < APART => Some(at),
            "account" | "grants" | "pool" => None,
            _ => Some(at % COUNT),
        };
        self.0.insert(Place { what, of, at, index }, format!("{is:?}"));
    }

    /// Returns where two worlds differ.
    pub(crate) fn differences(&self, other: &Self) -> Vec<Difference> {
        let none = String::new();
        let places: BTreeSet<&Place> = self.0.keys().chain(other.0.keys()).collect();
        let both =
            |place| (self.0.get(place).unwrap_or(&none), other.0.get(place).unwrap_or(&none));
        let differ = places.into_iter().filter(|place| both(place).0 != both(place).1);
        differ
            .map(|place| {
                let (is, other) = both(place);
                Difference { place: place.clone(), is: is.clone(), other: other.clone() }
            })
            .collect()
    }
}

/// Calls until it is done, or is refused for good; returns how much was done, and the refusal. The
/// call is told how much was done before.
pub(crate) fn finish(
    mut call: impl FnMut(u64) -> Result<u64, CallError>,
    before: u64,
) -> (u64, Option<Failure>) {
    let mut done = before;
    for _ in 0..64 {
        match call(done) {
            Ok(more) => return (done + more, None),
            Err(CallError::Refused(failure)) => {
                done += failure.done;
                if (failure.error, failure.at) != (PmError::Pending, 0) {
                    return (done, Some(failure));
                }
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    panic!("a call asks to be called again for ever");
}

/// The address of the page from which on calls map.
pub(crate) fn new_page() -> VirtAddr {
    page(NEW)
}
