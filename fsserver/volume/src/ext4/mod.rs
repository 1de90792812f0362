// SPDX-License-Identifier: BSD-2-Clause
//! ext4, by the engine rsext4: what is checked before the engine is asked, and in which order it
//! is asked, so that its faults harm nobody.
//!
//! | file | what it does |
//! |---|---|
//! | `superblock` | which features there are; whether the numbers fit the disk |
//! | `inspect` | reads and checks an inode beside the engine |
//! | `mounting` | checks, replays, mounts, unmounts |
//! | `syncing` | when things reach the disk, and in which order |
//! | `contents`, `names` | what is in files, and in directories |
//! | `counts`, `groups` | blocks that the engine forgets to count, bits that it forgets to set |
//! | `disk`, `engine` | the seams of the engine; its errors |

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use rsext4::{DirectoryEntryType, Ext4Error, InodeFlags, InodeInfo, InodeMetadataUpdate};

mod bytes;
mod contents;
mod counts;
mod disk;
mod engine;
mod groups;
mod inspect;
mod mounting;
mod names;
mod superblock;
mod syncing;

use disk::Disk;
use engine::{Engine, timestamp};
use inspect::{Form, INLINE_LINK_BYTES};
use mounting::ROOT;
pub use superblock::Access;
use superblock::Layout;

use crate::block_device::BlockDevice;
use crate::error::{Error, Feature};
use crate::limits::OPEN_MAX;
use crate::volume::{Clock, Cursor, Entry, Inode, Kind, Run, Space, Status, Time, Volume};

/// An ext4 file system on a disk.
pub struct Ext4<D: BlockDevice, C> {
    disk: Disk<D>,
    clock: C,
    access: Access,
    layout: Layout,
    /// `None` after it was closed, or could not be mounted again.
    engine: Option<Engine<D>>,
    /// A bit for each inode: whether it was checked, or made here.
    checked: Vec<u64>,
    /// Files that are open, and how often.
    open: BTreeMap<u32, u32>,
    /// Files without a name that are not freed yet.
    removed: BTreeSet<u32>,
    /// Files that have changed since the last sync.
    changed: BTreeSet<u32>,
    /// How many extents files that were written since the last sync have, at most.
    extents: BTreeMap<u32, usize>,
    /// Directories whose number of blocks is wrong.
    miscounted: BTreeSet<u32>,
    /// Changes since the last sync.
    changes: u32,
}

impl<D: BlockDevice, C: Clock> Ext4<D, C> {
    /// Returns the engine, unless what it has in memory will never reach the disk.
    fn engine(&mut self) -> Result<&mut Engine<D>, Error> {
        if self.disk.has_failed() {
            return Err(Error::Io);
        }
        self.engine.as_mut().ok_or(Error::Io)
    }

    fn running(&mut self) -> Result<&mut Engine<D>, Ext4Error> {
        self.engine().map_err(|_: Error| Ext4Error::io())
    }

    /// Checks a file before the engine sees it for the first time.
    fn check(&mut self, inode: Inode) -> Result<(), Error> {
        let (word, bit) = place(inode);
        let known = self.checked.get(word).ok_or(Error::NotFound)?;
        if known & bit != 0 {
            return Ok(());
        }
        Form::read(&self.disk, &self.layout, inode.number())?;
        self.set_checked(inode);
        Ok(())
    }

    fn set_checked(&mut self, inode: Inode) {
        let (word, bit) = place(inode);
        if let Some(known) = self.checked.get_mut(word) {
            *known |= bit;
        }
    }

    fn info(&mut self, inode: Inode) -> Result<InodeInfo, Error> {
        let number = engine::number(inode)?;
        self.engine()?.inode(number).map_err(engine::error)
    }

    fn check_changeable(&mut self, inode: Inode) -> Result<(), Error> {
        let info = self.info(inode)?;
        let protected = InodeFlags::IMMUTABLE | InodeFlags::APPEND;
        if info.flags.intersects(protected) {
            return Err(Error::ReadOnly);
        }
        if has_block_map(&info) { Err(Feature::BlockMap.into()) } else { Ok(()) }
    }
}

/// Returns whether the blocks of a file are found by a map.
fn has_block_map(info: &InodeInfo) -> bool {
    let has_blocks = match kind_of(info) {
        Some(Kind::Symlink) => info.size >= INLINE_LINK_BYTES,
        Some(Kind::Special) => false,
        _ => true,
    };
    has_blocks && !info.flags.contains(InodeFlags::EXTENTS)
}

fn place(inode: Inode) -> (usize, u64) {
    let number = inode.number();
    (usize::try_from(number >> 6).unwrap_or(usize::MAX), 1 << (number & 63))
}

fn kind_of(info: &InodeInfo) -> Option<Kind> {
    kind_of_type(info.file_type())
}

fn kind_of_type(file_type: DirectoryEntryType) -> Option<Kind> {
    match file_type {
        DirectoryEntryType::RegularFile => Some(Kind::Regular),
        DirectoryEntryType::Directory => Some(Kind::Directory),
        DirectoryEntryType::Symlink => Some(Kind::Symlink),
        DirectoryEntryType::Unknown => None,
        _ => Some(Kind::Special),
    }
}

