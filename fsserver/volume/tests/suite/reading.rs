// SPDX-License-Identifier: BSD-2-Clause
//! What is read is what debugfs reads, whatever the image; what is not supported is named.

use std::os::unix::fs::{FileExt, symlink};

use fsserver_volume::{Access, Error, Feature, Inode, Volume};

use crate::disk::{Memory, TemporaryFile, assert_clean, blank, mount, run, writable};
use crate::ext4::Image;
use crate::image::{Folder, noise};
use crate::tree::{Node, by_debugfs, contents, difference, read_all};

/// A folder with a bit of everything.
fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("empty", b"");
    folder.write("small", b"contents");
    folder.write("large", &noise(1_234_567, 1));
    folder.write("a/b/c/d", b"deep");
    for n in 0..400 {
        folder.write(format!("many/a file with a name that fills blocks {n}"), &noise(n % 50, 2));
    }
    folder.write("sparse", &[]);
    let sparse = std::fs::File::options().write(true).open(folder.files().join("sparse")).unwrap();
    for index in 0..40 {
        sparse.write_all_at(&noise(3000, index), index * 100_000).unwrap();
    }
    symlink("a/b", folder.files().join("short link")).unwrap();
    symlink("x".repeat(200), folder.files().join("long link")).unwrap();
    std::fs::hard_link(folder.files().join("small"), folder.files().join("a/other")).unwrap();
    folder
}

fn assert_read_like_debugfs(bytes: &[u8], access: Access, what: &str) {
    let expected = by_debugfs(bytes);
    assert!(expected.len() > 400, "{what}: debugfs has read it");
    let mut disk = Memory::new(bytes.to_vec());
    let mut volume = mount(&mut disk, access).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = read_all(&mut volume).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(found == expected, "{what}: {:?}", difference(&found, &expected));
    volume.close().unwrap();
    drop(volume);
    if access == Access::Read {
        assert!(disk.bytes == bytes, "{what}: the disk is as it was");
    } else {
        assert_clean(&disk.bytes, what);
    }
}

#[test]
fn images_of_many_kinds_are_read_like_debugfs() {
    let folder = folder();
    let kinds: [&[&str]; 9] = [
        &["-b", "4096"],
        &["-b", "2048"],
        &["-b", "1024"],
        &["-b", "1024", "-I", "128", "-O", "^resize_inode"],
        &["-b", "1024", "-O", "^has_journal,^64bit"],
        &["-b", "1024", "-O", "^extents,^64bit,^resize_inode"],
        &["-b", "4096", "-O", "^flex_bg,^dir_index,metadata_csum_seed"],
        &["-b", "1024", "-O", "^metadata_csum,uninit_bg,sparse_super2"],
        &["-b", "1024", "-O", "^metadata_csum,^extents,^64bit,^huge_file,^dir_nlink,mmp"],
    ];
    for options in kinds {
        let image = Image::new(&folder, options);
        assert_read_like_debugfs(&image.bytes, Access::Read, &format!("{options:?}"));
    }
    let mut image = Image::new(&folder, &["-b", "1024"]);
    image.index();
    assert_read_like_debugfs(&image.bytes, Access::Read, "indexed");
}

#[test]
fn images_that_can_be_written_are_read_like_debugfs() {
    let folder = folder();
    for block_bytes in ["1024", "4096"] {
        let options = ["-b", block_bytes, "-J", "size=4", "-E", "lazy_itable_init=0"];
        let mut image = Image::new(&folder, &options);
        image.index();
        assert_read_like_debugfs(&image.bytes, Access::Write, block_bytes);
    }
}

#[test]
fn what_was_allocated_and_not_written_is_zeros() {
    let folder = Folder::new();
    folder.write("other", b"contents");
    let mut image = Image::new(&folder, &["-b", "1024"]);
    image.debugfs("write /dev/null f");
    image.debugfs("fallocate f 0 15");
    image.debugfs("set_inode_field f size 16000");
    for block in 0..15 {
        let at = image.block("f", block);
        image.bytes[at..at + 10].copy_from_slice(b"OLD SECRET");
    }
    let mut disk = Memory::new(image.bytes);
    let mut volume = mount(&mut disk, Access::Read).unwrap();
    let file = volume.lookup(volume.root(), b"f").unwrap();
    assert_eq!(contents(&mut volume, file), Ok(vec![0; 16_000]));
    let runs = volume.extents(file, 100, 1 << 20).unwrap();
    assert!(runs.iter().all(|run| run.start.is_none()));
    assert_eq!(runs.iter().map(|run| run.bytes).sum::<u64>(), 15_900);
}

