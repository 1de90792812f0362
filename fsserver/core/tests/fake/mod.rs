// SPDX-License-Identifier: BSD-2-Clause
//! A pmserver and memory for tests of what talks to them: containers, shares, leases, mappings,
//! grants, and little of what they cost. The real pmserver is tried with the real cores in the
//! simulator.
#![allow(dead_code)] // Every test uses a part of it.

pub(crate) mod changed;
pub(crate) mod ext4;
mod frames;
pub(crate) mod image;
pub(crate) mod walk;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use corosensei::stack::DefaultStack;
use fsserver_core::{ClientId, Engine, FileServer, Kept};
use fsserver_setup::Setup;
use pmserver_api::{
    AccountInfo, CallError, ContainerHandle, Frames, GrantMapper, Granted, Identity, KernelRefused,
    Lease, LeaseHandle, LockMode, MapFlags, Mapped, PmError, Reply, Request, Rights, ShareHandle,
    ShareTerms, Shared,
};
use proto::{AddressSpace, ByteCount, Message, Micros, PAGE_BYTES, PeerId, Transport, VirtAddr};

pub(crate) const IMAGE_VADDR: u64 = 0x2000_0000;
pub(crate) const FSSERVER: u64 = 1;
pub(crate) const CLIENT: u64 = 2;

/// What one page table maps, as a power of two.
const TABLE_SPAN_BITS: u64 = 21;

/// The most frames that one map call does, so that callers have to go on.
const RUN_FRAMES: u64 = 100;

type Page = Box<[u8; 4096]>;

struct Share {
    container: u64,
    frames: std::ops::Range<u64>,
    peer: u64,
    rights: Rights,
}

struct Mapping {
    container: u64,
    frame: u64,
    share: Option<u64>,
    /// By which grant; without one it was pmserver that mapped it.
    grant: Option<u64>,
    is_writable: bool,
}

/// A lease, and what it covers.
struct Locked {
    share: u64,
    frames: std::ops::Range<u64>,
    mode: LockMode,
    deadline: u64,
}

/// A frame that its owner maps itself.
#[derive(Clone, Copy)]
struct Grant {
    peer: u64,
    container: u64,
    frame: u64,
}

#[derive(Default)]
struct State {
    image: Vec<u8>,
    containers: BTreeMap<u64, BTreeMap<u64, Page>>,
    /// The containers that fsserver has made, and where it keeps the number of one.
    of_fsserver: BTreeSet<u64>,
    kept: Option<&'static Kept>,
    /// What the clients may do, if not what they may by default.
    setup: Option<Setup<'static>>,
    shares: BTreeMap<u64, Share>,
    leases: BTreeMap<u64, Locked>,
    mappings: BTreeMap<(u64, u64), Mapping>,
    grants: BTreeMap<u64, Grant>,
    /// Page tables, by peer and first address in spans.
    tables: BTreeSet<(u64, u64)>,
    /// Shares that their owner has asked for.
    revoking: BTreeSet<u64>,
    next_handle: u64,
    now: u64,
    calls: u64,
    /// The longest lease that shares allow, if they limit it.
    lease_max: Option<u64>,
}

/// The whole machine.
#[derive(Clone, Default)]
pub(crate) struct Machine(Rc<RefCell<State>>);

/// pmserver, as one peer reaches it.
pub(crate) struct Pm {
    machine: Machine,
    peer: u64,
}

/// The memory of one peer.
#[derive(Clone)]
pub(crate) struct Space {
    machine: Machine,
    peer: u64,
}

pub(crate) type Server = FileServer<Pm, Space, DefaultStack>;

/// fsserver, as its client reaches it.
pub(crate) struct Fs {
    pub(crate) server: Server,
    pub(crate) client: ClientId,
    /// Where it reads the time without a call, if it can.
    pub(crate) clock: Option<Machine>,
}

impl Transport for Fs {
    fn call(&mut self, request: Message) -> Message {
        let now = self.clock.as_ref().map(|machine| Micros::new(machine.0.borrow().now));
        self.server.call(self.client, &request, now)
    }
}

impl Machine {
    pub(crate) fn new(image: Vec<u8>) -> Self {
        let state = State { image, next_handle: 100, ..State::default() };
        Self(Rc::new(RefCell::new(state)))
    }

    pub(crate) fn pm(&self, peer: u64) -> Pm {
        Pm { machine: self.clone(), peer }
    }

