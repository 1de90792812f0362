// SPDX-License-Identifier: BSD-2-Clause
//! Copies bytes out of the image region.

use pmserver_client::{AddressSpace, VirtAddr};

/// The image, mapped read-only in fsserver's address space.
pub(crate) struct Image<A> {
    space: A,
    vaddr: VirtAddr,
    bytes: u64,
}

impl<A: AddressSpace> Image<A> {
    /// Returns the image of `bytes` bytes at `vaddr`.
    pub(crate) fn new(space: A, vaddr: VirtAddr, bytes: u64) -> Self {
        Self { space, vaddr, bytes }
    }

    /// Returns how large the image is.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Fills `to` with the bytes from `start` on, or copies nothing if the image ends earlier.
    pub(crate) fn copy(&self, start: u64, to: &mut [u8]) -> Result<(), OutsideImage> {
        let length =
            u64::try_from(to.len()).map_err(|_: core::num::TryFromIntError| OutsideImage)?;
        self.space.copy_in(self.place(start, length)?, to);
        Ok(())
    }

    /// Returns the address of `length` bytes from `start` on, which are all in the image.
    pub(crate) fn place(&self, start: u64, length: u64) -> Result<VirtAddr, OutsideImage> {
        let end = start.checked_add(length).filter(|end| *end <= self.bytes);
        end.and_then(|_| self.vaddr.checked_add(start)).ok_or(OutsideImage)
    }
}

/// An access outside of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutsideImage;
