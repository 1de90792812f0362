// SPDX-License-Identifier: BSD-2-Clause
//! An image whose checksums are right is read exactly, or refused, at a bounded cost (FS-2, FS-9).
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // A test may fail by panicking.

mod fake;

use std::fs::File;
use std::os::unix::fs::{FileExt, symlink};
use std::time::{Duration, Instant};

use fake::ext4::Image;
use fake::image::{Folder, noise};
use fake::{Fs, Machine};
use fsserver_api::{
    CallError, Client, DirectoryCookie, Failure, Feature, FileHandle, FsError, ReadLength,
};
use pmserver_api::{ContainerHandle, Rights};
use proto::{FrameCount, FrameNumber};

const RIGHTS: Rights = Rights::READ.union(Rights::WRITE).union(Rights::LOCK);
const DAMAGED: Failure = Failure { error: FsError::ImageDamaged, detail: 0 };
/// Many times what any call takes, whatever the image.
const LONG: Duration = Duration::from_millis(500);

/// fsserver with an image.
struct Served {
    machine: Machine,
    fs: Client<Fs>,
    weak: ContainerHandle,
}

impl Served {
    fn new(image: &Image) -> Self {
        let machine = Machine::new(image.bytes.clone());
        let (fs, weak) = (machine.fs(), machine.lend(256, RIGHTS));
        Self { machine, fs, weak }
    }

    fn open(&mut self, path: &str) -> Result<FileHandle, Failure> {
        self.machine.write(self.weak, 0, path.as_bytes());
        self.timed(|served| served.fs.lookup(served.weak, path.len()))
    }

    fn timed<R>(
        &mut self,
        call: impl FnOnce(&mut Self) -> Result<R, CallError>,
    ) -> Result<R, Failure> {
        let start = Instant::now();
        let result = call(self);
        assert!(start.elapsed() < LONG, "a call took {:?}", start.elapsed());
        self.machine.assert_at_rest();
        result.map_err(|error| match error {
            CallError::Refused(failure) => failure,
            CallError::Protocol(error) => unreachable!("{error}"),
        })
    }

    fn read_at(&mut self, path: &str, offset: u64) -> Result<Vec<u8>, Failure> {
        let file = self.open(path)?;
        let (start, length) = (FrameNumber::new(0), ReadLength::new(1 << 20).unwrap());
        let bytes = self.timed(|served| {
            let bytes = served.fs.read(file, served.weak, offset, start, length);
            served.fs.close(file)?;
            bytes
        })?;
        Ok(self.machine.read(self.weak, bytes as usize))
    }

    fn list(&mut self, path: &str) -> Result<u64, Failure> {
        let directory = self.open(path)?;
        let frames = FrameCount::new(256).unwrap();
        self.timed(|served| {
            served.fs.read_dir(directory, served.weak, frames, DirectoryCookie::START)
        })
        .map(|listed| listed.bytes)
    }
}

fn read(image: &Image, path: &str) -> Result<Vec<u8>, Failure> {
    Served::new(image).read_at(path, 0)
}

/// A file in which every second block is a hole: a hundred extents, in a leaf below the inode.
fn comb() -> (Folder, Image, Vec<u8>) {
    let folder = Folder::new();
    folder.write("comb", &[]);
    let file = File::options().write(true).open(folder.files().join("comb")).unwrap();
    let mut contents = vec![0; 199 * 1024];
    for index in 0..100 {
        let block = noise(1024, index);
        contents[index as usize * 2048..][..1024].copy_from_slice(&block);
        file.write_all_at(&block, index * 2048).unwrap();
    }
    let image = Image::new(&folder, &["-b", "1024"]);
    (folder, image, contents)
}

#[test]
fn fs_9_a_symlink_is_no_longer_than_a_block() {
    let folder = Folder::new();
    folder.write("d/file", b"contents");
    symlink("d", folder.files().join("short")).unwrap();
    symlink(format!("{}d", "./".repeat(200)), folder.files().join("long")).unwrap();
    let original = Image::new(&folder, &["-b", "4096"]);
    for size in [0, 4097, 1 << 26, 1 << 40, u64::MAX] {
        for link in ["short", "long"] {
            let mut image = original.clone();
            assert_eq!(read(&image, &format!("/{link}/file")).unwrap(), b"contents");
            image.debugfs(&format!("set_inode_field /{link} size {size}"));
            assert_eq!(read(&image, &format!("/{link}/file")), Err(DAMAGED), "{link} {size}");
        }
    }
    // Longer than the inode and without a block.
    let mut image = original;
    image.debugfs("set_inode_field /short size 60");
    assert_eq!(read(&image, "/short/file"), Err(DAMAGED));
}

