// SPDX-License-Identifier: BSD-2-Clause
//! How a caller itself maps frames to which `grant` gave it capabilities.

use core::fmt;

use proto::VirtAddr;

use crate::flags::MapFlags;

/// Maps granted frames by a kernel invocation of the protection domain itself.
///
/// pmserver does not know such a mapping. It disappears when the grant, or the page table above it,
/// is taken away, and it is not restored: the next access there faults (PM-212).
pub trait GrantMapper {
    /// Maps the frame whose capability has this address in the domain's CSpace at a page of its own
    /// address space, with those of the rights that the grant has.
    ///
    /// # Errors
    /// [`KernelRefused`] if there is no such grant, if the page table is missing (`ensure_tables`
    /// makes it), or if something is mapped there already.
    fn map_granted(
        &mut self,
        capability: u64,
        vaddr: VirtAddr,
        rights: MapFlags,
    ) -> Result<(), KernelRefused>;
}

/// The kernel refused, and nothing was mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelRefused;

impl fmt::Display for KernelRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the kernel refused")
    }
}
