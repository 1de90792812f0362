// SPDX-License-Identifier: BSD-2-Clause
//! The layout of the pool, exactly as in pmserver's PD (`pmserver/src/capabilities/home.rs`). From
//! the pool itself it makes four CNodes, one with the untyped object of every page, one with the
//! object made from it, and two with the untyped objects of every block and every piece, and a page
//! table that is used to copy pages.
//!
//! ```text
//!   untyped of piece p:      4 << 58 | p / 64 << (58 - c)       2^c slots, no guard
//!   untyped of block p:      5 << 58 | p / 512 << (58 - b)      2^b slots, no guard
//!   untyped of page p:      28 << 58 | p << (58 - k)            2^k slots each, no guards
//!   object made from it:    29 << 58 | p << (58 - k)
//!   slot i of it, a CNode:  29 << 58 | p << (58 - k) | i << (51 - k)
//!   copied from:            29 << 58 | (pages + i) << (58 - k)  places 0 .. pages of the CNodes
//!   large ones, and to:     30 << 58, 31 << 58             the table for that: 6 << 58
//! ```
//!
//! The CNodes for pages are in leaf slots 478 and 479 as well: slots are named from there.

use pmserver_core::PageIndex;
use pmserver_core::kernel::{FrameCap, SlotAddress};
use pmserver_setup::{
    BLOCK_PAGES, Division, HandedOver, LIST_BYTES, PIECE_PAGES, PoolPart, Run, parts_of, slots,
};

use crate::loader::{HANDED_OVER, LEAF_CNODE, LEAF_DEPTH, ROOT_BITS, ROOT_SHIFT, SLOT_VSPACES};
use crate::machine::{
    Cap, CapRights, Destination, FAN_OUT_MAX, Invocation, Machine, ObjectType, PAGE_BYTES, Place,
    Source, TableKind, Transfer,
};

/// Where pmserver maps the pages of the pool that hold its records.
pub(super) const WINDOW: u64 = pmserver_setup::WINDOW;
pub(super) const BLOCK_BYTES: u64 = PAGE_BYTES * BLOCK_PAGES as u64;
/// The most pages that were copied from and are still mapped; and that are prepared.
pub(super) const PLACES_MAX: u32 = 128;
/// Where pmserver maps frames to copy them: pages under the table that is made for them, and large
/// frames below.
pub(super) const COPIED_TO: u64 = WINDOW - PAGE_BYTES;
pub(super) const COPIED_FROM: u64 = COPIED_TO - PLACES_MAX as u64 * PAGE_BYTES;
pub(super) const PREPARED: u64 = COPIED_FROM - PLACES_MAX as u64 * PAGE_BYTES;
pub(super) const LARGE_TARGET: u64 = WINDOW - 2 * BLOCK_BYTES;
pub(super) const LARGE_SOURCE: u64 = WINDOW - 3 * BLOCK_BYTES;
const SLOT_COPY_TABLE: u64 = slots::COPY_TABLE as u64;
const SLOT_BLOCKS: u64 = slots::BLOCKS as u64;
const SLOT_PIECES: u64 = slots::PIECES as u64;
const SLOT_UNTYPEDS: u64 = slots::UNTYPEDS as u64;
const SLOT_OBJECTS: u64 = slots::OBJECTS as u64;
pub(super) const LEAF_UNTYPEDS: u64 = slots::LEAF_UNTYPEDS as u64;
pub(super) const LEAF_OBJECTS: u64 = slots::LEAF_OBJECTS as u64;
/// Holds a capability for a moment while the pool is divided.
const SLOT_SCRATCH: u64 = slots::COPY_SOURCE as u64;
pub(super) const PAGE_BITS: u64 = 12;
const BLOCK_BITS: u64 = 21;
pub(super) const PIECE_BITS: u64 = 18;
/// Bits that index a CNode of one page.
pub(super) const PAGE_NODE_BITS: u64 = 7;

