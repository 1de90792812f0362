// SPDX-License-Identifier: BSD-2-Clause
//! The deterministic simulator: the third place where the whole system runs (design D9).
//!
//! [`machine`] models seL4's objects by seL4's rules and knows nothing of pmserver; [`SimKernel`]
//! drives it as pmserver's PD drives the kernel; [`system`] runs the protection domains of a
//! [`system_file`] on top, and a [`testbed`] is pmserver with peers that a test speaks for. Nothing
//! here reads the host's clock, starts a thread or draws a random number, so that a run depends on
//! its inputs alone.
#![forbid(unsafe_code)]
// A defect of the simulator may stop it: it serves nobody, and a stop is what a test looks for.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod clock;
pub mod fuzz;
mod kernel;
mod loader;
pub mod machine;
pub mod system;
pub mod system_file;
pub mod testbed;

pub use clock::Clock;
pub use kernel::{DeviceFault, InvocationKind, SimKernel};
pub use loader::{BootPlan, Region, equal_parts};
pub use pmserver_setup::PoolPart;
