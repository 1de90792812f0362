// SPDX-License-Identifier: BSD-2-Clause
//! A puppet: a protection domain that is an actor of the acceptance scenarios, and does what the
//! domain that runs them tells it to.
//!
//! A message is an order for the puppet itself (`order.rs`), or a call that it forwards to pmserver
//! as it is: the scenarios choose every byte of what an actor sends, also what no well-meaning
//! program would. What the puppet does by itself when it is notified (`behaviour.rs`), it does as
//! programs do, through the client crate.
//!
//! If the puppet faults, it continues at its recovery entry, where the program around it answers
//! the pending caller with [`faulted`]: a scenario sees a fault as a reply. The puppet remembers
//! nothing of before, and the program registers the entry again.
#![no_std]
#![forbid(unsafe_code)]

mod behaviour;
mod client;
mod order;
mod pattern;
mod puppet;
mod recovery;

pub use behaviour::Behaviour;
pub use client::{Client, OrderError};
pub use order::{Order, Report, faulted};
pub use pattern::checksum_of;
pub use puppet::Puppet;
pub use recovery::Recovery;
