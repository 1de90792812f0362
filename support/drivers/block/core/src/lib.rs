// SPDX-License-Identifier: BSD-2-Clause
//! The block server: pins what its clients lend it, and lets a device move the data.
//!
//! Owns the requests that are under way, and pins on the frames of each: a pin keeps frames where
//! they are and tells where a device finds them. The server never maps them, and knows no address
//! that a pin did not tell. Does not own the device's own memory, nor its registers: those are the
//! [`Device`]'s.
//!
//! ```text
//!              refused at once: nothing has changed
//!                 ^
//!   read, write --+--> pin --> waits --> transfers under way --> unlock --> ended --> told
//!                               |            |      ^                ^
//!                               |            |      | one at a time  |
//!                               |            |      | for each run   |
//!                               |            v      | of frames      |
//!                               |           (more of it)             |
//!                               |            | deadline, or broken   |
//!                               |            v                       |
//!                               |          reset ------------------->| with an error
//!                               | deadline                           |
//!                               +----------------------------------->+
//! ```
//!
//! A pin ends only when no transfer of its request is under way, or after a reset. If a reset
//! fails, too, the device may write for ever: pmserver then gives the frames other memory at the
//! deadline of the pin, and the old memory stays in quarantine until a later reset succeeds.
//!
//! | module | what it does |
//! |---|---|
//! | `server` | the operations; when transfers begin, what happens when they end or do not |
//! | `requests` | the table of requests, of a fixed size |
//! | `work` | what is left to do of a request, cut into transfers |
//! | `device` | what a device has to do |
#![no_std]
#![forbid(unsafe_code)]

mod device;
mod requests;
mod server;
mod work;

pub use device::{Broken, BusRange, Device, Limits, Refusal, RequestIndex, Transfer};
pub use server::BlockServer;
