// SPDX-License-Identifier: BSD-2-Clause
//! Finds files in the image, and protects the ext4 reader from damaged images.
//!
//! The reader checks what it reads, but trusts the sizes in the superblock and allocates by them.
//! So [`Volume::load`] looks at the superblock first. It refuses what the heap could not hold
//! (`heap.rs` has the sum) and what cannot be checked:
//! - blocks above 4 KiB, more than 4096 block groups, an image that is cut off;
//! - an image without metadata checksums: without them, damage cannot be detected;
//! - an image whose journal must be replayed: it was not unmounted, and is inconsistent.
//!
//! Two defects of the reader itself remain (ext4-view 1.0.0). Images that mke2fs makes from a
//! folder provoke neither. Damage in the index block of an indexed directory makes it panic, from
//! which fsserver recovers as from any fault. And it returns the contents of extents that are
//! allocated but not written.

use alloc::boxed::Box;

use ext4_view::{Ext4, Ext4Error, File, FileType, Path, ReadDir};
use fsserver_api::{FileKind, FileStatus, FsError};
use pmserver_client::AddressSpace;

use crate::image::{Image, OutsideImage};

const SUPERBLOCK_START: u64 = 1024;
const SUPERBLOCK_MAGIC: u16 = 0xEF53;
const BLOCK_BYTES_MIN: u64 = 1024;
const BLOCK_BYTES_MAX: u64 = 4096;
const GROUPS_MAX: u64 = 4096;
/// Feature bit `needs_recovery` of the incompatible features.
const INCOMPATIBLE_RECOVERY: u32 = 0x4;
/// Feature bit `metadata_csum` of the features that only a writer must support.
const READ_ONLY_METADATA_CHECKSUMS: u32 = 0x400;

/// A file system that can be read.
pub(crate) struct Volume(Ext4);

/// What a path leads to.
pub(crate) enum Node {
    /// A regular file.
    File(File),
    /// A directory.
    Directory(ReadDir),
    /// Anything else: it has a kind and a size, and cannot be read.
    Other,
}

impl Volume {
    /// Returns the file system in the image.
    pub(crate) fn load<A: AddressSpace + 'static>(image: Image<A>) -> Result<Self, FsError> {
        check_superblock(&image)?;
        Ext4::load(Box::new(image)).map(Self).map_err(of_reader)
    }

    /// Opens what a path leads to. A symlink is followed unless it is the last component, and never
    /// leads out of the image.
    pub(crate) fn open(&self, path: Path<'_>) -> Result<(Node, FileStatus), FsError> {
        let metadata = self.0.symlink_metadata(path).map_err(of_reader)?;
        let kind = kind_of(metadata.file_type());
        let node = match kind {
            FileKind::Regular => Node::File(self.0.open(path).map_err(of_reader)?),
            FileKind::Directory => Node::Directory(self.0.read_dir(path).map_err(of_reader)?),
            FileKind::Symlink | FileKind::Special => Node::Other,
        };
        Ok((node, FileStatus { kind, size_bytes: metadata.len() }))
    }
}

/// Returns the kind that fsserver reports for a type of file.
pub(crate) fn kind_of(file_type: FileType) -> FileKind {
    match file_type {
        FileType::Regular => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::BlockDevice | FileType::CharacterDevice | FileType::Fifo | FileType::Socket => {
            FileKind::Special
        }
    }
}

/// Returns the error that fsserver reports for an error of the ext4 reader.
pub(crate) fn of_reader(error: Ext4Error) -> FsError {
    match error {
        Ext4Error::NotFound => FsError::NotFound,
        Ext4Error::IsADirectory => FsError::IsADirectory,
        Ext4Error::NotADirectory => FsError::NotADirectory,
        Ext4Error::NotAbsolute | Ext4Error::MalformedPath => FsError::BadPath,
        Ext4Error::PathTooLong => FsError::PathTooLong,
        Ext4Error::Io(_) | Ext4Error::Corrupt(_) => FsError::ImageDamaged,
        // Symlink loops, devices, encryption, features that the reader does not know.
        _ => FsError::Unsupported,
    }
}

fn check_superblock<A: AddressSpace>(image: &Image<A>) -> Result<(), FsError> {
    let word = |offset: u64| -> Result<u32, FsError> {
        let mut bytes = [0; 4];
        image
            .copy(SUPERBLOCK_START.saturating_add(offset), &mut bytes)
            .map_err(|_: OutsideImage| FsError::ImageDamaged)?;
        Ok(u32::from_le_bytes(bytes))
    };
    let [magic_low, magic_high, ..] = word(0x38)?.to_le_bytes();
    if u16::from_le_bytes([magic_low, magic_high]) != SUPERBLOCK_MAGIC {
        return Err(FsError::ImageDamaged);
    }
    let recovers = word(0x60)? & INCOMPATIBLE_RECOVERY != 0;
    let has_checksums = word(0x64)? & READ_ONLY_METADATA_CHECKSUMS != 0;
    if recovers || !has_checksums {
        return Err(FsError::Unsupported);
    }
    let block_bytes = BLOCK_BYTES_MIN.checked_shl(word(0x18)?).unwrap_or(0);
    if !(BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX).contains(&block_bytes) {
        return Err(FsError::Unsupported);
    }
    let (low, high) = (u64::from(word(0x4)?), u64::from(word(0x150)?));
    let blocks = low | high << 32;
    let bytes = blocks.checked_mul(block_bytes).ok_or(FsError::ImageDamaged)?;
    let blocks_per_group = u64::from(word(0x20)?);
    if bytes > image.bytes() || blocks_per_group == 0 {
        return Err(FsError::ImageDamaged);
    }
    if blocks.div_ceil(blocks_per_group) > GROUPS_MAX {
        return Err(FsError::Unsupported);
    }
    Ok(())
}
