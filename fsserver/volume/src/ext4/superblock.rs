// SPDX-License-Identifier: BSD-2-Clause
//! The superblock and the group descriptors, checked before the engine sees them: which features
//! there are, and that the numbers can be those of this disk.

use alloc::vec;
use alloc::vec::Vec;

use super::bytes::{check, joined, set, u8_at, u16_at, u32_at};
use super::disk::Disk;
use crate::block_device::BlockDevice;
use crate::error::{Error, Feature};
use crate::limits::{GROUPS_MAX, INODES_MAX};

/// The byte of the disk at which the superblock begins, and how many it has.
pub(super) const START: u64 = 1024;
pub(super) const BYTES: usize = 1024;
const CHECKSUM: usize = 0x3FC;
const MAGIC: u16 = 0xEF53;
const CRC_32C: u8 = 1;

// Features by the numbers of their bits. Those that every reader must know:
const FILE_TYPES: u32 = 0x2;
const NEEDS_RECOVERY: u32 = 0x4;
const EXTENTS: u32 = 0x40;
const WIDE: u32 = 0x80;
const MULTI_MOUNT: u32 = 0x100;
/// Those that are read, flex_bg and metadata_csum_seed among them.
const READ: u32 = FILE_TYPES | NEEDS_RECOVERY | EXTENTS | WIDE | MULTI_MOUNT | 0x200 | 0x2000;
const REFUSED: [(u32, Feature); 9] = [
    (0x1, Feature::Compression),
    (0x8, Feature::JournalDevice),
    (0x10, Feature::MetaBlockGroups),
    (0x400, Feature::AttributeInodes),
    (0x4000, Feature::LargeDirectories),
    (0x8000, Feature::InlineData),
    (0x1_0000, Feature::Encryption),
    (0x2_0000, Feature::Casefold),
    (!READ, Feature::Unknown),
];
// Those that a writer must know.
const CLUSTERS: u32 = 0x200;
const CHECKSUMS: u32 = 0x400;
/// sparse_super, large_file, huge_file, uninit_bg, dir_nlink, extra_isize and project.
const WRITTEN: u32 = 0x1 | 0x2 | 0x8 | 0x10 | 0x20 | 0x40 | CHECKSUMS | 0x2000;
const NOT_WRITTEN: [(u32, Feature); 4] = [
    (0x100, Feature::Quota),
    (0x8000, Feature::Verity),
    (0x1_0000, Feature::OrphanFile),
    (!WRITTEN, Feature::Unknown),
];
// Those that nobody needs to know.
const JOURNAL: u32 = 0x4;
const FAST_COMMIT: u32 = 0x400;
// The state of a volume.
const IS_CLEAN: u16 = 0x1;
const HAS_ERRORS: u16 = 0x2;

/// Whether a volume is to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing is written, not even when files were read.
    Read,
    /// The volume is changed.
    Write,
}

/// Where things are on a disk. Holding one proves that its numbers fit the disk and each other.
pub(super) struct Layout {
    pub(super) block_bytes: u32,
    pub(super) blocks: u64,
    pub(super) first_data_block: u32,
    pub(super) group_blocks: u32,
    pub(super) inodes: u32,
    pub(super) first_inode: u32,
    pub(super) inodes_per_group: u32,
    pub(super) inode_bytes: u16,
    /// Bytes of the descriptor of a group.
    pub(super) descriptor_bytes: u16,
    /// The first block of the inodes of each group.
    tables: Vec<u64>,
    /// The inode of the journal, if there is one.
    pub(super) journal: Option<u32>,
    pub(super) needs_recovery: bool,
    /// The first of the files that were removed and not freed, or 0.
    pub(super) last_orphan: u32,
    /// What all checksums begin with.
    pub(super) checksum_seed: u32,
}

impl Layout {
    pub(super) fn load<D: BlockDevice>(disk: &Disk<D>, access: Access) -> Result<Self, Error> {
        let mut bytes = [0; BYTES];
        if disk.bytes() < START.saturating_mul(2) {
            return Err(Error::NotExt4);
        }
        disk.read_bytes(START, &mut bytes)?;
        if u16_at(&bytes, 0x38)? != MAGIC {
            return Err(Error::NotExt4);
        }
        let block_bytes = match u32_at(&bytes, 0x18)? {
            shift @ 0..=2 => 1024_u32 << shift,
            3..=6 => return Err(Feature::LargeBlocks.into()),
            _ => return Err(Error::Damaged),
        };
        check_features(&bytes, access)?;
        let mut layout = Self::parse(&bytes, block_bytes)?;
        layout.check(disk.bytes())?;
        layout.load_tables(disk)?;
        Ok(layout)
    }

