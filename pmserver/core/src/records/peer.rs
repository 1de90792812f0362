// SPDX-License-Identifier: BSD-2-Clause
//! The state of a protection domain that is kept outside the pool: a few words for each.

use pmserver_api::AccessKind;
use proto::{Micros, PeerId, VirtAddr};

use crate::config::{PeerConfig, PeerName, Privileges, name_of};
use crate::kernel::PageIndex;
use crate::records::account::Account;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::count::Count;
use crate::records::handler::Wait;
use crate::records::leaf::Tree;
use crate::records::lease::Lease;
use crate::records::links::Link;
use crate::records::mapping::Mapping;
use crate::records::region::Region;
use crate::records::search::Search;
use crate::records::table::Table;

/// The state of one VSpace.
#[derive(Clone, Copy, Default)]
pub(crate) struct VSpaceState {
    /// The tree of mappings, by address.
    pub(crate) mappings: Tree<Mapping>,
    /// For each level, a tree of tables by the first address that they translate.
    pub(crate) tables: [Tree<Table>; 3],
    pub(crate) table_count: Count<u32>,
    /// The tree of regions, by their last page.
    pub(crate) regions: Tree<Region>,
    pub(crate) region_count: Count<u16>,
    /// The tree of grants, by their index.
    pub(crate) grants: Tree<Mapping>,
    /// The CNode that the grants are in.
    pub(crate) grant_node: Option<PageIndex>,
}

impl VSpaceState {
    /// Returns the tree of grants, or that of mappings.
    pub(crate) const fn tree(&self, of_grants: bool) -> Tree<Mapping> {
        if of_grants { self.grants } else { self.mappings }
    }

    /// Returns the same for writing.
    pub(crate) const fn tree_mut(&mut self, of_grants: bool) -> &mut Tree<Mapping> {
        if of_grants { &mut self.grants } else { &mut self.mappings }
    }

    /// Returns whether pmserver has nothing in it.
    pub(crate) fn is_empty(&self) -> bool {
        self.mappings.is_empty()
            && self.regions.is_empty()
            && self.grants.is_empty()
            && self.grant_node.is_none()
            && self.table_count.is_zero()
    }
}

/// How many spans without anything of the program are remembered for each peer.
const FREE_SPANS: usize = 8;

/// Pages that were mapped with an accessed one (PM-203).
#[derive(Clone, Copy, Default)]
pub(crate) struct Ahead {
    /// The address behind them.
    pub(crate) end: u64,
    /// How many were to be mapped.
    pub(crate) pages: u64,
}

/// A protection domain that pmserver serves.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) name: PeerName,
    /// Its own account, until that is destroyed.
    pub(crate) account: Option<Ref<Account>>,
    /// The account that pays for its VSpace (R25); none if that was destroyed.
    pub(crate) table_account: Option<Ref<Account>>,
    /// The live containers that it made.
    pub(crate) containers: Link<Container>,
    pub(crate) privileges: Privileges,
    pub(crate) vspace: VSpaceState,
    /// Its recovery entry and stack, where it continues after a fault.
    pub(crate) recovery: Option<(VirtAddr, VirtAddr)>,
    /// Until when it may take to register again, after it was sent to its recovery entry.
    pub(crate) recovering: Option<Micros>,
    /// The server that it waits for, and until when.
    pub(crate) watch: Option<(PeerId, Micros)>,
    /// The server that was sent to its recovery entry while this peer waited for it, and until when
    /// that has to answer; none from this peer's next call on.
    pub(crate) restarted: Option<(PeerId, Micros)>,
    /// The frame that its last access waits for.
    pub(crate) wait: Option<Wait>,
    /// Its last fault, if the page was mapped for the access: a second one is a fault of its own.
    pub(crate) in_vain: Option<(u64, AccessKind)>,
    /// What was mapped with its last access in a region.
    pub(crate) ahead: Ahead,
    /// How often it has faulted for good: was sent to its recovery entry, or stopped.
    pub(crate) faults: u64,
    /// A search for contiguous pages that its next call continues.
    pub(crate) search: Option<Search>,
    pub(crate) leases: Link<Lease>,
    pub(crate) lease_count: Count<u16>,
    /// Spans of a lowest table, by their number and one, in which nothing came with its program.
    pub(crate) free_spans: [u64; FREE_SPANS],
    /// It faulted and does not run again; its objects are being destroyed.
    pub(crate) is_stopped: bool,
}

impl Peer {
    /// Returns a peer that has an account and nothing else.
    pub(crate) fn new(id: PeerId, config: &PeerConfig<'_>, account: Ref<Account>) -> Self {
        Self {
            id,
            name: name_of(config),
            account: Some(account),
            table_account: Some(account),
            containers: Link::NONE,
            privileges: config.privileges,
            vspace: VSpaceState::default(),
            recovery: None,
            recovering: None,
            watch: None,
            restarted: None,
            wait: None,
            in_vain: None,
            ahead: Ahead::default(),
            faults: 0,
            search: None,
            leases: Link::NONE,
            lease_count: Count::ZERO,
            free_spans: [0; FREE_SPANS],
            is_stopped: false,
        }
    }
}
