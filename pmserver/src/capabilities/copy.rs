// SPDX-License-Identifier: BSD-2-Clause
//! Copies the contents of one frame to another. Both are mapped into pmserver during the copy,
//! through capabilities that are made for it, so that no other mapping changes. A large frame stays
//! mapped for the next slice of it.

use core::ops::Range;

use pmserver_core::PageIndex;
use pmserver_core::kernel::{BLOCK_PAGES, KernelError, PageRights, VSpace};
use pmserver_setup::WINDOW;
use pmserver_setup::slots::{COPY_SOURCE, COPY_TABLE, COPY_TARGET};
use proto::{PAGE_BYTES, VirtAddr};
use sel4::{Cap, CapRights, cap};

use crate::capabilities::home::Home;
use crate::capabilities::objects::{
    BLOCK_BITS, attributes, make_fetchable, map_table, table_type, to_usize,
};
use crate::capabilities::slots::{self, refusal, root_address, root_slot};

/// The two small places are the last two pages before the pool window; one page table is made for
/// them when pmserver starts. The large ones are below, under the directory of pmserver's program.
const SOURCE: Place = Place {
    slot: COPY_SOURCE,
    small: WINDOW - 2 * PAGE_BYTES,
    large: WINDOW - (3 << BLOCK_BITS),
    rights: PageRights { write: false, execute: false },
};
const TARGET: Place = Place {
    slot: COPY_TARGET,
    small: WINDOW - PAGE_BYTES,
    large: WINDOW - (2 << BLOCK_BITS),
    rights: PageRights { write: true, execute: false },
};
const TABLE_SPAN_BITS: u8 = 21;

/// A slot of the root CNode, and where a small or a large frame in it is mapped.
struct Place {
    slot: u32,
    small: u64,
    large: u64,
    rights: PageRights,
}

/// Makes the page table from a part of the pool and installs it, so that no copy lacks one later.
pub(crate) fn make_table(part: u32) -> Result<(), KernelError> {
    let kind = table_type(TABLE_SPAN_BITS).ok_or(KernelError::Refused)?;
    slots::make_from_part(part, &kind.blueprint(), COPY_TABLE)?;
    let table = Cap::from_bits(root_address(COPY_TABLE));
    map_table(table, kind, slots::vspace(VSpace::Own), SOURCE.small).map_err(refusal)
}

/// What the slot of a place holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Nothing,
    /// Perhaps a capability, perhaps mapped.
    Unknown,
    /// A large frame, which is mapped.
    Large(PageIndex),
}

/// One of the two frames of a copy.
struct End {
    place: Place,
    held: Held,
}

impl End {
    fn capability(&self) -> cap::Granule {
        Cap::from_bits(root_address(self.place.slot))
    }

    /// Maps a frame here, by a copy of its capability.
    fn hold(&mut self, home: &Home, frame: PageIndex, vaddr: u64) -> Result<(), KernelError> {
        self.empty()?;
        self.held = Held::Unknown;
        let rights = self.place.rights;
        let allowed = if rights.write { CapRights::read_write() } else { CapRights::read_only() };
        // CAP: a frame of the pool, with no more rights than are needed; the copy of its capability
        // is deleted at the latest with the frame. If refused, nothing is mapped.
        root_slot(self.place.slot)
            .copy(&home.object_slot(frame), allowed.clone())
            .map_err(refusal)?;
        self.capability()
            .frame_map(slots::vspace(VSpace::Own), to_usize(vaddr), allowed, attributes(rights))
            .map_err(refusal)
    }

    fn hold_small(&mut self, home: &Home, page: PageIndex) -> Result<(), KernelError> {
        self.hold(home, page, self.place.small)
    }

    /// Maps a large frame here unless it is.
    fn hold_large(&mut self, home: &Home, large: PageIndex) -> Result<(), KernelError> {
        if self.held != Held::Large(large) {
            self.hold(home, large, self.place.large)?;
            self.held = Held::Large(large);
        }
        Ok(())
    }

