// SPDX-License-Identifier: BSD-2-Clause
//! attach, detach: regions, runs of pages that pmserver maps when they are accessed (O18, R24).
//!
//! A region is a request to map that is carried out later. Only its form is checked when it is
//! made; everything else is checked at each access.

use pmserver_api::{AccessKind, ContainerHandle, Failure, MapFlags, PmError};
use proto::limits::{CALL_FRAMES_MAX, VSPACE_REGIONS_MAX};
use proto::{FrameNumber, PeerId, VirtAddr};

use crate::kernel::Kernel;
use crate::ops::Operations;
use crate::ops::map::{check_flags, last_page};
use crate::records::account::Shortage;
use crate::records::cell::Ref;
use crate::records::mapping::Mapping;
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

    fn remove_region(&mut self, peer: PeerId, region: Ref<Region>) {
        let key = self.store.get(region).last_page();
        let tree = self.peer(peer).vspace.regions;
        let tree = self.store.tree_remove(tree, key);
        let vspace = &mut self.peer_mut(peer).vspace;
        vspace.regions = tree;
        vspace.region_count.down();
        self.store.free(region);
    }

    /// Removes all regions of a peer.
    pub(crate) fn remove_regions(&mut self, peer: PeerId) {
        while let Some(region) = self.store.tree_next(self.peer(peer).vspace.regions, 0) {
            self.remove_region(peer, region);
        }
    }

    /// Returns the region that contains an address.
    pub(crate) fn find_region(&self, peer: PeerId, vaddr: VirtAddr) -> Option<Ref<Region>> {
        let tree = self.peer(peer).vspace.regions;
        let region = self.store.tree_next::<Region>(tree, vaddr.get())?;
        (self.store.get(region).first_page <= vaddr.get()).then_some(region)
    }

    /// Makes the mapping of a region's page that was accessed, if that is allowed. The access
    /// installs it.
    ///
    /// # Errors
    /// `NotFound` if no region is there; else as `map`.
    pub(super) fn map_in_region(
        &mut self,
        peer: PeerId,
        page: VirtAddr,
        kind: AccessKind,
    ) -> Result<Ref<Mapping>, Failure> {
        let region = self.find_region(peer, page).ok_or(PmError::NotFound)?;
        let region = *self.store.get(region);
        let number = region.frame_at(page.get()).ok_or(PmError::NotFound)?;
        let access = self.access(peer, region.container())?;
        let range = Range::one(number);
        self.check_map_rights(&access, range, region.flags())?;
        // Without FORCE_WRITE: only what the access needs happens now, and no lease that allows
        // the access is in the way.
        let flags = region.flags().difference(MapFlags::FORCE_WRITE);
        let needed = match kind {
            AccessKind::Write => flags,
            AccessKind::Read | AccessKind::Execute => {
                flags.difference(MapFlags::WRITE) | MapFlags::READ
            }
        };
        let result = self.map_lazily(peer, &access, number, page, needed);
        let mapping = result.or_else(|_| self.map_lazily(peer, &access, number, page, needed))?;
        self.store.get_mut(mapping).set_asked(flags);
        Ok(mapping)
    }
}
