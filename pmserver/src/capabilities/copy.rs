// SPDX-License-Identifier: BSD-2-Clause
//! Copies the contents of one frame to another. Both are mapped into pmserver during the copy, so
//! that no other mapping changes. What is copied from stays mapped, as it may be copied again.
//!
//! ```text
//!   copied from    by a copy of its capability, in place p mod n: until another page needs that
//!   copied to      so, too, if that was prepared; else by its own capability if nothing maps it
//!   large frames   by a copy of its capability: until another large one needs the place
//! ```

use core::ops::Range;

use pmserver_core::PageIndex;
use pmserver_core::kernel::{BLOCK_PAGES, KernelError, PageRights, VSpace};
use pmserver_setup::WINDOW;
use pmserver_setup::slots::{COPY_SOURCE, COPY_TABLE, COPY_TARGET};
use proto::{PAGE_BYTES, VirtAddr};
use sel4::{AbsoluteCPtr, Cap, CapRights, cap};

use crate::capabilities::home::Home;
use crate::capabilities::objects::{BLOCK_BITS, attributes, map_table, table_type, to_usize};
use crate::capabilities::slots::{self, refusal, root_address, root_slot};

/// Copies are made fetchable by instructions that a kernel can deny to user programs.
#[cfg(target_arch = "aarch64")]
const _: () = assert!(sel4::sel4_cfg_bool!(AARCH64_USER_CACHE_ENABLE));

/// Where pages are mapped: the last pages before the pool window. One page table is made for them
/// when pmserver starts. The large places are below, under the directory of pmserver's program.
const TARGET: u64 = WINDOW - PAGE_BYTES;
#[allow(clippy::as_conversions)] // To a type of the same size.
const SOURCES: u64 = TARGET - PLACES_MAX as u64 * PAGE_BYTES;
#[allow(clippy::as_conversions)] // As above.
const PREPARED: u64 = SOURCES - PLACES_MAX as u64 * PAGE_BYTES;
const LARGE_TARGET: u64 = WINDOW - (2 << BLOCK_BITS);
const LARGE_SOURCE: u64 = WINDOW - (3 << BLOCK_BITS);
const TABLE_SPAN_BITS: u8 = 21;
/// The most pages that were copied from and are still mapped; and that are prepared.
const PLACES_MAX: usize = 128;

const TO_READ: PageRights = PageRights { write: false, execute: false };
const TO_WRITE: PageRights = PageRights { write: true, execute: false };

/// Makes the page table from a part of the pool and installs it, so that no copy lacks one later.
pub(crate) fn make_table(part: u32) -> Result<(), KernelError> {
    let kind = table_type(TABLE_SPAN_BITS).ok_or(KernelError::Refused)?;
    slots::make_from_part(part, &kind.blueprint(), COPY_TABLE)?;
    let table = Cap::from_bits(root_address(COPY_TABLE));
    map_table(table, kind, slots::vspace(VSpace::Own), TARGET).map_err(refusal)
}

/// A slot for a capability, and where its frame is mapped.
struct Place {
    slot: AbsoluteCPtr,
    capability: cap::Granule,
    vaddr: u64,
    rights: PageRights,
}

impl Place {
    /// One of the places from an address on; its slot is one of those from `first` on.
    fn of_page(home: &Home, place: u32, (base, first): (u64, u32), rights: PageRights) -> Self {
        let (slot, capability) = home.spare_object(first.saturating_add(place));
        let offset = PAGE_BYTES.saturating_mul(place.into());
        Self { slot, capability, vaddr: base.saturating_add(offset), rights }
    }

    fn in_root(slot: u32, vaddr: u64, rights: PageRights) -> Self {
        let capability = Cap::from_bits(root_address(slot));
        Self { slot: root_slot(slot), capability, vaddr, rights }
    }
}

/// What the slot of a place holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Nothing,
    /// Perhaps a capability, perhaps mapped.
    Unknown,
    /// A frame, which is mapped.
    Frame(PageIndex),
}

impl Held {
    /// Maps a frame at a place, by a copy of its capability, unless it is.
    fn hold(&mut self, home: &Home, place: &Place, frame: PageIndex) -> Result<(), KernelError> {
        if *self == Self::Frame(frame) {
            return Ok(());
        }
        self.empty(place)?;
        *self = Self::Unknown;
        let rights = place.rights;
        let allowed = if rights.write { CapRights::read_write() } else { CapRights::read_only() };
        // CAP: a frame of the pool, with no more rights than are needed; the copy of its capability
        // is deleted at the latest with the frame. If refused, nothing is mapped.
        slots::copy(&place.slot, &home.object_slot(frame), allowed)?;
        let mapped = map(place.capability, place.vaddr, rights);
        match mapped {
            Ok(()) => *self = Self::Frame(frame),
            // If that is refused, too, it is done before the slot is used again.
            Err(_) => drop(self.empty(place)),
        }
        mapped
    }

