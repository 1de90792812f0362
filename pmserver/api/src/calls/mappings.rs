// SPDX-License-Identifier: BSD-2-Clause
//! Mappings, regions, grants, and frames that handlers supply.

use proto::{FrameCount, FrameNumber, PeerId, Transport, VirtAddr};

use super::Calls;
use crate::error::CallError;
use crate::flags::MapFlags;
use crate::handles::{ContainerHandle, FaultHandle, RangeHandle};
use crate::ops::{Frames, Request};
use crate::reply::{Granted, Mapped, PendingFault};

impl<T: Transport> Calls<T> {
    /// Maps frames `start..start + count` from `vaddr` on in the caller's address space. They can
    /// be fewer than asked for: the caller continues after them.
    ///
    /// # Errors
    /// [`CallError`]: see operation 12, map.
    pub fn map(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
        count: FrameCount,
        vaddr: VirtAddr,
        flags: MapFlags,
    ) -> Result<Mapped, CallError> {
        let frames = Frames { container, start, count };
        self.call(Request::Map { frames, vaddr, flags }).map(Mapped::decode)
    }

    /// Unmaps pages from `vaddr` on in the caller's address space, and returns how many of them
    /// were mapped.
    ///
    /// # Errors
    /// [`CallError`]: see operation 13, unmap.
    pub fn unmap(&mut self, vaddr: VirtAddr, count: FrameCount) -> Result<u64, CallError> {
        self.call(Request::Unmap { vaddr, count }).map(|[unmapped]| unmapped)
    }

    /// Restores the mappings from `vaddr` on that pmserver has taken away, with these rights.
    ///
    /// # Errors
    /// [`CallError`]: see operation 20, remap.
    pub fn remap(
        &mut self,
        vaddr: VirtAddr,
        count: FrameCount,
        flags: MapFlags,
    ) -> Result<Mapped, CallError> {
        self.call(Request::Remap { vaddr, count, flags }).map(Mapped::decode)
    }

    /// Makes a region of `count` pages from `vaddr` on. pmserver maps the frames from `start` on
    /// there, each when its page is first touched.
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
        self.call(Request::Attach { container, start, vaddr, count, flags }).map(|[]| ())
    }

    /// Ends the region that begins at `vaddr` and unmaps it, in as many calls as it takes.
    ///
    /// # Errors
    /// [`CallError`]: see operation 30, detach.
    pub fn detach(&mut self, vaddr: VirtAddr) -> Result<(), CallError> {
        self.call_until_done(Request::Detach { vaddr })
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

    /// Takes back granted capabilities from `address` on, and returns how many there were.
    ///
    /// # Errors
    /// [`CallError`]: see operation 32, ungrant.
    pub fn ungrant(&mut self, address: u64, count: FrameCount) -> Result<u64, CallError> {
        self.call(Request::Ungrant { address, count }).map(|[taken]| taken)
    }

    /// Makes the page tables for the pages from `vaddr` on, and returns how many were missing.
    ///
    /// # Errors
    /// [`CallError`]: see operation 33, ensure_tables.
    pub fn ensure_tables(&mut self, vaddr: VirtAddr, count: FrameCount) -> Result<u64, CallError> {
        self.call(Request::EnsureTables { vaddr, count }).map(|[made]| made)
    }

    /// Sets the peer that supplies the frames of a range when they are first touched, or ends that
    /// if `handler` is `None`. Returns the range that begins or ends.
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
    ) -> Result<RangeHandle, CallError> {
        let request = Request::SetHandler { container, start, count, handler, cookie };
        self.call(request).map(|[range]| RangeHandle::from_raw(range))
    }

    /// Returns the next fault that the caller has to answer, if there is one.
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

    /// Answers a fault by letting the program that waits fault.
    ///
    /// # Errors
    /// [`CallError`]: see operation 49, refuse.
    pub fn refuse(&mut self, fault: FaultHandle) -> Result<(), CallError> {
        self.call(Request::Refuse { fault }).map(|[]| ())
    }
}