    fn parse(bytes: &[u8], block_bytes: u32) -> Result<Self, Error> {
        let word = |at| u32_at(bytes, at);
        let features = word(0x60)?;
        let has_journal = word(0x5C)? & JOURNAL != 0;
        if has_journal && word(0xE0)? == 0 {
            return Err(Feature::JournalDevice.into());
        }
        let checksum_seed = if features & 0x2000 == 0 {
            rsext4::crc32c::crc32c_append(u32::MAX, bytes.get(0x68..0x78).unwrap_or_default())
        } else {
            word(0x270)?
        };
        Ok(Self {
            block_bytes,
            blocks: joined(if features & WIDE == 0 { 0 } else { word(0x150)? }, word(0x4)?),
            first_data_block: word(0x14)?,
            group_blocks: word(0x20)?,
            inodes: word(0)?,
            first_inode: if word(0x4C)? == 0 { 11 } else { word(0x54)? },
            inodes_per_group: word(0x28)?,
            inode_bytes: if word(0x4C)? == 0 { 128 } else { u16_at(bytes, 0x58)? },
            tables: Vec::new(),
            journal: if has_journal { Some(word(0xE0)?) } else { None },
            needs_recovery: features & NEEDS_RECOVERY != 0,
            last_orphan: word(0xE8)?,
            descriptor_bytes: if features & WIDE == 0 { 32 } else { u16_at(bytes, 0xFE)? },
            checksum_seed,
        })
    }

    /// Fails unless the numbers of the superblock can be those of this disk.
    fn check(&self, disk_bytes: u64) -> Result<(), Error> {
        let bytes = self.blocks.checked_mul(self.block_bytes.into());
        check(bytes.is_some_and(|bytes| bytes <= disk_bytes))?;
        check(self.first_data_block == u32::from(self.block_bytes == 1024))?;
        check(self.inodes_per_group > 0)?;
        check(self.inode_bytes.is_power_of_two() && self.inode_bytes >= 128)?;
        check(u32::from(self.inode_bytes) <= self.block_bytes)?;
        check(self.first_inode >= 11 && self.first_inode <= self.inodes)?;
        if self.inodes > INODES_MAX { Err(Error::TooLarge) } else { Ok(()) }
    }

    fn load_tables<D: BlockDevice>(&mut self, disk: &Disk<D>) -> Result<(), Error> {
        let group_blocks = self.group_blocks;
        let descriptor_bytes = self.descriptor_bytes;
        check(group_blocks > 0 && group_blocks <= self.block_bytes.saturating_mul(8))?;
        check(self.inodes_per_group <= self.block_bytes.saturating_mul(8))?;
        check(matches!(descriptor_bytes, 32 | 64..=1024) && descriptor_bytes.is_power_of_two())?;
        let data = self.blocks.checked_sub(self.first_data_block.into()).ok_or(Error::Damaged)?;
        let groups = u32::try_from(data.div_ceil(group_blocks.into())).unwrap_or(u32::MAX);
        if groups > GROUPS_MAX {
            return Err(Error::TooLarge);
        }
        check(groups.checked_mul(self.inodes_per_group) == Some(self.inodes))?;
        let bytes = u64::from(groups).saturating_mul(descriptor_bytes.into());
        let mut descriptors = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
        disk.read_bytes(self.descriptor_start(0), &mut descriptors)?;
        let table_bytes = u64::from(self.inodes_per_group).saturating_mul(self.inode_bytes.into());
        let table_blocks = table_bytes.div_ceil(self.block_bytes.into());
        for descriptor in descriptors.chunks_exact(descriptor_bytes.into()) {
            let wide = |at| if descriptor_bytes > 32 { u32_at(descriptor, at) } else { Ok(0) };
            self.check_blocks(joined(wide(0x20)?, u32_at(descriptor, 0x0)?), 1)?;
            self.check_blocks(joined(wide(0x24)?, u32_at(descriptor, 0x4)?), 1)?;
            let table = joined(wide(0x28)?, u32_at(descriptor, 0x8)?);
            self.check_blocks(table, table_blocks)?;
            self.tables.push(table);
        }
        Ok(())
    }

