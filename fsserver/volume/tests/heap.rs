// SPDX-License-Identifier: BSD-2-Clause
//! How much memory a volume takes, whatever is asked of it and whatever is on the disk. A program
//! of its own, because all memory of the program is counted.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::expect_used)]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic)]

#[allow(dead_code)] // The other tests use more of it.
#[path = "suite/disk.rs"]
mod disk;

use std::alloc::System;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use cap::Cap;
use fsserver_volume::{Access, BlockDevice, Cursor, DeviceError, Error, Ext4, Volume};

use disk::{Noon, blank_file, run, writable};

#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

const KIB: usize = 1024;
const MIB: usize = 1 << 20;

/// A disk that takes no memory.
struct OnFile(File);

impl BlockDevice for OnFile {
    fn blocks(&self) -> u64 {
        self.0.metadata().map_or(0, |metadata| metadata.len() / 512)
    }

    fn is_read_only(&self) -> bool {
        false
    }

    fn read(&mut self, first: u64, to: &mut [u8]) -> Result<(), DeviceError> {
        self.0.read_exact_at(to, first * 512).map_err(|_| DeviceError)
    }

    fn write(&mut self, first: u64, from: &[u8]) -> Result<(), DeviceError> {
        self.0.write_all_at(from, first * 512).map_err(|_| DeviceError)
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

fn open(path: &Path) -> OnFile {
    OnFile(File::options().read(true).write(true).open(path).unwrap())
}

/// Runs something, and fails if it takes more memory than it may. The allocator knows only the most
/// since the start: so what may take more is run later.
fn bounded(what: &str, kib: usize, run: impl FnOnce()) {
    let before = HEAP.allocated();
    run();
    let most = HEAP.max_allocated().saturating_sub(before);
    println!("{what}: at most {} KiB", most / KIB);
    assert!(most <= kib * KIB, "{what}: {} KiB, more than {kib}", most / KIB);
    let left = HEAP.allocated().saturating_sub(before);
    assert!(left < 16 * KIB, "{what}: {left} bytes are left");
}

/// What a volume needs of a stack: rsext4 alone needs half of it.
const STACK_BYTES: usize = 64 * KIB;

fn on_small_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run).unwrap();
    thread.join().unwrap();
}

/// Makes directories and files, changes and removes some, and one large file.
fn use_volume(path: &Path, directories: u32) {
    let mut volume = Ext4::mount(open(path), Noon, Access::Write).unwrap();
    let root = volume.root();
    let mut part = vec![7; MIB];
    for n in 0..directories {
        let directory = volume.make_dir(root, format!("d{n}").as_bytes()).unwrap();
        for n in 0..10 {
            let file = volume.create(directory, format!("f{n}").as_bytes()).unwrap();
            volume.write(file, n * 1000, &part[..5000]).unwrap();
        }
        volume.rename(directory, b"f1", directory, b"f2").unwrap();
        volume.unlink(directory, b"f3").unwrap();
        if n % 3 == 0 {
            volume.sync().unwrap();
        }
    }
    let file = volume.create(root, b"large").unwrap();
    for n in 0..8 {
        volume.write(file, n << 20, &part).unwrap();
    }
    assert_eq!(volume.read(file, 4096, &mut part), Ok(MIB));
    volume.unlink(root, b"large").unwrap();
    volume.close().unwrap();
}

#[test]
fn memory_is_bounded() {
    // A directory with three extents, each of nearly all blocks of the disk.
    let giant = blank_file(33 << 10, &writable(1024));
    let header = [0x3_F30A, 4, 0];
    let extents = (0..3).flat_map(|n| [n * 0x8000, 0x8000, 100]);
    for (index, word) in header.into_iter().chain(extents).enumerate() {
        let command = format!("set_inode_field lost+found block[{index}] {word}");
        run("debugfs", &["-w", "-R", &command, giant.0.to_str().unwrap()]);
    }
    bounded("a giant directory", 600, || {
        let mut volume = Ext4::mount(open(&giant.0), Noon, Access::Read).unwrap();
        let root = volume.root();
        let directory = volume.lookup(root, b"lost+found").unwrap();
        assert_eq!(volume.lookup(directory, b"x"), Err(Error::Damaged));
        assert_eq!(volume.read_dir(directory, Cursor::START, 10), Err(Error::Damaged));
    });
    let small = blank_file(64 << 10, &writable(1024));
    bounded("blocks of 1 KiB", 4 << 10, || {
        let file = small.0.clone();
        on_small_stack(move || use_volume(&file, 200));
    });
    let large = blank_file(256 << 10, &writable(4096));
    bounded("blocks of 4 KiB", 4 << 10, || use_volume(&large.0, 200));
    let options = writable(4096).into_iter().map(|option| option.replace("size=4", "size=64"));
    let logged = blank_file(512 << 10, &options.collect::<Vec<_>>());
    bounded("a journal of 64 MiB", 4 << 10, || use_volume(&logged.0, 400));
}
