// SPDX-License-Identifier: BSD-2-Clause
//! Divides the pool into blocks, and pages where there are none. Each page has two slots: slot p of
//! one CNode is for the untyped object of page p, and slot p of another for the object that is made
//! from it, or from the block that begins at it. Slot p / 512 of a third holds the untyped object
//! of that block, and slot p / 64 of a fourth that of the piece that begins at page p. pmserver
//! makes the CNodes from the pool: two of 2^k slots, one of 2^b and one of 2^c.
//!
//! None of them has a guard. The top 6 bits of an address are the root slot of the CNode, and the
//! next k, b or c bits are the slot in it. If the object of page p is itself a CNode, the 7 bits
//! below are a slot of that.

use core::ops::Range;

use pmserver_core::PageIndex;
use pmserver_core::kernel::{KernelError, SlotAddress};
use pmserver_setup::slots::{
    BLOCKS, BUS, COPY_SOURCE, GRANTS, LEAF_BUS, LEAF_OBJECTS, LEAF_UNTYPEDS, OBJECTS, PIECES,
    UNTYPEDS,
};
use pmserver_setup::{BLOCK_PAGES, Division, PARTS_MAX, PIECE_PAGES, PoolPart, Run, Setup};
use proto::PeerId;
use sel4::{
    AbsoluteCPtr, CNodeCapData, CPtr, Cap, CapRights, FrameObjectType, ObjectBlueprint, cap,
};

use crate::capabilities::objects::{BLOCK_BITS, PAGE_BITS, PAGE_CNODE_BITS, to_usize};
use crate::capabilities::slots::{
    self, ROOT_BITS, WORD_BITS, leaf_cnode, refusal, root_address, root_cnode, root_slot,
};

/// Bits of the guard of the CNode that a peer gets for granted frames, so that the lowest bits of
/// an address are the number of the slot.
const GRANTS_GUARD_BITS: u32 = WORD_BITS - ROOT_BITS - PAGE_CNODE_BITS;
/// Objects that one Retype may make (seL4's RetypeFanOutLimit).
pub(crate) const RETYPE_MAX: u32 = 256;

/// The slots and the physical addresses of pages.
pub(crate) struct Home {
    /// The two CNodes for pages have `2^k` slots.
    k: u32,
    /// How many bits of the address of a page's slot are below those that select it.
    below: u32,
    /// The CNode for blocks has `2^b` slots.
    b: u32,
    /// The CNode for pieces has `2^c` slots.
    c: u32,
    pages: u32,
    overhead_pages: u32,
    runs: [Option<Run>; PARTS_MAX],
}

impl Home {
    /// Divides the pool. Its pages are numbered in the order of the parts and, within one, of the
    /// physical addresses. Calls `make_more` with the slot of the part from which pmserver makes
    /// its own objects; it makes what is needed beside the CNodes.
    pub(crate) fn build(
        setup: &Setup<'_>,
        make_more: impl FnOnce(u32) -> Result<(), KernelError>,
    ) -> Result<Self, KernelError> {
        let division = setup.division();
        let (k, overhead_slot) = (division.slot_bits, division.overhead_slot);
        let (b, c) = (division.block_bits, division.piece_bits);
        let mut runs = [None; PARTS_MAX];
        for (part, run) in setup.parts().iter().zip(&mut runs) {
            *run = Some(Run { first: 0, pages: part.pages(), address: base(part)? });
        }
        // The largest first: each is aligned to its size.
        let for_devices = setup.confined().next().map(|_| (BUS, k));
        let cnodes = [(UNTYPEDS, k), (OBJECTS, k)].into_iter().chain(for_devices);
        for (slot, bits) in cnodes.chain([(PIECES, c), (BLOCKS, b)]) {
            let cnode = ObjectBlueprint::CNode { size_bits: to_usize(bits) };
            slots::make_from_part(overhead_slot, &cnode, slot)?;
        }
        slots::put_into_leaf(UNTYPEDS, LEAF_UNTYPEDS)?;
        slots::put_into_leaf(OBJECTS, LEAF_OBJECTS)?;
        make_more(overhead_slot)?;
        let mut next = 0;
        for (part, run) in setup.parts().iter().zip(runs.iter_mut().flatten()) {
            let is_used = part.slot == overhead_slot;
            let taken = if is_used { division.overhead_pages } else { 0 };
            let pages = run.pages.saturating_sub(taken);
            *run = Run { first: next, pages, address: run.address_of(taken) };
            divide(part, run)?;
            next = run.end();
        }
        let Division { pages, overhead_pages, .. } = division;
        let below = WORD_BITS.saturating_sub(ROOT_BITS).saturating_sub(k);
        Ok(Self { k, below, b, c, pages, overhead_pages, runs })
    }

