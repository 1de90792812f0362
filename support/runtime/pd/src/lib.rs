// SPDX-License-Identifier: BSD-2-Clause
//! What every protection domain shares: the message form over Microkit channels, how a domain
//! reports its own panic, goes on after a fault, and maps what it was granted.
//!
//! Holds no policy: what a message means is decided by the `api` and `core` crates.
#![no_std]
#![deny(unsafe_code)]

mod channel;
mod granted;
mod panic;
pub mod recovery;
mod regions;

pub use channel::{PpChannel, put, receive, send, take};
pub use granted::OwnGrants;
pub use panic::report_panics;
