// SPDX-License-Identifier: BSD-2-Clause
//! What is in files: reading, writing, and where it is on the disk.

use alloc::vec::Vec;

use rsext4::{FileExtent, FileExtentState, FileExtentTarget, InodeInfo};

use super::superblock::Access;
use super::{Ext4, engine, has_block_map, kind_of};
use crate::block_device::BlockDevice;
use crate::error::{Error, Feature};
use crate::limits::{EXTENTS_MAX, WRITE_BYTES_MAX, WRITTEN_EXTENTS_MAX};
use crate::volume::{Clock, Inode, Kind, RUNS_MAX, Run, Volume};

/// Zeros, as many as the largest block has.
static ZEROS: [u8; 4096] = [0; 4096];

impl<D: BlockDevice, C: Clock> Ext4<D, C> {
    /// Fails unless it is a regular file, and returns what is known of it.
    fn check_regular(&mut self, inode: Inode) -> Result<InodeInfo, Error> {
        self.check(inode)?;
        let info = self.info(inode)?;
        match kind_of(&info).ok_or(Error::Damaged)? {
            Kind::Regular => Ok(info),
            Kind::Directory => Err(Error::IsADirectory),
            Kind::Symlink => Err(Error::BadName),
            Kind::Special => Err(Feature::Special.into()),
        }
    }

