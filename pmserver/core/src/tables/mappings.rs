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

use crate::kernel::{FrameCap, Kernel, KernelError, PageIndex, PageRights};
use crate::records::cell::Ref;
use crate::records::count::minus;
use crate::records::frame::Frame;
use crate::records::id::{FrameId, Id, MappingId};
use crate::records::mapping::{Installed, Mapping, MappingsOfFrame, MappingsOfShare};
use crate::records::region::Region;
use crate::tables::Tables;
use crate::tables::clusters::aside_of;

/// Rights for mapping a page only to find out which tables are missing.
const PROBE: PageRights = PageRights { write: false, execute: false };

impl<K: Kernel> Tables<K> {
    /// Installs a mapping with these rights: of the frame's page or, if it has none, of the page of
    /// zeros.
    pub(crate) fn install(&mut self, mapping: MappingId, rights: Installed) -> Result<(), PmError> {
        let kernel = |_: KernelError| PmError::Kernel;
        if self.store.get(mapping.record).is_run() {
            return self.install_run(mapping.record, rights);
        }
        let page = self.page_to_install(mapping);
        if self.store.is_splitting(page) {
            return Err(PmError::Pending);
        }
        if !self.store.get(mapping.record).has_cap(mapping.index) {
            self.take_cap(mapping, page).map_err(kernel)?;
        }
        // Always unmap first: a future kernel forbids mapping over a mapped page (decision D8).
        self.suspend_one(mapping).map_err(kernel)?;
        self.put_in(mapping, page, rights)
    }

    /// Installs a mapping that is not, with the capability to a page that it has.
    #[inline(always)]
    pub(crate) fn put_in(
        &mut self,
        mapping: MappingId,
        page: PageIndex,
        rights: Installed,
    ) -> Result<(), PmError> {
        let record = self.store.get(mapping.record);
        let vaddr = VirtAddr::new_page(record.vaddr_of(mapping.index)).ok_or(PmError::Invalid)?;
        let cap = record.cap(mapping.index, page);
        let (peer, how) = (record.peer(), record.rights(rights));
        self.map_with_tables(peer, cap, vaddr, how)?;
        self.store.get_mut(mapping.record).set_installed(mapping.bit(), rights);
        Ok(())
    }

