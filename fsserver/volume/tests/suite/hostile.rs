// SPDX-License-Identifier: BSD-2-Clause
//! Images whose checksums are right and whose contents are not: read exactly or refused, at a
//! bounded cost, without a panic.

use std::fs::File;
use std::os::unix::fs::{FileExt, symlink};
use std::time::{Duration, Instant};

use fastrand::Rng;
use fsserver_volume::{Access, Cursor, Error, Feature, Kind, Volume};

use crate::disk::{Memory, mount, times};
use crate::ext4::{Image, crc};
use crate::image::{Folder, noise};
use crate::tree::contents;

const DAMAGED: Error = Error::Damaged;
/// Many times what all that is done to one image takes.
const LONG: Duration = Duration::from_secs(20);
const OPTIONS: [&str; 6] = ["-b", "1024", "-J", "size=1", "-I", "256"];

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("d/file", b"contents");
    folder.write("d/e/other", &noise(5000, 3));
    for n in 0..60 {
        folder.write(format!("many/a file with a name that fills blocks {n}"), b"x");
    }
    folder.write("comb", &[]);
    let comb = File::options().write(true).open(folder.files().join("comb")).unwrap();
    for index in 0..100 {
        comb.write_all_at(&noise(1024, index), index * 2048).unwrap();
    }
    symlink("d", folder.files().join("short")).unwrap();
    symlink("d/".repeat(100), folder.files().join("long")).unwrap();
    folder
}

/// Reads a file at a path of one or two names, in an image that is mounted both ways.
fn read(image: &Image, names: &[&str]) -> Result<Vec<u8>, Error> {
    let mut found = Vec::new();
    for access in [Access::Read, Access::Write] {
        let mut disk = Memory::new(image.bytes.clone());
        let result = mount(&mut disk, access).and_then(|mut volume| {
            let mut inode = volume.root();
            for name in names {
                inode = volume.lookup(inode, name.as_bytes())?;
            }
            match volume.status(inode)?.kind {
                Kind::Symlink => volume.read_link(inode),
                Kind::Directory => {
                    let entries = volume.read_dir(inode, Cursor::START, 100)?;
                    Ok(entries.len().to_string().into_bytes())
                }
                _ => contents(&mut volume, inode),
            }
        });
        found.push(result);
    }
    assert!(found[0] == found[1], "both ways the same");
    found.pop().unwrap()
}

#[test]
fn extents_are_in_order_and_do_not_overlap() {
    let folder = folder();
    let mut image = Image::new(&folder, &OPTIONS);
    image.index();
    assert_eq!(read(&image, &["comb"]).unwrap().len(), 199 * 1024);
    let changes: [fn(&mut Image, usize); 8] = [
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
        // It is not on the disk.
        |image, leaf| image.set(leaf + 20, 4, 1 << 31),
        // It is the superblock.
        |image, leaf| image.set(leaf + 20, 4, 1),
        // The leaf has no entries: the engine reads a hole.
        |image, leaf| image.set(leaf + 2, 2, 0),
        // It says that there are nodes below.
        |image, leaf| image.set(leaf + 6, 2, 1),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut changed = image.clone();
        let inode = changed.inode("/comb");
        let leaf = changed.leaf(inode);
        change(&mut changed, leaf);
        changed.fix_extents(inode, leaf);
        assert_eq!(read(&changed, &["comb"]), Err(DAMAGED), "change {number}");
    }
}

#[test]
fn what_is_not_understood_is_named() {
    let folder = folder();
    let original = Image::new(&folder, &OPTIONS);
    let flags = [
        (0x1000_0000, Feature::InlineData),
        (0x800, Feature::Encryption),
        (0x4000_0000, Feature::Casefold),
        (0x4, Feature::Compression),
    ];
    for (path, names) in [("/d/file", &["d", "file"][..]), ("/d", &["d"]), ("/d", &["d", "file"])] {
        for (flag, feature) in flags {
            let mut image = original.clone();
            let inode = image.inode(path);
            let at = image.inode_at(inode) + 0x20;
            image.set(at, 4, image.get(at, 4) | flag);
            image.fix_inode(inode);
            assert_eq!(read(&image, names), Err(Error::Unsupported(feature)), "{path} {feature}");
        }
    }
}

#[test]
fn sizes_that_no_file_has_are_damage() {
    let folder = folder();
    let original = Image::new(&folder, &OPTIONS);
    for (path, name, size) in [
        ("/comb", "comb", u64::MAX),
        ("/comb", "comb", 1 << 43),
        ("/d", "d", 1025),
        ("/d", "d", 0),
        ("/short", "short", 0),
        ("/short", "short", 60),
        ("/long", "long", 1024),
        ("/long", "long", 1 << 40),
    ] {
        let mut image = original.clone();
        image.debugfs(&format!("set_inode_field {path} size {size}"));
        let found = read(&image, &[name]);
        assert!(matches!(found, Err(Error::Damaged)), "{path} {size}: {found:?}");
    }
}

