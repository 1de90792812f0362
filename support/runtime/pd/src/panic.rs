// SPDX-License-Identifier: BSD-2-Clause
//! A domain's last words, on the console that all kernels have: what the platform prints for a
//! panic appears in debug kernels alone.

use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use console_api::Client;
use proto::LineWriter;
use sel4_microkit::panicking::set_hook;

use crate::PpChannel;

/// Set by the first panic.
static TOLD: AtomicBool = AtomicBool::new(false);

/// Makes a panic of this domain end the run on the console, which it has at the channel `CONSOLE`:
/// `FAIL: panic …`. Called once, first.
pub fn report_panics<const CONSOLE: usize>() {
    set_hook(&|info: &PanicInfo| {
        // Where it is the message registers that the panic is about, telling it panics again.
        if TOLD.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut console = Client::new(PpChannel::new(CONSOLE));
        // The console reports no errors, and a domain that panics has nobody to tell of them.
        let _ = writeln!(LineWriter(&mut console), "FAIL: panic: {}", info.message());
    });
}
