// SPDX-License-Identifier: BSD-2-Clause
//! The demo's heap; the domain's only `unsafe`.
#![allow(unsafe_code)]

use client_demo_core::HEAP as HEAP_PAGES;
use heap::Heap;

#[global_allocator]
static HEAP: Heap = heap::empty();

/// Gives the heap the memory that `reserve_heap` has mapped. Called once, before anything
/// allocates.
pub(crate) fn install_heap() {
    // Both targets have 64-bit sizes.
    let bytes = usize::try_from(HEAP_PAGES.bytes()).unwrap_or_default();
    // SAFETY: `reserve_heap` has mapped the memory for this, in a container that is never shared,
    // and nothing was allocated from it yet (U2 heap-exclusive).
    unsafe { heap::install(&HEAP, HEAP_PAGES.start(), bytes) };
}
