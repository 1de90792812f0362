// SPDX-License-Identifier: BSD-2-Clause
//! The page tables and CNodes of peers.
//!
//! Owns the store and the state of every peer. Knows which capability is installed where. Does not
//! know containers, leases or copies.

pub(crate) mod capabilities;
pub(crate) mod clusters;
pub(crate) mod grants;
mod kept;
pub(crate) mod large;
pub(crate) mod mappings;
pub(crate) mod page_tables;
pub(crate) mod payers;
pub(crate) mod run_mappings;

use proto::PeerId;
use proto::limits::PEERS_MAX;

use crate::kernel::Kernel;
use crate::records::broken::broken;
use crate::records::cell::Ref;
use crate::records::mapping::Mapping;
use crate::records::peer::Peer;
use crate::store::Store;

/// The floor of page tables and CNodes.
#[derive(Clone)]
pub(crate) struct Tables<K> {
    /// The store. Every floor above uses it by this name.
    pub(crate) store: Store<K>,
    pub(crate) peers: [Option<Peer>; PEERS_MAX],
    /// Whether the probe that looks for missing page tables is mapped.
    is_probe_mapped: bool,
    /// The record of a large mapping that was unmapped last, while it is kept.
    kept: Option<Ref<Mapping>>,
}

impl<K: Kernel> Tables<K> {
    /// Builds the floor on the store, without peers.
    pub(crate) const fn new(store: Store<K>) -> Self {
        Self { store, peers: [const { None }; PEERS_MAX], is_probe_mapped: false, kept: None }
    }

    pub(crate) fn find_peer(&self, id: PeerId) -> Option<&Peer> {
        self.peers.get(usize::from(id.get()))?.as_ref()
    }

    /// Returns a peer that exists.
    pub(crate) fn peer(&self, id: PeerId) -> &Peer {
        match self.find_peer(id) {
            Some(peer) => peer,
            None => broken("no such peer"),
        }
    }

    /// Returns a peer that exists, for writing.
    pub(crate) fn peer_mut(&mut self, id: PeerId) -> &mut Peer {
        match self.peers.get_mut(usize::from(id.get())) {
            Some(Some(peer)) => peer,
            _ => broken("no such peer"),
        }
    }
}