#[test]
fn a_directory_that_has_not_the_blocks_of_its_size_is_refused() {
    let folder = folder();
    let mut image = Image::new(&folder, &OPTIONS);
    let (inode, size) = (image.inode("/d"), 1_u64 << 30);
    let at = image.inode_at(inode);
    image.set(at + 4, 4, size);
    image.fix_inode(inode);
    assert_eq!(read(&image, &["d", "file"]), Err(Error::Damaged));
    // Many extents, each of all blocks that there are.
    let mut image = Image::new(&folder, &OPTIONS);
    let (at, blocks) = (image.inode_at(inode) + 0x28, image.bytes.len() as u64 / 1024 - 2);
    image.set(at + 2, 2, 4);
    for entry in 0..4 {
        let entry_at = at + 12 + 12 * entry as usize;
        image.set(entry_at, 4, entry * 40_000);
        image.set(entry_at + 4, 2, blocks);
        image.set(entry_at + 8, 4, 2);
    }
    image.fix_inode(inode);
    assert_eq!(read(&image, &["d", "file"]), Err(Error::Damaged));
}

#[test]
fn a_root_that_is_no_directory_is_not_repaired() {
    let folder = folder();
    for mode in [0, 0x81A4, 0xA1FF] {
        let mut image = Image::new(&folder, &OPTIONS);
        let at = image.inode_at(2);
        image.set(at, 2, mode);
        image.fix_inode(2);
        for access in [Access::Read, Access::Write] {
            let mut disk = Memory::new(image.bytes.clone());
            assert!(mount(&mut disk, access).is_err());
            assert!(disk.bytes == image.bytes, "the disk is as it was");
        }
    }
}

#[test]
fn numbers_of_the_superblock_fit_the_disk() {
    let folder = folder();
    let original = Image::new(&folder, &OPTIONS);
    for (offset, bytes, value) in [
        (0, 4, 5),
        (4, 4, 1 << 31),
        (4, 4, 0),
        (0x14, 4, 7),
        (0x14, 4, u64::from(u32::MAX)),
        (0x18, 4, 99),
        (0x20, 4, 0),
        (0x20, 4, 1),
        (0x28, 4, 0),
        (0x28, 4, 1),
        (0x54, 4, 0),
        (0x54, 4, u64::from(u32::MAX)),
        (0x58, 2, 0),
        (0x58, 2, 100),
        (0x58, 2, 0x8000),
        (0xE0, 4, 2),
        (0xE0, 4, u64::from(u32::MAX)),
        (0xFE, 2, 0),
        (0xFE, 2, 0xFFFF),
        (0x175, 1, 2),
    ] {
        for access in [Access::Read, Access::Write] {
            let mut image = original.clone();
            image.set(1024 + offset, bytes, value);
            image.fix_superblock();
            let mut disk = Memory::new(image.bytes);
            let found = mount(&mut disk, access).map(drop);
            let is_refused =
                matches!(found, Err(Error::Damaged | Error::TooLarge | Error::NotFound));
            assert!(is_refused, "{bytes} bytes at {offset:x} are {value}: {found:?}");
        }
    }
}

#[test]
fn files_that_were_removed_are_checked_before_they_are_freed() {
    let folder = folder();
    let mut original = Image::new(&folder, &OPTIONS);
    let inode = original.inode("/comb");
    let orphan = |orphan: u64, change: &dyn Fn(&mut Image, usize)| {
        let mut image = original.clone();
        let at = image.inode_at(inode);
        image.set(at + 0x1A, 2, 0);
        change(&mut image, at);
        image.fix_inode(inode);
        image.set(1024 + 0xE8, 4, if orphan == 0 { inode.into() } else { orphan });
        image.fix_superblock();
        mount(&mut Memory::new(image.bytes), Access::Write).map(drop)
    };
    assert_eq!(orphan(0, &|_, _| {}), Ok(()));
    assert_eq!(orphan(1 << 30, &|_, _| {}), Err(DAMAGED));
    assert_eq!(orphan(2, &|_, _| {}), Err(DAMAGED));
    assert_eq!(orphan(0, &|image, at| image.set(at + 0x14, 4, 99_999)), Err(DAMAGED));
    // It is its own successor.
    let own = orphan(0, &|image, at| image.set(at + 0x14, 4, inode.into()));
    assert_eq!(own, Err(Error::TooLarge));
    let by_map = Error::Unsupported(Feature::BlockMap);
    assert_eq!(orphan(0, &|image, at| image.set(at + 0x20, 4, 0)), Err(by_map));
}

