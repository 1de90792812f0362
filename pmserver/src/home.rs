// SPDX-License-Identifier: BSD-2-Clause
//! The pool at home: how the untyped memory of microkit-system.xml becomes pages with two slots
//! each.
//!
//! ```text
//!   root CNode of pmserver (64 slots)
//!     8..=27  the pool, as untyped capabilities of any sizes, ended by the first empty slot
//!     28      -> CNode of 2^k slots: slot p is the untyped of page p
//!     29      -> CNode of 2^k slots: slot p is the object made from page p
//!     30      for a moment at the start
//!     32 + n  VSpace of child n; 32 is pmserver's own
//!   leaf slot 500: the root CNode itself, to invoke
//! ```
//!
//! Neither CNode has a guard: the address of a slot is the root slot in the top 6 bits, then `p` in
//! the next k, and, where the object is a CNode itself, the slot in that in the next 7.

use pmserver_core::PageIndex;
use pmserver_core::kernel::{KernelError, SlotAddress};
use sel4::cap::CNode;
use sel4::{AbsoluteCPtr, CPtr, Cap, Error, ObjectBlueprint};

const ROOT: CNode = Cap::from_bits(500);
const ROOT_BITS: u32 = 6;
const POOL_FIRST: u32 = 8;
const POOL_SLOTS: usize = 20;
const UNTYPEDS: u32 = 28;
const OBJECTS: u32 = 29;
const SCRATCH: u32 = 30;

const WORD_BITS: u32 = 64;
const PAGE_BITS: u32 = 12;
/// A slot of a CNode is 32 bytes.
const SLOT_BITS: u32 = 5;
/// Slots of a CNode that is made from a page, as a power of two.
const PAGE_CNODE_BITS: u32 = PAGE_BITS - SLOT_BITS;
/// Sizes of untyped memory that the pool may consist of: one page to 1 GiB.
const UNTYPED_BITS_MAX: u32 = 30;
/// Objects that one Retype may make (seL4's RetypeFanOutLimit).
const RETYPE_MAX: u32 = 256;

/// Where pages live in the capability space.
#[derive(Clone, Copy)]
pub(crate) struct Home {
    /// Each of the two CNodes has `2^k` slots.
    k: u32,
    pages: u32,
    overhead_pages: u32,
}

/// One of the untyped capabilities that the pool consists of.
#[derive(Clone, Copy)]
struct PoolPart {
    slot: u32,
    bits: u32,
}

impl PoolPart {
    fn untyped(self) -> sel4::cap::Untyped {
        Cap::from_bits(root_address(self.slot))
    }

