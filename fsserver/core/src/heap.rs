// SPDX-License-Identifier: BSD-2-Clause
//! fsserver's own memory for its allocator and its second stack: containers in its own account,
//! mapped once ([`Pm::reserve_heap`](pmserver_client::Pm::reserve_heap)).
//!
//! What is on the heap is bounded by the bounds of the volume (`fsserver/volume`), and by how many
//! requests may be under way.

use pmserver_client::{Pages, VirtAddr};

/// The heap, 8 MiB. It stays fsserver's for as long as its account is there: a recovery starts
/// with the same pages, empty.
pub const HEAP: Pages = Pages::new(VirtAddr::new(0x1000_0000).unwrap(), 2048).unwrap();

/// The stack of the file system, 128 KiB, with nothing mapped below it.
pub const STACK: Pages = Pages::new(VirtAddr::new(0x1080_1000).unwrap(), 32).unwrap();
