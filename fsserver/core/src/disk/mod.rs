// SPDX-License-Identifier: BSD-2-Clause
//! The disk of the file system: a region that was filled before boot, or one behind a driver.

mod driver;
mod region;

use fsserver_volume::DeviceError;
use pmserver_client::{AddressSpace, Error, Pages};

use crate::memory::Home;
pub(crate) use driver::Driver;
pub(crate) use region::Region;

/// Lets others run until fsserver is woken.
pub(crate) type Wait<'a> = &'a dyn Fn();

/// Bytes of a disk that belong at consecutive bytes of the memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    /// The first byte of the disk, on a block boundary.
    pub(crate) from: u64,
    /// How many bytes. If the last block is not filled, what is behind them in the memory may
    /// become anything, up to the end of the block.
    pub(crate) bytes: u64,
    /// The first byte of the memory, on a block boundary.
    pub(crate) to: u64,
}

/// Memory of fsserver's own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// Where it is mapped.
    pub(crate) pages: Pages,
    /// In which container that fsserver has it is.
    pub(crate) home: Home,
    /// Its first frame there.
    pub(crate) first_frame: u64,
    /// Whether it is all zero. If not, it has bytes of another file.
    pub(crate) is_clear: bool,
}

/// A disk, and the memory of the domain that uses it. Whatever takes time calls `wait`.
pub(crate) trait Disk {
    /// The memory of the domain.
    type Space: AddressSpace;

    /// Returns the memory of the domain.
    fn space(&mut self) -> &mut Self::Space;

    /// Returns how many blocks there are.
    fn blocks(&self) -> u64;

    /// Returns whether it cannot be written.
    fn is_read_only(&self) -> bool;

    /// Reads blocks into private memory.
    fn read(&mut self, wait: Wait<'_>, first: u64, to: &mut [u8]) -> Result<(), DeviceError>;

    /// Writes blocks from private memory.
    fn write(&mut self, wait: Wait<'_>, first: u64, from: &[u8]) -> Result<(), DeviceError>;

    /// Says that `private` has what the frames for what is written have from a byte of them on; or
    /// nothing has. What is written out of it may then come from there.
    fn note_copy(&mut self, _copy: Option<(&[u8], u64)>) {}

    /// Makes all that was written last.
    fn flush(&mut self, wait: Wait<'_>) -> Result<(), DeviceError>;

    /// Reads into the memory, without private memory on the way.
    fn fill(
        &mut self,
        wait: Wait<'_>,
        pieces: &[Piece],
        target: &Target,
    ) -> Result<(), DeviceError>;

    /// Copies private bytes into the memory, from a byte of it on.
    fn write_memory(
        &mut self,
        target: &Target,
        from: &[u8],
        offset: u64,
    ) -> Result<(), DeviceError> {
        target.pages.copy_out(self.space(), from, offset).map_err(|_: Error| DeviceError)
    }

    /// Copies bytes of mapped pages into private memory.
    fn read_memory(&mut self, from: Pages, offset: u64, to: &mut [u8]) -> Result<(), DeviceError> {
        from.copy_in(self.space(), offset, to).map_err(|_: Error| DeviceError)
    }
}
