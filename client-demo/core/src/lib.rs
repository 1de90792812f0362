// SPDX-License-Identifier: BSD-2-Clause
//! The demo: reads every file of the image through containers and prints its checksum.
//!
//! Owns one container that the data comes in and one for paths, both in the client's own account,
//! and gives both back. Before and after it prints the accounts of all who took part: they must be
//! equal to the byte. The lines between are what `sha256sum -c` takes.
//!
//! | module | what it does |
//! |---|---|
//! | `demo` | the course of the whole |
//! | `walk` | finds the regular files and sorts their paths |
//! | `transfer` | one round: share, have it filled, unshare, map, copy in |
//! | `path_page` | the page for paths, which the client maps itself |
//! | `line` | the lines of the transcript |
//! | `accounts` | the accounts before and after |
//! | `error` | what can go wrong |
//! | `heap` | the client's own memory |
//!
//! The address space (all below 1 GiB):
//!
//! ```text
//!   0x1000_0000  heap, 768 frames of the client's own account
//!   0x1030_0000  window: 64 frames for data
//!   0x1040_0000  the page for paths, alone below its page table
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod accounts;
mod demo;
mod error;
mod heap;
mod line;
mod path_page;
mod transfer;
mod walk;

pub use demo::run;
pub use heap::{HEAP_FRAMES, HEAP_VADDR, reserve_heap};
pub use path_page::PATH_VADDR;
pub use transfer::{DATA_FRAMES, WINDOW_VADDR};
