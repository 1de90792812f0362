// SPDX-License-Identifier: BSD-2-Clause
//! Changes do what a model of them says, and e2fsck finds nothing to complain of.

use fastrand::Rng;
use fsserver_volume::{Access, Error, Volume};

use crate::disk::{Memory, assert_clean, blank, mount, times, writable};
use crate::model::{Habits, Model, USUAL};
use crate::tree::list;

/// Makes random changes, with all that is checked at syncs, in parts of so many changes.
fn run_random(kib: u64, block_bytes: u32, habits: Habits, seed: u64, parts: u64) -> u32 {
    let mut disk = Memory::new(blank(kib, &writable(block_bytes)));
    let mut rng = Rng::with_seed(seed);
    let mut changes = 0;
    let mut model = {
        let mut volume = mount(&mut disk, Access::Write).unwrap();
        let model = Model::new(&mut volume);
        volume.close().unwrap();
        model
    };
    for part in 0..parts {
        let when = format!("seed {seed}, part {part}");
        let mut volume = mount(&mut disk, Access::Write).unwrap();
        for _ in 0..rng.u32(50..200) {
            model.change(&mut volume, &mut rng, habits);
            changes += 1;
            if rng.u32(..20) == 0 {
                volume.sync().unwrap();
            }
        }
        model.assert_same(&mut volume, &when);
        model.release_all(&mut volume);
        volume.sync().unwrap();
        model.assert_same(&mut volume, &when);
        volume.close().unwrap();
        drop(volume);
        assert_clean(&disk.bytes, &when);
    }
    changes
}

#[test]
fn random_changes_do_what_the_model_says() {
    let mut changes = 0;
    for seed in 0..times("VOLUME_SEEDS", 3) {
        for block_bytes in [1024, 4096] {
            changes += run_random(24 << 10, block_bytes, USUAL, seed, 6);
        }
    }
    println!("{changes} random changes");
}

#[test]
fn a_full_volume_refuses_and_stays_sound() {
    let habits = Habits { file_bytes_max: 3_000_000, write_bytes_max: 900_000, ..USUAL };
    let mut changes = 0;
    for seed in 0..times("VOLUME_SEEDS", 3) {
        changes += run_random(10 << 10, 1024, habits, seed, 4);
        changes += run_random(12 << 10, 4096, habits, seed, 4);
    }
    println!("{changes} random changes of full volumes");
}

#[test]
fn what_a_write_without_space_has_reserved_is_given_back() {
    let mut disk = Memory::new(blank(10 << 10, &writable(1024)));
    let mut volume = mount(&mut disk, Access::Write).unwrap();
    let file = volume.create(volume.root(), b"f").unwrap();
    volume.sync().unwrap();
    let data = vec![7; 600_000];
    let full = (0..20).find(|n| volume.write(file, n * 600_000, &data).is_err()).unwrap();
    assert_eq!(volume.status(file).unwrap().size_bytes, full * 600_000);
    volume.sync().unwrap();
    let free = volume.space().free_blocks;
    assert!(free > 100, "only {free} blocks are free");
    let other = volume.create(volume.root(), b"g").unwrap();
    volume.write(other, 0, &data[..50_000]).unwrap();
    volume.close().unwrap();
    drop(volume);
    assert_clean(&disk.bytes, "full");
}

#[test]
fn large_directories_are_counted_right() {
    for block_bytes in [1024, 4096] {
        let mut disk = Memory::new(blank(64 << 10, &writable(block_bytes)));
        let mut volume = mount(&mut disk, Access::Write).unwrap();
        let directory = volume.make_dir(volume.root(), b"d").unwrap();
        let name = |n: u32| format!("a name that is somewhat longer {n}").into_bytes();
        for n in 0..1200 {
            let file = volume.create(directory, &name(n)).unwrap();
            volume.write(file, 0, &[7; 5000]).unwrap();
        }
        volume.sync().unwrap();
        // Names of another hash, so that blocks of the index are split by a rename.
        for n in 0..600 {
            let new = format!("renamed {n}").into_bytes();
            volume.rename(directory, &name(n), directory, &new).unwrap();
        }
        assert_eq!(list(&mut volume, directory, 100).unwrap().len(), 1200);
        volume.close().unwrap();
        drop(volume);
        assert_clean(&disk.bytes, &format!("blocks of {block_bytes}"));
    }
}

#[test]
fn directories_are_bounded() {
    let mut disk = Memory::new(blank(64 << 10, &writable(1024)));
    let mut volume = mount(&mut disk, Access::Write).unwrap();
    let root = volume.root();
    let directory = volume.make_dir(root, b"d").unwrap();
    let name = |n: u32| format!("{n} {}", "x".repeat(240)).into_bytes();
    let refused = (0..9000).find(|n| volume.create(directory, &name(*n)).is_err()).unwrap();
    assert!(refused > 200, "only {refused} names");
    assert_eq!(volume.create(directory, b"one more"), Err(Error::NoSpace));
    assert!(volume.create(root, b"elsewhere").is_ok());
    assert_eq!(list(&mut volume, directory, 100).unwrap().len() as u32, refused);
    volume.close().unwrap();
    drop(volume);
    assert_clean(&disk.bytes, "full directory");
}

