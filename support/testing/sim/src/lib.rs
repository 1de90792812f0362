// SPDX-License-Identifier: BSD-2-Clause
//! The deterministic simulator, which runs the whole system on the host (decision D9).
//!
//! [`machine`] models seL4's objects and rules, and contains nothing about pmserver. [`SimKernel`]
//! makes the same invocations of it as pmserver's PD makes of seL4. [`system`] runs the protection
//! domains of a [`system_file`] on top; a [`testbed`] runs only pmserver, and a test acts as its
//! peers. [`stop`] lets things go wrong in every place. A run reads no clock of the host, starts no
//! thread and draws no random number, so it depends only on its inputs.
#![forbid(unsafe_code)]
// The simulator may panic on its own defects: it runs only in tests, which then fail.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod clock;
mod direct;
pub mod disk;
pub mod explore;
pub mod fuzz;
mod kernel;
mod loader;
pub mod machine;
pub mod stop;
pub mod system;
pub mod system_file;
pub mod testbed;

pub use clock::Clock;
pub use kernel::{DeviceFault, InvocationKind, Refusal, SimKernel};
pub use loader::{BootPlan, Region, equal_parts};
pub use pmserver_setup::PoolPart;