/// Where pmserver's capabilities to the pages of the pool are, and the physical address of each.
#[derive(Clone, Debug)]
pub(super) struct Home {
    /// The two CNodes for pages have `2^k` slots.
    k: u64,
    /// The CNode for blocks has `2^b` slots.
    b: u64,
    /// The CNode for pieces has `2^c` slots.
    c: u64,
    pub(super) pages: u32,
    pub(super) overhead_pages: u32,
    runs: Vec<Run>,
}

impl Home {
    /// Divides the pool into pages, numbered in the order of the parts and, within one, of the
    /// physical addresses.
    pub(super) fn build(
        machine: &mut Machine,
        cspace: Cap,
        parts: &[PoolPart],
        devices: u32,
    ) -> Self {
        let division = Division::of(parts, devices).expect("the pool holds its own CNodes");
        let [k, b, c] =
            [division.slot_bits, division.block_bits, division.piece_bits].map(u64::from);
        let overhead_part = division.overhead_slot.into();
        let bases: Vec<u64> =
            parts.iter().map(|part| physical_base(machine, cspace, part.slot.into())).collect();
        let cnodes = [(SLOT_UNTYPEDS, k), (SLOT_OBJECTS, k), (SLOT_PIECES, c), (SLOT_BLOCKS, b)];
        for (slot, bits) in cnodes {
            let to = Destination { root: LEAF_CNODE, index: 0, depth: 0, offset: slot, count: 1 };
            retype(machine, cspace, overhead_part, ObjectType::CapTable, bits, to);
        }
        put_into_leaf(machine, cspace, SLOT_UNTYPEDS, LEAF_UNTYPEDS);
        put_into_leaf(machine, cspace, SLOT_OBJECTS, LEAF_OBJECTS);
        make_copy_table(machine, cspace, overhead_part);
        let mut runs = Vec::new();
        let mut first = 0;
        for (part, base) in parts.iter().zip(bases) {
            let slot = u64::from(part.slot);
            let taken = if slot == overhead_part { division.overhead_pages } else { 0 };
            let address = base + u64::from(taken) * PAGE_BYTES;
            let run = Run { first, pages: part.pages() - taken, address };
            first = run.end();
            divide(machine, cspace, slot, run);
            runs.push(run);
        }
        Self { k, b, c, pages: division.pages, overhead_pages: division.overhead_pages, runs }
    }

    fn run(&self, page: PageIndex) -> &Run {
        self.runs.iter().rfind(|run| run.first <= page.get()).expect("the first begins at 0")
    }

    /// Returns the physical address of a page.
    pub(super) fn physical_address(&self, page: PageIndex) -> u64 {
        self.run(page).address_of(page.get())
    }

    /// Returns whether a block begins at a page.
    pub(super) fn is_block(&self, page: PageIndex) -> bool {
        self.run(page).is_block(page.get())
    }

    /// Returns the address of a block's untyped object.
    pub(super) fn block(&self, block: PageIndex) -> u64 {
        let Place { index, depth } = self.block_slot(block);
        index << (64 - depth)
    }

    /// Returns the slot of a block's untyped object.
    pub(super) fn block_slot(&self, block: PageIndex) -> Place {
        let index = SLOT_BLOCKS << self.b | u64::from(block.get() / BLOCK_PAGES);
        Place { index, depth: ROOT_BITS + self.b }
    }

    /// Returns the slots for the pieces of a block, as a destination of Retype.
    pub(super) fn pieces_destination(block: PageIndex) -> Destination {
        let count = BLOCK_PAGES / PIECE_PAGES;
        in_cnode(SLOT_PIECES, block.get() / PIECE_PAGES, count.into())
    }

    /// Returns the address of a piece's untyped object.
    pub(super) fn piece(&self, piece: PageIndex) -> u64 {
        let Place { index, depth } = self.piece_slot(piece);
        index << (64 - depth)
    }

