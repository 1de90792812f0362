// SPDX-License-Identifier: BSD-2-Clause
//! The crash test: a program that changes files, and a judge that knows what may be found of them.
//!
//! A seed says what the program does: so whoever has the seed, and the number of the last operation
//! that has made all lasting, knows what has to be on a disk after a crash, and what may be. The
//! program tells these numbers by marks: blocks of the disk behind the file system, which it writes
//! through the driver itself. So they are in the same log as all that fsserver writes.
//!
//! | module | what it does |
//! |---|---|
//! | `writer` | the program |
//! | `files`, `marks` | how it reaches fsserver and the disk |
//! | `history` | what may be found after a crash |
//! | `operation` | what the program does to files |
//! | `tree` | files as they should be |
//! | `dice` | random numbers |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod dice;
mod files;
mod history;
mod marks;
mod operation;
mod tree;
mod writer;

pub use dice::Dice;
pub use history::{Found, History};
pub use marks::{MARK_FROM_END, Mark, ORDER_FROM_END, Order};
pub use operation::Operation;
pub use tree::path;
pub use writer::run;
