// SPDX-License-Identifier: BSD-2-Clause
//! What the bench's client and the rival share: the rival's procedures, and kernel objects made
//! without pmserver.
#![no_std]
#![forbid(unsafe_code)]

mod objects;
mod procedure;

pub use objects::{Objects, attributes, map_table};
pub use procedure::{CACHE, FAULT_PAGES, FAULTS, Procedure, READ_BYTES_MAX, SHARE};
