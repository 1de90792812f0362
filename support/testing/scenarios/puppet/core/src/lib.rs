// SPDX-License-Identifier: BSD-2-Clause
//! A puppet: a protection domain that is an actor of the acceptance scenarios, and does what the
//! domain that runs them tells it to.
//!
//! It calls pmserver in its own name, touches its own memory, and answers notifications as it was
//! told. A fault of its own sends it to its recovery entry, where it answers whoever told it to do
//! that: so a scenario sees a fault as a reply. It keeps nothing across a fault.
//!
//! The program around this registers the recovery entry, at the start and after every fault, and
//! answers the pending caller with [`faulted`] then. `order.rs` has the contract between the two.
#![no_std]
#![forbid(unsafe_code)]

mod behaviour;
mod client;
mod order;
mod pattern;
mod puppet;

pub use behaviour::Behaviour;
pub use client::{Client, OrderError};
pub use order::{Order, Report, faulted};
pub use pattern::checksum_of;
pub use puppet::Puppet;
