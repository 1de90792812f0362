// SPDX-License-Identifier: BSD-2-Clause
//! The pool at home, exactly as pmserver's PD lays it out (`pmserver/src/home.rs`): two CNodes made
//! of the pool itself, with the untyped object of every page and the object made from it.
//!
//! ```text
//!   untyped of page p:      28 << 58 | p << (58 - k)            2^k slots each, no guards
//!   object made from it:    29 << 58 | p << (58 - k)
//!   slot i of it, a CNode:  29 << 58 | p << (58 - k) | i << (51 - k)
//! ```

use pmserver_core::PageIndex;
use pmserver_core::kernel::{FrameCap, SlotAddress};

use crate::loader::{LEAF_CNODE, Pool, ROOT_SHIFT, SLOT_POOL};
use crate::machine::{
    Cap, Destination, FAN_OUT_MAX, Invocation, Machine, ObjectType, PAGE_BYTES, Place, Source,
};

const SLOT_UNTYPEDS: u64 = 28;
const SLOT_OBJECTS: u64 = 29;
const ROOT_BITS: u64 = 6;
const PAGE_BITS: u64 = 12;
/// Bits that index a CNode which is one page large.
pub(super) const PAGE_NODE_BITS: u64 = 7;

/// Where pages live in the capability space.
#[derive(Clone, Copy, Debug)]
pub(super) struct Home {
    /// Each of the two CNodes has `2^k` slots.
    k: u64,
    pub(super) pages: u64,
    pub(super) overhead_pages: u64,
}

impl Home {
    /// Divides the pool into pages, numbered in the order of the slots and, within one, of the
    /// physical addresses.
    pub(super) fn build(machine: &mut Machine, cspace: Cap, pool: Pool) -> Self {
        let k = u64::from(pool.pages().next_power_of_two().ilog2()).max(PAGE_NODE_BITS);
        // The PD takes the last of the largest objects; here all are of one size.
        let last = SLOT_POOL + u64::from(pool.count) - 1;
        for slot in [SLOT_UNTYPEDS, SLOT_OBJECTS] {
            let to = Destination { root: LEAF_CNODE, index: 0, depth: 0, offset: slot, count: 1 };
            retype(machine, cspace, last, ObjectType::CapTable, k, to);
        }
        let mut pages = 0;
        for part in SLOT_POOL..=last {
            while let Some(left) = pages_left(machine, cspace, part) {
                let to = Destination {
                    root: LEAF_CNODE,
                    index: SLOT_UNTYPEDS,
                    depth: ROOT_BITS,
                    offset: pages,
                    count: left.min(FAN_OUT_MAX),
                };
                retype(machine, cspace, part, ObjectType::Untyped, PAGE_BITS, to);
                pages += to.count;
            }
        }
        Self { k, pages, overhead_pages: pool.pages() - pages }
    }

    /// Bits of an address that lead to a page's slot.
    const fn depth(self) -> u64 {
        ROOT_BITS + self.k
    }

    fn address(self, node: u64, page: PageIndex) -> u64 {
        (node << self.k | u64::from(page.get())) << (64 - self.depth())
    }

    /// Returns the address of a page's untyped object.
    pub(super) fn untyped(self, page: PageIndex) -> u64 {
        self.address(SLOT_UNTYPEDS, page)
    }

    /// Returns the slot of a page's untyped object.
    pub(super) fn untyped_slot(self, page: PageIndex) -> Place {
        Place { index: SLOT_UNTYPEDS << self.k | u64::from(page.get()), depth: self.depth() }
    }

    /// Returns the address of the object made from a page.
    pub(super) fn object(self, page: PageIndex) -> u64 {
        self.address(SLOT_OBJECTS, page)
    }

    /// Returns the slot of the object made from a page, as a source to copy from.
    pub(super) fn object_source(self, page: PageIndex) -> Source {
        let index = SLOT_OBJECTS << self.k | u64::from(page.get());
        Source { root: LEAF_CNODE, index, depth: self.depth() }
    }

    /// Returns that slot as a place to make the object in.
    pub(super) fn object_destination(page: PageIndex) -> Destination {
        Destination {
            root: LEAF_CNODE,
            index: SLOT_OBJECTS,
            depth: ROOT_BITS,
            offset: page.get().into(),
            count: 1,
        }
    }

    /// Returns a slot of a page that is a CNode.
    pub(super) fn derived_slot(self, at: SlotAddress) -> Place {
        let node = SLOT_OBJECTS << self.k | u64::from(at.node.get());
        let depth = self.depth() + PAGE_NODE_BITS;
        Place { index: node << PAGE_NODE_BITS | u64::from(at.index), depth }
    }

    /// Returns the address of a frame's capability.
    pub(super) fn frame(self, frame: FrameCap) -> u64 {
        match frame {
            FrameCap::Original(page) => self.object(page),
            FrameCap::Derived(slot) => {
                let Place { index, depth } = self.derived_slot(slot);
                index << (64 - depth)
            }
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

fn pages_left(machine: &Machine, cspace: Cap, part: u64) -> Option<u64> {
    match machine.look(cspace, part << ROOT_SHIFT) {
        Ok(Cap::Untyped { size_bits, free, .. }) => {
            let pages = ((1 << size_bits) - free) / PAGE_BYTES;
            (pages > 0).then_some(pages)
        }
        _ => None,
    }
}
