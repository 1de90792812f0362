// SPDX-License-Identifier: BSD-2-Clause
//! The disk as the volume sees it. While the disk takes time it leaves the coroutine; and it counts
//! the blocks of each job, so that no image makes a job endless.

use alloc::rc::Rc;
use core::cell::{Cell, RefCell};

use corosensei::Yielder;
use fsserver_volume::{BLOCK_BYTES, BlockDevice, DeviceError};

use super::{Pause, Resume};
use crate::disk::Disk;

/// The disk. Copies of it are the same one.
pub(super) struct Device<'y, D>(Rc<Shared<'y, D>>);

struct Shared<'y, D> {
    disk: RefCell<D>,
    yielder: &'y Yielder<Resume, Pause>,
    /// How many blocks the job may still read or write.
    blocks_left: Cell<u64>,
}

impl<D> Clone for Device<'_, D> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<'y, D: Disk> Device<'y, D> {
    pub(super) fn new(yielder: &'y Yielder<Resume, Pause>, disk: D) -> Self {
        let (disk, blocks_left) = (RefCell::new(disk), Cell::new(0));
        Self(Rc::new(Shared { disk, yielder, blocks_left }))
    }

    /// Lets a job access so many blocks.
    pub(super) fn allow(&self, blocks: u64) {
        self.0.blocks_left.set(blocks);
    }

    /// Returns whether the job has accessed as many blocks as it may.
    pub(super) fn is_exhausted(&self) -> bool {
        self.0.blocks_left.get() == 0
    }

    /// Does something with the disk itself; it may leave the coroutine meanwhile.
    pub(super) fn with<R>(&self, action: impl FnOnce(&mut D, &dyn Fn()) -> R) -> R {
        let wait = || match self.0.yielder.suspend(Pause::Waiting) {
            // While a job is under way there is no other.
            Resume::Job(_) | Resume::Woken => {}
        };
        action(&mut self.0.disk.borrow_mut(), &wait)
    }

    fn spend(&self, bytes: usize) -> Result<(), DeviceError> {
        let blocks = u64::try_from(bytes.div_ceil(BLOCK_BYTES)).unwrap_or(u64::MAX);
        let left = self.0.blocks_left.get().checked_sub(blocks);
        self.0.blocks_left.set(left.unwrap_or(0));
        left.map(drop).ok_or(DeviceError)
    }
}

impl<D: Disk> BlockDevice for Device<'_, D> {
    fn blocks(&self) -> u64 {
        self.0.disk.borrow().blocks()
    }

    fn is_read_only(&self) -> bool {
        self.0.disk.borrow().is_read_only()
    }

    fn read(&mut self, first: u64, to: &mut [u8]) -> Result<(), DeviceError> {
        self.spend(to.len())?;
        self.with(|disk, wait| disk.read(wait, first, to))
    }

    fn write(&mut self, first: u64, from: &[u8]) -> Result<(), DeviceError> {
        self.with(|disk, wait| disk.write(wait, first, from))
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        self.with(|disk, wait| disk.flush(wait))
    }
}
