// SPDX-License-Identifier: BSD-2-Clause
//! The heap of a protection domain, over memory that it mapped for this and nothing else.
//!
//! The allocator starts empty. [`install`] gives it its memory, and gives it the same memory again
//! when the domain recovers (decision D11): then it forgets all that was allocated before. It is a
//! crate of its own because a program that links it gets a global allocator. Builds for the host,
//! where its tests run.
#![no_std]
#![allow(unsafe_code)]
// Tests may overflow: they fail by panicking.
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

use core::ptr;

use lock_api::{GuardNoSend, RawMutex};
use proto::VirtAddr;
use talc::TalcLock;
use talc::base::Talc;
use talc::source::Manual;

/// A global allocator for a protection domain.
pub type Heap = TalcLock<SingleThread, Manual>;

/// The lock of a program with one thread: none.
///
/// A lock that could be taken would stay taken for ever where the domain was sent to its recovery
/// entry in the middle of an allocation.
pub struct SingleThread;

// SAFETY: 1. A protection domain has one thread, and no signal handlers. 2. The allocator calls
// nothing that allocates while it holds the lock (`Manual` acquires nothing). 3. What a recovered
// domain left in the middle never goes on (U3 recovery-abandons).
unsafe impl RawMutex for SingleThread {
    // A lock is a constant here, and no state is behind it.
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

/// Makes `bytes` bytes at `start` the memory of the heap; everything allocated before is forgotten.
/// Returns whether the allocator could use it.
///
/// # Safety
/// The memory is mapped for writing, belongs to this domain alone, and nothing uses it, or anything
/// that was allocated from the heap, any more.
pub unsafe fn install(heap: &Heap, start: VirtAddr, bytes: usize) -> bool {
    let Ok(start) = usize::try_from(start.get()) else { return false };
    let mut heap = heap.lock();
    *heap = Talc::new(Manual);
    // SAFETY: the caller's promise is what `claim` asks for (U2 heap-exclusive).
    unsafe { heap.claim(ptr::with_exposed_provenance_mut(start), bytes) }.is_some()
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::alloc::{GlobalAlloc, Layout};
    use std::vec;

    use super::*;

    #[test]
    fn memory_comes_from_the_range_of_the_last_install_alone() {
        const BYTES: usize = 1 << 16;
        let layout = Layout::from_size_align(BYTES / 4, 16).unwrap();
        let heap = empty();
        for _ in 0..2 {
            let memory = vec![0_u8; BYTES].leak().as_mut_ptr().expose_provenance();
            let start = VirtAddr::new(u64::try_from(memory).unwrap()).unwrap();
            // SAFETY: the memory is leaked for this test, and the blocks of the round before are
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
