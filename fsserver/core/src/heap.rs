// SPDX-License-Identifier: BSD-2-Clause
//! fsserver's own memory: a container in its own account, mapped once, for its allocator.
//!
//! What lives on the heap, at the worst, with blocks of 4 KiB (the largest that [`crate::volume`]
//! accepts; smaller ones need no more):
//!
//! | what | KiB |
//! |---|---|
//! | block cache: 64 blocks, a template of one while it is made, a read buffer of 8 | 292 |
//! | descriptors of at most 4096 block groups, 16 bytes each | 64 |
//! | 16 open files: path 4, block 4, extent nodes 5 × 4 of a tree of full depth | 448 |
//! | one lookup under way: paths 3 × 4, block 4, extent nodes 20 | 36 |
//! | the page buffer | 4 |
//!
//! 844 KiB of 1 MiB: the rest is for what the allocator itself needs. A file made in one go has a
//! tree of depth 0 or 1, so that the ordinary case is below 500 KiB.

use pmserver_api::{AccountHandle, AllocateFlags, CallError, MapFlags};
use proto::limits::{FS_CLIENTS_MAX, OPEN_FILES_PER_CLIENT_MAX};
use proto::{FrameCount, FrameNumber, PAGE_BYTES, Transport, VirtAddr};

/// Where the heap lies.
pub const HEAP_VADDR: u64 = 0x1000_0000;

/// Frames of the heap: 1 MiB.
pub const HEAP_FRAMES: u64 = 256;

const KIB: u64 = 1024;
const FIXED_BYTES: u64 = (292 + 64 + 36 + 4) * KIB;
const OPEN_FILE_BYTES: u64 = 28 * KIB;

const _: () = {
    // Widening a small constant: there is no other conversion in a constant.
    #[allow(clippy::as_conversions)]
    let open_files = (FS_CLIENTS_MAX * OPEN_FILES_PER_CLIENT_MAX) as u64;
    assert!(FIXED_BYTES + open_files * OPEN_FILE_BYTES < HEAP_FRAMES * PAGE_BYTES * 9 / 10);
};

/// Makes the heap: to be called once, before anything allocates. The memory stays fsserver's for as
/// long as its account lives; a recovery goes on with the same.
///
/// # Errors
/// What pmserver refuses.
pub fn reserve_heap<T: Transport>(pm: &mut pmserver_api::Calls<T>) -> Result<(), CallError> {
    let container = pm.container_create(AccountHandle::OWN)?;
    let count = FrameCount::new(HEAP_FRAMES).ok_or(pmserver_api::PmError::Invalid)?;
    pm.allocate(container, FrameNumber::new(0), count, AllocateFlags::empty())?;
    // All of it has memory from now on (PM-87): where the pool has none left it is said here, and
    // no allocation later on is a fault in the middle of somebody's call.
    let flags = MapFlags::READ | MapFlags::WRITE | MapFlags::FORCE_WRITE;
    let mut mapped: u64 = 0;
    while let Some(left) = HEAP_FRAMES.checked_sub(mapped).and_then(FrameCount::new) {
        let vaddr =
            VirtAddr::new_page(HEAP_VADDR.saturating_add(mapped.saturating_mul(PAGE_BYTES)))
                .ok_or(pmserver_api::PmError::Invalid)?;
        let done = pm.map(container, FrameNumber::new(mapped), left, vaddr, flags)?;
        mapped = mapped.saturating_add(done.count.max(1));
    }
    Ok(())
}
