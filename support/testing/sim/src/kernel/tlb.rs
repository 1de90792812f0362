// SPDX-License-Identifier: BSD-2-Clause
//! Remembers what page tables said, as hardware does: every load of a record would walk four levels
//! of them. What takes away or changes a translation of an address space flushes all of that.

use std::cell::Cell;

use pmserver_core::kernel::VSpace;

use crate::machine::{Access, PAGE_BYTES};

/// A power of two. Pages whose numbers are the same below half of it take each other's place.
const ENTRIES: usize = 1 << 12;

/// A page of an address space that an access is allowed to.
#[derive(Clone, Copy, Default)]
struct Entry {
    /// The page, the address space and the access, in one word.
    key: u64,
    /// The address space's epoch then: at least one, in what is valid.
    epoch: u64,
    address: u64,
}

/// Recent translations. A clone remembers none, so that it takes little memory.
pub(super) struct Tlb(Vec<Cell<Entry>>);

impl Clone for Tlb {
    fn clone(&self) -> Self {
        Self(Vec::new())
    }
}

impl Tlb {
    pub(super) fn new() -> Self {
        Self(vec![Cell::default(); ENTRIES])
    }

    /// Returns the physical page that `walk` finds, or found in this epoch.
    pub(super) fn translate(
        &self,
        epoch: u64,
        (vspace, vaddr, access): (VSpace, u64, Access),
        walk: impl FnOnce() -> Option<u64>,
    ) -> Option<u64> {
        let page = vaddr / PAGE_BYTES;
        let space = match vspace {
            VSpace::Own => 0,
            VSpace::Peer(peer) => u64::from(peer.get()),
        };
        let is_write = u64::from(access == Access::Write);
        let key = page << 8 | space << 1 | is_write;
        // Loads and stores do not take each other's place.
        let Some(cell) = self.0.get((page << 1 | is_write) as usize % ENTRIES) else {
            return walk();
        };
        let known = cell.get();
        if known.key == key && known.epoch == epoch {
            return Some(known.address);
        }
        let address = walk()?;
        cell.set(Entry { key, epoch, address });
        Some(address)
    }
}
