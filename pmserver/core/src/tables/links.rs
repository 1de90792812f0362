// SPDX-License-Identifier: BSD-2-Clause
//! Finding and removing mappings: by their address, from their frame, and from the share that they
//! were made through.

use proto::{PeerId, VirtAddr};

use crate::kernel::{Kernel, KernelError};
use crate::records::broken::broken;
use crate::records::cell::Ref;
use crate::records::frame::Frame;
use crate::records::links::Link;
use crate::records::mapping::{Mapping, MappingsOfFrame, MappingsOfShare};
use crate::records::share::Share;
use crate::tables::Tables;

impl<K: Kernel> Tables<K> {
    /// Links a mapping to its frame and to the share that it was made through.
    pub(crate) fn link_mapping(&mut self, mapping: Ref<Mapping>) {
        let frame = self.frame_of(mapping);
        let first = self.store.get(frame).mappings;
        let first = self.store.add_first::<MappingsOfFrame>(first, mapping);
        let record = self.store.get_mut(frame);
        record.mappings = first;
        record.mapping_count.up();
        let Some(share) = self.store.get(mapping).share.target() else { return };
        let first = self.store.get(share).mappings;
        let first = self.store.add_first::<MappingsOfShare>(first, mapping);
        self.store.get_mut(share).mappings = first;
    }

    pub(crate) fn frame_of(&self, mapping: Ref<Mapping>) -> Ref<Frame> {
        match self.store.get(mapping).frame.target() {
            Some(frame) => frame,
            None => broken("mapping without a frame"),
        }
    }

    pub(crate) fn find_mapping(&self, peer: PeerId, vaddr: VirtAddr) -> Option<Ref<Mapping>> {
        self.store.tree_get::<Mapping>(self.peer(peer).vspace.mappings, vaddr.get())
    }

    /// Removes a mapping or a grant. When this succeeds, the peer's next access through it faults.
    ///
    /// # Errors
    /// The kernel's error; the mapping is then as it was.
    pub(crate) fn remove_mapping(&mut self, mapping: Ref<Mapping>) -> Result<(), KernelError> {
        if self.store.get(mapping).is_grant() {
            return self.remove_grant(mapping);
        }
        self.forget_cap(mapping)?;
        let record = *self.store.get(mapping);
        let peer = record.peer();
        self.store.free_slot(record.slot());
        let tree = self.store.tree_remove(self.peer(peer).vspace.mappings, record.vaddr());
        self.peer_mut(peer).vspace.mappings = tree;
        self.unlink_mapping(mapping);
        self.store.free(mapping);
        self.count_mapping(peer, record.vaddr(), false);
        self.collect_tables(peer, record.vaddr());
        Ok(())
    }

    /// Removes a mapping from the lists of its frame and its share.
    pub(super) fn unlink_mapping(&mut self, mapping: Ref<Mapping>) {
        let frame = self.frame_of(mapping);
        let first = self.store.get(frame).mappings;
        let first = self.store.remove_from_chain::<MappingsOfFrame>(first, mapping);
        let record = self.store.get_mut(frame);
        record.mappings = first;
        record.mapping_count.down();
        let Some(share) = self.store.get(mapping).share.target() else { return };
        let first = self.store.get(share).mappings;
        let first = self.store.remove_from_chain::<MappingsOfShare>(first, mapping);
        self.store.get_mut(share).mappings = first;
    }

    /// Returns the mapping of a frame after one that may be removed now.
    pub(crate) fn next_mapping(
        &self,
        frame: Ref<Frame>,
        mapping: Ref<Mapping>,
    ) -> Option<Ref<Mapping>> {
        self.store.next_of::<MappingsOfFrame>(self.store.get(frame).mappings, mapping)
    }

    /// Removes the mappings and grants of a frame that were made through the shares that `goes`
    /// selects.
    pub(crate) fn remove_mappings(
        &mut self,
        frame: Ref<Frame>,
        goes: impl Fn(Link<Share>) -> bool,
    ) -> Result<(), KernelError> {
        let mut next = self.store.get(frame).mappings.target();
        while let Some(mapping) = next {
            next = self.next_mapping(frame, mapping);
            if goes(self.store.get(mapping).share) {
                self.remove_mapping(mapping)?;
            }
        }
        Ok(())
    }
}