    fn run(&self, page: PageIndex) -> Run {
        // The first run begins at 0.
        let run = self.runs.iter().flatten().rfind(|run| run.first <= page.get());
        run.copied().unwrap_or_default()
    }

    /// Returns the physical address of a page.
    pub(crate) fn physical_address(&self, page: PageIndex) -> u64 {
        self.run(page).address_of(page.get())
    }

    /// Returns whether a block begins at a page.
    pub(crate) fn is_block(&self, page: PageIndex) -> bool {
        self.run(page).is_block(page.get())
    }

    /// Returns the capability to the untyped object of a block.
    pub(crate) fn block(&self, block: PageIndex) -> cap::Untyped {
        large_untyped(BLOCKS, self.b, block.get() / BLOCK_PAGES)
    }

    /// Returns the slot of that capability, for operations on slots.
    pub(crate) fn block_slot(&self, block: PageIndex) -> AbsoluteCPtr {
        large_untyped_slot(BLOCKS, self.b, block.get() / BLOCK_PAGES)
    }

    /// Returns the CNode for pieces, and the slot in it of the first one of a block.
    pub(crate) fn pieces(block: PageIndex) -> (AbsoluteCPtr, u32) {
        (root_slot(PIECES), block.get() / PIECE_PAGES)
    }

    /// Returns the capability to the untyped object of a piece.
    pub(crate) fn piece(&self, piece: PageIndex) -> cap::Untyped {
        large_untyped(PIECES, self.c, piece.get() / PIECE_PAGES)
    }

    /// Returns the slot of that capability, for operations on slots.
    pub(crate) fn piece_slot(&self, piece: PageIndex) -> AbsoluteCPtr {
        large_untyped_slot(PIECES, self.c, piece.get() / PIECE_PAGES)
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
        self.slot(LEAF_UNTYPEDS, page)
    }

    /// Returns the CNode whose slot p is for the untyped object of page p.
    pub(crate) fn untypeds() -> AbsoluteCPtr {
        leaf_cnode(LEAF_UNTYPEDS).absolute_cptr_for_self()
    }

    /// Returns the CNode whose slot p is for the object made from page p.
    pub(crate) fn objects() -> AbsoluteCPtr {
        leaf_cnode(LEAF_OBJECTS).absolute_cptr_for_self()
    }

    /// Returns the capability to the object made from a page.
    pub(crate) fn object(&self, page: PageIndex) -> CPtr {
        self.address(OBJECTS, page)
    }

    /// Returns how many slots for objects belong to no page: pmserver's own CNodes are made from as
    /// many.
    pub(crate) fn spare_objects(&self) -> u32 {
        self.overhead_pages
    }

    /// Returns one of these slots, and the capability in it.
    pub(crate) fn spare_object(&self, number: u32) -> (AbsoluteCPtr, cap::Granule) {
        let behind = PageIndex::new(self.pages.saturating_add(number));
        (self.object_slot(behind), self.object(behind).cast())
    }

    /// Returns the slot of that object's capability, for operations on slots.
    pub(crate) fn object_slot(&self, page: PageIndex) -> AbsoluteCPtr {
        self.slot(LEAF_OBJECTS, page)
    }

    /// Returns the slot for the capability by which a device has a page, and that capability. The
    /// slots behind those of all pages are for the page tables of devices.
    pub(crate) fn device_slot(&self, page: PageIndex) -> (AbsoluteCPtr, CPtr) {
        (self.slot(LEAF_BUS, page), self.address(BUS, page))
    }

    /// Returns the physical addresses of the pool's pages, in the runs that they are in.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Range<u64>> {
        self.runs.iter().flatten().map(|run| run.address..run.address_of(run.end()))
    }

    /// Returns the capability in a slot of a CNode that is made from a page.
    pub(crate) fn derived(&self, at: SlotAddress) -> CPtr {
        let node = self.address(OBJECTS, at.node).bits();
        let below = self.below.wrapping_sub(PAGE_CNODE_BITS);
        CPtr::from_bits(node | u64::from(at.index).wrapping_shl(below))
    }

    /// Returns that slot, for operations on slots.
    pub(crate) fn derived_slot(&self, at: SlotAddress) -> AbsoluteCPtr {
        let depth = self.k.wrapping_add(PAGE_CNODE_BITS);
        let bits = u64::from(at.node.get()) << PAGE_CNODE_BITS | u64::from(at.index);
        leaf_cnode(LEAF_OBJECTS).absolute_cptr_from_bits_with_depth(bits, to_usize(depth))
    }

    fn address(&self, cnode: u32, page: PageIndex) -> CPtr {
        CPtr::from_bits(root_address(cnode) | u64::from(page.get()).wrapping_shl(self.below))
    }

    fn slot(&self, leaf: u32, page: PageIndex) -> AbsoluteCPtr {
        leaf_cnode(leaf).absolute_cptr_from_bits_with_depth(page.get().into(), to_usize(self.k))
    }
}

