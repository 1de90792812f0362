// SPDX-License-Identifier: BSD-2-Clause
//! The demo: reads every file of the image through containers and prints its checksum.
//!
//! It is also an example of a first program. Read it in this order; `pmserver/client` explains
//! every operation that it uses.
//!
//! | module | what it shows |
//! |---|---|
//! | `layout` | where the program has room in its address space |
//! | `demo` | the whole program, from the first call to the last |
//! | `transfer` | lending memory to a server, taking it back, and only then reading it |
//! | `path_page` | mapping a frame without pmserver, by a capability to it |
//! | `walk` | a use of `transfer`: finds the regular files and sorts their paths |
//! | `accounts` | who pays for what: the accounts before and after must be equal to the byte |
//! | `error` | what can go wrong, in words |
//! | `line` | the lines that are printed, in the form that `sha256sum -c` reads |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod accounts;
mod checksum;
mod demo;
mod error;
mod layout;
mod line;
mod path_page;
mod transfer;
mod walk;
mod writing;

pub use accounts::Accounts;
pub use demo::{digest, run};
pub use error::DemoError;
pub use layout::{HEAP, PATH_PAGE};
pub use line::print_checksum;
pub use transfer::{ROUND_BYTES_MAX, Transfer};
pub use walk::list;
