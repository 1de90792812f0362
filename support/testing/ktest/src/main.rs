// SPDX-License-Identifier: BSD-2-Clause
//! The root task of the conformance test: performs the list of operations on seL4 itself (decision
//! D9). It has the serial port to itself, because a release kernel prints nothing.
//!
//! The last line is PASS if the whole list was performed. Whether the simulator gives the same
//! replies is checked by comparing the transcripts.
#![no_std]
#![no_main]

mod kernel;
mod probe;
#[cfg_attr(target_arch = "x86_64", path = "com1.rs")]
#[cfg_attr(target_arch = "aarch64", path = "pl011.rs")]
mod serial;
mod stage;
#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
mod types;

use core::fmt::{self, Write};

use sel4::BootInfoPtr;
use sel4_root_task::{Never, root_task};

use crate::serial::Serial;
use crate::stage::Stage;

/// What the random operations are drawn from, when the program is built.
const SEED: Option<&str> = option_env!("KTEST_SEED");
const DEFAULT_SEED: u64 = 1;

struct Console(Option<Serial>);

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let serial = self.0.as_mut().ok_or(fmt::Error)?;
        text.bytes().for_each(|byte| serial.put(byte));
        Ok(())
    }
}

#[root_task]
fn main(bootinfo: &BootInfoPtr) -> Never {
    let mut console = Console(Serial::open(bootinfo, Stage::end(bootinfo)));
    // Without a console nothing can be told, and the run times out.
    let _ = match Stage::prepare(bootinfo) {
        Ok(mut stage) => {
            let seed = SEED.and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_SEED);
            match ktest_list::transcript(&mut stage, types::ARCHITECTURE, seed, &mut console) {
                Ok(()) => writeln!(console, "PASS"),
                Err(error) => writeln!(console, "FAIL: {error}"),
            }
        }
        Err(sentence) => writeln!(console, "FAIL: {sentence}"),
    };
    sel4::init_thread::suspend_self()
}
