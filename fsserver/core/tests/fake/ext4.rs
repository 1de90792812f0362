// SPDX-License-Identifier: BSD-2-Clause
//! Changes an image, and makes the checksums right again: then only what the reader checks beyond
//! them is in the way. Written from the kernel's documentation of the format.

use std::path::PathBuf;
use std::process::Command;

use super::image::Folder;

/// An image that is being changed.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    path: PathBuf,
}

pub(crate) fn crc(sum: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(sum, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 { sum >> 1 ^ 0x82F6_3B78 } else { sum >> 1 }
        })
    })
}

fn tool(name: &str, arguments: &[&str], image: &PathBuf) -> String {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let output = Command::new(name).env("PATH", path).args(arguments).arg(image).output();
    String::from_utf8_lossy(&output.expect("e2fsprogs is installed").stdout).into_owned()
}

impl Image {
    /// Makes the image of a folder.
    pub(crate) fn new(folder: &Folder, options: &[&str]) -> Self {
        Self { bytes: folder.image_with(options), path: folder.0.join("changed") }
    }

    /// Runs a tool of e2fsprogs on it and returns what that prints.
    pub(crate) fn run(&mut self, name: &str, arguments: &[&str]) -> String {
        std::fs::write(&self.path, &self.bytes).unwrap();
        let printed = tool(name, arguments, &self.path);
        self.bytes = std::fs::read(&self.path).unwrap();
        printed
    }

    /// Lets debugfs change it.
    pub(crate) fn debugfs(&mut self, command: &str) -> String {
        self.run("debugfs", &["-w", "-R", command])
    }

    /// Lets e2fsck give large directories an index.
    pub(crate) fn index(&mut self) {
        self.run("e2fsck", &["-fyD"]);
    }

    pub(crate) fn get(&self, at: usize, bytes: usize) -> u64 {
        self.bytes[at..at + bytes].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    pub(crate) fn set(&mut self, at: usize, bytes: usize, value: u64) {
        self.bytes[at..at + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
    }

    pub(crate) fn block_bytes(&self) -> usize {
        1024 << self.get(1024 + 24, 4)
    }

    /// Returns the number of a file's inode.
    pub(crate) fn inode(&mut self, path: &str) -> u32 {
        let printed = self.debugfs(&format!("stat {path}"));
        let rest = printed.split("Inode:").nth(1).expect("the file is there").trim_start();
        rest.split(' ').next().unwrap().parse().unwrap()
    }

    /// Returns where in the image a block of a file is.
    pub(crate) fn block(&mut self, path: &str, block: u32) -> usize {
        let printed = self.debugfs(&format!("bmap {path} {block}"));
        let number = printed.split_whitespace().next().expect("the block is there");
        number.parse::<usize>().unwrap() * self.block_bytes()
    }

    /// Returns where in the image an inode is.
    pub(crate) fn inode_at(&self, inode: u32) -> usize {
        let (group_inodes, inode_bytes) = (self.get(1024 + 40, 4), self.get(1024 + 88, 2));
        let index = u64::from(inode) - 1;
        let is_wide = self.get(1024 + 0x60, 4) & 0x80 != 0;
        let descriptor_bytes = if is_wide { self.get(1024 + 0xFE, 2) } else { 32 };
        let descriptors = (self.get(1024 + 20, 4) + 1) * self.block_bytes() as u64;
        let descriptor = descriptors + index / group_inodes * descriptor_bytes;
        let table = self.get(descriptor as usize + 8, 4) * self.block_bytes() as u64;
        (table + index % group_inodes * inode_bytes) as usize
    }

    /// Returns what the checksums of an inode's blocks begin with.
    pub(crate) fn seed(&self, inode: u32) -> u32 {
        let of_image = if self.get(1024 + 0x60, 4) & 0x2000 != 0 {
            self.get(1024 + 0x270, 4) as u32
        } else {
            crc(u32::MAX, &self.bytes[1024 + 0x68..1024 + 0x78])
        };
        let at = self.inode_at(inode);
        crc(crc(of_image, &inode.to_le_bytes()), &self.bytes[at + 0x64..at + 0x68])
    }

    /// Makes the checksum of an inode of 256 bytes right.
    pub(crate) fn fix_inode(&mut self, inode: u32) {
        let at = self.inode_at(inode);
        self.set(at + 0x7C, 2, 0);
        self.set(at + 0x82, 2, 0);
        let sum = crc(self.seed(inode), &self.bytes[at..at + 256]);
        self.set(at + 0x7C, 2, u64::from(sum & 0xFFFF));
        self.set(at + 0x82, 2, u64::from(sum >> 16));
    }

    /// Makes the checksum of a node of extents right.
    pub(crate) fn fix_extents(&mut self, inode: u32, at: usize) {
        let end = at + 12 + 12 * self.get(at + 4, 2) as usize;
        let sum = crc(self.seed(inode), &self.bytes[at..end]);
        self.set(end, 4, sum.into());
    }

    /// Makes the checksum of a block of directory entries right.
    pub(crate) fn fix_entries(&mut self, inode: u32, at: usize) {
        let end = at + self.block_bytes();
        let sum = crc(self.seed(inode), &self.bytes[at..end - 12]);
        self.set(end - 4, 4, sum.into());
    }

    /// Returns where the first node of extents below the inode is that has no nodes below it.
    pub(crate) fn leaf(&self, inode: u32) -> usize {
        let mut node = self.inode_at(inode) + 0x28;
        while self.get(node + 6, 2) > 0 {
            node = self.get(node + 12 + 4, 4) as usize * self.block_bytes();
        }
        node
    }

    /// Makes the checksum of the superblock right.
    pub(crate) fn fix_superblock(&mut self) {
        let sum = crc(u32::MAX, &self.bytes[1024..1024 + 0x3FC]);
        self.set(1024 + 0x3FC, 4, sum.into());
    }
}
