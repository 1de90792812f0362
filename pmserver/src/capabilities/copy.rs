// SPDX-License-Identifier: BSD-2-Clause
//! Copies the contents of one page to another. Both are mapped into pmserver during the copy,
//! through capabilities that are made for it, so that no other mapping changes.

use pmserver_core::kernel::{KernelError, PageRights, VSpace};
use pmserver_setup::slots::{COPY_SOURCE, COPY_TABLE, COPY_TARGET};
use proto::{PAGE_BYTES, VirtAddr};
use sel4::{AbsoluteCPtr, Cap, CapRights, cap};

use crate::capabilities::objects::{attributes, make_fetchable, map_table, table_type, to_usize};
use crate::capabilities::slots::{self, refusal, root_address, root_slot};

/// The last two pages before the pool window; one page table is made for them when pmserver starts.
const SOURCE: Place = Place { slot: COPY_SOURCE, vaddr: 0x0FFF_E000 };
const TARGET: Place = Place { slot: COPY_TARGET, vaddr: 0x0FFF_F000 };
const TABLE_SPAN_BITS: u8 = 21;

/// A slot of the root CNode, and an address.
struct Place {
    slot: u32,
    vaddr: u64,
}

impl Place {
    fn capability(&self) -> cap::Granule {
        Cap::from_bits(root_address(self.slot))
    }

    /// Maps a page here, by a copy of its capability.
    fn map(&self, page: &AbsoluteCPtr, rights: PageRights) -> Result<(), KernelError> {
        let allowed = if rights.write { CapRights::read_write() } else { CapRights::read_only() };
        // CAP: a page of the pool, with no more rights than are needed; the copy of its capability
        // is deleted at the latest with the page. If refused, nothing is mapped.
        root_slot(self.slot).copy(page, allowed.clone()).map_err(refusal)?;
        self.capability()
            .frame_map(
                slots::vspace(VSpace::Own),
                to_usize(self.vaddr),
                allowed,
                attributes(rights),
            )
            .map_err(refusal)
    }

    /// Deletes the capability in the slot, which also unmaps the page.
    fn clear(&self) -> Result<(), KernelError> {
        slots::delete(&root_slot(self.slot))
    }
}

/// Makes the page table from a part of the pool and installs it, so that no copy lacks one later.
pub(crate) fn make_table(part: u32) -> Result<(), KernelError> {
    let kind = table_type(TABLE_SPAN_BITS).ok_or(KernelError::Refused)?;
    slots::make_from_part(part, &kind.blueprint(), COPY_TABLE)?;
    let table = Cap::from_bits(root_address(COPY_TABLE));
    map_table(table, kind, slots::vspace(VSpace::Own), SOURCE.vaddr).map_err(refusal)
}

/// Copies pages.
pub(crate) struct Copier {
    /// Whether a refused invocation may have left a capability in one of the slots.
    is_dirty: bool,
}

impl Copier {
    pub(crate) const fn new() -> Self {
        Self { is_dirty: false }
    }

    /// Copies the contents of one frame to another, given the slots of both.
    pub(crate) fn copy(
        &mut self,
        from: &AbsoluteCPtr,
        to: &AbsoluteCPtr,
    ) -> Result<(), KernelError> {
        self.end()?;
        self.is_dirty = true;
        let copied = copy_mapped(from, to);
        // If the slots stay full they are emptied later: this one is done.
        let _ = self.end();
        copied
    }

    /// Deletes the copied capabilities if there may be any.
    pub(crate) fn end(&mut self) -> Result<(), KernelError> {
        if !self.is_dirty {
            return Ok(());
        }
        let (source, target) = (SOURCE.clear(), TARGET.clear());
        self.is_dirty = source.is_err() || target.is_err();
        source.and(target)
    }
}

fn copy_mapped(from: &AbsoluteCPtr, to: &AbsoluteCPtr) -> Result<(), KernelError> {
    SOURCE.map(from, PageRights { write: false, execute: false })?;
    TARGET.map(to, PageRights { write: true, execute: false })?;
    let [source, target] = [SOURCE, TARGET].map(|place| VirtAddr::new_page(place.vaddr));
    let (source, target) = source.zip(target).ok_or(KernelError::Refused)?;
    shm::copy(source, target, to_usize(PAGE_BYTES));
    make_fetchable(TARGET.capability()).map_err(refusal)
}