    pub(crate) fn space(&self, peer: u64) -> Space {
        Space { machine: self.clone(), peer }
    }

    pub(crate) fn server(&self) -> Result<Server, fsserver_api::Failure> {
        let bytes = self.0.borrow().image.len() as u64;
        let vaddr = VirtAddr::new(IMAGE_VADDR).unwrap();
        let kept = *self.0.borrow_mut().kept.get_or_insert_with(|| Box::leak(Box::default()));
        let stack = DefaultStack::new(1 << 20).unwrap();
        let space = self.space(FSSERVER);
        let setup = self.0.borrow().setup.unwrap_or(Setup::EMPTY);
        FileServer::new(self.pm(FSSERVER), space.clone(), setup, kept, |_, _| {
            Ok(Engine::of_region(stack, space, vaddr, bytes))
        })
    }

    pub(crate) fn fs(&self) -> fsserver_api::Client<Fs> {
        let client = ClientId::of_channel(2);
        let clock = Some(self.clone());
        fsserver_api::Client::new(Fs { server: self.server().unwrap(), client, clock })
    }

    /// Says what the clients of servers that are made from now on may do.
    pub(crate) fn permit(&self, setup: Setup<'static>) {
        self.0.borrow_mut().setup = Some(setup);
    }

    /// Lets time pass, after which leases may have ended.
    pub(crate) fn advance(&self, micros: u64) {
        let mut state = self.0.borrow_mut();
        state.now += micros;
        let now = state.now;
        state.leases.retain(|_, lease| lease.deadline > now);
    }

    /// Limits every lease.
    pub(crate) fn limit_leases(&self, micros: u64) {
        self.0.borrow_mut().lease_max = Some(micros);
    }

    /// The calls of pmserver so far.
    pub(crate) fn calls(&self) -> u64 {
        self.0.borrow().calls
    }

    /// Ends a share as its owner can: not while it is leased.
    pub(crate) fn try_unshare(&self, weak: ContainerHandle) -> bool {
        let mut state = self.0.borrow_mut();
        state.revoking.insert(weak.raw());
        let is_free = state.leases.values().all(|lease| lease.share != weak.raw());
        if is_free {
            state.unshare(weak.raw());
        }
        is_free
    }

    /// Ends the leases of fsserver, as pmserver does when it has faulted.
    pub(crate) fn fault(&self) {
        self.0.borrow_mut().leases.clear();
    }

    /// How many lent frames fsserver has mapped.
    pub(crate) fn mapped(&self) -> usize {
        self.0.borrow().lent_mappings().count()
    }

    /// Makes a container of zero pages and shares all of it to fsserver.
    pub(crate) fn lend(&self, frames: u64, rights: Rights) -> ContainerHandle {
        self.lend_of(CLIENT, frames, rights)
    }

    /// The same as one of these clients.
    pub(crate) fn lend_of(&self, owner: u64, frames: u64, rights: Rights) -> ContainerHandle {
        let mut state = self.0.borrow_mut();
        let container = state.handle();
        let pages = (0..frames).map(|frame| (frame, Box::new([0; 4096]))).collect();
        state.containers.insert(container, pages);
        let weak = state.handle_of(owner);
        let share = Share { container, frames: 0..frames, peer: FSSERVER, rights };
        state.shares.insert(weak, share);
        ContainerHandle::from_raw(weak)
    }

    /// Takes a frame out of a lent container, whatever the rules say.
    pub(crate) fn remove_frame(&self, weak: ContainerHandle, frame: u64) {
        let mut state = self.0.borrow_mut();
        let container = state.shares[&weak.raw()].container;
        state.containers.get_mut(&container).unwrap().remove(&frame);
    }

    /// Ends a share, with what was mapped through it.
    pub(crate) fn unshare(&self, weak: ContainerHandle) {
        self.0.borrow_mut().unshare(weak.raw());
    }

    /// Leaves a container mapped as a server does that dies in the middle of a call.
    pub(crate) fn die_with(&self, weak: ContainerHandle) {
        let mut state = self.0.borrow_mut();
        let container = state.shares[&weak.raw()].container;
        for page in 0..2 {
            let share = Some(weak.raw());
            let mapping = Mapping { container, frame: page, share, grant: None, is_writable: true };
            let vaddr = fsserver_core::WINDOW.start().get() + page * PAGE_BYTES;
            state.mappings.insert((FSSERVER, vaddr), mapping);
        }
    }

