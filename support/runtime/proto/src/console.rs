// SPDX-License-Identifier: BSD-2-Clause
//! The console as seen by the core crates: a sink for bytes.

use core::fmt;

/// Something to print to. Lines end with `\n` alone.
pub trait Console {
    /// Writes all bytes, in order.
    fn write(&mut self, bytes: &[u8]);

    /// Writes text that is put together: `console.print(format_args!("{count} frames\n"))`.
    fn print(&mut self, text: fmt::Arguments<'_>)
    where
        Self: Sized,
    {
        // A console reports no errors.
        let _ = fmt::Write::write_fmt(&mut LineWriter(self), text);
    }
}

/// Lets `core::fmt` write to a [`Console`].
pub struct LineWriter<'a, C: Console>(pub &'a mut C);

impl<C: Console> fmt::Write for LineWriter<'_, C> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}
