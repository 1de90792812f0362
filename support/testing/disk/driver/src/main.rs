// SPDX-License-Identifier: BSD-2-Clause
//! virtio-blk as the disk test runs it: the same protection domain, whose disk is told addresses
//! that no pin has told, if a client asks for certain blocks.
//!
//! What it can be told is in `support/testing/disk/core/src/sabotage.rs`.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use disk_test_core::Sabotaged;
use sel4_microkit::protection_domain;
use virtio_blk::{Disk, Driver};

#[protection_domain]
fn init() -> Driver<Sabotaged<Disk>> {
    virtio_blk::start(Sabotaged::new)
}
