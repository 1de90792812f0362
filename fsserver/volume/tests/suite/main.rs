// SPDX-License-Identifier: BSD-2-Clause
//! Tests of the volume, against images that mke2fs, debugfs and e2fsck make and check.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

#[allow(dead_code)] // The tests of the file server's core use more of them.
#[path = "../../../core/tests/fake/ext4.rs"]
mod ext4;
#[allow(dead_code)]
#[path = "../../../core/tests/fake/image.rs"]
mod image;

mod disk;
mod hostile;
mod kinds;
mod model;
mod partitions;
mod power;
mod reading;
mod tree;
mod writing;
