// SPDX-License-Identifier: BSD-2-Clause
//! share, unshare: lend a range of a container to a peer, and revoke that (O2, O3, R9, R11).

use pmserver_api::{ContainerHandle, Failure, PmError, ShareHandle, ShareTerms, Shared};
use proto::limits::{CONTAINER_SHARES_MAX, FRAME_WORK_MAX};
use proto::{FrameNumber, Micros, PeerId};

use crate::kernel::Kernel;
use crate::ops::Operations;
use crate::records::account::Shortage;
use crate::records::broken::broken;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::range::Range;
use crate::records::share::{Share, SharesOfContainer};

impl<K: Kernel> Operations<K> {
    /// Lends a range to a peer.
    #[inline(never)]
    pub(crate) fn share(
        &mut self,
        caller: PeerId,
        container: ContainerHandle,
        start: FrameNumber,
        count: u64,
        terms: ShareTerms,
    ) -> Result<Shared, Failure> {
        let access = self.owned(caller, container)?;
        let range = Range::new(start, count).ok_or(PmError::Invalid)?;
        self.check_terms(caller, &terms)?;
        let record = self.store.get(access.container);
        if u16::from(record.share_count.get()) >= CONTAINER_SHARES_MAX {
            return Err(PmError::TooMany.into());
        }
        let container = access.container;
        let share = Share::new(container.link(), range, &terms);
        let payer = self.charged(container).map_err(Shortage::as_quota)?;
        let share = self.store.alloc_named(payer, caller, share).map_err(Shortage::as_quota)?;
        let first = self.store.get(container).shares;
        let first = self.store.add_first::<SharesOfContainer>(first, share);
        let record = self.store.get_mut(container);
        record.shares = first;
        record.share_count.up();
        // One record, two handles: the sender of the number decides which of them it is.
        let handle = self.store.handle(share);
        Ok(Shared { share: ShareHandle::from_raw(handle), weak: ContainerHandle::from_raw(handle) })
    }

    /// Refuses invalid terms.
    pub(super) fn check_terms(&self, caller: PeerId, terms: &ShareTerms) -> Result<(), PmError> {
        let is_there = self.find_peer(terms.peer).is_some_and(|peer| !peer.is_stopped);
        let is_never_taken = terms.once && terms.lease_max == Micros::new(0);
        if terms.peer == caller || terms.rights.is_empty() || !is_there || is_never_taken {
            return Err(PmError::Invalid);
        }
        Ok(())
    }

    /// Ends a share. On success, no access through it is left (R9).
    #[inline(never)]
    pub(crate) fn unshare(&mut self, caller: PeerId, handle: ShareHandle) -> Result<(), Failure> {
        let (container, share) = self.owned_share(caller, handle)?;
        self.store.get_mut(share).revoking = 1;
        self.locked_until(self.share_deadline(container, share))?;
        if !self.store.get(share).mappings.is_none() {
            self.remove_mappings_through(share, FRAME_WORK_MAX)?;
        }
        self.remove_share(container, share);
        Ok(())
    }

    /// Returns a share of the caller's, after ending the container's expired leases.
    #[inline(always)]
    pub(super) fn owned_share(
        &mut self,
        caller: PeerId,
        handle: ShareHandle,
    ) -> Result<(Ref<Container>, Ref<Share>), Failure> {
        let share = self.store.look_up::<Share>(handle.raw()).ok_or(PmError::InvalidCap)?;
        let container = self.container_of(share);
        if !self.store.get(container).is_owned_by(caller) {
            return Err(PmError::InvalidCap.into());
        }
        self.expire_leases(container)?;
        Ok((container, share))
    }

    /// Frees the shares of a container that has no frames, and so no mappings.
    pub(super) fn remove_shares(&mut self, container: Ref<Container>) {
        while let Some(share) = self.store.get(container).shares.target() {
            self.remove_share(container, share);
        }
    }

    fn remove_share(&mut self, container: Ref<Container>, share: Ref<Share>) {
        assert!(self.store.get(share).mappings.is_none(), "a share ends without mappings");
        let first = self.store.get(container).shares;
        let first = self.store.remove_from_chain::<SharesOfContainer>(first, share);
        let record = self.store.get_mut(container);
        record.shares = first;
        record.share_count.down();
        self.store.free(share);
    }

    fn container_of(&self, share: Ref<Share>) -> Ref<Container> {
        match self.store.get(share).container.target() {
            Some(container) => container,
            None => broken("share without a container"),
        }
    }

    /// Returns whether any share covers a frame.
    pub(super) fn is_shared(&self, container: Ref<Container>, number: u64) -> bool {
        let shares = self.store.get(container).shares;
        self.store
            .chain::<SharesOfContainer>(shares)
            .any(|share| self.store.get(share).range.contains(number))
    }
}
