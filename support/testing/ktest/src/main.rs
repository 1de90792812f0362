// SPDX-License-Identifier: BSD-2-Clause
//! The root task of the conformance test: performs the list of operations on seL4 itself. It prints
//! the transcript on the kernel's debug console, so it needs a debug kernel (decision D9).
//!
//! The last line is PASS if the whole list was performed. Whether the simulator gives the same
//! replies is checked by comparing the transcripts.
#![no_std]
#![no_main]

mod kernel;
mod probe;
mod stage;
#[cfg_attr(target_arch = "x86_64", path = "x86_64.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
mod types;

use core::fmt::{self, Write};

use sel4::BootInfoPtr;
use sel4_root_task::{Never, debug_print, debug_println, root_task};

use crate::stage::Stage;

/// What the random operations are drawn from, when the program is built.
const SEED: Option<&str> = option_env!("KTEST_SEED");
const DEFAULT_SEED: u64 = 1;

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        debug_print!("{text}");
        Ok(())
    }
}

#[root_task]
fn main(bootinfo: &BootInfoPtr) -> Never {
    match Stage::prepare(bootinfo) {
        Ok(mut stage) => {
            let seed = SEED.and_then(|text| text.parse().ok()).unwrap_or(DEFAULT_SEED);
            match ktest_list::transcript(&mut stage, types::ARCHITECTURE, seed, &mut Console) {
                Ok(()) => debug_println!("PASS"),
                Err(error) => debug_println!("FAIL: {error}"),
            }
        }
        Err(sentence) => debug_println!("FAIL: {sentence}"),
    }
    sel4::init_thread::suspend_self()
}
