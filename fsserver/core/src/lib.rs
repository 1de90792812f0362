// SPDX-License-Identifier: BSD-2-Clause
//! The file server: files on a disk, in containers that its clients lend it.
//!
//! Owns the open files of its clients, the file system, and memory in which it caches parts of
//! files. Allocates nothing for a client: a client lends it a container at pmserver, and fsserver
//! maps that in a window for the time of one call, or of a lease.
//!
//! | module | what it does |
//! |---|---|
//! | `server` | the operations: decodes a request, does what it asks, answers it |
//! | `under_way` | requests that wait for the file system |
//! | `path`, `known` | checks paths; remembers what they lead to |
//! | `client`, `open_file`, `listing` | who asks; open files; directories that are read |
//! | `read` | copies file contents into a container |
//! | `lent`, `standing` | locks and maps, or takes, a lent container: for one call, or several |
//! | `cache` | parts of files in memory |
//! | `engine` | the file system, on a stack of its own |
//! | `disk` | what is under it: a region, or a driver |
//! | `memory`, `heap` | fsserver's own memory |
//! | `kept` | what a recovery keeps |
//! | `time` | pmserver's clock, without a call |
//!
//! The address space, below 1 GiB:
//!
//! ```text
//!   0x1000_0000  heap, 8 MiB, and the stack of the file system behind an unmapped page
//!   0x1090_0000  window, up to 256 frames of the container of the current call
//!   0x1200_0000  what was taken for the current call, up to 512 frames
//!   0x1280_0000  what is written, and what moves to and from the disk
//!   0x1400_0000  parts of files that are cached, 2 MiB each
//!   0x1C00_0000  windows of containers that stand, up to 256 frames each
//!   0x2000_0000  the image, if it is in a region
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod cache;
mod client;
mod disk;
mod engine;
mod heap;
mod kept;
mod known;
mod lent;
mod listing;
mod memory;
mod open_file;
mod path;
mod read;
mod server;
mod standing;
mod time;
mod under_way;

pub use client::ClientId;
pub use engine::Engine;
pub use heap::{HEAP, STACK};
pub use kept::Kept;
pub use lent::{TAKEN_WINDOW, WINDOW};
pub use memory::{CACHE_WINDOWS, Memory, OTHER_WINDOWS};
pub use server::FileServer;
pub use standing::STANDING_WINDOWS;
