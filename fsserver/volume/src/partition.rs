// SPDX-License-Identifier: BSD-2-Clause
//! Finds the file system on a disk: on all of it, or in a partition (MBR or GPT).
//!
//! The tables are those of the crate `gpt_disk_types`, which has both and allocates nothing. Its
//! companion `gpt_disk_io` asks for an interface of its own to the disk for what are three reads
//! here; `mbr-nostd` refuses a table if one of its partitions has a kind that it does not know.

use alloc::vec;
use core::mem::size_of;
use core::ops::Range;

use gpt_disk_types::{
    BlockSize, GptHeader, GptPartitionEntry, GptPartitionEntryArray, MasterBootRecord,
    MbrPartitionRecord,
};

use crate::block_device::{BLOCK_BYTES, BlockDevice, DeviceError};
use crate::error::Error;

/// The signature at the end of a boot sector.
const SIGNATURE: [u8; 2] = [0x55, 0xAA];
/// The kind of the one partition in the MBR of a disk that has a GPT.
const PROTECTIVE: u8 = 0xEE;
/// The kinds of a partition that has a table of its own.
const EXTENDED: [u8; 3] = [0x05, 0x0F, 0x85];
/// Partitions in extended ones, at most.
const LOGICAL_MAX: u32 = 128;
/// Bytes of the entries of a GPT, at most: tools make 16 KiB.
const ENTRIES_BYTES_MAX: u64 = 128 << 10;

/// Returns which blocks of a disk have a file system: all, or those of the first partition that has
/// one. The kinds of partitions are not asked, only what is in them.
///
/// # Errors
/// [`Error::NotExt4`] if there is none, [`Error::Io`].
pub fn find(disk: &mut impl BlockDevice) -> Result<Range<u64>, Error> {
    let all = 0..disk.blocks();
    if has_ext4(disk, &all)? {
        return Ok(all);
    }
    let table = boot_record(disk, 0)?.ok_or(Error::NotExt4)?;
    if table.partitions.iter().any(|partition| partition.os_indicator == PROTECTIVE) {
        let last = all.end.saturating_sub(1);
        let found = find_in_gpt(disk, 1)?;
        return found.map_or_else(|| find_in_gpt(disk, last)?.ok_or(Error::NotExt4), Ok);
    }
    for partition in table.partitions {
        let blocks = blocks_of(&partition, 0);
        let found = if EXTENDED.contains(&partition.os_indicator) {
            find_logical(disk, blocks.start)?
        } else {
            Some(blocks)
        };
        if let Some(found) = found.filter(|found| fits(found, &all))
            && has_ext4(disk, &found)?
        {
            return Ok(found);
        }
    }
    Err(Error::NotExt4)
}

/// Finds a file system in the partitions of an extended one: each has a table that names it and
/// the next table.
fn find_logical(disk: &mut impl BlockDevice, first: u64) -> Result<Option<Range<u64>>, Error> {
    let all = 0..disk.blocks();
    let mut at = first;
    for _ in 0..LOGICAL_MAX {
        let Some(table) = boot_record(disk, at)? else { return Ok(None) };
        let [partition, next, ..] = table.partitions;
        let blocks = blocks_of(&partition, at);
        if fits(&blocks, &all) && has_ext4(disk, &blocks)? {
            return Ok(Some(blocks));
        }
        let next = blocks_of(&next, first);
        if next.is_empty() || next.start == first {
            return Ok(None);
        }
        at = next.start;
    }
    Ok(None)
}

