// SPDX-License-Identifier: BSD-2-Clause
//! Names: what is in directories, and changes of them.

use alloc::vec::Vec;

use rsext4::{
    DirectoryCursor, DirectoryEntry, FilePermissions, InodeInfo, MutationContext, RenameOptions,
    UnlinkOutcome,
};

use super::{Ext4, engine, kind_of_type};
use crate::block_device::BlockDevice;
use crate::error::Error;
use crate::limits::{ORPHANS_MAX, PARENTS_MAX};
use crate::volume::{Clock, Cursor, Entry, Inode, Kind, Place, Volume};

/// Entries that are read at a time, at most.
const ENTRIES_MAX: usize = 4096;

impl<D: BlockDevice, C: Clock> Ext4<D, C> {
    fn check_directory(&mut self, inode: Inode) -> Result<(), Error> {
        self.check(inode)?;
        let is_directory = self.status(inode)?.kind == Kind::Directory;
        if is_directory { Ok(()) } else { Err(Error::NotADirectory) }
    }

    pub(super) fn find_name(&mut self, directory: Inode, name: &[u8]) -> Result<Inode, Error> {
        let name = engine::name(name)?;
        self.check_directory(directory)?;
        let number = engine::number(directory)?;
        let found = self.engine()?.lookup_child(number, name).map_err(engine::error)?;
        engine::inode(found.ok_or(Error::NotFound)?.number)
    }

    pub(super) fn list(
        &mut self,
        directory: Inode,
        from: Cursor,
        most: usize,
    ) -> Result<Vec<Entry>, Error> {
        self.check_directory(directory)?;
        let cursor = match from.0 {
            Place::Start => DirectoryCursor::Start,
            Place::Offset(offset) => DirectoryCursor::Linear { offset },
            Place::Hash { major, minor, ordinal } => {
                DirectoryCursor::HTree { major, minor, collision: ordinal }
            }
            Place::End => return Ok(Vec::new()),
        };
        let number = engine::number(directory)?;
        let found = self.engine()?.read_directory(number, cursor, most.min(ENTRIES_MAX));
        let found = found.map_err(engine::error)?.into_iter();
        found.map(|found| self.entry(found)).collect()
    }

    /// Prepares for a change of what is in a directory.
    fn start_names(&mut self, directory: Inode) -> Result<(), Error> {
        self.start_change()?;
        self.check_target(directory)
    }

    /// Fails unless names in a directory can be changed.
    fn check_target(&mut self, directory: Inode) -> Result<(), Error> {
        self.check_directory(directory)?;
        self.check_changeable(directory)?;
        if self.status(directory)?.links == 0 { Err(Error::NotFound) } else { Ok(()) }
    }

    /// Makes something new, by `make`.
    pub(super) fn make(
        &mut self,
        directory: Inode,
        name: &[u8],
        make: impl FnOnce(&mut Self, MutationContext) -> Result<InodeInfo, rsext4::Ext4Error>,
    ) -> Result<Inode, Error> {
        engine::new_name(name)?;
        self.start_names(directory)?;
        let made = self.insert_into(directory, |volume| {
            let context = MutationContext::new(0, 0, 0, 0);
            engine::inode(make(volume, context).map_err(engine::error)?.number)
        })?;
        self.set_checked(made);
        self.changed.insert(made.number());
        Ok(made)
    }

    pub(super) fn make_file(&mut self, directory: Inode, name: &[u8]) -> Result<Inode, Error> {
        let parent = engine::number(directory)?;
        self.make(directory, name, |volume, context| {
            let rights = FilePermissions::new(0o644)?;
            let name = rsext4::FileName::new(name)?;
            volume.running()?.create_regular_file(context, parent, name, rights)
        })
    }

    pub(super) fn make_directory(&mut self, directory: Inode, name: &[u8]) -> Result<Inode, Error> {
        let parent = engine::number(directory)?;
        self.make(directory, name, |volume, context| {
            let rights = FilePermissions::new(0o755)?;
            let name = rsext4::FileName::new(name)?;
            volume.running()?.create_directory(context, parent, name, rights)
        })
    }

    pub(super) fn make_symlink(
        &mut self,
        directory: Inode,
        name: &[u8],
        target: &[u8],
    ) -> Result<Inode, Error> {
        let most = usize::try_from(self.layout.block_bytes).unwrap_or(0);
        if target.is_empty() || target.contains(&0) {
            return Err(Error::BadName);
        }
        if target.len() >= most {
            return Err(Error::NameTooLong);
        }
        let parent = engine::number(directory)?;
        self.make(directory, name, |volume, context| {
            let name = rsext4::FileName::new(name)?;
            volume.running()?.create_symlink(context, parent, name, target)
        })
    }

    pub(super) fn add_name(
        &mut self,
        inode: Inode,
        directory: Inode,
        name: &[u8],
    ) -> Result<(), Error> {
        let checked = engine::new_name(name)?;
        self.start_names(directory)?;
        self.check(inode)?;
        let status = self.status(inode)?;
        match status.kind {
            Kind::Directory => return Err(Error::IsADirectory),
            _ if status.links == 0 => return Err(Error::NotFound),
            _ => {}
        }
        let (target, parent) = (engine::number(inode)?, engine::number(directory)?);
        self.insert_into(directory, |volume| {
            volume.engine()?.hard_link(target, parent, checked).map(drop).map_err(engine::error)
        })
    }

