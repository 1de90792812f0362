// SPDX-License-Identifier: BSD-2-Clause
//! The physical memory server's core: who owns which memory, who pays, who may touch it.
//!
//! A [`Server`] decides; a [`Kernel`](kernel::Kernel) does. The same core runs in the protection
//! domain and in the simulator. All of its state but a few words is in the pool that it manages.
//!
//! | to find | look in |
//! |---|---|
//! | where a request becomes an operation | `server.rs`, `dispatch.rs` |
//! | what the core needs of the platform, and its configuration | `kernel.rs`, `config.rs` |
//! | what always holds | `check/` |
//!
//! | operations | `containers/` |
//! |---|---|
//! | container_create, container_destroy, status | `container.rs` |
//! | allocate, deallocate, mark | `frames.rs` |
//! | create_with and its kin, allocate_anywhere, renew | `create.rs` |
//! | copy, copy_list | `copy.rs`, `link.rs` |
//! | share, unshare, weak handles | `share.rs` |
//! | lock, unlock, expiry | `lease.rs`, `expiry.rs` |
//! | pin, bus_address, device_reset | `pin.rs` |
//! | set_handler, next_fault, supply, refuse | `handler.rs` |
//! | allocate_contiguous, disturb | `relocate.rs` |
//! | which frame has which page, copy-on-write | `binding.rs` |
//!
//! | operations | `mappings/` |
//! |---|---|
//! | map, unmap | `mapping.rs`, `links.rs` |
//! | remap, what comes back by itself | `repair.rs` |
//! | attach, detach | `region.rs` |
//! | grant, ungrant, ensure_tables | `grant.rs` |
//! | what is in page tables: capabilities, tables | `install.rs`, `vspace.rs` |
//!
//! | operations | `accounts/` |
//! |---|---|
//! | charges, account_info | `account.rs`, `ledger.rs`, `payer.rs` |
//! | account_split, account_set_limits | `split.rs` |
//! | account_lend, account_recall | `loan.rs` |
//! | extra frames, extra_request, memory pressure | `extra.rs`, `demand.rs`, `pressure.rs` |
//!
//! | operations | elsewhere |
//! |---|---|
//! | account_destroy, account_remove, reclaim | `teardown/` |
//! | register_recovery, watch, rescue; faults | `peers/fault.rs` |
//! | pages, free lists | `memory/pool.rs`, `free.rs`, `frame_table.rs` |
//! | records, and what they hang in | `memory/records.rs`, `cells.rs`, `chain.rs`, `radix.rs` |
#![no_std]
#![forbid(unsafe_code)]

mod accounts;
mod check;
pub mod config;
mod containers;
mod dispatch;
pub mod kernel;
mod mappings;
mod memory;
mod peers;
mod server;
mod teardown;

pub use memory::frame_table::PageIndex;
pub use peers::fault::{Fault, FaultOutcome};
pub use server::Server;

/// Stops the server: its own state is not what it must be. No request can bring this about; where
/// it happens, going on would hand out memory on the strength of a table that is known to be wrong.
#[allow(clippy::panic)]
fn broken(what: &str) -> ! {
    panic!("internal state broken: {what}")
}
