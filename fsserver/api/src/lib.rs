// SPDX-License-Identifier: BSD-2-Clause
//! The file server's interface: operations, errors, directory entries and a client over any
//! transport.
//!
//! A client lends fsserver a container at pmserver and sends the weak handle in its request;
//! fsserver copies what it reads into that container. It allocates nothing for a client, and a
//! reply carries numbers only. `ops.rs` has the requests, `operation.rs` the table of operations.
//!
//! ```text
//!   client                      fsserver                 pmserver
//!     | share -------------------------------------------->|
//!     | read(file, weak handle) -->| lock, map ----------->|
//!     |                            | copies the data in    |
//!     |<----------------- bytes ---| unmap, unlock ------->|
//!     | unshare ------------------------------------------>|
//!     | map, and only now trust the bytes ---------------->|
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod arguments;
mod change;
mod client;
mod entry;
mod error;
mod feature;
mod operation;
mod ops;
mod reply;
mod short_path;
mod strict;

pub use arguments::{DirectoryCookie, FileHandle, ReadLength, TwoPaths};
pub use change::Change;
pub use client::{Client, NoWaiter};
pub use entry::{DirectoryEntry, ENTRY_HEADER_BYTES, EntryError, FileKind, NAME_BYTES_MAX};
pub use error::{CallError, Failure, FsError};
pub use feature::Feature;
pub use operation::Operation;
pub use ops::{PROTOCOL_VERSION, Request};
pub use reply::{FileStatus, Identity, Listed, Reply, Space};
pub use short_path::{SHORT_PATH_BYTES_MAX, ShortPath};
pub use strict::{Bytes, StrictError, StrictReader};
