// SPDX-License-Identifier: BSD-2-Clause
//! Shares and leases.

use proto::{FrameCount, FrameNumber, Micros, PeerId, Transport, VirtAddr};

use super::Calls;
use crate::error::{CallError, Failure, PmError};
use crate::flags::{LockMode, MapFlags, Rights};
use crate::handles::{ContainerHandle, LeaseHandle, ShareHandle};
use crate::ops::{Frames, Request, ShareTerms};
use crate::reply::{Lease, Shared};

impl<T: Transport> Calls<T> {
    /// Shares frames `start..start + count` with `peer`.
    ///
    /// # Errors
    /// [`CallError`]: see operation 8, share.
    pub fn share(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
        count: u64,
        peer: PeerId,
        rights: Rights,
        lease_max: Micros,
    ) -> Result<Shared, CallError> {
        self.share_on(container, start, count, ShareTerms { peer, rights, lease_max, once: false })
    }

    /// Shares frames `start..start + count` on these terms.
    ///
    /// # Errors
    /// [`CallError`]: see operation 8, share.
    pub fn share_on(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
        count: u64,
        terms: ShareTerms,
    ) -> Result<Shared, CallError> {
        self.call(Request::Share { container, start, count, terms }).map(Shared::decode)
    }

    /// Arms a share that can only be taken.
    ///
    /// # Errors
    /// [`CallError`]: see operation 51, arm. `Locked` with the deadline while it is taken.
    pub fn arm(&mut self, share: ShareHandle) -> Result<(), CallError> {
        self.call(Request::Arm { share }).map(|[]| ())
    }

    /// Disarms a share, and confirms that its borrower has no access. Returns whether it was armed:
    /// if not, it was taken and given back, or never armed.
    ///
    /// # Errors
    /// [`CallError`]: see operation 52, disarm. `Locked` with the deadline while it is taken.
    pub fn disarm(&mut self, share: ShareHandle) -> Result<bool, CallError> {
        self.call(Request::Disarm { share }).map(|[was_armed]| was_armed != 0)
    }

    /// Takes frames `start..start + count` of an armed share: locks them and maps them from `vaddr`
    /// on, in as many calls as it takes. [`Self::unlock`] gives them back.
    ///
    /// # Errors
    /// [`CallError`]: see operation 53, take.
    pub fn take(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
        count: FrameCount,
        vaddr: VirtAddr,
        flags: MapFlags,
    ) -> Result<Lease, CallError> {
        let frames = Frames { container, start, count };
        loop {
            match self.call(Request::Take { frames, vaddr, flags }) {
                Err(CallError::Refused(Failure { error: PmError::Pending, done: 1.., at: 0 })) => {}
                result => return result.map(Lease::decode),
            }
        }
    }

    /// Ends a share, in as many calls as it takes. After success the peer has no access through it
    /// left.
    ///
    /// # Errors
    /// [`CallError`]: see operation 9, unshare. `Locked` with the deadline while the peer holds a
    /// lease.
    pub fn unshare(&mut self, share: ShareHandle) -> Result<(), CallError> {
        self.call_until_done(Request::Unshare { share })
    }

    /// Locks frames `start..start + count` for at most `ttl`.
    ///
    /// # Errors
    /// [`CallError`]: see operation 10, lock.
    pub fn lock(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
        count: FrameCount,
        mode: LockMode,
        ttl: Micros,
    ) -> Result<Lease, CallError> {
        let frames = Frames { container, start, count };
        self.call(Request::Lock { frames, mode, ttl }).map(Lease::decode)
    }

    /// Ends a lease.
    ///
    /// # Errors
    /// [`CallError`]: see operation 11, unlock.
    pub fn unlock(&mut self, lease: LeaseHandle) -> Result<(), CallError> {
        self.call(Request::Unlock { lease }).map(|[]| ())
    }
}
