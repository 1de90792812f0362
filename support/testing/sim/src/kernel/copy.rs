// SPDX-License-Identifier: BSD-2-Clause
//! Copies frames, exactly as pmserver's PD does (`pmserver/src/capabilities/copy.rs`). They are
//! mapped by copied capabilities, so that other mappings of the frames do not change. A large frame
//! stays mapped for the next slice of it.

use pmserver_core::PageIndex;
use pmserver_core::kernel::{BLOCK_PAGES, VSpace};

use super::home::COPY_PLACES;
use super::{InvocationKind, SimKernel, vspace_address};
use crate::loader::{LEAF_CNODE, ROOT_BITS, ROOT_SHIFT};
use crate::machine::{Access, CapRights, Error, Invocation, PAGE_BYTES, Place, Transfer};

/// The two slots for copying.
#[derive(Clone, Copy, Debug)]
enum End {
    Source,
    Target,
}

/// What such a slot holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Held {
    #[default]
    Nothing,
    /// Perhaps a capability, perhaps mapped.
    Unknown,
    /// A large frame, which is mapped.
    Large(PageIndex),
}

impl SimKernel {
    /// Copies the contents of one frame to another.
    pub(super) fn copy_contents(&mut self, from: PageIndex, to: PageIndex) -> Result<(), Error> {
        let [source, target] = COPY_PLACES;
        let mapped = self.hold(End::Source, from, source.small);
        let mapped = mapped.and_then(|()| self.hold(End::Target, to, target.small));
        if mapped.is_ok() {
            self.copy_mapped(source.small, target.small, 1);
        }
        // If the slots stay full they are emptied by the next copy: this one is done.
        let _ = self.empty_copy_slots();
        mapped
    }

    /// Copies a page of a large frame to a frame.
    pub(super) fn copy_from_large(
        &mut self,
        large: PageIndex,
        part: u16,
        to: PageIndex,
    ) -> Result<(), Error> {
        check_slice(part, 1)?;
        self.hold_large(End::Source, large)?;
        let [source, target] = COPY_PLACES;
        let mapped = self.hold(End::Target, to, target.small);
        if mapped.is_ok() {
            self.copy_mapped(source.large + u64::from(part) * PAGE_BYTES, target.small, 1);
        }
        let _ = self.empty(End::Target);
        mapped
    }

    /// Clears a slice of a large frame.
    pub(super) fn clear_slice(
        &mut self,
        large: PageIndex,
        first: u16,
        count: u16,
    ) -> Result<(), Error> {
        check_slice(first, count)?;
        self.hold_large(End::Target, large)?;
        let [_, target] = COPY_PLACES;
        for number in first..first + count {
            let page = self.own_page(target.large + u64::from(number) * PAGE_BYTES, Access::Write);
            self.machine.clear_page(page);
        }
        Ok(())
    }

    /// Notes that a block was joined: its large frame is gone, with all capabilities.
    pub(super) fn forget_copies(&mut self, block: PageIndex) {
        for held in &mut self.copy_slots {
            if *held == Held::Large(block) {
                *held = Held::Nothing;
            }
        }
    }

    /// Deletes both capabilities if there may be any, which also unmaps them. Empty slots are no
    /// error.
    pub(super) fn empty_copy_slots(&mut self) -> Result<(), Error> {
        let [source, target] = [End::Source, End::Target].map(|end| self.empty(end));
        source.and(target)
    }

    fn empty(&mut self, end: End) -> Result<(), Error> {
        if self.copy_slots[end as usize] == Held::Nothing {
            return Ok(());
        }
        let place = Place { index: COPY_PLACES[end as usize].slot, depth: ROOT_BITS };
        self.copy_slots[end as usize] = Held::Unknown;
        self.invoke(InvocationKind::Delete, LEAF_CNODE, &Invocation::Delete(place))?;
        self.copy_slots[end as usize] = Held::Nothing;
        Ok(())
    }

    /// Maps a frame by a copy of its capability.
    fn hold(&mut self, end: End, frame: PageIndex, vaddr: u64) -> Result<(), Error> {
        self.empty(end)?;
        let rights = match end {
            End::Source => CapRights::READ,
            End::Target => CapRights::ALL,
        };
        let slot = COPY_PLACES[end as usize].slot;
        let copy = Invocation::Transfer {
            to: Place { index: slot, depth: ROOT_BITS },
            from: self.home.object_source(frame),
            how: Transfer::Copy(rights),
        };
        self.copy_slots[end as usize] = Held::Unknown;
        self.invoke(InvocationKind::Copy, LEAF_CNODE, &copy)?;
        let map = Invocation::PageMap { vspace: vspace_address(VSpace::Own), vaddr, rights };
        self.invoke(InvocationKind::PageMap, slot << ROOT_SHIFT, &map)
    }

    /// Maps a large frame unless it is.
    fn hold_large(&mut self, end: End, large: PageIndex) -> Result<(), Error> {
        if self.copy_slots[end as usize] != Held::Large(large) {
            self.hold(end, large, COPY_PLACES[end as usize].large)?;
            self.copy_slots[end as usize] = Held::Large(large);
        }
        Ok(())
    }

    /// Copies pages from one address of pmserver's to another.
    fn copy_mapped(&mut self, from: u64, to: u64, count: u16) {
        for offset in (0..u64::from(count)).map(|number| number * PAGE_BYTES) {
            let from = self.own_page(from + offset, Access::Read);
            let to = self.own_page(to + offset, Access::Write);
            self.machine.copy_page(from, to);
        }
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
