// SPDX-License-Identifier: BSD-2-Clause
//! The client side: one method an operation.

use proto::{FrameCount, FrameNumber, Micros, PeerId, Transport, VirtAddr};

use crate::error::{CallError, Failure, PmError};
use crate::flags::{AllocateFlags, DeallocateFlags, LockMode, MapFlags, Rights, UnshareFlags};
use crate::handles::{AccountHandle, ContainerHandle, LeaseHandle, ShareHandle};
use crate::ops::Request;
use crate::reply::{AccountInfo, Identity, Lease, Mapped, RescueReport, Shared, Status};

/// Calls pmserver over a transport. Every method is one protected procedure call; what each
/// operation does, costs and refuses stands with [`Request`].
pub struct Client<T: Transport> {
    transport: T,
}

impl<T: Transport> Client<T> {
    /// Returns a client that calls over `transport`.
    pub const fn new(transport: T) -> Self {
        Self { transport }
    }

    fn call<const N: usize>(&mut self, request: Request) -> Result<[u64; N], CallError> {
        CallError::check(&self.transport.call(request.encode()))
    }

    /// Calls again for as long as the server came on but not to the end: the bound on one call was
    /// reached. Each such call comes on, so that this ends. That what is to go is gone at the
    /// second call is as good: somebody else has called `reclaim`.
    fn call_until_done(&mut self, request: Request) -> Result<(), CallError> {
        let mut has_begun = false;
        loop {
            match self.call(request) {
                Err(CallError::Refused(Failure { error: PmError::Pending, done: 1.., at: 0 })) => {
                    has_begun = true;
                }
                Err(error) if has_begun && error.refusal() == Some(PmError::InvalidCap) => {
                    return Ok(());
                }
                result => return result.map(|[]| ()),
            }
        }
    }

    /// Returns the protocol version of the server.
    ///
    /// # Errors
    /// [`CallError`], as every method here.
    pub fn version(&mut self) -> Result<u64, CallError> {
        self.call(Request::Version).map(|[version]| version)
    }

    /// Returns who the caller is.
    ///
    /// # Errors
    /// See [`Request::WhoAmI`].
    pub fn whoami(&mut self) -> Result<Identity, CallError> {
        let [peer, account] = self.call(Request::WhoAmI)?;
        let peer = PeerId::new(peer).ok_or(proto::ProtocolError::BadReply)?;
        Ok(Identity { peer, account: AccountHandle::from_raw(account) })
    }

    /// Returns the time on pmserver's clock.
    ///
    /// # Errors
    /// See [`Request::Clock`].
    pub fn clock(&mut self) -> Result<Micros, CallError> {
        self.call(Request::Clock).map(|[now]| Micros::new(now))
    }

    /// Makes an empty container that `account` pays for.
    ///
    /// # Errors
    /// See [`Request::ContainerCreate`].
    pub fn container_create(
        &mut self,
        account: AccountHandle,
    ) -> Result<ContainerHandle, CallError> {
        self.call(Request::ContainerCreate { account })
            .map(|[handle]| ContainerHandle::from_raw(handle))
    }

    /// Destroys a container, calling again for as long as the server has more of it to free.
    ///
    /// # Errors
    /// `Pending` where a lease keeps part of it until its deadline; see
    /// [`Request::ContainerDestroy`].
    pub fn container_destroy(&mut self, container: ContainerHandle) -> Result<(), CallError> {
        self.call_until_done(Request::ContainerDestroy { container })
    }

    /// Allocates frames `start..start+count` and returns how many.
    ///
    /// # Errors
    /// See [`Request::Allocate`].
    pub fn allocate(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
        count: FrameCount,
        flags: AllocateFlags,
    ) -> Result<u64, CallError> {
        self.call(Request::Allocate { container, start, count, flags }).map(|[done]| done)
    }

    /// Frees the frames that exist among `start..start+count` and returns how many.
    ///
    /// # Errors
    /// See [`Request::Deallocate`].
    pub fn deallocate(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
        count: FrameCount,
        flags: DeallocateFlags,
    ) -> Result<u64, CallError> {
        self.call(Request::Deallocate { container, start, count, flags }).map(|[freed]| freed)
    }

    /// Lends frames `start..start+count` to `peer`.
    ///
    /// # Errors
    /// See [`Request::Share`].
    pub fn share(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
        count: u64,
        peer: PeerId,
        rights: Rights,
        lease_max: Micros,
    ) -> Result<Shared, CallError> {
        let [share, weak] =
            self.call(Request::Share { container, start, count, peer, rights, lease_max })?;
        Ok(Shared { share: ShareHandle::from_raw(share), weak: ContainerHandle::from_raw(weak) })
    }