#[test]
fn fs_9_extents_are_in_order_and_do_not_overlap() {
    let (_folder, image, contents) = comb();
    assert!(read(&image, "/comb").unwrap() == contents);
    let changes: [fn(&mut Image, usize); 7] = [
        // Two extents are swapped.
        |image, leaf| {
            let second = image.bytes[leaf + 24..leaf + 36].to_vec();
            image.bytes.copy_within(leaf + 12..leaf + 24, leaf + 24);
            image.bytes[leaf + 12..leaf + 24].copy_from_slice(&second);
        },
        // The first one is as long as five.
        |image, leaf| image.set(leaf + 16, 2, 5),
        // It has no blocks.
        |image, leaf| image.set(leaf + 16, 2, 0),
        // It begins before the leaf.
        |image, leaf| image.set(leaf + 12, 4, 5000),
        // It is not in the image.
        |image, leaf| image.set(leaf + 20, 4, 1 << 31),
        // It is the superblock.
        |image, leaf| image.set(leaf + 20, 4, 1),
        // The leaf has no entries.
        |image, leaf| image.set(leaf + 2, 2, 0),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut changed = image.clone();
        let inode = changed.inode("/comb");
        let leaf = changed.leaf(inode);
        change(&mut changed, leaf);
        changed.fix_extents(inode, leaf);
        assert_eq!(read(&changed, "/comb"), Err(DAMAGED), "change {number}");
    }
}

#[test]
fn fs_9_an_extent_that_was_not_written_is_zeros() {
    let folder = Folder::new();
    folder.write("other", b"contents");
    for block_bytes in ["1024", "4096"] {
        let mut image = Image::new(&folder, &["-b", block_bytes]);
        image.debugfs("write /dev/null f");
        image.debugfs("fallocate f 0 15");
        image.debugfs("set_inode_field f size 16000");
        for block in 0..15 {
            let at = image.block("f", block);
            image.bytes[at..at + 10].copy_from_slice(b"OLD SECRET");
        }
        assert!(read(&image, "/f").unwrap() == [0; 16_000]);
        assert_eq!(read(&image, "/other").unwrap(), b"contents");
    }
}

/// A tree of extents in which all entries of a level lead to the same node.
fn with_tree_of(levels: usize, entries: u64) -> (Folder, Image) {
    let folder = Folder::new();
    folder.write("file", &[7; 4096 * 8]);
    let mut image = Image::new(&folder, &["-b", "4096"]);
    let inode = image.inode("/file");
    let blocks: Vec<usize> = (0..8).map(|block| image.block("/file", block)).collect();
    let node = |image: &mut Image, at: usize, level: usize, most: u64, entries: u64| {
        image.bytes[at..at + 12 + 12 * entries as usize].fill(0);
        for (field, value) in [(0, 0xF30A), (2, entries), (4, most), (6, level as u64)] {
            image.set(at + field, 2, value);
        }
        for entry in 1..=entries as usize {
            if level > 0 {
                let below = (blocks[level - 1] / 4096) as u64;
                image.set(at + 12 * entry + 4, 4, below);
            }
            // The entries of a leaf stay as they are: extents of no blocks.
        }
    };
    for (level, block) in blocks.iter().enumerate().take(levels) {
        node(&mut image, *block, level, 340, entries);
        image.fix_extents(inode, *block);
    }
    let at = image.inode_at(inode);
    node(&mut image, at + 0x28, levels, 4, entries.min(4));
    image.fix_inode(inode);
    (folder, image)
}

#[test]
fn fs_9_a_tree_of_extents_is_walked_down_once() {
    for levels in 1..=5 {
        for entries in [1, 2, 340] {
            let (_folder, image) = with_tree_of(levels, entries);
            assert_eq!(read(&image, "/file"), Err(DAMAGED), "{levels} levels of {entries}");
        }
    }
    let (_folder, mut image) = with_tree_of(1, 1);
    let inode = image.inode("/file");
    let root = image.inode_at(inode) + 0x28;
    image.set(root + 6, 2, 6);
    image.fix_inode(inode);
    assert_eq!(read(&image, "/file"), Err(DAMAGED), "a depth that no tree has");
}