    /// Deletes the capability if there may be one, which also unmaps the frame.
    fn empty(&mut self) -> Result<(), KernelError> {
        if self.held != Held::Nothing {
            self.held = Held::Unknown;
            slots::delete(&root_slot(self.place.slot))?;
            self.held = Held::Nothing;
        }
        Ok(())
    }

    fn forget(&mut self, block: PageIndex) {
        if self.held == Held::Large(block) {
            self.held = Held::Nothing;
        }
    }
}

/// Copies frames.
pub(crate) struct Copier {
    source: End,
    target: End,
}

impl Copier {
    pub(crate) const fn new() -> Self {
        Self {
            source: End { place: SOURCE, held: Held::Nothing },
            target: End { place: TARGET, held: Held::Nothing },
        }
    }

    /// Copies the contents of one page to another.
    pub(crate) fn copy(
        &mut self,
        home: &Home,
        from: PageIndex,
        to: PageIndex,
    ) -> Result<(), KernelError> {
        let mut copied = self.source.hold_small(home, from);
        copied = copied.and_then(|()| self.target.hold_small(home, to));
        copied = copied.and_then(|()| self.copy_mapped(SOURCE.small, TARGET.small, 0..PAGE_BYTES));
        // If the slots stay full they are emptied later: this one is done.
        let _ = self.end();
        copied
    }

    /// Copies a page of a large frame to a page.
    pub(crate) fn copy_part(
        &mut self,
        home: &Home,
        large: PageIndex,
        part: u16,
        to: PageIndex,
    ) -> Result<(), KernelError> {
        let from = SOURCE.large.saturating_add(slice(part, 1)?.start);
        self.source.hold_large(home, large)?;
        let mut copied = self.target.hold_small(home, to);
        copied = copied.and_then(|()| self.copy_mapped(from, TARGET.small, 0..PAGE_BYTES));
        let _ = self.target.empty();
        copied
    }

    /// Clears a slice of a large frame.
    pub(crate) fn clear_large(
        &mut self,
        home: &Home,
        large: PageIndex,
        slice: Range<u64>,
    ) -> Result<(), KernelError> {
        self.target.hold_large(home, large)?;
        let (at, bytes) = within(TARGET.large, &slice)?;
        shm::clear(at, bytes);
        make_fetchable(self.target.capability(), slice).map_err(refusal)
    }

    /// Notes that a block was joined: its large frame is gone, with all capabilities.
    pub(crate) fn forget(&mut self, block: PageIndex) {
        self.source.forget(block);
        self.target.forget(block);
    }

    /// Deletes the copied capabilities if there may be any.
    pub(crate) fn end(&mut self) -> Result<(), KernelError> {
        let (source, target) = (self.source.empty(), self.target.empty());
        source.and(target)
    }

    /// Copies a part of what is mapped at `from` to the same part at `to`.
    fn copy_mapped(&self, from: u64, to: u64, part: Range<u64>) -> Result<(), KernelError> {
        let (from, _) = within(from, &part)?;
        let (to, bytes) = within(to, &part)?;
        shm::copy(from, to, bytes);
        make_fetchable(self.target.capability(), part).map_err(refusal)
    }
}

/// Returns the bytes of pages of a large frame.
pub(crate) fn slice(first: u16, count: u16) -> Result<Range<u64>, KernelError> {
    let end = u32::from(first).saturating_add(u32::from(count));
    let bytes = |pages: u32| PAGE_BYTES.saturating_mul(pages.into());
    if end <= BLOCK_PAGES { Ok(bytes(first.into())..bytes(end)) } else { Err(KernelError::Refused) }
}

/// Returns the address and the size of a part of a mapping.
fn within(mapping: u64, part: &Range<u64>) -> Result<(VirtAddr, usize), KernelError> {
    let at = VirtAddr::new(mapping.saturating_add(part.start)).ok_or(KernelError::Refused)?;
    Ok((at, to_usize(part.end.saturating_sub(part.start))))
}