impl<D: BlockDevice, C: Clock> Volume for Ext4<D, C> {
    fn root(&self) -> Inode {
        Inode::new(ROOT).unwrap_or_else(|| unreachable!("the root has a number"))
    }

    fn status(&mut self, inode: Inode) -> Result<Status, Error> {
        self.check(inode)?;
        let info = self.info(inode)?;
        Ok(Status {
            kind: kind_of(&info).ok_or(Error::Damaged)?,
            size_bytes: info.size,
            links: info.links.into(),
            accessed_seconds: info.atime,
            modified_seconds: info.mtime,
            changed_seconds: info.ctime,
        })
    }

    fn lookup(&mut self, directory: Inode, name: &[u8]) -> Result<Inode, Error> {
        self.find_name(directory, name)
    }

    fn read_dir(
        &mut self,
        directory: Inode,
        from: Cursor,
        most: usize,
    ) -> Result<Vec<Entry>, Error> {
        self.list(directory, from, most)
    }

    fn read_link(&mut self, inode: Inode) -> Result<Vec<u8>, Error> {
        let status = self.status(inode)?;
        if status.kind != Kind::Symlink {
            return Err(Error::BadName);
        }
        let mut target = vec![0; usize::try_from(status.size_bytes).unwrap_or(0).min(4096)];
        let number = engine::number(inode)?;
        match self.engine()?.read_inode(number, 0, &mut target).map_err(engine::error) {
            Ok(read) => target.truncate(read),
            // The engine takes a block of attributes for one of the link. It makes none itself.
            Err(Error::Damaged) if status.size_bytes < INLINE_LINK_BYTES => {
                let start = self.layout.inode_start(inode.number())?;
                self.disk.read_bytes(start.saturating_add(inspect::LINK_START), &mut target)?;
            }
            Err(error) => return Err(error),
        }
        Ok(target)
    }

    fn read(&mut self, inode: Inode, offset: u64, to: &mut [u8]) -> Result<usize, Error> {
        self.read_file(inode, offset, to)
    }

    fn extents(&mut self, inode: Inode, offset: u64, bytes: u64) -> Result<Vec<Run>, Error> {
        self.find_extents(inode, offset, bytes)
    }

    fn is_clean(&self, inode: Inode) -> bool {
        !self.changed.contains(&inode.number())
    }

    fn write(&mut self, inode: Inode, offset: u64, from: &[u8]) -> Result<(), Error> {
        self.write_file(inode, offset, from)
    }

    fn truncate(&mut self, inode: Inode, size_bytes: u64) -> Result<(), Error> {
        self.resize(inode, size_bytes)
    }

    fn create(&mut self, directory: Inode, name: &[u8]) -> Result<Inode, Error> {
        self.make_file(directory, name)
    }

    fn make_dir(&mut self, directory: Inode, name: &[u8]) -> Result<Inode, Error> {
        self.make_directory(directory, name)
    }

    fn symlink(&mut self, directory: Inode, name: &[u8], target: &[u8]) -> Result<Inode, Error> {
        self.make_symlink(directory, name, target)
    }

    fn link(&mut self, inode: Inode, directory: Inode, name: &[u8]) -> Result<(), Error> {
        self.add_name(inode, directory, name)
    }

    fn unlink(&mut self, directory: Inode, name: &[u8]) -> Result<(), Error> {
        self.remove_name(directory, name)
    }

    fn remove_dir(&mut self, directory: Inode, name: &[u8]) -> Result<(), Error> {
        self.remove_directory(directory, name)
    }

    fn rename(
        &mut self,
        directory: Inode,
        name: &[u8],
        new_directory: Inode,
        new_name: &[u8],
    ) -> Result<(), Error> {
        self.move_name((directory, name), (new_directory, new_name))
    }

    fn set_times(
        &mut self,
        inode: Inode,
        accessed: Option<Time>,
        modified: Option<Time>,
    ) -> Result<(), Error> {
        self.start_change()?;
        self.check(inode)?;
        let number = engine::number(inode)?;
        let (atime, mtime) = (accessed.map(timestamp), modified.map(timestamp));
        let update = InodeMetadataUpdate { atime, mtime, ..Default::default() };
        self.engine()?.update_inode_metadata(number, update).map(drop).map_err(engine::error)
    }

    fn open(&mut self, inode: Inode) -> Result<(), Error> {
        self.status(inode)?;
        if self.open.len() >= OPEN_MAX && !self.open.contains_key(&inode.number()) {
            return Err(Error::Busy);
        }
        let count = self.open.entry(inode.number()).or_default();
        *count = count.saturating_add(1);
        Ok(())
    }

    fn release(&mut self, inode: Inode) {
        if let Some(count) = self.open.get_mut(&inode.number()) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.open.remove(&inode.number());
            }
        }
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.sync_all()
    }

    fn space(&self) -> Space {
        let found = self.engine.as_ref().map(Engine::statfs);
        Space {
            block_bytes: self.layout.block_bytes,
            blocks: self.layout.blocks,
            free_blocks: found.map_or(0, |found| found.free_blocks),
            inodes: self.layout.inodes,
            free_inodes: found.map_or(0, |found| found.free_inodes),
        }
    }

    fn close(&mut self) -> Result<(), Error> {
        self.open.clear();
        self.sync_all()?;
        self.unmount()?;
        self.fix_counts()?;
        self.disk.finish()
    }
}
