// SPDX-License-Identifier: BSD-2-Clause
//! The reader of traces as a protection domain, below all others: it waits until a program
//! notifies it that it has run, and prints the rings that the system file maps for it.
//!
//! Its own line PASS comes after that of the program.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use pd::{Finished, OwnNotification, PpChannel};
use proto::{Console, VirtAddr, Waiter};
use sel4_microkit::{protection_domain, var};
use trace::RingReader;

/// The channel to the console, as the system file numbers it.
const CONSOLE: usize = 0;

#[protection_domain]
fn init() -> Finished {
    pd::report_panics::<CONSOLE>();
    OwnNotification.wait();
    let mut console = console_api::Client::new(PpChannel::new(CONSOLE));
    for (number, (vaddr, bytes)) in rings().into_iter().enumerate() {
        if let Some(ring) = VirtAddr::new(vaddr).and_then(|vaddr| RingReader::open(vaddr, bytes)) {
            trace::print(number, &ring, &mut console);
        }
    }
    console.write(b"PASS\n");
    Finished
}

/// Returns addresses and sizes in bytes of the rings; 0 for those that there are not.
fn rings() -> [(u64, u64); 4] {
    [
        (*var!(trace_0_vaddr: u64 = 0), *var!(trace_0_bytes: u64 = 0)),
        (*var!(trace_1_vaddr: u64 = 0), *var!(trace_1_bytes: u64 = 0)),
        (*var!(trace_2_vaddr: u64 = 0), *var!(trace_2_bytes: u64 = 0)),
        (*var!(trace_3_vaddr: u64 = 0), *var!(trace_3_bytes: u64 = 0)),
    ]
}