/// Changes some bytes of something that has a checksum, and makes that right again.
fn damage(image: &mut Image, rng: &mut Rng) {
    let paths = ["/d", "/d/file", "/comb", "/many", "/short", "/long", "/d/e", "/"];
    let path = paths[rng.usize(..paths.len())];
    let inode = match rng.u32(..12) {
        0 => 7,
        1..4 => 8,
        _ => image.inode(path),
    };
    let mut scribble = |image: &mut Image, at: usize, length: usize| {
        for _ in 0..rng.u32(1..4) {
            let bytes = [1, 2, 4][rng.usize(..3)];
            let values = [0, 1, 0xFFFF_FFFF, 0x7FFF, 0x8000, rng.u64(..), rng.u64(..64)];
            image.set(at + rng.usize(..length / 4) * 4, bytes, values[rng.usize(..7)]);
        }
    };
    match path {
        "/comb" if inode > 10 => {
            let leaf = image.leaf(inode);
            scribble(image, leaf, 100);
            if image.get(leaf + 4, 2) < 84 {
                image.fix_extents(inode, leaf);
            }
        }
        "/many" | "/d/e" if inode > 10 => {
            let block = image.block(path, 0);
            scribble(image, block, 200);
            image.fix_entries(inode, block);
        }
        _ => {
            let at = image.inode_at(inode);
            scribble(image, at, 128);
            image.fix_inode(inode);
        }
    }
}

fn damage_superblock(image: &mut Image, rng: &mut Rng) {
    let seed = crc(u32::MAX, &image.bytes[1024 + 0x68..1024 + 0x78]);
    if rng.bool() {
        image.set(1024 + rng.usize(..0x100) * 4, [1, 2, 4][rng.usize(..3)], rng.u64(..));
        image.fix_superblock();
    } else {
        let bytes = if image.get(1024 + 0x60, 4) & 0x80 != 0 { 64 } else { 32 };
        image.set(2048 + rng.usize(..bytes / 4) * 4, [1, 2, 4][rng.usize(..3)], rng.u64(..));
        image.set(2048 + 0x1E, 2, 0);
        let sum = crc(crc(seed, &[0; 4]), &image.bytes[2048..2048 + bytes]);
        image.set(2048 + 0x1E, 2, u64::from(sum & 0xFFFF));
    }
}

/// Does a bit of everything. Errors are expected.
fn use_all(bytes: Vec<u8>, access: Access) -> u32 {
    let start = Instant::now();
    let mut disk = Memory::new(bytes);
    let Ok(mut volume) = mount(&mut disk, access) else { return 1 };
    let mut errors = 0;
    let (mut left, mut seen) = (vec![volume.root()], 0);
    while let Some(directory) = left.pop().filter(|_| seen < 200) {
        let Ok(entries) = volume.read_dir(directory, Cursor::START, 50) else {
            errors += 1;
            continue;
        };
        for entry in entries {
            seen += 1;
            if entry.kind == Kind::Directory && !matches!(&entry.name[..], b"." | b"..") {
                left.push(entry.inode);
            }
            let mut part = vec![0; 100_000];
            errors += u32::from(volume.lookup(directory, &entry.name).is_err());
            errors += u32::from(volume.read(entry.inode, 1000, &mut part).is_err());
            errors += u32::from(volume.extents(entry.inode, 0, 1 << 20).is_err());
            let _ = volume.read_link(entry.inode);
            let _ = volume.write(entry.inode, 3000, b"written");
            if seen % 3 == 0 {
                let _ = volume.truncate(entry.inode, seen * 100);
                let _ = volume.unlink(directory, &entry.name);
                let _ = volume.remove_dir(directory, &entry.name);
            } else {
                let _ = volume.rename(directory, &entry.name, volume.root(), b"renamed");
            }
        }
        let name = format!("new{seen}").into_bytes();
        let _ = volume.create(directory, &name);
        let _ = volume.make_dir(directory, b"new");
        errors += u32::from(volume.sync().is_err());
    }
    errors += u32::from(volume.close().is_err());
    assert!(start.elapsed() < LONG, "it took {:?}", start.elapsed());
    errors
}

#[test]
fn damage_with_right_checksums_does_no_harm() {
    let folder = folder();
    let mut original = Image::new(&folder, &OPTIONS);
    original.index();
    let (images, mut met) = (times("VOLUME_DAMAGED", 60), 0);
    let both = [Access::Read, Access::Write];
    let whole = both.map(|access| use_all(original.bytes.clone(), access));
    for seed in 0..images {
        let mut rng = Rng::with_seed(seed);
        let mut image = original.clone();
        if rng.u32(..4) == 0 {
            damage_superblock(&mut image, &mut rng);
        } else {
            damage(&mut image, &mut rng);
        }
        for (access, whole) in both.into_iter().zip(whole) {
            met += u32::from(use_all(image.bytes.clone(), access) != whole);
        }
    }
    println!("{images} damaged images, {met} of {} uses met the damage", images * 2);
    assert!(u64::from(met) > images / 3);
}
