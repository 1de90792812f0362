// SPDX-License-Identifier: BSD-2-Clause
//! The container protocol as a naive model: a second opinion on what pmserver answers.
//!
//! Written from `support/docs/pm-protocol.md`, with maps and lists and no thought of cost. It holds
//! what the protocol speaks of as plain data. For each request it says what may be answered, and
//! for each access of a program what comes of it. What a client cannot know it takes from the
//! server's answer: `answers/observed.rs` is the whole list.
//!
//! Devices, and what programs map with capabilities of their own, are outside the model.
//!
//! | floor, from the top | |
//! |---|---|
//! | `entry/` | from a request or an access to its operation; what the fuzzer may look at |
//! | `operations/` | what each operation is answered and changes |
//! | `rules/` | what operations have in common: rights, leases, charges, absent frames |
//! | `state/` | accounts, containers, shares, leases, mappings, contents of frames |
//! | `answers/` | what may be answered, and what the model takes from an answer |
#![forbid(unsafe_code)]
// Only tests use it: a panic is a failed test.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod answers;
mod entry;
mod operations;
mod rules;
mod state;

pub use answers::{Answer, CALL_MICROS_MAX, CountBounds, Expected, StateBounds};
pub use entry::{Access, Handles, Touch};
pub use operations::Fate;
pub use state::{Config, Model, PeerSetup};
