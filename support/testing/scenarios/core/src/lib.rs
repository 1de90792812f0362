// SPDX-License-Identifier: BSD-2-Clause
//! The acceptance scenarios of the container protocol (protocol.md (b)), in the place of the
//! client, and what they need of the others: a file server that can be told to misbehave, and a
//! supervisor. The actors are puppets (`support/testing/scenarios/puppet`).
//!
//! Each scenario is a function of its number; its doc quotes the row of the table. It begins with
//! nothing that another has left, and when it ends every account has to be what it was.
//!
//! The same code runs on the kernel and in the simulator. It allocates nothing. What it prints is
//! the same everywhere: a line a scenario, the sum, and `PASS` or `FAIL: why`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod accounts;
mod allocate;
mod baseline;
mod cast;
mod copies;
mod dma;
mod error;
mod exhaustion;
mod exit;
mod files;
mod handlers;
mod hostile;
mod leases;
mod malformed;
mod pressure;
mod read_path;
mod repair;
mod run;
mod sabotage;
mod server_cancelled;
mod server_death;
mod supervisor;
mod tables;
mod world;

pub use cast::Cast;
pub use run::{run, run_chosen};
pub use sabotage::{Sabotage, Sabotaged, SabotagedServer};
pub use supervisor::supervisor_step;
