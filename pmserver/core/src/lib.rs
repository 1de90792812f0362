// SPDX-License-Identifier: BSD-2-Clause
//! The physical memory server's core: who owns which memory, who pays, who may touch it.
//!
//! A [`Server`] decides; a [`Kernel`](kernel::Kernel) does. The same core runs in the protection
//! domain and in the simulator. All of its state but a few words is in the pool that it manages.
//!
//! | to find | look in |
//! |---|---|
//! | where a request becomes an operation | `server.rs` |
//! | create, destroy, allocate, deallocate, status | `container.rs` |
//! | share, unshare, weak handles | `share.rs` |
//! | lock, unlock, expiry | `lease.rs` |
//! | map, unmap, page tables, slots | `mapping.rs`, `vspace.rs` |
//! | faults, recovery, rescue | `fault.rs` |
//! | reclaim, what dying containers and stopped peers leave | `teardown.rs` |
//! | accounts and charges | `account.rs` |
//! | pages, free lists, records | `pool.rs`, `frame_table.rs`, `records.rs`, `radix.rs` |
//! | what always holds | `check.rs` |
#![no_std]
#![forbid(unsafe_code)]

mod account;
mod check;
pub mod config;
mod container;
mod fault;
mod frame_table;
pub mod kernel;
mod lease;
mod mapping;
mod objects;
mod peer;
mod pool;
mod radix;
mod range;
mod records;
mod server;
mod share;
mod teardown;
mod vspace;

pub use fault::{Fault, FaultOutcome};
pub use frame_table::PageIndex;
pub use server::Server;

/// Stops the server: its own state is not what it must be. No request can bring this about; where
/// it happens, going on would hand out memory on the strength of a table that is known to be wrong.
#[allow(clippy::panic)]
fn broken(what: &str) -> ! {
    panic!("internal state broken: {what}")
}
