// SPDX-License-Identifier: BSD-2-Clause
//! Where the blocks of a file are: in extents, or in the block map of older file systems.
//!
//! Every node on the way to a block is checked: its checksum, its depth, that its entries are in
//! order, do not overlap and stay within what the node above has given it. So the answer for a
//! block is the only one that the tree can give, and it takes at most one node a level.

use fsserver_api::FsError;
use pmserver_client::AddressSpace;

use super::bytes::{check, joined, u16_at, u32_at};
use super::disk::Disk;
use super::inode::Inode;

const MAGIC: u16 = 0xF30A;
const DEPTH_MAX: u16 = 5;
const ENTRY_BYTES: usize = 12;
/// Extents that are longer are allocated and not written: the rest is their length.
const WRITTEN_BLOCKS_MAX: u16 = 0x8000;
/// One past the last block that a file can have.
const FILE_BLOCKS_END: u64 = 1 << 32;
/// Block numbers in the inode that name blocks of the file; three more name lists of numbers.
const DIRECT: u64 = 12;

/// Consecutive blocks of a file.
#[derive(Clone, Copy)]
pub(crate) struct Run {
    /// The first of as many consecutive blocks, or `None` if they read as zeros.
    pub(crate) start: Option<u64>,
    /// How many, at least one.
    pub(crate) count: u64,
}

/// Finds a block of a file, and those that follow it.
pub(crate) fn find<A: AddressSpace>(
    disk: &Disk<A>,
    inode: &Inode,
    block: u64,
) -> Result<Run, FsError> {
    if inode.has_extents() {
        find_by_extents(disk, inode, block)
    } else {
        find_by_map(disk, inode, block)
    }
}

/// What a node says about a block.
enum Found {
    Run(Run),
    /// The node to ask, with the blocks that it is about.
    Below(u64, core::ops::Range<u64>),
}

fn find_by_extents<A: AddressSpace>(
    disk: &Disk<A>,
    inode: &Inode,
    block: u64,
) -> Result<Run, FsError> {
    let depth = u16_at(&inode.root, 6)?;
    check(depth <= DEPTH_MAX)?;
    match search(disk, &inode.root, depth, &(0..FILE_BLOCKS_END), block)? {
        Found::Run(run) => Ok(run),
        Found::Below(node, about) => find_below(disk, inode, block, depth, (node, about)),
    }
}

/// The same below the root. A function of its own, as a file with few extents needs no buffer.
#[inline(never)]
fn find_below<A: AddressSpace>(
    disk: &Disk<A>,
    inode: &Inode,
    block: u64,
    mut depth: u16,
    (mut node, mut about): (u64, core::ops::Range<u64>),
) -> Result<Run, FsError> {
    let mut buffer = [0; 4096];
    loop {
        depth = depth.checked_sub(1).ok_or(FsError::ImageDamaged)?;
        let bytes = disk.read_block(node, &mut buffer)?;
        // The checksum follows the room for entries.
        let end = entry_start(u16_at(bytes, 4)?);
        let summed = bytes.get(..end).ok_or(FsError::ImageDamaged)?;
        inode.seed.with(summed).check(u32_at(bytes, end)?)?;
        // A node that is not the root has an entry, and begins where the node above says.
        check(u64::from(u32_at(bytes, ENTRY_BYTES)?) == about.start && u16_at(bytes, 2)? > 0)?;
        (node, about) = match search(disk, summed, depth, &about, block)? {
            Found::Run(run) => return Ok(run),
            Found::Below(node, about) => (node, about),
        };
    }
}

/// Returns where an entry of a node starts; entry 0 is the first after the header.
fn entry_start(entry: u16) -> usize {
    usize::from(entry).saturating_add(1).saturating_mul(ENTRY_BYTES)
}

