// SPDX-License-Identifier: BSD-2-Clause
//! The acceptance scenarios as a protection domain, in place of the demo: gives the core its
//! channels and runs it once.
//!
//! Owns nothing but channels. What the scenarios do is in `support/testing/scenarios/core`.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use heap::Heap;
use pd::{Finished, PpChannel};
use scenarios_core::Cast;
use sel4_microkit::protection_domain;
use shm::OwnMemory;

/// The channels, as microkit-system.xml numbers them, besides those of the cast.
const FSSERVER: usize = 1;
const CONSOLE: usize = 2;

/// The scenarios allocate nothing, but they are linked with code of the file server that does.
#[global_allocator]
static NO_HEAP: Heap = heap::empty();

#[protection_domain]
fn init() -> Finished {
    pd::report_panics::<CONSOLE>();
    let mut console = console_api::Client::new(PpChannel::new(CONSOLE));
    let cast = Cast::from_channels(|channel| PpChannel::new(channel.into()));
    scenarios_core::run(cast, PpChannel::new(FSSERVER), OwnMemory, &mut console);
    Finished
}
