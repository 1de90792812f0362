// SPDX-License-Identifier: BSD-2-Clause
//! The table of open files: of a fixed size, with an equal share for every client.
//!
//! A handle is the index of an entry and its generation. Generations never repeat, and as they
//! start from pmserver's clock they do not repeat after a recovery either: handles from before a
//! recovery name nothing.

use fsserver_api::{Feature, FileHandle, FileStatus, FsError};
use pmserver_client::ContainerHandle;
use proto::limits::{FS_CLIENTS_MAX, OPEN_FILES_PER_CLIENT_MAX};

use crate::ext4::{Inode, LastRuns};
use crate::listing::Listing;

const ENTRIES: usize = FS_CLIENTS_MAX * OPEN_FILES_PER_CLIENT_MAX;
const INDEX_BITS: u32 = 8;

const _: () = assert!(ENTRIES <= 1 << INDEX_BITS);

/// A client: the channel that its calls come in on, which a client cannot choose. The channel has
/// the number by which pmserver knows the client (microkit-system.xml).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientId(u8);

impl ClientId {
    /// Returns the client at the other end of a channel.
    #[must_use]
    pub const fn of_channel(channel: u8) -> Self {
        Self(channel)
    }

    /// Returns whether a container is the client's own: the handle names an owner, and pmserver
    /// refuses a handle that names the wrong one.
    pub(crate) fn owns(self, container: ContainerHandle) -> bool {
        container.owner().is_some_and(|owner| owner.get() == self.0)
    }
}

/// A file that a client has open.
pub(crate) struct OpenFile {
    /// Its kind and size.
    pub(crate) status: FileStatus,
    /// How it is read.
    pub(crate) content: Content,
}

/// How an open file is read.
pub(crate) enum Content {
    /// A regular file, and where it was read last.
    File(Inode, LastRuns),
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
    entries: [Option<Entry>; ENTRIES],
    next_generation: u64,
}

impl OpenFiles {
    /// Returns an empty table that numbers its files from `first_generation` on.
    pub(crate) fn new(first_generation: u64) -> Self {
        Self { entries: [const { None }; ENTRIES], next_generation: first_generation }
    }

    /// Returns where the client may open another file, if it may. Called before the file is looked
    /// up.
    pub(crate) fn room(&self, client: ClientId) -> Result<Room, FsError> {
        let (mut of_client, mut free) = (0_usize, None);
        for (index, entry) in (0..).zip(&self.entries) {
            match entry {
                Some(entry) if entry.client == client => {
                    of_client = of_client.saturating_add(1);
                }
                Some(_) => {}
                None => free = free.or(Some(index)),
            }
        }
        match free {
            Some(index) if of_client < OPEN_FILES_PER_CLIENT_MAX => Ok(Room { client, index }),
            _ => Err(FsError::TooManyOpenFiles),
        }
    }

    /// Adds a file and returns its handle.
    pub(crate) fn insert(&mut self, room: Room, file: OpenFile) -> Result<FileHandle, FsError> {
        let Room { client, index } = room;
        let generation = self.next_generation;
        let entry = usize::try_from(index).ok().and_then(|index| self.entries.get_mut(index));
        *entry.ok_or(FsError::TooManyOpenFiles)? = Some(Entry { client, generation, file });
        self.next_generation = generation.wrapping_add(1);
        Ok(handle_of(index, generation))
    }

    /// Returns a file that the client has open.
    pub(crate) fn get(
        &mut self,
        client: ClientId,
        handle: FileHandle,
    ) -> Result<&mut OpenFile, FsError> {
        self.entry(client, handle)?.as_mut().map(|entry| &mut entry.file).ok_or(FsError::BadHandle)
    }

    /// Removes a file.
    pub(crate) fn close(&mut self, client: ClientId, handle: FileHandle) -> Result<(), FsError> {
        *self.entry(client, handle)? = None;
        Ok(())
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
    index: u64,
}

fn handle_of(index: u64, generation: u64) -> FileHandle {
    FileHandle::from_raw(generation << INDEX_BITS | index)
}

#[cfg(test)]
mod tests {
    use fsserver_api::FileKind;

    use super::*;

    const CLIENT: ClientId = ClientId::of_channel(2);
    const OTHER: ClientId = ClientId::of_channel(3);

    fn file(size_bytes: u64) -> OpenFile {
        OpenFile {
            status: FileStatus {
                kind: FileKind::Special,
                links: 1,
                size_bytes,
                modified_seconds: 0,
                changed_seconds: 0,
            },
            content: Content::Other(Feature::Special),
        }
    }

    fn insert(files: &mut OpenFiles, client: ClientId, bytes: u64) -> Result<FileHandle, FsError> {
        files.insert(files.room(client)?, file(bytes))
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
    fn every_client_has_its_share_of_the_table() {
        let mut files = OpenFiles::new(0);
        for _ in 0..OPEN_FILES_PER_CLIENT_MAX {
            insert(&mut files, CLIENT, 0).unwrap();
        }
        assert_eq!(insert(&mut files, CLIENT, 0).err(), Some(FsError::TooManyOpenFiles));
        let mut handle = None;
        for channel in 10..10 + u8::try_from(FS_CLIENTS_MAX - 1).unwrap() {
            for _ in 0..OPEN_FILES_PER_CLIENT_MAX {
                handle = Some(insert(&mut files, ClientId::of_channel(channel), 0).unwrap());
            }
        }
        assert_eq!(insert(&mut files, OTHER, 0).err(), Some(FsError::TooManyOpenFiles));
        let last = ClientId::of_channel(10 + u8::try_from(FS_CLIENTS_MAX - 2).unwrap());
        files.close(last, handle.unwrap()).unwrap();
        assert!(insert(&mut files, OTHER, 0).is_ok());
    }

    impl core::fmt::Debug for OpenFile {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            self.status.fmt(f)
        }
    }
}
