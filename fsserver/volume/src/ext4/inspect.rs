// SPDX-License-Identifier: BSD-2-Clause
//! Inodes and their extents, read from the disk beside the engine and checked before it sees them:
//! the engine takes a leaf without extents for a hole and a flag that it does not know for none,
//! and makes lists as long as the disk says.
//!
//! What is read here is what the file was when the volume was mounted. So a file is checked before
//! the engine changes it for the first time, and never again.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::bytes::{check, joined, u16_at, u32_at};
use super::disk::Disk;
use super::superblock::Layout;
use crate::block_device::BlockDevice;
use crate::error::{Error, Feature};
use crate::limits::{DIRECTORY_BLOCKS_MAX, EXTENTS_MAX, NODES_MAX};
use crate::volume::Kind;

const ENCRYPTED: u32 = 0x800;
const COMPRESSED: u32 = 0x4;
const EXTENTS: u32 = 0x8_0000;
const INLINE_DATA: u32 = 0x1000_0000;
const CASEFOLD: u32 = 0x4000_0000;
const REFUSED: [(u32, Feature); 4] = [
    (ENCRYPTED, Feature::Encryption),
    (COMPRESSED, Feature::Compression),
    (INLINE_DATA, Feature::InlineData),
    (CASEFOLD, Feature::Casefold),
];

const MAGIC: u16 = 0xF30A;
const DEPTH_MAX: u16 = 5;
const ENTRY_BYTES: usize = 12;
/// Extents that are longer are allocated and not written: the rest is their length.
const WRITTEN_BLOCKS_MAX: u16 = 0x8000;
/// One past the last block that a file can have.
const FILE_BLOCKS_END: u64 = 1 << 32;
/// A symbolic link that is shorter is in its inode.
pub(super) const INLINE_LINK_BYTES: u64 = 60;
/// Where it is there.
pub(super) const LINK_START: u64 = 0x28;

/// What an inode on the disk is. Holding one proves that its extents are in order, within their
/// nodes and the disk, and not too many.
pub(super) struct Form {
    pub(super) kind: Kind,
    pub(super) size_bytes: u64,
    /// The next of the files that were removed and not freed, if it is one of those.
    pub(super) next_orphan: u32,
    /// Whether its blocks are found by a map, not by extents.
    pub(super) has_block_map: bool,
    /// Where its blocks are, in the order of the file.
    pub(super) extents: Vec<Range<u64>>,
}

impl Form {
    /// Reads an inode.
    pub(super) fn read<D: BlockDevice>(
        disk: &Disk<D>,
        layout: &Layout,
        number: u32,
    ) -> Result<Self, Error> {
        let mut inode = vec![0; layout.inode_bytes.into()];
        disk.read_bytes(layout.inode_start(number)?, &mut inode)?;
        let kind = match u16_at(&inode, 0)? >> 12 {
            0x8 => Kind::Regular,
            0x4 => Kind::Directory,
            0xA => Kind::Symlink,
            0x1 | 0x2 | 0x6 | 0xC => Kind::Special,
            0 => return Err(Error::NotFound),
            _ => return Err(Error::Damaged),
        };
        let flags = u32_at(&inode, 0x20)?;
        if let Some((_, feature)) = REFUSED.into_iter().find(|(bits, _)| flags & bits != 0) {
            return Err(feature.into());
        }
        let size_bytes = joined(u32_at(&inode, 0x6C)?, u32_at(&inode, 0x4)?);
        check(size_bytes.div_ceil(layout.block_bytes.into()) < FILE_BLOCKS_END)?;
        let is_inline = kind == Kind::Symlink && size_bytes < INLINE_LINK_BYTES;
        let mut form = Self {
            kind,
            size_bytes,
            next_orphan: u32_at(&inode, 0x14)?,
            has_block_map: flags & EXTENTS == 0 && !is_inline && kind != Kind::Special,
            extents: Vec::new(),
        };
        if flags & EXTENTS != 0 && kind != Kind::Special {
            let root = inode.get(0x28..0x64).ok_or(Error::Damaged)?;
            let mut tree = Tree { disk, layout, form: &mut form, nodes: 0 };
            let depth = u16_at(root, 6)?;
            check(depth <= DEPTH_MAX)?;
            tree.walk(root, depth, &(0..FILE_BLOCKS_END))?;
        }
        // A long symbolic link has a block.
        let is_long = kind == Kind::Symlink && !is_inline;
        check(!is_long || u32_at(&inode, 0x1C)? > 0)?;
        let is_removed = u16_at(&inode, 0x1A)? == 0;
        form.check_size(layout, is_removed)?;
        Ok(form)
    }

