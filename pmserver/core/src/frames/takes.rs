// SPDX-License-Identifier: BSD-2-Clause
//! How what was taken is given back: unmapped first, so that nothing is left when the lease is gone
//! (`ops/take.rs` has the picture).

use pmserver_api::{Failure, PmError};
use proto::limits::{CALL_FRAMES_MAX, FRAME_WORK_MAX};

use crate::frames::FrameManager;
use crate::kernel::{Kernel, KernelError};
use crate::records::cell::Ref;
use crate::records::id::lowest;
use crate::records::lease::Lease;
use crate::records::share::Share;

impl<K: Kernel> FrameManager<K> {
    /// Unmaps what was taken, and ends its lease. The record of a large mapping is kept.
    ///
    /// # Errors
    /// `Pending` if the call has less room than `room` before all is unmapped: the next one goes
    /// on. `Kernel`; the lease is then as it was.
    #[inline(never)]
    pub(crate) fn end_take(&mut self, lease: Ref<Lease>, room: u64) -> Result<(), Failure> {
        if let Some(share) = self.store.get(lease).share.target()
            && !self.keep_large(share).map_err(|_: KernelError| PmError::Kernel)?
        {
            self.remove_mappings_through(share, room)
                .map_err(|failure| Failure { done: 0, ..failure })?;
        }
        self.end_lease(lease);
        Ok(())
    }

    /// Ends what was taken and not given back in time. If the kernel refuses, it is tried again at
    /// the next request, and the frames stay locked until then.
    ///
    /// # Errors
    /// `Pending` if there is more to unmap than one call does.
    pub(super) fn end_expired_take(&mut self, lease: Ref<Lease>) -> Result<(), Failure> {
        // What the call is for needs room, too.
        match self.end_take(lease, FRAME_WORK_MAX.saturating_mul(2)) {
            Err(failure) if failure.error == PmError::Pending => Err(failure),
            _ => Ok(()),
        }
    }

    /// Removes the mappings and grants that were made through a share.
    ///
    /// # Errors
    /// `Pending` with how many were removed if the call has less room than `room` left. `Kernel`.
    pub(crate) fn remove_mappings_through(
        &mut self,
        share: Ref<Share>,
        room: u64,
    ) -> Result<(), Failure> {
        let mut removed: u64 = 0;
        while let Some(mapping) = self.store.get(share).mappings.target() {
            let failure = |error| Failure { error, done: removed, at: 0 };
            if removed >= CALL_FRAMES_MAX {
                return Err(failure(PmError::Pending));
            }
            self.store.meter().begin_step(room, removed)?;
            let left = CALL_FRAMES_MAX.saturating_sub(removed);
            let record = *self.store.get(mapping);
            let mask = lowest(record.present(), left);
            self.remove_mappings_in(mapping, mask)
                .map_err(|_: KernelError| failure(PmError::Kernel))?;
            removed = removed.saturating_add(record.pages_of(mask).max(1).into());
        }
        Ok(())
    }
}
