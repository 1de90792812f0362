// SPDX-License-Identifier: BSD-2-Clause
//! A disk in a memory region that was filled before boot. It can be read only, and never waits.

use fsserver_volume::{BLOCK_BYTES, DeviceError};
use pmserver_client::{AddressSpace, Error, VirtAddr};

use super::{Disk, Piece, Target, Wait};

/// The region, mapped read-only in fsserver's address space.
pub(crate) struct Region<A> {
    space: A,
    vaddr: VirtAddr,
    bytes: u64,
}

impl<A: AddressSpace> Region<A> {
    /// Returns the region of `bytes` bytes at `vaddr`.
    pub(crate) const fn new(space: A, vaddr: VirtAddr, bytes: u64) -> Self {
        Self { space, vaddr, bytes }
    }

    /// Returns the address of bytes that are all in the region.
    fn place(&self, start: u64, bytes: u64) -> Result<VirtAddr, DeviceError> {
        let end = start.checked_add(bytes).filter(|end| *end <= self.bytes);
        end.and_then(|_| self.vaddr.checked_add(start)).ok_or(DeviceError)
    }
}

impl<A: AddressSpace> Disk for Region<A> {
    type Space = A;

    fn space(&mut self) -> &mut A {
        &mut self.space
    }

    fn blocks(&self) -> u64 {
        self.bytes >> BLOCK_BYTES.trailing_zeros()
    }

    fn is_read_only(&self) -> bool {
        true
    }

    fn read(&mut self, _: Wait<'_>, first: u64, to: &mut [u8]) -> Result<(), DeviceError> {
        let start = first.checked_mul(block_bytes()).ok_or(DeviceError)?;
        let bytes = u64::try_from(to.len()).map_err(|_| DeviceError)?;
        self.space.copy_in(self.place(start, bytes)?, to);
        Ok(())
    }

    fn write(&mut self, _: Wait<'_>, _: u64, _: &[u8]) -> Result<(), DeviceError> {
        Err(DeviceError)
    }

    fn flush(&mut self, _: Wait<'_>) -> Result<(), DeviceError> {
        Ok(())
    }

    fn fill(&mut self, _: Wait<'_>, pieces: &[Piece], to: &Target) -> Result<(), DeviceError> {
        for piece in pieces {
            let from = self.place(piece.from, piece.bytes)?;
            let bytes = usize::try_from(piece.bytes).map_err(|_| DeviceError)?;
            to.pages
                .copy_across(&mut self.space, (from, bytes), piece.to)
                .map_err(|_: Error| DeviceError)?;
        }
        Ok(())
    }
}

fn block_bytes() -> u64 {
    u64::try_from(BLOCK_BYTES).unwrap_or(u64::MAX)
}
