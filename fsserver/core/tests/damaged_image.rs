// SPDX-License-Identifier: BSD-2-Clause
//! A damaged image makes errors, never a panic, and leaves nothing behind.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // A test may fail by panicking.

mod fake;

use std::fs::File;
use std::os::unix::fs::FileExt;

use fake::Machine;
use fake::image::{Folder, noise};
use fake::walk::{RIGHTS, walk};
use fsserver_api::{CallError, FsError, ReadLength};
use proto::FrameNumber;

fn folder() -> Folder {
    let folder = Folder::new();
    for n in 0..60 {
        folder.write(format!("many/file with a longer name {n}"), &noise(n * 100, 1));
    }
    folder.write("large", &noise(300_000, 2));
    folder.write("a/b/c/d", b"deep");
    std::os::unix::fs::symlink("a/b", folder.files().join("link")).unwrap();
    std::os::unix::fs::symlink("x".repeat(200), folder.files().join("long link")).unwrap();
    folder
}

#[test]
fn an_image_that_is_whole_is_read_whole() {
    let machine = Machine::new(folder().image());
    // The two symlinks cannot be read, nothing else fails.
    assert_eq!(walk(&machine), 2);
}

#[test]
fn damage_anywhere_is_an_error() {
    for options in [["-b", "4096"], ["-b", "1024"]] {
        let image = folder().image_with(&options);
        let used: Vec<usize> =
            image.iter().enumerate().filter(|(_, byte)| **byte != 0).map(|(at, _)| at).collect();
        let mut damaged_runs = 0;
        for round in 0..100 {
            let mut damaged = image.clone();
            for pick in noise(8 * 160, round).chunks_exact(8) {
                let pick = usize::from_le_bytes(pick.try_into().unwrap());
                let near = used[pick % used.len()].saturating_add(pick >> 40 & 63);
                damaged[near.min(image.len() - 1)] ^= (pick >> 48) as u8 | 1;
            }
            damaged_runs += u32::from(walk(&Machine::new(damaged)) > 2);
        }
        assert!(damaged_runs > 3, "only {damaged_runs} runs met the damage");
    }
}

#[test]
fn damaged_metadata_is_an_error() {
    // Inodes, extents and directories lie in the first blocks: that is where damage hurts.
    let image = folder().image();
    let used: Vec<usize> = (1024..image.len() / 2)
        .filter(|at| {
            image[*at] != 0
                && image[at & !4095..][..4096].iter().filter(|byte| **byte != 0).count() < 3000
        })
        .collect();
    for round in 0..200 {
        let mut damaged = image.clone();
        for pick in noise(8 * 3, round + 1000).chunks_exact(8) {
            let pick = usize::from_le_bytes(pick.try_into().unwrap());
            damaged[used[pick % used.len()]] ^= (pick >> 48) as u8 | 1;
        }
        walk(&Machine::new(damaged));
    }
}

#[test]
fn what_failed_can_be_tried_again_and_the_rest_is_read() {
    let folder = Folder::new();
    folder.write("pieces", &[]);
    folder.write("whole", b"contents");
    let file = File::options().write(true).open(folder.files().join("pieces")).unwrap();
    for index in 0..1000 {
        file.write_all_at(&[7; 4096], index * 8192).unwrap();
    }
    let image = folder.image();
    let is_leaf = |block: &&[u8]| block.starts_with(&[0x0A, 0xF3]) && block[6] == 0;
    let leaf = image.chunks(4096).filter(is_leaf).nth(1).unwrap();
    let at = leaf.as_ptr() as usize - image.as_ptr() as usize;
    let read = |image: &[u8], name: &[u8; 7]| {
        let machine = Machine::new(image.to_vec());
        let mut fs = machine.fs();
        let weak = machine.lend(64, RIGHTS);
        let results = [b"/pieces", name, b"/pieces"].map(|path| {
            machine.write(weak, 0, path);
            let file = fs.lookup(weak, path.len())?;
            let length = ReadLength::new(64 * 4096).unwrap();
            let read = fs.read(file, weak, 4096, FrameNumber::new(0), length);
            machine.assert_at_rest();
            read
        });
        results.map(|result: Result<u64, CallError>| result.map_err(|error| error.refusal()))
    };
    assert_eq!(read(&image, b"/pieces"), [Ok(64 * 4096); 3]);
    let mut damaged = image.clone();
    damaged[at + 100] ^= 1;
    let bad = Err(Some(FsError::ImageDamaged));
    assert_eq!(read(&damaged, b"/pieces"), [bad; 3]);
    assert_eq!(read(&damaged, b"//whole"), [bad, Err(Some(FsError::PastEnd)), bad]);
}
