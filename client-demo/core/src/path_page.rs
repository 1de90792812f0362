// SPDX-License-Identifier: BSD-2-Clause
//! The page in which fsserver is told paths. pmserver does not map it: the program is granted a
//! capability to the frame, and maps it by a call to the kernel.
//!
//! ```text
//!   allocate -> ensure_tables -> grant -> the kernel maps -> share, for reading
//!   unshare -> ungrant -> unmap (frees the page table) -> destroy
//! ```
//!
//! Most programs do not need this: [`ContainerRef::map`](pmserver_client::ContainerRef::map) is
//! one call, and pmserver repairs such a mapping when it is touched. A mapping by capability is
//! not repaired (PM-212), which has two consequences here:
//! - The share gives no right to lock: a lease of fsserver's would take the capability back, and
//!   the program would fault at the next path. fsserver needs no lock, as it copies a path before
//!   it looks at it.
//! - Nothing else is mapped in the 2 MiB around the page: pmserver frees a page table with the
//!   last mapping in it that it knows of, and it does not know of this one (PM-220).

use pmserver_client::{
    AddressSpace, Container, ContainerHandle, GrantMapper, Grants, MapFlags, Micros, PeerId, Pm,
    Rights, Share, ShareTerms, Transport,
};
use proto::limits::PATH_BYTES_MAX;

use crate::error::DemoError;
use crate::layout::PATH_PAGE;

/// The page, and what was made for it. Dropping it releases all but the page table.
pub(crate) struct PathPage<'pm, P: Transport> {
    // Fields are dropped in this order.
    share: Share<'pm, P>,
    grants: Grants<'pm, P>,
    container: Container<'pm, P>,
}

impl<'pm, P: Transport> PathPage<'pm, P> {
    /// Makes the page, maps it, and lets fsserver read it from then on.
    pub(crate) fn new(
        pm: &'pm Pm<P>,
        kernel: &mut impl GrantMapper,
        fsserver: PeerId,
    ) -> Result<Self, DemoError> {
        let container = pm.account().create_container()?;
        container.allocate(0..1)?;

        // The kernel maps a frame only where there is a page table already.
        pm.ensure_tables(PATH_PAGE.start(), PATH_PAGE.count())?;
        let grants = container.grant(0..1, MapFlags::READ | MapFlags::WRITE)?;
        let capability = grants.address(0).ok_or(DemoError::NoGrant)?;
        kernel
            .map_granted(capability, PATH_PAGE.start(), grants.rights())
            .map_err(DemoError::KernelRefused)?;

        let terms = ShareTerms {
            peer: fsserver,
            rights: Rights::READ,
            lease_max: Micros::new(0),
            once: false,
        };
        let share = container.share(0..1, terms)?;
        Ok(Self { share, grants, container })
    }

    /// Returns the handle by which fsserver reads it.
    pub(crate) const fn weak(&self) -> ContainerHandle {
        self.share.weak_handle()
    }

    /// Writes a path that is relative to the root as an absolute one; returns its length.
    pub(crate) fn write(
        &self,
        space: &mut impl AddressSpace,
        path: &[u8],
    ) -> Result<usize, DemoError> {
        let path_bytes = path.len().saturating_add(1);
        if path_bytes > PATH_BYTES_MAX {
            return Err(DemoError::PathTooLong);
        }
        PATH_PAGE.copy_out(space, b"/", 0)?;
        PATH_PAGE.copy_out(space, path, 1)?;
        Ok(path_bytes)
    }

    /// Writes two paths, one after the other; returns their lengths.
    pub(crate) fn write_two(
        &self,
        space: &mut impl AddressSpace,
        first: &[u8],
        second: &[u8],
    ) -> Result<(usize, usize), DemoError> {
        let (first_bytes, second_bytes) =
            (self.write(space, first)?, second.len().saturating_add(1));
        if first_bytes.saturating_add(second_bytes) > PATH_BYTES_MAX {
            return Err(DemoError::PathTooLong);
        }
        let at = u64::try_from(first_bytes).unwrap_or(u64::MAX);
        PATH_PAGE.copy_out(space, b"/", at)?;
        PATH_PAGE.copy_out(space, second, at.saturating_add(1))?;
        Ok((first_bytes, second_bytes))
    }

    /// Releases all that was made for it, and reports if something cannot be released.
    pub(crate) fn release(self, pm: &Pm<P>) -> Result<(), DemoError> {
        self.share.unshare()?;
        self.grants.ungrant()?;
        // pmserver has mapped nothing here, but the page table that it made goes.
        pm.unmap(PATH_PAGE.start(), PATH_PAGE.count())?;
        self.container.destroy()?;
        Ok(())
    }
}