    pub(super) fn page_to_install(&self, mapping: MappingId) -> PageIndex {
        self.store.page_of(self.frame_of(mapping)).unwrap_or(self.store.zero)
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

    /// Installs the page tables that are missing at an address, and counts new mappings in the
    /// lowest one.
    ///
    /// # Errors
    /// As [`Self::ensure_tables_at`]; nothing is counted then.
    pub(crate) fn count_with_tables(
        &mut self,
        peer: PeerId,
        vaddr: VirtAddr,
        count: u32,
    ) -> Result<(), PmError> {
        if self.count_mappings(peer, vaddr.get(), count).is_none() {
            self.ensure_tables_at(peer, vaddr)?;
            self.count_mappings(peer, vaddr.get(), count);
        }
        Ok(())
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
        let is_large = |mapping: MappingId| self.store.get(mapping.record).is_large();
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

    /// Links a record of mappings to that of their frames, or of their opened cluster.
    #[inline(always)]
    pub(crate) fn link_to_frame(&mut self, mapping: Ref<Mapping>) {
        let frame = self.store.get(mapping).frame(0).record;
        let first = self.store.get(frame).mappings;
        let first = self.store.add_first::<MappingsOfFrame>(first, mapping);
        let record = self.store.get_mut(frame);
        record.mappings = first;
        record.mapping_count.up();
        self.tie(frame);
    }

    /// Removes a record of mappings from the list of that.
    #[inline(always)]
    pub(crate) fn unlink_from_frame(&mut self, mapping: Ref<Mapping>) {
        let frame = self.store.get(mapping).frame(0).record;
        let first = self.store.get(frame).mappings;
        let first = self.store.remove_from_chain::<MappingsOfFrame>(first, mapping);
        let record = self.store.get_mut(frame);
        record.mappings = first;
        record.mapping_count.down();
        self.untie(frame);
    }

    /// Links a record of mappings to that of their frames and to the share that they were made
    /// through.
    pub(crate) fn link_mapping(&mut self, mapping: Ref<Mapping>) {
        self.link_to_frame(mapping);
        let Some(share) = self.store.get(mapping).share.target() else { return };
        let first = self.store.get(share).mappings;
        let first = self.store.add_first::<MappingsOfShare>(first, mapping);
        self.store.get_mut(share).mappings = first;
    }

    /// Counts a record of mappings, a grant or a ring that a frame has got, with its container.
    pub(crate) fn tie(&mut self, frame: Ref<Frame>) {
        let container = self.store.container_of(frame);
        self.store.get_mut(container).ties.up();
    }

    /// Counts one that a frame has lost.
    pub(crate) fn untie(&mut self, frame: Ref<Frame>) {
        let container = self.store.container_of(frame);
        self.store.get_mut(container).ties.down();
    }

    /// Returns the frame of a mapping.
    #[inline(always)]
    pub(crate) fn frame_of(&self, mapping: MappingId) -> FrameId {
        let record = self.store.get(mapping.record);
        let frame = record.frame(mapping.index);
        if record.is_opened() { self.store.opened(frame) } else { frame }
    }

    pub(crate) fn find_mapping(&self, peer: PeerId, vaddr: VirtAddr) -> Option<MappingId> {
        self.mapping_at(self.find_record(peer, vaddr)?, vaddr)
    }

    /// Returns the mapping of a record at an address that it covers.
    pub(crate) fn mapping_at(&self, record: Ref<Mapping>, vaddr: VirtAddr) -> Option<MappingId> {
        let mapping = self.store.get(record);
        let index = mapping.index_at(vaddr.get());
        mapping.has_at(vaddr.get()).then_some(Id::new(record, index))
    }

    /// Returns the record of mappings that an address is in, whether or not that page is mapped.
    pub(crate) fn find_record(&self, peer: PeerId, vaddr: VirtAddr) -> Option<Ref<Mapping>> {
        self.store.tree_get::<Mapping>(self.peer(peer).vspace.mappings, vaddr.get())
    }

    /// Returns the region that contains an address.
    pub(crate) fn find_region(&self, peer: PeerId, vaddr: VirtAddr) -> Option<Ref<Region>> {
        let tree = self.peer(peer).vspace.regions;
        let region = self.store.tree_next::<Region>(tree, vaddr.get())?;
        (self.store.get(region).first_page <= vaddr.get()).then_some(region)
    }

    /// Returns how many mappings and grants a frame has.
    pub(crate) fn count_mappings_of(&self, frame: FrameId) -> u16 {
        let of = |frame: FrameId| {
            let mappings = self.store.get(frame.record).mappings;
            let mappings = self.store.chain::<MappingsOfFrame>(mappings);
            let mappings = mappings.map(|mapping| self.store.get(mapping));
            mappings.filter(|of| of.of(frame.bit()) != 0 && !of.is_kept()).count()
        };
        let count: usize = self.store.names(frame).map(of).sum();
        u16::try_from(count).unwrap_or(u16::MAX)
    }

    /// Removes a mapping or a grant. When this succeeds, the peer's next access through it faults.
    ///
    /// # Errors
    /// The kernel's error; the mapping is then as it was.
    pub(crate) fn remove_mapping(&mut self, mapping: MappingId) -> Result<(), KernelError> {
        self.remove_mappings_in(mapping.record, mapping.bit())
    }

    /// Removes those mappings of a record that are in a mask. The record goes with the last one.
    ///
    /// # Errors
    /// The kernel's error; all are still there then, and those that are not installed are restored
    /// when they are accessed.
    pub(crate) fn remove_mappings_in(
        &mut self,
        mapping: Ref<Mapping>,
        mask: u8,
    ) -> Result<(), KernelError> {
        if self.store.get(mapping).is_grant() {
            return self.remove_grants(mapping, mask);
        }
        let mask = if self.store.get(mapping).is_whole() { 1 } else { mask };
        self.forget_caps_of(mapping, mask)?;
        let record = *self.store.get(mapping);
        let peer = record.peer();
        let left = record.present() & !mask;
        self.store.get_mut(mapping).set_present(left);
        if left == 0 {
            self.remove_record(mapping);
        }
        if !record.is_large() {
            self.count_gone(peer, record.vaddr(), (0, record.pages_of(mask)));
        } else if record.is_counted() {
            self.count_gone(peer, record.vaddr(), (1, 1));
        } else {
            self.collect_tables(peer, record.vaddr());
        }
        Ok(())
    }

    /// Removes a record of mappings or grants without capabilities, and refunds what it has set
    /// aside.
    pub(crate) fn remove_record(&mut self, mapping: Ref<Mapping>) {
        let account = self.store.payer_of(mapping);
        let (cells, objects) = aside_of(self.store.get(mapping));
        self.unlink_mapping(mapping);
        self.free_record(mapping);
        if cells > 0 {
            self.store.give_back_with(account, cells, objects);
        }
    }

    /// Frees a record of mappings that is in no list any more, and its slots.
    #[inline(always)]
    pub(super) fn free_record(&mut self, mapping: Ref<Mapping>) {
        let record = self.store.get(mapping);
        if !record.is_grant() {
            let (slot, slots) = (record.first_slot(), record.slots());
            self.store.free_slots(slot, slots);
        }
        self.take_out_of_tree(mapping);
        self.forget_kept(mapping);
        self.store.free(mapping);
    }

    /// Takes a record of mappings out of the VSpace that it is in, or out of the grants.
    #[inline(always)]
    pub(super) fn take_out_of_tree(&mut self, mapping: Ref<Mapping>) {
        let record = self.store.get(mapping);
        let (peer, is_grant) = (record.peer(), record.is_grant());
        let tree = self.peer(peer).vspace.tree(is_grant);
        let tree = self.store.tree_remove(tree, mapping);
        *self.peer_mut(peer).vspace.tree_mut(is_grant) = tree;
    }

    /// Removes a record of mappings from the lists of its frame and its share.
    pub(crate) fn unlink_mapping(&mut self, mapping: Ref<Mapping>) {
        self.unlink_from_frame(mapping);
        let Some(share) = self.store.get(mapping).share.target() else { return };
        let first = self.store.get(share).mappings;
        let first = self.store.remove_from_chain::<MappingsOfShare>(first, mapping);
        self.store.get_mut(share).mappings = first;
    }

    /// Returns the record of mappings of a frame after one that may be removed now.
    pub(crate) fn next_mapping(
        &self,
        frame: Ref<Frame>,
        mapping: Ref<Mapping>,
    ) -> Option<Ref<Mapping>> {
        self.store.next_of::<MappingsOfFrame>(self.store.get(frame).mappings, mapping)
    }

    /// Removes all mappings and grants of some frames of a record.
    pub(crate) fn remove_mappings(
        &mut self,
        frame: Ref<Frame>,
        frames: u8,
    ) -> Result<(), KernelError> {
        self.each_mapping_of(frame, frames, |tables, mapping, mask| {
            tables.remove_mappings_in(mapping, mask)
        })
    }

    /// Does something with each record that has mappings or grants of some frames of a record,
    /// given which of its mappings are of those. It may remove it.
    #[inline(always)]
    pub(crate) fn each_mapping_of(
        &mut self,
        frame: Ref<Frame>,
        frames: u8,
        mut act: impl FnMut(&mut Self, Ref<Mapping>, u8) -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        let mut list = Some((frame, frames));
        while let Some((frame, frames)) = list {
            let record = self.store.get(frame);
            list = record.name_in_cluster().map(|name| (name.record, name.bit()));
            let mut next = record.mappings.target();
            while let Some(mapping) = next {
                next = self.next_mapping(frame, mapping);
                let mask = self.store.get(mapping).of(frames);
                if mask != 0 {
                    act(self, mapping, mask)?;
                }
            }
        }
        Ok(())
    }
}
