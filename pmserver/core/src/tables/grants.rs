// SPDX-License-Identifier: BSD-2-Clause
//! Revoking grants.

use proto::PeerId;

use crate::kernel::{Kernel, KernelError};
use crate::records::account::Charge;
use crate::records::cell::Ref;
use crate::records::leaf::Leaf;
use crate::records::mapping::Mapping;
use crate::tables::Tables;

impl<K: Kernel> Tables<K> {
    /// Releases the CNode for grants if it is empty. One that the kernel refuses to take out of the
    /// peer's CSpace stays recorded and charged, and has the next grants (PM-381).
    pub(crate) fn collect_grant_node(&mut self, peer: PeerId) {
        let vspace = &self.peer(peer).vspace;
        let Some(node) = vspace.grant_node.filter(|_| vspace.grants.is_empty()) else { return };
        let owner = self.store.page_owner(node);
        // The kernel removes it from the peer's CSpace together with the object.
        if self.store.unmake_object(node).is_ok() {
            self.store.refund(owner, Charge::Slots);
            self.peer_mut(peer).vspace.grant_node = None;
        }
    }

    /// Revokes a grant: the peer loses the capability and what it mapped with it.
    pub(crate) fn remove_grant(&mut self, grant: Ref<Mapping>) -> Result<(), KernelError> {
        let record = *self.store.get(grant);
        self.store.kernel.delete(record.slot(0))?;
        let peer = record.peer();
        let tree = self.store.tree_remove(self.peer(peer).vspace.grants, record.key());
        self.peer_mut(peer).vspace.grants = tree;
        self.unlink_mapping(grant);
        self.store.free(grant);
        self.collect_grant_node(peer);
        Ok(())
    }
}
