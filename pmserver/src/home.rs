// SPDX-License-Identifier: BSD-2-Clause
//! The pool at home: how the untyped memory of microkit-system.xml becomes pages with two slots
//! each.
//!
//! ```text
//!   root CNode of pmserver (64 slots)
//!     6       the page table under which pages are copied
//!     8..=27  the pool, as untyped capabilities of any sizes, ended by the first empty slot
//!     28      -> CNode of 2^k slots: slot p is the untyped of page p
//!     29      -> CNode of 2^k slots: slot p is the object made from page p
//!     30, 31  two pages while one is copied to the other; 30 for a moment at the start
//!     32 + n  VSpace of child n; 32 is pmserver's own
//!   leaf slots
//!     500     the root CNode itself, to invoke
//!     500 + n the root CNode of child n, as far as pmserver is given it
//! ```
//!
//! Neither CNode has a guard: the address of a slot is the root slot in the top 6 bits, then `p` in
//! the next k, and, where the object is a CNode itself, the slot in that in the next 7.

use pmserver_core::PageIndex;
use pmserver_core::kernel::{KernelError, SlotAddress, VSpace};
use proto::{PAGE_BYTES, PeerId};
use sel4::cap::CNode;
use sel4::{AbsoluteCPtr, CNodeCapData, CPtr, Cap, CapRights, Error, ObjectBlueprint};

use crate::copy;
use crate::objects::to_usize;
use crate::pool::PoolPart;

const ROOT_CNODES: u64 = 500;
const ROOT: CNode = Cap::from_bits(ROOT_CNODES);
const ROOT_BITS: u32 = 6;
const POOL_FIRST: u32 = 8;
const POOL_SLOTS: usize = 20;
const UNTYPEDS: u32 = 28;
const OBJECTS: u32 = 29;
/// The slot of pmserver's own VSpace; the one of child n is n further on.
const VSPACES: u32 = 32;
/// The slot of a child's root CNode where its grants go.
const GRANTS: u32 = 40;
/// Where the leaf CNode, and with it the authority over root CNodes of children, ends.
const LEAF_SLOTS: u64 = 512;

const WORD_BITS: u32 = 64;
pub(crate) const PAGE_BITS: u32 = 12;
/// A slot of a CNode is 32 bytes.
const SLOT_BITS: u32 = 5;
/// Slots of a CNode that is made from a page, as a power of two.
const PAGE_CNODE_BITS: u32 = PAGE_BITS - SLOT_BITS;
/// Between a child's root CNode and the CNode in it, so that an address ends with the number of the
/// slot.
const GRANTS_GUARD_BITS: u32 = WORD_BITS - ROOT_BITS - PAGE_CNODE_BITS;
/// Objects that one Retype may make (seL4's RetypeFanOutLimit).
const RETYPE_MAX: u32 = 256;

/// Consecutive pages, by the first one and its physical address.
#[derive(Clone, Copy)]
struct Run {
    first: u32,
    address: u64,
}

/// Where pages live in the capability space, and where in physical memory.
pub(crate) struct Home {
    /// Each of the two CNodes has `2^k` slots.
    k: u32,
    pages: u32,
    overhead_pages: u32,
    runs: [Option<Run>; POOL_SLOTS],
}

impl Home {
    /// Divides the pool into pages, numbered in the order of the slots and, within one, of the
    /// physical addresses.
    pub(crate) fn build() -> Result<Self, KernelError> {
        let mut parts = [None; POOL_SLOTS];
        for (part, slot) in parts.iter_mut().zip(POOL_FIRST..) {
            *part = PoolPart::probe(slot)?;
            if part.is_none() {
                break;
            }
        }
        let found = || parts.iter().copied().flatten();
        let largest = found().max_by_key(PoolPart::pages).ok_or(KernelError::NotEnoughMemory)?;
        let pool_pages: u32 = found().map(|part| part.pages()).sum();
        let k = pool_pages.next_power_of_two().ilog2().max(PAGE_CNODE_BITS);
        for slot in [UNTYPEDS, OBJECTS] {
            largest.make(&ObjectBlueprint::CNode { size_bits: to_usize(k) }, slot)?;
        }
        copy::make_table(&largest)?;
        let cnode_pages = 2_u32 << k.saturating_sub(PAGE_CNODE_BITS);
        let overhead_pages = cnode_pages.saturating_add(copy::TABLE_PAGES);
        let pages = pool_pages.saturating_sub(overhead_pages);
        let mut home = Self { k, pages, overhead_pages, runs: [None; POOL_SLOTS] };
        let mut next = 0;
        for (part, run) in found().zip(0..) {
            let taken = if part.slot() == largest.slot() { overhead_pages } else { 0 };
            let address = part.base().saturating_add(bytes(taken));
            if let Some(run) = home.runs.get_mut(run) {
                *run = Some(Run { first: next, address });
            }
            let end = part.pages().saturating_sub(taken).saturating_add(next);
            while next < end {
                let count = RETYPE_MAX.min(end.saturating_sub(next));
                home.make_pages(&part, next, count)?;
                next = next.saturating_add(count);
            }
        }
        Ok(home)
    }

    fn make_pages(&self, part: &PoolPart, first: u32, count: u32) -> Result<(), KernelError> {
        let blueprint = ObjectBlueprint::Untyped { size_bits: to_usize(PAGE_BITS) };
        // CAP: the pool; the pages go into empty slots of the CNode that was made for them. On a
        // refusal pmserver does not start.
        part.untyped()
            .untyped_retype(&blueprint, &root_slot(UNTYPEDS), to_usize(first), to_usize(count))
            .map_err(refusal)
    }

