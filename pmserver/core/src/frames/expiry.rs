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
use crate::records::lease::{Lease, LeasesOfContainer, LeasesOfHolder};
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
        let first = self.store.get(container).leases;
        let first = self.store.remove_from_chain::<LeasesOfContainer>(first, lease);
        let of = self.store.get_mut(container);
        of.leases = first;
        of.lease_count.down();
        if let Some(share) = record.share.target() {
            self.store.get_mut(share).lease_count.down();
        }
        let record = self.store.get_mut(lease);
        record.container = Link::NONE;
        record.share = Link::NONE;
    }

    fn unlink_from_holder(&mut self, lease: Ref<Lease>) {
        let holder = self.store.get(lease).holder();
        let first = self.peer(holder).leases;
        let first = self.store.remove_from_chain::<LeasesOfHolder>(first, lease);
        let peer = self.peer_mut(holder);
        peer.leases = first;
        peer.lease_count.down();
    }

    /// Ends a lease that its holder has not released. A pin may leave pages in quarantine.
    pub(super) fn end_early(&mut self, lease: Ref<Lease>) {
        if self.store.get(lease).pinned.get() > 0 {
            self.end_expired_pin(lease);
        } else {
            self.end_lease(lease);
        }
    }

    /// Ends the leases of a container whose deadline has passed.
    pub(crate) fn expire_leases(&mut self, container: Ref<Container>) {
        let mut next = self.store.get(container).leases.target();
        if next.is_none() {
            return;
        }
        let now = self.store.kernel.now();
        while let Some(lease) = next {
            let first = self.store.get(container).leases;
            next = self.store.next_of::<LeasesOfContainer>(first, lease);
            if self.store.get(lease).deadline() <= now {
                self.end_early(lease);
            }
        }
    }

    /// Ends every lease that a peer holds.
    pub(crate) fn end_leases_of(&mut self, holder: PeerId) {
        let mut next = self.peer(holder).leases.target();
        while let Some(lease) = next {
            next = self.next_lease_of(holder, lease);
            self.end_early(lease);
        }
    }

    /// Ends the expired leases of a peer, in all containers.
    pub(crate) fn expire_leases_of(&mut self, holder: PeerId) {
        let now = self.store.kernel.now();
        let mut next = self.peer(holder).leases.target();
        while let Some(lease) = next {
            next = self.next_lease_of(holder, lease);
            let record = self.store.get(lease);
            if record.deadline() <= now && !record.is_over() {
                self.end_early(lease);
            }
        }
    }

    /// Returns the lease of a peer after one that may end now.
    pub(crate) fn next_lease_of(&self, holder: PeerId, lease: Ref<Lease>) -> Option<Ref<Lease>> {
        self.store.next_of::<LeasesOfHolder>(self.peer(holder).leases, lease)
    }
}
