// SPDX-License-Identifier: BSD-2-Clause
//! Mounting: checks the image, replays the journal, checks what came of that, and starts the
//! engine. Unmounting. Both together, at a moment between two changes, empty the journal and what
//! the engine keeps of it in memory.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use rsext4::{InodeMetadataUpdate, MountOptions};

use super::Ext4;
use super::bytes::check;
use super::disk::Disk;
use super::engine::{self, Engine, timestamp};
use super::groups;
use super::inspect::Form;
use super::superblock::{Access, Layout};
use crate::block_device::BlockDevice;
use crate::error::{Error, Feature};
use crate::limits::{
    JOURNAL_BLOCKS_MAX, JOURNAL_BLOCKS_MIN, JOURNAL_EXTENTS_MAX, ORPHAN_BLOCKS_MAX, ORPHANS_MAX,
};
use crate::volume::{Clock, Kind};

/// The number of the root directory.
pub(super) const ROOT: u32 = 2;
/// Unmounting is tried so often: the engine refuses it if its journal is nearly full and nothing
/// has changed since the last commit.
const UNMOUNTS_MAX: u32 = 3;

impl<D: BlockDevice, C: Clock> Ext4<D, C> {
    /// Mounts a volume.
    ///
    /// # Errors
    /// [`Error::NotExt4`]; [`Error::Unsupported`] with what is not supported, which for
    /// [`Access::Write`] is more than for [`Access::Read`]; [`Error::ReadOnly`] if the disk cannot
    /// be written and was to be; [`Error::Damaged`], [`Error::TooLarge`], [`Error::Io`].
    pub fn mount(device: D, clock: C, access: Access) -> Result<Self, Error> {
        let disk = Disk::new(device, access == Access::Write);
        let (layout, engine) = start(&disk, &clock, access)?;
        let words = usize::try_from(layout.inodes.div_ceil(64)).unwrap_or(usize::MAX);
        Ok(Self {
            checked: vec![0; words.saturating_add(1)],
            layout,
            engine: Some(engine),
            access,
            clock,
            disk,
            open: BTreeMap::new(),
            removed: BTreeSet::new(),
            changed: BTreeSet::new(),
            extents: BTreeMap::new(),
            miscounted: BTreeSet::new(),
            changes: 0,
        })
    }

    /// Returns whether it has to be mounted again: everything fails with [`Error::Io`] until then.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.disk.has_failed() || self.engine.is_none()
    }

    /// Mounts the volume again, after a write has failed or it was closed. What was not synced may
    /// be lost, and files that were removed and open are.
    ///
    /// # Errors
    /// As [`Ext4::mount`]; can be tried again.
    pub fn mount_again(&mut self) -> Result<(), Error> {
        self.engine = None;
        self.disk.start_anew();
        let (layout, engine) = start(&self.disk, &self.clock, self.access)?;
        self.layout = layout;
        self.checked.fill(0);
        self.open.clear();
        self.removed.clear();
        self.changed.clear();
        self.extents.clear();
        self.miscounted.clear();
        self.changes = 0;
        self.engine = Some(engine);
        Ok(())
    }

    /// Unmounts, which writes all that was logged to its place. The superblock does not say so yet.
    pub(super) fn unmount(&mut self) -> Result<(), Error> {
        let now = timestamp(self.clock.now());
        let Some(engine) = self.engine.as_mut() else { return Err(Error::Io) };
        let mut result = Ok(());
        for _ in 0..UNMOUNTS_MAX {
            if self.access == Access::Write {
                // The engine can unmount only if it has something to commit.
                let update = InodeMetadataUpdate { atime: Some(now), ..Default::default() };
                let root = engine.root_inode();
                engine.update_inode_metadata(root, update).map_err(engine::error)?;
            }
            result = engine.unmount().map_err(engine::error);
            if result.is_ok() {
                self.engine = None;
                return Ok(());
            }
        }
        result
    }

    /// Starts the engine on a volume that was unmounted a moment ago: it needs no checks.
    pub(super) fn restart(&mut self) -> Result<(), Error> {
        let journal = check_journal(&self.disk, &self.layout, self.access)?;
        self.disk.set_journal(journal);
        self.disk.start_anew();
        let options = MountOptions::read_write();
        self.engine = Some(engine::mount(self.disk.clone(), self.clock.clone(), options)?);
        self.changes = 0;
        Ok(())
    }
}

