// SPDX-License-Identifier: BSD-2-Clause
//! The driver as a protection domain.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use sel4_microkit::protection_domain;
use virtio_blk::{Disk, Driver};

#[protection_domain]
fn init() -> Driver<Disk> {
    virtio_blk::start(|disk| disk)
}
