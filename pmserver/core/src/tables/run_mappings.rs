// SPDX-License-Identifier: BSD-2-Clause
//! Mappings of bound runs (`frames/bound_runs.rs`): 64 pages in one record, with one invocation for
//! each.
//!
//! What the masks of the record say is true of all pages, unless the kernel has refused a part of
//! it: then the record is *partial*, and says what may be true of some of them. They are made equal
//! again when it is installed the next time.

use pmserver_api::PmError;
use proto::{PAGE_BYTES, VirtAddr};

use crate::kernel::{CapRights, FrameCap, Kernel, KernelError, PageIndex, VSpace};
use crate::records::broken::broken;
use crate::records::cell::Ref;
use crate::records::frame::{Frame, RUN_ORDER};
use crate::records::id::{CLUSTER, Id};
use crate::records::mapping::{Installed, Mapping};
use crate::store::bound_runs::RunPages;
use crate::tables::Tables;

/// Bytes of a bound run.
pub(crate) const RUN_BYTES: u64 = PAGE_BYTES << RUN_ORDER;

/// The cells that a mapping of a run sets aside, for what it is split into: for all clusters but
/// the first, the node above them, and one node more where the tree forks.
pub(crate) const RUN_CELLS: u32 = 9;

/// The clusters of frames that a run is split into.
pub(crate) type Eighths = [Ref<Frame>; 8];

impl<K: Kernel> Tables<K> {
    /// Installs a mapping of a bound run with these rights.
    pub(super) fn install_run(
        &mut self,
        mapping: Ref<Mapping>,
        rights: Installed,
    ) -> Result<(), PmError> {
        let kernel = |_: KernelError| PmError::Kernel;
        let is_partial = self.store.get(mapping).is_partial();
        if is_partial && !self.store.get(mapping).is_original(0) {
            self.forget_caps_of_run(mapping).map_err(kernel)?;
        }
        let run = self.page_to_install(Id::first(mapping));
        if self.store.is_splitting(run) {
            return Err(PmError::Pending);
        }
        if !self.store.get(mapping).has_cap(0) {
            self.take_caps_of_run(mapping, run).map_err(kernel)?;
        }
        // Always unmap first: a future kernel forbids mapping over a mapped page (decision D8).
        self.suspend_run(mapping).map_err(kernel)?;
        let record = *self.store.get(mapping);
        let first = VirtAddr::new_page(record.vaddr()).ok_or(PmError::Invalid)?;
        let how = record.rights(rights);
        self.map_with_tables(record.peer(), record.run_cap(0, run), first, how)?;
        let place = VSpace::Peer(record.peer());
        let mut next = first.checked_add(PAGE_BYTES);
        let rest = self.each_page(&record, run, 1, |tables, cap| {
            let vaddr = next.ok_or(KernelError::Refused)?;
            next = vaddr.checked_add(PAGE_BYTES);
            tables.store.kernel.map_frame(cap, place, vaddr, how)
        });
        let record = self.store.get_mut(mapping);
        record.set_installed(1, rights);
        record.set_partial(rest.is_err());
        rest.map_err(kernel)
    }

    /// Does something with the capability of each page of a run, from one on.
    #[inline(always)]
    fn each_page(
        &mut self,
        record: &Mapping,
        run: PageIndex,
        from: u8,
        mut act: impl FnMut(&mut Self, FrameCap) -> Result<(), KernelError>,
    ) -> Result<(), KernelError> {
        let mut page = run;
        for index in 0..1 << RUN_ORDER {
            if index >= from {
                act(self, record.run_cap(index, page))?;
            }
            page = self.store.entry(page).next_in_run();
        }
        Ok(())
    }

