// SPDX-License-Identifier: BSD-2-Clause
//! The demo as a protection domain: gives the core its channels, its memory and its grants, and
//! runs it once.
//!
//! Owns nothing but channels. What the demo does is in `client-demo/core`, which also runs in the
//! simulator.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod regions;

use core::fmt::Write;

use pd::{Finished, OwnGrants, OwnNotification, PpChannel};
use pmserver_client::Pm;
use proto::LineWriter;
use sel4_microkit::protection_domain;
use shm::OwnMemory;

/// The channels, as microkit-system.xml numbers them.
const PMSERVER: usize = 0;
const FSSERVER: usize = 1;
const CONSOLE: usize = 2;

#[protection_domain]
fn init() -> Finished {
    pd::report_panics::<CONSOLE>();
    let pm = Pm::new(PpChannel::new(PMSERVER));
    let mut fs = fsserver_api::Client::waiting(PpChannel::new(FSSERVER), OwnNotification);
    let mut console = console_api::Client::new(PpChannel::new(CONSOLE));
    match pm.reserve_heap(client_demo_core::HEAP) {
        Ok(()) => {
            regions::install_heap();
            client_demo_core::run(&pm, &mut fs, &mut OwnMemory, &mut OwnGrants, &mut console);
        }
        Err(error) => {
            // The console reports no errors.
            let _ = writeln!(LineWriter(&mut console), "FAIL: no heap: {error}");
        }
    }
    Finished
}
