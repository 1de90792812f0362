// SPDX-License-Identifier: BSD-2-Clause
//! Revoking grants.

use proto::PeerId;

use crate::kernel::{Kernel, KernelError};
use crate::records::cell::Ref;
use crate::records::mapping::Mapping;
use crate::tables::Tables;

impl<K: Kernel> Tables<K> {
    /// Releases the CNode for grants if it is empty. One that the kernel refuses to take out of the
    /// peer's CSpace stays recorded and charged, and has the next grants (PM-381).
    pub(crate) fn collect_grant_node(&mut self, peer: PeerId) {
        let vspace = &self.peer(peer).vspace;
        let Some(node) = vspace.grant_node.filter(|_| vspace.grants.is_empty()) else { return };
        if self.store.kernel.uninstall_grants(peer).is_ok() {
            self.store.release_node(node);
            self.peer_mut(peer).vspace.grant_node = None;
        }
    }

    /// Revokes those grants of a record that are in a mask: the peer loses the capabilities and
    /// what it mapped with them. The record goes with the last one.
    ///
    /// # Errors
    /// The kernel's error; what it refuses to revoke is as it was.
    pub(crate) fn remove_grants(
        &mut self,
        grants: Ref<Mapping>,
        mask: u8,
    ) -> Result<(), KernelError> {
        let revoked = self.forget_caps_of(grants, mask);
        let record = self.store.get_mut(grants);
        record.set_present(record.caps());
        let peer = record.peer();
        if record.present() == 0 {
            self.remove_record(grants);
            if self.peer(peer).vspace.grants.is_empty() {
                self.collect_grant_node(peer);
            }
        }
        revoked
    }
}
