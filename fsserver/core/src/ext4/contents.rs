// SPDX-License-Identifier: BSD-2-Clause
//! The bytes of a file.

use fsserver_api::{Failure, FsError};
use pmserver_client::AddressSpace;

use super::disk::Disk;
use super::inode::Inode;
use super::map::{Run, find};

/// A regular file that is being read.
pub(crate) struct Contents<'a, A> {
    disk: &'a Disk<A>,
    file: &'a Inode,
    /// The blocks that were found last, and the first of them in the file.
    run: Option<(u64, Run)>,
}

impl<'a, A: AddressSpace> Contents<'a, A> {
    /// Returns the file, unless its contents cannot be read.
    pub(crate) fn new(disk: &'a Disk<A>, file: &'a Inode) -> Result<Self, Failure> {
        file.check_readable()?;
        Ok(Self { disk, file, run: None })
    }

    /// Fills `to` with the bytes from `offset` on. The file has as many.
    pub(crate) fn read(&mut self, offset: u64, to: &mut [u8]) -> Result<(), FsError> {
        let block_bytes = u64::from(self.disk.block_bytes);
        let mut offset = offset;
        let mut rest = to;
        while !rest.is_empty() {
            let block = offset.checked_div(block_bytes).ok_or(FsError::ImageDamaged)?;
            let within = offset.checked_rem(block_bytes).ok_or(FsError::ImageDamaged)?;
            let length = usize::try_from(block_bytes.saturating_sub(within)).unwrap_or(0);
            let length = length.min(rest.len());
            let (part, after) = rest.split_at_mut_checked(length).ok_or(FsError::BadRange)?;
            match self.block(block)? {
                Some(start) => {
                    self.disk.spend(1)?;
                    self.disk.read_bytes(start, within, part)?;
                }
                None => part.fill(0),
            }
            offset = offset.saturating_add(u64::try_from(length).unwrap_or(0));
            rest = after;
        }
        Ok(())
    }

    /// Returns where a block of the file is, or `None` if it reads as zeros.
    fn block(&mut self, block: u64) -> Result<Option<u64>, FsError> {
        let known = self.run.filter(|(first, run)| {
            block.checked_sub(*first).is_some_and(|skipped| skipped < run.count)
        });
        let (first, run) = match known {
            Some(known) => known,
            None => (block, find(self.disk, self.file, block)?),
        };
        self.run = Some((first, run));
        Ok(run.start.map(|start| start.saturating_add(block.saturating_sub(first))))
    }
}
