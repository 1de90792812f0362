// SPDX-License-Identifier: BSD-2-Clause
//! When things reach the disk, and in which order.
//!
//! The engine uses blocks that were freed at once, in place, before the transaction that frees them
//! is committed: after a power cut a file could be back with bytes of another one. So a file that
//! was removed is freed only after its removal was committed, and what is freed is committed
//! before anything else is done:
//!
//! ```text
//!   unlink, rename over     the inode stays, on the list of orphans
//!   sync                    commit; free all orphans that are not open; commit
//!   truncate                truncate; sync
//! ```

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use rsext4::{FileExtentTarget, InodeNumber};

use super::Ext4;
use super::engine::{self, Engine};
use super::superblock::Access;
use crate::block_device::BlockDevice;
use crate::error::Error;
use crate::limits::{
    CHANGES_MAX, EXTENTS_MAX, FREED_EXTENTS, FREED_GROUPS_MAX, LOG_BYTES, LOG_BYTES_MAX,
};
use crate::volume::{Clock, Inode, Kind};

impl<D: BlockDevice, C: Clock> Ext4<D, C> {
    /// Prepares for a change: syncs, if that many were made, and fails if the volume cannot be
    /// changed.
    pub(super) fn start_change(&mut self) -> Result<(), Error> {
        if self.access == Access::Read {
            return Err(Error::ReadOnly);
        }
        self.engine()?;
        if self.changes >= CHANGES_MAX || self.disk.logged_bytes() > LOG_BYTES_MAX {
            self.sync_all()?;
        }
        if self.disk.logged_bytes() > LOG_BYTES_MAX {
            return Err(Error::Busy);
        }
        self.changes = self.changes.saturating_add(1);
        Ok(())
    }

    pub(super) fn sync_all(&mut self) -> Result<(), Error> {
        if self.access == Access::Read {
            return Ok(());
        }
        self.commit()?;
        let removed = self.removed.iter().copied().filter(|number| !self.open.contains_key(number));
        let freed: Vec<u32> = removed.collect();
        for number in &freed {
            self.free(*number)?;
            self.removed.remove(number);
        }
        if !freed.is_empty() {
            self.commit()?;
        }
        self.changes = 0;
        self.changed.clear();
        self.extents.clear();
        let is_long = self.disk.logged_bytes() > LOG_BYTES || !self.miscounted.is_empty();
        if is_long && self.removed.is_empty() { self.checkpoint() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.engine()?.sync().map_err(engine::error)
    }

    /// Empties the journal, and the engine's memory of it.
    fn checkpoint(&mut self) -> Result<(), Error> {
        self.unmount()?;
        let fixed = self.fix_counts();
        self.restart()?;
        fixed
    }

    /// Frees a file whose removal is committed.
    fn free(&mut self, number: u32) -> Result<(), Error> {
        let number = InodeNumber::new(number).map_err(engine::error)?;
        let engine = self.engine()?;
        let info = engine.inode(number).map_err(engine::error)?;
        if super::kind_of(&info) == Some(Kind::Regular) {
            match empty(engine, number, info.size) {
                // A tree of three levels: the engine cannot take it apart, but it can free it.
                Ok(()) | Err(Error::Damaged) => {}
                Err(error) => return Err(error),
            }
        }
        self.engine()?.reap_unlinked_inode(number).map_err(engine::error)
    }

    /// Fails if the engine could not free a file: in one transaction, as it cannot take apart a
    /// tree of three levels.
    pub(super) fn check_freeable(&mut self, inode: Inode) -> Result<(), Error> {
        let number = engine::number(inode)?;
        let group_bytes = self.layout.start_of(self.layout.group_blocks.into());
        let deep = self.layout.block_bytes.saturating_sub(12).checked_div(6).unwrap_or(0);
        let engine = self.engine()?;
        let target = FileExtentTarget::Data;
        let found = engine.inode_extents(number, 0, u64::MAX, target, EXTENTS_MAX);
        let extents = found.map_err(engine::error)?.extents;
        if extents.len() < usize::try_from(deep).unwrap_or(0) {
            return Ok(());
        }
        let groups: BTreeSet<Option<u64>> =
            extents.iter().map(|e| e.physical_start.checked_div(group_bytes)).collect();
        if groups.len() > FREED_GROUPS_MAX { Err(Error::TooLarge) } else { Ok(()) }
    }

    /// Makes a file smaller, and waits until it is: what is freed is used again at once.
    pub(super) fn shrink(&mut self, inode: Inode, size_bytes: u64) -> Result<(), Error> {
        let number = engine::number(inode)?;
        let done = self.engine()?.truncate_inode(number, size_bytes).map_err(engine::error);
        self.sync_all()?;
        match done {
            // The same, and the file has to stay.
            Err(Error::Damaged) => Err(Error::TooLarge),
            done => done,
        }
    }
}

/// Frees the blocks of a file. The engine frees a file in one transaction, and does not find what
/// was allocated and not written. Truncating does; a file is truncated only if its size changes.
fn empty<D: BlockDevice>(
    engine: &mut Engine<D>,
    number: InodeNumber,
    size_bytes: u64,
) -> Result<(), Error> {
    let mut size = size_bytes.max(1);
    if size_bytes == 0 {
        engine.truncate_inode(number, size).map_err(engine::error)?;
    }
    while size > 0 {
        let found = engine.inode_extents(number, 0, size, FileExtentTarget::Data, EXTENTS_MAX);
        let extents = found.map_err(engine::error)?.extents;
        let first_freed = extents.len().checked_sub(FREED_EXTENTS).and_then(|n| extents.get(n));
        let to = first_freed.map_or(0, |extent| extent.logical_start);
        size = if to < size { to } else { 0 };
        engine.truncate_inode(number, size).map_err(engine::error)?;
    }
    Ok(())
}
