// SPDX-License-Identifier: BSD-2-Clause
//! What is read is what is in the file: every size, every range, every block size.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // A test may fail by panicking.

mod fake;

use std::fs::File;
use std::os::unix::fs::FileExt;

use fake::image::{Folder, noise};
use fake::{Fs, Machine};
use fsserver_api::{Client, FileHandle, FileKind, FsError, ReadLength};
use pmserver_api::{ContainerHandle, Rights};
use proto::FrameNumber;

const RIGHTS: Rights = Rights::READ.union(Rights::WRITE).union(Rights::LOCK);

struct Reader {
    machine: Machine,
    fs: Client<Fs>,
    weak: ContainerHandle,
}

impl Reader {
    fn new(image: Vec<u8>, frames: u64) -> Self {
        let machine = Machine::new(image);
        let fs = machine.fs();
        let weak = machine.lend(frames, RIGHTS);
        Self { machine, fs, weak }
    }

    fn open(&mut self, path: &str) -> FileHandle {
        self.machine.write(self.weak, 0, path.as_bytes());
        self.fs.lookup(self.weak, path.len()).unwrap()
    }

    fn read(&mut self, file: FileHandle, offset: u64, length: u64) -> Vec<u8> {
        let length = ReadLength::new(length).unwrap();
        let start = FrameNumber::new(0);
        let bytes = self.fs.read(file, self.weak, offset, start, length).unwrap();
        self.machine.assert_at_rest();
        self.machine.read(self.weak, bytes as usize)
    }

    fn read_all(&mut self, path: &str, round: u64) -> Vec<u8> {
        let file = self.open(path);
        let mut data = Vec::new();
        loop {
            let piece = self.read(file, data.len() as u64, round);
            if piece.is_empty() {
                break;
            }
            data.extend(piece);
        }
        let status = self.fs.stat(file).unwrap();
        assert_eq!((status.kind, status.size_bytes), (FileKind::Regular, data.len() as u64));
        self.fs.close(file).unwrap();
        data
    }
}

#[test]
fn every_size_comes_back_in_rounds_of_every_size() {
    let folder = Folder::new();
    let sizes = [0, 1, 4095, 4096, 4097, 65536, 300_001, (1 << 20) + 3];
    for size in sizes {
        folder.write(format!("{size}"), &noise(size, size as u64));
    }
    for options in [["-b", "4096"], ["-b", "1024"], ["-b", "2048"]] {
        let mut reader = Reader::new(folder.image_with(&options), 256);
        for size in sizes {
            for round in [1000, 4096, 100_000, 1 << 20] {
                let data = reader.read_all(&format!("/{size}"), round);
                assert!(data == noise(size, size as u64), "{size} in rounds of {round}");
            }
        }
    }
}

#[test]
fn large_files_come_back() {
    let folder = Folder::new();
    let data = noise((20 << 20) + 17, 7);
    folder.write("large", &data);
    let mut reader = Reader::new(folder.image(), 256);
    assert!(reader.read_all("/large", 256 * 1024) == data);
}

#[test]
fn holes_read_as_zeros() {
    let folder = Folder::new();
    folder.write("sparse", &[]);
    let file = File::options().write(true).open(folder.files().join("sparse")).unwrap();
    let mut data = vec![0; 5_000_000];
    for offset in [0, 100_000, 1_000_000, 4_999_000] {
        data[offset..offset + 1000].fill(7);
        file.write_all_at(&[7; 1000], offset as u64).unwrap();
    }
    file.set_len(5_000_000).unwrap();
    folder.write("hole", &[]);
    File::options().write(true).open(folder.files().join("hole")).unwrap().set_len(99_999).unwrap();
    let mut reader = Reader::new(folder.image(), 64);
    assert!(reader.read_all("/sparse", 64 * 4096) == data);
    assert!(reader.read_all("/hole", 64 * 4096) == vec![0; 99_999]);
}

#[test]
fn a_file_in_many_pieces_comes_back() {
    // Every second block is a hole: thousands of extents, a tree of depth 2.
    let folder = Folder::new();
    folder.write("pieces", &[]);
    let file = File::options().write(true).open(folder.files().join("pieces")).unwrap();
    let mut data = vec![0; 24 << 20];
    for (index, block) in data.chunks_mut(8192).enumerate() {
        block[..4096].copy_from_slice(&noise(4096, index as u64));
        file.write_all_at(&block[..4096], index as u64 * 8192).unwrap();
    }
    file.set_len(data.len() as u64).unwrap();
    let mut reader = Reader::new(folder.image(), 64);
    assert!(reader.read_all("/pieces", 64 * 4096) == data);
}

#[test]
fn ranges_come_back_in_any_order() {
    let folder = Folder::new();
    let data = noise(3_000_000, 3);
    folder.write("file", &data);
    let mut reader = Reader::new(folder.image(), 16);
    let file = reader.open("/file");
    for (offset, length) in
        [(2_999_990, 100), (0, 10), (5000, 9000), (4095, 2), (1_500_000, 60_000), (0, 65_536)]
    {
        let end = (offset + length).min(data.len());
        assert!(reader.read(file, offset as u64, length as u64) == data[offset..end]);
    }
    assert_eq!(reader.read(file, 3_000_000, 1), []);
    let length = ReadLength::new(1).unwrap();
    let refusal = reader.fs.read(file, reader.weak, 3_000_001, FrameNumber::new(0), length);
    assert_eq!(refusal.unwrap_err().refusal(), Some(FsError::PastEnd));
}

#[test]
fn a_read_starts_at_the_frame_that_it_names_and_touches_no_other() {
    let folder = Folder::new();
    let data = noise(9000, 9);
    folder.write("file", &data);
    let mut reader = Reader::new(folder.image(), 8);
    let file = reader.open("/file");
    reader.machine.write(reader.weak, 0, &[0xAA; 8 * 4096]);
    let length = ReadLength::new(9000).unwrap();
    assert_eq!(reader.fs.read(file, reader.weak, 0, FrameNumber::new(2), length), Ok(9000));
    let pages = reader.machine.read(reader.weak, 8 * 4096);
    assert!(pages[2 * 4096..2 * 4096 + 9000] == data);
    assert!(pages[..2 * 4096].iter().all(|byte| *byte == 0xAA));
    assert!(pages[2 * 4096 + 9000..].iter().all(|byte| *byte == 0xAA));
}