/// Returns the capability in a slot of the CNode for blocks or pieces, which has `2^bits`.
fn large_untyped(cnode: u32, bits: u32, slot: u32) -> cap::Untyped {
    let below = WORD_BITS.saturating_sub(ROOT_BITS).saturating_sub(bits);
    Cap::from_bits(root_address(cnode) | u64::from(slot) << below)
}

/// Returns that slot, for operations on slots.
fn large_untyped_slot(cnode: u32, bits: u32, slot: u32) -> AbsoluteCPtr {
    let depth = ROOT_BITS.saturating_add(bits);
    let bits = u64::from(cnode) << bits | u64::from(slot);
    root_cnode().absolute_cptr_from_bits_with_depth(bits, to_usize(depth))
}

/// Makes the blocks of a run, and the pages before and after them, from what is left of its part.
fn divide(part: &PoolPart, run: &Run) -> Result<(), KernelError> {
    let (first_block, blocks) = run.blocks();
    let first_slot = first_block / BLOCK_PAGES;
    let after = blocks.saturating_mul(BLOCK_PAGES).saturating_add(first_block);
    let end = run.end();
    make_untypeds(part, PAGE_BITS, UNTYPEDS, run.first..first_block.min(end))?;
    make_untypeds(part, BLOCK_BITS, BLOCKS, first_slot..first_slot.saturating_add(blocks))?;
    make_untypeds(part, PAGE_BITS, UNTYPEDS, after.min(end)..end)
}

/// Makes untyped objects in these slots of a CNode from the next memory of a part.
fn make_untypeds(
    part: &PoolPart,
    size_bits: u32,
    cnode: u32,
    slots: Range<u32>,
) -> Result<(), KernelError> {
    let blueprint = ObjectBlueprint::Untyped { size_bits: to_usize(size_bits) };
    make_objects(part.slot, &blueprint, cnode, slots)
}

/// Makes objects in these slots of a CNode from the next memory of a part.
pub(crate) fn make_objects(
    part: u32,
    blueprint: &ObjectBlueprint,
    cnode: u32,
    slots: Range<u32>,
) -> Result<(), KernelError> {
    let untyped: cap::Untyped = Cap::from_bits(root_address(part));
    let mut first = slots.start;
    while first < slots.end {
        let count = RETYPE_MAX.min(slots.end.saturating_sub(first));
        // CAP: the pool; the objects go into empty slots of the CNode that was made for them. On a
        // refusal pmserver does not start.
        untyped
            .untyped_retype(blueprint, &root_slot(cnode), to_usize(first), to_usize(count))
            .map_err(refusal)?;
        first = first.saturating_add(count);
    }
    Ok(())
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
    let guard = CNodeCapData::new(0, to_usize(GRANTS_GUARD_BITS)).into_word();
    // CAP: the peer's root CNode, which pmserver is given for this. The peer's addresses lead
    // through the new CNode and none names the CNode itself, so the peer can neither copy nor move
    // what is in it. If refused, nothing was put there.
    grants_slot(peer).mint(node, CapRights::all(), guard).map_err(refusal)
}

/// Takes that CNode out again; the page stays one.
pub(crate) fn uninstall_grants(peer: PeerId) -> Result<(), KernelError> {
    // CAP: the peer's root CNode. If refused, the CNode is still there.
    slots::delete(&grants_slot(peer))
}

/// Returns the slot of a peer's root CNode that the CNode for grants is in.
fn grants_slot(peer: PeerId) -> AbsoluteCPtr {
    let root = slots::root_cnode_of(peer);
    root.absolute_cptr_from_bits_with_depth(GRANTS.into(), to_usize(ROOT_BITS))
}

/// Returns the address by which a peer finds the capability in slot `index` of that CNode.
pub(crate) fn grant_address(index: u8) -> u64 {
    root_address(GRANTS) | u64::from(index)
}
