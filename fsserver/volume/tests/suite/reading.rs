// SPDX-License-Identifier: BSD-2-Clause
//! What is read of a volume, and where on the disk it is.

use std::os::unix::fs::{FileExt, symlink};

use fsserver_volume::{Access, Error, Inode, Volume};

use crate::disk::{Memory, blank, mount, writable};
use crate::ext4::Image;
use crate::image::{Folder, noise};
use crate::tree::{Node, by_debugfs, contents, difference, read_all};

/// A folder with a bit of everything.
fn folder() -> Folder {
    let folder = Folder::new();
    fill(&folder, 400);
    folder
}

/// Makes a bit of everything in a folder; one of its folders has so many files.
pub(crate) fn fill(folder: &Folder, many: usize) {
    folder.write("empty", b"");
    folder.write("small", b"contents");
    folder.write("large", &noise(1_234_567, 1));
    folder.write("a/b/c/d", b"deep");
    for n in 0..many {
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
fn a_short_link_with_attributes_in_a_block_is_read() {
    let folder = Folder::new();
    let features = "none,ext_attr,filetype,sparse_super,dir_index";
    let mut image = Image::new(&folder, &["-I", "128", "-O", features]);
    image.debugfs("symlink short numbers");
    image.debugfs("ea_set short security.selinux system_u:object_r:etc_t");
    let mut disk = Memory::new(image.bytes.clone());
    let mut volume = mount(&mut disk, Access::Read).unwrap();
    assert!(difference(&read_all(&mut volume).unwrap(), &by_debugfs(&image.bytes)).is_empty());
    let link = volume.lookup(volume.root(), b"short").unwrap();
    assert_eq!(volume.read_link(link), Ok(b"numbers".to_vec()));
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

#[test]
fn a_disk_that_cannot_be_written_is_read() {
    let mut disk = Memory::new(blank(16 << 10, &writable(1024)));
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