#[test]
fn extents_are_where_the_bytes_are() {
    for access in [Access::Read, Access::Write] {
        let image = Image::new(&folder(), &["-b", "1024", "-J", "size=4"]).bytes;
        let mut disk = Memory::new(image.clone());
        let mut volume = mount(&mut disk, access).unwrap();
        for name in [&b"sparse"[..], b"large", b"small", b"empty"] {
            let file = volume.lookup(volume.root(), name).unwrap();
            let expected = contents(&mut volume, file).unwrap();
            let mut found = Vec::new();
            while found.len() < expected.len() {
                let runs = volume.extents(file, found.len() as u64, 77_777).unwrap();
                assert!(!runs.is_empty());
                for run in runs {
                    let length = found.len() + run.bytes as usize;
                    match run.start {
                        Some(at) => found.extend(&image[at as usize..][..run.bytes as usize]),
                        None => found.resize(length, 0),
                    }
                }
            }
            assert!(found == expected, "{name:?}");
            assert_eq!(volume.extents(file, expected.len() as u64, 1), Ok(Vec::new()));
        }
    }
}

/// Returns why an image cannot be mounted.
fn refusal(bytes: Vec<u8>, access: Access) -> Result<(), Error> {
    mount(&mut Memory::new(bytes), access).map(drop)
}

fn made_with(kib: u64, options: &str) -> Vec<u8> {
    blank(kib, &options.split(' ').map(str::to_owned).collect::<Vec<_>>())
}

#[test]
fn what_is_not_supported_is_named() {
    let refused: [(&str, Feature); 8] = [
        ("-b 4096 -O bigalloc", Feature::Clusters),
        ("-b 4096 -O inline_data", Feature::InlineData),
        ("-b 4096 -O encrypt", Feature::Encryption),
        ("-b 4096 -O casefold", Feature::Casefold),
        ("-b 4096 -O large_dir", Feature::LargeDirectories),
        ("-b 4096 -O ea_inode", Feature::AttributeInodes),
        ("-b 4096 -O meta_bg,^resize_inode", Feature::MetaBlockGroups),
        ("-b 65536 -F", Feature::LargeBlocks),
    ];
    for (options, feature) in refused {
        let image = made_with(32 << 10, options);
        for access in [Access::Read, Access::Write] {
            let found = refusal(image.clone(), access);
            assert_eq!(found, Err(Error::Unsupported(feature)), "{options}");
        }
    }
}

#[test]
fn what_is_only_read_is_named() {
    let read_only: [(&str, Feature); 8] = [
        ("-b 1024 -O ^metadata_csum", Feature::NoChecksums),
        ("-b 1024 -O ^extents,^64bit", Feature::NoExtents),
        ("-b 1024 -O ^has_journal", Feature::NoJournal),
        ("-b 1024 -O mmp", Feature::MultiMount),
        ("-b 1024 -O quota", Feature::Quota),
        ("-b 4096 -O verity", Feature::Verity),
        ("-b 1024 -O fast_commit", Feature::FastCommit),
        ("-b 1024 -E lazy_itable_init=0", Feature::Errors),
    ];
    for (options, feature) in read_only {
        let folder = Folder::new();
        let mut image = Image::new(&folder, &["-b", "1024"]);
        image.bytes = made_with(16 << 10, options);
        if feature == Feature::Errors {
            image.debugfs("ssv state 2");
        }
        assert_eq!(refusal(image.bytes.clone(), Access::Read), Ok(()), "{options}");
        let found = refusal(image.bytes, Access::Write);
        assert_eq!(found, Err(Error::Unsupported(feature)), "{options}");
    }
    let image = blank(16 << 10, &writable(1024));
    let mut disk = Memory::new(image);
    disk.is_read_only = true;
    assert!(mount(&mut disk, Access::Read).is_ok());
    assert_eq!(mount(&mut disk, Access::Write).map(drop), Err(Error::ReadOnly));
}