#[test]
fn a_file_that_was_removed_lives_until_it_is_closed() {
    let mut disk = Memory::new(blank(16 << 10, &writable(1024)));
    let mut volume = mount(&mut disk, Access::Write).unwrap();
    let root = volume.root();
    volume.sync().unwrap();
    let free = volume.space().free_blocks;
    let file = volume.create(root, b"f").unwrap();
    volume.write(file, 0, &[7; 100_000]).unwrap();
    volume.open(file).unwrap();
    volume.unlink(root, b"f").unwrap();
    volume.sync().unwrap();
    let mut byte = [0; 2];
    assert_eq!(volume.read(file, 99_999, &mut byte), Ok(1));
    assert_eq!(volume.status(file).unwrap().links, 0);
    volume.write(file, 100_000, b"more").unwrap();
    assert_eq!(volume.link(file, root, b"again"), Err(Error::NotFound));
    assert!(volume.space().free_blocks < free - 90);
    volume.release(file);
    volume.sync().unwrap();
    assert_eq!(volume.space().free_blocks, free);
    assert_eq!(volume.status(file), Err(Error::NotFound));
    volume.close().unwrap();
    assert_eq!(volume.lookup(root, b"f"), Err(Error::Io));
}

#[test]
fn each_error_of_writing_has_its_cause() {
    let mut disk = Memory::new(blank(16 << 10, &writable(1024)));
    let mut volume = mount(&mut disk, Access::Write).unwrap();
    let root = volume.root();
    let file = volume.create(root, b"f").unwrap();
    let directory = volume.make_dir(root, b"d").unwrap();
    for name in [&b""[..], b".", b"..", b"a/b", b"a\0"] {
        assert_eq!(volume.create(root, name), Err(Error::BadName));
        assert_eq!(volume.rename(root, b"f", root, name), Err(Error::BadName));
        assert_eq!(volume.unlink(root, name), Err(Error::BadName));
    }
    assert_eq!(volume.create(root, &[b'x'; 256]), Err(Error::NameTooLong));
    assert!(volume.create(root, &[b'x'; 255]).is_ok());
    assert_eq!(volume.create(root, b"f"), Err(Error::Exists));
    assert_eq!(volume.create(file, b"x"), Err(Error::NotADirectory));
    assert_eq!(volume.symlink(root, b"l", &[b'x'; 1024]), Err(Error::NameTooLong));
    assert_eq!(volume.symlink(root, b"l", b""), Err(Error::BadName));
    assert_eq!(volume.link(directory, root, b"x"), Err(Error::IsADirectory));
    assert_eq!(volume.unlink(root, b"d"), Err(Error::IsADirectory));
    assert_eq!(volume.remove_dir(root, b"f"), Err(Error::NotADirectory));
    assert_eq!(volume.write(directory, 0, b"x"), Err(Error::IsADirectory));
    assert_eq!(volume.truncate(directory, 0), Err(Error::IsADirectory));
    assert_eq!(volume.rename(root, b"d", directory, b"x"), Err(Error::BadName));
    assert_eq!(volume.write(file, 0, &vec![0; (1 << 20) + 1]), Err(Error::TooLarge));
    assert_eq!(volume.write(file, u64::MAX - 3, b"12345"), Err(Error::TooLarge));
    assert_eq!(volume.write(file, 1 << 44, b"12345"), Err(Error::TooLarge));
    assert_eq!(volume.truncate(file, 1 << 45), Err(Error::TooLarge));
    volume.create(directory, b"x").unwrap();
    assert_eq!(volume.remove_dir(root, b"d"), Err(Error::NotEmpty));
    volume.remove_dir(root, b"lost+found").unwrap();
    volume.close().unwrap();
    drop(volume);
    assert_clean(&disk.bytes, "errors");
}

#[test]
fn a_file_in_too_many_pieces_is_refused() {
    let mut disk = Memory::new(blank(32 << 10, &writable(1024)));
    let mut volume = mount(&mut disk, Access::Write).unwrap();
    let root = volume.root();
    let file = volume.create(root, b"f").unwrap();
    let refused = (0..9000).find(|n| volume.write(file, n * 2048, b"x").is_err()).unwrap();
    assert!((4000..=4096).contains(&refused), "{refused} pieces");
    assert_eq!(volume.write(file, 1 << 30, b"x"), Err(Error::TooLarge));
    volume.sync().unwrap();
    // The engine cannot make it smaller, and leaves it as it was. It can free it.
    assert_eq!(volume.truncate(file, 0), Err(Error::TooLarge));
    assert_eq!(volume.status(file).unwrap().size_bytes, (refused - 1) * 2048 + 1);
    let mut bytes = vec![0; 4096];
    assert_eq!(volume.read(file, 2048, &mut bytes), Ok(4096));
    assert_eq!((bytes[0], bytes[1], bytes[2048]), (b'x', 0, b'x'));
    volume.close().unwrap();
    drop(volume);
    assert_clean(&disk.bytes, "in pieces");
    let mut volume = mount(&mut disk, Access::Write).unwrap();
    volume.unlink(root, b"f").unwrap();
    volume.close().unwrap();
    drop(volume);
    assert_clean(&disk.bytes, "pieces");
}

