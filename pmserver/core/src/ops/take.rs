// SPDX-License-Identifier: BSD-2-Clause
//! arm, disarm, take: shares that are used once at a time (PM-430 and the following).
//!
//! The mapping of the owner stays all the time. It knows by one call that the borrower has none,
//! and the borrower cannot make one before the owner arms the share again.
//!
//! ```text
//!          arm             take: a lease, and mappings
//!   free --------> armed ----------------------------> taken until its deadline
//!    ^  <--------                                        |
//!    |    disarm                                         |
//!    +---------------------------------------------------+
//!      unlock, the deadline, the end of its holder: unmapped first, then the lease ends
//! ```

use pmserver_api::{
    Failure, Frames, Lease as LeaseReply, LeaseHandle, LockMode, MapFlags, Mapped, PmError,
    ShareHandle,
};
use proto::limits::{CALL_FRAMES_MAX, LEASE_MICROS_MAX};
use proto::{Micros, PAGE_BYTES, PeerId, VirtAddr};

use crate::kernel::Kernel;
use crate::ops::Operations;
use crate::ops::map::{behind, last_page};
use crate::records::cell::Ref;
use crate::records::failure::is_more_to_do;
use crate::records::lease::{Lease, LeasesOfContainer};
use crate::records::links::link_of;
use crate::records::range::Range;
use crate::records::share::{Access, Share};

/// Unmapping the pages of a run, with the tables that get empty.
const UNMAP_WORK_MAX: u64 = 120_000;

impl<K: Kernel> Operations<K> {
    /// Lets the borrower take the share once.
    #[inline(never)]
    pub(crate) fn arm(&mut self, caller: PeerId, handle: ShareHandle) -> Result<(), Failure> {
        let share = self.share_given_back(caller, handle)?;
        if self.store.get(share).is_revoking() {
            return Err(PmError::Revoking.into());
        }
        self.store.get_mut(share).set_armed(true);
        Ok(())
    }

    /// Ends that. On success the borrower has no access, and gets none before the next `arm`.
    /// Returns whether it was armed.
    #[inline(never)]
    pub(crate) fn disarm(&mut self, caller: PeerId, handle: ShareHandle) -> Result<bool, Failure> {
        let share = self.share_given_back(caller, handle)?;
        Ok(self.store.get_mut(share).set_armed(false))
    }

    /// Returns a share of the caller's that is used once at a time, and is not taken now.
    #[inline(always)]
    fn share_given_back(
        &mut self,
        caller: PeerId,
        handle: ShareHandle,
    ) -> Result<Ref<Share>, Failure> {
        let (container, share) = self.owned_share(caller, handle)?;
        if !self.store.get(share).is_once() {
            return Err(PmError::Invalid.into());
        }
        if !self.store.get(share).lease_count.is_zero() {
            self.locked_until(self.share_deadline(container, share))?;
        }
        Ok(share)
    }

    /// Takes frames of an armed share: makes a lease, and maps them, all or none. A call that
    /// reaches its bound is repeated, and goes on.
    #[inline(never)]
    pub(crate) fn take(
        &mut self,
        caller: PeerId,
        Frames { container, start, count }: Frames,
        vaddr: VirtAddr,
        flags: MapFlags,
    ) -> Result<LeaseReply, Failure> {
        let (access, share) = self.access_once(caller, container)?;
        let range = Range::new(start, count.get()).ok_or(PmError::Invalid)?;
        self.check_right_to(&access, range, flags)?;
        if flags.is_empty() || !(MapFlags::READ | MapFlags::WRITE).contains(flags) {
            return Err(PmError::Invalid.into());
        }
        last_page(vaddr, count.get())?;
        let is_written = flags.contains(MapFlags::WRITE);
        let before = self.unfinished_take(&access, range, is_written);
        let lease = match before {
            Some(lease) => lease,
            None => self.begin_take(caller, (&access, share), range, is_written)?,
        };
        let terms = (is_written, before.is_some());
        let mapped = self.map_taken(caller, (&access, share), range, vaddr, terms);
        match mapped {
            Ok(()) => {
                let record = self.store.get_mut(lease);
                record.set_finished();
                let deadline = record.deadline();
                Ok(LeaseReply { lease: LeaseHandle::from_raw(self.store.handle(lease)), deadline })
            }
            Err(failure) if is_more_to_do(&failure) && failure.done > 0 => Err(failure),
            Err(failure) => {
                self.undo_take(lease, share);
                Err(failure)
            }
        }
    }

