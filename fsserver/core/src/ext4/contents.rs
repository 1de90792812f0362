// SPDX-License-Identifier: BSD-2-Clause
//! The bytes of a file, and the target of a symlink.

use core::num::NonZeroU64;

use fsserver_api::{Failure, FsError};
use pmserver_client::{AddressSpace, VirtAddr};

use super::bytes::{Block, check};
use super::disk::Disk;
use super::inode::{Inode, ROOT_BYTES};
use super::map::{Run, find};

/// A regular file that is being read.
pub(crate) struct Contents<'a, A> {
    disk: &'a Disk<A>,
    file: &'a Inode,
    runs: &'a mut LastRuns,
}

/// Where blocks of a file were found, the last time first: several, as a read that is repeated may
/// go over some runs each time.
pub(crate) type LastRuns = [KnownRun; 4];

/// Consecutive blocks of a file, and where they were found; none if there are 0.
#[derive(Clone, Copy, Default)]
pub(crate) struct KnownRun {
    /// The number of the first of them in the file.
    first: u32,
    /// How many there are at least.
    count: u32,
    /// The first of as many consecutive blocks of the disk, or `None` if they read as zeros.
    start: Option<NonZeroU64>,
}

impl<'a, A: AddressSpace> Contents<'a, A> {
    /// Returns the file, unless its contents cannot be read.
    pub(crate) fn new(
        disk: &'a Disk<A>,
        file: &'a Inode,
        runs: &'a mut LastRuns,
    ) -> Result<Self, Failure> {
        file.check_readable()?;
        Ok(Self { disk, file, runs })
    }

    /// Returns where the bytes from `offset` on are: at most `most` of them, and as many as stand
    /// there in a row. The file has as many.
    pub(crate) fn piece(&mut self, offset: u64, most: u64) -> Result<Piece, FsError> {
        let block_bytes = u64::from(self.disk.block_bytes);
        let block = offset.checked_div(block_bytes).ok_or(FsError::ImageDamaged)?;
        let within = offset.checked_rem(block_bytes).ok_or(FsError::ImageDamaged)?;
        let run = self.run_at(block)?;
        let there = run.count.saturating_mul(block_bytes).saturating_sub(within);
        let bytes = there.min(most);
        let Some(start) = run.start else { return Ok(Piece { at: None, bytes }) };
        let blocks = within.saturating_add(bytes).div_ceil(block_bytes);
        self.disk.spend(u32::try_from(blocks).unwrap_or(u32::MAX))?;
        Ok(Piece { at: Some(self.disk.place(start, within, bytes)?), bytes })
    }

    /// Returns where a block of the file is, with those that follow it.
    fn run_at(&mut self, block: u64) -> Result<Run, FsError> {
        let block = u32::try_from(block).map_err(|_| FsError::ImageDamaged)?;
        let has_block = |run: &&KnownRun| block.wrapping_sub(run.first) < run.count;
        let run = match self.runs.iter().find(has_block) {
            Some(known) => *known,
            None => {
                let Run { start, count } = find(self.disk, self.file, block.into())?;
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                let start = start.and_then(NonZeroU64::new);
                self.runs.rotate_right(1);
                let [last, ..] = self.runs;
                *last = KnownRun { first: block, count, start };
                *last
            }
        };
        let skipped = block.wrapping_sub(run.first);
        Ok(Run {
            start: run.start.map(|start| start.get().saturating_add(skipped.into())),
            count: run.count.saturating_sub(skipped).into(),
        })
    }
}

/// Bytes of a file that stand in a row.
pub(crate) struct Piece {
    /// Where, or nowhere if they are zeros.
    pub(crate) at: Option<VirtAddr>,
    /// How many.
    pub(crate) bytes: u64,
}

impl Inode {
    /// Reads where a symlink leads. It is in the inode, or in one block.
    pub(super) fn target<'a, A: AddressSpace>(
        &self,
        disk: &Disk<A>,
        buffer: &'a mut Block,
    ) -> Result<&'a [u8], Failure> {
        self.check_readable()?;
        let length = usize::try_from(self.size_bytes).map_err(|_| FsError::ImageDamaged)?;
        check(1 <= length && self.size_bytes <= disk.block_bytes.into())?;
        let target = if length < ROOT_BYTES {
            let to = buffer.get_mut(..ROOT_BYTES).ok_or(FsError::ImageDamaged)?;
            to.copy_from_slice(&self.root);
            to
        } else {
            let block = find(disk, self, 0)?.start.ok_or(FsError::ImageDamaged)?;
            disk.read_block(block, buffer)?;
            buffer.as_mut_slice()
        };
        let target = target.get(..length).ok_or(FsError::ImageDamaged)?;
        check(!target.contains(&0))?;
        Ok(target)
    }
}
