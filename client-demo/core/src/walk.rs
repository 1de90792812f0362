// SPDX-License-Identifier: BSD-2-Clause
//! Finds the regular files of the image and sorts their paths.

use alloc::vec::Vec;

use fsserver_api::{DirectoryCookie, DirectoryEntry, FileHandle, FileKind};
use pmserver_client::{AddressSpace, Transport};
use proto::{FrameCount, Waiter};

use crate::error::DemoError;
use crate::transfer::Transfer;

/// Frames that one round of a listing may fill.
const LISTING_FRAMES: u64 = 4;

/// A path relative to the root; the root itself is empty.
pub(crate) type RelativePath = Vec<u8>;

/// Returns the paths of all regular files, sorted by their bytes. Like `find -type f`, it leaves
/// out symlinks and special files. An error comes with the directory that cannot be read.
pub(crate) fn regular_files<P: Transport, F: Transport, W: Waiter, A: AddressSpace>(
    transfer: &mut Transfer<'_, P, F, W, A>,
) -> Result<Vec<RelativePath>, (RelativePath, DemoError)> {
    let mut files = Vec::new();
    let mut directories = Vec::new();
    let mut next = Some(RelativePath::new());
    while let Some(directory) = next {
        if let Err(error) = add_entries(transfer, &directory, &mut files, &mut directories) {
            return Err((directory, error));
        }
        next = directories.pop();
    }
    files.sort_unstable();
    Ok(files)
}

/// Adds the regular files and the directories of a directory.
fn add_entries<P: Transport, F: Transport, W: Waiter, A: AddressSpace>(
    transfer: &mut Transfer<'_, P, F, W, A>,
    directory: &[u8],
    files: &mut Vec<RelativePath>,
    directories: &mut Vec<RelativePath>,
) -> Result<(), DemoError> {
    let handle = transfer.open(directory)?;
    let listed = list(transfer, handle, |entry| match entry.kind() {
        FileKind::Regular => push(files, join(directory, entry.name())?),
        FileKind::Directory => push(directories, join(directory, entry.name())?),
        FileKind::Symlink | FileKind::Special => Ok(()),
    });
    let closed = transfer.close(handle);
    listed.and(closed)
}

/// Passes every entry of a directory to `take`, round by round.
///
/// # Errors
/// What the servers refuse, entries that are none, and the first error of `take`.
pub fn list<P: Transport, F: Transport, W: Waiter, A: AddressSpace>(
    transfer: &mut Transfer<'_, P, F, W, A>,
    directory: FileHandle,
    mut take: impl FnMut(DirectoryEntry<'_>) -> Result<(), DemoError>,
) -> Result<(), DemoError> {
    let frames = FrameCount::new(LISTING_FRAMES).ok_or(DemoError::ReadLength)?;
    let mut bytes = Vec::new();
    let mut cookie = Some(DirectoryCookie::START);
    while let Some(from) = cookie {
        let listed = transfer.lend(|fs, weak| fs.read_dir(directory, weak, frames, from))?;
        bytes.clear();
        transfer.copy_in(listed.bytes, |piece| {
            bytes.try_reserve(piece.len())?;
            bytes.extend_from_slice(piece);
            Ok(())
        })?;
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (entry, after) = DirectoryEntry::decode(rest)?;
            take(entry)?;
            rest = after;
        }
        // A server that makes no progress and promises more would keep us here for ever.
        if listed.next == cookie {
            return Err(DemoError::ReadLength);
        }
        cookie = listed.next;
    }
    Ok(())
}

fn join(directory: &[u8], name: &[u8]) -> Result<RelativePath, DemoError> {
    let mut path = RelativePath::new();
    path.try_reserve_exact(directory.len().saturating_add(name.len()).saturating_add(1))?;
    path.extend_from_slice(directory);
    if !directory.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    Ok(path)
}

fn push(list: &mut Vec<RelativePath>, path: RelativePath) -> Result<(), DemoError> {
    list.try_reserve(1)?;
    list.push(path);
    Ok(())
}
