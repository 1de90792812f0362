// SPDX-License-Identifier: BSD-2-Clause
//! While the disk works (FS-100 to FS-108).

use fsserver_api::{FileKind, FsError};
use proto::Waiter;
use sim::disk::DiskPlan;
use sim::system_file::SystemFile;

use crate::image::volume;
use crate::rig::{DATA, Rig, SECOND, bytes, said};

/// A disk with a large file, and small ones.
fn disk() -> Vec<u8> {
    let large = bytes(1, 14 << 20);
    let small: Vec<(String, Vec<u8>)> =
        (0..50).map(|number| (format!("{number}"), bytes(number, 100))).collect();
    let mut files: Vec<(&str, &[u8])> =
        small.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    files.extend([("large", large.as_slice()), ("house/a/", b"")]);
    volume(64, 4096, &files)
}

const WINDOW: u64 = 2 << 20;

#[test]
fn fs_100_and_101_who_asks_for_what_is_on_the_disk_is_notified_and_asks_again() {
    let rig = Rig::new(&disk());
    let reader = rig.reader();
    let file = reader.lookup("/large").unwrap();
    for window in (0..6).rev() {
        assert_eq!(reader.ask_read(file, window * WINDOW, 4096), Err(FsError::Pending));
        assert_eq!(reader.ask_read(file, window * WINDOW, 4096), Err(FsError::Pending), "again");
        reader.domain.clone().wait();
        assert_eq!(reader.ask_read(file, window * WINDOW, 4096), Ok(4096));
        let at = (window * WINDOW) as usize;
        assert_eq!(reader.load(DATA, 4096), bytes(1, 14 << 20)[at..at + 4096]);
    }
    rig.check_quiet();
}

#[test]
fn fs_102_a_result_is_given_once_and_to_the_same_request() {
    let rig = Rig::new(&disk());
    let reader = rig.reader();
    assert_eq!(reader.ask_lookup("/1"), Err(FsError::Pending));
    assert_eq!(reader.ask_lookup("/2"), Err(FsError::Pending), "the registers are the same");
    rig.rest(SECOND);
    let second = reader.ask_lookup("/2").unwrap();
    let first = reader.ask_lookup("/1").unwrap();
    assert_eq!(reader.read_all(first), Ok(bytes(1, 100)));
    assert_eq!(reader.read_all(second), Ok(bytes(2, 100)));
    assert_ne!(reader.ask_lookup("/1"), Ok(first), "a new request");
    let homely = rig.homely();
    assert_eq!(homely.ask_make_dir("/new"), Err(FsError::Pending));
    rig.rest(SECOND);
    assert_eq!(homely.ask_make_dir("/new"), Ok(()));
    assert_eq!(homely.make_dir("/new"), Err(FsError::Exists));
}

#[test]
fn fs_103_a_client_has_four_requests_under_way() {
    let rig = Rig::new(&disk());
    let (reader, writer) = (rig.reader(), rig.writer());
    let file = reader.lookup("/large").unwrap();
    for window in 0..4 {
        assert_eq!(reader.ask_read(file, window * WINDOW, 4096), Err(FsError::Pending));
    }
    assert_eq!(reader.ask_read(file, 4 * WINDOW, 4096), Err(FsError::Busy));
    assert_eq!(writer.contents("/1"), Ok(bytes(1, 100)), "another client has its own four");
    rig.rest(SECOND);
    assert_eq!(reader.ask_read(file, 4 * WINDOW, 4096), Err(FsError::Pending));
    rig.rest(SECOND);
    for window in 0..5 {
        assert_eq!(reader.ask_read(file, window * WINDOW, 4096), Ok(4096));
    }
}

#[test]
fn fs_103_a_result_that_nobody_asks_for_is_dropped_and_its_file_closed() {
    let rig = Rig::new(&disk());
    let writer = rig.writer();
    for number in 0..50 {
        assert_eq!(writer.ask_lookup(&format!("/{number}")), Err(FsError::Pending), "{number}");
        rig.rest(SECOND);
    }
    let opened: Vec<_> = (46..50).map(|n| writer.ask_lookup(&format!("/{n}")).unwrap()).collect();
    for (number, file) in (46..).zip(opened) {
        assert_eq!(writer.read_all(file), Ok(bytes(number, 100)));
        writer.close(file);
    }
    let more: Vec<_> = (0..24).map(|_| writer.lookup("/1").unwrap()).collect();
    assert_eq!(writer.lookup("/1"), Err(FsError::TooManyOpenFiles));
    more.into_iter().for_each(|file| writer.close(file));
}