    /// Ends a share, calling again for as long as the server has more mappings to take away. When
    /// this returns success, nothing of the peer's access is left.
    ///
    /// # Errors
    /// `Locked` with the deadline while the peer holds a lease; see [`Request::Unshare`].
    pub fn unshare(&mut self, share: ShareHandle) -> Result<(), CallError> {
        self.call_until_done(Request::Unshare { share, flags: UnshareFlags::empty() })
    }

    /// Locks frames `start..start+count` for at most `ttl`.
    ///
    /// # Errors
    /// See [`Request::Lock`].
    pub fn lock(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
        count: FrameCount,
        mode: LockMode,
        ttl: Micros,
    ) -> Result<Lease, CallError> {
        let [lease, deadline] = self.call(Request::Lock { container, start, count, mode, ttl })?;
        Ok(Lease { lease: LeaseHandle::from_raw(lease), deadline: Micros::new(deadline) })
    }

    /// Gives a lease back.
    ///
    /// # Errors
    /// See [`Request::Unlock`].
    pub fn unlock(&mut self, lease: LeaseHandle) -> Result<(), CallError> {
        self.call(Request::Unlock { lease }).map(|[]| ())
    }

    /// Maps frames `start..start+count` at `vaddr` in the caller's own address space. The reply may
    /// cover fewer frames than asked: the caller goes on from there.
    ///
    /// # Errors
    /// See [`Request::Map`].
    pub fn map(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
        count: FrameCount,
        vaddr: VirtAddr,
        flags: MapFlags,
    ) -> Result<Mapped, CallError> {
        let request = Request::Map { container, start, vaddr, count, flags, vspace: 0 };
        let [count, rights] = self.call(request)?;
        let rights = u16::try_from(rights).ok().and_then(MapFlags::from_bits);
        Ok(Mapped { count, rights: rights.ok_or(proto::ProtocolError::BadReply)? })
    }

    /// Unmaps the pages from `vaddr` on in the caller's own address space; returns how many there
    /// were.
    ///
    /// # Errors
    /// See [`Request::Unmap`].
    pub fn unmap(&mut self, vaddr: VirtAddr, count: FrameCount) -> Result<u64, CallError> {
        self.call(Request::Unmap { vspace: 0, vaddr, count }).map(|[unmapped]| unmapped)
    }

    /// Returns the states of at most 24 frames from `start` on.
    ///
    /// # Errors
    /// See [`Request::Status`].
    pub fn status(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
        count: FrameCount,
    ) -> Result<Status, CallError> {
        self.call(Request::Status { container, start, count }).map(Status::decode)
    }

    /// Returns limit and use of an account.
    ///
    /// # Errors
    /// See [`Request::AccountInfo`].
    pub fn account_info(&mut self, account: AccountHandle) -> Result<AccountInfo, CallError> {
        self.call(Request::AccountInfo { account }).map(AccountInfo::decode)
    }

    /// Names where the caller goes on when it has faulted.
    ///
    /// # Errors
    /// See [`Request::RegisterRecovery`].
    pub fn register_recovery(
        &mut self,
        entry: VirtAddr,
        stack_top: VirtAddr,
    ) -> Result<(), CallError> {
        self.call(Request::RegisterRecovery { entry, stack_top }).map(|[]| ())
    }

    /// Announces a call to `peer` that shall end within `ttl`; a `ttl` of 0 ends the watch.
    ///
    /// # Errors
    /// See [`Request::Watch`].
    pub fn watch(&mut self, peer: PeerId, ttl: Micros) -> Result<Micros, CallError> {
        self.call(Request::Watch { peer, ttl }).map(|[deadline]| Micros::new(deadline))
    }

    /// Rescues every server whose watch ran out.
    ///
    /// # Errors
    /// See [`Request::Rescue`].
    pub fn rescue(&mut self) -> Result<RescueReport, CallError> {
        self.call(Request::Rescue).map(RescueReport::decode)
    }

    /// Does a step of pending teardown and returns how many objects are left to free.
    ///
    /// # Errors
    /// See [`Request::Reclaim`].
    pub fn reclaim(&mut self) -> Result<u64, CallError> {
        self.call(Request::Reclaim).map(|[left]| left)
    }
}