    pub(crate) fn write(&self, weak: ContainerHandle, offset: usize, bytes: &[u8]) {
        let mut state = self.0.borrow_mut();
        let container = state.shares[&weak.raw()].container;
        let pages = state.containers.get_mut(&container).unwrap();
        for (index, byte) in (offset..).zip(bytes) {
            pages.get_mut(&(index as u64 / PAGE_BYTES)).unwrap()[index % 4096] = *byte;
        }
    }

    pub(crate) fn read(&self, weak: ContainerHandle, bytes: usize) -> Vec<u8> {
        let state = self.0.borrow();
        let pages = &state.containers[&state.shares[&weak.raw()].container];
        let needed = pages.values().take(bytes.div_ceil(4096));
        let mut data = needed.map(|page| page.as_slice()).collect::<Vec<_>>().concat();
        data.truncate(bytes);
        data
    }

    /// Says that nothing that was lent is mapped into fsserver, nothing locked and nothing granted.
    pub(crate) fn assert_at_rest(&self) {
        let state = self.0.borrow();
        assert_eq!(state.lent_mappings().count(), 0, "a mapping is left");
        assert!(state.leases.is_empty(), "a lease is left");
        assert!(state.grants.is_empty(), "a grant is left");
    }

    pub(crate) fn leases(&self) -> usize {
        self.0.borrow().leases.len()
    }

    /// How the container is locked.
    pub(crate) fn modes(&self) -> Vec<LockMode> {
        self.0.borrow().leases.values().map(|lease| lease.mode).collect()
    }
}

impl AddressSpace for Space {
    fn copy_in(&self, from: VirtAddr, to: &mut [u8]) {
        let state = self.machine.0.borrow();
        if self.peer == FSSERVER && from.get() >= IMAGE_VADDR {
            let start = (from.get() - IMAGE_VADDR) as usize;
            to.copy_from_slice(&state.image[start..start + to.len()]);
            return;
        }
        for (page, offset, range) in pieces(from, to.len()) {
            let mapping = &state.mappings[&(self.peer, page)];
            let page = &state.containers[&mapping.container][&mapping.frame];
            let length = range.len();
            to[range].copy_from_slice(&page[offset..offset + length]);
        }
    }

    fn copy_out(&mut self, from: &[u8], to: VirtAddr) {
        let mut state = self.machine.0.borrow_mut();
        let State { mappings, containers, leases, .. } = &mut *state;
        for (page, offset, range) in pieces(to, from.len()) {
            let mapping = &mappings[&(self.peer, page)];
            assert!(mapping.is_writable, "a store to a read-only page");
            let covers = |lease: &Locked| {
                Some(lease.share) == mapping.share && lease.frames.contains(&mapping.frame)
            };
            assert!(
                self.peer != FSSERVER || mapping.share.is_none() || leases.values().any(covers),
                "a store without a lease"
            );
            let pages = containers.get_mut(&mapping.container).unwrap();
            let page = pages.get_mut(&mapping.frame).unwrap();
            page[offset..offset + range.len()].copy_from_slice(&from[range]);
        }
    }

    fn relax(&mut self) {}
}

impl GrantMapper for Space {
    fn map_granted(
        &mut self,
        capability: u64,
        vaddr: VirtAddr,
        rights: MapFlags,
    ) -> Result<(), KernelRefused> {
        let mut state = self.machine.0.borrow_mut();
        let grant = state.grants.get(&capability).filter(|grant| grant.peer == self.peer);
        let Grant { peer, container, frame } = *grant.ok_or(KernelRefused)?;
        let page = (peer, vaddr.get());
        if !state.tables.contains(&table_of(page)) || state.mappings.contains_key(&page) {
            return Err(KernelRefused);
        }
        let (grant, is_writable) = (Some(capability), rights.contains(MapFlags::WRITE));
        state.mappings.insert(page, Mapping { container, frame, share: None, grant, is_writable });
        Ok(())
    }
}

fn pages_of(peer: u64, vaddr: VirtAddr, count: u64) -> Vec<(u64, u64)> {
    (0..count).map(|page| (peer, vaddr.get() + page * PAGE_BYTES)).collect()
}

fn table_of((peer, vaddr): (u64, u64)) -> (u64, u64) {
    (peer, vaddr >> TABLE_SPAN_BITS)
}

