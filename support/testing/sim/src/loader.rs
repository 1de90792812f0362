// SPDX-License-Identifier: BSD-2-Clause
//! What happens before pmserver runs: the first thread makes the protection domains' objects out of
//! the machine's memory, lays out pmserver's CSpace as Microkit does, and fills memory regions.
//!
//! Every CSpace is, as the image tool makes it, a root of 64 slots, found by the top 6 bits of an
//! address, over a leaf of 512 slots in its slot 0. pmserver's:
//!
//! `pmserver_setup::slots` says which slots of pmserver's hold what; beside these Microkit puts
//! there:
//!
//! ```text
//!   leaf slot 10 + n    notification of child n
//!   leaf slot 202 + n   thread of child n
//! ```
//!
//! A child's has its own VSpace in leaf slot 3, and root slot 40 is empty for pmserver to fill.

use std::collections::BTreeMap;

use pmserver_setup::{LIST_BYTES, PoolPart, slots};
use proto::PeerId;

use crate::machine::{
    Architecture, Cap, CapRights, Destination, Error, Invocation, LookupFault, Machine, ObjectType,
    PAGE_BYTES, Place, Source, TableKind, Transfer,
};

const LEAF_RADIX: u8 = 9;
const LEAF_GUARD_BITS: u64 = 64 - 6 - 9;
/// Bits of an address that index a root.
pub(crate) const ROOT_BITS: u64 = 6;
/// Bits below those.
pub(crate) const ROOT_SHIFT: u64 = 64 - ROOT_BITS;
pub(crate) const SLOT_VSPACES: u64 = slots::VSPACES as u64;
/// Where pmserver puts a CNode with capabilities for a child, in the child's root.
pub(crate) const SLOT_GRANTS: u64 = slots::GRANTS as u64;
/// Where the CNode with what is handed over is, in pmserver's root.
pub(crate) const HANDED_OVER: u64 = slots::HANDED_OVER as u64;
pub(crate) const LEAF_OWN_VSPACE: u64 = 3;
pub(crate) const LEAF_NOTIFICATIONS: u64 = 10;
pub(crate) const LEAF_THREADS: u64 = 202;
pub(crate) const LEAF_CNODE: u64 = slots::ROOT_CNODES as u64;
/// All bits of an address: through slot 0 of a root into the leaf.
pub(crate) const LEAF_DEPTH: u64 = 64;
/// What a child is notified with: the flag of its channel 0, which is the one to pmserver.
const BADGE: u64 = 1 << 0;
/// Where every program is loaded; what lies there does not matter, its page tables do.
const IMAGE_VADDR: u64 = 0x20_0000;

/// Returns a pool of `count` parts of one size.
#[must_use]
pub fn equal_parts(size_bits: u32, count: u32) -> Vec<PoolPart> {
    (*slots::POOL.start()..).zip(0..count).map(|(slot, _)| PoolPart { slot, size_bits }).collect()
}

/// A memory region that is mapped read-only into one peer before it starts.
#[derive(Clone, Debug)]
pub struct Region {
    /// Into which.
    pub peer: PeerId,
    /// Where.
    pub vaddr: u64,
    /// With which contents; the rest of the last page is zero.
    pub contents: Vec<u8>,
}

/// What to load.
#[derive(Clone, Debug)]
pub struct BootPlan {
    /// On which hardware.
    pub architecture: Architecture,
    /// The parts of pmserver's pool.
    pub pool: Vec<PoolPart>,
    /// The peers that exist.
    pub peers: Vec<PeerId>,
    /// Those into whose CSpace pmserver may put capabilities.
    pub cspaces: Vec<PeerId>,
    /// Memory regions.
    pub regions: Vec<Region>,
}

/// A loaded system.
pub(crate) struct Loaded {
    pub(crate) machine: Machine,
    /// Root of pmserver's CSpace.
    pub(crate) cspace: Cap,
    /// pmserver's address space.
    pub(crate) vspace: Cap,
    pub(crate) peers: BTreeMap<PeerId, LoadedPeer>,
    /// The list of what is handed over, if that is.
    pub(crate) untyped_list: Option<[u8; LIST_BYTES]>,
}

/// What the machine has of a peer's.
#[derive(Clone)]
pub(crate) struct LoadedPeer {
    /// Root of its CSpace.
    pub(crate) cspace: Cap,
    /// Its address space.
    pub(crate) vspace: Cap,
    pub(crate) thread: Cap,
    /// Where the first thread finds its notification.
    pub(crate) notification: u64,
}

struct Loader {
    machine: Machine,
    next_slot: u64,
}

