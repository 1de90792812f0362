// SPDX-License-Identifier: BSD-2-Clause
//! Containers and the frames in them.

use proto::{FrameCount, FrameNumber, Transport};

use super::Calls;
use crate::error::CallError;
use crate::flags::{AllocateFlags, CopyFlags, DeallocateFlags, Marks};
use crate::handles::{AccountHandle, ContainerHandle};
use crate::lists::{FrameList, PairList};
use crate::ops::{Frames, Request, ShareTerms};
use crate::reply::{Created, Placed, Status};

impl<T: Transport> Calls<T> {
    /// Makes an empty container that `account` pays for.
    ///
    /// # Errors
    /// [`CallError`]: see operation 4, container_create.
    pub fn container_create(
        &mut self,
        account: AccountHandle,
    ) -> Result<ContainerHandle, CallError> {
        self.call(Request::ContainerCreate { account })
            .map(|[handle]| ContainerHandle::from_raw(handle))
    }

    /// Destroys a container, in as many calls as it takes.
    ///
    /// # Errors
    /// [`CallError`]: see operation 5, container_destroy. `Pending` if a lease keeps part of it
    /// until its deadline.
    pub fn container_destroy(&mut self, container: ContainerHandle) -> Result<(), CallError> {
        self.call_until_done(Request::ContainerDestroy { container })
    }

    /// Allocates frames `start..start + count` and returns how many.
    ///
    /// # Errors
    /// [`CallError`]: see operation 6, allocate.
    pub fn allocate(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
        count: FrameCount,
        flags: AllocateFlags,
    ) -> Result<u64, CallError> {
        self.call(Request::Allocate { frames: Frames { container, start, count }, flags })
            .map(|[done]| done)
    }

    /// Frees the frames that exist in `start..start + count` and returns how many.
    ///
    /// # Errors
    /// [`CallError`]: see operation 7, deallocate.
    pub fn deallocate(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
        count: FrameCount,
        flags: DeallocateFlags,
    ) -> Result<u64, CallError> {
        self.call(Request::Deallocate { frames: Frames { container, start, count }, flags })
            .map(|[freed]| freed)
    }

    /// Returns the states of frames from `start` on, of at most 24.
    ///
    /// # Errors
    /// [`CallError`]: see operation 14, status.
    pub fn status(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
        count: FrameCount,
    ) -> Result<Status, CallError> {
        self.call(Request::Status { frames: Frames { container, start, count } })
            .map(Status::decode)
    }

    /// Drops the contents of the frames that exist in the range, and returns how many those are.
    ///
    /// # Errors
    /// [`CallError`]: see operation 21, renew.
    pub fn renew(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
        count: FrameCount,
    ) -> Result<u64, CallError> {
        self.call(Request::Renew { frames: Frames { container, start, count } })
            .map(|[renewed]| renewed)
    }

    /// Allocates `count` frames with consecutive numbers that pmserver chooses.
    ///
    /// # Errors
    /// [`CallError`]: see operation 22, allocate_anywhere.
    pub fn allocate_anywhere(
        &mut self,
        container: ContainerHandle,
        count: FrameCount,
        flags: AllocateFlags,
    ) -> Result<Placed, CallError> {
        let request = Request::AllocateAnywhere { container, count, flags };
        self.call(request).map(|[start, count]| Placed { start: FrameNumber::new(start), count })
    }

    /// Copies `count` frames and returns how many were copied.
    ///
    /// # Errors
    /// [`CallError`]: see operation 24, copy.
    pub fn copy(
        &mut self,
        (source, source_start): (ContainerHandle, FrameNumber),
        (destination, destination_start): (ContainerHandle, FrameNumber),
        count: FrameCount,
        flags: CopyFlags,
    ) -> Result<u64, CallError> {
        let request =
            Request::Copy { source, source_start, destination, destination_start, count, flags };
        self.call(request).map(|[done]| done)
    }

    /// Copies single frames, each pair from its first number to its second, and returns how many.
    ///
    /// # Errors
    /// [`CallError`]: see operation 25, copy_list.
    pub fn copy_list(
        &mut self,
        source: ContainerHandle,
        destination: ContainerHandle,
        pairs: PairList,
        flags: CopyFlags,
    ) -> Result<u64, CallError> {
        self.call(Request::CopyList { source, destination, pairs, flags }).map(|[done]| done)
    }

    /// Makes a container with new frames `0..count` and shares them.
    ///
    /// # Errors
    /// [`CallError`]: see operation 26, create_with.
    pub fn create_with(
        &mut self,
        account: AccountHandle,
        count: FrameCount,
        terms: ShareTerms,
    ) -> Result<Created, CallError> {
        self.call(Request::CreateWith { account, count, terms }).map(Created::decode)
    }

    /// Makes a container with copies of a range of frames, numbered from 0, and shares them.
    ///
    /// # Errors
    /// [`CallError`]: see operation 27, create_from.
    pub fn create_from(
        &mut self,
        account: AccountHandle,
        source: Frames,
        terms: ShareTerms,
    ) -> Result<Created, CallError> {
        self.call(Request::CreateFrom { account, source, terms }).map(Created::decode)
    }

    /// Makes a container with copies of listed frames, numbered from 0, and shares them.
    ///
    /// # Errors
    /// [`CallError`]: see operation 28, create_gather.
    pub fn create_gather(
        &mut self,
        account: AccountHandle,
        source: ContainerHandle,
        frames: FrameList,
        terms: ShareTerms,
    ) -> Result<Created, CallError> {
        self.call(Request::CreateGather { account, source, frames, terms }).map(Created::decode)
    }

    /// Gives the frames that exist in the range exactly these marks, and returns how many those
    /// are.
    ///
    /// # Errors
    /// [`CallError`]: see operation 41, mark.
    pub fn mark(
        &mut self,
        container: ContainerHandle,
        start: FrameNumber,
        count: FrameCount,
        marks: Marks,
    ) -> Result<u64, CallError> {
        self.call(Request::Mark { frames: Frames { container, start, count }, marks })
            .map(|[marked]| marked)
    }
}