    /// Deletes the capability if there may be one, which also unmaps the frame.
    fn empty(&mut self, place: &Place) -> Result<(), KernelError> {
        if *self != Self::Nothing {
            *self = Self::Unknown;
            slots::delete(&place.slot)?;
            *self = Self::Nothing;
        }
        Ok(())
    }

    fn forget(&mut self, frame: PageIndex) {
        if *self == Self::Frame(frame) {
            *self = Self::Nothing;
        }
    }
}

/// Copies frames.
pub(crate) struct Copier {
    /// Pages that were copied from: page p in the place p modulo the number of places.
    sources: [Held; PLACES_MAX],
    /// Pages that are prepared to be copied to, in the same way.
    prepared: [Held; PLACES_MAX],
    places: u32,
    large_source: Held,
    target: Held,
    /// The page that is mapped by its own capability.
    lent: Option<PageIndex>,
}

impl Copier {
    pub(crate) fn new(home: &Home) -> Self {
        Self {
            sources: [Held::Nothing; PLACES_MAX],
            prepared: [Held::Nothing; PLACES_MAX],
            places: u32::try_from(PLACES_MAX).unwrap_or_default().min(home.spare_objects() / 2),
            large_source: Held::Nothing,
            target: Held::Nothing,
            lent: None,
        }
    }

    /// Copies the contents of one page to another that is mapped nowhere.
    pub(crate) fn copy(
        &mut self,
        home: &Home,
        from: PageIndex,
        to: PageIndex,
    ) -> Result<(), KernelError> {
        let source = self.hold_source(home, from)?;
        let place = self.place_of(to);
        if self.prepared.get(to_usize(place)) == Some(&Held::Frame(to)) {
            return copy_mapped(source, self.prepared_place(home, place).vaddr);
        }
        self.copy_lent(home, source, to)
    }

    /// Maps a page, so that nothing need be mapped when it is copied to.
    pub(crate) fn prepare(&mut self, home: &Home, page: PageIndex) -> Result<(), KernelError> {
        let number = self.place_of(page);
        let place = self.prepared_place(home, number);
        hold_in(&mut self.prepared, number, home, &place, page)
    }

    /// Copies the contents of one page to another that may be mapped.
    pub(crate) fn overwrite(
        &mut self,
        home: &Home,
        from: PageIndex,
        to: PageIndex,
    ) -> Result<(), KernelError> {
        let source = self.hold_source(home, from)?;
        self.free_target(home)?;
        let place = Place::in_root(COPY_TARGET, TARGET, TO_WRITE);
        let held = self.target.hold(home, &place, to);
        let copied = held.and_then(|()| copy_mapped(source, TARGET));
        // If the slot stays full it is emptied later: this copy is done.
        let _ = self.target.empty(&place);
        copied
    }

    /// Copies a page of a large frame to a page that is mapped nowhere.
    pub(crate) fn copy_part(
        &mut self,
        home: &Home,
        large: PageIndex,
        part: u16,
        to: PageIndex,
    ) -> Result<(), KernelError> {
        let source = LARGE_SOURCE.saturating_add(slice(part, 1)?.start);
        self.large_source.hold(home, &large_source(), large)?;
        self.copy_lent(home, source, to)
    }

    /// Clears a slice of a large frame.
    pub(crate) fn clear_large(
        &mut self,
        home: &Home,
        large: PageIndex,
        slice: Range<u64>,
    ) -> Result<(), KernelError> {
        self.target.hold(home, &large_target(), large)?;
        let at = address(LARGE_TARGET.saturating_add(slice.start))?;
        let bytes = to_usize(slice.end.saturating_sub(slice.start));
        shm::clear_code(at, bytes);
        Ok(())
    }

    /// Notes that what was made from a page, or from the block that begins at it, is gone, with all
    /// capabilities.
    pub(crate) fn forget(&mut self, page: PageIndex) {
        self.lent.take_if(|lent| *lent == page);
        self.large_source.forget(page);
        self.target.forget(page);
        let place = to_usize(self.place_of(page));
        for held in [&mut self.sources, &mut self.prepared] {
            held.get_mut(place).into_iter().for_each(|held| held.forget(page));
        }
    }

