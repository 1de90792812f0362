// SPDX-License-Identifier: BSD-2-Clause
//! Windows of the cache that are filled with something else without being cleared (FS-95).

use pmserver_api::Operation;
use sim::disk::DiskPlan;

use crate::image::volume;
use crate::rig::{Rig, bytes, with_text};

const MIB: usize = 1 << 20;
/// More than fsserver has room for.
const LARGE: usize = 12 * MIB;

/// Returns a system whose fsserver has room for three windows, with files.
fn rig(files: &[(&str, &[u8])]) -> Rig {
    let file = with_text("limit=\"0x2000000\"", "limit=\"0x1000000\"");
    Rig::with(&file, DiskPlan::new(volume(32, 4096, files)), None)
}

/// A file that is mostly holes: a window of nothing else, and some bytes in the others.
fn sparse() -> Vec<u8> {
    let mut sparse = vec![0; 8 * MIB];
    for (index, at) in [0, 3 * MIB - 4096, 6 * MIB + 8192, 8 * MIB - 4096].into_iter().enumerate() {
        sparse[at..at + 4096].copy_from_slice(&bytes(index as u64, 4096));
    }
    sparse
}

#[test]
fn fs_95_a_full_cache_reads_on_in_the_memory_that_it_has() {
    let (large, sparse) = (bytes(1, LARGE), sparse());
    let rig = rig(&[("large", &large), ("sparse", &sparse)]);
    let reader = rig.reader();
    let file = reader.lookup("/large").unwrap();
    assert!(reader.read_all(file) == Ok(large.clone()));
    let used = rig.used();
    let allocations = || rig.requests_of("fsserver", Operation::Allocate);
    let before = allocations();
    assert!(before > 2, "it has a cache");
    assert!(reader.read_all(file) == Ok(large.clone()));
    assert_eq!(allocations(), before, "no window got other memory");
    // What stood where there is a hole now is not there.
    assert!(reader.contents("/sparse") == Ok(sparse));
    assert_eq!(allocations(), before);
    assert!(rig.used() <= used + 4096, "but for a page of records");
    rig.check_quiet();
}

#[test]
fn fs_93_what_a_client_got_a_copy_of_stays_what_it_is() {
    let large = bytes(1, LARGE);
    let rig = rig(&[("large", &large)]);
    let reader = rig.reader();
    let file = reader.lookup("/large").unwrap();
    assert!(reader.read_all(file) == Ok(large.clone()));
    let (lent, count) = reader.lent(file, 2 * MIB as u64).unwrap();
    assert_eq!(count as usize, 2 * MIB);
    let before = rig.requests_of("fsserver", Operation::Allocate);
    assert!(reader.read_all(file) == Ok(large.clone()));
    let after = rig.requests_of("fsserver", Operation::Allocate);
    assert_eq!(after, before + 1, "that window, and no other, got new memory");
    assert!(reader.start_of(&lent, 2 * MIB) == large[2 * MIB..4 * MIB]);
    // Nobody has a copy any more.
    let (again, _) = reader.lent(file, 0).unwrap();
    again.0.destroy().unwrap();
    lent.0.destroy().unwrap();
    let before = rig.requests_of("fsserver", Operation::Allocate);
    assert!(reader.read_all(file) == Ok(large));
    assert_eq!(rig.requests_of("fsserver", Operation::Allocate), before);
    rig.check_quiet();
}
