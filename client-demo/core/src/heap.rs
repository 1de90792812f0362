// SPDX-License-Identifier: BSD-2-Clause
//! The client's own memory: a container in its own account, mapped once, for its allocator.
//!
//! It holds the paths of all files (about 100 bytes each, so some ten thousand files) and a listing
//! buffer. What does not fit makes the demo fail with a line that says so.

use pmserver_api::{AccountHandle, AllocateFlags, CallError, MapFlags, PmError};
use proto::limits::CALL_FRAMES_MAX;
use proto::{FrameCount, FrameNumber, PAGE_BYTES, Transport, VirtAddr};

/// Where the heap lies.
pub const HEAP_VADDR: u64 = 0x1000_0000;

/// Frames of the heap: 3 MiB.
pub const HEAP_FRAMES: u64 = 768;

/// Makes the heap: to be called once, before anything allocates.
///
/// # Errors
/// What pmserver refuses.
pub fn reserve_heap<T: Transport>(pm: &mut pmserver_api::Calls<T>) -> Result<(), CallError> {
    let container = pm.container_create(AccountHandle::OWN)?;
    let mut done: u64 = 0;
    while let Some(left @ 1..) = HEAP_FRAMES.checked_sub(done) {
        let start = FrameNumber::new(done);
        let count = FrameCount::new(left.min(CALL_FRAMES_MAX)).ok_or(PmError::Invalid)?;
        pm.allocate(container, start, count, AllocateFlags::empty())?;
        done = done.saturating_add(count.get());
    }
    // All of it has memory from now on (PM-87): what the pool cannot give is told here, and not by
    // a fault wherever the allocator first stores.
    let flags = MapFlags::READ | MapFlags::WRITE | MapFlags::FORCE_WRITE;
    let mut mapped: u64 = 0;
    while let Some(left @ 1..) = HEAP_FRAMES.checked_sub(mapped) {
        let vaddr =
            VirtAddr::new_page(HEAP_VADDR.saturating_add(mapped.saturating_mul(PAGE_BYTES)))
                .ok_or(PmError::Invalid)?;
        let count = FrameCount::new(left.min(CALL_FRAMES_MAX)).ok_or(PmError::Invalid)?;
        let run = pm.map(container, FrameNumber::new(mapped), count, vaddr, flags)?;
        mapped = mapped.saturating_add(run.count.max(1));
    }
    Ok(())
}
