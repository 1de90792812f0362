// SPDX-License-Identifier: BSD-2-Clause
//! Inodes: what a file is, how large, and where its blocks are found.

use fsserver_api::{Failure, Feature, FileKind, FileStatus, FsError};
use pmserver_client::AddressSpace;

use super::bytes::{Checksum, bytes_at, check, joined, u16_at, u32_at};
use super::disk::Disk;

/// Bytes of an inode that say where its blocks are, or hold a short symlink.
pub(super) const ROOT_BYTES: usize = 60;
const ENCRYPTED: u32 = 0x800;
const INDEXED: u32 = 0x1000;
const EXTENTS: u32 = 0x8_0000;
const INLINE_DATA: u32 = 0x1000_0000;
const CASEFOLD: u32 = 0x4000_0000;

/// A file or directory. Holding one proves that its checksum was right.
#[derive(Clone)]
pub(crate) struct Inode {
    /// Its number.
    pub(super) number: u32,
    /// What it is.
    pub(crate) kind: FileKind,
    /// How large it is.
    pub(crate) size_bytes: u64,
    links: u32,
    modified_seconds: u32,
    changed_seconds: u32,
    flags: u32,
    /// Where its blocks are.
    pub(super) root: [u8; ROOT_BYTES],
    /// What the checksums of its blocks begin with.
    pub(super) seed: Checksum,
}

impl Inode {
    /// Reads an inode.
    pub(super) fn read<A: AddressSpace>(disk: &Disk<A>, number: u32) -> Result<Self, FsError> {
        let mut buffer = [0; 4096];
        let bytes = disk.read_inode(number, &mut buffer)?;
        let generation = bytes_at::<4>(bytes, 0x64)?;
        let seed = disk.checksum_seed.with(&number.to_le_bytes()).with(&generation);
        check_checksum(bytes, seed)?;
        let kind = match u16_at(bytes, 0)? >> 12 {
            0x8 => FileKind::Regular,
            0x4 => FileKind::Directory,
            0xA => FileKind::Symlink,
            0x1 | 0x2 | 0x6 | 0xC => FileKind::Special,
            _ => return Err(FsError::ImageDamaged),
        };
        let size_bytes = joined(u32_at(bytes, 0x6C)?, u32_at(bytes, 0x4)?);
        // Blocks of a file are numbered by 32 bits.
        let blocks = size_bytes.div_ceil(disk.block_bytes.into());
        check(blocks <= u64::from(u32::MAX))?;
        let (flags, root) = (u32_at(bytes, 0x20)?, bytes_at(bytes, 0x28)?);
        let links = u16_at(bytes, 0x1A)?.into();
        let (modified_seconds, changed_seconds) = (u32_at(bytes, 0x10)?, u32_at(bytes, 0xC)?);
        Ok(Self {
            number,
            kind,
            size_bytes,
            links,
            modified_seconds,
            changed_seconds,
            flags,
            root,
            seed,
        })
    }

    /// Returns its number, which no other file of the image has.
    pub(crate) const fn number(&self) -> u32 {
        self.number
    }

    /// Returns what clients are told of it.
    pub(crate) const fn status(&self) -> FileStatus {
        let Self { kind, size_bytes, links, modified_seconds, changed_seconds, .. } = *self;
        FileStatus { kind, links, size_bytes, modified_seconds, changed_seconds }
    }

    /// Fails if the contents cannot be read.
    pub(super) fn check_readable(&self) -> Result<(), Failure> {
        let refused = [(ENCRYPTED, Feature::Encryption), (INLINE_DATA, Feature::InlineData)];
        match refused.into_iter().find(|(flag, _)| self.flags & flag != 0) {
            Some((_, feature)) => Err(feature.into()),
            None if self.flags & CASEFOLD != 0 && self.kind == FileKind::Directory => {
                Err(Feature::Casefold.into())
            }
            None => Ok(()),
        }
    }

    /// Returns whether its blocks are found by extents, not by a block map.
    pub(super) const fn has_extents(&self) -> bool {
        self.flags & EXTENTS != 0
    }

    /// Returns whether it is a directory with an index.
    pub(super) const fn is_indexed(&self) -> bool {
        self.flags & INDEXED != 0
    }
}

/// Checks the checksum of an inode, of which the upper half is in its second 128 bytes, if those
/// reach so far.
fn check_checksum(bytes: &[u8], seed: Checksum) -> Result<(), FsError> {
    const LOW: usize = 0x7C;
    const HIGH: usize = 0x82;
    let has_high = bytes.len() > 128 && u16_at(bytes, 0x80)? >= 4;
    let part = |from, to| bytes.get(from..to).unwrap_or_default();
    let sum = seed.with(part(0, LOW)).with(&[0; 2]);
    let low = u16_at(bytes, LOW)?;
    if has_high {
        let sum = sum.with(part(LOW.saturating_add(2), HIGH)).with(&[0; 2]);
        let sum = sum.with(part(HIGH.saturating_add(2), bytes.len()));
        sum.check(u32::from(u16_at(bytes, HIGH)?) << 16 | u32::from(low))
    } else {
        sum.with(part(LOW.saturating_add(2), bytes.len())).check_low(low)
    }
}