/// Checks an image and mounts it.
fn start<D: BlockDevice, C: Clock>(
    disk: &Disk<D>,
    clock: &C,
    access: Access,
) -> Result<(Layout, Engine<D>), Error> {
    if access == Access::Write && disk.is_read_only() {
        return Err(Error::ReadOnly);
    }
    let mut layout = Layout::load(disk, access)?;
    let mut journal = check_journal(disk, &layout, access)?;
    check_root(disk, &layout)?;
    if access == Access::Write && layout.needs_recovery {
        disk.set_journal(journal);
        replay(disk, clock)?;
        layout = Layout::load(disk, access)?;
        journal = check_journal(disk, &layout, access)?;
        check_root(disk, &layout)?;
    }
    if access == Access::Write {
        check_orphans(disk, &layout)?;
        groups::write_bitmaps(disk, &layout)?;
        disk.start_logging()?;
    }
    disk.set_journal(journal);
    let options = match access {
        Access::Read => MountOptions::read_only_no_journal_replay(),
        Access::Write => MountOptions::read_write(),
    };
    let mut engine = engine::mount(disk.clone(), clock.clone(), options)?;
    let root = engine.inode(engine.root_inode()).map_err(engine::error)?;
    check(root.is_directory())?;
    Ok((layout, engine))
}

/// Lets the engine replay the journal and do nothing else: what the replay has brought is checked
/// before anything else is done with it.
fn replay<D: BlockDevice, C: Clock>(disk: &Disk<D>, clock: &C) -> Result<(), Error> {
    let options = MountOptions { readonly: true, replay_journal: true, block_validity: true };
    let mount = |disk| engine::mount(disk, clock.clone(), options).map(drop);
    let (result, is_replayed) = disk.stop_after_replay(mount);
    if is_replayed { Ok(()) } else { result }
}

/// Returns which blocks of the disk the journal has.
fn check_journal<D: BlockDevice>(
    disk: &Disk<D>,
    layout: &Layout,
    access: Access,
) -> Result<Vec<Range<u64>>, Error> {
    let Some(number) = layout.journal else { return Ok(Vec::new()) };
    let form = Form::read(disk, layout, number)?;
    check(form.kind == Kind::Regular)?;
    let blocks = form.size_bytes.div_ceil(layout.block_bytes.into());
    if blocks > JOURNAL_BLOCKS_MAX || form.blocks() > JOURNAL_BLOCKS_MAX {
        return Err(Feature::LargeJournal.into());
    }
    if access == Access::Write {
        if form.has_block_map {
            return Err(Feature::BlockMap.into());
        }
        if blocks < JOURNAL_BLOCKS_MIN {
            return Err(Feature::SmallJournal.into());
        }
        if form.extents.len() > JOURNAL_EXTENTS_MAX {
            return Err(Error::TooLarge);
        }
    }
    let sectors = |block| layout.start_of(block) >> 9;
    Ok(form.extents.iter().map(|extent| sectors(extent.start)..sectors(extent.end)).collect())
}

fn check_root<D: BlockDevice>(disk: &Disk<D>, layout: &Layout) -> Result<(), Error> {
    check(Form::read(disk, layout, ROOT)?.kind == Kind::Directory)
}

/// Checks the files that were removed and not freed: the engine frees them when it mounts.
fn check_orphans<D: BlockDevice>(disk: &Disk<D>, layout: &Layout) -> Result<(), Error> {
    let (mut number, mut count) = (layout.last_orphan, 0_usize);
    while number != 0 {
        count = count.saturating_add(1);
        check(number >= layout.first_inode && number <= layout.inodes)?;
        let form = Form::read(disk, layout, number)?;
        if form.has_block_map {
            return Err(Feature::BlockMap.into());
        }
        if count > ORPHANS_MAX.saturating_mul(2) || form.blocks() > ORPHAN_BLOCKS_MAX {
            return Err(Error::TooLarge);
        }
        number = form.next_orphan;
    }
    Ok(())
}
