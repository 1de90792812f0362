// SPDX-License-Identifier: BSD-2-Clause
//! Reports a panic on the console server. The platform's own panic message is printed by debug
//! kernels only.

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use console_api::Client;
use proto::Console;
use sel4_microkit::panicking::set_hook;

use crate::PpChannel;

/// Set by the first panic.
static REPORTED: AtomicBool = AtomicBool::new(false);

/// Makes a panic of this domain print `FAIL: panic …`, which ends a test run, on the console at
/// channel `CONSOLE`. Called once, before anything else.
pub fn report_panics<const CONSOLE: usize>() {
    set_hook(&|info: &PanicInfo| {
        // If the panic came from the message registers, this report panics again.
        if REPORTED.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut console = Client::new(PpChannel::new(CONSOLE));
        console.print(format_args!("FAIL: panic: {}\n", info.message()));
    });
}
