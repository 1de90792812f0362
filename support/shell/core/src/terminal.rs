// SPDX-License-Identifier: BSD-2-Clause
//! What the line editor prints.

use core::convert::Infallible;

use embedded_io::{ErrorType, Write};
use proto::Console;

/// The console as a terminal: the line editor ends lines with a carriage return and a line feed,
/// everybody else with a line feed alone.
pub(crate) struct Terminal<C: Console>(pub(crate) C);

impl<C: Console> ErrorType for Terminal<C> {
    type Error = Infallible;
}

impl<C: Console> Write for Terminal<C> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        match bytes.strip_suffix(b"\r\n") {
            Some(line) => {
                self.0.write(line);
                self.0.write(b"\n");
            }
            None => self.0.write(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