    pub(super) fn read_file(
        &mut self,
        inode: Inode,
        offset: u64,
        to: &mut [u8],
    ) -> Result<usize, Error> {
        let info = self.check_regular(inode)?;
        let left = usize::try_from(info.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let length = to.len().min(left);
        let to = to.get_mut(..length).unwrap_or_default();
        // The engine would note in the inode that the file was read.
        let is_direct = self.access == Access::Write && self.is_clean(inode);
        if to.is_empty() {
            return Ok(0);
        }
        if is_direct && !has_block_map(&info) {
            return self.read_directly((inode, info.size), offset, to);
        }
        let number = engine::number(inode)?;
        self.engine()?.read_inode(number, offset, to).map_err(engine::error)
    }

    fn read_directly(
        &mut self,
        file: (Inode, u64),
        offset: u64,
        to: &mut [u8],
    ) -> Result<usize, Error> {
        let mut done: usize = 0;
        while done < to.len() {
            let left = to.get_mut(done..).unwrap_or_default();
            let skipped = u64::try_from(done).unwrap_or(u64::MAX);
            let length = u64::try_from(left.len()).unwrap_or(u64::MAX);
            let runs = self.find(file, offset.saturating_add(skipped), length)?;
            let before = done;
            for run in runs {
                let length = usize::try_from(run.bytes).unwrap_or(usize::MAX);
                let part = to.get_mut(done..done.saturating_add(length)).ok_or(Error::Damaged)?;
                match run.start {
                    Some(start) => self.disk.read_bytes(start, part)?,
                    None => part.fill(0),
                }
                done = done.saturating_add(length);
            }
            if done == before {
                break;
            }
        }
        Ok(done)
    }

    pub(super) fn find_extents(
        &mut self,
        inode: Inode,
        offset: u64,
        bytes: u64,
    ) -> Result<Vec<Run>, Error> {
        let info = self.check_regular(inode)?;
        if has_block_map(&info) {
            return Err(Feature::BlockMap.into());
        }
        self.find((inode, info.size), offset, bytes)
    }

    /// Returns where the bytes are of a file of such a size that has extents.
    fn find(
        &mut self,
        (inode, size): (Inode, u64),
        offset: u64,
        bytes: u64,
    ) -> Result<Vec<Run>, Error> {
        let number = engine::number(inode)?;
        let engine = self.engine()?;
        let end = offset.saturating_add(bytes).min(size);
        if offset >= end {
            return Ok(Vec::new());
        }
        let length = end.saturating_sub(offset);
        let most = RUNS_MAX.div_ceil(2);
        let found = engine.inode_extents(number, offset, length, FileExtentTarget::Data, most);
        let found = found.map_err(engine::error)?;
        let (mut runs, mut at) = (Vec::new(), offset);
        for extent in &found.extents {
            let first = extent.logical_start.max(at);
            push(&mut runs, None, first.min(end).saturating_sub(at));
            let last = extent.logical_start.saturating_add(extent.length).min(end);
            push(&mut runs, start_of(extent, first), last.saturating_sub(first));
            at = at.max(last);
        }
        if found.complete {
            push(&mut runs, None, end.saturating_sub(at));
        }
        Ok(runs)
    }

    pub(super) fn write_file(
        &mut self,
        inode: Inode,
        offset: u64,
        from: &[u8],
    ) -> Result<(), Error> {
        if from.len() > WRITE_BYTES_MAX {
            return Err(Error::TooLarge);
        }
        self.start_change()?;
        let size_bytes = self.check_regular(inode)?.size;
        self.check_changeable(inode)?;
        let length = u64::try_from(from.len()).unwrap_or(u64::MAX);
        let end = offset.checked_add(length).ok_or(Error::TooLarge)?;
        self.check_pieces(inode, length)?;
        self.changed.insert(inode.number());
        self.clear_behind(inode, size_bytes, offset)?;
        let number = engine::number(inode)?;
        let written = self.engine()?.write_inode(number, offset, from).map_err(engine::error);
        if written == Err(Error::NoSpace) {
            // What was reserved behind the end of the file is found only by truncating it.
            let past = end.max(size_bytes).saturating_add(1);
            if self.engine()?.truncate_inode(number, past).is_ok() {
                self.shrink(inode, size_bytes)?;
            }
        }
        written
    }

    /// Clears what is behind the end of a file in its last block, up to `end`, before the file
    /// grows over it: a write whose data was on the disk before a crash, and whose size was not.
    fn clear_behind(&mut self, inode: Inode, size_bytes: u64, end: u64) -> Result<(), Error> {
        let block_end = size_bytes.checked_next_multiple_of(self.layout.block_bytes.into());
        let bytes = block_end.unwrap_or(end).min(end).saturating_sub(size_bytes);
        let zeros = usize::try_from(bytes).ok().and_then(|bytes| ZEROS.get(..bytes));
        let Some(zeros @ [_, ..]) = zeros else { return Ok(()) };
        let number = engine::number(inode)?;
        let engine = self.engine()?;
        let (last, target) = (size_bytes.saturating_sub(1), FileExtentTarget::Data);
        let found = engine.inode_extents(number, last, 1, target, 1).map_err(engine::error)?;
        if found.extents.is_empty() {
            return Ok(());
        }
        engine.write_inode(number, size_bytes, zeros).map_err(engine::error)
    }

    /// Fails if the file could get too many extents by a write of so many bytes.
    fn check_pieces(&mut self, inode: Inode, bytes: u64) -> Result<(), Error> {
        let number = engine::number(inode)?;
        let blocks = bytes.checked_div(self.layout.block_bytes.into()).unwrap_or(0);
        let more = usize::try_from(blocks).unwrap_or(usize::MAX).saturating_add(4);
        let known = self.extents.get(&inode.number()).copied();
        let fits = |count: usize| count.saturating_add(more) <= WRITTEN_EXTENTS_MAX;
        let count = match known.filter(|count| fits(*count)) {
            Some(count) => count,
            None => {
                let engine = self.engine()?;
                let found = engine.inode_extents(number, 0, u64::MAX, FileExtentTarget::Data, 0);
                found.map_err(engine::error)?.mapped_extents
            }
        };
        self.extents.insert(inode.number(), count.saturating_add(more));
        if fits(count) && count <= EXTENTS_MAX { Ok(()) } else { Err(Error::TooLarge) }
    }

    pub(super) fn resize(&mut self, inode: Inode, size_bytes: u64) -> Result<(), Error> {
        self.start_change()?;
        let old_bytes = self.check_regular(inode)?.size;
        self.check_changeable(inode)?;
        self.changed.insert(inode.number());
        if size_bytes < old_bytes {
            return self.shrink(inode, size_bytes);
        }
        self.clear_behind(inode, old_bytes, size_bytes)?;
        let number = engine::number(inode)?;
        self.engine()?.truncate_inode(number, size_bytes).map_err(engine::error)
    }
}

fn push(runs: &mut Vec<Run>, start: Option<u64>, bytes: u64) {
    if bytes > 0 {
        runs.push(Run { start, bytes });
    }
}

/// Returns where on the disk a byte of the file is.
fn start_of(extent: &FileExtent, offset: u64) -> Option<u64> {
    let skipped = offset.saturating_sub(extent.logical_start);
    match extent.state {
        FileExtentState::Initialized => Some(extent.physical_start.saturating_add(skipped)),
        FileExtentState::Unwritten | FileExtentState::Inline => None,
    }
}