    /// Finds out what is in a slot of the root CNode: an untyped object takes an untyped of its own
    /// size, and none that is larger.
    fn probe(slot: u32) -> Result<Option<Self>, KernelError> {
        for bits in (PAGE_BITS..=UNTYPED_BITS_MAX).rev() {
            let part = Self { slot, bits };
            let blueprint = ObjectBlueprint::Untyped { size_bits: to_usize(bits) };
            // CAP: the pool, given to pmserver for this. The object goes into a slot that is empty,
            // and is deleted at once, so that the memory is whole again. A refusal made nothing.
            match part.untyped().untyped_retype(&blueprint, &root_cnode(), to_usize(SCRATCH), 1) {
                Ok(()) => return delete(&root_slot(SCRATCH)).map(|()| Some(part)),
                Err(Error::NotEnoughMemory) => {}
                Err(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    fn pages(self) -> u32 {
        1 << self.bits.saturating_sub(PAGE_BITS)
    }
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
        let largest = found().max_by_key(|part| part.bits).ok_or(KernelError::NotEnoughMemory)?;
        let pool_pages: u32 = found().map(PoolPart::pages).sum();
        let k = pool_pages.next_power_of_two().ilog2().max(PAGE_CNODE_BITS);
        let overhead_pages = 2 << k.saturating_sub(PAGE_CNODE_BITS);
        for slot in [UNTYPEDS, OBJECTS] {
            let blueprint = ObjectBlueprint::CNode { size_bits: to_usize(k) };
            // CAP: the pool; the CNode goes into an empty slot of the own root CNode. On a refusal
            // pmserver does not start.
            largest
                .untyped()
                .untyped_retype(&blueprint, &root_cnode(), to_usize(slot), 1)
                .map_err(refusal)?;
        }
        let home = Self { k, pages: pool_pages.saturating_sub(overhead_pages), overhead_pages };
        let mut next = 0;
        for part in found() {
            let taken = if part.slot == largest.slot { overhead_pages } else { 0 };
            let end = part.pages().saturating_sub(taken).saturating_add(next);
            while next < end {
                let count = RETYPE_MAX.min(end.saturating_sub(next));
                home.make_pages(part, next, count)?;
                next = next.saturating_add(count);
            }
        }
        Ok(home)
    }

    fn make_pages(self, part: PoolPart, first: u32, count: u32) -> Result<(), KernelError> {
        let blueprint = ObjectBlueprint::Untyped { size_bits: to_usize(PAGE_BITS) };
        // CAP: the pool; the pages go into empty slots of the CNode that was made for them. On a
        // refusal pmserver does not start.
        part.untyped()
            .untyped_retype(&blueprint, &root_slot(UNTYPEDS), to_usize(first), to_usize(count))
            .map_err(refusal)
    }

    pub(crate) fn pages(self) -> u32 {
        self.pages
    }

    pub(crate) fn overhead_pages(self) -> u32 {
        self.overhead_pages
    }

    /// The capability to a page as untyped memory.
    pub(crate) fn untyped(self, page: PageIndex) -> sel4::cap::Untyped {
        self.address(UNTYPEDS, page).cast()
    }

    /// The slot of the untyped, for operations on slots.
    pub(crate) fn untyped_slot(self, page: PageIndex) -> AbsoluteCPtr {
        self.slot(UNTYPEDS, page)
    }

    /// The CNode in which slot `page` takes the object made from the page.
    pub(crate) fn objects() -> AbsoluteCPtr {
        root_slot(OBJECTS)
    }

    /// The capability to the object made from a page.
    pub(crate) fn object(self, page: PageIndex) -> CPtr {
        self.address(OBJECTS, page)
    }

    /// The slot of the object, for operations on slots.
    pub(crate) fn object_slot(self, page: PageIndex) -> AbsoluteCPtr {
        self.slot(OBJECTS, page)
    }

    /// The capability in a slot of a page that is a CNode.
    pub(crate) fn derived(self, at: SlotAddress) -> CPtr {
        let node = self.address(OBJECTS, at.node).bits();
        let below = WORD_BITS.saturating_sub(self.depth()).saturating_sub(PAGE_CNODE_BITS);
        CPtr::from_bits(node | u64::from(at.index) << below)
    }

    /// That slot, for operations on slots.
    pub(crate) fn derived_slot(self, at: SlotAddress) -> AbsoluteCPtr {
        let node = u64::from(OBJECTS) << self.k | u64::from(at.node.get());
        let depth = self.depth().saturating_add(PAGE_CNODE_BITS);
        let bits = node << PAGE_CNODE_BITS | u64::from(at.index);
        ROOT.absolute_cptr_from_bits_with_depth(bits, to_usize(depth))
    }

    /// Bits of an address that lead to a page's slot.
    fn depth(self) -> u32 {
        ROOT_BITS.saturating_add(self.k)
    }

    fn address(self, cnode: u32, page: PageIndex) -> CPtr {
        let below = WORD_BITS.saturating_sub(self.depth());
        CPtr::from_bits(root_address(cnode) | u64::from(page.get()) << below)
    }

    fn slot(self, cnode: u32, page: PageIndex) -> AbsoluteCPtr {
        let bits = u64::from(cnode) << self.k | u64::from(page.get());
        ROOT.absolute_cptr_from_bits_with_depth(bits, to_usize(self.depth()))
    }
}

/// The address of a capability in the root CNode.
pub(crate) fn root_address(slot: u32) -> u64 {
    u64::from(slot) << WORD_BITS.saturating_sub(ROOT_BITS)
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

fn root_cnode() -> AbsoluteCPtr {
    ROOT.absolute_cptr_for_self()
}

fn root_slot(slot: u32) -> AbsoluteCPtr {
    ROOT.absolute_cptr_from_bits_with_depth(slot.into(), to_usize(ROOT_BITS))
}

/// Both targets have 64-bit addresses.
#[allow(clippy::as_conversions)]
const fn to_usize(number: u32) -> usize {
    number as usize
}
