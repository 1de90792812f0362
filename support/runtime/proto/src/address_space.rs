// SPDX-License-Identifier: BSD-2-Clause
//! The caller's own memory, reached by copy only.

use crate::units::VirtAddr;

/// The address space of the protection domain that holds this value.
///
/// Memory that another domain may also write is never referenced (decision D10): it is copied in,
/// then validated, or copied out. An access to an address that is not mapped is a page fault of the
/// domain, exactly as if it had dereferenced a pointer; it is not reported as an error here.
pub trait AddressSpace {
    /// Copies `to.len()` bytes from `from` in this address space into private memory.
    fn copy_in(&self, from: VirtAddr, to: &mut [u8]);

    /// Copies private bytes to `to` in this address space.
    fn copy_out(&mut self, from: &[u8], to: VirtAddr);

    /// Spends time while waiting for something that another domain does.
    fn relax(&mut self);
}
