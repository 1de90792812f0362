// SPDX-License-Identifier: BSD-2-Clause
//! The superblock, and the blocks that one call may read.

use core::cell::Cell;

use fsserver_api::{Failure, Feature, FsError};
use pmserver_client::{AddressSpace, VirtAddr};

use super::bytes::{Block, Checksum, bytes_at, check, joined, u16_at, u32_at};
use crate::image::{Image, OutsideImage};

/// Blocks that one call may read: more than the largest read takes, 1 MiB in blocks of 1 KiB, if it
/// has to go down a tree of full depth for each of them.
const CALL_BLOCKS_MAX: u32 = 8192;

const SUPERBLOCK_START: u64 = 1024;
const SUPERBLOCK_BYTES: usize = 1024;
const MAGIC: u16 = 0xEF53;
const CHECKSUM_START: usize = 0x3FC;
/// Features that a reader must know, by their bits, which fsserver reads or need not care for:
/// filetype, extents, 64bit, mmp, flex_bg, ea_inode, metadata_csum_seed, largedir, encrypt and
/// casefold (refused by file).
const KNOWN: u32 =
    0x2 | 0x40 | 0x80 | 0x100 | 0x200 | 0x400 | 0x2000 | 0x4000 | 0x8000 | 0x1_0000 | 0x2_0000;
const FILE_TYPES: u32 = 0x2;
const WIDE: u32 = 0x80;
const CHECKSUM_SEED: u32 = 0x2000;
const REFUSED: [(u32, Feature); 5] = [
    (0x1, Feature::Compression),
    (0x4, Feature::JournalReplay),
    (0x8, Feature::JournalDevice),
    (0x10, Feature::MetaBlockGroups),
    (!(KNOWN | 0x1D), Feature::Unknown),
];
/// Of the features that only a writer must know.
const METADATA_CHECKSUMS: u32 = 0x400;
const CRC_32C: u8 = 1;

/// A file system in an image.
pub(crate) struct Disk<A> {
    image: Image<A>,
    pub(super) block_bytes: u32,
    blocks: u64,
    first_data_block: u32,
    inodes: u32,
    inodes_per_group: u32,
    inode_bytes: u16,
    descriptor_bytes: u16,
    pub(super) checksum_seed: Checksum,
    /// Blocks that the current call may still read.
    budget: Cell<u32>,
}

impl<A: AddressSpace> Disk<A> {
    /// Returns the file system in an image.
    ///
    /// # Errors
    /// [`FsError::NotExt4`], [`FsError::ImageDamaged`], or [`FsError::Unsupported`] with the
    /// [`Feature`].
    pub(crate) fn load(image: Image<A>) -> Result<Self, Failure> {
        let mut superblock = [0; SUPERBLOCK_BYTES];
        let copied = image.copy(SUPERBLOCK_START, &mut superblock);
        copied.map_err(|_: OutsideImage| FsError::NotExt4)?;
        let bytes = superblock.as_slice();
        let (byte, half, word) = (
            |at| bytes_at(bytes, at).map(|[byte]: [u8; 1]| byte),
            |at| u16_at(bytes, at),
            |at| u32_at(bytes, at),
        );
        if half(0x38)? != MAGIC {
            return Err(FsError::NotExt4.into());
        }
        let features = word(0x60)?;
        if let Some((_, feature)) = REFUSED.into_iter().find(|(bits, _)| features & bits != 0) {
            return Err(feature.into());
        }
        if features & FILE_TYPES == 0 {
            return Err(Feature::NoFileTypes.into());
        }
        if word(0x64)? & METADATA_CHECKSUMS == 0 {
            return Err(Feature::NoChecksums.into());
        }
        let block_bytes = match word(0x18)? {
            shift @ 0..=2 => 1024_u32 << shift,
            3..=6 => return Err(Feature::LargeBlocks.into()),
            _ => return Err(FsError::ImageDamaged.into()),
        };
        let summed = bytes.get(..CHECKSUM_START).unwrap_or_default();
        Checksum::START.with(summed).check(word(CHECKSUM_START)?)?;
        check(byte(0x175)? == CRC_32C)?;
        let seed = if features & CHECKSUM_SEED == 0 {
            Checksum::START.with(&bytes_at::<16>(bytes, 0x68)?)
        } else {
            Checksum::from_value(word(0x270)?)
        };
        let is_wide = features & WIDE != 0;
        let disk = Self {
            block_bytes,
            blocks: joined(if is_wide { word(0x150)? } else { 0 }, word(0x4)?),
            first_data_block: word(0x14)?,
            inodes: word(0)?,
            inodes_per_group: word(0x28)?,
            inode_bytes: half(0x58)?,
            descriptor_bytes: if is_wide { half(0xFE)? } else { 32 },
            checksum_seed: seed,
            budget: Cell::new(0),
            image,
        };
        disk.check()?;
        Ok(disk)
    }