/// Loads the system. The parts of the pool are given, or handed over with what else is left: in a
/// CNode of their own, and listed.
///
/// # Panics
/// If the plan does not fit into the machine.
pub(crate) fn load(plan: &BootPlan, hands_over: bool) -> Loaded {
    let region_bytes: u64 = plan.regions.iter().map(|region| region.contents.len() as u64).sum();
    let pool_pages: u64 = plan.pool.iter().map(|part| u64::from(part.pages())).sum();
    let needed = (pool_pages * PAGE_BYTES + region_bytes).next_power_of_two() * 4;
    let memory_bits = u8::try_from(needed.ilog2()).expect("below 64").max(MEMORY_BITS_MIN);
    let machine = Machine::new(plan.architecture, memory_bits);
    let mut loader = Loader { machine, next_slot: Machine::ROOT_EMPTY };
    let root = loader.cspace();
    loader.copy(root, root, LEAF_CNODE, LEAF_DEPTH);
    let untyped_list = hands_over.then(|| loader.hand_over(root, &plan.pool));
    if untyped_list.is_none() {
        loader.pool(root, &plan.pool);
    }
    let own = loader.vspace();
    loader.copy(own, root, SLOT_VSPACES, ROOT_BITS);
    let peers = plan.peers.iter().map(|&peer| (peer, loader.peer(root, peer, plan))).collect();
    let (cspace, vspace) = (loader.look(root), loader.look(own));
    Loaded { machine: loader.machine, cspace, vspace, peers, untyped_list }
}

/// The most bytes of memory regions: each of their pages has a slot of the first thread's, as have
/// the objects of all peers and the page tables, for which 768 slots are left.
pub(crate) const REGION_BYTES_MAX: u64 = ((1 << Machine::ROOT_RADIX) - 768) * PAGE_BYTES;

/// Room for the page tables and threads of all peers.
const MEMORY_BITS_MIN: u8 = 24;

impl Loader {
    fn invoke(&mut self, address: u64, invocation: &Invocation) -> Result<u64, Error> {
        let root = self.machine.root_cspace();
        self.machine.invoke(root, address, invocation)
    }

    /// Makes objects in the first thread's next slots and returns the first slot.
    fn make_many(&mut self, object_type: ObjectType, size_bits: u64, count: u64) -> u64 {
        let offset = self.next_slot;
        let to = Destination { root: Machine::ROOT_CNODE, index: 0, depth: 0, offset, count };
        let retype = Invocation::Retype { object_type, size_bits, to };
        self.invoke(Machine::ROOT_UNTYPED, &retype).expect("the machine is large enough");
        self.next_slot += count;
        offset
    }

    fn make(&mut self, object_type: ObjectType, size_bits: u64) -> u64 {
        self.make_many(object_type, size_bits, 1)
    }

    fn pool(&mut self, root: u64, pool: &[PoolPart]) {
        for &PoolPart { slot, size_bits } in pool {
            let to = Destination { root, index: 0, depth: 0, offset: slot.into(), count: 1 };
            let (object_type, size_bits) = (ObjectType::Untyped, size_bits.into());
            let retype = Invocation::Retype { object_type, size_bits, to };
            self.invoke(Machine::ROOT_UNTYPED, &retype).expect("the machine is large enough");
        }
    }

    /// Puts the parts of a pool into a CNode of their own, the last first, between a device's
    /// memory and an object that is too small, and returns the list of all.
    fn hand_over(&mut self, root: u64, pool: &[PoolPart]) -> [u8; LIST_BYTES] {
        const FIRST: u64 = 1;
        let node = self.make(ObjectType::CapTable, LEAF_RADIX.into());
        self.transfer(node, root, HANDED_OVER, ROOT_BITS, Transfer::Mutate(LEAF_GUARD_BITS));
        let parts = pool.iter().rev().map(|part| (part.size_bits, false));
        let objects = [(16, true)].into_iter().chain(parts).chain([(8, false)]);
        let mut bytes = Vec::new();
        let mut end = FIRST;
        for (size_bits, is_device) in objects {
            let to =
                Destination { root, index: HANDED_OVER, depth: ROOT_BITS, offset: end, count: 1 };
            let size = u64::from(size_bits);
            let retype =
                Invocation::Retype { object_type: ObjectType::Untyped, size_bits: size, to };
            self.invoke(Machine::ROOT_UNTYPED, &retype).expect("the machine is large enough");
            // pmserver finds out by itself where its parts are.
            bytes.extend([0; 8]);
            bytes.extend([u8::try_from(size_bits).expect("below 64"), is_device.into()]);
            bytes.extend([0; 6]);
            end += 1;
        }
        let header = [FIRST, end].into_iter().flat_map(u64::to_le_bytes);
        let mut list = [0; LIST_BYTES];
        list.iter_mut().zip(header.chain(bytes)).for_each(|(to, from)| *to = from);
        list
    }

