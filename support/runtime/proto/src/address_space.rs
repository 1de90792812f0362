// SPDX-License-Identifier: BSD-2-Clause
//! The caller's own memory, accessed only by copying.

use crate::units::VirtAddr;

/// Bytes that pass through private memory at a time where an address space knows no better way.
const ACROSS_BYTES: usize = 256;

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

    /// Copies `bytes` bytes within this address space: between two windows on memory of others, so
    /// that they need no private copy on the way. The ranges do not overlap.
    fn copy_across(&mut self, from: VirtAddr, to: VirtAddr, bytes: usize) {
        let mut buffer = [0; ACROSS_BYTES];
        for done in (0..bytes).step_by(ACROSS_BYTES) {
            let length = bytes.saturating_sub(done).min(ACROSS_BYTES);
            let places = u64::try_from(done)
                .ok()
                .and_then(|done| from.checked_add(done).zip(to.checked_add(done)));
            let Some(((from, to), part)) = places.zip(buffer.get_mut(..length)) else { return };
            self.copy_in(from, part);
            self.copy_out(part, to);
        }
    }

    /// Pauses in a loop that waits for another domain.
    fn relax(&mut self);
}
