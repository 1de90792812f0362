// SPDX-License-Identifier: BSD-2-Clause
//! Shares and leases.

use proto::{FrameCount, FrameNumber, Micros, PeerId, Transport};

use super::Calls;
use crate::error::CallError;
use crate::flags::{LockMode, Rights};
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
        let terms = ShareTerms { peer, rights, lease_max };
        self.call(Request::Share { container, start, count, terms }).map(Shared::decode)
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