    /// Makes a CSpace and returns where its root is.
    fn cspace(&mut self) -> u64 {
        let root = self.make(ObjectType::CapTable, ROOT_BITS);
        let leaf = self.make(ObjectType::CapTable, LEAF_RADIX.into());
        self.transfer(leaf, root, 0, ROOT_BITS, Transfer::Mutate(LEAF_GUARD_BITS));
        root
    }

    fn look(&self, address: u64) -> Cap {
        self.machine.look(self.machine.root_cspace(), address).expect("the address is a slot's")
    }

    fn transfer(&mut self, slot: u64, node: u64, index: u64, depth: u64, how: Transfer) {
        let from = Source { root: Machine::ROOT_CNODE, index: slot, depth: 64 };
        let transfer = Invocation::Transfer { to: Place { index, depth }, from, how };
        self.invoke(node, &transfer).expect("the slot is empty");
    }

    fn copy(&mut self, slot: u64, node: u64, index: u64, depth: u64) {
        self.transfer(slot, node, index, depth, Transfer::Copy(CapRights::ALL));
    }

    /// Makes an address space with a program in it.
    fn vspace(&mut self) -> u64 {
        let vspace = self.make(ObjectType::VSpace, 0);
        self.invoke(Machine::ROOT_ASID_POOL, &Invocation::AsidAssign { vspace })
            .expect("there are more numbers than peers");
        let frame = self.make(ObjectType::Frame, 0);
        self.map(frame, vspace, IMAGE_VADDR);
        vspace
    }

    /// Makes what a peer has, and gives pmserver its part of that.
    fn peer(&mut self, root: u64, peer: PeerId, plan: &BootPlan) -> LoadedPeer {
        let number = u64::from(peer.get());
        let (cspace, vspace) = (self.cspace(), self.vspace());
        self.copy(vspace, cspace, LEAF_OWN_VSPACE, LEAF_DEPTH);
        self.copy(vspace, root, SLOT_VSPACES + number, ROOT_BITS);
        let thread = self.make(ObjectType::Tcb, 0);
        self.copy(thread, root, LEAF_THREADS + number, LEAF_DEPTH);
        let notification = self.make(ObjectType::Notification, 0);
        let badged = Transfer::Mint(CapRights::ALL, BADGE);
        self.transfer(notification, root, LEAF_NOTIFICATIONS + number, LEAF_DEPTH, badged);
        if plan.cspaces.contains(&peer) {
            self.copy(cspace, root, LEAF_CNODE + number, LEAF_DEPTH);
        }
        for region in plan.regions.iter().filter(|region| region.peer == peer) {
            for (number, contents) in region.contents.chunks(PAGE_BYTES as usize).enumerate() {
                let frame = self.make(ObjectType::Frame, 0);
                self.fill(frame, contents);
                self.map(frame, vspace, region.vaddr + number as u64 * PAGE_BYTES);
            }
        }
        let [cspace, vspace, thread] = [cspace, vspace, thread].map(|slot| self.look(slot));
        LoadedPeer { cspace, vspace, thread, notification }
    }

    fn fill(&mut self, frame: u64, contents: &[u8]) {
        if let Cap::Frame { base, .. } = self.look(frame) {
            self.machine.page_mut(base).0[..contents.len()].copy_from_slice(contents);
        }
    }

    /// Maps a frame read-only, with the tables that are missing on the way.
    fn map(&mut self, frame: u64, vspace: u64, vaddr: u64) {
        let map = Invocation::PageMap { vspace, vaddr, rights: CapRights::READ };
        while let Err(error) = self.invoke(frame, &map) {
            let Error::FailedLookup { fault: LookupFault::MissingCapability { bits_left }, .. } =
                error
            else {
                panic!("mapping a program at {vaddr:#x} failed: {error:?}");
            };
            let kind = table_kind(self.machine.architecture(), bits_left);
            let table = self.make(ObjectType::Table(kind), 0);
            self.invoke(table, &Invocation::TableMap { kind, vspace, vaddr })
                .expect("the level was missing");
        }
    }
}

/// Returns the type of the table that is missing where an entry covers `2^span_bits` bytes.
pub(crate) fn table_kind(architecture: Architecture, span_bits: u64) -> TableKind {
    match (architecture, span_bits) {
        (Architecture::X86_64, 39) => TableKind::Pdpt,
        (Architecture::X86_64, 30) => TableKind::PageDirectory,
        _ => TableKind::PageTable,
    }
}
