// SPDX-License-Identifier: BSD-2-Clause
//! The end of leases: by unlock, at their deadline, or with their holder.
//!
//! Expiry needs no timer: every operation on a container first ends its expired leases. An expired
//! pin may leave pages in quarantine (`frames/pins.rs`).

use proto::PeerId;

use crate::frames::FrameManager;
use crate::kernel::Kernel;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::lease::Lease;
use crate::records::links::Link;

impl<K: Kernel> FrameManager<K> {
    /// Frees a lease.
    pub(crate) fn end_lease(&mut self, lease: Ref<Lease>) {
        self.unlink_from_container(lease);
        self.unlink_from_holder(lease);
        self.store.free(lease);
    }

    /// Removes a lease from its container and its share: it forbids nothing any more.
    pub(super) fn unlink_from_container(&mut self, lease: Ref<Lease>) {
        let record = *self.store.get(lease);
        let Some(container) = record.container.target() else { return };
        let mut place = self.store.get(container).leases;
        if place == lease.link() {
            self.store.get_mut(container).leases = record.next;
        }
        while let Some(other) = place.target() {
            place = self.store.get(other).next;
            if place == lease.link() {
                self.store.get_mut(other).next = record.next;
            }
        }
        let count = &mut self.store.get_mut(container).lease_count;
        *count = count.saturating_sub(1);
        if let Some(share) = record.share.target() {
            let count = &mut self.store.get_mut(share).lease_count;
            *count = count.saturating_sub(1);
        }
        let record = self.store.get_mut(lease);
        record.container = Link::NONE;
        record.share = Link::NONE;
        record.next = Link::NONE;
    }

    fn unlink_from_holder(&mut self, lease: Ref<Lease>) {
        let record = *self.store.get(lease);
        let holder = record.holder();
        let mut place = self.peer(holder).leases;
        if place == lease.link() {
            self.peer_mut(holder).leases = record.next_of_holder;
        }
        while let Some(other) = place.target() {
            place = self.store.get(other).next_of_holder;
            if place == lease.link() {
                self.store.get_mut(other).next_of_holder = record.next_of_holder;
            }
        }
        let peer = self.peer_mut(holder);
        peer.lease_count = peer.lease_count.saturating_sub(1);
    }

    /// Ends a lease that its holder has not released. A pin may leave pages in quarantine.
    fn end_early(&mut self, lease: Ref<Lease>) {
        if self.store.get(lease).pinned > 0 {
            self.end_expired_pin(lease);
        } else {
            self.end_lease(lease);
        }
    }

    /// Ends the leases of a container whose deadline has passed.
    pub(crate) fn expire_leases(&mut self, container: Ref<Container>) {
        let mut link = self.store.get(container).leases;
        if link.is_none() {
            return;
        }
        let now = self.store.kernel.now();
        while let Some(lease) = link.target() {
            let record = self.store.get(lease);
            link = record.next;
            if record.deadline() <= now {
                self.end_early(lease);
            }
        }
    }

    /// Ends every lease that a peer holds.
    pub(crate) fn end_leases_of(&mut self, holder: PeerId) {
        let mut link = self.peer(holder).leases;
        while let Some(lease) = link.target() {
            link = self.store.get(lease).next_of_holder;
            self.end_early(lease);
        }
    }

    /// Ends the expired leases of a peer, in all containers.
    pub(super) fn expire_leases_of(&mut self, holder: PeerId) {
        let now = self.store.kernel.now();
        let mut link = self.peer(holder).leases;
        while let Some(lease) = link.target() {
            let record = self.store.get(lease);
            link = record.next_of_holder;
            if record.deadline() <= now && record.is_over == 0 {
                self.end_early(lease);
            }
        }
    }
}
