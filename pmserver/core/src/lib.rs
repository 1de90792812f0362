// SPDX-License-Identifier: BSD-2-Clause
//! The physical memory server's core: who owns which memory, who pays, who may touch it.
//!
//! A [`Server`] decides; a [`Kernel`](kernel::Kernel) does. The same core runs in the protection
//! domain and in the simulator. All of its state but a few words is in the pool that it manages.
//!
//! | to find | look in |
//! |---|---|
//! | where a request becomes an operation | `server.rs`, `dispatch.rs` |
//! | create, destroy, allocate, deallocate, mark, status | `container.rs`, `frames.rs` |
//! | create_with and its kin, allocate_anywhere, renew | `create.rs` |
//! | copy, copy_list | `copy.rs`, `link.rs` |
//! | share, unshare, weak handles | `share.rs` |
//! | lock, unlock, expiry | `lease.rs` |
//! | pin, bus_address, device_reset | `pin.rs` |
//! | map, unmap | `mapping.rs` |
//! | remap, what comes back by itself | `repair.rs` |
//! | attach, detach | `region.rs` |
//! | grant, ungrant, ensure_tables | `grant.rs` |
//! | set_handler, next_fault, supply, refuse | `handler.rs` |
//! | allocate_contiguous, disturb | `relocate.rs` |
//! | faults, recovery, rescue | `fault.rs` |
//! | which frame has which page, copy-on-write | `binding.rs` |
//! | what is in page tables: capabilities, tables | `install.rs`, `vspace.rs` |
//! | reclaim, what dying containers and stopped peers leave | `teardown.rs` |
//! | accounts and charges | `account.rs`, `ledger.rs` |
//! | split, limits, lending, who may do what | `split.rs`, `loan.rs`, `payer.rs` |
//! | the end of an account | `removal.rs`, `destroy.rs` |
//! | extra frames, memory pressure | `extra.rs`, `demand.rs`, `pressure.rs` |
//! | pages, free lists | `pool.rs`, `frame_table.rs` |
//! | records, and what they hang in | `records.rs`, `cells.rs`, `chain.rs`, `radix.rs` |
//! | what always holds | `check.rs` |
#![no_std]
#![forbid(unsafe_code)]

mod account;
mod binding;
mod budget;
mod cells;
mod chain;
mod check;
pub mod config;
mod container;
mod copy;
mod create;
mod demand;
mod destroy;
mod dispatch;
mod extra;
mod fault;
mod frame_table;
mod frames;
mod grant;
mod handler;
mod install;
pub mod kernel;
mod lease;
mod ledger;
mod link;
mod loan;
mod mapping;
mod objects;
mod payer;
mod peer;
mod pin;
mod pool;
mod pressure;
mod radix;
mod range;
mod records;
mod region;
mod relocate;
mod removal;
mod repair;
mod server;
mod share;
mod split;
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
