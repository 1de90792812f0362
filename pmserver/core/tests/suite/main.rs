// SPDX-License-Identifier: BSD-2-Clause
//! Tests of the core, over the simulated kernel: one program, because each one compiles the core
//! for that kernel. `cargo test --test suite accounts::` runs those of one file.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

#[path = "../heavy/mod.rs"]
mod heavy;
#[path = "../refused/mod.rs"]
mod refused;
#[path = "../watched/mod.rs"]
mod watched;
#[path = "../world/mod.rs"]
mod world;

mod account_teardown;
mod accounts;
mod accounts_random;
mod bound_runs;
mod bounds;
mod clusters;
mod clusters_random;
mod containers;
mod copies;
mod corners;
mod devices;
mod extra_frames;
mod extra_frames_random;
mod faults;
mod free_pages;
mod full_pool;
mod going_on;
mod grants;
mod handed_over;
mod handlers;
mod hostile;
mod idempotent;
mod inspecting;
mod invariants;
mod kept;
mod kept_unmapped;
mod large;
mod lent_accounts;
mod map_ahead;
mod mappings;
mod opened;
mod paid_when_promised;
mod pieces;
mod pins;
mod pressure;
mod promised_memory;
mod refusals;
mod refused_in_time;
mod runs;
mod shares;
mod takes;
mod worst_cases;
