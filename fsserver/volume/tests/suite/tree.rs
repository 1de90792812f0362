// SPDX-License-Identifier: BSD-2-Clause
//! All that a volume has, as a map from paths, read by walking it.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use fsserver_volume::{Cursor, Error, Inode, Kind, Volume};

use crate::disk::{TemporaryFile, run};

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    File(Vec<u8>),
    Directory,
    Symlink(Vec<u8>),
    Special,
}

pub(crate) type Tree = BTreeMap<Vec<u8>, Node>;

/// Reads all of a volume.
pub(crate) fn read_all(volume: &mut impl Volume) -> Result<Tree, Error> {
    let mut tree = Tree::new();
    let mut left = vec![(Vec::new(), volume.root())];
    while let Some((path, directory)) = left.pop() {
        for (name, inode, kind) in list(volume, directory, 7)? {
            let path = [path.as_slice(), b"/", &name].concat();
            assert_eq!(volume.lookup(directory, &name), Ok(inode));
            assert_eq!(volume.status(inode)?.kind, kind);
            let node = match kind {
                Kind::Regular => Node::File(contents(volume, inode)?),
                Kind::Symlink => Node::Symlink(volume.read_link(inode)?),
                Kind::Special => Node::Special,
                Kind::Directory => {
                    left.push((path.clone(), inode));
                    Node::Directory
                }
            };
            assert_eq!(tree.insert(path, node), None, "a name is listed twice");
        }
    }
    Ok(tree)
}

/// Lists a directory, so many entries at a time, without `.` and `..`.
pub(crate) fn list(
    volume: &mut impl Volume,
    directory: Inode,
    most: usize,
) -> Result<Vec<(Vec<u8>, Inode, Kind)>, Error> {
    let (mut found, mut cursor) = (Vec::new(), Cursor::START);
    loop {
        let entries = volume.read_dir(directory, cursor, most)?;
        let Some(last) = entries.last() else { return Ok(found) };
        cursor = last.next;
        let names = entries.into_iter().filter(|entry| !matches!(&entry.name[..], b"." | b".."));
        found.extend(names.map(|entry| (entry.name, entry.inode, entry.kind)));
    }
}

/// Reads a file, in parts of a size that fits to nothing.
pub(crate) fn contents(volume: &mut impl Volume, inode: Inode) -> Result<Vec<u8>, Error> {
    let (mut bytes, mut part) = (Vec::new(), vec![0xA5; 70_001]);
    loop {
        match volume.read(inode, bytes.len() as u64, &mut part)? {
            0 => return Ok(bytes),
            count => bytes.extend_from_slice(&part[..count]),
        }
    }
}

/// Returns what debugfs finds in an image.
pub(crate) fn by_debugfs(image: &[u8]) -> Tree {
    let file = TemporaryFile::new(image);
    let folder = file.0.with_extension("tree");
    std::fs::create_dir(&folder).unwrap();
    let command = format!("rdump / {}", folder.display());
    let (printed, is_done) = run("debugfs", &["-R", &command, file.0.to_str().unwrap()]);
    assert!(is_done, "{printed}");
    let mut tree = Tree::new();
    add_folder(&folder, &mut Vec::new(), &mut tree);
    std::fs::remove_dir_all(folder).unwrap();
    tree
}

fn add_folder(folder: &Path, path: &mut Vec<u8>, tree: &mut Tree) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let length = path.len();
        path.push(b'/');
        path.extend_from_slice(entry.file_name().as_bytes());
        let kind = entry.file_type().unwrap();
        let node = if kind.is_dir() {
            add_folder(&entry.path(), path, tree);
            Node::Directory
        } else if kind.is_symlink() {
            let target = std::fs::read_link(entry.path()).unwrap();
            Node::Symlink(target.as_os_str().as_bytes().to_vec())
        } else {
            Node::File(std::fs::read(entry.path()).unwrap())
        };
        tree.insert(path.clone(), node);
        path.truncate(length);
    }
}

/// Returns the paths at which two trees differ, for a message.
pub(crate) fn difference(a: &Tree, b: &Tree) -> Vec<String> {
    let paths = a.keys().chain(b.keys()).filter(|path| a.get(*path) != b.get(*path));
    paths.map(|path| String::from_utf8_lossy(path).into_owned()).collect()
}
