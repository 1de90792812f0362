// SPDX-License-Identifier: BSD-2-Clause
//! What is read from the disk before somebody asks for it (FS-96).

use fsserver_api::{FileHandle, FsError};
use sim::disk::DiskPlan;

use crate::failing::block_with;
use crate::image::volume;
use crate::rig::{DATA, Person, Rig, SECOND, bytes, with_text};

const WINDOW: u64 = 2 << 20;
const LARGE: usize = 12 << 20;

/// Returns a system whose fsserver has room for so many bytes in all, and a file larger than that.
fn rig(limit: &str) -> Rig {
    let file = with_text("limit=\"0x2000000\"", &format!("limit=\"{limit}\""));
    Rig::with(&file, DiskPlan::new(volume(32, 4096, &[("large", &bytes(1, LARGE))])), None)
}

/// Reads the first page of a window, waiting for the disk.
fn read(reader: &Person, file: FileHandle, window: u64) {
    assert!(reader.read(file, window * WINDOW, 4096) == Ok(first_page(window)));
}

/// Returns whether the first page of a window can be read at once.
fn is_there(reader: &Person, file: FileHandle, window: u64) -> bool {
    match reader.ask_read(file, window * WINDOW, 4096) {
        Ok(bytes) => {
            assert_eq!(bytes, 4096);
            assert!(reader.load(DATA, 4096) == first_page(window));
            true
        }
        other => {
            assert_eq!(other, Err(FsError::Pending));
            false
        }
    }
}

fn first_page(window: u64) -> Vec<u8> {
    let at = (window * WINDOW) as usize;
    bytes(1, LARGE)[at..at + 4096].to_vec()
}

#[test]
fn fs_96_who_reads_in_order_finds_the_next_window() {
    let rig = rig("0x2000000");
    let reader = rig.reader();
    let file = reader.lookup("/large").unwrap();
    read(&reader, file, 0);
    read(&reader, file, 1);
    for window in 2..6 {
        rig.rest(SECOND);
        assert!(is_there(&reader, file, window), "{window}");
    }
    rig.check_quiet();
}

#[test]
fn fs_96_who_does_not_has_nothing_read() {
    let rig = rig("0x2000000");
    let reader = rig.reader();
    let file = reader.lookup("/large").unwrap();
    for window in [0, 2, 4, 3] {
        read(&reader, file, window);
        rig.rest(SECOND);
    }
    let used = rig.used();
    for window in [1, 5] {
        assert!(!is_there(&reader, file, window), "{window}");
        rig.rest(SECOND);
    }
    assert!(rig.used() > used);
    rig.check_quiet();
}

#[test]
fn fs_96_a_lent_window_is_a_read_as_any_other() {
    let rig = rig("0x2000000");
    let reader = rig.reader();
    let file = reader.lookup("/large").unwrap();
    for window in 0..2 {
        assert_eq!(reader.lent(file, window * WINDOW).unwrap().1, WINDOW);
    }
    rig.rest(SECOND);
    assert!(is_there(&reader, file, 2));
    rig.check_quiet();
}

#[test]
fn fs_96_the_disk_is_at_work_while_the_client_is() {
    let image = volume(32, 4096, &[("large", &bytes(1, LARGE))]);
    let plan = DiskPlan { pace_micros: 500, ..DiskPlan::new(image) };
    let rig = Rig::with(&with_text("", ""), plan, None);
    let reader = rig.reader();
    let file = reader.lookup("/large").unwrap();
    let now = || reader.pm.clock().unwrap().get();
    read(&reader, file, 0);
    let start = now();
    read(&reader, file, 1);
    let of_disk = now() - start;
    let start = now();
    for window in 2..6 {
        // What the client does with what it has got.
        rig.rest(of_disk * 3 / 4);
        read(&reader, file, window);
    }
    let taken = now() - start;
    assert!(taken < of_disk * 44 / 10, "{taken} for four windows, of which each takes {of_disk}");
}

#[test]
fn fs_96_nothing_is_read_ahead_of_what_others_ask_for() {
    let rig = rig("0x2000000");
    let (reader, writer) = (rig.reader(), rig.writer());
    let file = reader.lookup("/large").unwrap();
    let other = writer.lookup("/large").unwrap();
    read(&reader, file, 0);
    assert!(!is_there(&reader, file, 1));
    rig.rest(SECOND);
    assert!(!is_there(&writer, other, 5));
    assert!(is_there(&reader, file, 1), "and the disk is at work for the writer");
    rig.rest(SECOND);
    assert!(is_there(&writer, other, 5));
    assert!(!is_there(&reader, file, 2));
    rig.check_quiet();
}

#[test]
fn fs_96_a_change_of_what_is_read_ahead_is_seen() {
    let rig = rig("0x2000000");
    let (reader, writer) = (rig.reader(), rig.writer());
    let file = reader.lookup("/large").unwrap();
    let other = writer.lookup("/large").unwrap();
    read(&reader, file, 0);
    read(&reader, file, 1);
    assert_eq!(writer.write(other, 2 * WINDOW, &[7; 4096]), Ok(4096));
    rig.rest(SECOND);
    assert!(reader.read(file, 2 * WINDOW, 4096) == Ok(vec![7; 4096]));
    rig.check_quiet();
}

#[test]
fn fs_96_a_cache_that_is_full_reads_as_before() {
    for limit in ["0xb00000", "0xd00000", "0x1000000"] {
        let rig = rig(limit);
        let reader = rig.reader();
        let file = reader.lookup("/large").unwrap();
        for _ in 0..2 {
            assert!(reader.read_all(file) == Ok(bytes(1, LARGE)), "{limit}");
        }
        rig.check_quiet();
    }
}

#[test]
fn fs_96_what_nobody_waits_for_may_fail() {
    let image = volume(32, 4096, &[("large", &bytes(1, LARGE))]);
    let bad = block_with(&image, &first_page(2));
    let rig = Rig::new(&image);
    rig.disk.spoil(bad..bad + 1);
    let reader = rig.reader();
    let file = reader.lookup("/large").unwrap();
    read(&reader, file, 0);
    read(&reader, file, 1);
    rig.rest(SECOND);
    read(&reader, file, 1);
    assert_eq!(reader.read(file, 2 * WINDOW, 4096), Err(FsError::DiskFailed), "to who asks");
    read(&reader, file, 3);
    rig.check_quiet();
}
