// SPDX-License-Identifier: BSD-2-Clause
//! The crash test as a protection domain: changes files, and ends with the demo, which reads all of
//! them and prints their checksums.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use fsserver_api::Client;
use heap::Heap;
use pd::{Finished, OwnGrants, OwnNotification, PpChannel};
use pmserver_client::Pm;
use proto::Console;
use sel4_microkit::protection_domain;
use shm::OwnMemory;

/// The channels, as the system file numbers them.
const PMSERVER: usize = 0;
const FSSERVER: usize = 1;
const CONSOLE: usize = 2;
const DRIVER: usize = 3;

#[global_allocator]
static HEAP: Heap = heap::empty();

#[protection_domain]
fn init() -> Finished {
    pd::report_panics::<CONSOLE>();
    let pm = Pm::new(PpChannel::new(PMSERVER));
    let fs = || Client::waiting(PpChannel::new(FSSERVER), OwnNotification);
    let disk = block_api::Client::new(PpChannel::new(DRIVER));
    let mut console = console_api::Client::new(PpChannel::new(CONSOLE));
    match pm.reserve_heap(client_demo_core::HEAP) {
        Ok(memory) => {
            heap::give(&HEAP, memory);
            let own = (OwnMemory, OwnNotification);
            if crash_core::run(&pm, fs(), disk, own, &mut console) {
                client_demo_core::run(&pm, &mut fs(), &mut OwnMemory, &mut OwnGrants, &mut console);
            }
        }
        Err(error) => console.print(format_args!("FAIL: no heap: {error}\n")),
    }
    Finished
}
