// SPDX-License-Identifier: BSD-2-Clause
//! Finding and removing mappings: by their address, from their frame, and from the share that they
//! were made through.

use proto::{PeerId, VirtAddr};

use crate::broken;
use crate::kernel::{Kernel, KernelError};
use crate::records::cell::Ref;
use crate::records::frame::Frame;
use crate::records::links::Link;
use crate::records::mapping::Mapping;
use crate::records::share::Share;
use crate::tables::Tables;

impl<K: Kernel> Tables<K> {
    /// Links a mapping to its frame and to the share that it was made through.
    pub(crate) fn link_mapping(&mut self, mapping: Ref<Mapping>) {
        let frame = self.frame_of(mapping);
        let record = self.store.get_mut(frame);
        let next = record.mappings;
        record.mappings = mapping.link();
        record.mapping_count = record.mapping_count.saturating_add(1);
        self.store.get_mut(mapping).next_of_frame = next;
        let Some(share) = self.store.get(mapping).share.target() else { return };
        let next = self.store.get(share).mappings;
        self.store.get_mut(share).mappings = mapping.link();
        self.store.get_mut(mapping).next_of_share = next;
        if let Some(after) = next.target() {
            self.store.get_mut(after).previous_of_share = mapping.link();
        }
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
        if let Some(slot) = record.slot() {
            self.store.free_slot(slot);
        }
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
        let record = *self.store.get(mapping);
        let mut place = self.store.get(frame).mappings;
        if place == mapping.link() {
            self.store.get_mut(frame).mappings = record.next_of_frame;
        }
        while let Some(other) = place.target() {
            place = self.store.get(other).next_of_frame;
            if place == mapping.link() {
                self.store.get_mut(other).next_of_frame = record.next_of_frame;
            }
        }
        let count = &mut self.store.get_mut(frame).mapping_count;
        *count = count.saturating_sub(1);
        let Some(share) = record.share.target() else { return };
        if let Some(after) = record.next_of_share.target() {
            self.store.get_mut(after).previous_of_share = record.previous_of_share;
        }
        match record.previous_of_share.target() {
            Some(before) => self.store.get_mut(before).next_of_share = record.next_of_share,
            None => self.store.get_mut(share).mappings = record.next_of_share,
        }
    }

    /// Removes the mappings and grants of a frame that were made through the shares that `goes`
    /// selects.
    pub(crate) fn remove_mappings(
        &mut self,
        frame: Ref<Frame>,
        goes: impl Fn(Link<Share>) -> bool,
    ) -> Result<(), KernelError> {
        let mut link = self.store.get(frame).mappings;
        while let Some(mapping) = link.target() {
            let record = self.store.get(mapping);
            link = record.next_of_frame;
            if goes(record.share) {
                self.remove_mapping(mapping)?;
            }
        }
        Ok(())
    }
}
