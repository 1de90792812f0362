// SPDX-License-Identifier: BSD-2-Clause
//! Leases: locks with a deadline (protocol O13, R10).
//!
//! A lease excludes others from a range of frame numbers until its holder releases it or its
//! deadline passes. Expiry needs no cooperation: every operation on a container first ends its
//! expired leases (`frames/expiry.rs`). Constants limit both lists that a lease is in.

use pmserver_api::{Failure, LockMode, PmError, Rights};
use proto::limits::{
    CONTAINER_LEASES_MAX, CONTAINER_LEASES_OWNER, LEASE_MICROS_MAX, PEER_LEASES_MAX,
    PROMISE_MICROS_MAX, SHARE_LEASES_MAX,
};
use proto::{Micros, PeerId};

use crate::frames::FrameManager;
use crate::kernel::{Kernel, KernelError};
use crate::records::account::Shortage;
use crate::records::broken::broken;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::frame::{Frame, FrameMarks};
use crate::records::id::{FrameId, Id, indices};
use crate::records::leaf::Leaf;
use crate::records::lease::{Lease, LeasesOfContainer, LeasesOfHolder, Need};
use crate::records::links::link_of;
use crate::records::mapping::Installed;
use crate::records::range::Range;
use crate::records::share::{Access, Share};

impl<K: Kernel> FrameManager<K> {
    /// Refuses a lease that is not allowed; returns its longest duration.
    pub(crate) fn check_lease(
        &mut self,
        caller: PeerId,
        access: &Access,
        range: Range,
        mode: LockMode,
        ttl: Micros,
    ) -> Result<Micros, Failure> {
        let ttl = ttl.min(self.lease_limit(access, range)?).min(self.claim_limit(access, range));
        if ttl == Micros::new(0) {
            return Err(PmError::Invalid.into());
        }
        if access.share.is_some_and(|share| self.store.get(share).is_revoking()) {
            return Err(PmError::Revoking.into());
        }
        let need = if mode == LockMode::Exclusive { Need::Change } else { Need::Read };
        self.check_leases(access, range, need)?;
        if mode == LockMode::Exclusive {
            self.check_exclusive(access, range)?;
        }
        if !self.has_room_for_lease(caller, access)? {
            return Err(PmError::TooMany.into());
        }
        Ok(ttl)
    }

    /// Makes a lease that was checked, and excludes others. A take excludes nobody (PM-435).
    pub(crate) fn make_lease(
        &mut self,
        caller: PeerId,
        access: &Access,
        range: Range,
        mode: LockMode,
        ttl: Micros,
    ) -> Result<(Ref<Lease>, Micros), Failure> {
        let deadline = self.store.kernel.now().saturating_add(ttl);
        let share = link_of(access.share);
        let lease = Lease::new(access.container.link(), share, range, caller, mode, deadline);
        let account = self.own_account(caller)?;
        let lease = self.store.alloc_named(account, caller, lease).map_err(Shortage::as_quota)?;
        self.link_lease(lease, caller);
        if !access.share.is_some_and(|share| self.store.get(share).is_once()) {
            self.exclude_others(access, range, mode).inspect_err(|_| self.end_lease(lease))?;
        }
        Ok((lease, deadline))
    }

    /// Returns the longest lease that the handle allows.
    ///
    /// # Errors
    /// `NoRight` if the handle does not allow leases.
    fn lease_limit(&self, access: &Access, range: Range) -> Result<Micros, Failure> {
        let system = Micros::new(LEASE_MICROS_MAX);
        let Some(share) = access.share.map(|share| self.store.get(share)) else {
            return Ok(system);
        };
        if !access.allows(range, Rights::LOCK) {
            return Err(PmError::NoRight.into());
        }
        Ok(system.min(share.lease_max()))
    }

    /// Returns the longest lease that leaves extra frames to those who wait for promised memory
    /// (PM-343). It is never refused for that.
    fn claim_limit(&self, access: &Access, range: Range) -> Micros {
        let unlimited = Micros::new(u64::MAX);
        if self.store.claims.is_empty() {
            return unlimited;
        }
        let now = self.store.kernel.now();
        let Some(since) = self.store.claims.oldest(now) else { return unlimited };
        let mut rest = Some(range);
        while let Some((frame, _)) = self.take_frame(access.container, &mut rest) {
            if self.store.get(frame).has(FrameMarks::EXTRA) {
                let end = since.get().saturating_add(PROMISE_MICROS_MAX);
                return Micros::new(end.saturating_sub(now.get()).max(1));
            }
        }
        unlimited
    }

