// SPDX-License-Identifier: BSD-2-Clause
//! What the pool consists of when pmserver starts: untyped objects whose sizes and places it finds
//! out by itself.

use pmserver_core::kernel::KernelError;
use sel4::{Cap, Error, FrameObjectType, ObjectBlueprint, cap};

use crate::home::{self, PAGE_BITS, refusal, root_address, root_slot};
use crate::objects::to_usize;

/// Sizes of untyped memory that the pool may consist of: one page to 1 GiB.
const UNTYPED_BITS_MAX: u32 = 30;

/// The root slot that is used for a moment.
const SCRATCH: u32 = 30;

/// One of the untyped capabilities.
#[derive(Clone, Copy)]
pub(crate) struct PoolPart {
    slot: u32,
    bits: u32,
    base: u64,
}

impl PoolPart {
    /// Finds out what is in a slot of the root CNode: an untyped object takes an untyped of its own
    /// size, and none that is larger.
    pub(crate) fn probe(slot: u32) -> Result<Option<Self>, KernelError> {
        for bits in (PAGE_BITS..=UNTYPED_BITS_MAX).rev() {
            let blueprint = ObjectBlueprint::Untyped { size_bits: to_usize(bits) };
            match retype(slot, &blueprint, SCRATCH) {
                Ok(()) => {
                    home::delete(&root_slot(SCRATCH))?;
                    return Ok(Some(Self { slot, bits, base: base(slot)? }));
                }
                Err(Error::NotEnoughMemory) => {}
                Err(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Makes an object for pmserver itself, in an empty slot of the root CNode.
    pub(crate) fn make(&self, blueprint: &ObjectBlueprint, to: u32) -> Result<(), KernelError> {
        retype(self.slot, blueprint, to).map_err(refusal)
    }

    pub(crate) fn untyped(&self) -> cap::Untyped {
        Cap::from_bits(root_address(self.slot))
    }

    pub(crate) fn slot(&self) -> u32 {
        self.slot
    }

    pub(crate) fn pages(&self) -> u32 {
        1 << self.bits.saturating_sub(PAGE_BITS)
    }

    /// The physical address of its first page.
    pub(crate) fn base(&self) -> u64 {
        self.base
    }
}

/// Learns the physical address of a part that nothing was made from: a frame is at its beginning.
fn base(slot: u32) -> Result<u64, KernelError> {
    retype(slot, &FrameObjectType::GRANULE.blueprint(), SCRATCH).map_err(refusal)?;
    let frame: cap::Granule = Cap::from_bits(root_address(SCRATCH));
    // CAP: the frame just made; its address says where the pool lies, and nothing is done with it.
    let address = frame.frame_get_address().map_err(refusal)?;
    home::delete(&root_slot(SCRATCH))?;
    u64::try_from(address).map_err(|_| KernelError::Refused)
}

fn retype(slot: u32, blueprint: &ObjectBlueprint, to: u32) -> Result<(), Error> {
    let untyped: cap::Untyped = Cap::from_bits(root_address(slot));
    // CAP: the pool, given to pmserver for this. The object goes into a slot of the own root CNode
    // that is empty. What is made to find something out is deleted at once, so that the memory is
    // whole again. A refusal made nothing.
    untyped.untyped_retype(blueprint, &home::root_cnode(), to_usize(to), 1)
}
