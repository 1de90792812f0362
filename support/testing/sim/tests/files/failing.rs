// SPDX-License-Identifier: BSD-2-Clause
//! Disks that fail, and clients that are stopped.

use block_api::DiskFeatures;
use fsserver_api::FsError;
use pmserver_client::{AddressSpace, VirtAddr};
use sim::disk::DiskPlan;
use sim::system::End;

use crate::image::{replayed, volume};
use crate::rig::{Rig, SECOND, bytes, file, said};

fn disk() -> Vec<u8> {
    volume(64, 4096, &[("a", &bytes(1, 20_000)), ("b", &bytes(2, 20_000)), ("house/a/", b"")])
}

/// Returns the block of a disk that begins with these bytes.
pub(crate) fn block_with(disk: &[u8], bytes: &[u8]) -> u64 {
    let block = disk.chunks(512).position(|block| block.starts_with(&bytes[..100]));
    block.unwrap() as u64
}

#[test]
fn fs_107_a_block_that_cannot_be_read_fails_who_needs_it() {
    let image = disk();
    let rig = Rig::new(&image);
    let (writer, reader) = (rig.writer(), rig.reader());
    let bad = block_with(&image, &bytes(1, 20_000)[8192..]);
    rig.disk.spoil(bad..bad + 1);
    writer.make("/new", b"not synced").unwrap();
    assert_eq!(reader.contents("/a"), Err(FsError::DiskFailed));
    assert_eq!(reader.contents("/a"), Err(FsError::DiskFailed));
    assert_eq!(reader.contents("/b"), Ok(bytes(2, 20_000)));
    assert_eq!(reader.contents("/new"), Ok(b"not synced".to_vec()), "nothing is lost by that");
    rig.disk.spoil(0..0);
    assert_eq!(reader.contents("/a"), Ok(bytes(1, 20_000)));
    rig.check_quiet();
}

#[test]
fn fs_113_when_a_write_has_failed_all_files_are_closed() {
    let image = disk();
    let blocks = image.len() as u64 / 512;
    let rig = Rig::new(&image);
    let (writer, reader) = (rig.writer(), rig.reader());
    for _ in 0..3 {
        writer.make("/synced", &bytes(3, 5000)).unwrap();
        writer.sync().unwrap();
        let theirs = reader.lookup("/synced").unwrap();
        reader.read_all(theirs).unwrap();
        let mine = writer.lookup("/synced").unwrap();
        let lost = writer.create("/lost").unwrap();
        writer.write(lost, 0, &bytes(4, 5000)).unwrap();
        writer.write(mine, 0, &bytes(5, 2000)).unwrap();
        assert_eq!(reader.read(theirs, 0, 2000), Ok(bytes(5, 2000)));
        rig.disk.spoil(0..blocks);
        assert_eq!(writer.sync(), Err(FsError::DiskFailed));
        assert_eq!(reader.read(theirs, 0, 10), Err(FsError::BadHandle));
        assert_eq!(writer.write(lost, 0, b"x"), Err(FsError::BadHandle));
        assert_eq!(writer.create("/other"), Err(FsError::DiskFailed));
        rig.disk.spoil(0..0);
        let synced = reader.contents("/synced").unwrap();
        let new = [&bytes(5, 2000), &bytes(3, 5000)[2000..]].concat();
        assert!(synced == bytes(3, 5000) || synced == new);
        match reader.contents("/lost") {
            Err(FsError::NotFound) => {}
            Ok(bytes_of) => {
                assert!(bytes_of.is_empty() || bytes_of == bytes(4, 5000));
                writer.unlink("/lost").unwrap();
            }
            Err(error) => panic!("{error}"),
        }
        writer.unlink("/synced").unwrap();
        writer.make("/after", &bytes(6, 9000)).unwrap();
        writer.sync().unwrap();
        assert_eq!(reader.contents("/after"), Ok(bytes(6, 9000)));
        writer.unlink("/after").unwrap();
        writer.sync().unwrap();
        replayed(&rig.disk.contents(), "after a failure");
    }
    rig.check_quiet();
}

#[test]
fn fs_107_a_disk_that_cannot_be_reset_is_used_again_when_it_can() {
    let rig = Rig::new(&disk());
    let (writer, reader) = (rig.writer(), rig.reader());
    writer.sync().unwrap();
    writer.trim();
    let before = rig.used();
    let file = reader.lookup("/a").unwrap();
    let other = reader.lookup("/b").unwrap();
    rig.disk.hang();
    rig.disk.fail_resets(3);
    assert_eq!(reader.ask_read(file, 0, 100), Err(FsError::Pending));
    for _ in 0..8 {
        rig.rest(SECOND);
        match reader.ask_read(file, 0, 100) {
            Err(FsError::Pending | FsError::DiskFailed) => {}
            other => assert_eq!(other, Ok(100)),
        }
    }
    rig.rest(2 * SECOND);
    assert_eq!(reader.read_all(file), Ok(bytes(1, 20_000)));
    assert_eq!(reader.read_all(other), Ok(bytes(2, 20_000)));
    writer.trim();
    assert_eq!(rig.used(), before);
}

#[test]
fn fs_176_a_disk_that_cannot_be_written_has_nothing_to_sync() {
    let image = disk();
    let mut plan = DiskPlan::new(&image[..]);
    plan.features = DiskFeatures { is_read_only: true, has_flush: false, has_discard: false };
    let rig = Rig::with(&file(), plan, None);
    let writer = rig.writer();
    assert_eq!(writer.create("/new"), Err(FsError::ReadOnly));
    assert_eq!(writer.unlink("/a"), Err(FsError::ReadOnly));
    let file = writer.lookup("/a").unwrap();
    assert_eq!(writer.write(file, 0, b"x"), Err(FsError::ReadOnly));
    assert_eq!(said(writer.fs().sync_file(file)), Ok(()));
    assert_eq!(writer.sync(), Ok(()));
    assert_eq!(writer.read_all(file), Ok(bytes(1, 20_000)));
    assert_eq!(rig.disk.contents(), image);
}

#[test]
fn fs_123_a_client_that_is_stopped_hurts_nobody() {
    let rig = Rig::new(&disk());
    let (homely, writer) = (rig.homely(), rig.writer());
    let file = homely.create("/new").unwrap();
    for number in 0..3 {
        assert_eq!(homely.ask_write(file, number * 4096, 4096), Err(FsError::Pending));
    }
    assert_eq!(homely.ask_make_dir("/d"), Err(FsError::Pending));
    let end = rig.system.run("homely", |domain| {
        domain.space().copy_out(&[1], VirtAddr::new(0x3F00_0000).unwrap());
    });
    assert_eq!(end, End::Stopped);
    assert_eq!(writer.contents("/a"), Ok(bytes(1, 20_000)));
    rig.rest(SECOND);
    writer.make("/new", &bytes(3, 100_000)).unwrap();
    writer.sync().unwrap();
    assert_eq!(rig.reader().contents("/new"), Ok(bytes(3, 100_000)));
    let _ = writer.lookup("/house/a/d").unwrap();
    assert_eq!(writer.unlink("/house/a/new"), Ok(()));
    replayed(&rig.disk.contents(), "stopped");
    crate::stage::check(&rig.system, &"afterwards");
}
