// SPDX-License-Identifier: BSD-2-Clause
//! The table of open files, in which each client has so many as the system file says.
//!
//! A handle is the index of an entry and its generation. Generations never repeat, and as they
//! start from pmserver's clock they do not repeat after a recovery either: handles from before a
//! recovery name nothing.

use alloc::vec::Vec;

use fsserver_api::{Feature, FileHandle, FileStatus, FsError};
use fsserver_setup::{CLIENTS_MAX, FILES_MAX};
use fsserver_volume::Inode;

use crate::client::ClientId;
use crate::listing::Listing;

const INDEX_BITS: u32 = 16;

#[allow(clippy::as_conversions)] // A small number.
const _: () = assert!(CLIENTS_MAX * (*FILES_MAX.end() as usize) <= 1 << INDEX_BITS);

/// A file that a client has open.
pub(crate) struct OpenFile {
    pub(crate) inode: Inode,
    /// What is known of it.
    pub(crate) status: FileStatus,
    /// Whether its number of names may have changed since.
    pub(crate) is_stale: bool,
    /// How it is read.
    pub(crate) content: Content,
}

/// How an open file is read.
pub(crate) enum Content {
    /// A regular file, and where in the cache it was found last.
    File(usize),
    /// A directory: at an entry.
    Directory(Listing),
    /// A symlink or a special file: not at all.
    Other(Feature),
}

struct Entry {
    client: ClientId,
    generation: u64,
    file: OpenFile,
}

/// All files that are open.
pub(crate) struct OpenFiles {
    entries: Vec<Option<Entry>>,
    next_generation: u64,
}

impl OpenFiles {
    /// Returns an empty table that numbers its files from `first_generation` on.
    pub(crate) fn new(first_generation: u64) -> Self {
        Self { entries: Vec::new(), next_generation: first_generation }
    }

    /// Returns where the client may open another file, if it may have so many. Called before the
    /// file is looked up.
    pub(crate) fn room(&self, client: ClientId, most: u16) -> Result<Room, FsError> {
        let (mut of_client, mut free) = (0_u16, None);
        for (index, entry) in (0..).zip(&self.entries) {
            match entry {
                Some(entry) if entry.client == client => of_client = of_client.saturating_add(1),
                Some(_) => {}
                None => free = free.or(Some(index)),
            }
        }
        if of_client >= most {
            return Err(FsError::TooManyOpenFiles);
        }
        Ok(Room { client, index: free.unwrap_or(self.entries.len()) })
    }

    /// Adds a file and returns its handle.
    pub(crate) fn insert(&mut self, room: Room, file: OpenFile) -> Result<FileHandle, FsError> {
        let Room { client, index } = room;
        let generation = self.next_generation;
        if index == self.entries.len() {
            self.entries.push(None);
        }
        let entry = self.entries.get_mut(index).ok_or(FsError::TooManyOpenFiles)?;
        *entry = Some(Entry { client, generation, file });
        self.next_generation = generation.wrapping_add(1);
        Ok(handle_of(u64::try_from(index).unwrap_or(u64::MAX), generation))
    }

    /// Returns a file that the client has open.
    pub(crate) fn get(
        &mut self,
        client: ClientId,
        handle: FileHandle,
    ) -> Result<&mut OpenFile, FsError> {
        self.entry(client, handle)?.as_mut().map(|entry| &mut entry.file).ok_or(FsError::BadHandle)
    }

    /// Removes a file, and returns which it was if nobody has it open any more.
    pub(crate) fn close(
        &mut self,
        client: ClientId,
        handle: FileHandle,
    ) -> Result<Option<Inode>, FsError> {
        let closed = self.entry(client, handle)?.take();
        let inode = closed.map(|entry| entry.file.inode);
        Ok(inode.filter(|inode| self.of(*inode).next().is_none()))
    }

    /// Removes all files.
    pub(crate) fn close_all(&mut self) {
        self.entries.clear();
    }

