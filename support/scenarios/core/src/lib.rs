// SPDX-License-Identifier: BSD-2-Clause
//! The acceptance scenarios of the container protocol (protocol.md (b)), in the place of the
//! client, and what they need of the others: a file server that can be told to misbehave, and a
//! supervisor.
//!
//! - S9: a file is read through a lent container. The data is right, the container keeps its 16
//!   frames, S's handle is dead afterwards, S's account is what it was.
//! - S10: S faults half-way. C is answered, unshares at once, keeps what was written.
//! - S14: S returns without having done the work, or hangs until it is rescued. C cancels at once,
//!   the frames are reusable, S's late calls are refused.
//!
//! The same code runs on seL4 and in the simulator. It allocates nothing. What it prints is the
//! same everywhere: a line a scenario, the sum, and `PASS` or `FAIL: why`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod error;
mod read_path;
mod run;
mod sabotage;
mod server_cancelled;
mod server_death;
mod supervisor;
mod world;

pub use run::run;
pub use sabotage::{Sabotage, Sabotaged, SabotagedServer};
pub use supervisor::supervisor_step;
