// SPDX-License-Identifier: BSD-2-Clause
//! The capabilities of mappings: claimed, derived, unmapped, taken away.

use crate::kernel::{CapRights, FrameCap, Kernel, KernelError, PageIndex};
use crate::records::cell::Ref;
use crate::records::frame::Frame;
use crate::records::id::{FrameId, Id, MappingId, indices};
use crate::records::links::Link;
use crate::records::mapping::{Installed, Mapping};
use crate::records::share::Share;
use crate::tables::Tables;

impl<K: Kernel> Tables<K> {
    /// Gives a mapping a capability to a page.
    pub(super) fn take_cap(
        &mut self,
        mapping: MappingId,
        page: PageIndex,
    ) -> Result<(), KernelError> {
        let cap = self.claim_cap(mapping, page)?;
        let originals = if matches!(cap, FrameCap::Original(_)) { mapping.bit() } else { 0 };
        self.store.get_mut(mapping.record).set_caps(mapping.bit(), originals);
        Ok(())
    }

    /// Returns a capability to a page for a mapping: the original one if no other mapping has it,
    /// else one that is derived into its slot.
    #[inline]
    pub(crate) fn claim_cap(
        &mut self,
        mapping: MappingId,
        page: PageIndex,
    ) -> Result<FrameCap, KernelError> {
        let is_zero = page == self.store.zero;
        let entry = self.store.entry_mut(page);
        if !is_zero && !entry.is_original_used() {
            entry.set_original_used(true);
            return Ok(FrameCap::Original(page));
        }
        self.derive_for(mapping, page)
    }

    // Not inline: loops that claim original capabilities need all registers.
    #[inline(never)]
    fn derive_for(&mut self, mapping: MappingId, page: PageIndex) -> Result<FrameCap, KernelError> {
        let slot = self.store.get(mapping.record).slot(mapping.index);
        self.store.kernel.derive(page, slot, CapRights::All)?;
        Ok(FrameCap::Derived(slot))
    }

    /// Unmaps a mapping if it is installed. It keeps its capability.
    ///
    /// # Errors
    /// The kernel's error; it is installed then as it was.
    #[inline(always)]
    pub(crate) fn suspend_one(&mut self, mapping: MappingId) -> Result<(), KernelError> {
        let record = self.store.get(mapping.record);
        if record.installed(mapping.index) == Installed::No {
            return Ok(());
        }
        if record.is_run() {
            return self.suspend_run(mapping.record);
        }
        let cap = record.cap(mapping.index, self.page_to_install(mapping));
        self.store.kernel.unmap_frame(cap)?;
        self.store.get_mut(mapping.record).set_installed(mapping.bit(), Installed::No);
        Ok(())
    }

    /// Unmaps those mappings of a record that are in a mask. They keep their capabilities.
    ///
    /// # Errors
    /// The kernel's error; a mapping that it refuses is then installed as it was.
    pub(crate) fn suspend(&mut self, mapping: Ref<Mapping>, mask: u8) -> Result<(), KernelError> {
        let record = *self.store.get(mapping);
        let mask = mask & record.above(Installed::No);
        if record.is_run() && mask != 0 {
            return self.suspend_run(mapping);
        }
        let mut gone = 0;
        let mut indices = indices(mask);
        let result = indices.try_for_each(|index| {
            let page = self.page_to_install(Id::new(mapping, index));
            self.store.kernel.unmap_frame(record.cap(index, page))?;
            gone |= 1 << index;
            Ok(())
        });
        if gone != 0 {
            self.store.get_mut(mapping).set_installed(gone, Installed::No);
        }
        result
    }

    /// Unmaps those mappings of a record that are in a mask and takes their capabilities. They keep
    /// their slots.
    ///
    /// # Errors
    /// As [`Self::suspend`].
    pub(crate) fn forget_caps_of(
        &mut self,
        mapping: Ref<Mapping>,
        mask: u8,
    ) -> Result<(), KernelError> {
        let record = *self.store.get(mapping);
        if record.is_run() && mask & record.caps() != 0 {
            return self.forget_caps_of_run(mapping);
        }
        let mut gone = 0;
        let result = indices(mask & record.caps()).try_for_each(|index| {
            self.forget_cap(Id::new(mapping, index), &record)?;
            gone |= 1 << index;
            Ok(())
        });
        if gone != 0 {
            self.store.get_mut(mapping).clear_caps(gone);
        }
        result
    }

    #[inline]
    fn forget_cap(&mut self, mapping: MappingId, record: &Mapping) -> Result<(), KernelError> {
        if !record.is_original(mapping.index) {
            // Deleting a capability unmaps what was mapped with it.
            return self.store.kernel.delete(record.slot(mapping.index));
        }
        let page = self.page_to_install(mapping);
        if record.installed(mapping.index) != Installed::No {
            self.store.kernel.unmap_frame(FrameCap::Original(page))?;
        }
        self.store.entry_mut(page).set_original_used(false);
        Ok(())
    }

    /// Unmaps all mappings of some frames of a record and takes their capabilities; revokes their
    /// grants.
    pub(crate) fn forget_caps_in(
        &mut self,
        frame: Ref<Frame>,
        frames: u8,
    ) -> Result<(), KernelError> {
        self.each_mapping_of(frame, frames, |tables, mapping, mask| {
            let record = tables.store.get(mapping);
            if record.is_grant() {
                tables.remove_grants(mapping, mask)
            } else if record.caps() & mask != 0 {
                tables.forget_caps_of(mapping, mask)
            } else {
                Ok(())
            }
        })
    }

    /// The same for one frame.
    pub(crate) fn forget_caps(&mut self, frame: FrameId) -> Result<(), KernelError> {
        self.forget_caps_in(frame.record, frame.bit())
    }

    /// Reduces the mappings of some frames of a record made through the shares that `whose` selects
    /// to at most these rights. Grants with more rights are revoked.
    pub(crate) fn limit_mappings(
        &mut self,
        frame: Ref<Frame>,
        frames: u8,
        most: Installed,
        whose: impl Fn(Link<Share>) -> bool,
    ) -> Result<(), KernelError> {
        self.each_mapping_of(frame, frames, |tables, mapping, mask| {
            let record = *tables.store.get(mapping);
            let above = record.above(most) & mask;
            if above == 0 || !whose(record.share) {
                return Ok(());
            }
            if record.is_grant() {
                return tables.remove_grants(mapping, above);
            }
            let before = tables.store.meter().spent();
            tables.suspend(mapping, above)?;
            tables.store.meter().count_split(before);
            let above = if most > Installed::No { above } else { 0 };
            for index in indices(above & tables.store.get(mapping).caps()) {
                // If the kernel refuses, it is installed at the next access.
                let _ = tables.install(Id::new(mapping, index), most);
            }
            Ok(())
        })
    }
}
