// SPDX-License-Identifier: BSD-2-Clause
//! The file server: reads an ext4 image into containers that its clients lend it.
//!
//! Owns the open files of its clients and a reader of the image. Does not own the memory that it
//! copies data to, and allocates nothing for a client: a client lends it a container at pmserver,
//! and fsserver maps that in a window for the time of one call, or of a lease.
//!
//! | module | what it does |
//! |---|---|
//! | `server` | the operations: decodes a request, does what it asks, answers it |
//! | `path`, `known` | checks paths; remembers what they lead to |
//! | `ext4` | reads the file system in the image, whatever that is |
//! | `image` | copies bytes out of the image region |
//! | `open_file` | the table of open files |
//! | `read`, `listing` | copy file contents and directory entries into a container |
//! | `lent` | locks and maps, or takes, a lent container for one call |
//! | `standing` | lets containers stay locked and mapped between calls |
//! | `cache` | keeps parts of files, and copies them logically |
//! | `time` | pmserver's clock, without a call |
//! | `heap` | fsserver's own memory, and what it is bounded by |
//!
//! The address space (a window for the container of the current call, and one for each container
//! that stands; all below 1 GiB):
//!
//! ```text
//!   0x1000_0000  heap, 256 frames of fsserver's own account
//!   0x1010_0000  window, up to 256 frames of the container of the current call
//!   0x1020_0000  windows of containers that stand, up to 256 frames each
//!   0x1200_0000  what was taken for the current call, up to 512 frames
//!   0x1400_0000  parts of files that are cached, 2 MiB each
//!   0x2000_0000  the image, read-only
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod cache;
mod ext4;
mod heap;
mod image;
mod known;
mod lent;
mod listing;
mod open_file;
mod path;
mod read;
mod server;
mod standing;
mod time;

pub use cache::CACHE_WINDOWS;
pub use heap::HEAP;
pub use lent::{TAKEN_WINDOW, WINDOW};
pub use open_file::ClientId;
pub use server::FileServer;
pub use standing::STANDING_WINDOWS;