#[test]
fn fs_9_an_index_of_a_directory_is_checked_and_not_followed() {
    let folder = Folder::new();
    for n in 0..400 {
        folder.write(format!("many/file with a longer name that fills blocks {n}"), b"x");
    }
    let mut image = Image::new(&folder, &["-b", "4096"]);
    image.index();
    let root = image.block("/many", 0);
    assert_eq!(image.get(root + 0x1D, 1), 8, "the directory has an index");
    let name = "/many/file with a longer name that fills blocks 77";
    assert_eq!(read(&image, name).unwrap(), b"x");
    for at in [0x1C, 0x1E, 0x20, 0x21, 0x22, 0x23, 0x28, 4, 12, 16] {
        for flip in [0xFF, 0x01, 0x80] {
            let mut damaged = image.clone();
            damaged.bytes[root + at] ^= flip;
            assert_eq!(read(&damaged, "/many/missing"), Err(DAMAGED), "{at} {flip}");
            assert_eq!(Served::new(&damaged).list("/many"), Err(DAMAGED), "{at} {flip}");
        }
    }
}

#[test]
fn fs_9_entries_of_a_directory_stay_in_their_block() {
    let folder = Folder::new();
    folder.write("d/name", b"contents");
    folder.write("d/other", b"");
    let original = Image::new(&folder, &["-b", "4096"]);
    for (offset, bytes, value) in [
        // The length of an entry.
        (4, 2, 0),
        (4, 2, 8),
        (4, 2, 13),
        (4, 2, 0xFFFC),
        // The length of its name, the name, the inode, the kind.
        (6, 1, 0),
        (6, 1, 255),
        (8, 1, 0),
        (8, 1, u64::from(b'/')),
        (0, 4, 1 << 31),
        (7, 1, 99),
    ] {
        let mut image = original.clone();
        let (inode, block) = (image.inode("/d"), image.block("/d", 0));
        image.set(block + 24 + offset, bytes, value);
        image.fix_entries(inode, block);
        let listed = Served::new(&image).list("/d");
        assert_eq!(listed, Err(DAMAGED), "{bytes} bytes at {offset} are {value}");
    }
}

#[test]
fn fs_9_what_is_not_understood_is_named() {
    const INLINE: u64 = 0x1000_0000;
    const ENCRYPTED: u64 = 0x800;
    const CASEFOLD: u64 = 0x4000_0000;
    let folder = Folder::new();
    folder.write("d/file", b"contents");
    let original = Image::new(&folder, &["-b", "4096"]);
    for (path, flag, feature) in [
        ("/d/file", INLINE, Feature::InlineData),
        ("/d/file", ENCRYPTED, Feature::Encryption),
        ("/d", INLINE, Feature::InlineData),
        ("/d", ENCRYPTED, Feature::Encryption),
        ("/d", CASEFOLD, Feature::Casefold),
    ] {
        let mut image = original.clone();
        let inode = image.inode(path);
        let at = image.inode_at(inode) + 0x20;
        image.set(at, 4, image.get(at, 4) | flag);
        image.fix_inode(inode);
        assert_eq!(read(&image, "/d/file"), Err(feature.into()), "{path} {feature}");
        let listed = Served::new(&image).list("/d");
        assert_eq!(listed.is_err(), path == "/d", "{path} {feature}");
    }
}

#[test]
fn fs_9_sizes_that_no_file_has_are_damage() {
    let folder = Folder::new();
    folder.write("d/file", b"contents");
    let original = Image::new(&folder, &["-b", "4096"]);
    for (path, size) in [("/d/file", u64::MAX), ("/d/file", 1 << 45), ("/d", 4097), ("/d", 1 << 30)]
    {
        let mut image = original.clone();
        image.debugfs(&format!("set_inode_field {path} size {size}"));
        assert_eq!(
            read(&image, "/d/missing"),
            Err(if path == "/d" { DAMAGED } else { FsError::NotFound.into() })
        );
        if path == "/d/file" {
            assert_eq!(read(&image, path), Err(DAMAGED), "{path} {size}");
        }
    }
    // A file may be large, with nothing in it.
    let mut image = original.clone();
    image.debugfs("set_inode_field /d/file size 17592186040320");
    let end = Served::new(&image).read_at("/d/file", 17_592_186_040_305).unwrap();
    assert_eq!(end, [0; 15]);
}

