// SPDX-License-Identifier: BSD-2-Clause
//! Taking grants back.

use proto::PeerId;

use crate::kernel::{Kernel, KernelError};
use crate::records::cell::Ref;
use crate::records::leaf::Leaf;
use crate::records::mapping::Mapping;
use crate::tables::Tables;

impl<K: Kernel> Tables<K> {
    /// Gives the CNode back where nothing is in it.
    pub(crate) fn collect_grant_node(&mut self, peer: PeerId) {
        let vspace = &mut self.peer_mut(peer).vspace;
        if !vspace.grants.is_empty() {
            return;
        }
        if let Some(node) = vspace.grant_node.take() {
            // It is gone from the peer's CSpace with its object.
            let owner = self.store.page_owner(node);
            self.store.release_node(owner, node);
        }
    }

    /// Takes a grant back: the peer's capability is gone, and what it mapped by it.
    pub(crate) fn remove_grant(&mut self, grant: Ref<Mapping>) -> Result<(), KernelError> {
        let record = *self.store.get(grant);
        if let Some(slot) = record.slot() {
            self.store.kernel.delete(slot)?;
        }
        let peer = record.peer();
        let tree = self.store.tree_remove(self.peer(peer).vspace.grants, record.key());
        self.peer_mut(peer).vspace.grants = tree;
        self.unlink_mapping(grant);
        self.store.free(grant);
        self.collect_grant_node(peer);
        Ok(())
    }

    /// Takes all grants of a peer back.
    pub(crate) fn remove_grants(&mut self, peer: PeerId) -> Result<(), KernelError> {
        while let Some(grant) = self.store.tree_next(self.peer(peer).vspace.grants, 0) {
            self.remove_grant(grant)?;
        }
        Ok(())
    }
}
