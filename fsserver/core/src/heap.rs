// SPDX-License-Identifier: BSD-2-Clause
//! fsserver's own memory: a container in its own account, mapped once, for its allocator
//! ([`Pm::reserve_heap`](pmserver_client::Pm::reserve_heap)).
//!
//! What is on the heap in the worst case, with blocks of 4 KiB (the largest that [`crate::volume`]
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
//! 844 KiB of 1 MiB: the rest is for what the allocator itself needs. A file that was written in
//! one go has a tree of depth 0 or 1, so the usual case is below 500 KiB.

use pmserver_client::{PAGE_BYTES, Pages, VirtAddr};
use proto::limits::{FS_CLIENTS_MAX, OPEN_FILES_PER_CLIENT_MAX};

/// The heap, 1 MiB. It stays fsserver's for as long as its account is there: a recovery starts
/// with the same pages, empty.
pub const HEAP: Pages = Pages::new(VirtAddr::new(0x1000_0000).unwrap(), 256).unwrap();

const KIB: u64 = 1024;
const FIXED_BYTES: u64 = (292 + 64 + 36 + 4) * KIB;
const OPEN_FILE_BYTES: u64 = 28 * KIB;

const _: () = {
    // Widening a small constant: there is no other conversion in a constant.
    #[allow(clippy::as_conversions)]
    let open_files = (FS_CLIENTS_MAX * OPEN_FILES_PER_CLIENT_MAX) as u64;
    assert!(FIXED_BYTES + open_files * OPEN_FILE_BYTES < HEAP.count() * PAGE_BYTES * 9 / 10);
};