#[test]
fn fs_123_writes_of_others_are_in_nobodys_way() {
    let text = include_str!("system.xml").replacen(
        "limit=\"0x1000000\" />",
        "limit=\"0x1000000\" /><file_access rights=\"write\" />",
        1,
    );
    let rig = Rig::with(&SystemFile::parse(&text).unwrap(), DiskPlan::new(disk()), None);
    let writers = [rig.writer(), rig.homely(), rig.reader()];
    let files =
        writers.each_ref().map(|writer| writer.create("/new").or(writer.lookup("/1")).unwrap());
    let all = || writers.iter().zip(files).flat_map(|it| (0..4).map(move |number| (it, number)));
    writers.iter().for_each(|writer| writer.store(DATA, &[7; 5000]));
    for ((writer, file), number) in all() {
        assert_eq!(writer.ask_write(file, number * 5000, 5000), Err(FsError::Pending));
    }
    rig.rest(SECOND);
    for ((writer, file), number) in all() {
        assert_eq!(writer.ask_write(file, number * 5000, 5000), Ok(5000), "{number}");
    }
    for (writer, file) in writers.iter().zip(files) {
        assert_eq!(writer.read_all(file), Ok(vec![7; 20_000]));
    }
    rig.check_quiet();
}

#[test]
fn fs_141_what_was_taken_is_written_whatever_the_client_stores_meanwhile() {
    let rig = Rig::new(&disk());
    let writer = rig.writer();
    let file = writer.create("/new").unwrap();
    // Into new blocks, and over them: all of the first and of the last one, and not.
    for (number, offset) in [0, 0, 100].into_iter().enumerate() {
        let new = bytes(number as u64 + 10, 300_000);
        writer.store(DATA, &new);
        assert_eq!(writer.ask_write(file, offset, new.len()), Err(FsError::Pending));
        writer.store(DATA, &vec![9; new.len()]);
        rig.rest(SECOND);
        assert_eq!(writer.ask_write(file, offset, new.len()), Ok(300_000));
        writer.sync().unwrap();
        writer.trim();
        let written = writer.read_all(file).unwrap();
        assert!(written[offset as usize..] == new, "{number}");
    }
    rig.check_quiet();
}

#[test]
fn fs_104_what_is_not_asked_for_again_is_done() {
    let rig = Rig::new(&disk());
    let (writer, reader) = (rig.writer(), rig.reader());
    let file = writer.create("/new").unwrap();
    assert_eq!(writer.ask_make_dir("/directory"), Err(FsError::Pending));
    writer.store(DATA, &[7; 5000]);
    assert_eq!(writer.ask_write(file, 0, 5000), Err(FsError::Pending));
    rig.rest(SECOND);
    assert_eq!(reader.contents("/new"), Ok(vec![7; 5000]));
    let file = reader.lookup("/directory").unwrap();
    assert_eq!(said(reader.fs().stat(file)).unwrap().kind, FileKind::Directory);
}

#[test]
fn fs_105_what_is_in_memory_is_answered_while_others_wait_and_the_disk_hangs() {
    let rig = Rig::new(&disk());
    let (writer, reader) = (rig.writer(), rig.reader());
    let (large, small) = (writer.lookup("/large").unwrap(), reader.lookup("/1").unwrap());
    let other = reader.lookup("/2").unwrap();
    reader.read_all(small).unwrap();
    writer.read(large, 0, 4096).unwrap();
    rig.disk.hang();
    assert_eq!(writer.ask_read(large, 3 * WINDOW, 4096), Err(FsError::Pending));
    assert_eq!(reader.ask_read(other, 0, 100), Err(FsError::Pending));
    assert_eq!(reader.ask_read(small, 0, 100), Ok(100));
    assert_eq!(writer.ask_read(large, 4096, 4096), Ok(4096), "of the client that waits");
    assert_eq!(said(reader.asks().stat(small)).unwrap().size_bytes, 100);
    let again = reader.ask_lookup("/1").unwrap();
    said(reader.asks().close(again)).unwrap();
    // Whoever asks again finds out that the disk hangs.
    rig.rest(SECOND);
    assert_eq!(writer.ask_read(large, 3 * WINDOW, 4096), Err(FsError::Pending));
    assert_eq!(writer.read(large, 3 * WINDOW, 4096).unwrap().len(), 4096);
    assert_eq!(reader.read(other, 0, 100), Ok(bytes(2, 100)));
    rig.check_quiet();
}

#[test]
fn fs_106_changes_are_done_in_the_order_in_which_they_were_asked_for() {
    let rig = Rig::new(&disk());
    let writer = rig.writer();
    let rename = || {
        writer.put("/x/y");
        said(writer.asks().rename(writer.weak, 2, 2))
    };
    let remove = || said(writer.asks().remove_dir(writer.weak, writer.put("/x")));
    assert_eq!(writer.ask_make_dir("/x"), Err(FsError::Pending));
    assert_eq!(rename(), Err(FsError::Pending));
    assert_eq!(remove(), Err(FsError::Pending));
    rig.rest(SECOND);
    assert_eq!(remove(), Err(FsError::NotFound));
    assert_eq!(rename(), Ok(()));
    assert_eq!(writer.ask_make_dir("/x"), Ok(()));
    assert!(writer.lookup("/y").is_ok());
}

