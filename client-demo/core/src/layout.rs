// SPDX-License-Identifier: BSD-2-Clause
//! Where the demo has room in its address space: all addresses that the system file gives to
//! nothing else, below 1 GiB.
//!
//! ```text
//!   0x1000_0000  the heap, 768 pages
//!   0x1030_0000  the window for data, 64 pages
//!   0x1040_0000  the page for paths, alone in the 2 MiB that a page table covers
//! ```

use pmserver_client::{Pages, VirtAddr};

// A constant that cannot be unwrapped does not compile.

/// The heap, 3 MiB: holds the paths of all files (about 100 bytes each, so some ten thousand of
/// them) and a listing. If that is too little, the demo fails with a line that says so.
pub const HEAP: Pages = Pages::new(VirtAddr::new(0x1000_0000).unwrap(), 768).unwrap();

/// Where the container for data is mapped while it is read.
pub(crate) const WINDOW: VirtAddr = VirtAddr::new_page(0x1030_0000).unwrap();

/// Frames of the container for data, 256 KiB: larger files take several rounds.
pub(crate) const DATA_FRAMES: u64 = 64;

/// The page in which fsserver is told paths.
pub const PATH_PAGE: Pages = Pages::new(VirtAddr::new(0x1040_0000).unwrap(), 1).unwrap();
