// SPDX-License-Identifier: BSD-2-Clause
//! Reads, writes and compares blocks of a disk, through its driver.
//!
//! The disk begins with a line that make has written, and make finds on it afterwards what this has
//! written: so both have the same disk. In the end the accounts are where they were.
#![no_std]
#![forbid(unsafe_code)]

mod check;
mod confined;
mod failure;
mod sabotage;

use core::fmt::Write;

use block_api::Client;
use pmserver_client::{AddressSpace, Pm, Transport};
use proto::{Console, LineWriter, Waiter};

pub use check::{BAD_BLOCK, CONFINED_LINE, FIRST_LINE, LAST_LINE, SLOW_LINE};
pub use sabotage::Sabotaged;

/// Runs the test and prints how it ended. Returns whether all is well.
pub fn run<T: Transport>(
    pm: &Pm<T>,
    disk: Client<T>,
    memory: impl AddressSpace,
    waiter: impl Waiter,
    console: &mut impl Console,
) -> bool {
    let mut line = LineWriter(console);
    let result = check::run(pm, disk, (memory, waiter), &mut line);
    // The console reports no errors.
    let _ = match &result {
        Ok(()) => writeln!(line, "PASS"),
        Err(failure) => writeln!(line, "FAIL: {failure}"),
    };
    result.is_ok()
}
