// SPDX-License-Identifier: BSD-2-Clause
//! Copies a page to another. Both are mapped for the time of the copy by copied capabilities, so
//! that other mappings of the pages do not change.

use pmserver_core::PageIndex;
use pmserver_core::kernel::VSpace;

use super::home::{COPY_PLACES, CopyPlace};
use super::{InvocationKind, SimKernel, vspace_address};
use crate::loader::{LEAF_CNODE, ROOT_BITS, ROOT_SHIFT};
use crate::machine::{CapRights, Error, Invocation, PAGE_BYTES, Place, Transfer};

impl SimKernel {
    /// Copies the contents of one frame to another.
    pub(super) fn copy_contents(&mut self, from: PageIndex, to: PageIndex) -> Result<(), Error> {
        self.empty_copy_slots()?;
        let copied = self.copy_mapped(from, to);
        // If the slots stay full they are emptied by the next copy: this one is done.
        let _ = self.empty_copy_slots();
        copied
    }

    fn copy_mapped(&mut self, from: PageIndex, to: PageIndex) -> Result<(), Error> {
        let [source, target] = COPY_PLACES;
        self.map_for_copy(from, &source, CapRights::READ)?;
        self.map_for_copy(to, &target, CapRights::ALL)?;
        let mut contents = [0; PAGE_BYTES as usize];
        let loaded = self.load(VSpace::Own, source.vaddr, &mut contents);
        let stored = self.store(VSpace::Own, &contents, target.vaddr);
        loaded.and(stored).expect("both were mapped above");
        Ok(())
    }

    fn map_for_copy(
        &mut self,
        page: PageIndex,
        place: &CopyPlace,
        rights: CapRights,
    ) -> Result<(), Error> {
        let copy = Invocation::Transfer {
            to: Place { index: place.slot, depth: ROOT_BITS },
            from: self.home.object_source(page),
            how: Transfer::Copy(rights),
        };
        self.copy_slots_are_dirty = true;
        self.invoke(InvocationKind::Copy, LEAF_CNODE, &copy)?;
        let vspace = vspace_address(VSpace::Own);
        let map = Invocation::PageMap { vspace, vaddr: place.vaddr, rights };
        self.invoke(InvocationKind::PageMap, place.slot << ROOT_SHIFT, &map)
    }

    /// Deletes both capabilities if there may be any, which also unmaps them. Empty slots are no
    /// error.
    pub(super) fn empty_copy_slots(&mut self) -> Result<(), Error> {
        if !self.copy_slots_are_dirty {
            return Ok(());
        }
        let [first, second] = COPY_PLACES.map(|place| {
            let delete = Invocation::Delete(Place { index: place.slot, depth: ROOT_BITS });
            self.invoke(InvocationKind::Delete, LEAF_CNODE, &delete)
        });
        self.copy_slots_are_dirty = first.is_err() || second.is_err();
        first.and(second)
    }
}
