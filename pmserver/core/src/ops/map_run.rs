// SPDX-License-Identifier: BSD-2-Clause
//! map for a run of 64: frames at an aligned number, at an aligned address, in one record of
//! mappings (decision 0041).
//!
//! Nobody asks for a bound run. A run is bound as a whole when all of it is given memory at once.
//! What stands in the way is no error: then the frames are mapped as clusters (`map_cluster.rs`).

use pmserver_api::{AccessKind, Failure, MapFlags, Mapped, PmError};
use proto::{PAGE_BYTES, PeerId, VirtAddr};

use crate::kernel::{Kernel, KernelError};
use crate::ops::Operations;
use crate::ops::map::installed_for;
use crate::records::account::Account;
use crate::records::cell::Ref;
use crate::records::failure::at_frame;
use crate::records::frame::RUN_PAGES;
use crate::records::id::Id;
use crate::records::lease::need_of;
use crate::records::links::link_of;
use crate::records::mapping::Mapping;
use crate::records::range::Range;
use crate::records::region::Region;
use crate::records::share::Access;
use crate::tables::run_mappings::RUN_BYTES;

/// The pages of a run, as a number of pages that a call has mapped.
#[allow(clippy::as_conversions)] // 64 is 64 everywhere.
const PAGES: u8 = RUN_PAGES as u8;

impl<K: Kernel> Operations<K> {
    /// Maps the first frames of a range together, as a run or those of a cluster. Returns how many;
    /// none if the first has to be mapped alone.
    ///
    /// # Errors
    /// Those of a run.
    pub(super) fn map_together(
        &mut self,
        peer: PeerId,
        access: &Access,
        place: (Range, VirtAddr),
        terms: (MapFlags, Option<Ref<Account>>),
        mapped: &mut Mapped,
    ) -> Result<u8, Failure> {
        match self.map_run(peer, access, place, terms, mapped)? {
            0 => Ok(self.map_cluster(peer, access, place, terms, mapped)),
            done => Ok(done),
        }
    }

    /// Maps the first frames of a range as a run, if they are one and an account pays for it.
    /// Returns how many; none if they have to be mapped otherwise.
    ///
    /// # Errors
    /// `Pending` if the call has no room for giving memory to a run. `TooMany` if the reply has no
    /// room. `Kernel` if the kernel refuses to take back what it has done in part.
    fn map_run(
        &mut self,
        peer: PeerId,
        access: &Access,
        (range, vaddr): (Range, VirtAddr),
        (flags, payer): (MapFlags, Option<Ref<Account>>),
        mapped: &mut Mapped,
    ) -> Result<u8, Failure> {
        let is_aligned = vaddr.get().is_multiple_of(RUN_BYTES);
        let Some((range, payer)) = range.run_after(0).zip(payer).filter(|_| is_aligned) else {
            return Ok(0);
        };
        let Some(run) = self.find_whole(access, range) else { return Ok(0) };
        let kernel = |_: KernelError| at_frame(PmError::Kernel, range.first);
        if self.check_leases(access, range, need_of(flags)).is_err()
            || !self.is_free_place(peer, vaddr, RUN_BYTES).map_err(kernel)?
        {
            return Ok(0);
        }
        let was_bound = self.store.get(run).is_bound_run();
        if !self.prepare_whole(access, run, flags)? {
            return Ok(0);
        }
        let frame = Id::first(run);
        let mapping = Mapping::new(frame, link_of(access.share), peer, vaddr, flags);
        let is_starved = self.store.is_starved;
        let Ok(mapping) = self.add_record(payer, mapping.of_run()) else {
            // Without quota for all, there may be some for single mappings.
            self.store.is_starved = is_starved;
            self.unbind_new(frame, was_bound);
            return Ok(0);
        };
        if self.count_with_tables(peer, vaddr, PAGES.into()).is_err() {
            self.remove_record(mapping);
            self.collect_tables(peer, vaddr.get());
            self.unbind_new(frame, was_bound);
            return Ok(0);
        }
        let rights = self.granted(frame, flags);
        let installed = self.install(Id::first(mapping), installed_for(rights));
        if installed.is_ok() && mapped.push_all(rights, RUN_PAGES) {
            return Ok(PAGES);
        }
        self.remove_mappings_in(mapping, 1).map_err(kernel)?;
        self.unbind_new(frame, was_bound);
        if installed.is_ok() { Err(PmError::TooMany.into()) } else { Ok(0) }
    }

    /// Maps the bound run of a region's page that was accessed, if its pages are all in the region.
    /// Returns whether it is mapped now, with what the access needs.
    pub(super) fn map_run_of_region(
        &mut self,
        peer: PeerId,
        (region, page): (&Region, VirtAddr),
        access: &Access,
        (flags, kind): (MapFlags, AccessKind),
    ) -> bool {
        let Some(number) = region.frame_at(page.get()) else { return false };
        let Some(frame) = self.find_id(access.container, number) else { return false };
        let record = self.store.get(frame.record);
        if !record.is_bound_run() {
            return false;
        }
        let range = record.range();
        let before = number.saturating_sub(range.first).saturating_mul(PAGE_BYTES);
        let first = page.get().checked_sub(before);
        let Some(vaddr) = first.and_then(VirtAddr::new_page) else { return false };
        let is_in_region = region.frame_at(vaddr.get()) == Some(range.first)
            && vaddr.get().saturating_add(RUN_BYTES - PAGE_BYTES) <= region.last_page();
        let payer = self.payer_of_clusters(peer, RUN_PAGES.into());
        let terms = (flags, payer);
        is_in_region
            && self.check_map_rights(access, range, flags).is_ok()
            && self.is_usual(access, number, flags, kind)
            && self.store.meter().begin_frame(0).is_ok()
            && self.map_run(peer, access, (range, vaddr), terms, &mut Mapped::default())
                == Ok(PAGES)
    }
}
