// SPDX-License-Identifier: BSD-2-Clause
//! The access that a handle gives.

use pmserver_api::{ContainerHandle, Failure, PmError};
use proto::PeerId;

use crate::frames::FrameManager;
use crate::kernel::Kernel;
use crate::records::cell::Ref;
use crate::records::container::Container;
use crate::records::share::{Access, Share};

impl<K: Kernel> FrameManager<K> {
    /// Returns the caller's access to a container, after ending the container's expired leases.
    ///
    /// # Errors
    /// `InvalidCap`; `NoRight` if the handle is of a share that can only be taken (PM-431).
    #[inline(always)]
    pub(crate) fn access(
        &mut self,
        caller: PeerId,
        handle: ContainerHandle,
    ) -> Result<Access, Failure> {
        let Some(container) = self.strong(caller, handle) else {
            return self.borrowed(caller, handle);
        };
        self.expire_leases(container)?;
        Ok(Access::strong(container))
    }

    fn borrowed(&mut self, caller: PeerId, handle: ContainerHandle) -> Result<Access, Failure> {
        let access = self.weak(caller, handle).ok_or(PmError::InvalidCap)?;
        if access.share.is_some_and(|share| self.store.get(share).is_once()) {
            return Err(PmError::NoRight.into());
        }
        self.expire_leases(access.container)?;
        Ok(access)
    }

    /// Returns the caller's access to take frames.
    ///
    /// # Errors
    /// As [`Self::access`], the other way round.
    pub(crate) fn access_once(
        &mut self,
        caller: PeerId,
        handle: ContainerHandle,
    ) -> Result<(Access, Ref<Share>), Failure> {
        let Some(access) = self.weak(caller, handle) else {
            let is_strong = self.strong(caller, handle).is_some();
            return Err(if is_strong { PmError::NoRight } else { PmError::InvalidCap }.into());
        };
        let share = access.share.filter(|share| self.store.get(*share).is_once());
        let share = share.ok_or(PmError::NoRight)?;
        self.expire_leases(access.container)?;
        Ok((access, share))
    }

    /// Returns the access of the owner.
    ///
    /// # Errors
    /// `NoRight` if the caller is not the owner; `InvalidCap` if the container is being destroyed.
    #[inline(always)]
    pub(crate) fn owned(
        &mut self,
        caller: PeerId,
        handle: ContainerHandle,
    ) -> Result<Access, Failure> {
        let Some(container) = self.strong(caller, handle) else {
            return Err(self.not_owned(caller, handle));
        };
        self.expire_leases(container)?;
        Ok(Access::strong(container))
    }

    /// Returns why a handle is refused that is not a strong one of the caller's.
    #[cold]
    pub(crate) fn not_owned(&mut self, caller: PeerId, handle: ContainerHandle) -> Failure {
        self.borrowed(caller, handle).err().unwrap_or(PmError::NoRight.into())
    }

    /// Returns the container that a handle names, if the caller owns it.
    pub(crate) fn owned_container(&self, caller: PeerId, handle: u64) -> Option<Ref<Container>> {
        self.owned_record(caller, handle).map(|(container, _)| container)
    }

    #[inline]
    fn owned_record(&self, caller: PeerId, handle: u64) -> Option<(Ref<Container>, &Container)> {
        self.store.find(handle).filter(|(_, record): &(_, &Container)| record.is_owned_by(caller))
    }

    /// Returns the container that a handle names, if the caller owns it and it is not dying.
    #[inline(never)]
    fn strong(&self, caller: PeerId, handle: ContainerHandle) -> Option<Ref<Container>> {
        let (container, record) = self.owned_record(caller, handle.raw())?;
        (!record.is_dying()).then_some(container)
    }

    #[inline(always)]
    fn weak(&self, caller: PeerId, handle: ContainerHandle) -> Option<Access> {
        let (reference, share) = self.store.find::<Share>(handle.raw())?;
        let container = share.container.target()?;
        let is_valid = self.lives(container) && share.is_for(caller);
        is_valid.then_some(Access::through(container, reference, share))
    }

    /// Whether a container has yet to go: it dies with its owner, too.
    pub(crate) fn lives(&self, container: Ref<Container>) -> bool {
        let record = self.store.get(container);
        !record.is_dying() && !self.peer(record.owner()).is_stopped
    }
}
