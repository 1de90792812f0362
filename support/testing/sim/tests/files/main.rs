// SPDX-License-Identifier: BSD-2-Clause
//! fsserver on a disk behind its driver, with clients that write, wait, and are stopped.
// Tests may fail by panicking.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod ahead;
mod changes;
mod crash;
mod failing;
mod folders;
mod image;
mod model;
mod pressure;
mod random;
mod reuse;
mod rig;
mod rights;
#[path = "../stage/mod.rs"]
mod stage;
mod waiting;