    /// Returns the physical address of a page.
    pub(crate) fn physical_address(&self, page: PageIndex) -> u64 {
        let page = page.get();
        // The first run begins at 0.
        let run = self.runs.iter().flatten().rfind(|run| run.first <= page);
        run.map_or(0, |run| run.address.saturating_add(bytes(page.saturating_sub(run.first))))
    }

    pub(crate) fn pages(&self) -> u32 {
        self.pages
    }

    pub(crate) fn overhead_pages(&self) -> u32 {
        self.overhead_pages
    }

    /// The capability to a page as untyped memory.
    pub(crate) fn untyped(&self, page: PageIndex) -> sel4::cap::Untyped {
        self.address(UNTYPEDS, page).cast()
    }

    /// The slot of the untyped, for operations on slots.
    pub(crate) fn untyped_slot(&self, page: PageIndex) -> AbsoluteCPtr {
        self.slot(UNTYPEDS, page)
    }

    /// The CNode in which slot `page` takes the object made from the page.
    pub(crate) fn objects() -> AbsoluteCPtr {
        root_slot(OBJECTS)
    }

    /// The capability to the object made from a page.
    pub(crate) fn object(&self, page: PageIndex) -> CPtr {
        self.address(OBJECTS, page)
    }

    /// The slot of the object, for operations on slots.
    pub(crate) fn object_slot(&self, page: PageIndex) -> AbsoluteCPtr {
        self.slot(OBJECTS, page)
    }

    /// The capability in a slot of a page that is a CNode.
    pub(crate) fn derived(&self, at: SlotAddress) -> CPtr {
        let node = self.address(OBJECTS, at.node).bits();
        let below = WORD_BITS.saturating_sub(self.depth()).saturating_sub(PAGE_CNODE_BITS);
        CPtr::from_bits(node | u64::from(at.index) << below)
    }

    /// That slot, for operations on slots.
    pub(crate) fn derived_slot(&self, at: SlotAddress) -> AbsoluteCPtr {
        let node = u64::from(OBJECTS) << self.k | u64::from(at.node.get());
        let depth = self.depth().saturating_add(PAGE_CNODE_BITS);
        let bits = node << PAGE_CNODE_BITS | u64::from(at.index);
        ROOT.absolute_cptr_from_bits_with_depth(bits, to_usize(depth))
    }

    /// Bits of an address that lead to a page's slot.
    fn depth(&self) -> u32 {
        ROOT_BITS.saturating_add(self.k)
    }

    fn address(&self, cnode: u32, page: PageIndex) -> CPtr {
        let below = WORD_BITS.saturating_sub(self.depth());
        CPtr::from_bits(root_address(cnode) | u64::from(page.get()) << below)
    }

    fn slot(&self, cnode: u32, page: PageIndex) -> AbsoluteCPtr {
        let bits = u64::from(cnode) << self.k | u64::from(page.get());
        ROOT.absolute_cptr_from_bits_with_depth(bits, to_usize(self.depth()))
    }
}

/// Puts a CNode page into the root CNode of a child.
pub(crate) fn install_grants(child: PeerId, node: &AbsoluteCPtr) -> Result<(), KernelError> {
    let address = ROOT_CNODES.saturating_add(child.get().into());
    if address >= LEAF_SLOTS {
        return Err(KernelError::Refused);
    }
    let root: CNode = Cap::from_bits(address);
    let slot = root.absolute_cptr_from_bits_with_depth(GRANTS.into(), to_usize(ROOT_BITS));
    let guard = CNodeCapData::new(0, to_usize(GRANTS_GUARD_BITS)).into_word();
    // CAP: the child's root CNode, which pmserver is given for this. The child can go through the
    // CNode and never address it, so that it can neither copy nor move what is in it. The copy goes
    // with the page that the CNode is made from. A refusal put nothing there.
    slot.mint(node, CapRights::all(), guard).map_err(refusal)
}

/// The address that a child has for a slot of that CNode.
pub(crate) fn grant_address(index: u8) -> u64 {
    root_address(GRANTS) | u64::from(index)
}

/// The address of a capability in the root CNode.
pub(crate) fn root_address(slot: u32) -> u64 {
    u64::from(slot) << WORD_BITS.saturating_sub(ROOT_BITS)
}

/// The capability to an address space.
pub(crate) fn vspace(vspace: VSpace) -> sel4::cap::VSpace {
    let child = match vspace {
        VSpace::Own => 0,
        VSpace::Peer(peer) => peer.get().into(),
    };
    Cap::from_bits(root_address(VSPACES.saturating_add(child)))
}

/// Empties a slot.
pub(crate) fn delete(slot: &AbsoluteCPtr) -> Result<(), KernelError> {
    // CAP: the own CNodes. On a refusal the slot is as it was.
    slot.delete().map_err(refusal)
}

/// What a refusal means to the core, where it does not matter which one it is.
pub(crate) fn refusal(error: Error) -> KernelError {
    match error {
        Error::NotEnoughMemory => KernelError::NotEnoughMemory,
        _ => KernelError::Refused,
    }
}

pub(crate) fn root_cnode() -> AbsoluteCPtr {
    ROOT.absolute_cptr_for_self()
}

pub(crate) fn root_slot(slot: u32) -> AbsoluteCPtr {
    ROOT.absolute_cptr_from_bits_with_depth(slot.into(), to_usize(ROOT_BITS))
}

fn bytes(pages: u32) -> u64 {
    PAGE_BYTES.saturating_mul(pages.into())
}
