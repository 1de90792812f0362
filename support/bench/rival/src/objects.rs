// SPDX-License-Identifier: BSD-2-Clause
//! Kernel objects in a CNode of the domain's own, so that their addresses have two levels as in
//! pmserver. All are made from the untyped memory in root slot 8, which the system file gives.

use proto::VirtAddr;
use sel4::{
    AbsoluteCPtr, CPtr, Cap, ObjectBlueprint, Result, TranslationTableObjectType, VmAttributes, cap,
};

/// Bits of an address, and those of them that select a slot of the root CNode.
const WORD_BITS: u32 = 64;
const ROOT_BITS: u32 = 6;
/// The slot of the Microkit CNode in which the system file puts the domain's own root CNode.
const ROOT_CNODE: u64 = 500;
const UNTYPED: u32 = 8;
const CNODE: u32 = 10;

/// A CNode of `2^bits` slots.
pub struct Objects {
    bits: u32,
}

impl Objects {
    /// Makes the CNode. Called once.
    ///
    /// # Errors
    /// The kernel's.
    pub fn new(bits: u32) -> Result<Self> {
        let cnode = ObjectBlueprint::CNode { size_bits: to_usize(bits) };
        // CAP: the domain's own untyped memory and root CNode, as all here.
        untyped().untyped_retype(
            &cnode,
            &root_cnode().absolute_cptr_for_self(),
            to_usize(CNODE),
            1,
        )?;
        Ok(Self { bits })
    }

    /// Makes `count` objects, in the slots from `first` on. At most 256.
    ///
    /// # Errors
    /// The kernel's.
    pub fn make(&self, blueprint: &ObjectBlueprint, first: u32, count: u32) -> Result<()> {
        let into =
            root_cnode().absolute_cptr_from_bits_with_depth(CNODE.into(), to_usize(ROOT_BITS));
        untyped().untyped_retype(blueprint, &into, to_usize(first), to_usize(count))
    }

    /// Returns the capability in a slot.
    #[must_use]
    pub fn capability(&self, slot: u32) -> CPtr {
        let below = WORD_BITS.saturating_sub(ROOT_BITS).saturating_sub(self.bits);
        CPtr::from_bits(root_address(CNODE) | u64::from(slot) << below)
    }

    /// Returns the slot, for operations on slots.
    #[must_use]
    pub fn slot(&self, slot: u32) -> AbsoluteCPtr {
        let depth = to_usize(ROOT_BITS.saturating_add(self.bits));
        let bits = u64::from(CNODE) << self.bits | u64::from(slot);
        root_cnode().absolute_cptr_from_bits_with_depth(bits, depth)
    }
}

fn root_cnode() -> cap::CNode {
    Cap::from_bits(ROOT_CNODE)
}

fn untyped() -> cap::Untyped {
    Cap::from_bits(root_address(UNTYPED))
}

/// Returns the address of a capability in the root CNode.
fn root_address(slot: u32) -> u64 {
    u64::from(slot) << WORD_BITS.saturating_sub(ROOT_BITS)
}

/// Makes the table for pages of 4 KiB in a slot, and installs it at an address.
///
/// # Errors
/// The kernel's.
pub fn map_table(objects: &Objects, slot: u32, vspace: cap::VSpace, vaddr: VirtAddr) -> Result<()> {
    #[cfg(target_arch = "aarch64")]
    let kind = TranslationTableObjectType::PT;
    #[cfg(target_arch = "x86_64")]
    let kind = TranslationTableObjectType::PageTable;
    objects.make(&kind.blueprint(), slot, 1)?;
    let table: cap::UnspecifiedIntermediateTranslationTable = objects.capability(slot).cast();
    let attributes = VmAttributes::default();
    table.generic_intermediate_translation_table_map(
        kind,
        vspace,
        to_usize(vaddr.get()),
        attributes,
    )
}

/// Returns the attributes of a mapping of data, as pmserver makes them.
#[must_use]
pub fn attributes() -> VmAttributes {
    #[cfg(target_arch = "aarch64")]
    return VmAttributes::default() | VmAttributes::EXECUTE_NEVER;
    #[cfg(target_arch = "x86_64")]
    return VmAttributes::default();
}

/// Both targets have 64-bit addresses.
#[allow(clippy::as_conversions)]
fn to_usize(number: impl Into<u64>) -> usize {
    number.into() as usize
}
