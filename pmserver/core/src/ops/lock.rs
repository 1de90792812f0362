// SPDX-License-Identifier: BSD-2-Clause
//! lock, unlock: leases on ranges of frames (O13, R10).

use pmserver_api::{Failure, Frames, Lease as LeaseReply, LeaseHandle, LockMode, PmError};
use proto::limits::FRAME_WORK_MAX;
use proto::{Micros, PeerId};

use crate::kernel::Kernel;
use crate::ops::Operations;
use crate::records::cell::Ref;
use crate::records::lease::Lease;
use crate::records::range::Range;
use crate::records::share::Access;

impl<K: Kernel> Operations<K> {
    /// Locks a range for a limited time.
    #[inline(never)]
    pub(crate) fn lock(
        &mut self,
        caller: PeerId,
        Frames { container, start, count }: Frames,
        mode: LockMode,
        ttl: Micros,
    ) -> Result<LeaseReply, Failure> {
        let access = self.access(caller, container)?;
        let range = Range::new(start, count.get()).ok_or(PmError::Invalid)?;
        if self.has_ties(access.container) {
            // What is mapped nowhere is split when somebody maps it under the lease.
            self.split_at_ends(access.container, range)?;
        }
        let (lease, deadline) = self.take_lease(caller, &access, range, mode, ttl)?;
        Ok(LeaseReply { lease: LeaseHandle::from_raw(self.store.handle(lease)), deadline })
    }

    /// Checks and makes a lease, and excludes others.
    fn take_lease(
        &mut self,
        caller: PeerId,
        access: &Access,
        range: Range,
        mode: LockMode,
        ttl: Micros,
    ) -> Result<(Ref<Lease>, Micros), Failure> {
        let ttl = self.check_lease(caller, access, range, mode, ttl)?;
        self.make_lease(caller, access, range, mode, ttl)
    }

    /// Releases a lease or a pin, or gives back what was taken.
    #[inline(never)]
    pub(crate) fn unlock(&mut self, caller: PeerId, lease: LeaseHandle) -> Result<(), Failure> {
        let (lease, record) = self.store.find::<Lease>(lease.raw()).ok_or(PmError::InvalidCap)?;
        let record = *record;
        if record.holder() != caller {
            return Err(PmError::InvalidCap.into());
        }
        if !record.pinned.is_zero() {
            return self.unpin(lease);
        }
        // The holder must learn that the lease had expired.
        let has_run_out = record.deadline() <= self.store.kernel.now();
        if record.is_taken() {
            self.end_take(lease, FRAME_WORK_MAX)?;
        } else {
            self.end_lease(lease);
        }
        if has_run_out { Err(PmError::InvalidCap.into()) } else { Ok(()) }
    }
}
