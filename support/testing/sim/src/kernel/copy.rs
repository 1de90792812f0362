// SPDX-License-Identifier: BSD-2-Clause
//! Copies frames, exactly as pmserver's PD does (`pmserver/src/capabilities/copy.rs`): a page that
//! is copied from stays mapped, and one that is copied to is mapped by its own capability if it may
//! be.

use pmserver_core::PageIndex;
use pmserver_core::kernel::{BLOCK_PAGES, FrameCap, VSpace};

use super::home::{COPIED_FROM, COPIED_TO, LARGE_SOURCE, LARGE_TARGET, PLACES_MAX, PREPARED};
use super::{InvocationKind, SimKernel, vspace_address};
use crate::loader::LEAF_CNODE;
use crate::machine::{Access, CapRights, Error, Invocation, PAGE_BYTES, Place, Transfer};

/// A slot for a capability, and where its frame is mapped.
#[derive(Clone, Copy)]
enum End {
    /// One of the places for pages that are copied from.
    Source(u32),
    /// One of those for pages that are prepared to be copied to.
    Prepared(u32),
    LargeSource,
    /// The slot for what is copied to: mapped at this address.
    Target(u64),
}

/// What such a slot holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Held {
    #[default]
    Nothing,
    /// Perhaps a capability, perhaps mapped.
    Unknown,
    /// A frame, which is mapped.
    Frame(PageIndex),
}

/// The frames that pmserver has mapped to copy them.
#[derive(Clone, Debug)]
pub(super) struct Copies {
    /// Page p in the place p modulo the number of places.
    sources: Vec<Held>,
    /// In the same way.
    prepared: Vec<Held>,
    large_source: Held,
    target: Held,
    /// The page that is mapped by its own capability.
    lent: Option<PageIndex>,
}

impl Copies {
    pub(super) fn new(spare_objects: u32) -> Self {
        let sources = vec![Held::Nothing; PLACES_MAX.min(spare_objects / 2) as usize];
        Self {
            prepared: sources.clone(),
            sources,
            large_source: Held::Nothing,
            target: Held::Nothing,
            lent: None,
        }
    }

    fn places(&self) -> u32 {
        self.sources.len() as u32
    }

    fn place_of(&self, page: PageIndex) -> u32 {
        page.get() % self.places()
    }

    fn held(&mut self, end: End) -> &mut Held {
        match end {
            End::Source(place) => &mut self.sources[place as usize],
            End::Prepared(place) => &mut self.prepared[place as usize],
            End::LargeSource => &mut self.large_source,
            End::Target(_) => &mut self.target,
        }
    }

    /// Notes that what was made from a page, or from the block that begins at it, is gone, with all
    /// capabilities.
    pub(super) fn forget(&mut self, page: PageIndex) {
        self.lent.take_if(|lent| *lent == page);
        let place = self.place_of(page);
        let ends = [End::Source(place), End::Prepared(place)];
        for end in ends.into_iter().chain([End::LargeSource, End::Target(LARGE_TARGET)]) {
            let held = self.held(end);
            if *held == Held::Frame(page) {
                *held = Held::Nothing;
            }
        }
    }

    /// The same for so many pages.
    pub(super) fn forget_all(&mut self, first: PageIndex, pages: u32) {
        for page in first.get()..first.get() + pages {
            self.forget(PageIndex::new(page));
        }
    }
}

impl SimKernel {
    /// Copies the contents of one frame to another that is mapped nowhere.
    pub(super) fn copy_contents(&mut self, from: PageIndex, to: PageIndex) -> Result<(), Error> {
        let source = self.hold_source(from)?;
        let place = self.copies.place_of(to);
        if *self.copies.held(End::Prepared(place)) == Held::Frame(to) {
            self.copy_mapped(source, PREPARED + u64::from(place) * PAGE_BYTES);
            return Ok(());
        }
        self.copy_lent(source, to)
    }

    /// Maps a page, so that nothing need be mapped when it is copied to.
    pub(super) fn prepare_target(&mut self, page: PageIndex) -> Result<(), Error> {
        self.hold(End::Prepared(self.copies.place_of(page)), page)
    }

    /// Copies the contents of one frame to another that may be mapped.
    pub(super) fn overwrite(&mut self, from: PageIndex, to: PageIndex) -> Result<(), Error> {
        let source = self.hold_source(from)?;
        self.free_target()?;
        let target = End::Target(COPIED_TO);
        let held = self.hold(target, to);
        if held.is_ok() {
            self.copy_mapped(source, COPIED_TO);
        }
        // If the slot stays full it is emptied later: this copy is done.
        let _ = self.empty(target);
        held
    }

    /// Copies a page of a large frame to a frame that is mapped nowhere.
    pub(super) fn copy_from_large(
        &mut self,
        large: PageIndex,
        part: u16,
        to: PageIndex,
    ) -> Result<(), Error> {
        check_slice(part, 1)?;
        self.hold(End::LargeSource, large)?;
        self.copy_lent(LARGE_SOURCE + u64::from(part) * PAGE_BYTES, to)
    }

