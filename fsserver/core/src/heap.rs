// SPDX-License-Identifier: BSD-2-Clause
//! fsserver's own memory: a container in its own account, mapped once, for its allocator
//! ([`Pm::reserve_heap`](pmserver_client::Pm::reserve_heap)).
//!
//! Little is on it: the server allocates its page buffer when it is made, and nothing for a client
//! or for what an image says.

use pmserver_client::{Pages, VirtAddr};

/// The heap, 1 MiB. It stays fsserver's for as long as its account is there: a recovery starts
/// with the same pages, empty.
pub const HEAP: Pages = Pages::new(VirtAddr::new(0x1000_0000).unwrap(), 256).unwrap();