    /// The same for so many pages.
    pub(crate) fn forget_all(&mut self, first: PageIndex, pages: u32) {
        let end = first.get().saturating_add(pages);
        (first.get()..end).for_each(|page| self.forget(PageIndex::new(page)));
    }

    /// Takes back what copies may have left: all but pages that were copied from or are prepared.
    pub(crate) fn end(&mut self, home: &Home) -> Result<(), KernelError> {
        let held = [self.large_source, self.target];
        if self.lent.is_none() && held == [Held::Nothing; 2] {
            return Ok(());
        }
        let lent = self.take_back(home);
        let source = self.large_source.empty(&large_source());
        let target = self.target.empty(&large_target());
        lent.and(source).and(target)
    }

    /// Maps a page that is copied from, and returns where.
    fn hold_source(&mut self, home: &Home, page: PageIndex) -> Result<u64, KernelError> {
        let number = self.place_of(page);
        let place = Place::of_page(home, number, (SOURCES, 0), TO_READ);
        hold_in(&mut self.sources, number, home, &place, page)?;
        Ok(place.vaddr)
    }

    fn place_of(&self, page: PageIndex) -> u32 {
        page.get().checked_rem(self.places).unwrap_or_default()
    }

    fn prepared_place(&self, home: &Home, number: u32) -> Place {
        Place::of_page(home, number, (PREPARED, self.places), TO_WRITE)
    }

    /// Copies a page that is mapped to one that is mapped by its own capability for that.
    fn copy_lent(&mut self, home: &Home, from: u64, to: PageIndex) -> Result<(), KernelError> {
        self.free_target(home)?;
        map(home.object(to).cast(), TARGET, TO_WRITE)?;
        self.lent = Some(to);
        copy_mapped(from, TARGET)?;
        self.take_back(home)
    }

    /// Unmaps what a refusal of the kernel may have left where pages are copied to.
    fn free_target(&mut self, home: &Home) -> Result<(), KernelError> {
        self.take_back(home)?;
        if self.target == Held::Unknown { self.target.empty(&large_target()) } else { Ok(()) }
    }

    /// Unmaps the page that is mapped by its own capability.
    fn take_back(&mut self, home: &Home) -> Result<(), KernelError> {
        if let Some(page) = self.lent {
            let frame: cap::Granule = home.object(page).cast();
            // CAP: a frame of the pool that is mapped here. If refused, it stays mapped.
            frame.frame_unmap().map_err(refusal)?;
            self.lent = None;
        }
        Ok(())
    }
}

/// Maps a page in one of the places of its kind, unless it is.
fn hold_in(
    places: &mut [Held],
    number: u32,
    home: &Home,
    place: &Place,
    page: PageIndex,
) -> Result<(), KernelError> {
    places.get_mut(to_usize(number)).ok_or(KernelError::Refused)?.hold(home, place, page)
}

fn large_source() -> Place {
    Place::in_root(COPY_SOURCE, LARGE_SOURCE, TO_READ)
}

fn large_target() -> Place {
    Place::in_root(COPY_TARGET, LARGE_TARGET, TO_WRITE)
}

/// Maps a frame into pmserver.
fn map(frame: cap::Granule, vaddr: u64, rights: PageRights) -> Result<(), KernelError> {
    let allowed = if rights.write { CapRights::read_write() } else { CapRights::read_only() };
    // CAP: a frame of the pool, at an address that is used for nothing else. If refused, nothing is
    // mapped.
    frame
        .frame_map(slots::vspace(VSpace::Own), to_usize(vaddr), allowed, attributes(rights))
        .map_err(refusal)
}

/// Copies a page that is mapped to another.
fn copy_mapped(from: u64, to: u64) -> Result<(), KernelError> {
    let (from, to) = (address(from)?, address(to)?);
    shm::copy_code(from, to, to_usize(PAGE_BYTES));
    Ok(())
}

/// Returns the bytes of pages of a large frame.
pub(crate) fn slice(first: u16, count: u16) -> Result<Range<u64>, KernelError> {
    let end = u32::from(first).saturating_add(u32::from(count));
    let bytes = |pages: u32| PAGE_BYTES.saturating_mul(pages.into());
    if end <= BLOCK_PAGES { Ok(bytes(first.into())..bytes(end)) } else { Err(KernelError::Refused) }
}

fn address(vaddr: u64) -> Result<VirtAddr, KernelError> {
    VirtAddr::new(vaddr).ok_or(KernelError::Refused)
}