    /// Gives a mapping of a run capabilities to its pages: the original ones if no other mapping
    /// has them, else ones that are derived into its slots.
    fn take_caps_of_run(
        &mut self,
        mapping: Ref<Mapping>,
        run: PageIndex,
    ) -> Result<(), KernelError> {
        let entry = self.store.entry_mut(run);
        if !entry.is_original_used() {
            entry.set_original_used(true);
            self.store.get_mut(mapping).set_caps(1, 1);
            return Ok(());
        }
        let record = *self.store.get(mapping);
        let mut page = run;
        let mut result = Ok(());
        for index in 0..1 << RUN_ORDER {
            result = self.store.kernel.derive(page, record.slot(index), CapRights::All);
            if result.is_err() {
                break;
            }
            page = self.store.entry(page).next_in_run();
        }
        let record = self.store.get_mut(mapping);
        record.set_caps(1, 0);
        record.set_partial(result.is_err());
        result.inspect_err(|_| {
            // If the kernel refuses that as well, it is done before they are made again.
            let _ = self.forget_caps_of_run(mapping);
        })
    }

    /// Unmaps a mapping of a run if it is installed. It keeps its capabilities.
    ///
    /// # Errors
    /// The kernel's error; some pages are installed then as they were.
    pub(super) fn suspend_run(&mut self, mapping: Ref<Mapping>) -> Result<(), KernelError> {
        let record = *self.store.get(mapping);
        if record.above(Installed::No) == 0 {
            return Ok(());
        }
        if record.is_partial() && !record.is_original(0) {
            // Some of the capabilities may be missing.
            return self.forget_caps_of_run(mapping);
        }
        let run = self.page_to_install(Id::first(mapping));
        let result =
            self.each_page(&record, run, 0, |tables, cap| tables.store.kernel.unmap_frame(cap));
        let record = self.store.get_mut(mapping);
        record.set_partial(result.is_err());
        if result.is_ok() {
            record.set_installed(1, Installed::No);
        }
        result
    }

    /// Unmaps a mapping of a run and takes its capabilities. It keeps its slots.
    ///
    /// # Errors
    /// As [`Self::suspend_run`].
    pub(super) fn forget_caps_of_run(&mut self, mapping: Ref<Mapping>) -> Result<(), KernelError> {
        let record = *self.store.get(mapping);
        let run = self.page_to_install(Id::first(mapping));
        if record.is_original(0) {
            self.suspend_run(mapping)?;
            self.store.entry_mut(run).set_original_used(false);
        } else {
            // Deleting a capability unmaps what was mapped with it. Some slots may be empty.
            for index in 0..1 << RUN_ORDER {
                let deleted = self.store.kernel.delete(record.slot(index));
                deleted.inspect_err(|_| self.store.get_mut(mapping).set_partial(true))?;
            }
        }
        let record = self.store.get_mut(mapping);
        record.clear_caps(1);
        record.set_partial(false);
        Ok(())
    }

    /// Replaces a mapping of a run, which is in no list of a frame or a share any more, by clusters
    /// of mappings of the frames that the run was split into. Nothing can fail: all is prepared.
    pub(crate) fn replace_run_mapping(
        &mut self,
        mapping: Ref<Mapping>,
        frames: &Eighths,
        pages: &RunPages,
    ) {
        let run = *self.store.get(mapping);
        let account = self.store.payer_of(mapping);
        let before = self.aside(account);
        self.take_out_of_tree(mapping);
        let mut pages = pages.iter();
        for (frame, place) in frames.iter().zip(0_u8..) {
            let part = run.eighth(place, frame.link());
            // The record becomes that of the first one.
            if place == 0 {
                self.become_part(account, mapping, part);
            } else {
                self.record_part(account, part);
            }
            for page in pages.by_ref().take(CLUSTER.into()).filter(|_| run.is_original(0)) {
                self.store.entry_mut(*page).set_original_used(true);
            }
        }
        let used = before.saturating_sub(self.aside(account));
        match RUN_CELLS.checked_sub(used) {
            Some(unused) => self.store.give_back(account, unused),
            None => broken("a run that has set too little aside"),
        }
    }
}
