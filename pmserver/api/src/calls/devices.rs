// SPDX-License-Identifier: BSD-2-Clause
//! Memory for devices.

use proto::{FrameCount, FrameNumber, Micros, PeerId, Transport};

use super::Calls;
use crate::error::{CallError, Failure, PmError};
use crate::flags::LockMode;
use crate::handles::{ContainerHandle, LeaseHandle};
use crate::ops::{Frames, Request};
use crate::reply::{BusRun, Pinned};

impl<T: Transport> Calls<T> {
    /// Allocates physically contiguous frames, in as many calls as the search takes. The first
    /// address is a multiple of `2^align_bits`, and the last byte lies below `2^limit_bits`.
    ///
    /// # Errors
    /// [`CallError`]: see operation 23, allocate_contiguous.
    pub fn allocate_contiguous(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
        count: FrameCount,
        align_bits: u8,
        limit_bits: u8,
    ) -> Result<u64, CallError> {
        let frames = Frames { container, start, count };
        let request = Request::AllocateContiguous { frames, align_bits, limit_bits };
        loop {
            match self.call(request) {
                // The search continues where it stopped, and ends at the end of the pool.
                Err(CallError::Refused(Failure { error: PmError::Pending, at: 0, .. })) => {}
                result => return result.map(|[done]| done),
            }
        }
    }

    /// Takes a lease under which the frames keep their physical memory. With [`Micros::NEVER`] it
    /// has no deadline.
    ///
    /// # Errors
    /// [`CallError`]: see operation 43, pin.
    pub fn pin(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
        count: FrameCount,
        mode: LockMode,
        ttl: Micros,
    ) -> Result<Pinned, CallError> {
        let frames = Frames { container, start, count };
        self.call(Request::Pin { frames, mode, ttl }).map(Pinned::decode)
    }

    /// Returns the bus address of a pinned frame.
    ///
    /// # Errors
    /// [`CallError`]: see operation 44, bus_address.
    pub fn bus_address(
        &mut self,
        lease: LeaseHandle,
        number: FrameNumber,
    ) -> Result<BusRun, CallError> {
        self.call(Request::BusAddress { lease, number })
            .map(|[address, frames]| BusRun { address, frames })
    }

    /// Reports that a peer's device was reset and writes to no memory any more, in as many calls as
    /// it takes.
    ///
    /// # Errors
    /// [`CallError`]: see operation 45, device_reset.
    pub fn device_reset(&mut self, peer: PeerId) -> Result<(), CallError> {
        loop {
            match self.call(Request::DeviceReset { peer }) {
                // Each call ends at least one pin.
                Err(CallError::Refused(Failure { error: PmError::Pending, at: 0, .. })) => {}
                result => return result.map(|[]| ()),
            }
        }
    }
}
