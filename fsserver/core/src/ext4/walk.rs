// SPDX-License-Identifier: BSD-2-Clause
//! Finds files by their paths.

use core::cell::Cell;

use fsserver_api::{Failure, Feature, FileKind, FsError};
use pmserver_client::AddressSpace;

use super::bytes::{Block, check};
use super::directory::{blocks_of, entry_at, read_entries};
use super::disk::Disk;
use super::inode::Inode;

const ROOT: u32 = 2;
const SYMLINKS_MAX: u32 = 40;
/// Components of a path that are looked up, those of symlinks included.
const COMPONENTS_MAX: u32 = 1000;

/// In which block of a directory the last name was found, for as many directories as fit. Names
/// that are looked up in the order of the directory then take one block each.
pub(crate) struct Places([Cell<(u32, u64)>; 64]);

impl Places {
    pub(crate) fn new() -> Self {
        Self([const { Cell::new((0, 0)) }; 64])
    }

    fn cell(&self, directory: u32) -> Option<&Cell<(u32, u64)>> {
        self.0.get(usize::try_from(directory & 63).unwrap_or(0))
    }

    fn get(&self, directory: u32) -> u64 {
        let place = self.cell(directory).map(Cell::get);
        place.filter(|(of, _)| *of == directory).map_or(0, |(_, block)| block)
    }

    fn set(&self, directory: u32, block: u64) {
        if let Some(cell) = self.cell(directory) {
            cell.set((directory, block));
        }
    }
}

/// The part of a path that is still to be followed, at the end of a buffer.
struct Rest {
    bytes: Block,
    start: usize,
}

impl Rest {
    /// Puts bytes before the rest.
    fn prepend(&mut self, bytes: &[u8]) -> Result<(), FsError> {
        let start = self.start.checked_sub(bytes.len()).ok_or(FsError::PathTooLong)?;
        let to = self.bytes.get_mut(start..self.start).ok_or(FsError::PathTooLong)?;
        to.copy_from_slice(bytes);
        self.start = start;
        Ok(())
    }

    fn get(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }

    /// Goes past separators and returns whether there were any.
    fn skip_separators(&mut self) -> bool {
        let count = self.get().iter().take_while(|byte| **byte == b'/').count();
        self.start = self.start.saturating_add(count);
        count > 0
    }

    /// Returns the next component; it stays in the buffer until something is put before the rest.
    fn take(&mut self) -> core::ops::Range<usize> {
        let length = self.get().iter().take_while(|byte| **byte != b'/').count();
        let from = self.start;
        self.start = from.saturating_add(length);
        from..self.start
    }
}

/// Finds what a path leads to. A symlink is followed unless it is the last component, and never
/// leads out of the image.
pub(crate) fn find_path<A: AddressSpace>(
    disk: &Disk<A>,
    places: &Places,
    path: &[u8],
) -> Result<Inode, Failure> {
    let mut buffer = [0; 4096];
    let mut rest = Rest { bytes: [0; 4096], start: 4096 };
    rest.prepend(path)?;
    let mut inode = Inode::read(disk, ROOT)?;
    check(inode.kind == FileKind::Directory)?;
    let (mut symlinks, mut components) = (0_u32, 0_u32);
    let mut is_directory_asked = rest.skip_separators();
    while !rest.get().is_empty() {
        if inode.kind != FileKind::Directory {
            return Err(FsError::NotADirectory.into());
        }
        components = components.saturating_add(1);
        if components > COMPONENTS_MAX {
            return Err(FsError::PathTooLong.into());
        }
        let name = rest.take();
        let name = rest.bytes.get(name).unwrap_or_default();
        let found = if name == b"." {
            inode.clone()
        } else {
            Inode::read(disk, find_name(disk, places, &inode, name, &mut buffer)?)?
        };
        is_directory_asked = rest.skip_separators();
        if found.kind != FileKind::Symlink || rest.get().is_empty() {
            inode = found;
            continue;
        }
        symlinks = symlinks.saturating_add(1);
        if symlinks > SYMLINKS_MAX {
            return Err(Feature::ManySymlinks.into());
        }
        let target = found.target(disk, &mut buffer)?;
        rest.prepend(b"/")?;
        rest.prepend(target)?;
        if rest.skip_separators() {
            inode = Inode::read(disk, ROOT)?;
        }
    }
    if is_directory_asked && inode.kind != FileKind::Directory {
        return Err(FsError::NotADirectory.into());
    }
    Ok(inode)
}

/// Returns the number of the inode that a name in a directory leads to.
fn find_name<A: AddressSpace>(
    disk: &Disk<A>,
    places: &Places,
    directory: &Inode,
    name: &[u8],
    buffer: &mut Block,
) -> Result<u32, Failure> {
    let blocks = blocks_of(disk, directory)?;
    let first = places.get(directory.number).min(blocks);
    for block in (first..blocks).chain(0..first) {
        let bytes = read_entries(disk, directory, block, buffer)?;
        let mut offset = 0;
        while offset < bytes.len() {
            let (entry, next) = entry_at(disk, bytes, offset)?;
            offset = next;
            if let Some(entry) = entry.filter(|entry| entry.name == name) {
                if name != b".." {
                    places.set(directory.number, block);
                }
                return Ok(entry.inode);
            }
        }
    }
    Err(FsError::NotFound.into())
}
