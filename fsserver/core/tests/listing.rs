// SPDX-License-Identifier: BSD-2-Clause
//! A directory is listed as it is, whatever its names and however small the rounds.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // A test may fail by panicking.

mod fake;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use fake::image::Folder;
use fake::{Fs, Machine};
use fsserver_api::{Client, DirectoryCookie, DirectoryEntry, FileHandle, FileKind, FsError};
use pmserver_api::{ContainerHandle, Rights};
use proto::FrameCount;

const RIGHTS: Rights = Rights::READ.union(Rights::WRITE).union(Rights::LOCK);

struct Lister {
    machine: Machine,
    fs: Client<Fs>,
    weak: ContainerHandle,
}

impl Lister {
    fn new(folder: &Folder) -> Self {
        let machine = Machine::new(folder.image());
        let fs = machine.fs();
        let weak = machine.lend(4, RIGHTS);
        Self { machine, fs, weak }
    }

    fn open(&mut self, path: &[u8]) -> FileHandle {
        self.machine.write(self.weak, 0, path);
        self.fs.lookup(self.weak, path.len()).unwrap()
    }

    fn list(&mut self, path: &[u8], frames: u64) -> (BTreeMap<Vec<u8>, FileKind>, usize) {
        let directory = self.open(path);
        let frames = FrameCount::new(frames).unwrap();
        let (mut entries, mut rounds) = (BTreeMap::new(), 0);
        let mut cookie = Some(DirectoryCookie::START);
        while let Some(from) = cookie {
            let listed = self.fs.read_dir(directory, self.weak, frames, from).unwrap();
            self.machine.assert_at_rest();
            let bytes = self.machine.read(self.weak, listed.bytes as usize);
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let (entry, after) = DirectoryEntry::decode(rest).unwrap();
                assert_eq!(entries.insert(entry.name().to_vec(), entry.kind()), None);
                rest = after;
            }
            cookie = listed.next;
            rounds += 1;
        }
        self.fs.close(directory).unwrap();
        (entries, rounds)
    }
}

#[test]
fn hundreds_of_entries_come_in_rounds() {
    let folder = Folder::new();
    let names: Vec<_> = (0..900).map(|n| format!("{n:03}{}", "x".repeat(n % 250))).collect();
    for name in &names {
        folder.write(format!("many/{name}"), &[]);
    }
    let mut lister = Lister::new(&folder);
    // They are 30 pages.
    for (frames, expected) in [(1, 28..=32), (2, 14..=16), (4, 7..=8)] {
        let (entries, rounds) = lister.list(b"/many", frames);
        assert!(expected.contains(&rounds), "{rounds} rounds");
        assert!(entries.keys().map(Vec::as_slice).eq(names.iter().map(String::as_bytes)));
        assert!(entries.values().all(|kind| *kind == FileKind::Regular));
    }
}

#[test]
fn names_are_raw_bytes_and_kinds_are_told() {
    let folder = Folder::new();
    let names =
        [&b"with space"[..], b"new\nline", b"back\\slash", b"\xff\xfe", b"-", b"...", b"'\""];
    for name in names {
        folder.write(OsStr::from_bytes(name), b"x");
    }
    folder.write("directory/file", b"x");
    symlink("directory", folder.files().join("link")).unwrap();
    let mut lister = Lister::new(&folder);
    let (entries, _) = lister.list(b"/", 1);
    for name in names {
        assert_eq!(entries.get(name), Some(&FileKind::Regular), "{}", name.escape_ascii());
        let file = lister.open(&[b"/", name].concat());
        assert_eq!(lister.fs.stat(file).unwrap().size_bytes, 1);
        lister.fs.close(file).unwrap();
    }
    assert_eq!(entries.get(&b"directory"[..]), Some(&FileKind::Directory));
    assert_eq!(entries.get(&b"link"[..]), Some(&FileKind::Symlink));
    assert_eq!(entries.len(), names.len() + 3, "these and lost+found");
}

#[test]
fn an_empty_directory_ends_at_once() {
    let folder = Folder::new();
    std::fs::create_dir(folder.files().join("empty")).unwrap();
    let (entries, rounds) = Lister::new(&folder).list(b"/empty", 1);
    assert_eq!((entries.len(), rounds), (0, 1));
}

#[test]
fn paths_are_followed_to_their_longest() {
    // mke2fs itself fails on much deeper folders: the rest of the length is made of slashes.
    let folder = Folder::new();
    let path = format!("{}file", format!("{}/", "d".repeat(203)).repeat(8));
    folder.write(&path, b"deep");
    let shallow = format!("{}file", "s/".repeat(300));
    folder.write(&shallow, b"steps");
    let mut lister = Lister::new(&folder);
    for (path, size_bytes) in [(path, 4), (shallow, 5)] {
        for length in [path.len() + 1, 4095] {
            let longest = format!("{}{path}", "/".repeat(length - path.len()));
            let file = lister.open(longest.as_bytes());
            assert_eq!(lister.fs.stat(file).unwrap().size_bytes, size_bytes);
        }
    }
}

#[test]
fn a_listing_only_goes_forward() {
    let folder = Folder::new();
    for n in 0..100 {
        folder.write(format!("many/{n}{}", "x".repeat(100)), &[]);
    }
    let mut lister = Lister::new(&folder);
    let directory = lister.open(b"/many");
    let (weak, start) = (lister.weak, DirectoryCookie::START);
    let next = lister.fs.read_dir(directory, weak, FrameCount::ONE, start).unwrap().next.unwrap();
    for stale in [start, DirectoryCookie::from_raw(next.raw() + 1)] {
        let refusal = lister.fs.read_dir(directory, weak, FrameCount::ONE, stale).unwrap_err();
        assert_eq!(refusal.refusal(), Some(FsError::StaleCookie));
    }
    assert!(lister.fs.read_dir(directory, weak, FrameCount::ONE, next).is_ok());
}
