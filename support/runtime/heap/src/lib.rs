// SPDX-License-Identifier: BSD-2-Clause
//! The heap of a protection domain, in memory that the domain mapped for this purpose only.
//!
//! The allocator starts empty; [`install`] gives it its memory. When the domain recovers from a
//! fault, it installs the same memory again, and all earlier allocations are forgotten (design
//! D11). This is a crate of its own because every program that links it needs a global allocator.
//! It also builds for the host, where its tests run.
#![no_std]
#![allow(unsafe_code)]
// Tests may use unchecked arithmetic: an overflow panics, which fails the test.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

use core::ptr;

use lock_api::{GuardNoSend, RawMutex};
use proto::VirtAddr;
use talc::TalcLock;
use talc::base::Talc;
use talc::source::Manual;

/// A global allocator for a protection domain.
pub type Heap = TalcLock<SingleThread, Manual>;

/// A lock that does nothing, for programs with one thread.
///
/// A real lock would stay locked for ever if the domain was sent to its recovery entry in the
/// middle of an allocation.
pub struct SingleThread;

// SAFETY: 1. A protection domain has one thread and no signal handlers. 2. The allocator calls
// nothing that allocates while it holds the lock (`Manual` acquires no memory). 3. An allocation
// that a recovery interrupted never continues (U3 recovery-abandons).
unsafe impl RawMutex for SingleThread {
    // The trait requires a constant; this one has no interior state.
    #[allow(clippy::declare_interior_mutable_const)]
    const INIT: Self = Self;
    type GuardMarker = GuardNoSend;

    fn lock(&self) {}

    fn try_lock(&self) -> bool {
        true
    }

    unsafe fn unlock(&self) {}
}

/// Returns a heap without memory.
#[must_use]
pub const fn empty() -> Heap {
    Heap::new(Manual)
}

/// Makes the `bytes` bytes at `start` the memory of the heap and forgets all earlier allocations.
/// Returns whether the allocator can use the memory.
///
/// # Safety
/// The memory is mapped writable and belongs to this domain alone. Nothing uses it any more, nor
/// anything that was allocated from the heap before.
pub unsafe fn install(heap: &Heap, start: VirtAddr, bytes: usize) -> bool {
    let Ok(start) = usize::try_from(start.get()) else { return false };
    let mut heap = heap.lock();
    *heap = Talc::new(Manual);
    // SAFETY: `claim` requires what the caller guarantees (U2 heap-exclusive).
    unsafe { heap.claim(ptr::with_exposed_provenance_mut(start), bytes) }.is_some()
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::alloc::{GlobalAlloc, Layout};
    use std::vec;

    use super::*;

    #[test]
    fn blocks_come_only_from_the_memory_of_the_last_install() {
        const BYTES: usize = 1 << 16;
        let layout = Layout::from_size_align(BYTES / 4, 16).unwrap();
        let heap = empty();
        for _ in 0..2 {
            let memory = vec![0_u8; BYTES].leak().as_mut_ptr().expose_provenance();
            let start = VirtAddr::new(u64::try_from(memory).unwrap()).unwrap();
            // SAFETY: the memory is leaked for this test, and the blocks of the previous round are
            // not used.
            assert!(unsafe { install(&heap, start, BYTES) });
            for _ in 0..2 {
                // SAFETY: the layout's size is not 0.
                let block = unsafe { heap.alloc(layout) };
                assert!((memory..memory + BYTES).contains(&block.addr()));
            }
            let too_large = Layout::from_size_align(BYTES, 16).unwrap();
            // SAFETY: as above.
            assert!(unsafe { heap.alloc(too_large) }.is_null());
        }
    }
}