    pub(super) fn remove_name(&mut self, directory: Inode, name: &[u8]) -> Result<(), Error> {
        let checked = engine::new_name(name)?;
        self.start_names(directory)?;
        let inode = self.find_name(directory, name)?;
        self.check_removable(inode)?;
        let parent = engine::number(directory)?;
        let outcome = self.engine()?.unlink(parent, checked).map_err(engine::error)?;
        self.note_removed(outcome);
        Ok(())
    }

    pub(super) fn remove_directory(&mut self, directory: Inode, name: &[u8]) -> Result<(), Error> {
        let checked = engine::new_name(name)?;
        self.start_names(directory)?;
        let inode = self.find_name(directory, name)?;
        self.check_directory(inode)?;
        self.check_removable(inode)?;
        let parent = engine::number(directory)?;
        let removed = self.engine()?.remove_empty_directory(parent, checked);
        self.note_removed(removed.map_err(engine::error)?);
        Ok(())
    }

    /// Fails if a file cannot be removed and freed.
    fn check_removable(&mut self, inode: Inode) -> Result<(), Error> {
        self.check(inode)?;
        self.check_changeable(inode)?;
        let status = self.status(inode)?;
        let is_last = status.links <= 1 || status.kind == Kind::Directory;
        if is_last && self.removed.len() >= ORPHANS_MAX {
            return Err(Error::Busy);
        }
        if is_last && status.kind == Kind::Regular { self.check_freeable(inode) } else { Ok(()) }
    }

    /// Fails if a file cannot be replaced by one of this kind.
    fn check_replaceable(&mut self, inode: Inode, by: Kind) -> Result<(), Error> {
        match (by, self.status(inode)?.kind) {
            (Kind::Directory, Kind::Directory) => self.check_removable(inode),
            (Kind::Directory, _) => Err(Error::NotADirectory),
            (_, Kind::Directory) => Err(Error::IsADirectory),
            _ => self.check_removable(inode),
        }
    }

    fn note_removed(&mut self, outcome: UnlinkOutcome) {
        if outcome.requires_reap() {
            self.removed.insert(outcome.inode.raw());
        }
    }

    pub(super) fn move_name(
        &mut self,
        (directory, name): (Inode, &[u8]),
        (new_directory, new_name): (Inode, &[u8]),
    ) -> Result<(), Error> {
        let (old, new) = (engine::new_name(name)?, engine::new_name(new_name)?);
        self.start_names(directory)?;
        self.check_target(new_directory)?;
        let inode = self.find_name(directory, name)?;
        self.check(inode)?;
        self.check_changeable(inode)?;
        let kind = self.status(inode)?.kind;
        if kind == Kind::Directory {
            self.check_parents(new_directory, inode)?;
        }
        let replaced = match self.find_name(new_directory, new_name) {
            Ok(same) if same == inode => return Ok(()),
            Ok(other) => self.check_replaceable(other, kind).map(|()| true)?,
            Err(Error::NotFound) => false,
            Err(error) => return Err(error),
        };
        let (from, to) = (engine::number(directory)?, engine::number(new_directory)?);
        let rename = |volume: &mut Self| {
            let engine = volume.engine()?;
            engine.rename(from, old, to, new, RenameOptions::REPLACE).map_err(engine::error)
        };
        let outcome = if replaced {
            rename(self)
        } else {
            self.insert_into(new_directory, |volume| match rename(volume) {
                Err(Error::Damaged | Error::NotFound) => {
                    volume.make_room(new_directory, new_name)?;
                    rename(volume)
                }
                result => result,
            })
        }?;
        if let Some(outcome) = outcome.replaced {
            self.note_removed(outcome);
        }
        Ok(())
    }

    /// Makes room for a name in an indexed directory: the engine cannot rename if it has to split
    /// a block for the new name. It can create.
    fn make_room(&mut self, directory: Inode, name: &[u8]) -> Result<(), Error> {
        let (parent, checked) = (engine::number(directory)?, engine::new_name(name)?);
        let rights = FilePermissions::new(0).map_err(engine::error)?;
        let engine = self.engine()?;
        let context = MutationContext::new(0, 0, 0, 0);
        let made = engine.create_regular_file(context, parent, checked, rights);
        let made = made.map_err(engine::error)?.number;
        let outcome = engine.unlink(parent, checked).map_err(engine::error)?;
        self.set_checked(engine::inode(made)?);
        self.note_removed(outcome);
        Ok(())
    }

    /// Checks the directories above one, which the engine walks up, and fails if `moved` is among
    /// them.
    fn check_parents(&mut self, from: Inode, moved: Inode) -> Result<(), Error> {
        let mut directory = from;
        for _ in 0..PARENTS_MAX {
            if directory == moved {
                return Err(Error::BadName);
            }
            if directory == self.root() {
                return Ok(());
            }
            directory = self.find_name(directory, b"..")?;
        }
        Err(Error::Damaged)
    }

    fn entry(&mut self, found: DirectoryEntry) -> Result<Entry, Error> {
        let inode = engine::inode(found.inode)?;
        if inode.number() > self.layout.inodes {
            return Err(Error::Damaged);
        }
        let next = match found.next_cursor {
            DirectoryCursor::Start => Place::Start,
            DirectoryCursor::Linear { offset } => Place::Offset(offset),
            DirectoryCursor::HTree { major, minor, collision } => {
                Place::Hash { major, minor, ordinal: collision }
            }
            DirectoryCursor::End => Place::End,
        };
        let kind = match kind_of_type(found.file_type) {
            Some(kind) => kind,
            None => self.status(inode)?.kind,
        };
        Ok(Entry { inode, kind, name: found.name, next: Cursor(next) })
    }
}