    /// Fails unless the numbers of the superblock can be those of this image.
    fn check(&self) -> Result<(), FsError> {
        let bytes = self.blocks.checked_mul(self.block_bytes.into());
        check(bytes.is_some_and(|bytes| bytes <= self.image.bytes()))?;
        check(self.first_data_block == u32::from(self.block_bytes == 1024))?;
        check(self.inodes_per_group > 0)?;
        check(self.inode_bytes.is_power_of_two() && self.inode_bytes >= 128)?;
        check(u32::from(self.inode_bytes) <= self.block_bytes)?;
        check(matches!(self.descriptor_bytes, 32 | 64..=1024))?;
        check(self.descriptor_bytes.is_power_of_two())
    }

    /// Lets the next call read as many blocks as a call may.
    pub(crate) fn start_call(&self) {
        self.budget.set(CALL_BLOCKS_MAX);
    }

    /// Charges the call for blocks.
    pub(super) fn spend(&self, blocks: u32) -> Result<(), FsError> {
        let left = self.budget.get().checked_sub(blocks).ok_or(FsError::TooManyBlocks)?;
        self.budget.set(left);
        Ok(())
    }

    /// Fails unless all these blocks can hold what files have.
    pub(super) fn check_blocks(&self, start: u64, count: u64) -> Result<(), FsError> {
        let end = start.checked_add(count);
        check(start > self.first_data_block.into() && end.is_some_and(|end| end <= self.blocks))
    }

    /// Reads a block, and returns the bytes of `to` that it has filled.
    pub(super) fn read_block<'a>(
        &self,
        block: u64,
        to: &'a mut Block,
    ) -> Result<&'a [u8], FsError> {
        self.check_blocks(block, 1)?;
        self.spend(1)?;
        let length = usize::try_from(self.block_bytes).unwrap_or(0);
        let to = to.get_mut(..length).ok_or(FsError::ImageDamaged)?;
        self.read_bytes(block, 0, to)?;
        Ok(to)
    }

    /// Copies bytes from `offset` on after the start of a block that was checked and charged.
    fn read_bytes(&self, block: u64, offset: u64, to: &mut [u8]) -> Result<(), FsError> {
        let start = self.start_of(block, offset)?;
        self.image.copy(start, to).map_err(|_: OutsideImage| FsError::ImageDamaged)
    }

    /// Returns the address of bytes from `offset` on after the start of a block that was checked
    /// and charged, with those that follow it.
    pub(super) fn place(&self, block: u64, offset: u64, bytes: u64) -> Result<VirtAddr, FsError> {
        let start = self.start_of(block, offset)?;
        self.image.place(start, bytes).map_err(|_: OutsideImage| FsError::ImageDamaged)
    }

    fn start_of(&self, block: u64, offset: u64) -> Result<u64, FsError> {
        let start = block.checked_mul(self.block_bytes.into());
        start.and_then(|start| start.checked_add(offset)).ok_or(FsError::ImageDamaged)
    }

    /// Fills `to` with an inode, and returns the bytes that it has.
    pub(super) fn read_inode<'a>(
        &self,
        number: u32,
        to: &'a mut Block,
    ) -> Result<&'a [u8], FsError> {
        let index = number.checked_sub(1).ok_or(FsError::ImageDamaged)?;
        check(number <= self.inodes)?;
        let group = index.checked_div(self.inodes_per_group).unwrap_or(0);
        let index = index.checked_rem(self.inodes_per_group).unwrap_or(0);
        let table = self.inode_table(group)?;
        let offset = u64::from(index).saturating_mul(self.inode_bytes.into());
        let block = offset.checked_div(self.block_bytes.into()).unwrap_or(0);
        let block = table.checked_add(block).ok_or(FsError::ImageDamaged)?;
        let start = offset.checked_rem(self.block_bytes.into()).unwrap_or(0);
        let to = to.get_mut(..self.inode_bytes.into()).ok_or(FsError::ImageDamaged)?;
        self.check_blocks(block, 1)?;
        self.spend(1)?;
        self.read_bytes(block, start, to)?;
        Ok(to)
    }

    /// Returns the first block of the inodes of a group.
    fn inode_table(&self, group: u32) -> Result<u64, FsError> {
        let mut descriptor = [0; 1024];
        let length = usize::from(self.descriptor_bytes);
        let descriptor = descriptor.get_mut(..length).ok_or(FsError::ImageDamaged)?;
        let offset = u64::from(group).saturating_mul(self.descriptor_bytes.into());
        self.spend(1)?;
        self.read_bytes(u64::from(self.first_data_block).saturating_add(1), offset, descriptor)?;
        let (before, after) = descriptor.split_at_checked(0x1E).ok_or(FsError::ImageDamaged)?;
        let sum = self.checksum_seed.with(&group.to_le_bytes()).with(before).with(&[0; 2]);
        let sum = sum.with(after.get(2..).unwrap_or_default());
        sum.check_low(u16_at(descriptor, 0x1E)?)?;
        let high = if length > 32 { u32_at(descriptor, 0x28)? } else { 0 };
        Ok(joined(high, u32_at(descriptor, 0x8)?))
    }

    /// Fails unless there is an inode of this number.
    pub(super) fn check_inode_number(&self, number: u32) -> Result<(), FsError> {
        check(1 <= number && number <= self.inodes)
    }
}
