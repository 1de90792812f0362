// SPDX-License-Identifier: BSD-2-Clause
//! Reads, writes and compares blocks of a disk, through its driver.
//!
//! The disk begins with a line that make has written, and make finds on it afterwards what this has
//! written: so both have the same disk. In the end the accounts are where they were.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod check;

use core::fmt::{self, Write};

use block_api::{BlockError, CallError};
use pd::{Finished, PpChannel};
use pmserver_client::{Error, Pm};
use proto::LineWriter;
use sel4_microkit::protection_domain;

/// The channels, as the system file numbers them.
const PMSERVER: usize = 0;
const DRIVER: usize = 1;
const CONSOLE: usize = 2;

/// Why the test failed.
pub(crate) enum Failure {
    /// pmserver refused something.
    Pm(Error),
    /// The driver refused something.
    Refused(&'static str, CallError),
    /// A request ended with an error.
    Ended(&'static str, BlockError),
    /// Something is not as it has to be.
    Wrong(&'static str),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Pm(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pm(error) => error.fmt(f),
            Self::Refused(what, error) => write!(f, "{what}: {error}"),
            Self::Ended(what, error) => write!(f, "{what}: {error}"),
            Self::Wrong(what) => f.write_str(what),
        }
    }
}

#[protection_domain]
fn init() -> Finished {
    pd::report_panics::<CONSOLE>();
    let pm = Pm::new(PpChannel::new(PMSERVER));
    let disk = block_api::Client::new(PpChannel::new(DRIVER));
    let mut console = console_api::Client::new(PpChannel::new(CONSOLE));
    let mut line = LineWriter(&mut console);
    // The console reports no errors.
    let _ = match check::run(&pm, disk, &mut line) {
        Ok(()) => writeln!(line, "PASS"),
        Err(failure) => writeln!(line, "FAIL: {failure}"),
    };
    Finished
}
