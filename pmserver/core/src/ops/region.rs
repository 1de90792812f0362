// SPDX-License-Identifier: BSD-2-Clause
//! attach, detach: regions, runs of pages that pmserver maps when they are accessed (O18, R24).
//!
//! A region is a request to map that is carried out later. Only its form is checked when it is
//! made; everything else is checked at each access (`ops/repair.rs`).

use pmserver_api::{ContainerHandle, Failure, MapFlags, PmError};
use proto::limits::{CALL_FRAMES_MAX, VSPACE_REGIONS_MAX};
use proto::{FrameNumber, PeerId, VirtAddr};

use crate::kernel::Kernel;
use crate::ops::Operations;
use crate::ops::map::{check_flags, last_page};
use crate::records::account::Shortage;
use crate::records::range::Range;
use crate::records::region::Region;

impl<K: Kernel> Operations<K> {
    /// Makes a region in the caller's VSpace.
    #[inline(never)]
    pub(crate) fn attach(
        &mut self,
        caller: PeerId,
        (container, start): (ContainerHandle, FrameNumber),
        vaddr: VirtAddr,
        count: u32,
        flags: MapFlags,
    ) -> Result<(), Failure> {
        let access = self.access(caller, container)?;
        let range = Range::new(start, count.into()).ok_or(PmError::Invalid)?;
        self.check_right_to(&access, range, flags)?;
        check_flags(flags)?;
        let (first, last) = (vaddr.get(), last_page(vaddr, count.into())?.get());
        self.check_revoking(&access)?;
        let regions = self.peer(caller).vspace.regions;
        if let Some(region) = self.store.tree_next::<Region>(regions, first) {
            let other = self.store.get(region).first_page;
            if other <= last {
                return Err(Failure { error: PmError::Occupied, done: 0, at: other });
            }
        }
        if self.peer(caller).vspace.region_count.get() >= VSPACE_REGIONS_MAX {
            return Err(PmError::TooMany.into());
        }
        let account = self.table_account(caller)?;
        let region = Region::new((first, last), container, start, flags);
        let region = self.store.alloc(account, region).map_err(Shortage::as_table_quota)?;
        match self.store.tree_insert(account, regions, region) {
            Ok(tree) => {
                let vspace = &mut self.peer_mut(caller).vspace;
                vspace.regions = tree;
                vspace.region_count.up();
                Ok(())
            }
            Err(shortage) => {
                self.store.free(region);
                Err(shortage.as_table_quota().into())
            }
        }
    }

    /// Removes the region that begins at an address, and its mappings.
    #[inline(never)]
    pub(crate) fn detach(&mut self, caller: PeerId, vaddr: VirtAddr) -> Result<(), Failure> {
        let missing = Failure { error: PmError::NotFound, done: 0, at: vaddr.get() };
        let region = self.find_region(caller, vaddr).ok_or(missing)?;
        let record = *self.store.get(region);
        if record.first_page != vaddr.get() {
            return Err(missing);
        }
        let pages = (record.first_page, record.last_page());
        self.unmap_range(caller, pages, CALL_FRAMES_MAX)?;
        self.remove_region(caller, region);
        Ok(())
    }
}