/// Cuts a range of memory at the page boundaries: page, offset in it, range of the private bytes.
fn pieces(start: VirtAddr, length: usize) -> Vec<(u64, usize, std::ops::Range<usize>)> {
    let mut pieces = Vec::new();
    let mut done = 0;
    while done < length {
        let vaddr = start.get() + done as u64;
        let offset = (vaddr & 4095) as usize;
        let end = length.min(done + 4096 - offset);
        pieces.push((vaddr & !4095, offset, done..end));
        done = end;
    }
    pieces
}

impl Transport for Pm {
    fn call(&mut self, request: Message) -> Message {
        let mut state = self.machine.0.borrow_mut();
        state.now += 1;
        state.calls += 1;
        match Request::decode(&request).and_then(|request| state.serve(self.peer, request)) {
            Ok(reply) => reply.encode(),
            Err(error) => error.reply(),
        }
    }
}

impl State {
    fn handle(&mut self) -> u64 {
        self.handle_of(CLIENT)
    }

    /// A handle says whose container it is.
    fn handle_of(&mut self, owner: u64) -> u64 {
        self.next_handle += 1;
        self.next_handle | owner << pmserver_api::HANDLE_MAKER_SHIFT
    }

    fn serve(&mut self, peer: u64, request: Request) -> Result<Reply, CallError> {
        Ok(match request {
            Request::WhoAmI => Reply::Identity(Identity {
                peer: PeerId::new(peer).unwrap(),
                account: pmserver_api::AccountHandle::OWN,
            }),
            Request::Clock => Reply::Time(Micros::new(self.now)),
            Request::ContainerCreate { .. } => {
                let container = self.handle();
                self.containers.insert(container, BTreeMap::new());
                if peer == FSSERVER {
                    self.of_fsserver.insert(container);
                }
                Reply::Container(ContainerHandle::from_raw(container))
            }
            Request::ContainerDestroy { container } => {
                self.containers.remove(&container.raw()).ok_or(PmError::InvalidCap)?;
                let is_granted = |grant: &Grant| grant.container == container.raw();
                assert!(!self.grants.values().any(is_granted), "still granted");
                self.unmap_all(|mapping| mapping.container == container.raw());
                Reply::Done
            }
            Request::Allocate { frames: Frames { container, start, count }, .. } => {
                let pages = self.containers.get_mut(&container.raw()).ok_or(PmError::InvalidCap)?;
                for frame in start.get()..start.get() + count.get() {
                    pages.insert(frame, Box::new([0; 4096]));
                }
                Reply::Number(count.get())
            }
            Request::Deallocate { frames: Frames { container, start, count }, .. } => {
                let range = start.get()..start.get() + count.get();
                let is_it = |mapping: &Mapping| {
                    mapping.container == container.raw() && range.contains(&mapping.frame)
                };
                self.unmap_all(is_it);
                let pages = self.containers.get_mut(&container.raw()).ok_or(PmError::InvalidCap)?;
                pages.retain(|frame, _| !range.contains(frame));
                Reply::Number(count.get())
            }
            Request::Copy {
                source, source_start, destination, destination_start, count, ..
            } => {
                let to = (destination, destination_start.get());
                self.copy(peer, (source, source_start.get()), to, count.get())?
            }
            Request::Share { container, start, count, terms: ShareTerms { peer, rights, .. } } => {
                let frames = start.get()..start.get() + count;
                let (container, peer) = (container.raw(), peer.get().into());
                let weak = self.handle();
                self.shares.insert(weak, Share { container, frames, peer, rights });
                let (share, weak) = (ShareHandle::from_raw(weak), ContainerHandle::from_raw(weak));
                Reply::Shared(Shared { share, weak })
            }
            Request::Unshare { share, .. } => {
                assert!(
                    self.leases.values().all(|lease| lease.share != share.raw()),
                    "still leased"
                );
                self.unshare(share.raw());
                Reply::Done
            }
            Request::Lock { frames: Frames { container, start, count }, mode, ttl } => {
                assert!(ttl.get() > 0);
                let frames = start.get()..start.get() + count.get();
                let (locked, _) = self.access(peer, container, frames.clone(), Rights::LOCK)?;
                if self.revoking.contains(&container.raw()) {
                    return Err(PmError::Revoking.into());
                }
                self.take_grants(|_, grant| grant.container == locked && grant.peer != peer);
                let ttl = ttl.get().min(self.lease_max.unwrap_or(u64::MAX));
                let (lease, deadline) = (self.handle(), self.now + ttl);
                let locked = Locked { share: container.raw(), frames, mode, deadline };
                self.leases.insert(lease, locked);
                let deadline = Micros::new(deadline);
                Reply::Lease(Lease { lease: LeaseHandle::from_raw(lease), deadline })
            }
            Request::Unlock { lease } => {
                self.leases.remove(&lease.raw()).ok_or(PmError::InvalidCap)?;
                Reply::Done
            }
            Request::AccountInfo { .. } => Reply::AccountInfo(self.account()),
            of_vspace => return self.serve_vspace(peer, of_vspace),
        })
    }

