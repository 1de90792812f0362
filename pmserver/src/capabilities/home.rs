// SPDX-License-Identifier: BSD-2-Clause
//! Divides the pool into pages. Each page has two slots: slot p of one CNode holds the untyped
//! object of page p, and slot p of another holds the object that is made from it. pmserver makes
//! both CNodes, of 2^k slots each, from the pool.
//!
//! Neither CNode has a guard. The top 6 bits of an address are the root slot of the CNode, and the
//! next k bits are p. If the object of page p is itself a CNode, the next 7 bits are a slot of it.

use pmserver_core::PageIndex;
use pmserver_core::kernel::{KernelError, SlotAddress};
use pmserver_setup::slots::{COPY_SOURCE, GRANTS, OBJECTS, UNTYPEDS};
use pmserver_setup::{PARTS_MAX, PoolPart, Setup};
use proto::{PAGE_BYTES, PeerId};
use sel4::{
    AbsoluteCPtr, CNodeCapData, CPtr, Cap, CapRights, FrameObjectType, ObjectBlueprint, cap,
};

use crate::capabilities::objects::{PAGE_BITS, PAGE_CNODE_BITS, to_usize};
use crate::capabilities::slots::{
    self, ROOT_BITS, WORD_BITS, refusal, root_address, root_cnode, root_slot,
};

/// Bits of the guard of the CNode that a peer gets for granted frames, so that the lowest bits of
/// an address are the number of the slot.
const GRANTS_GUARD_BITS: u32 = WORD_BITS - ROOT_BITS - PAGE_CNODE_BITS;
/// Objects that one Retype may make (seL4's RetypeFanOutLimit).
const RETYPE_MAX: u32 = 256;

/// Pages that are consecutive in physical memory: the first one and its physical address.
#[derive(Clone, Copy)]
struct Run {
    first: u32,
    address: u64,
}

/// The slots and the physical addresses of pages.
pub(crate) struct Home {
    /// Each of the two CNodes has `2^k` slots.
    k: u32,
    pages: u32,
    overhead_pages: u32,
    runs: [Option<Run>; PARTS_MAX],
}

