// SPDX-License-Identifier: BSD-2-Clause
//! What every protection domain shares: the message form over Microkit channels, and how a domain
//! reports its own panic.
//!
//! Owns no state. Holds no policy: what a message means is decided by the `api` and `core` crates.
#![no_std]
#![forbid(unsafe_code)]

mod channel;
mod panic;

pub use channel::{PpChannel, put, receive, send, take};
pub use panic::report_panics;
