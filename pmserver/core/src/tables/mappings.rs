// SPDX-License-Identifier: BSD-2-Clause
//! Mappings: found by their address, from their frame, and from the share that they were made
//! through; installed in page tables, with a capability and the rights of the moment; removed.
//!
//! A mapping is a promise that pmserver keeps when the page is accessed; what is installed is a
//! cache of it (R2). A mapping uses the page's original capability if no other mapping does, else a
//! derived capability in its slot. It has a slot from the beginning, so that what others do to the
//! page never makes it cost more.
//!
//! ```text
//!            install                      install, with other rights
//!   no cap ----------> installed, cap <--------------------------------+
//!      ^                 |       |  \__________________________________|
//!      | forget_cap      |       | suspend
//!      +-----------------+       v
//!      +------------------- cap alone
//! ```

use pmserver_api::PmError;
use proto::{PeerId, VirtAddr};

use crate::kernel::{CapRights, FrameCap, Kernel, KernelError, PageIndex, PageRights};
use crate::records::broken::broken;
use crate::records::cell::Ref;
use crate::records::count::minus;
use crate::records::frame::Frame;
use crate::records::links::Link;
use crate::records::mapping::{Installed, Mapping, MappingsOfFrame, MappingsOfShare};
use crate::records::region::Region;
use crate::records::share::Share;
use crate::tables::Tables;

/// Rights for mapping a page only to find out which tables are missing.
const PROBE: PageRights = PageRights { write: false, execute: false };

impl<K: Kernel> Tables<K> {
    /// Installs a mapping with these rights: of the frame's page or, if it has none, of the page of
    /// zeros.
    pub(crate) fn install(
        &mut self,
        mapping: Ref<Mapping>,
        rights: Installed,
    ) -> Result<(), PmError> {
        let kernel = |_: KernelError| PmError::Kernel;
        let page = self.page_to_install(mapping);
        if self.store.is_splitting(page) {
            return Err(PmError::Pending);
        }
        if self.store.get(mapping).page() != Some(page) {
            self.forget_cap(mapping).map_err(kernel)?;
            self.take_cap(mapping, page).map_err(kernel)?;
        }
        // Always unmap first: a future kernel forbids mapping over a mapped page (decision D8).
        self.suspend(mapping).map_err(kernel)?;
        let record = *self.store.get(mapping);
        let Some(vaddr) = VirtAddr::new_page(record.vaddr()) else { return Err(PmError::Invalid) };
        self.map_with_tables(record.peer(), record.cap(page), vaddr, record.rights(rights))?;
        self.store.get_mut(mapping).set_installed(rights);
        Ok(())
    }

    /// Returns whether a mapping is installed with exactly these rights, and shows what its frame
    /// has now.
    pub(crate) fn is_installed(&self, mapping: Ref<Mapping>, rights: Installed) -> bool {
        let record = self.store.get(mapping);
        record.installed() == rights && record.page() == Some(self.page_to_install(mapping))
    }

    fn page_to_install(&self, mapping: Ref<Mapping>) -> PageIndex {
        self.store.get(self.frame_of(mapping)).page().unwrap_or(self.store.zero)
    }

    /// Gives a mapping a capability to a page.
    fn take_cap(&mut self, mapping: Ref<Mapping>, page: PageIndex) -> Result<(), KernelError> {
        let is_original =
            page != self.store.zero && self.store.entry(page).original_user().is_none();
        if is_original {
            self.store.entry_mut(page).set_original_user(mapping.link());
        } else {
            let slot = self.store.get(mapping).slot();
            self.store.kernel.derive(page, slot, CapRights::All)?;
        }
        self.store.get_mut(mapping).set_cap(page, is_original);
        Ok(())
    }

    /// Unmaps a mapping. It keeps its capability.
    ///
    /// # Errors
    /// The kernel's error; the mapping is then installed as it was.
    pub(crate) fn suspend(&mut self, mapping: Ref<Mapping>) -> Result<(), KernelError> {
        let record = *self.store.get(mapping);
        if let (Some(page), true) = (record.page(), record.installed() != Installed::No) {
            self.store.kernel.unmap_frame(record.cap(page))?;
            self.store.get_mut(mapping).set_installed(Installed::No);
        }
        Ok(())
    }