    /// Returns whether one more lease is within the limits. A borrower cannot use up the leases of
    /// the owner, nor, because of the limit for each share, those of other borrowers.
    ///
    /// # Errors
    /// `Pending` if there are more leases to end than one call does.
    fn has_room_for_lease(&mut self, caller: PeerId, access: &Access) -> Result<bool, Failure> {
        if self.peer(caller).lease_count.get() >= PEER_LEASES_MAX {
            self.expire_leases_of(caller)?;
        }
        let in_container = u16::from(self.store.get(access.container).lease_count.get());
        let fits = match access.share {
            None => in_container < CONTAINER_LEASES_MAX,
            Some(share) => {
                in_container < CONTAINER_LEASES_MAX.saturating_sub(CONTAINER_LEASES_OWNER)
                    && self.store.get(share).lease_count.get() < SHARE_LEASES_MAX
            }
        };
        Ok(fits && self.peer(caller).lease_count.get() < PEER_LEASES_MAX)
    }

    fn link_lease(&mut self, lease: Ref<Lease>, holder: PeerId) {
        let (container, share) = self.lease_links(lease);
        let first = self.store.get(container).leases;
        let first = self.store.add_first::<LeasesOfContainer>(first, lease);
        let record = self.store.get_mut(container);
        record.leases = first;
        record.lease_count.up();
        let first = self.peer(holder).leases;
        let first = self.store.add_first::<LeasesOfHolder>(first, lease);
        let peer = self.peer_mut(holder);
        peer.leases = first;
        peer.lease_count.up();
        if let Some(share) = share {
            self.store.get_mut(share).lease_count.up();
        }
    }

    fn lease_links(&self, lease: Ref<Lease>) -> (Ref<Container>, Option<Ref<Share>>) {
        let record = self.store.get(lease);
        match record.container.target() {
            Some(container) => (container, record.share.target()),
            None => broken("lease without a container"),
        }
    }

    /// Unmaps the range for all but the holder, or makes their mappings read-only.
    ///
    /// # Errors
    /// `Pending` if one call cannot do all of it: what it did makes the next one shorter. `Kernel`.
    fn exclude_others(
        &mut self,
        access: &Access,
        range: Range,
        mode: LockMode,
    ) -> Result<(), Failure> {
        let kernel = |_: KernelError| Failure::from(PmError::Kernel);
        let own = link_of(access.share);
        let most = match mode {
            LockMode::Exclusive => Installed::No,
            LockMode::Read => Installed::ReadOnly,
        };
        let mut rest = Some(range).filter(|_| self.has_ties(access.container));
        while let Some((frame, frames, _)) = self.take_step(access.container, &mut rest) {
            self.store.meter().begin_frame(0)?;
            self.limit_mappings(frame, frames, most, |share| share != own).map_err(kernel)?;
            for sharer in self.sharers(Id::first(frame)).iter().skip(1) {
                self.limit_mappings(sharer.record, 1, most, |_| true).map_err(kernel)?;
            }
        }
        Ok(())
    }

    pub(crate) fn has_ties(&self, container: Ref<Container>) -> bool {
        !self.store.get(container).ties.is_zero()
    }

    /// Refuses an exclusive lease on frames that are really shared.
    fn check_exclusive(&self, access: &Access, range: Range) -> Result<(), Failure> {
        let mut rest = Some(range).filter(|_| self.has_ties(access.container));
        while let Some((frame, number)) = self.take_frame(access.container, &mut rest) {
            if self.store.get(frame).next_shared().target().is_some() {
                return Err(Failure { error: PmError::Shared, done: 0, at: number });
            }
        }
        Ok(())
    }

    pub(crate) fn leases(&self, container: Ref<Container>) -> impl Iterator<Item = &Lease> {
        let leases = self.store.get(container).leases;
        self.store.chain::<LeasesOfContainer>(leases).map(|lease| self.store.get(lease))
    }