impl Home {
    /// Divides the pool into pages, numbered in the order of the parts and, within one, of the
    /// physical addresses. Calls `make_more` with the slot of the part from which pmserver makes
    /// its own objects; it makes what is needed beside the CNodes.
    pub(crate) fn build(
        setup: &Setup<'_>,
        make_more: impl FnOnce(u32) -> Result<(), KernelError>,
    ) -> Result<Self, KernelError> {
        let division = setup.division();
        let (k, overhead_slot) = (division.slot_bits, division.overhead_slot);
        let mut runs = [None; PARTS_MAX];
        for (part, run) in setup.parts().iter().zip(&mut runs) {
            *run = Some(Run { first: 0, address: base(part)? });
        }
        for slot in [UNTYPEDS, OBJECTS] {
            let cnode = ObjectBlueprint::CNode { size_bits: to_usize(k) };
            slots::make_from_part(overhead_slot, &cnode, slot)?;
        }
        make_more(overhead_slot)?;
        let mut next = 0;
        for (part, run) in setup.parts().iter().zip(runs.iter_mut().flatten()) {
            let is_used = part.slot == overhead_slot;
            let taken = if is_used { division.overhead_pages } else { 0 };
            *run = Run { first: next, address: run.address.saturating_add(bytes(taken)) };
            let end = part.pages().saturating_sub(taken).saturating_add(next);
            while next < end {
                let count = RETYPE_MAX.min(end.saturating_sub(next));
                make_pages(part, next, count)?;
                next = next.saturating_add(count);
            }
        }
        Ok(Self { k, pages: division.pages, overhead_pages: division.overhead_pages, runs })
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

    /// Returns the capability to the untyped object of a page.
    pub(crate) fn untyped(&self, page: PageIndex) -> cap::Untyped {
        self.address(UNTYPEDS, page).cast()
    }

    /// Returns the slot of that capability, for operations on slots.
    pub(crate) fn untyped_slot(&self, page: PageIndex) -> AbsoluteCPtr {
        self.slot(UNTYPEDS, page)
    }

    /// Returns the CNode whose slot p is for the object made from page p.
    pub(crate) fn objects() -> AbsoluteCPtr {
        root_slot(OBJECTS)
    }

    /// Returns the capability to the object made from a page.
    pub(crate) fn object(&self, page: PageIndex) -> CPtr {
        self.address(OBJECTS, page)
    }

    /// Returns the slot of that object's capability, for operations on slots.
    pub(crate) fn object_slot(&self, page: PageIndex) -> AbsoluteCPtr {
        self.slot(OBJECTS, page)
    }

    /// Returns the capability in a slot of a CNode that is made from a page.
    pub(crate) fn derived(&self, at: SlotAddress) -> CPtr {
        let node = self.address(OBJECTS, at.node).bits();
        let below = WORD_BITS.saturating_sub(self.depth()).saturating_sub(PAGE_CNODE_BITS);
        CPtr::from_bits(node | u64::from(at.index) << below)
    }

    /// Returns that slot, for operations on slots.
    pub(crate) fn derived_slot(&self, at: SlotAddress) -> AbsoluteCPtr {
        let node = u64::from(OBJECTS) << self.k | u64::from(at.node.get());
        let depth = self.depth().saturating_add(PAGE_CNODE_BITS);
        let bits = node << PAGE_CNODE_BITS | u64::from(at.index);
        root_cnode().absolute_cptr_from_bits_with_depth(bits, to_usize(depth))
    }

    /// Returns how many bits of an address select the slot of a page.
    fn depth(&self) -> u32 {
        ROOT_BITS.saturating_add(self.k)
    }

    fn address(&self, cnode: u32, page: PageIndex) -> CPtr {
        let below = WORD_BITS.saturating_sub(self.depth());
        CPtr::from_bits(root_address(cnode) | u64::from(page.get()) << below)
    }

    fn slot(&self, cnode: u32, page: PageIndex) -> AbsoluteCPtr {
        let bits = u64::from(cnode) << self.k | u64::from(page.get());
        root_cnode().absolute_cptr_from_bits_with_depth(bits, to_usize(self.depth()))
    }
}

/// Makes `count` pages, the first with the number `first`, from the next memory of a part.
fn make_pages(part: &PoolPart, first: u32, count: u32) -> Result<(), KernelError> {
    let blueprint = ObjectBlueprint::Untyped { size_bits: to_usize(PAGE_BITS) };
    let untyped: cap::Untyped = Cap::from_bits(root_address(part.slot));
    // CAP: the pool; the pages go into empty slots of the CNode that was made for them. On a
    // refusal pmserver does not start.
    untyped
        .untyped_retype(&blueprint, &root_slot(UNTYPEDS), to_usize(first), to_usize(count))
        .map_err(refusal)
}

/// Returns the physical address of a part that nothing was made from yet. Makes a frame at its
/// beginning, reads the frame's address and deletes the frame. All of the part is free again then,
/// and the kernel clears only the page that was used.
fn base(part: &PoolPart) -> Result<u64, KernelError> {
    slots::make_from_part(part.slot, &FrameObjectType::GRANULE.blueprint(), COPY_SOURCE)?;
    let frame: cap::Granule = Cap::from_bits(root_address(COPY_SOURCE));
    // CAP: the frame that was just made. Only its physical address is read.
    let address = frame.frame_get_address().map_err(refusal)?;
    slots::delete(&root_slot(COPY_SOURCE))?;
    u64::try_from(address).map_err(|_| KernelError::Refused)
}

/// Puts a CNode page into the root CNode of a peer.
pub(crate) fn install_grants(peer: PeerId, node: &AbsoluteCPtr) -> Result<(), KernelError> {
    let root = slots::root_cnode_of(peer);
    let slot = root.absolute_cptr_from_bits_with_depth(GRANTS.into(), to_usize(ROOT_BITS));
    let guard = CNodeCapData::new(0, to_usize(GRANTS_GUARD_BITS)).into_word();
    // CAP: the peer's root CNode, which pmserver is given for this. The peer's addresses lead
    // through the new CNode and none names the CNode itself, so the peer can neither copy nor move
    // what is in it. Revoking the page that the CNode is made from deletes this copy. If refused,
    // nothing was put there.
    slot.mint(node, CapRights::all(), guard).map_err(refusal)
}

/// Returns the address by which a peer finds the capability in slot `index` of that CNode.
pub(crate) fn grant_address(index: u8) -> u64 {
    root_address(GRANTS) | u64::from(index)
}

fn bytes(pages: u32) -> u64 {
    PAGE_BYTES.saturating_mul(pages.into())
}