    fn serve_vspace(&mut self, peer: u64, request: Request) -> Result<Reply, CallError> {
        Ok(match request {
            Request::Map { frames: Frames { container, start, count }, vaddr, flags, .. } => {
                self.map(peer, container, (start, count.get()), vaddr, flags)?
            }
            Request::Remap { count, flags, .. } => {
                let mut mapped = Mapped::default();
                for _ in 0..count.get() {
                    mapped.push(flags | MapFlags::READ);
                }
                Reply::Mapped(mapped)
            }
            Request::Unmap { vaddr, count, .. } => {
                Reply::Number(self.unmap(&pages_of(peer, vaddr, count.get())))
            }
            Request::Grant { frames: Frames { container, start, count }, rights } => {
                assert_eq!(count.get(), 1);
                let frame = start.get();
                let is_writable = rights.contains(MapFlags::WRITE);
                let needed = if is_writable { Rights::READ | Rights::WRITE } else { Rights::READ };
                let (container, _) = self.access(peer, container, frame..frame + 1, needed)?;
                let address = self.handle();
                self.grants.insert(address, Grant { peer, container, frame });
                Reply::Granted(Granted { address, count: 1, rights })
            }
            Request::Ungrant { address, count } => {
                let range = address..address + count.get();
                Reply::Number(self.take_grants(|address, _| range.contains(&address)))
            }
            Request::EnsureTables { vaddr, count, .. } => {
                let before = self.tables.len();
                self.tables.extend(pages_of(peer, vaddr, count.get()).into_iter().map(table_of));
                Reply::Number((self.tables.len() - before) as u64)
            }
            _ => return Err(PmError::Invalid.into()),
        })
    }

    fn account(&self) -> AccountInfo {
        let frames = self.containers.values().map(|pages| pages.len() as u64).sum();
        let records = self.shares.len() + self.leases.len() + self.mappings.len();
        AccountInfo {
            limit: ByteCount::from_pages(u32::MAX.into()),
            frames: ByteCount::from_pages(frames),
            tables: ByteCount::from_pages(self.tables.len() as u64),
            slots: ByteCount::from_pages(self.grants.len() as u64),
            records: ByteCount::from_pages(records as u64),
            ..AccountInfo::default()
        }
    }

    fn unshare(&mut self, weak: u64) {
        self.shares.remove(&weak);
        self.unmap_all(|mapping| mapping.share == Some(weak));
    }

    /// Takes grants back, with what was mapped by them; returns how many.
    fn take_grants(&mut self, goes: impl Fn(u64, &Grant) -> bool) -> u64 {
        let before = self.grants.len();
        self.grants.retain(|address, grant| !goes(*address, grant));
        let grants = &self.grants;
        self.mappings.retain(|_, mapping| mapping.grant.is_none_or(|by| grants.contains_key(&by)));
        (before - self.grants.len()) as u64
    }

    fn unmap_all(&mut self, goes: impl Fn(&Mapping) -> bool) {
        let pages = self.mappings.iter().filter(|(_, mapping)| goes(mapping));
        let pages: Vec<_> = pages.map(|(page, _)| *page).collect();
        self.unmap(&pages);
    }

    /// Unmaps what pmserver has mapped at these pages; returns how many there were. The tables
    /// above go where there is nothing else of pmserver's, with what others have mapped there.
    fn unmap(&mut self, pages: &[(u64, u64)]) -> u64 {
        let before = self.mappings.len();
        let is_known = |mapping: &Mapping| mapping.grant.is_none();
        self.mappings.retain(|page, mapping| !is_known(mapping) || !pages.contains(page));
        let unmapped = before - self.mappings.len();
        let tables: BTreeSet<_> = pages.iter().copied().map(table_of).collect();
        for table in tables {
            let mut below = self.mappings.iter().filter(|(page, _)| table_of(**page) == table);
            if !below.any(|(_, mapping)| is_known(mapping)) {
                self.tables.remove(&table);
                self.mappings.retain(|page, _| table_of(*page) != table);
            }
        }
        unmapped as u64
    }
}
