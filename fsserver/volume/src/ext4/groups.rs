// SPDX-License-Identifier: BSD-2-Clause
//! Groups in which no inode was ever used. mke2fs leaves their bitmaps unwritten; the engine, when
//! it uses the first inode, forgets to mark the rest of the block, for which there are no inodes.
//! So the bitmaps are written before the engine is started.

use alloc::vec;

use super::bytes::{joined, set, u16_at, u32_at};
use super::disk::Disk;
use super::superblock::Layout;
use crate::block_device::BlockDevice;
use crate::error::Error;

const FLAGS: usize = 0x12;
const CHECKSUM: usize = 0x1E;
const NO_INODE_BITMAP: u16 = 0x1;

/// Writes the bitmaps of inodes that were not written yet.
pub(super) fn write_bitmaps<D: BlockDevice>(disk: &Disk<D>, layout: &Layout) -> Result<(), Error> {
    let bits = layout.block_bytes.saturating_mul(8);
    if layout.inodes_per_group >= bits {
        return Ok(());
    }
    let mut bitmap = vec![0xFF; usize::try_from(layout.block_bytes).unwrap_or(0)];
    let used = usize::try_from(layout.inodes_per_group >> 3).unwrap_or(0);
    set(&mut bitmap, 0, &vec![0; used]);
    for byte in bitmap.iter_mut().skip(used).take(1) {
        *byte = 0xFF_u8 << (layout.inodes_per_group & 7);
    }
    for group in 0..layout.groups() {
        let start = layout.descriptor_start(group);
        let mut descriptor = vec![0; layout.descriptor_bytes.into()];
        disk.read_bytes(start, &mut descriptor)?;
        let flags = u16_at(&descriptor, FLAGS)?;
        if flags & NO_INODE_BITMAP == 0 {
            continue;
        }
        let is_wide = layout.descriptor_bytes > 32;
        let high = if is_wide { u32_at(&descriptor, 0x24)? } else { 0 };
        disk.overwrite(layout.start_of(joined(high, u32_at(&descriptor, 0x4)?)), &bitmap)?;
        set(&mut descriptor, FLAGS, &(flags & !NO_INODE_BITMAP).to_le_bytes());
        let with = rsext4::crc32c::crc32c_append;
        let seed = layout.checksum_seed;
        let [a, b, c, d] = with(seed, bitmap.get(..used).unwrap_or_default()).to_le_bytes();
        set(&mut descriptor, 0x1A, &[a, b]);
        if is_wide {
            set(&mut descriptor, 0x3A, &[c, d]);
        }
        set(&mut descriptor, CHECKSUM, &[0; 2]);
        let [a, b, ..] = with(with(seed, &group.to_le_bytes()), &descriptor).to_le_bytes();
        set(&mut descriptor, CHECKSUM, &[a, b]);
        disk.patch(start, &descriptor)?;
    }
    Ok(())
}
