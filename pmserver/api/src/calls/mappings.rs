// SPDX-License-Identifier: BSD-2-Clause
//! Mappings, regions, grants, and faults that others answer.

use proto::{FrameCount, FrameNumber, PeerId, Transport, VirtAddr};

use super::Calls;
use crate::error::CallError;
use crate::flags::MapFlags;
use crate::handles::{ContainerHandle, FaultHandle};
use crate::ops::{Frames, Request};
use crate::reply::{Granted, Mapped, PendingFault};

/// Every caller has one address space to map into.
const OWN_VSPACE: u32 = 0;

impl<T: Transport> Calls<T> {
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
        let frames = Frames { container, start, count };
        self.call(Request::Map { frames, vaddr, flags, vspace: OWN_VSPACE }).map(Mapped::decode)
    }

    /// Unmaps the pages from `vaddr` on in the caller's own address space; returns how many there
    /// were.
    ///
    /// # Errors
    /// See [`Request::Unmap`].
    pub fn unmap(&mut self, vaddr: VirtAddr, count: FrameCount) -> Result<u64, CallError> {
        self.call(Request::Unmap { vspace: OWN_VSPACE, vaddr, count }).map(|[unmapped]| unmapped)
    }

    /// Brings back what was taken away of the mappings from `vaddr` on, with these rights.
    ///
    /// # Errors
    /// [`CallError`]: see operation 20, remap.
    pub fn remap(
        &mut self,
        vaddr: VirtAddr,
        count: FrameCount,
        flags: MapFlags,
    ) -> Result<Mapped, CallError> {
        self.call(Request::Remap { vspace: OWN_VSPACE, vaddr, count, flags }).map(Mapped::decode)
    }

    /// Has pmserver map the frames from `start` on at the pages from `vaddr` on, each when its page
    /// is touched.
    ///
    /// # Errors
    /// [`CallError`]: see operation 29, attach.
    pub fn attach(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
        count: u32,
        vaddr: VirtAddr,
        flags: MapFlags,
    ) -> Result<(), CallError> {
        self.call(Request::Attach { container, start, vaddr, count, flags, vspace: 0 }).map(|[]| ())
    }

    /// Ends the region that begins at `vaddr`, calling again for as long as there is more to unmap.
    ///
    /// # Errors
    /// [`CallError`]: see operation 30, detach.
    pub fn detach(&mut self, vaddr: VirtAddr) -> Result<(), CallError> {
        self.call_until_done(Request::Detach { vspace: OWN_VSPACE, vaddr })
    }

    /// Puts capabilities to frames into the caller's CSpace.
    ///
    /// # Errors
    /// [`CallError`]: see operation 31, grant.
    pub fn grant(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
        count: FrameCount,
        rights: MapFlags,
    ) -> Result<Granted, CallError> {
        self.call(Request::Grant { frames: Frames { container, start, count }, rights })
            .map(Granted::decode)
    }

    /// Takes the granted capabilities from `address` on back; returns how many there were.
    ///
    /// # Errors
    /// [`CallError`]: see operation 32, ungrant.
    pub fn ungrant(&mut self, address: u64, count: FrameCount) -> Result<u64, CallError> {
        self.call(Request::Ungrant { address, count }).map(|[taken]| taken)
    }

    /// Makes the page tables for the pages from `vaddr` on; returns how many were missing.
    ///
    /// # Errors
    /// [`CallError`]: see operation 33, ensure_tables.
    pub fn ensure_tables(&mut self, vaddr: VirtAddr, count: FrameCount) -> Result<u64, CallError> {
        self.call(Request::EnsureTables { vspace: OWN_VSPACE, vaddr, count }).map(|[made]| made)
    }

    /// Names the peer that supplies the frames of a range when they are first touched; none takes
    /// the name away.
    ///
    /// # Errors
    /// [`CallError`]: see operation 46, set_handler.
    pub fn set_handler(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
        count: u64,
        handler: Option<PeerId>,
        cookie: u32,
    ) -> Result<(), CallError> {
        self.call(Request::SetHandler { container, start, count, handler, cookie }).map(|[]| ())
    }

    /// Returns the next fault that the caller is to answer.
    ///
    /// # Errors
    /// [`CallError`]: see operation 47, next_fault.
    pub fn next_fault(&mut self) -> Result<Option<PendingFault>, CallError> {
        self.call(Request::NextFault).map(PendingFault::decode)
    }

    /// Answers a fault with the contents of a frame that the caller may read.
    ///
    /// # Errors
    /// [`CallError`]: see operation 48, supply.
    pub fn supply(
        &mut self,
        fault: FaultHandle,
        container: ContainerHandle,
        number: FrameNumber,
    ) -> Result<(), CallError> {
        self.call(Request::Supply { fault, container, number }).map(|[]| ())
    }

    /// Answers a fault with a fault.
    ///
    /// # Errors
    /// [`CallError`]: see operation 49, refuse.
    pub fn refuse(&mut self, fault: FaultHandle) -> Result<(), CallError> {
        self.call(Request::Refuse { fault }).map(|[]| ())
    }
}
