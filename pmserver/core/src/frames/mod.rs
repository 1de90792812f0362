// SPDX-License-Identifier: BSD-2-Clause
//! Frames: their memory, copies that share it, leases, pins, and handlers.
//!
//! Owns the floor of page tables below. Breaks copy-on-write, moves contents between pages, ends
//! leases. Does not know operations: `ops/` tells it what to do.

pub(crate) mod absent;
pub(crate) mod access;
pub(crate) mod binding;
pub(crate) mod bound_runs;
pub(crate) mod clusters;
pub(crate) mod copy_together;
pub(crate) mod copying;
pub(crate) mod expiry;
pub(crate) mod individual;
mod insertion;
pub(crate) mod large;
pub(crate) mod leases;
pub(crate) mod link;
pub(crate) mod lookup;
pub(crate) mod moved_runs;
pub(crate) mod pins;
pub(crate) mod relocate;
pub(crate) mod takes;
pub(crate) mod virtual_frames;

use crate::tables::Tables;

/// The floor of frames.
#[derive(Clone)]
pub(crate) struct FrameManager<K> {
    tables: Tables<K>,
    /// The number of the next fault that a handler is told.
    pub(crate) next_fault_id: u64,
}

stands_on!(FrameManager.tables: Tables);

impl<K> FrameManager<K> {
    /// Builds the floor on the one below.
    pub(crate) const fn new(tables: Tables<K>) -> Self {
        Self { tables, next_fault_id: 1 }
    }
}