    /// Unmaps a mapping and takes its capability. It keeps its slot.
    ///
    /// # Errors
    /// As [`Self::suspend`].
    pub(crate) fn forget_cap(&mut self, mapping: Ref<Mapping>) -> Result<(), KernelError> {
        let record = *self.store.get(mapping);
        let Some(page) = record.page() else { return Ok(()) };
        if record.is_original() {
            self.suspend(mapping)?;
            self.store.entry_mut(page).set_original_user(Link::NONE);
        } else {
            // Deleting a capability unmaps what was mapped with it.
            self.store.kernel.delete(record.slot())?;
        }
        let record = self.store.get_mut(mapping);
        record.set_cap(PageIndex::new(0), false);
        record.set_installed(Installed::No);
        Ok(())
    }

    /// Reduces the mappings of a frame made through the shares that `whose` selects to at most
    /// these rights. Grants with more rights are revoked.
    pub(crate) fn limit_mappings(
        &mut self,
        frame: Ref<Frame>,
        most: Installed,
        whose: impl Fn(Link<Share>) -> bool,
    ) -> Result<(), KernelError> {
        let mut next = self.store.get(frame).mappings.target();
        while let Some(mapping) = next {
            next = self.next_mapping(frame, mapping);
            let record = *self.store.get(mapping);
            if record.installed() <= most || !whose(record.share) {
                continue;
            }
            if record.is_grant() {
                self.remove_mapping(mapping)?;
            } else {
                self.suspend(mapping)?;
                if most > Installed::No {
                    // If the kernel refuses, it is installed at the next access.
                    let _ = self.install(mapping, most);
                }
            }
        }
        Ok(())
    }

    /// Unmaps the page of zeros if it is mapped as a probe. It belongs to pmserver: nothing of the
    /// caller depends on it.
    fn end_probe(&mut self) -> Result<(), PmError> {
        if self.is_probe_mapped {
            let probe = FrameCap::Original(self.store.zero);
            self.store.kernel.unmap_frame(probe).map_err(|_: KernelError| PmError::Kernel)?;
            self.is_probe_mapped = false;
        }
        Ok(())
    }

    /// Takes back what pmserver uses for a moment and the kernel refused to take back then: the
    /// probe, and capabilities for copying. What it refuses again is left for the next time.
    pub(crate) fn retry_refused(&mut self) {
        let _ = self.end_probe();
        let _ = self.store.kernel.end_copies();
    }

    /// Installs the page tables that are missing at an address and returns how many.
    ///
    /// # Errors
    /// `Occupied` if the lowest table came with the program: a page of the program may be there.
    pub(crate) fn ensure_tables_at(
        &mut self,
        peer: PeerId,
        vaddr: VirtAddr,
    ) -> Result<u64, PmError> {
        let is_large = |mapping: Ref<Mapping>| self.store.get(mapping).is_large();
        if self.lowest_table(peer, vaddr.get()).is_some()
            || self.find_mapping(peer, vaddr).is_some_and(is_large)
        {
            return Ok(0);
        }
        if self.is_of_program(peer, vaddr)? {
            return Err(PmError::Occupied);
        }
        // No lowest table is there, so the probe is mapped over nothing.
        let before = self.peer(peer).vspace.table_count.get();
        self.end_probe()?;
        self.map_with_tables(peer, FrameCap::Original(self.store.zero), vaddr, PROBE)?;
        self.is_probe_mapped = true;
        if let Err(error) = self.end_probe() {
            self.collect_tables(peer, vaddr.get());
            return Err(error);
        }
        Ok(minus(self.peer(peer).vspace.table_count.get(), before).into())
    }

    /// Links a mapping to its frame and to the share that it was made through.
    pub(crate) fn link_mapping(&mut self, mapping: Ref<Mapping>) {
        let frame = self.frame_of(mapping);
        let first = self.store.get(frame).mappings;
        let first = self.store.add_first::<MappingsOfFrame>(first, mapping);
        let record = self.store.get_mut(frame);
        record.mappings = first;
        record.mapping_count.up();
        self.tie(frame);
        let Some(share) = self.store.get(mapping).share.target() else { return };
        let first = self.store.get(share).mappings;
        let first = self.store.add_first::<MappingsOfShare>(first, mapping);
        self.store.get_mut(share).mappings = first;
    }

