// SPDX-License-Identifier: BSD-2-Clause
//! A block server's interface: operations, errors and a client over any transport.
//!
//! A block server is the driver of one disk. A client lends it a container at pmserver and sends
//! the weak handle in its request; the disk moves the data to or from the frames of that container
//! itself, and the server copies nothing. A request is refused at once or queued. `ops.rs` is the
//! contract, and `support/docs/block-protocol.md` has it in numbered sentences.
//!
//! ```text
//!   client                          block server            pmserver      disk
//!     | share --------------------------------------------------->|
//!     | read(weak handle, range, tag) -->| pin ----------------->|
//!     |<----------------------- queued --| begin -------------------------->|
//!     |                                  |                   moves the data |
//!     |                                  |<----------------------- interrupt|
//!     |                                  | unlock --------------->|
//!     |<- - - - - - - - - - - - - notify |
//!     | completed ---------------------->|
//!     |<----------- tags and statuses ---|
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod client;
mod error;
mod ops;
mod reply;

pub use client::Client;
pub use error::{BlockError, CallError, Failure};
pub use ops::{BlockCount, PROTOCOL_VERSION, Place, Request, Tag};
pub use reply::{
    Completed, Completion, DiskFeatures, Geometry, Identity, REPLY_COMPLETIONS_MAX, Reply,
};
