// SPDX-License-Identifier: BSD-2-Clause
//! The time, as ticks of the processor's counter.

use proto::{AddressSpace, VirtAddr};
use shm::OwnMemory;

/// Bytes before the frequency in the region that Microkit fills in: the header of the kernel's boot
/// information.
const HEADER_BYTES: u64 = 16;
const MEGAHERTZ: u64 = 1_000_000;

/// Returns the ticks of the counter and how many of them a second has.
pub(crate) fn read() -> (u64, u64) {
    let (ticks, per_second) = pd::counter();
    (ticks, per_second.unwrap_or_else(measured_by_kernel))
}

/// Returns how many ticks a second has where the processor does not say it: on x86-64.
fn measured_by_kernel() -> u64 {
    let region = *sel4_microkit::var!(tsc_frequency_vaddr: u64 = 0);
    let mut megahertz = [0; 4];
    if let Some(field) = VirtAddr::new(region.saturating_add(HEADER_BYTES)) {
        OwnMemory.copy_in(field, &mut megahertz);
    }
    u64::from(u32::from_le_bytes(megahertz)).saturating_mul(MEGAHERTZ)
}