    /// Fails unless all these blocks can hold what files have.
    pub(super) fn check_blocks(&self, start: u64, count: u64) -> Result<(), Error> {
        let end = start.checked_add(count);
        check(start > self.first_data_block.into() && end.is_some_and(|end| end <= self.blocks))
    }

    /// Returns the byte of the disk at which a block begins.
    pub(super) fn start_of(&self, block: u64) -> u64 {
        block.saturating_mul(self.block_bytes.into())
    }

    /// Returns the byte of the disk at which the descriptor of a group begins.
    pub(super) fn descriptor_start(&self, group: u32) -> u64 {
        let start = self.start_of(u64::from(self.first_data_block).saturating_add(1));
        start.saturating_add(u64::from(group).saturating_mul(self.descriptor_bytes.into()))
    }

    /// Returns how many groups there are.
    pub(super) fn groups(&self) -> u32 {
        u32::try_from(self.tables.len()).unwrap_or(u32::MAX)
    }

    /// Returns the byte of the disk at which an inode begins.
    pub(super) fn inode_start(&self, number: u32) -> Result<u64, Error> {
        let index = number.checked_sub(1).ok_or(Error::NotFound)?;
        let group = index.checked_div(self.inodes_per_group).unwrap_or(u32::MAX);
        let index = index.checked_rem(self.inodes_per_group).unwrap_or(0);
        let table = self.tables.get(usize::try_from(group).unwrap_or(usize::MAX));
        let offset = u64::from(index).saturating_mul(self.inode_bytes.into());
        table.map(|table| self.start_of(*table).saturating_add(offset)).ok_or(Error::NotFound)
    }
}

/// Fails if there is a feature that is not supported, and names it.
fn check_features(bytes: &[u8], access: Access) -> Result<(), Error> {
    let named = |features: u32, of: &[(u32, Feature)]| {
        let found = of.iter().find(|(bits, _)| features & bits != 0);
        found.map_or(Ok(()), |(_, feature)| Err(Error::from(*feature)))
    };
    let [compatible, needed, to_write] = [0x5C, 0x60, 0x64].map(|at| u32_at(bytes, at));
    let (compatible, needed, to_write) = (compatible?, needed?, to_write?);
    named(needed, &REFUSED)?;
    named(to_write, &[(CLUSTERS, Feature::Clusters)])?;
    if to_write & CHECKSUMS != 0 {
        check(u8_at(bytes, 0x175)? == CRC_32C)?;
    }
    if access == Access::Read {
        return named(needed, &[(NEEDS_RECOVERY, Feature::JournalReplay)]);
    }
    named(!needed, &[(FILE_TYPES, Feature::NoFileTypes)])?;
    named(to_write, &NOT_WRITTEN)?;
    named(!to_write, &[(CHECKSUMS, Feature::NoChecksums)])?;
    named(needed, &[(MULTI_MOUNT, Feature::MultiMount)])?;
    named(!needed, &[(EXTENTS, Feature::NoExtents)])?;
    named(!compatible, &[(JOURNAL, Feature::NoJournal)])?;
    named(compatible, &[(FAST_COMMIT, Feature::FastCommit)])?;
    let has_errors = u16_at(bytes, 0x3A)? & HAS_ERRORS != 0;
    if has_errors { Err(Feature::Errors.into()) } else { Ok(()) }
}

/// If a superblock says that the journal is empty, returns one that says that it has to be
/// replayed.
pub(super) fn needing_recovery(bytes: &[u8]) -> Option<Vec<u8>> {
    let (features, state) = (u32_at(bytes, 0x60).ok()?, u16_at(bytes, 0x3A).ok()?);
    let has_journal = u32_at(bytes, 0x5C).ok()? & JOURNAL != 0;
    if features & NEEDS_RECOVERY != 0 || !has_journal || u16_at(bytes, 0x38).ok()? != MAGIC {
        return None;
    }
    let mut changed = bytes.to_vec();
    set(&mut changed, 0x60, &(features | NEEDS_RECOVERY).to_le_bytes());
    set(&mut changed, 0x3A, &(state & !IS_CLEAN).to_le_bytes());
    if u32_at(bytes, 0x64).ok()? & CHECKSUMS != 0 {
        let summed = changed.get(..CHECKSUM)?;
        let sum = rsext4::crc32c::crc32c_append(u32::MAX, summed);
        set(&mut changed, CHECKSUM, &sum.to_le_bytes());
    }
    Some(changed)
}