#[test]
fn fs_107_every_request_ends_whatever_the_disk_does() {
    let rig = Rig::new(&disk());
    let (writer, reader) = (rig.writer(), rig.reader());
    let large = reader.lookup("/large").unwrap();
    let mut asked = 0;
    while reader.ask_read(large, 0, 4096) == Err(FsError::Pending) {
        // Each time the disk is reset, and hangs again.
        rig.disk.hang();
        rig.rest(SECOND);
        asked += 1;
    }
    assert!((3..20).contains(&asked), "{asked}");
    assert_eq!(reader.ask_read(large, 0, 4096), Err(FsError::Pending));
    rig.rest(SECOND);
    assert_eq!(reader.read(large, 0, 4096).unwrap(), bytes(1, 4096));
    assert_eq!(writer.contents("/3"), Ok(bytes(3, 100)));
    rig.check_quiet();
}

#[test]
fn fs_108_what_is_refused_changes_nothing() {
    let rig = Rig::new(&disk());
    let writer = rig.writer();
    writer.make_dir("/full").unwrap();
    writer.make("/full/file", b"text").unwrap();
    writer.symlink("nowhere", "/link").unwrap();
    writer.sync().unwrap();
    let before = (writer.list("/", 1), writer.list("/full", 1), said(writer.fs().space()));
    let long = format!("/{}", "n".repeat(256));
    for (number, (result, error)) in [
        (writer.create("/full").map(drop), FsError::Exists),
        (writer.create("/none/new").map(drop), FsError::NotFound),
        (writer.create("/1/new").map(drop), FsError::NotADirectory),
        (writer.create("/link").map(drop), FsError::Exists),
        (writer.create("/link/new").map(drop), FsError::NotFound),
        (writer.create("/full/../new").map(drop), FsError::DotDot),
        (writer.create(&long).map(drop), FsError::BadPath),
        (writer.create("/").map(drop), FsError::Exists),
        (writer.create("/new/").map(drop), FsError::IsADirectory),
        (writer.create("/none/new/").map(drop), FsError::NotFound),
        (writer.symlink("1", "/new/"), FsError::IsADirectory),
        (writer.link("/1", "/new/"), FsError::IsADirectory),
        (writer.unlink("/1/"), FsError::NotADirectory),
        (writer.unlink("/full/"), FsError::IsADirectory),
        (writer.rename("/1", "/new/"), FsError::NotADirectory),
        (writer.rename("/1/", "/new"), FsError::NotADirectory),
        (writer.make_dir("/full"), FsError::Exists),
        (writer.make_dir("/"), FsError::Exists),
        (writer.unlink("/full"), FsError::IsADirectory),
        (writer.unlink("/none"), FsError::NotFound),
        (writer.unlink("/"), FsError::IsADirectory),
        (writer.remove_dir("/full"), FsError::NotEmpty),
        (writer.remove_dir("/1"), FsError::NotADirectory),
        (writer.remove_dir("/"), FsError::Busy),
        (writer.rename("/none", "/x"), FsError::NotFound),
        (writer.rename("/1", "/full"), FsError::IsADirectory),
        (writer.rename("/full", "/1"), FsError::NotADirectory),
        (writer.rename("/full", "/full/in"), FsError::BadPath),
        (writer.rename("/house", "/full"), FsError::NotEmpty),
        (writer.rename("/", "/x"), FsError::Busy),
        (writer.rename("/full", "/"), FsError::Busy),
        (writer.rename("/1", "/1"), FsError::Pending),
        (writer.link("/full", "/x"), FsError::IsADirectory),
        (writer.link("/1", "/2"), FsError::Exists),
        (writer.link("/none", "/x"), FsError::NotFound),
        (writer.symlink("target", "/1"), FsError::Exists),
        (writer.symlink(&"t".repeat(4000), &format!("/{}", "p/".repeat(40))), FsError::NotFound),
        (writer.symlink("a\0b", "/x"), FsError::BadPath),
    ]
    .into_iter()
    .enumerate()
    {
        // The one that changes nothing and succeeds.
        let expected = if error == FsError::Pending { Ok(()) } else { Err(error) };
        assert_eq!(result, expected, "{number}");
    }
    let after = (writer.list("/", 1), writer.list("/full", 1), said(writer.fs().space()));
    assert_eq!(before, after);
    assert_eq!(writer.contents("/full/file"), Ok(b"text".to_vec()));
    assert_eq!(writer.contents("/1"), Ok(bytes(1, 100)));
}
