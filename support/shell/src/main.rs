// SPDX-License-Identifier: BSD-2-Clause
//! The shell as a protection domain. What it does is in `support/shell/core`, which also runs in
//! the simulator.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use heap::Heap;
use pd::{Finished, OwnDomain, OwnGrants, OwnNotification};
use pmserver_client::Pm;
use proto::{Console, Domain};
use sel4_microkit::protection_domain;

#[allow(clippy::as_conversions)] // A constant is converted in no other way.
const CONSOLE: usize = shell_core::CONSOLE as usize;

#[global_allocator]
static HEAP: Heap = heap::empty();

#[protection_domain]
fn init() -> Finished {
    pd::report_panics::<CONSOLE>();
    match Pm::new(OwnDomain.channel(shell_core::PMSERVER)).reserve_heap(shell_core::HEAP) {
        Ok(memory) => {
            heap::give(&HEAP, memory);
            shell_core::run(&OwnDomain, OwnNotification, &mut OwnGrants);
        }
        Err(error) => {
            let mut console = console_api::Client::new(OwnDomain.channel(shell_core::CONSOLE));
            console.print(format_args!("FAIL: no heap: {error}\n"));
        }
    }
    pd::finished()
}
