// SPDX-License-Identifier: BSD-2-Clause
//! How a step is printed.

use core::fmt::{self, Display, Write};

use fsserver_api::Client;
use pmserver_api::{CallError, Calls};
use proto::{AddressSpace, Console, LineWriter, Transport, VirtAddr, Waiter};

/// What the steps use.
pub(crate) struct Twin<'a, P: Transport, F: Transport, W: Waiter, A, C> {
    pub(crate) pm: Calls<P>,
    pub(crate) fs: Client<F, W>,
    pub(crate) space: A,
    pub(crate) console: &'a mut C,
    /// Whether everything that was looked at is as it was written.
    pub(crate) is_well: bool,
}

impl<P: Transport, F: Transport, W: Waiter, A: AddressSpace, C: Console> Twin<'_, P, F, W, A, C> {
    pub(crate) fn print(&mut self, line: fmt::Arguments<'_>) -> fmt::Result {
        writeln!(LineWriter(self.console), "{line}")
    }

    /// Prints what a call of pmserver came to: how many were done, or why not.
    pub(crate) fn step<E: Display>(&mut self, name: &str, result: &Result<u64, E>) -> fmt::Result {
        match result {
            Ok(done) => self.print(format_args!("{name}: done {done}")),
            Err(error) => self.print(format_args!("{name}: {error}")),
        }
    }

    /// Prints what a call of fsserver came to.
    pub(crate) fn file_step<E>(&mut self, name: &str, result: &Result<u64, E>) -> fmt::Result
    where
        E: core::borrow::Borrow<fsserver_api::CallError>,
    {
        match result.as_ref().map_err(|error| error.borrow().refusal()) {
            Ok(number) => self.print(format_args!("{name}: done {number}")),
            Err(Some(error)) => self.print(format_args!("{name}: {error}")),
            Err(None) => self.print(format_args!("{name}: no reply")),
        }
    }

    /// Compares what is mapped with a text of at most a line.
    pub(crate) fn look(&mut self, name: &str, at: VirtAddr, expected: &[u8]) -> fmt::Result {
        let mut bytes = [0; 64];
        let mapped = bytes.get_mut(..expected.len()).unwrap_or_default();
        self.space.copy_in(at, mapped);
        let is_same = mapped == expected;
        self.is_well &= is_same;
        self.print(format_args!(
            "{name}: {}",
            if is_same { "as written" } else { "something else" }
        ))
    }
}

/// Returns the result of calls for a range, piece by piece: what was done in all, or the error.
pub(crate) fn in_pieces(
    count: u64,
    most: u64,
    mut call: impl FnMut(u64, u64) -> Result<u64, CallError>,
) -> Result<u64, CallError> {
    let (mut passed, mut done) = (0_u64, 0_u64);
    while let Some(left @ 1..) = count.checked_sub(passed) {
        let piece = left.min(most);
        done = done.saturating_add(call(passed, piece)?);
        passed = passed.saturating_add(piece);
    }
    Ok(done)
}
