// SPDX-License-Identifier: BSD-2-Clause
//! The number of blocks that a directory has. If the extents of an indexed directory no longer fit
//! into its inode, the engine forgets to count the two nodes that it makes for them: they are added
//! on the disk, when the volume is unmounted for a moment.

use alloc::vec;

use rsext4::{FileExtentTarget, InodeFlags};

use super::Ext4;
use super::bytes::{check, set, u16_at, u32_at};
use super::engine;
use crate::block_device::BlockDevice;
use crate::error::Error;
use crate::limits::{DIRECTORY_BLOCKS_MAX, DIRECTORY_EXTENTS_MAX, INLINE_EXTENTS};
use crate::volume::{Clock, Inode};

/// Nodes that are forgotten.
const NODES: u32 = 2;

impl<D: BlockDevice, C: Clock> Ext4<D, C> {
    /// Gives a directory one more name, by `insert`, if it may have more.
    pub(super) fn insert_into<R>(
        &mut self,
        directory: Inode,
        insert: impl FnOnce(&mut Self) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let number = engine::number(directory)?;
        let engine = self.engine()?;
        let info = engine.inode(number).map_err(engine::error)?;
        let most = DIRECTORY_BLOCKS_MAX.saturating_sub(4);
        if info.size > most.saturating_mul(engine.statfs().block_size) {
            return Err(Error::NoSpace);
        }
        let before = self.directory_extents(directory)?;
        if before >= DIRECTORY_EXTENTS_MAX {
            return Err(Error::NoSpace);
        }
        let result = insert(self);
        let is_indexed = info.flags.contains(InodeFlags::DIRECTORY_INDEX);
        if is_indexed && before <= INLINE_EXTENTS && before >= INLINE_EXTENTS.saturating_sub(3) {
            let after = self.directory_extents(directory)?;
            if after > INLINE_EXTENTS {
                self.miscounted.insert(directory.number());
            }
        }
        result
    }

    fn directory_extents(&mut self, directory: Inode) -> Result<usize, Error> {
        let number = engine::number(directory)?;
        let engine = self.engine()?;
        let found = engine.inode_extents(number, 0, u64::MAX, FileExtentTarget::Data, 0);
        Ok(found.map_err(engine::error)?.mapped_extents)
    }

    /// Adds the blocks that the engine has forgotten. The volume is unmounted.
    pub(super) fn fix_counts(&mut self) -> Result<(), Error> {
        while let Some(number) = self.miscounted.pop_first() {
            self.fix_count(number)?;
        }
        Ok(())
    }

    fn fix_count(&self, number: u32) -> Result<(), Error> {
        const BLOCKS: usize = 0x1C;
        const LOW: usize = 0x7C;
        const HIGH: usize = 0x82;
        let start = self.layout.inode_start(number)?;
        let mut inode = vec![0; self.layout.inode_bytes.into()];
        self.disk.read_bytes(start, &mut inode)?;
        let forgotten = NODES.saturating_mul(self.layout.block_bytes >> 9);
        let blocks = u32_at(&inode, BLOCKS)?.checked_add(forgotten);
        set(&mut inode, BLOCKS, &blocks.ok_or(Error::Damaged)?.to_le_bytes());
        let has_high = inode.len() > 128 && u16_at(&inode, 0x80)? >= 4;
        set(&mut inode, LOW, &[0; 2]);
        if has_high {
            set(&mut inode, HIGH, &[0; 2]);
        }
        let with = rsext4::crc32c::crc32c_append;
        let seed = with(self.layout.checksum_seed, &number.to_le_bytes());
        let seed = with(seed, inode.get(0x64..0x68).unwrap_or_default());
        let [a, b, c, d] = with(seed, &inode).to_le_bytes();
        set(&mut inode, LOW, &[a, b]);
        if has_high {
            set(&mut inode, HIGH, &[c, d]);
        }
        // The part that changes lies within one block of the disk, which is written at once.
        let patched = inode.get(..inode.len().min(256)).ok_or(Error::Damaged)?;
        check(patched.len() >= 128)?;
        self.disk.patch(start, patched)
    }
}
