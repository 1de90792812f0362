// SPDX-License-Identifier: BSD-2-Clause
//! The page through which fsserver is told paths: a frame that the client was granted and maps
//! itself (protocol O25), where pmserver maps all else.
//!
//! ```text
//!   allocate -> tables -> grant -> map: the kernel, not pmserver -> share, for reading
//!   unshare -> ungrant -> tables -> destroy
//! ```
//!
//! A grant that was taken back does not come back by itself (PM-212): the next path would stop the
//! client. So the share gives fsserver no right to lock, which is what would take it back; fsserver
//! needs none, as it copies a path before it looks at it. And the page has a page table that
//! nothing else is mapped in: pmserver takes one away with the last mapping that it knows of
//! (PM-220), and of this one it knows nothing.

use pmserver_api::{
    AccountHandle, AllocateFlags, ContainerHandle, GrantMapper, MapFlags, Rights, ShareHandle,
};
use proto::limits::PATH_BYTES_MAX;
use proto::{AddressSpace, FrameCount, FrameNumber, Micros, PeerId, Transport, VirtAddr};

use crate::error::DemoError;

/// Where it is mapped.
pub const PATH_VADDR: u64 = 0x1040_0000;

/// The page, and what was made for it. To be given back by [`PathPage::give_back`].
pub(crate) struct PathPage {
    vaddr: VirtAddr,
    container: ContainerHandle,
    capability: u64,
    share: ShareHandle,
    weak: ContainerHandle,
}

impl PathPage {
    /// Makes the page, maps it, and lets fsserver read it from then on.
    pub(crate) fn new<T: Transport>(
        pm: &mut pmserver_api::Calls<T>,
        grants: &mut impl GrantMapper,
        fsserver: PeerId,
    ) -> Result<Self, DemoError> {
        let failed = |error| DemoError::Pm("making the page for paths", error);
        let vaddr = VirtAddr::new_page(PATH_VADDR).ok_or(DemoError::Layout)?;
        let (start, rights) = (FrameNumber::new(0), MapFlags::READ | MapFlags::WRITE);
        let container = pm.container_create(AccountHandle::OWN).map_err(failed)?;
        pm.allocate(container, start, FrameCount::ONE, AllocateFlags::empty()).map_err(failed)?;
        pm.ensure_tables(vaddr, FrameCount::ONE).map_err(failed)?;
        let granted = pm.grant(container, start, FrameCount::ONE, rights).map_err(failed)?;
        let capability = granted.address;
        grants.map_granted(capability, vaddr, granted.rights).map_err(DemoError::Grant)?;
        let no_lease = Micros::new(0);
        let shared =
            pm.share(container, start, 1, fsserver, Rights::READ, no_lease).map_err(failed)?;
        Ok(Self { vaddr, container, capability, share: shared.share, weak: shared.weak })
    }

    /// Returns the handle by which fsserver reads it.
    pub(crate) const fn weak(&self) -> ContainerHandle {
        self.weak
    }

    /// Writes a path that is relative to the root as an absolute one; returns how long that is.
    pub(crate) fn write(
        &self,
        space: &mut impl AddressSpace,
        path: &[u8],
    ) -> Result<usize, DemoError> {
        let path_bytes = path.len().saturating_add(1);
        if path_bytes > PATH_BYTES_MAX {
            return Err(DemoError::PathTooLong);
        }
        space.copy_out(b"/", self.vaddr);
        space.copy_out(path, self.vaddr.checked_add(1).ok_or(DemoError::Layout)?);
        Ok(path_bytes)
    }

    /// Gives back what was made for it.
    pub(crate) fn give_back<T: Transport>(
        self,
        pm: &mut pmserver_api::Calls<T>,
    ) -> Result<(), DemoError> {
        let failed = |error| DemoError::Pm("giving the page for paths back", error);
        pm.unshare(self.share).map_err(failed)?;
        pm.ungrant(self.capability, FrameCount::ONE).map_err(failed)?;
        // pmserver has mapped nothing here; the page table goes.
        pm.unmap(self.vaddr, FrameCount::ONE).map_err(failed)?;
        pm.container_destroy(self.container).map_err(failed)
    }
}
