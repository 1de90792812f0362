// SPDX-License-Identifier: BSD-2-Clause
//! The seam downwards: what a volume asks of a disk.

/// Bytes of a block of a disk.
pub const BLOCK_BYTES: usize = 512;

/// A disk, or a part of one. A call returns when the disk has done the work: whoever waits for a
/// slow disk runs the volume on a coroutine of its own, and suspends that in here.
///
/// Lengths are multiples of [`BLOCK_BYTES`]. What was written is on the disk for sure only after
/// the next `flush`; until then it may be lost, and in another order than it was written.
pub trait BlockDevice {
    /// Returns how many blocks there are.
    fn blocks(&self) -> u64;

    /// Returns whether the disk cannot be written.
    fn is_read_only(&self) -> bool;

    /// Fills `to` with the blocks from `first` on.
    ///
    /// # Errors
    /// [`DeviceError`] if the disk fails, or has no such blocks.
    fn read(&mut self, first: u64, to: &mut [u8]) -> Result<(), DeviceError>;

    /// Writes the blocks from `first` on.
    ///
    /// # Errors
    /// [`DeviceError`] if the disk fails, has no such blocks or cannot be written. What the blocks
    /// hold then is not known.
    fn write(&mut self, first: u64, from: &[u8]) -> Result<(), DeviceError>;

    /// Makes sure that all that was written stays.
    ///
    /// # Errors
    /// [`DeviceError`] if the disk fails.
    fn flush(&mut self) -> Result<(), DeviceError>;
}

/// A disk has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceError;

impl<D: BlockDevice + ?Sized> BlockDevice for &mut D {
    fn blocks(&self) -> u64 {
        (**self).blocks()
    }

    fn is_read_only(&self) -> bool {
        (**self).is_read_only()
    }

    fn read(&mut self, first: u64, to: &mut [u8]) -> Result<(), DeviceError> {
        (**self).read(first, to)
    }

    fn write(&mut self, first: u64, from: &[u8]) -> Result<(), DeviceError> {
        (**self).write(first, from)
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        (**self).flush()
    }
}
