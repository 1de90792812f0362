// SPDX-License-Identifier: BSD-2-Clause
//! The inputs that `make fuzz-coverage` has found, without its engine.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions, clippy::indexing_slicing)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // A test may fail by panicking.

mod fake;

use fake::Machine;
use fake::changed::{base_of, changed};
use fake::walk::walk;

#[test]
fn an_image_without_changes_stays_as_it_is() {
    for byte in [0, 1] {
        let base = base_of(byte);
        let image = changed(base, &[]);
        let differ: Vec<usize> = (0..base.len()).filter(|at| image[*at] != base[*at]).collect();
        assert!(differ.is_empty(), "at {differ:?}");
        // Two symlinks cannot be read, and a path that is tried is not there.
        assert_eq!(walk(&Machine::new(image)), 3);
    }
}

#[test]
fn changed_images_do_no_harm() {
    // FS-2, FS-9
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../support/testing/fuzz/corpus/ext4");
    let mut inputs = 0;
    for input in std::fs::read_dir(folder).unwrap() {
        fake::changed::serve(&std::fs::read(input.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs > 0);
}