/// Finds a block of the file in a node of its extent tree: the run of disk blocks that holds it,
/// or the child node to go on with. `about` is the range of the file's blocks that the node is for:
/// all its entries are checked to lie in it, in order.
fn search<A: AddressSpace>(
    disk: &Disk<A>,
    node: &[u8],
    depth: u16,
    about: &core::ops::Range<u64>,
    block: u64,
) -> Result<Found, FsError> {
    let count = u16_at(node, 2)?;
    let is_node = u16_at(node, 0)? == MAGIC && u16_at(node, 6)? == depth;
    check(is_node && count <= u16_at(node, 4)? && entry_start(count) <= node.len())?;
    // An index without entries leads nowhere.
    check(count > 0 || depth == 0)?;
    let mut found = None;
    let mut end = about.start;
    // The last entry that begins at or before the block, and where the first one after it begins.
    let mut below = None;
    for entry in 0..count {
        let at = entry_start(entry);
        let first = u64::from(u32_at(node, at)?);
        check(first >= end && first < about.end)?;
        if first > block && below.is_none() {
            below = Some(first);
        }
        if depth > 0 {
            let child =
                joined(u16_at(node, at.saturating_add(8))?, u32_at(node, at.saturating_add(4))?);
            if first <= block {
                found = Some(Found::Below(child, first..about.end));
            }
            end = first.saturating_add(1);
            continue;
        }
        let (length, is_written) = match u16_at(node, at.saturating_add(4))? {
            written @ 0..=WRITTEN_BLOCKS_MAX => (u64::from(written), true),
            longer => (u64::from(longer).saturating_sub(WRITTEN_BLOCKS_MAX.into()), false),
        };
        let start =
            joined(u16_at(node, at.saturating_add(6))?, u32_at(node, at.saturating_add(8))?);
        disk.check_blocks(start, length)?;
        end = first.saturating_add(length);
        check(length > 0 && end <= about.end)?;
        if (first..end).contains(&block) {
            let skipped = block.saturating_sub(first);
            let start = is_written.then_some(start.saturating_add(skipped));
            found = Some(Found::Run(Run { start, count: length.saturating_sub(skipped) }));
        }
    }
    let next = below.unwrap_or(about.end);
    Ok(match found {
        Some(Found::Below(child, about)) => Found::Below(child, about.start..next),
        Some(found) => found,
        None => Found::Run(Run { start: None, count: next.saturating_sub(block) }),
    })
}

fn find_by_map<A: AddressSpace>(disk: &Disk<A>, inode: &Inode, block: u64) -> Result<Run, FsError> {
    let number = |index: u64| {
        u32_at(&inode.root, usize::try_from(index.saturating_mul(4)).unwrap_or(usize::MAX))
    };
    let Some(mut left) = block.checked_sub(DIRECT) else {
        return run_of_one(disk, number(block)?);
    };
    let per_block = u64::from(disk.block_bytes >> 2);
    let mut span = per_block;
    for level in 0..3_u32 {
        let Some(beyond) = left.checked_sub(span) else {
            let top = number(DIRECT.saturating_add(level.into()))?;
            return find_in_lists(disk, top, left, span, per_block);
        };
        left = beyond;
        span = span.saturating_mul(per_block);
    }
    // The largest block map ends here, before the largest file does.
    Err(FsError::ImageDamaged)
}

/// Follows lists of block numbers, the first of which is about `span` blocks.
fn find_in_lists<A: AddressSpace>(
    disk: &Disk<A>,
    mut list: u32,
    mut left: u64,
    mut span: u64,
    per_block: u64,
) -> Result<Run, FsError> {
    let mut buffer = [0; 4096];
    while span > 1 {
        if list == 0 {
            return Ok(Run { start: None, count: span.saturating_sub(left) });
        }
        span = span.checked_div(per_block).ok_or(FsError::ImageDamaged)?;
        let index = left.checked_div(span).ok_or(FsError::ImageDamaged)?;
        left = left.checked_rem(span).ok_or(FsError::ImageDamaged)?;
        let bytes = disk.read_block(list.into(), &mut buffer)?;
        list = u32_at(bytes, usize::try_from(index.saturating_mul(4)).unwrap_or(usize::MAX))?;
    }
    run_of_one(disk, list)
}

fn run_of_one<A: AddressSpace>(disk: &Disk<A>, number: u32) -> Result<Run, FsError> {
    let start = (number != 0).then_some(u64::from(number));
    start.map_or(Ok(()), |start| disk.check_blocks(start, 1))?;
    Ok(Run { start, count: 1 })
}
