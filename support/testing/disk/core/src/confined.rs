// SPDX-License-Identifier: BSD-2-Clause
//! What is tried where an IOMMU confines the disk, with a driver that misbehaves.

use pmserver_client::{AddressSpace, Transport};
use proto::Waiter;

use crate::check::{Block, Rig, at};
use crate::failure::Failure;
use crate::sabotage::{ENDED, NEVER};

/// How often it is asked whether such a request has ended.
const LOOKS_MAX: u32 = 100_000_000;

impl<T: Transport, S: AddressSpace, W: Waiter> Rig<'_, T, S, W> {
    /// The driver tells the disk the address of a pin that has ended, and one that it never had.
    pub(crate) fn a_driver_reaches_no_other_memory(&mut self) -> Result<(), Failure> {
        // Frame 0 has been moved, and is nobody's to move any more.
        self.write(0, ENDED.saturating_add(8), 1)?;
        self.wait("writing what is left alone then", 1)?;
        self.fill(0, 4711)?;
        for block in [ENDED, NEVER] {
            self.read(8, block, 1)?;
            self.wait_for_any_end()?;
            self.expect(0, 4711)?;
            self.write(8, block, 1)?;
            self.wait_for_any_end()?;
        }
        // Two blocks at once, with which the driver does what it should. What a disk writes of what
        // it could not read is nothing.
        self.read(8, ENDED, 2)?;
        self.wait("reading what was written of it", 1)?;
        for block in [8, 9] {
            let mut bytes: Block = [1; 512];
            self.mapping.copy_in(&self.memory, at(block), &mut bytes)?;
            if bytes != [0; 512] {
                return Err(Failure::Wrong("the disk has read memory that it was not given"));
            }
        }
        Ok(())
    }

    /// Asks until a request has ended: nobody is told that a disk does nothing more. How it ends is
    /// the disk's affair: QEMU's takes no notice of an access that was refused.
    fn wait_for_any_end(&mut self) -> Result<(), Failure> {
        for _ in 0..LOOKS_MAX {
            let completed = self.disk.completed();
            let completed = completed.map_err(|error| Failure::Refused("waiting", error))?;
            if completed.iter().next().is_some() {
                return Ok(());
            }
        }
        Err(Failure::Wrong("a request has no end"))
    }
}