    /// Returns what is open of an inode, by anybody.
    pub(crate) fn of(&mut self, inode: Inode) -> impl Iterator<Item = &mut OpenFile> {
        self.all().filter(move |file| file.inode == inode)
    }

    /// Returns all that is open.
    pub(crate) fn all(&mut self) -> impl Iterator<Item = &mut OpenFile> {
        self.entries.iter_mut().flatten().map(|entry| &mut entry.file)
    }

    /// Returns the inodes that are open.
    pub(crate) fn inodes(&mut self) -> Vec<Inode> {
        self.all().map(|file| file.inode).collect()
    }

    fn entry(
        &mut self,
        client: ClientId,
        handle: FileHandle,
    ) -> Result<&mut Option<Entry>, FsError> {
        let index = handle.raw() & ((1 << INDEX_BITS) - 1);
        let entry = usize::try_from(index).ok().and_then(|index| self.entries.get_mut(index));
        let is_it =
            |entry: &Entry| entry.client == client && handle_of(index, entry.generation) == handle;
        entry.filter(|entry| entry.as_ref().is_some_and(is_it)).ok_or(FsError::BadHandle)
    }
}

/// A free place in the table.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    client: ClientId,
    index: usize,
}

fn handle_of(index: u64, generation: u64) -> FileHandle {
    FileHandle::from_raw(generation << INDEX_BITS | index)
}

#[cfg(test)]
mod tests {
    use fsserver_api::FileKind;

    use super::*;

    const MOST: u16 = 5;
    const CLIENT: ClientId = ClientId::of_channel(2);
    const OTHER: ClientId = ClientId::of_channel(3);

    fn file(size_bytes: u64) -> OpenFile {
        OpenFile {
            inode: Inode::new(2).unwrap(),
            status: FileStatus {
                kind: FileKind::Special,
                size_bytes,
                links: 1,
                modified_seconds: 0,
                changed_seconds: 0,
            },
            is_stale: false,
            content: Content::Other(Feature::Special),
        }
    }

    fn insert(files: &mut OpenFiles, client: ClientId, bytes: u64) -> Result<FileHandle, FsError> {
        files.insert(files.room(client, MOST)?, file(bytes))
    }

    #[test]
    fn stale_and_foreign_handles_name_nothing() {
        let mut files = OpenFiles::new(7);
        let first = insert(&mut files, CLIENT, 1).unwrap();
        assert_eq!(files.get(CLIENT, first).unwrap().status.size_bytes, 1);
        assert_eq!(files.get(OTHER, first).err(), Some(FsError::BadHandle));
        assert_eq!(files.close(OTHER, first).err(), Some(FsError::BadHandle));
        files.close(CLIENT, first).unwrap();
        assert_eq!(files.close(CLIENT, first).err(), Some(FsError::BadHandle));
        let second = insert(&mut files, CLIENT, 2).unwrap();
        assert_ne!(first, second);
        assert_eq!(files.get(CLIENT, first).err(), Some(FsError::BadHandle));
        for raw in [0, 1, 255, u64::MAX, second.raw() ^ 1, second.raw() ^ (1 << 60)] {
            let handle = FileHandle::from_raw(raw);
            assert_eq!(files.get(CLIENT, handle).err(), Some(FsError::BadHandle));
        }
    }

    #[test]
    fn fs_123_every_client_has_its_share_of_the_table() {
        let mut files = OpenFiles::new(0);
        let mut handle = None;
        for channel in [2, 3, 40, 61].map(ClientId::of_channel) {
            for _ in 0..MOST {
                handle = Some(insert(&mut files, channel, 0).unwrap());
            }
            assert_eq!(insert(&mut files, channel, 0).err(), Some(FsError::TooManyOpenFiles));
        }
        assert_eq!(files.entries.len(), usize::from(4 * MOST));
        let last = ClientId::of_channel(61);
        files.close(last, handle.unwrap()).unwrap();
        assert!(insert(&mut files, last, 0).is_ok());
        assert_eq!(files.entries.len(), usize::from(4 * MOST));
    }

    impl core::fmt::Debug for OpenFile {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            self.status.fmt(f)
        }
    }
}