#[test]
fn fs_9_numbers_of_the_superblock_fit_the_image() {
    let folder = Folder::new();
    folder.write("file", b"contents");
    let original = Image::new(&folder, &["-b", "4096"]);
    for (offset, bytes, value) in [
        (0, 4, 5),
        (4, 4, 1 << 31),
        (0x14, 4, 7),
        (0x14, 4, u64::from(u32::MAX)),
        (0x18, 4, 99),
        (0x28, 4, 0),
        (0x28, 4, 1),
        (0x58, 2, 0),
        (0x58, 2, 100),
        (0x58, 2, 0x8000),
        (0xFE, 2, 0),
        (0xFE, 2, 0xFFFF),
        (0x175, 1, 2),
    ] {
        let mut image = original.clone();
        image.set(1024 + offset, bytes, value);
        image.fix_superblock();
        assert_eq!(read(&image, "/file"), Err(DAMAGED), "{bytes} bytes at {offset:x} are {value}");
    }
}

/// A directory of 20,000 blocks, all of them the same one.
fn with_directory_of_20000_blocks(block: impl FnOnce(&mut Image, usize)) -> (Folder, Image) {
    let folder = Folder::new();
    folder.write("d/file", b"contents");
    folder.write("lists", &[7; 2048]);
    let options = ["-b", "1024", "-O", "^extents,^64bit,^resize_inode"];
    let mut image = Image::new(&folder, &options);
    let (inode, entries) = (image.inode("/d"), image.block("/d", 0));
    block(&mut image, entries);
    image.fix_entries(inode, entries);
    let lists = [image.block("/lists", 0), image.block("/lists", 1)];
    for (list, below) in [(lists[0], entries), (lists[1], lists[0])] {
        (0..256).for_each(|index| image.set(list + 4 * index, 4, below as u64 / 1024));
    }
    let at = image.inode_at(inode);
    (0..12).for_each(|index| image.set(at + 0x28 + 4 * index, 4, entries as u64 / 1024));
    image.set(at + 0x28 + 48, 4, lists[0] as u64 / 1024);
    image.set(at + 0x28 + 52, 4, lists[1] as u64 / 1024);
    image.set(at + 4, 4, 20_000 * 1024);
    image.fix_inode(inode);
    (folder, image)
}

#[test]
fn fs_9_a_directory_that_is_too_large_for_a_call_is_refused() {
    let (_folder, image) = with_directory_of_20000_blocks(|image, block| {
        image.set(block, 4, 0);
        image.set(block + 4, 2, 1012);
    });
    assert_eq!(read(&image, "/d/file"), Err(FsError::TooLarge.into()));
    assert_eq!(Served::new(&image).list("/d"), Err(FsError::TooLarge.into()));
}

#[test]
fn small_inodes_are_read() {
    let folder = Folder::new();
    folder.write("d/file", b"contents");
    symlink("d", folder.files().join("link")).unwrap();
    let image = Image::new(&folder, &["-b", "1024", "-I", "128"]);
    assert_eq!(read(&image, "/link/file").unwrap(), b"contents");
}

#[test]
fn block_maps_are_read() {
    let folder = Folder::new();
    let data = noise(12 << 20, 3);
    folder.write("large", &data);
    folder.write("hole", &[]);
    let hole = File::options().write(true).open(folder.files().join("hole")).unwrap();
    hole.write_all_at(b"end", 70 << 20).unwrap();
    let image = Image::new(&folder, &["-b", "1024", "-O", "^extents,^64bit,^resize_inode"]);
    let mut served = Served::new(&image);
    for offset in [0, 11 << 10, 12 << 10, 267 << 10, 268 << 10, 5 << 20, 11 << 20] {
        let found = served.read_at("/large", offset).unwrap();
        assert!(found == data[offset as usize..][..found.len()], "at {offset}");
        assert_eq!(found.len(), 1 << 20);
    }
    assert_eq!(served.read_at("/hole", 70 << 20).unwrap(), b"end");
    assert!(served.read_at("/hole", 66 << 20).unwrap() == vec![0; 1 << 20]);
}

#[test]
fn files_of_an_indexed_directory_are_found() {
    let folder = Folder::new();
    for n in 0..3000 {
        folder.write(format!("many/a name that is somewhat longer {n}"), n.to_string().as_bytes());
    }
    let mut image = Image::new(&folder, &["-b", "1024"]);
    image.index();
    let mut served = Served::new(&image);
    for n in (0..3000).step_by(7) {
        let contents = served.read_at(&format!("/many/a name that is somewhat longer {n}"), 0);
        assert_eq!(contents.unwrap(), n.to_string().as_bytes());
    }
    assert_eq!(served.open("/many/missing"), Err(FsError::NotFound.into()));
}
