// SPDX-License-Identifier: BSD-2-Clause
//! What a caller does itself with the capabilities that `grant` has put into its CSpace.

use core::fmt;

use proto::VirtAddr;

use crate::flags::MapFlags;

/// A protection domain's own way to map what it was granted: through the kernel, not pmserver.
///
/// pmserver knows nothing of such a mapping. It takes it away with the grant, or with the page
/// table above it, and it does not bring it back: the next access there is a page fault of the
/// domain (PM-212).
pub trait GrantMapper {
    /// Maps the frame whose capability is at this address of the domain's CSpace at a page of its
    /// own address space. Of the rights those that the grant has are given.
    ///
    /// # Errors
    /// [`KernelRefused`] where there is no such grant, where the page table is missing
    /// (`ensure_tables` makes it), or where something is mapped there already.
    fn map_granted(
        &mut self,
        capability: u64,
        vaddr: VirtAddr,
        rights: MapFlags,
    ) -> Result<(), KernelRefused>;
}

/// The kernel has mapped nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelRefused;

impl fmt::Display for KernelRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the kernel refused")
    }
}
