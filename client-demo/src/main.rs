// SPDX-License-Identifier: BSD-2-Clause
//! The demo as a protection domain: gives the core its channels, its memory and its grants, and
//! runs it once.
//!
//! Owns nothing but channels. What the demo does is in `client-demo/core`, which also runs in the
//! simulator.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use heap::Heap;
use pd::{Finished, OwnGrants, OwnNotification, PpChannel};
use pmserver_client::Pm;
use proto::Console;
use sel4_microkit::protection_domain;
use shm::OwnMemory;

/// The channels, as microkit-system.xml numbers them.
const PMSERVER: usize = 0;
const FSSERVER: usize = 1;
const CONSOLE: usize = 2;

#[global_allocator]
static HEAP: Heap = heap::empty();

#[protection_domain]
fn init() -> Finished {
    pd::report_panics::<CONSOLE>();
    let pm = Pm::new(PpChannel::new(PMSERVER));
    let mut fs = fsserver_api::Client::waiting(PpChannel::new(FSSERVER), OwnNotification);
    let mut console = console_api::Client::new(PpChannel::new(CONSOLE));
    match pm.reserve_heap(client_demo_core::HEAP) {
        Ok(memory) => {
            heap::give(&HEAP, memory);
            client_demo_core::run(&pm, &mut fs, &mut OwnMemory, &mut OwnGrants, &mut console);
        }
        Err(error) => console.print(format_args!("FAIL: no heap: {error}\n")),
    }
    pd::finished()
}
