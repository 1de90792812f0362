// SPDX-License-Identifier: BSD-2-Clause
//! Regions: runs of pages that pmserver maps as they are touched (protocol O18, R24).
//!
//! A region is a request to map that has not been carried out yet: nothing of it is checked before
//! the access but its form, and nothing of it is installed.

use pmserver_api::{ContainerHandle, Failure, MapFlags, PmError};
use proto::limits::{CALL_FRAMES_MAX, VSPACE_REGIONS_MAX};
use proto::{FrameNumber, PAGE_BYTES, PeerId, VirtAddr};

use crate::accounts::account::Shortage;
use crate::containers::range::Range;
use crate::kernel::Kernel;
use crate::mappings::mapping::{check_flags, last_page};
use crate::mappings::objects::{Mapping, Region};
use crate::memory::records::Ref;
use crate::server::Server;

impl<K: Kernel> Server<K> {
    /// Names a region of the caller's VSpace.
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
        if let Some(region) = self.pool.tree_next::<Region>(regions, first) {
            let other = self.pool.get(region).first_page;
            if other <= last {
                return Err(Failure { error: PmError::Occupied, done: 0, at: other });
            }
        }
        if self.peer(caller).vspace.region_count >= VSPACE_REGIONS_MAX {
            return Err(PmError::TooMany.into());
        }
        let account = self.table_account(caller)?;
        let region = Region::new((first, last), container, start, flags);
        let region = self.pool.alloc(account, region).map_err(Shortage::as_table_quota)?;
        match self.pool.tree_insert(account, regions, region) {
            Ok(tree) => {
                let vspace = &mut self.peer_mut(caller).vspace;
                vspace.regions = tree;
                vspace.region_count = vspace.region_count.saturating_add(1);
                Ok(())
            }
            Err(shortage) => {
                self.pool.free(region);
                Err(shortage.as_table_quota().into())
            }
        }
    }

    /// Ends the region that begins at an address, and what is mapped in it.
    pub(crate) fn detach(&mut self, caller: PeerId, vaddr: VirtAddr) -> Result<(), Failure> {
        let missing = Failure { error: PmError::NotFound, done: 0, at: vaddr.get() };
        let region = self.find_region(caller, vaddr).ok_or(missing)?;
        let record = *self.pool.get(region);
        if record.first_page != vaddr.get() {
            return Err(missing);
        }
        let pages = (record.first_page, record.last_page());
        let done = self.unmap_range(caller, pages, CALL_FRAMES_MAX)?;
        if done == CALL_FRAMES_MAX {
            return Err(Failure { error: PmError::Pending, done, at: 0 });
        }
        self.remove_region(caller, region);
        Ok(())
    }

    fn remove_region(&mut self, peer: PeerId, region: Ref<Region>) {
        let key = self.pool.get(region).last_page();
        let tree = self.pool.tree_remove(self.peer(peer).vspace.regions, key);
        let vspace = &mut self.peer_mut(peer).vspace;
        vspace.regions = tree;
        vspace.region_count = vspace.region_count.saturating_sub(1);
        self.pool.free(region);
    }

    /// Ends all regions of a peer.
    pub(crate) fn remove_regions(&mut self, peer: PeerId) {
        while let Some(region) = self.pool.tree_next(self.peer(peer).vspace.regions, 0) {
            self.remove_region(peer, region);
        }
    }

    /// Returns the region that an address lies in.
    fn find_region(&self, peer: PeerId, vaddr: VirtAddr) -> Option<Ref<Region>> {
        let tree = self.peer(peer).vspace.regions;
        let region = self.pool.tree_next::<Region>(tree, vaddr.get())?;
        (self.pool.get(region).first_page <= vaddr.get()).then_some(region)
    }

    /// Maps the frame that a region has at a page, where that can be done.
    pub(crate) fn map_in_region(&mut self, peer: PeerId, page: VirtAddr) -> Option<Ref<Mapping>> {
        let region = *self.pool.get(self.find_region(peer, page)?);
        let index = page.get().checked_sub(region.first_page)? / PAGE_BYTES;
        let number = region.start.checked_add(index)?;
        let access = self.access(peer, region.container()).ok()?;
        let range = Range { first: number, last: number };
        self.check_map_rights(&access, range, region.flags()).ok()?;
        // What is asked for at once is what the access needs, not what FORCE_WRITE would.
        let flags = region.flags().difference(MapFlags::FORCE_WRITE);
        let result = self.map_one(peer, &access, number, page, flags);
        result.or_else(|_| self.map_one(peer, &access, number, page, flags)).ok()?;
        self.find_mapping(peer, page)
    }
}