    /// Fails if a list of all its blocks would be too long, or it has a size that its kind cannot.
    fn check_size(&self, layout: &Layout, is_removed: bool) -> Result<(), Error> {
        let blocks = self.size_bytes.div_ceil(layout.block_bytes.into());
        match self.kind {
            Kind::Symlink => {
                check(self.size_bytes > 0 && self.size_bytes < layout.block_bytes.into())?;
                check(self.has_block_map || self.blocks() <= 1)
            }
            // The size of a directory that is removed is 0, with its blocks there still.
            Kind::Directory if is_removed && blocks == 0 => Ok(()),
            Kind::Directory => {
                check(blocks > 0 && self.size_bytes == layout.start_of(blocks))?;
                // A directory has no holes.
                check(self.has_block_map || self.blocks() == blocks)?;
                if blocks > DIRECTORY_BLOCKS_MAX { Err(Error::TooLarge) } else { Ok(()) }
            }
            Kind::Regular | Kind::Special => Ok(()),
        }
    }

    /// Returns how many blocks the extents have.
    pub(super) fn blocks(&self) -> u64 {
        self.extents
            .iter()
            .fold(0, |sum: u64, extent| sum.saturating_add(extent.end.saturating_sub(extent.start)))
    }
}

/// A walk over a tree of extents.
struct Tree<'a, D> {
    disk: &'a Disk<D>,
    layout: &'a Layout,
    form: &'a mut Form,
    nodes: u32,
}

impl<D: BlockDevice> Tree<'_, D> {
    /// Checks a node that is about these blocks of the file, and all nodes below it.
    fn walk(&mut self, node: &[u8], depth: u16, about: &Range<u64>) -> Result<(), Error> {
        let (count, most) = (u16_at(node, 2)?, u16_at(node, 4)?);
        let is_node = u16_at(node, 0)? == MAGIC && u16_at(node, 6)? == depth;
        check(is_node && count <= most && entry_start(most) <= node.len())?;
        // An index without entries leads nowhere.
        check(count > 0 || depth == 0)?;
        let mut end = about.start;
        for entry in 0..count {
            let at = entry_start(entry);
            let first = u64::from(u32_at(node, at)?);
            check(first >= end && first < about.end)?;
            end = if depth == 0 {
                self.add(node, at, first)?
            } else {
                let next = match count.checked_sub(entry) {
                    Some(2..) => u64::from(u32_at(node, at.saturating_add(ENTRY_BYTES))?),
                    _ => about.end,
                };
                let half = u16_at(node, at.saturating_add(8))?;
                let child = joined(half, u32_at(node, at.saturating_add(4))?);
                self.walk_below(child, depth.saturating_sub(1), &(first..next))?;
                next
            };
            check(end <= about.end)?;
        }
        Ok(())
    }

    fn walk_below(&mut self, block: u64, depth: u16, about: &Range<u64>) -> Result<(), Error> {
        self.nodes = self.nodes.saturating_add(1);
        if self.nodes > NODES_MAX {
            return Err(Error::TooLarge);
        }
        self.layout.check_blocks(block, 1)?;
        let bytes = usize::try_from(self.layout.block_bytes).unwrap_or(0);
        let mut node = vec![0; bytes];
        self.disk.read_bytes(self.layout.start_of(block), &mut node)?;
        // A node that is not the root has an entry, and begins where the node above says.
        check(u64::from(u32_at(&node, ENTRY_BYTES)?) == about.start && u16_at(&node, 2)? > 0)?;
        self.walk(&node, depth, about)
    }

    /// Adds an extent, and returns where it ends in the file.
    fn add(&mut self, node: &[u8], at: usize, first: u64) -> Result<u64, Error> {
        let length = match u16_at(node, at.saturating_add(4))? {
            written @ 0..=WRITTEN_BLOCKS_MAX => written,
            longer => longer.saturating_sub(WRITTEN_BLOCKS_MAX),
        };
        let half = u16_at(node, at.saturating_add(6))?;
        let start = joined(half, u32_at(node, at.saturating_add(8))?);
        check(length > 0)?;
        self.layout.check_blocks(start, length.into())?;
        if self.form.extents.len() >= EXTENTS_MAX {
            return Err(Error::TooLarge);
        }
        self.form.extents.push(start..start.saturating_add(length.into()));
        Ok(first.saturating_add(length.into()))
    }
}

/// Returns where an entry of a node starts; entry 0 is the first after the header.
fn entry_start(entry: u16) -> usize {
    usize::from(entry).saturating_add(1).saturating_mul(ENTRY_BYTES)
}