#[test]
fn a_file_that_could_not_be_freed_is_not_removed() {
    let mut options = writable(1024);
    options.extend(["-g", "512", "-N", "1024"].map(str::to_owned));
    let mut disk = Memory::new(blank(24 << 10, &options));
    let mut volume = mount(&mut disk, Access::Write).unwrap();
    let root = volume.root();
    // Every second of many files is removed: what is written then is in pieces, far apart.
    let name = |n: u64| format!("f{n}").into_bytes();
    let data = vec![7; 40 << 10];
    for n in 0..400 {
        let file = volume.create(root, &name(n)).unwrap();
        volume.write(file, 0, &data).unwrap();
    }
    (0..400).step_by(2).for_each(|n| volume.unlink(root, &name(n)).unwrap());
    volume.sync().unwrap();
    let far = volume.create(root, b"far").unwrap();
    (0..185).for_each(|n| volume.write(far, n * (50 << 10), &data).unwrap());
    assert_eq!(volume.unlink(root, b"far"), Err(Error::TooLarge));
    assert_eq!(volume.rename(root, b"f1", root, b"far"), Err(Error::TooLarge));
    volume.close().unwrap();
}

#[test]
fn after_a_write_has_failed_the_volume_is_mounted_again() {
    for writes in (1..times("VOLUME_FAILURES", 30) as u32 * 3).step_by(3) {
        let mut disk = Memory::new(blank(16 << 10, &writable(1024)));
        let mut volume = mount(&mut disk, Access::Write).unwrap();
        let kept = volume.create(volume.root(), b"kept").unwrap();
        volume.write(kept, 0, &[7; 10_000]).unwrap();
        volume.close().unwrap();
        drop(volume);
        disk.writes_left = Some(writes + 20);
        let mut rng = Rng::with_seed(writes.into());
        if let Ok(mut volume) = mount(&mut disk, Access::Write) {
            let root = volume.root();
            let mut is_failed = false;
            for n in 0..300 {
                let name = format!("f{}", rng.u32(..20)).into_bytes();
                let _ = match n % 3 {
                    0 => volume.create(root, &name).map(drop),
                    1 => volume.unlink(root, &name),
                    _ => volume.lookup(root, &name).and_then(|f| volume.write(f, 0, &[1; 3000])),
                };
                is_failed |= n % 10 == 0 && volume.sync().is_err();
            }
            assert!(is_failed, "the disk has failed");
            assert_eq!(volume.create(root, b"new"), Err(Error::Io));
            assert!(volume.mount_again().is_err(), "the disk fails still");
        }
        disk.writes_left = None;
        let mut volume = mount(&mut disk, Access::Write).unwrap();
        let mut bytes = [0; 10_000];
        assert_eq!(volume.read(kept, 0, &mut bytes), Ok(10_000));
        assert_eq!(bytes, [7; 10_000]);
        volume.close().unwrap();
        volume.mount_again().unwrap();
        volume.create(volume.root(), b"new").unwrap();
        volume.close().unwrap();
        drop(volume);
        assert_clean(&disk.bytes, &format!("after {writes} writes"));
    }
}

#[test]
fn what_a_cut_off_write_has_left_behind_the_end_is_not_shown() {
    let mut disk = Memory::new(blank(10 << 10, &writable(4096)));
    let mut volume = mount(&mut disk, Access::Write).unwrap();
    let root = volume.root();
    for name in [b"truncated", b"written__"] {
        let file = volume.create(root, name).unwrap();
        volume.write(file, 0, &[7; 1000]).unwrap();
    }
    volume.close().unwrap();
    drop(volume);
    // The data of a write is on the disk before the size that shows it: the power fails between.
    let mut blocks = 0;
    for block in disk.bytes.chunks_mut(4096).filter(|block| block[..1000] == [7; 1000]) {
        block[1000..].fill(9);
        blocks += 1;
    }
    assert_eq!(blocks, 2);
    let mut volume = mount(&mut disk, Access::Write).unwrap();
    let [truncated, written] =
        [b"truncated", b"written__"].map(|name| volume.lookup(root, name).unwrap());
    volume.truncate(truncated, 3000).unwrap();
    volume.write(written, 2000, &[8; 1000]).unwrap();
    volume.sync().unwrap();
    for (file, ending) in [(truncated, 0), (written, 8)] {
        let mut bytes = vec![1; 3000];
        assert_eq!(volume.read(file, 0, &mut bytes), Ok(3000));
        assert!(bytes[1000..2000] == [0; 1000] && bytes[2000..] == [ending; 1000]);
    }
}
