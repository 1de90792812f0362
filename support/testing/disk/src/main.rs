// SPDX-License-Identifier: BSD-2-Clause
//! The disk test as a protection domain: gives the core its channels and its memory, and runs it
//! once.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use block_api::Client;
use pd::{Finished, OwnNotification, PpChannel};
use pmserver_client::Pm;
use sel4_microkit::protection_domain;
use shm::OwnMemory;

/// The channels, as the system file numbers them.
const PMSERVER: usize = 0;
const DRIVER: usize = 1;
const CONSOLE: usize = 2;

#[protection_domain]
fn init() -> Finished {
    pd::report_panics::<CONSOLE>();
    let pm = Pm::new(PpChannel::new(PMSERVER));
    let disk = Client::new(PpChannel::new(DRIVER));
    let mut console = console_api::Client::new(PpChannel::new(CONSOLE));
    disk_test_core::run(&pm, disk, OwnMemory, OwnNotification, &mut console);
    Finished
}
