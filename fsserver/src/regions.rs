// SPDX-License-Identifier: BSD-2-Clause
//! fsserver's memory: the image, and the heap. The domain's only `unsafe`.
#![allow(unsafe_code)]

use fsserver_core::HEAP as HEAP_PAGES;
use heap::Heap;
use pmserver_client::VirtAddr;
use sel4_microkit::var;

#[global_allocator]
static HEAP: Heap = heap::empty();

/// Returns where the image is mapped and how large it is.
pub(crate) fn image() -> Option<(VirtAddr, u64)> {
    let vaddr = *var!(fs_image_vaddr: u64 = 0);
    let bytes = *var!(fs_image_bytes: u64 = 0);
    VirtAddr::new(vaddr).map(|vaddr| (vaddr, bytes))
}

/// Gives the heap the memory that `reserve_heap` has mapped, and forgets what was allocated before.
/// Called once at the start, and first in every recovery.
pub(crate) fn install_heap() {
    // Both targets have 64-bit sizes.
    let bytes = usize::try_from(HEAP_PAGES.bytes()).unwrap_or_default();
    // SAFETY: 1. `reserve_heap` has mapped the memory for this, in fsserver's own container that is
    // never shared (U2 heap-exclusive). 2. Nothing allocated uses it: at the start there is
    // nothing, and what ran before a recovery never goes on (U3 recovery-abandons).
    unsafe { heap::install(&HEAP, HEAP_PAGES.start(), bytes) };
}