    /// Counts a mapping, a grant or a ring that a frame has got, with its container.
    pub(crate) fn tie(&mut self, frame: Ref<Frame>) {
        let container = self.store.container_of(frame);
        self.store.get_mut(container).ties.up();
    }

    /// Counts one that a frame has lost.
    pub(crate) fn untie(&mut self, frame: Ref<Frame>) {
        let container = self.store.container_of(frame);
        self.store.get_mut(container).ties.down();
    }

    pub(crate) fn frame_of(&self, mapping: Ref<Mapping>) -> Ref<Frame> {
        match self.store.get(mapping).frame.target() {
            Some(frame) => frame,
            None => broken("mapping without a frame"),
        }
    }

    pub(crate) fn find_mapping(&self, peer: PeerId, vaddr: VirtAddr) -> Option<Ref<Mapping>> {
        self.store.tree_get::<Mapping>(self.peer(peer).vspace.mappings, vaddr.get())
    }

    /// Returns the region that contains an address.
    pub(crate) fn find_region(&self, peer: PeerId, vaddr: VirtAddr) -> Option<Ref<Region>> {
        let tree = self.peer(peer).vspace.regions;
        let region = self.store.tree_next::<Region>(tree, vaddr.get())?;
        (self.store.get(region).first_page <= vaddr.get()).then_some(region)
    }

    /// Removes a mapping or a grant. When this succeeds, the peer's next access through it faults.
    ///
    /// # Errors
    /// The kernel's error; the mapping is then as it was.
    pub(crate) fn remove_mapping(&mut self, mapping: Ref<Mapping>) -> Result<(), KernelError> {
        if self.store.get(mapping).is_grant() {
            return self.remove_grant(mapping);
        }
        self.forget_cap(mapping)?;
        let record = *self.store.get(mapping);
        let peer = record.peer();
        if record.is_large() {
            self.remove_large(mapping);
            if record.is_counted() {
                self.count_large(peer, record.vaddr(), false);
            }
            self.collect_tables(peer, record.vaddr());
            return Ok(());
        }
        self.store.free_slot(record.slot());
        let tree = self.store.tree_remove(self.peer(peer).vspace.mappings, record.vaddr());
        self.peer_mut(peer).vspace.mappings = tree;
        self.unlink_mapping(mapping);
        self.store.free(mapping);
        self.count_mapping(peer, record.vaddr(), false);
        self.collect_tables(peer, record.vaddr());
        Ok(())
    }

    /// Removes a mapping from the lists of its frame and its share.
    pub(crate) fn unlink_mapping(&mut self, mapping: Ref<Mapping>) {
        let frame = self.frame_of(mapping);
        let first = self.store.get(frame).mappings;
        let first = self.store.remove_from_chain::<MappingsOfFrame>(first, mapping);
        let record = self.store.get_mut(frame);
        record.mappings = first;
        record.mapping_count.down();
        self.untie(frame);
        let Some(share) = self.store.get(mapping).share.target() else { return };
        let first = self.store.get(share).mappings;
        let first = self.store.remove_from_chain::<MappingsOfShare>(first, mapping);
        self.store.get_mut(share).mappings = first;
    }

    /// Returns the mapping of a frame after one that may be removed now.
    pub(crate) fn next_mapping(
        &self,
        frame: Ref<Frame>,
        mapping: Ref<Mapping>,
    ) -> Option<Ref<Mapping>> {
        self.store.next_of::<MappingsOfFrame>(self.store.get(frame).mappings, mapping)
    }

    /// Removes the mappings and grants of a frame that were made through the shares that `goes`
    /// selects.
    pub(crate) fn remove_mappings(
        &mut self,
        frame: Ref<Frame>,
        goes: impl Fn(Link<Share>) -> bool,
    ) -> Result<(), KernelError> {
        let mut next = self.store.get(frame).mappings.target();
        while let Some(mapping) = next {
            next = self.next_mapping(frame, mapping);
            if goes(self.store.get(mapping).share) {
                self.remove_mapping(mapping)?;
            }
        }
        Ok(())
    }
}
