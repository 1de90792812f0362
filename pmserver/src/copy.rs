// SPDX-License-Identifier: BSD-2-Clause
//! Contents from page to page: both are mapped into pmserver for that moment, by capabilities of
//! their own, so that nobody else's mapping is touched.

use pmserver_core::PageIndex;
use pmserver_core::kernel::{KernelError, PageRights, VSpace};
use proto::VirtAddr;
use sel4::{Cap, CapRights, cap};

use crate::home::{self, Home, refusal, root_address, root_slot};
use crate::objects::{attributes, make_fetchable, map_table, table_type, to_usize};
use crate::pool::PoolPart;

/// The last pages before the pool window, under one table that is there for them.
const SOURCE: Place = Place { slot: 30, vaddr: 0x0FFF_E000 };
const TARGET: Place = Place { slot: 31, vaddr: 0x0FFF_F000 };
const TABLE_SLOT: u32 = 6;
const TABLE_SPAN_BITS: u8 = 21;
/// What [`make_table`] takes.
pub(crate) const TABLE_PAGES: u32 = 1;

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
    fn map(&self, home: &Home, page: PageIndex, rights: PageRights) -> Result<(), KernelError> {
        let allowed = if rights.write { CapRights::read_write() } else { CapRights::read_only() };
        // CAP: a page of the pool, with no more rights than are needed; the copy is deleted with
        // the page or before. A refusal made and mapped nothing.
        root_slot(self.slot).copy(&home.object_slot(page), allowed.clone()).map_err(refusal)?;
        self.capability()
            .frame_map(home::vspace(VSpace::Own), to_usize(self.vaddr), allowed, attributes(rights))
            .map_err(refusal)
    }

    /// Deletes what is here, and so its mapping.
    fn clear(&self) -> Result<(), KernelError> {
        home::delete(&root_slot(self.slot))
    }
}

/// Makes the table out of a part of the pool, so that no copy ever lacks one.
pub(crate) fn make_table(part: &PoolPart) -> Result<(), KernelError> {
    let kind = table_type(TABLE_SPAN_BITS).ok_or(KernelError::Refused)?;
    part.make(&kind.blueprint(), TABLE_SLOT)?;
    let table = Cap::from_bits(root_address(TABLE_SLOT));
    map_table(table, kind, home::vspace(VSpace::Own), SOURCE.vaddr).map_err(refusal)
}

/// Copies pages.
pub(crate) struct Copier {
    /// Whether a refusal left something at one of the places.
    is_dirty: bool,
}

impl Copier {
    pub(crate) const fn new() -> Self {
        Self { is_dirty: false }
    }

    /// Copies the contents of one frame to another.
    pub(crate) fn copy(
        &mut self,
        home: &Home,
        from: PageIndex,
        to: PageIndex,
    ) -> Result<(), KernelError> {
        if self.is_dirty {
            self.clear()?;
        }
        self.is_dirty = true;
        let copied = copy_mapped(home, from, to);
        copied.and(self.clear())
    }

    fn clear(&mut self) -> Result<(), KernelError> {
        let (source, target) = (SOURCE.clear(), TARGET.clear());
        self.is_dirty = source.is_err() || target.is_err();
        source.and(target)
    }
}

fn copy_mapped(home: &Home, from: PageIndex, to: PageIndex) -> Result<(), KernelError> {
    SOURCE.map(home, from, PageRights { write: false, execute: false })?;
    TARGET.map(home, to, PageRights { write: true, execute: false })?;
    let [source, target] = [SOURCE, TARGET].map(|place| VirtAddr::new_page(place.vaddr));
    let (source, target) = source.zip(target).ok_or(KernelError::Refused)?;
    shm::copy_page(source, target);
    make_fetchable(TARGET.capability()).map_err(refusal)
}