    /// Returns the slot of a piece's untyped object.
    pub(super) fn piece_slot(&self, piece: PageIndex) -> Place {
        let index = SLOT_PIECES << self.c | u64::from(piece.get() / PIECE_PAGES);
        Place { index, depth: ROOT_BITS + self.c }
    }

    /// Returns `count` slots for the untyped objects of pages, as a destination of Retype.
    pub(super) fn untyped_destination(first: u32, count: u64) -> Destination {
        Destination { root: LEAF_UNTYPEDS, index: 0, depth: 0, offset: first.into(), count }
    }

    /// Number of bits in the address of a page's slot.
    const fn depth(&self) -> u64 {
        ROOT_BITS + self.k
    }

    fn address(&self, node: u64, page: PageIndex) -> u64 {
        (node << self.k | u64::from(page.get())) << (64 - self.depth())
    }

    /// Returns the address of a page's untyped object.
    pub(super) fn untyped(&self, page: PageIndex) -> u64 {
        self.address(SLOT_UNTYPEDS, page)
    }

    /// Returns the slot of a page's untyped object, in the CNode in the leaf slot for them.
    pub(super) fn untyped_slot(&self, page: PageIndex) -> Place {
        Place { index: page.get().into(), depth: self.k }
    }

    /// Returns the address of the object made from a page.
    pub(super) fn object(&self, page: PageIndex) -> u64 {
        self.address(SLOT_OBJECTS, page)
    }

    /// Returns the slot of the object made from a page, as a source to copy from.
    pub(super) fn object_source(&self, page: PageIndex) -> Source {
        Source { root: LEAF_OBJECTS, index: page.get().into(), depth: self.k }
    }

    /// Returns a slot for objects that belongs to no page.
    pub(super) fn spare_object(&self, number: u32) -> Place {
        let index = SLOT_OBJECTS << self.k | u64::from(self.pages + number);
        Place { index, depth: self.depth() }
    }

    /// Returns `count` slots for the objects made from pages, as a destination of Retype.
    pub(super) fn object_destination(page: PageIndex, count: u64) -> Destination {
        let offset = page.get().into();
        Destination { root: LEAF_OBJECTS, index: 0, depth: 0, offset, count }
    }

    /// Returns a slot of a CNode that was made from a page, in the CNode in the leaf slot for
    /// objects.
    pub(super) fn derived_slot(&self, at: SlotAddress) -> Place {
        let index = u64::from(at.node.get()) << PAGE_NODE_BITS | u64::from(at.index);
        Place { index, depth: self.k + PAGE_NODE_BITS }
    }

    /// Returns the address of a frame's capability.
    pub(super) fn frame(&self, frame: FrameCap) -> u64 {
        match frame {
            FrameCap::Original(page) => self.object(page),
            FrameCap::Derived(slot) => {
                let below = 64 - self.depth() - PAGE_NODE_BITS;
                self.object(slot.node) | u64::from(slot.index) << below
            }
        }
    }
}

/// Returns the slot for a large frame that is copied from.
pub(super) const fn slot_of_large_source() -> Place {
    Place { index: slots::COPY_SOURCE as u64, depth: ROOT_BITS }
}

/// Returns the slot for what is copied to.
pub(super) const fn slot_of_target() -> Place {
    Place { index: slots::COPY_TARGET as u64, depth: ROOT_BITS }
}

/// Returns slots of a CNode in a root slot.
fn in_cnode(slot: u64, first: u32, count: u64) -> Destination {
    Destination { root: LEAF_CNODE, index: slot, depth: ROOT_BITS, offset: first.into(), count }
}

/// Puts a CNode in a root slot into a leaf slot as well.
fn put_into_leaf(machine: &mut Machine, cspace: Cap, slot: u64, leaf: u64) {
    let to = Place { index: leaf, depth: LEAF_DEPTH };
    let from = Source { root: LEAF_CNODE, index: slot, depth: ROOT_BITS };
    let copy = Invocation::Transfer { to, from, how: Transfer::Copy(CapRights::ALL) };
    machine.invoke(cspace, LEAF_CNODE, &copy).expect("the leaf slot is empty");
}

