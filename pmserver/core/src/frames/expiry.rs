// SPDX-License-Identifier: BSD-2-Clause
//! The end of leases: by unlock, at their deadline, or with their holder.
//!
//! Expiry needs no timer: every operation on a container first ends its expired leases. An expired
//! pin may leave pages in quarantine (`frames/pins.rs`), which is done in portions: an operation
//! that ends the first ones is called again for the others.

use pmserver_api::Failure;
use proto::PeerId;
use proto::limits::FRAME_WORK_MAX;

use crate::frames::FrameManager;
use crate::frames::pins::UNPIN_WORK;
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
    ///
    /// # Errors
    /// `Pending` if one call cannot end a pin: the next one goes on.
    pub(super) fn end_expired(&mut self, lease: Ref<Lease>) -> Result<(), Failure> {
        if self.store.get(lease).pinned.get() > 0 {
            return self.end_expired_pin(lease);
        }
        if self.store.get(lease).is_taken() {
            return self.end_expired_take(lease);
        }
        self.end_lease(lease);
        Ok(())
    }

    /// Ends the leases of a container whose deadline has passed.
    ///
    /// # Errors
    /// `Pending` if there is more to end than one call does.
    #[inline(always)]
    pub(crate) fn expire_leases(&mut self, container: Ref<Container>) -> Result<(), Failure> {
        match self.store.get(container).leases.target() {
            None => Ok(()),
            next => self.expire_leases_from(container, next),
        }
    }

    fn expire_leases_from(
        &mut self,
        container: Ref<Container>,
        mut next: Option<Ref<Lease>>,
    ) -> Result<(), Failure> {
        let now = self.store.kernel.now();
        while let Some(lease) = next {
            let first = self.store.get(container).leases;
            next = self.store.next_of::<LeasesOfContainer>(first, lease);
            if self.store.get(lease).deadline() <= now {
                self.end_expired(lease)?;
            }
        }
        Ok(())
    }

    /// Ends every lease that a peer holds. What its pins keep is moved, and what it has taken is
    /// unmapped, when the containers are used next if that is more than one call does.
    pub(crate) fn end_leases_of(&mut self, holder: PeerId) {
        let now = self.store.kernel.now();
        let mut next = self.peer(holder).leases.target();
        while let Some(lease) = next {
            next = self.next_lease_of(holder, lease);
            let record = self.store.get_mut(lease);
            if record.is_taken() {
                record.end_at(now);
                // What is left goes when the container is used next.
                let _ = self.end_take(lease, FRAME_WORK_MAX);
            } else if record.pinned.is_zero() {
                self.end_lease(lease);
            } else if !record.is_over() {
                record.end_at(now);
                let has_room = self.store.meter().check_room(UNPIN_WORK, 0).is_ok();
                if has_room && self.store.kernel.confines(holder) {
                    // If the kernel refuses, the frames stay locked and the next request tries
                    // again.
                    let _ = self.unpin(lease);
                }
            }
        }
    }

    /// Ends the expired leases of a peer, in all containers.
    ///
    /// # Errors
    /// `Pending` if there is more to end than one call does.
    pub(crate) fn expire_leases_of(&mut self, holder: PeerId) -> Result<(), Failure> {
        let now = self.store.kernel.now();
        let mut next = self.peer(holder).leases.target();
        while let Some(lease) = next {
            next = self.next_lease_of(holder, lease);
            let record = self.store.get(lease);
            if record.deadline() <= now && !record.is_over() {
                self.end_expired(lease)?;
            }
        }
        Ok(())
    }

    /// Returns the lease of a peer after one that may end now.
    pub(crate) fn next_lease_of(&self, holder: PeerId, lease: Ref<Lease>) -> Option<Ref<Lease>> {
        self.store.next_of::<LeasesOfHolder>(self.peer(holder).leases, lease)
    }
}
