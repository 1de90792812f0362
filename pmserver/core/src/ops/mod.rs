// SPDX-License-Identifier: BSD-2-Clause
//! The operations of the protocol, one file for one or a few of them.

pub(crate) mod account;
pub(crate) mod account_lend;
pub(crate) mod account_split;
pub(crate) mod allocate;
pub(crate) mod allocate_anywhere;
pub(crate) mod container;
pub(crate) mod contiguous;
pub(crate) mod copy;
pub(crate) mod create;
pub(crate) mod deallocate;
pub(crate) mod disturb;
pub(crate) mod extra;
pub(crate) mod grant;
pub(crate) mod handler;
pub(crate) mod inspect;
mod inspect_pages;
mod inspect_places;
pub(crate) mod lock;
pub(crate) mod map;
mod map_ahead;
pub(crate) mod map_cluster;
mod map_large;
mod map_run;
pub(crate) mod pin;
pub(crate) mod recovery;
pub(crate) mod region;
pub(crate) mod repair;
pub(crate) mod share;
pub(crate) mod take;
pub(crate) mod unmap;

use crate::config::CallGraph;
use crate::frames::FrameManager;
use crate::records::count::Count;
use crate::records::ledger::Ledger;
use crate::records::links::Link;

/// The floor of operations.
#[derive(Clone)]
pub(crate) struct Operations<K> {
    frames: FrameManager<K>,
    /// The queue of accounts with something to tear down.
    pub(crate) work: Link<Ledger>,
    /// How many containers and accounts are dying.
    pub(crate) dying_count: Count<u64>,
    /// Who calls whom, and may watch it.
    pub(crate) calls: CallGraph,
}

stands_on!(Operations.frames: FrameManager);

impl<K> Operations<K> {
    /// Builds the floor on the one below.
    pub(crate) const fn new(frames: FrameManager<K>) -> Self {
        Self { frames, work: Link::NONE, dying_count: Count::ZERO, calls: CallGraph::NONE }
    }
}
