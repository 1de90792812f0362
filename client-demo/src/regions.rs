// SPDX-License-Identifier: BSD-2-Clause
//! The demo's heap; the domain's only `unsafe`.
#![allow(unsafe_code)]

use client_demo_core::{HEAP_FRAMES, HEAP_VADDR};
use heap::Heap;
use proto::{PAGE_BYTES, VirtAddr};

#[global_allocator]
static HEAP: Heap = heap::empty();

/// Gives the heap the memory that `reserve_heap` has mapped. Called once, before anything
/// allocates.
pub(crate) fn install_heap() {
    let Some(start) = VirtAddr::new(HEAP_VADDR) else { return };
    // Both targets have 64-bit sizes.
    let bytes = usize::try_from(HEAP_FRAMES.saturating_mul(PAGE_BYTES)).unwrap_or_default();
    // SAFETY: `reserve_heap` has mapped the memory for this, in a container that is never shared,
    // and nothing was allocated from it yet (U2 heap-exclusive).
    unsafe { heap::install(&HEAP, start, bytes) };
}
