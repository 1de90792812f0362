// SPDX-License-Identifier: BSD-2-Clause
//! Bytes as changes of an image of which all checksums are right.

use super::Machine;
use super::ext4::crc;
use super::walk::walk;

/// Images of 72 KiB, made by mke2fs: one with extents, one with lists of blocks.
const BASES: [&[u8]; 2] = [include_bytes!("extents.img"), include_bytes!("lists.img")];
/// A change: its address in half-words, and four bytes.
const CHANGE_BYTES: usize = 6;
/// As many as one input makes at most.
const CHANGES_MAX: usize = 64;
/// More than such an image has.
const INODES_MAX: u64 = 64;
const BLOCKS_MAX: usize = 64;

/// Reads all that a changed image has.
pub(crate) fn serve(bytes: &[u8]) {
    let Some((base, changes)) = bytes.split_first() else { return };
    let machine = Machine::new(changed(base_of(*base), changes));
    if machine.server().is_ok() {
        walk(&machine);
    }
}

pub(crate) fn base_of(byte: u8) -> &'static [u8] {
    BASES[usize::from(byte) % BASES.len()]
}

/// Changes an image as the bytes say, and makes its checksums right.
pub(crate) fn changed(base: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut image = Changed(base.to_vec());
    for change in changes.as_chunks::<CHANGE_BYTES>().0.iter().take(CHANGES_MAX) {
        let [low, high, value @ ..] = *change;
        let at = 2 * u64::from(u16::from_le_bytes([low, high]));
        image.set(at, 4, u32::from_le_bytes(value).into());
    }
    image.repair();
    image.0
}

/// An image in which any number may be wrong. What is outside of it reads as zero.
struct Changed(Vec<u8>);

impl Changed {
    fn slice(&self, at: u64, bytes: u64) -> &[u8] {
        let (start, end) = (at as usize, at.saturating_add(bytes) as usize);
        self.0.get(start..end).unwrap_or_default()
    }

    fn get(&self, at: u64, bytes: u64) -> u64 {
        self.slice(at, bytes).iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    fn set(&mut self, at: u64, bytes: usize, value: u64) {
        if let Some(to) = self.0.get_mut(at as usize..at.saturating_add(bytes as u64) as usize) {
            to.copy_from_slice(&value.to_le_bytes()[..bytes]);
        }
    }

    fn has(&self, features: u64) -> bool {
        self.get(1024 + 0x60, 4) & features != 0
    }

    fn block_bytes(&self) -> u64 {
        1024 << (self.get(1024 + 24, 4) & 3)
    }

    fn repair(&mut self) {
        let seed = if self.has(0x2000) {
            self.get(1024 + 0x270, 4) as u32
        } else {
            crc(u32::MAX, self.slice(1024 + 0x68, 16))
        };
        let descriptor = (self.get(1024 + 20, 4) + 1).saturating_mul(self.block_bytes());
        let table = self.get(descriptor + 8, 4) * self.block_bytes();
        let inode_bytes = self.get(1024 + 88, 2);
        for index in 0..self.get(1024, 4).min(INODES_MAX) {
            let number = index as u32 + 1;
            self.repair_inode(crc(seed, &number.to_le_bytes()), table + index * inode_bytes);
        }
        let bytes = if self.has(0x80) { self.get(1024 + 0xFE, 2) } else { 32 };
        self.set(descriptor + 0x1E, 2, 0);
        let sum = crc(crc(seed, &[0; 4]), self.slice(descriptor, bytes));
        self.set(descriptor + 0x1E, 2, sum.into());
        let sum = crc(u32::MAX, self.slice(1024, 0x3FC));
        self.set(1024 + 0x3FC, 4, sum.into());
    }

    /// Makes an inode's checksum right, and those of its extents and entries.
    fn repair_inode(&mut self, seed: u32, at: u64) {
        let seed = crc(seed, self.slice(at + 0x64, 4));
        let mut blocks = Vec::new();
        if self.get(at + 0x20, 4) & 0x8_0000 != 0 {
            self.repair_extents(seed, at + 0x28, 0, &mut blocks);
        } else {
            blocks.extend((0..12).map(|index| self.get(at + 0x28 + 4 * index, 4)));
        }
        let is_directory = self.get(at, 2) & 0xF000 == 0x4000;
        for block in blocks.into_iter().filter(|block| is_directory && *block > 0) {
            let start = block.saturating_mul(self.block_bytes());
            let end = start.saturating_add(self.block_bytes());
            let sum = crc(seed, self.slice(start, self.block_bytes() - 12));
            self.set(end.saturating_sub(4), 4, sum.into());
        }
        let bytes = self.get(1024 + 88, 2);
        if self.slice(at, bytes).iter().all(|byte| *byte == 0) {
            return;
        }
        let has_upper_half = bytes > 128 && self.get(at + 0x80, 2) >= 4;
        self.set(at + 0x7C, 2, 0);
        if has_upper_half {
            self.set(at + 0x82, 2, 0);
        }
        let sum = u64::from(crc(seed, self.slice(at, bytes)));
        self.set(at + 0x7C, 2, sum);
        if has_upper_half {
            self.set(at + 0x82, 2, sum >> 16);
        }
    }

    /// Finds the blocks of a tree of extents, and makes the checksums of its nodes right.
    fn repair_extents(&mut self, seed: u32, node: u64, level: u32, blocks: &mut Vec<u64>) {
        for index in 0..self.get(node + 2, 2) {
            let entry = node + 12 + 12 * index;
            if blocks.len() >= BLOCKS_MAX || level > 5 {
                return;
            }
            if self.get(node + 6, 2) == 0 {
                let (start, length) = (self.get(entry + 8, 4), self.get(entry + 4, 2));
                let room = BLOCKS_MAX.saturating_sub(blocks.len());
                blocks.extend((start..start + length).take(room));
            } else {
                blocks.push(0);
                let below = self.get(entry + 4, 4).saturating_mul(self.block_bytes());
                self.repair_extents(seed, below, level + 1, blocks);
            }
        }
        if level > 0 {
            let end = 12 + 12 * self.get(node + 4, 2);
            let sum = crc(seed, self.slice(node, end));
            self.set(node + end, 4, sum.into());
        }
    }
}