    /// Refuses what another holder's lease forbids.
    ///
    /// # Errors
    /// `Locked` with the latest deadline of such a lease.
    #[inline(always)]
    pub(crate) fn check_leases(
        &self,
        access: &Access,
        range: Range,
        need: Need,
    ) -> Result<(), Failure> {
        match self.store.get(access.container).leases.target() {
            None => Ok(()),
            Some(_) => self.check_each_lease(access, range, need),
        }
    }

    fn check_each_lease(&self, access: &Access, range: Range, need: Need) -> Result<(), Failure> {
        let own = link_of(access.share);
        let deadline = self
            .leases(access.container)
            .filter(|lease| lease.range.overlaps(range) && lease.forbids(own, need))
            .map(Lease::deadline)
            .max();
        self.locked_until(deadline)
    }

    /// Refuses what a lease on another frame of the ring forbids. Such leases are for reading,
    /// because exclusive ones are not allowed on shared frames.
    ///
    /// # Errors
    /// As [`Self::check_leases`].
    pub(crate) fn check_sharers(&self, frame: FrameId, need: Need) -> Result<(), Failure> {
        let is_shared = !self.store.get(frame.record).next_shared().is_none();
        if matches!(need, Need::Load | Need::Read) || !is_shared {
            return Ok(());
        }
        let now = self.store.kernel.now();
        let sharers = self.sharers(frame);
        let others = sharers.iter().skip(1).map(|sharer| self.store.get(sharer.record));
        let deadline = others
            .filter_map(|other| other.container.target().map(|of| (of, other.key())))
            .flat_map(|(container, number)| {
                self.leases(container).filter(move |lease| lease.range.contains(number))
            })
            .filter(|lease| need != Need::Store || !lease.is_taken())
            .map(Lease::deadline)
            .filter(|deadline| *deadline > now)
            .max();
        self.locked_until(deadline)
    }

    /// Returns when the last lease through a share ends.
    pub(crate) fn share_deadline(
        &self,
        container: Ref<Container>,
        share: Ref<Share>,
    ) -> Option<Micros> {
        let through = |lease: &&Lease| lease.share == share.link();
        self.leases(container).filter(through).map(Lease::deadline).max()
    }

    /// Returns when the last lease on a container ends.
    pub(crate) fn last_deadline(&self, container: Ref<Container>) -> Option<Micros> {
        self.leases(container).map(Lease::deadline).max()
    }

    pub(crate) fn is_leased(&self, container: Ref<Container>, number: u64) -> bool {
        self.leases(container).any(|lease| lease.range.contains(number))
    }

    /// Returns the first frames of a container that no lease covers, as a record, a mask in that,
    /// and the first number. Splits a run that leases cover in part.
    pub(crate) fn next_unleased(
        &mut self,
        container: Ref<Container>,
    ) -> Result<Option<(Ref<Frame>, u8, u64)>, PmError> {
        let mut rest = Some(Range::ALL);
        while let Some((frame, number)) = rest.and_then(|rest| self.next_record(container, rest)) {
            let record = self.store.get(frame);
            let range = record.range();
            let leases = || self.leases(container).map(|lease| lease.range);
            let overlapping = leases().filter(|lease| lease.overlaps(range));
            let Some(lease) = overlapping.max_by_key(|lease| lease.covers(range)) else {
                return Ok(Some((frame, record.all(), number)));
            };
            if lease.covers(range) {
                rest = Range::ALL.behind(lease.last);
            } else if record.is_above_cluster() {
                self.split(frame)?;
            } else {
                let leased = leases().fold(0, |all, lease| all | record.within(lease));
                let free = record.all() & !leased;
                if let Some(index) = indices(free).next() {
                    return Ok(Some((frame, free, record.number(index))));
                }
                rest = Range::ALL.behind(range.last);
            }
        }
        Ok(None)
    }

    /// Refuses what is locked until a deadline.
    pub(crate) fn locked_until(&self, deadline: Option<Micros>) -> Result<(), Failure> {
        let Some(deadline) = deadline else { return Ok(()) };
        Err(Failure { error: PmError::Locked, done: 0, at: self.future(deadline).get() })
    }

    /// Returns a deadline that is to be told: in the future, also if the kernel refused to end the
    /// pin at its deadline (PM-344).
    pub(super) fn future(&self, deadline: Micros) -> Micros {
        deadline.max(self.store.kernel.now().saturating_add(Micros::new(1)))
    }
}
