// SPDX-License-Identifier: BSD-2-Clause
//! The caller's own memory, accessed only by copying.

use crate::units::VirtAddr;

/// The address space of the protection domain that holds this value.
///
/// Memory that another domain may also write is never referenced (decision D10): it is copied in
/// and the copy is validated, or it is copied out. An access to an unmapped address is a page fault
/// of the domain, exactly as if it had dereferenced a pointer; it does not return an error here.
pub trait AddressSpace {
    /// Copies `to.len()` bytes from `from` in this address space into private memory.
    fn copy_in(&self, from: VirtAddr, to: &mut [u8]);

    /// Copies private bytes to `to` in this address space.
    fn copy_out(&mut self, from: &[u8], to: VirtAddr);

    /// Pauses in a loop that waits for another domain.
    fn relax(&mut self);
}
