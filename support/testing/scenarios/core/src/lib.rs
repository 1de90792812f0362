// SPDX-License-Identifier: BSD-2-Clause
//! The acceptance scenarios of the container protocol, and a file server that can be told to
//! misbehave. The actors are puppets (`support/testing/scenarios/puppet`).
//!
//! Each scenario is a function named by its number; its doc quotes what is to be shown. It finds
//! nothing that another has left, and when it ends every account must be what it was before.
//!
//! The same code runs on the kernel and in the simulator. It allocates nothing, and prints the same
//! everywhere: one line per scenario, the sum, and `PASS` or `FAIL: why`.
//!
//! # Why the scenarios make raw calls
//!
//! What only has to work, such as cleaning up after a scenario, goes through `pmserver_client`.
//! What a scenario checks goes through `pmserver_api::Calls`, for three reasons:
//! - They check single calls: how much one reply says is done, and where it stopped. The client
//!   crate sums this up over several calls.
//! - They use handles that are invalid, of another peer, or of something that has ended. The values
//!   of the client crate exist to prevent that.
//! - One program speaks for eight peers, each of which may be stopped in the middle of a scenario:
//!   what is left to release then does not follow from scope.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod accounts;
mod allocate;
mod armed;
mod baseline;
mod cast;
mod confused_handler;
mod copies;
mod dma;
mod error;
mod exhaustion;
mod exit;
mod files;
mod handlers;
mod hostile;
mod large;
mod leases;
mod malformed;
mod pressure;
mod promised;
mod read_path;
mod repair;
mod run;
mod sabotage;
mod server_cancelled;
mod server_death;
mod server_hangs;
mod tables;
mod world;
mod worst_cases;

pub use cast::Cast;
pub use run::{names, run, run_chosen};
pub use sabotage::{Sabotage, Sabotaged, SabotagedServer};