    /// Clears a slice of a large frame.
    pub(super) fn clear_slice(
        &mut self,
        large: PageIndex,
        first: u16,
        count: u16,
    ) -> Result<(), Error> {
        check_slice(first, count)?;
        self.hold(End::Target(LARGE_TARGET), large)?;
        for number in first..first + count {
            let page = self.own_page(LARGE_TARGET + u64::from(number) * PAGE_BYTES, Access::Write);
            self.machine.clear_page(page);
        }
        Ok(())
    }

    /// Takes back what copies may have left: all but pages that were copied from or are
    /// prepared. Empty slots are no error.
    pub(super) fn end_copying(&mut self) -> Result<(), Error> {
        let lent = self.take_back();
        let source = self.empty(End::LargeSource);
        let target = self.empty(End::Target(LARGE_TARGET));
        lent.and(source).and(target)
    }

    /// Maps a page that is copied from, and returns where.
    fn hold_source(&mut self, page: PageIndex) -> Result<u64, Error> {
        let place = self.copies.place_of(page);
        self.hold(End::Source(place), page)?;
        Ok(COPIED_FROM + u64::from(place) * PAGE_BYTES)
    }

    /// Copies a page that is mapped to one that is mapped by its own capability for that.
    fn copy_lent(&mut self, from: u64, to: PageIndex) -> Result<(), Error> {
        self.free_target()?;
        self.map_own(self.home.frame(FrameCap::Original(to)), COPIED_TO, CapRights::ALL)?;
        self.copies.lent = Some(to);
        self.copy_mapped(from, COPIED_TO);
        self.take_back()
    }

    /// Unmaps what a refusal of the kernel may have left where pages are copied to.
    fn free_target(&mut self) -> Result<(), Error> {
        self.take_back()?;
        let is_left = self.copies.target == Held::Unknown;
        if is_left { self.empty(End::Target(COPIED_TO)) } else { Ok(()) }
    }

    /// Unmaps the page that is mapped by its own capability.
    fn take_back(&mut self) -> Result<(), Error> {
        if let Some(page) = self.copies.lent {
            let frame = self.home.frame(FrameCap::Original(page));
            self.invoke(InvocationKind::PageUnmap, frame, &Invocation::PageUnmap)?;
            self.copies.lent = None;
        }
        Ok(())
    }

    fn slot(&self, end: End) -> Place {
        match end {
            End::Source(place) => self.home.spare_object(place),
            End::Prepared(place) => self.home.spare_object(self.copies.places() + place),
            End::LargeSource => super::home::slot_of_large_source(),
            End::Target(_) => super::home::slot_of_target(),
        }
    }

    /// Deletes the capability if there may be one, which also unmaps the frame.
    fn empty(&mut self, end: End) -> Result<(), Error> {
        if *self.copies.held(end) == Held::Nothing {
            return Ok(());
        }
        *self.copies.held(end) = Held::Unknown;
        let delete = Invocation::Delete(self.slot(end));
        self.invoke(InvocationKind::Delete, LEAF_CNODE, &delete)?;
        *self.copies.held(end) = Held::Nothing;
        Ok(())
    }

    /// Maps a frame by a copy of its capability, unless it is.
    fn hold(&mut self, end: End, frame: PageIndex) -> Result<(), Error> {
        if *self.copies.held(end) == Held::Frame(frame) {
            return Ok(());
        }
        self.empty(end)?;
        let (rights, vaddr) = match end {
            End::Source(place) => (CapRights::READ, COPIED_FROM + u64::from(place) * PAGE_BYTES),
            End::Prepared(place) => (CapRights::ALL, PREPARED + u64::from(place) * PAGE_BYTES),
            End::LargeSource => (CapRights::READ, LARGE_SOURCE),
            End::Target(vaddr) => (CapRights::ALL, vaddr),
        };
        let to = self.slot(end);
        let how = Transfer::Copy(rights);
        let copy = Invocation::Transfer { to, from: self.home.object_source(frame), how };
        *self.copies.held(end) = Held::Unknown;
        self.invoke(InvocationKind::Copy, LEAF_CNODE, &copy)?;
        let mapped = self.map_own(to.index << (64 - to.depth), vaddr, rights);
        match mapped {
            Ok(()) => *self.copies.held(end) = Held::Frame(frame),
            // If that is refused, too, it is done before the slot is used again.
            Err(_) => drop(self.empty(end)),
        }
        mapped
    }

    fn map_own(&mut self, frame: u64, vaddr: u64, rights: CapRights) -> Result<(), Error> {
        let map = Invocation::PageMap { vspace: vspace_address(VSpace::Own), vaddr, rights };
        self.invoke(InvocationKind::PageMap, frame, &map)
    }

    /// Copies a page that is mapped at one address of pmserver's to another.
    fn copy_mapped(&mut self, from: u64, to: u64) {
        let from = self.own_page(from, Access::Read);
        let to = self.own_page(to, Access::Write);
        self.machine.copy_page(from, to);
    }

    fn own_page(&self, vaddr: u64, access: Access) -> u64 {
        self.page_at(VSpace::Own, vaddr, access).expect("it was mapped before")
    }
}

/// Checks that pages lie in a large frame.
fn check_slice(first: u16, count: u16) -> Result<(), Error> {
    let is_inside = u32::from(first) + u32::from(count) <= BLOCK_PAGES;
    if is_inside { Ok(()) } else { Err(Error::InvalidArgument(0)) }
}
