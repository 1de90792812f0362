// SPDX-License-Identifier: BSD-2-Clause
//! What pmserver keeps of a protection domain outside the pool: a few words each.

use proto::{Micros, PeerId, VirtAddr};

use crate::accounts::account::Account;
use crate::config::{PeerConfig, PeerName, Privileges, name_of};
use crate::containers::handler::Wait;
use crate::containers::relocate::Search;
use crate::memory::frame_table::PageIndex;
use crate::memory::records::Ref;

/// What pmserver keeps of one VSpace.
#[derive(Clone, Copy, Default)]
pub(crate) struct VSpaceState {
    /// The tree of mappings, by address.
    pub(crate) mappings: u32,
    /// A tree of tables a level, by the first address that they translate.
    pub(crate) tables: [u32; 3],
    pub(crate) table_count: u32,
    /// The tree of regions, by their last page.
    pub(crate) regions: u32,
    pub(crate) region_count: u16,
    /// The tree of grants, by their index.
    pub(crate) grants: u32,
    /// The CNode that the grants are in.
    pub(crate) grant_node: Option<PageIndex>,
}

impl VSpaceState {
    /// Returns whether pmserver has put nothing there.
    pub(crate) const fn is_empty(&self) -> bool {
        self.mappings == 0 && self.regions == 0 && self.grants == 0 && self.table_count == 0
    }
}

/// What pmserver knows of a protection domain.
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) name: PeerName,
    /// Its own account, until that is destroyed.
    pub(crate) account: Option<Ref<Account>>,
    /// The account that pays for its VSpace (R25); none where that was destroyed.
    pub(crate) table_account: Option<Ref<Account>>,
    /// The live containers that it made.
    pub(crate) containers: u32,
    pub(crate) privileges: Privileges,
    pub(crate) vspace: VSpaceState,
    /// Where it goes on after a fault: entry and stack.
    pub(crate) recovery: Option<(VirtAddr, VirtAddr)>,
    /// Whom it waits for, and until when.
    pub(crate) watch: Option<(PeerId, Micros)>,
    /// What its last access waits for.
    pub(crate) wait: Option<Wait>,
    /// A search for contiguous pages that it goes on with.
    pub(crate) search: Option<Search>,
    pub(crate) leases: u32,
    pub(crate) lease_count: u16,
    /// It faulted and does not run again; what it had is being taken down.
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
            containers: 0,
            privileges: config.privileges,
            vspace: VSpaceState::default(),
            recovery: None,
            watch: None,
            wait: None,
            search: None,
            leases: 0,
            lease_count: 0,
            is_stopped: false,
        }
    }
}