#[test]
fn what_is_no_file_system_is_not_mounted() {
    for bytes in [vec![], vec![0; 512], vec![7; 4096], vec![0; 1 << 20]] {
        assert_eq!(refusal(bytes, Access::Read), Err(Error::NotExt4));
    }
}

#[test]
fn a_journal_is_replayed_for_writing_and_refused_for_reading() {
    for block_bytes in [1024, 4096] {
        let file = TemporaryFile::new(&blank(16 << 10, &writable(block_bytes)));
        let path = file.0.to_str().unwrap();
        let data = TemporaryFile::new(&noise(block_bytes as usize, 5));
        // A block of a file, written by way of the journal.
        run("debugfs", &["-w", "-R", "write /dev/null f", path]);
        run("debugfs", &["-w", "-R", "fallocate f 0 0", path]);
        let size = format!("set_inode_field f size {block_bytes}");
        run("debugfs", &["-w", "-R", &size, path]);
        let (block, _) = run("debugfs", &["-R", "blocks f", path]);
        let block = block.lines().next().unwrap().trim().to_owned();
        let commands = format!("jo\njw -b {block} {}\njc\n", data.0.display());
        let script = TemporaryFile::new(commands.as_bytes());
        run("debugfs", &["-w", "-f", script.0.to_str().unwrap(), path]);
        run("debugfs", &["-w", "-R", "ssv feature_incompat 0x2c6", path]);
        let mut disk = Memory::new(file.read());
        let replay = Err(Error::Unsupported(Feature::JournalReplay));
        assert_eq!(refusal(disk.bytes.clone(), Access::Read), replay);
        let at = block.parse::<usize>().unwrap() * block_bytes as usize;
        mount(&mut disk, Access::Write).unwrap().close().unwrap();
        let found = &disk.bytes[at..at + block_bytes as usize];
        assert!(found == noise(block_bytes as usize, 5), "the block is in its place");
        assert_clean(&disk.bytes, "replayed");
        assert!(refusal(disk.bytes, Access::Read).is_ok());
    }
}

#[test]
fn each_error_of_reading_has_its_cause() {
    let mut disk = Memory::new(Image::new(&folder(), &["-b", "4096"]).bytes);
    let mut volume = mount(&mut disk, Access::Read).unwrap();
    let root = volume.root();
    let file = volume.lookup(root, b"small").unwrap();
    let link = volume.lookup(root, b"short link").unwrap();
    assert_eq!(volume.lookup(root, b"missing"), Err(Error::NotFound));
    assert_eq!(volume.lookup(root, &[b'x'; 256]), Err(Error::NameTooLong));
    assert_eq!(volume.lookup(root, b"a/b"), Err(Error::BadName));
    assert_eq!(volume.lookup(file, b"x"), Err(Error::NotADirectory));
    assert_eq!(volume.read(root, 0, &mut [0]), Err(Error::IsADirectory));
    assert_eq!(volume.read(link, 0, &mut [0]), Err(Error::BadName));
    assert_eq!(volume.read_link(file), Err(Error::BadName));
    assert_eq!(volume.read_link(link), Ok(b"a/b".to_vec()));
    assert_eq!(volume.read(file, 8, &mut [0]), Ok(0));
    assert_eq!(volume.read(file, u64::MAX, &mut [0]), Ok(0));
    assert_eq!(volume.read(file, 6, &mut [0; 9]), Ok(2));
    let none = Inode::new(volume.space().inodes).unwrap();
    assert!(volume.status(none).is_err());
    assert_eq!(volume.status(Inode::new(u32::MAX).unwrap()), Err(Error::NotFound));
    assert_eq!(volume.create(root, b"x"), Err(Error::ReadOnly));
    assert_eq!(volume.write(file, 0, b"x"), Err(Error::ReadOnly));
    assert_eq!(volume.unlink(root, b"small"), Err(Error::ReadOnly));
    assert_eq!(volume.sync(), Ok(()));
    let tree = read_all(&mut volume).unwrap();
    assert_eq!(tree.get(&b"/a/other"[..]), Some(&Node::File(b"contents".to_vec())));
}
