// SPDX-License-Identifier: BSD-2-Clause
//! fsserver's memory: the image, the heap, and the IPC buffer after a fault. The domain's only
//! `unsafe`.
#![allow(unsafe_code)]

use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

use fsserver_core::{HEAP_FRAMES, HEAP_VADDR};
use heap::Heap;
use proto::{PAGE_BYTES, VirtAddr};
use sel4::IpcBuffer;
use sel4_microkit::var;

#[global_allocator]
static HEAP: Heap = heap::empty();

/// The IPC buffer, for the time after a fault: what holds it before may then never give it back.
static IPC_BUFFER: AtomicPtr<IpcBuffer> = AtomicPtr::new(ptr::null_mut());

/// Returns where the image is mapped and how large it is.
pub(crate) fn image() -> Option<(VirtAddr, u64)> {
    let vaddr = *var!(fs_image_vaddr: u64 = 0);
    let bytes = *var!(fs_image_bytes: u64 = 0);
    VirtAddr::new(vaddr).map(|vaddr| (vaddr, bytes))
}

/// Gives the heap the memory that `reserve_heap` has mapped. What was allocated before is
/// forgotten. Called once at the start and first thing in every recovery.
pub(crate) fn install_heap() {
    let Some(start) = VirtAddr::new(HEAP_VADDR) else { return };
    // Both targets have 64-bit sizes.
    let bytes = usize::try_from(HEAP_FRAMES.saturating_mul(PAGE_BYTES)).unwrap_or_default();
    // SAFETY: 1. `reserve_heap` has mapped the memory for this, in fsserver's own container that is
    // never shared (U2 heap-exclusive). 2. Nothing allocated uses it: at the start there is
    // nothing, and what ran before a recovery never goes on (U3 recovery-abandons).
    unsafe { heap::install(&HEAP, start, bytes) };
}

/// Remembers where the IPC buffer is. Called before a recovery can happen.
pub(crate) fn remember_ipc_buffer() {
    IPC_BUFFER.store(sel4::with_ipc_buffer_mut(ptr::from_mut), Ordering::Relaxed);
}

/// Returns the IPC buffer. Called once in a recovery, which uses no other way to it.
pub(crate) fn recovered_ipc_buffer() -> Option<&'static mut IpcBuffer> {
    let buffer = IPC_BUFFER.load(Ordering::Relaxed);
    // SAFETY: 1. Null, or the address of the buffer that the platform has set up for the domain's
    // life. 2. Whoever held a reference to it ran before the recovery and never goes on
    // (U3 recovery-abandons), and from now on this one is the only one.
    unsafe { buffer.as_mut() }
}