fn find_in_gpt(disk: &mut impl BlockDevice, at: u64) -> Result<Option<Range<u64>>, Error> {
    let all = 0..disk.blocks();
    let Some(block) = read_block(disk, at)? else { return Ok(None) };
    let bytes = block.get(..size_of::<GptHeader>()).unwrap_or_default();
    let Ok(header) = bytemuck::try_pod_read_unaligned::<GptHeader>(bytes) else { return Ok(None) };
    let is_header = header.is_signature_valid()
        && header.header_size.to_u32() == 92
        && header.my_lba.to_u64() == at
        && header.calculate_header_crc32() == header.header_crc32;
    let layout = header.get_partition_entry_array_layout().ok().filter(|_| is_header);
    let Some(layout) = layout else { return Ok(None) };
    let bytes = layout.num_bytes_rounded_to_block(BlockSize::BS_512);
    let bytes = bytes.filter(|bytes| *bytes <= ENTRIES_BYTES_MAX).unwrap_or(0);
    let start = layout.start_lba.to_u64();
    if bytes == 0 || !fits(&(start..start.saturating_add(bytes >> 9)), &all) {
        return Ok(None);
    }
    let mut entries = vec![0; usize::try_from(bytes).unwrap_or(0)];
    disk.read(start, &mut entries).map_err(|_: DeviceError| Error::Io)?;
    let Ok(array) = GptPartitionEntryArray::new(layout, BlockSize::BS_512, &mut entries) else {
        return Ok(None);
    };
    if array.calculate_crc32() != header.partition_entry_array_crc32 {
        return Ok(None);
    }
    for index in 0..layout.num_entries {
        let Some(blocks) = array.get_partition_entry(index).and_then(blocks_of_entry) else {
            continue;
        };
        if fits(&blocks, &all) && has_ext4(disk, &blocks)? {
            return Ok(Some(blocks));
        }
    }
    Ok(None)
}

fn blocks_of_entry(entry: &GptPartitionEntry) -> Option<Range<u64>> {
    let (first, last) = (entry.starting_lba.to_u64(), entry.ending_lba.to_u64());
    entry.is_used().then_some(first..last.checked_add(1)?)
}

fn blocks_of(record: &MbrPartitionRecord, from: u64) -> Range<u64> {
    let start = from.saturating_add(record.starting_lba.to_u32().into());
    start..start.saturating_add(record.size_in_lba.to_u32().into())
}

fn fits(part: &Range<u64>, all: &Range<u64>) -> bool {
    part.start > 0 && part.start < part.end && part.end <= all.end
}

/// Returns the table of partitions in a block, if it has one.
fn boot_record(disk: &mut impl BlockDevice, at: u64) -> Result<Option<MasterBootRecord>, Error> {
    let block = read_block(disk, at)?.filter(|block| block.ends_with(&SIGNATURE));
    Ok(block.and_then(|block| bytemuck::try_pod_read_unaligned(&block).ok()))
}

fn read_block(disk: &mut impl BlockDevice, at: u64) -> Result<Option<[u8; BLOCK_BYTES]>, Error> {
    if at >= disk.blocks() {
        return Ok(None);
    }
    let mut block = [0; BLOCK_BYTES];
    disk.read(at, &mut block).map_err(|_: DeviceError| Error::Io)?;
    Ok(Some(block))
}

/// Returns whether these blocks begin with an ext4 file system.
fn has_ext4(disk: &mut impl BlockDevice, blocks: &Range<u64>) -> Result<bool, Error> {
    let superblock = blocks.start.saturating_add(2);
    let block = if superblock < blocks.end { read_block(disk, superblock)? } else { None };
    Ok(block.is_some_and(|block| block.get(0x38..0x3A) == Some(&[0x53, 0xEF])))
}

/// A part of a disk.
pub struct Part<D> {
    disk: D,
    blocks: Range<u64>,
}

impl<D: BlockDevice> Part<D> {
    /// Returns these blocks of a disk, as far as it has them.
    pub fn new(disk: D, blocks: Range<u64>) -> Self {
        let end = blocks.end.min(disk.blocks());
        Self { blocks: blocks.start.min(end)..end, disk }
    }

    /// Returns the address on the disk of this many bytes, if they are in the part.
    fn place(&self, first: u64, bytes: usize) -> Result<u64, DeviceError> {
        let count = u64::try_from(bytes.div_ceil(BLOCK_BYTES)).unwrap_or(u64::MAX);
        let start = self.blocks.start.checked_add(first).ok_or(DeviceError)?;
        let end = start.checked_add(count).ok_or(DeviceError)?;
        if end <= self.blocks.end { Ok(start) } else { Err(DeviceError) }
    }
}

impl<D: BlockDevice> BlockDevice for Part<D> {
    fn blocks(&self) -> u64 {
        self.blocks.end.saturating_sub(self.blocks.start)
    }

    fn is_read_only(&self) -> bool {
        self.disk.is_read_only()
    }

    fn read(&mut self, first: u64, to: &mut [u8]) -> Result<(), DeviceError> {
        let place = self.place(first, to.len())?;
        self.disk.read(place, to)
    }

    fn write(&mut self, first: u64, from: &[u8]) -> Result<(), DeviceError> {
        let place = self.place(first, from.len())?;
        self.disk.write(place, from)
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        self.disk.flush()
    }
}
