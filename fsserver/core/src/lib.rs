// SPDX-License-Identifier: BSD-2-Clause
//! The file server: reads an ext4 image into containers that its clients lend it.
//!
//! Owns the open files of its clients and a reader of the image. Owns none of the memory that the
//! data lands in, and allocates nothing for a client: a client lends a container at pmserver, and
//! fsserver maps it for the time of one call, in one window, and leaves nothing behind.
//!
//! | module | what it does |
//! |---|---|
//! | `server` | takes a request, answers it: the six operations |
//! | `path` | says which paths are valid |
//! | `volume` | finds files in the image; guards the ext4 reader against damaged images |
//! | `image` | copies bytes out of the image region |
//! | `open_file` | the table of open files |
//! | `read`, `listing` | bring file contents and directory entries into a container |
//! | `lent` | locks and maps a lent container, and takes both back |
//! | `heap` | fsserver's own memory, and what it is bounded by |
//!
//! The address space (one window, so one lent container at a time; all below 1 GiB):
//!
//! ```text
//!   0x1000_0000  heap, 256 frames of fsserver's own account
//!   0x1010_0000  window, up to 256 frames of the container of the current call
//!   0x2000_0000  the image, read-only
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod heap;
mod image;
mod lent;
mod listing;
mod open_file;
mod path;
mod read;
mod server;
mod volume;

pub use heap::{HEAP_FRAMES, HEAP_VADDR, reserve_heap};
pub use lent::{WINDOW_FRAMES, WINDOW_VADDR};
pub use open_file::ClientId;
pub use server::FileServer;
