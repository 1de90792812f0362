// SPDX-License-Identifier: BSD-2-Clause
//! The physical memory server's core: who owns which memory, who pays, who may touch it.
//!
//! A [`Server`] decides; a [`Kernel`](kernel::Kernel) does. The same core runs in the protection
//! domain and in the simulator. All of its state but a few words is in the pool that it manages.
//!
//! The core has floors. Each owns the one below it, so a floor can call downwards only: the
//! compiler and `tidy` check it (decision 0015).
//!
//! | floor | type | what it does |
//! |---|---|---|
//! | `server.rs` | [`Server`] | every way into the core |
//! | `check/` | | verifies everything that must hold between two calls |
//! | `serve/` | `Service` | dispatches calls, retries under memory pressure; faults |
//! | `teardown/` | `Teardown` | destroys accounts and stopped peers, in bounded steps |
//! | `ops/` | `Operations` | the operations of the protocol |
//! | `frames/` | `FrameManager` | what a frame has: memory, copies, leases, pins, a handler |
//! | `tables/` | `Tables` | what is in the page tables and CNodes of peers |
//! | `store/` | `Store` | pages, records, and the accounts that are charged for them |
//! | `records/` | | every record type and small value; no behaviour |
//! | `kernel.rs`, `config.rs` | [`Kernel`](kernel::Kernel) | the platform; the peers |
//!
//! | operation | decided in | done in |
//! |---|---|---|
//! | container_create, container_destroy, status | `ops/container.rs` | `store/cells.rs` |
//! | allocate | `ops/allocate.rs` | `frames/insertion.rs` |
//! | deallocate | `ops/deallocate.rs` | `frames/virtual_frames.rs` |
//! | mark | `ops/deallocate.rs` | `store/extra.rs` |
//! | allocate_anywhere, renew | `ops/allocate_anywhere.rs` | `frames/insertion.rs` |
//! | allocate_contiguous | `ops/contiguous.rs` | `frames/relocate.rs` |
//! | create_with, create_from, create_gather | `ops/create.rs` | `ops/copy.rs` |
//! | copy, copy_list | `ops/copy.rs` | `frames/copying.rs`, `frames/link.rs` |
//! | share, unshare | `ops/share.rs` | `tables/mappings.rs` |
//! | lock, unlock | `ops/lock.rs` | `frames/leases.rs`, `frames/expiry.rs` |
//! | pin, bus_address, device_reset | `ops/pin.rs` | `frames/pins.rs` |
//! | set_handler, next_fault, supply, refuse | `ops/handler.rs` | `frames/absent.rs` |
//! | map, unmap | `ops/map.rs`, `ops/unmap.rs` | `tables/mappings.rs`, `tables/page_tables.rs` |
//! | the same, and copy, for clusters | `ops/map_cluster.rs` | `frames/copy_together.rs` |
//! | the same, for bound runs | `ops/map_run.rs` | `frames/bound_runs.rs`, `frames/moved_runs.rs` |
//! | large frames: made, split | `ops/map_large.rs` | `frames/large.rs`, `store/blocks.rs` |
//! | remap; repair of mappings by fault | `ops/repair.rs` | `tables/mappings.rs` |
//! | attach, detach | `ops/region.rs` | `ops/map_ahead.rs`, `ops/repair.rs` |
//! | grant, ungrant, ensure_tables | `ops/grant.rs` | `tables/grants.rs`, `tables/page_tables.rs` |
//! | account_info, vspace_account | `ops/account.rs` | `tables/payers.rs` |
//! | account_split, account_set_limits | `ops/account_split.rs` | `store/account_tree.rs` |
//! | account_lend, account_recall | `ops/account_lend.rs` | `store/account_tree.rs` |
//! | account_destroy | `teardown/accounts.rs` | `ops/container.rs`, `store/account_tree.rs` |
//! | account_remove | `teardown/accounts.rs` | `store/account_tree.rs` |
//! | reclaim | `teardown/mod.rs` | |
//! | extra_request; memory pressure | `ops/extra.rs` | `serve/pressure.rs`, `store/extra.rs` |
//! | register_recovery, watch, rescue; faults | `ops/recovery.rs` | `serve/fault.rs` |
//! | disturb | `ops/disturb.rs` | `frames/relocate.rs` |
//! | inspect | `ops/inspect.rs`, `ops/inspect_places.rs`, `ops/inspect_pages.rs` | |
//!
//! Five operations with every file that has a part in them, in the order of reading. Before these,
//! a call is decoded in `pmserver/api/src/decode.rs` and dispatched in `serve/dispatch.rs`. What
//! all operations stand on is not repeated: handles (`frames/access.rs`, `ops/account.rs`), the
//! check for leases (`frames/leases.rs`), the splitting of runs, clusters and large frames
//! (`frames/individual.rs`, `frames/clusters.rs`, `frames/bound_runs.rs`, `frames/large.rs`),
//! charges, cells, chains, trees, and the records in them.
//!
//! ```text
//! allocate          ops/allocate, frames/insertion, frames/binding, store/runs, store/extra,
//!                   store/free
//! unshare           ops/share, frames/leases, frames/expiry, tables/mappings, tables/page_tables
//! copy              ops/copy, frames/copying, frames/copy_together, frames/link, frames/binding,
//!                   store/holders
//! account_destroy   teardown/accounts, ops/container, frames/expiry, tables/page_tables,
//!                   store/account_tree, store/extra
//! repair at fault   pmserver/src/fault.rs, serve/fault, ops/repair, ops/map, frames/absent,
//!                   frames/binding, tables/mappings, tables/page_tables
//! ```
#![no_std]
#![forbid(unsafe_code)]

/// Lays a floor on the one below it: what the lower one can do, the upper one can do too, and never
/// the other way round.
macro_rules! stands_on {
    ($upper:ident . $field:ident: $lower:ident) => {
        impl<K> core::ops::Deref for $upper<K> {
            type Target = $lower<K>;

            fn deref(&self) -> &$lower<K> {
                &self.$field
            }
        }

        impl<K> core::ops::DerefMut for $upper<K> {
            fn deref_mut(&mut self) -> &mut $lower<K> {
                &mut self.$field
            }
        }
    };
}

mod check;
pub mod config;
mod frames;
pub mod kernel;
mod ops;
mod records;
mod serve;
mod server;
mod store;
mod tables;
mod teardown;

pub use kernel::PageIndex;
pub use serve::fault::{Fault, FaultOutcome};
pub use server::Server;
