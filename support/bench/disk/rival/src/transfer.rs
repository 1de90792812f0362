// SPDX-License-Identifier: BSD-2-Clause
//! Moving blocks between a disk and the start of a container, as many requests at a time as the
//! driver takes.

use block_api::{BlockCount, BlockError, CallError, Client, Place, Tag};
use pmserver_client::{ContainerHandle, Transport};
use proto::limits::{BLOCK_REQUEST_BLOCKS_MAX, CALL_FRAMES_MAX, FRAME_BLOCKS};

/// Which way blocks move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the disk.
    Read,
    /// To the disk.
    Write,
    /// None do: what was written is made to last.
    Flush,
}

/// A transfer that has begun.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    direction: Direction,
    container: ContainerHandle,
    /// The first block of the disk.
    block: u64,
    /// Blocks that were begun, and all.
    begun: u64,
    count: u64,
    /// Requests that have not ended.
    under_way: u64,
}

impl Transfer {
    /// Begins a transfer of so many blocks.
    ///
    /// # Errors
    /// The driver's.
    pub fn begin<T: Transport>(
        disk: &mut Client<T>,
        direction: Direction,
        container: ContainerHandle,
        (block, count): (u64, u64),
    ) -> Result<Self, CallError> {
        let mut transfer = Self { direction, container, block, begun: 0, count, under_way: 0 };
        if direction == Direction::Flush {
            disk.flush(Tag::new(0))?;
            (transfer.count, transfer.under_way) = (0, 1);
        }
        transfer.go_on(disk)?;
        Ok(transfer)
    }

    /// Looks what has ended, after a notification, and begins more. Returns whether all has ended.
    ///
    /// # Errors
    /// The driver's, or those of a request.
    pub fn wake<T: Transport>(&mut self, disk: &mut Client<T>) -> Result<bool, CallError> {
        loop {
            let completed = disk.completed()?;
            for ended in completed.iter() {
                ended.result?;
                self.under_way = self.under_way.saturating_sub(1);
            }
            if completed.waiting == 0 {
                break;
            }
        }
        self.go_on(disk)?;
        Ok(self.under_way == 0)
    }

    /// Begins what can begin.
    fn go_on<T: Transport>(&mut self, disk: &mut Client<T>) -> Result<(), CallError> {
        while let Some(left @ 1..) = self.count.checked_sub(self.begun) {
            // A large frame at once.
            let is_large = left >= BLOCK_REQUEST_BLOCKS_MAX;
            let few = CALL_FRAMES_MAX * FRAME_BLOCKS;
            let more = if is_large { BLOCK_REQUEST_BLOCKS_MAX } else { left.min(few) };
            let count = BlockCount::new(more).ok_or(BlockError::BadRange)?;
            let place = Place { container: self.container, offset: self.begun };
            let (block, tag) = (self.block.saturating_add(self.begun), Tag::new(0));
            let begun = match self.direction {
                Direction::Write => disk.write(place, block, count, tag),
                _ => disk.read(place, block, count, tag),
            };
            match begun {
                Ok(()) => {}
                // There are as many as there may be, of this client or for this share.
                Err(_) if self.under_way > 0 => return Ok(()),
                Err(error) => return Err(error),
            }
            self.begun = self.begun.saturating_add(more);
            self.under_way = self.under_way.saturating_add(1);
        }
        Ok(())
    }
}