    /// Uses up the arming of a share, and makes the lease.
    fn begin_take(
        &mut self,
        caller: PeerId,
        (access, share): (&Access, Ref<Share>),
        range: Range,
        is_written: bool,
    ) -> Result<Ref<Lease>, Failure> {
        if !self.store.get(share).is_armed() {
            return Err(PmError::NotArmed.into());
        }
        let mode = if is_written { LockMode::Exclusive } else { LockMode::Read };
        let longest = Micros::new(LEASE_MICROS_MAX);
        let ttl = self.check_lease(caller, access, range, mode, longest)?;
        let (lease, _) = self.make_lease(caller, access, range, mode, ttl)?;
        self.store.get_mut(lease).set_taken();
        self.store.get_mut(share).set_armed(false);
        Ok(lease)
    }

    /// Returns the lease of a take of these frames that reached the bound on a call.
    fn unfinished_take(
        &self,
        access: &Access,
        range: Range,
        is_written: bool,
    ) -> Option<Ref<Lease>> {
        let leases = self.store.get(access.container).leases;
        self.store.chain::<LeasesOfContainer>(leases).find(|lease| {
            let lease = self.store.get(*lease);
            lease.is_unfinished()
                && lease.share == link_of(access.share)
                && lease.range == range
                && lease.is_exclusive() == is_written
        })
    }

    /// Maps what was taken so that no access faults. Passes over what `goes_on` says may be mapped
    /// already.
    ///
    /// # Errors
    /// `Pending` with how many are mapped. Those of a mapping.
    fn map_taken(
        &mut self,
        caller: PeerId,
        (access, share): (&Access, Ref<Share>),
        range: Range,
        vaddr: VirtAddr,
        (is_written, goes_on): (bool, bool),
    ) -> Result<(), Failure> {
        let flags = if is_written {
            MapFlags::WRITE | MapFlags::FORCE_WRITE
        } else {
            MapFlags::READ | MapFlags::FORCE_READ
        };
        if !goes_on && self.map_kept(access, share, (range, vaddr), flags)? {
            return Ok(());
        }
        if range.last.saturating_sub(range.first) >= CALL_FRAMES_MAX {
            self.store.meter().begin_frame(0)?;
            if self.map_large(caller, access, (range, vaddr), flags)?.is_some() {
                return Ok(());
            }
        }
        let frames = range.last.saturating_sub(range.first).saturating_add(1);
        let terms = (flags, self.payer_of_clusters(caller, frames));
        let mut rest = Some((range, vaddr));
        while let Some((left, vaddr)) = rest {
            let mapped = left.first.saturating_sub(range.first).saturating_add(goes_on.into());
            self.store.meter().begin_frame(mapped)?;
            let mut done = 1;
            if !(goes_on && self.is_mapped_through(caller, access, left.first, vaddr)) {
                // All have the same rights: any number of them is one run.
                let run = &mut Mapped::default();
                let all = self.map_together(caller, access, (left, vaddr), terms, run);
                done = all.map_err(|failure| Failure { done: mapped, ..failure })?.into();
            }
            if done == 0 {
                let one = self.map_one(caller, access, left.first, vaddr, (flags, true));
                one.map_err(|failure| {
                    let done = if is_more_to_do(&failure) { mapped } else { failure.done };
                    Failure { done, ..failure }
                })?;
                done = 1;
            }
            rest = behind(left, vaddr, done);
        }
        Ok(())
    }

    fn is_mapped_through(
        &self,
        peer: PeerId,
        access: &Access,
        number: u64,
        vaddr: VirtAddr,
    ) -> bool {
        self.find_mapping(peer, vaddr).is_some_and(|mapping| {
            let record = self.store.get(mapping.record);
            let frame = self.frame_of(mapping);
            let pages = vaddr.get().wrapping_sub(record.vaddr_of(mapping.index)) / PAGE_BYTES;
            record.share == link_of(access.share)
                && Some(frame) == self.find_id(access.container, number)
                && self.store.number_of(frame).saturating_add(pages) == number
        })
    }

    /// Unmaps what was mapped of a take that failed, and arms the share again. What one call cannot
    /// unmap, or the kernel refuses to, goes as if the deadline had passed.
    fn undo_take(&mut self, lease: Ref<Lease>, share: Ref<Share>) {
        let now = self.store.kernel.now();
        self.store.get_mut(lease).end_at(now);
        if self.end_take(lease, UNMAP_WORK_MAX).is_ok() {
            self.store.get_mut(share).set_armed(true);
        }
    }
}