/// Makes the blocks of a run, and the pages before and after them, from what is left of its part.
fn divide(machine: &mut Machine, cspace: Cap, part: u64, run: Run) {
    let (first_block, blocks) = run.blocks();
    let after = first_block + blocks * BLOCK_PAGES;
    let before = first_block.min(run.end());
    let first_slot = first_block / BLOCK_PAGES;
    for (cnode, bits, slots) in [
        (SLOT_UNTYPEDS, PAGE_BITS, run.first..before),
        (SLOT_BLOCKS, BLOCK_BITS, first_slot..first_slot + blocks),
        (SLOT_UNTYPEDS, PAGE_BITS, after.min(run.end())..run.end()),
    ] {
        for first in slots.clone().step_by(FAN_OUT_MAX as usize) {
            let count = FAN_OUT_MAX.min((slots.end - first).into());
            let to = in_cnode(cnode, first, count);
            retype(machine, cspace, part, ObjectType::Untyped, bits, to);
        }
    }
}

fn retype(
    machine: &mut Machine,
    cspace: Cap,
    part: u64,
    object_type: ObjectType,
    size_bits: u64,
    to: Destination,
) {
    let retype = Invocation::Retype { object_type, size_bits, to };
    machine
        .invoke(cspace, part << ROOT_SHIFT, &retype)
        .expect("the pool holds its CNodes and the slots are empty");
}

/// Creates and maps the page table that is used to copy pages.
fn make_copy_table(machine: &mut Machine, cspace: Cap, part: u64) {
    let kind = TableKind::PageTable;
    let to =
        Destination { root: LEAF_CNODE, index: 0, depth: 0, offset: SLOT_COPY_TABLE, count: 1 };
    retype(machine, cspace, part, ObjectType::Table(kind), 0, to);
    let vspace = SLOT_VSPACES << ROOT_SHIFT;
    let map = Invocation::TableMap { kind, vspace, vaddr: COPIED_TO };
    machine
        .invoke(cspace, SLOT_COPY_TABLE << ROOT_SHIFT, &map)
        .expect("the entry is empty, and the image provides the tables above");
}

/// Moves what is listed to where the parts of a pool are, and returns those.
pub(super) fn take_handed_over(
    machine: &mut Machine,
    cspace: Cap,
    list: &[u8; LIST_BYTES],
) -> Vec<PoolPart> {
    let objects = parts_of(list).expect("the loader has made a list");
    let moved = objects.map(|HandedOver { from, part }| {
        let index = HANDED_OVER << ROOT_SHIFT | from;
        let from = Source { root: LEAF_CNODE, index, depth: LEAF_DEPTH };
        let to = Place { index: part.slot.into(), depth: ROOT_BITS };
        let transfer = Invocation::Transfer { to, from, how: Transfer::Move };
        machine.invoke(cspace, LEAF_CNODE, &transfer).expect("the slot is empty");
        part
    });
    moved.collect()
}

/// Returns the physical address of an untyped object without children: it makes a frame at its
/// start, asks for the address of that, and deletes it.
fn physical_base(machine: &mut Machine, cspace: Cap, part: u64) -> u64 {
    let to = Destination { root: LEAF_CNODE, index: 0, depth: 0, offset: SLOT_SCRATCH, count: 1 };
    retype(machine, cspace, part, ObjectType::Frame, 0, to);
    let base = machine
        .invoke(cspace, SLOT_SCRATCH << ROOT_SHIFT, &Invocation::PageAddress)
        .expect("the frame was made above");
    let delete = Invocation::Delete(Place { index: SLOT_SCRATCH, depth: ROOT_BITS });
    machine.invoke(cspace, LEAF_CNODE, &delete).expect("the slot exists");
    base
}
