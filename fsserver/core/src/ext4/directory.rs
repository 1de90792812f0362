// SPDX-License-Identifier: BSD-2-Clause
//! Directory entries. The index that a large directory may have is checked and not used: its blocks
//! look like entries that name nothing, so the entries can be read one after the other.

use fsserver_api::{Failure, FileKind, FsError};
use pmserver_client::AddressSpace;

use super::bytes::{Block, Checksum, bytes_at, check, u16_at, u32_at};
use super::disk::Disk;
use super::inode::Inode;
use super::map::find;

const HEADER_BYTES: usize = 8;
/// The last bytes of a block of entries: an entry of no name, and the checksum.
const TAIL_BYTES: usize = 12;
const DOT_BYTES: u16 = 12;

/// An entry that names something.
pub(crate) struct Entry<'a> {
    /// The inode's number.
    pub(super) inode: u32,
    /// The name: not empty, without `/` and NUL.
    pub(crate) name: &'a [u8],
    kind: u8,
}

impl Entry<'_> {
    /// Returns the kind of what it names.
    pub(crate) fn kind<A: AddressSpace>(&self, disk: &Disk<A>) -> Result<FileKind, FsError> {
        match self.kind {
            0 => Inode::read(disk, self.inode).map(|inode| inode.kind),
            1 => Ok(FileKind::Regular),
            2 => Ok(FileKind::Directory),
            3..=6 => Ok(FileKind::Special),
            7 => Ok(FileKind::Symlink),
            _ => Err(FsError::ImageDamaged),
        }
    }
}

/// Returns how many blocks a directory has.
pub(crate) fn blocks_of<A: AddressSpace>(
    disk: &Disk<A>,
    directory: &Inode,
) -> Result<u64, Failure> {
    directory.check_readable()?;
    let bytes = u64::from(disk.block_bytes);
    check(directory.size_bytes.checked_rem(bytes) == Some(0))?;
    Ok(directory.size_bytes.checked_div(bytes).unwrap_or(0))
}

/// Reads a block of a directory.
pub(crate) fn read_entries<'a, A: AddressSpace>(
    disk: &Disk<A>,
    directory: &Inode,
    block: u64,
    buffer: &'a mut Block,
) -> Result<&'a [u8], FsError> {
    let start = find(disk, directory, block)?.start.ok_or(FsError::ImageDamaged)?;
    let bytes = disk.read_block(start, buffer)?;
    match directory.is_indexed().then(|| index_start(bytes, block)).transpose()?.flatten() {
        Some(start) => check_index(bytes, start, directory.seed)?,
        None => {
            let tail = bytes.len().saturating_sub(TAIL_BYTES);
            let sum = directory.seed.with(bytes.get(..tail).unwrap_or_default());
            check(u32_at(bytes, tail)? == 0 && u16_at(bytes, tail.saturating_add(4))? == 12)?;
            sum.check(u32_at(bytes, tail.saturating_add(8))?)?;
        }
    }
    Ok(bytes)
}

/// Returns where the index in a block of an indexed directory starts, if the block has one.
fn index_start(bytes: &[u8], block: u64) -> Result<Option<usize>, FsError> {
    let length = u16_at(bytes, 4)?;
    if block == 0 {
        // The root of the index is behind the entries `.` and `..`.
        check(length == DOT_BYTES)?;
        return Ok(Some(0x20));
    }
    let is_node = u32_at(bytes, 0)? == 0 && usize::from(length) == bytes.len();
    Ok(is_node.then_some(0x8))
}

/// Checks the checksum of a block with an index.
fn check_index(bytes: &[u8], start: usize, seed: Checksum) -> Result<(), FsError> {
    let end = |entries: u16| usize::from(entries).saturating_mul(8).saturating_add(start);
    let tail = end(u16_at(bytes, start)?);
    let used = end(u16_at(bytes, start.saturating_add(2))?);
    check(used <= tail)?;
    let sum = seed.with(bytes.get(..used).ok_or(FsError::ImageDamaged)?);
    let sum = sum.with(&bytes_at::<4>(bytes, tail)?).with(&[0; 4]);
    sum.check(u32_at(bytes, tail.saturating_add(4))?)
}

/// Returns the entry at `offset` in a block, if it names something, and where the next one starts.
pub(crate) fn entry_at<'a, A: AddressSpace>(
    disk: &Disk<A>,
    bytes: &'a [u8],
    offset: usize,
) -> Result<(Option<Entry<'a>>, usize), FsError> {
    let rest = bytes.get(offset..).ok_or(FsError::ImageDamaged)?;
    let length = usize::from(u16_at(rest, 4)?);
    let [name_bytes, kind] = bytes_at(rest, 6)?;
    let needed = HEADER_BYTES.saturating_add(name_bytes.into());
    check(length <= rest.len() && length.is_multiple_of(4) && length >= DOT_BYTES.into())?;
    let next = offset.saturating_add(length);
    let inode = u32_at(rest, 0)?;
    if inode == 0 {
        return Ok((None, next));
    }
    check(needed <= length && name_bytes > 0)?;
    disk.check_inode_number(inode)?;
    let name = rest.get(HEADER_BYTES..needed).ok_or(FsError::ImageDamaged)?;
    check(!name.iter().any(|byte| matches!(byte, b'/' | 0)))?;
    Ok((Some(Entry { inode, name, kind }), next))
}
