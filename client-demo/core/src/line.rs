// SPDX-License-Identifier: BSD-2-Clause
//! The lines of the transcript. Each is built completely before it is printed.

use alloc::vec::Vec;
use core::fmt;

use proto::Console;

use crate::error::DemoError;

/// A line under construction.
pub(crate) struct Line(Vec<u8>);

impl Line {
    /// Returns an empty line.
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Appends bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), DemoError> {
        self.0.try_reserve(bytes.len())?;
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// Ends the line and prints it.
    pub(crate) fn print(mut self, console: &mut impl Console) -> Result<(), DemoError> {
        self.push(b"\n")?;
        console.write(&self.0);
        Ok(())
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes()).map_err(|_: DemoError| fmt::Error)
    }
}

/// Prints formatted text as one line.
pub(crate) fn print(console: &mut impl Console, text: fmt::Arguments<'_>) -> Result<(), DemoError> {
    let mut line = Line::new();
    fmt::write(&mut line, text).map_err(|_: fmt::Error| DemoError::OutOfMemory)?;
    line.print(console)
}

/// Prints a checksum line as sha256sum does, so that `sha256sum -c` accepts it.
///
/// A path with a newline or a carriage return is escaped, and a backslash at the start of the line
/// says so. Any other path, also one with backslashes, is printed as it is. A file named `-` is
/// printed as `./-`, because for `sha256sum -c` the bare name means its standard input.
///
/// # Errors
/// [`DemoError::OutOfMemory`].
pub fn print_checksum(
    console: &mut impl Console,
    digest: &[u8],
    path: &[u8],
) -> Result<(), DemoError> {
    let is_escaped = path.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
    let mut line = Line::new();
    if is_escaped {
        line.push(b"\\")?;
    }
    for byte in digest {
        line.push(&[hex_digit(byte >> 4), hex_digit(byte & 15)])?;
    }
    line.push(b"  ")?;
    match path {
        b"-" => line.push(b"./-")?,
        path if is_escaped => push_escaped(&mut line, path)?,
        path => line.push(path)?,
    }
    line.print(console)
}

fn push_escaped(line: &mut Line, path: &[u8]) -> Result<(), DemoError> {
    for byte in path {
        match byte {
            b'\n' => line.push(b"\\n")?,
            b'\r' => line.push(b"\\r")?,
            b'\\' => line.push(b"\\\\")?,
            other => line.push(&[*other])?,
        }
    }
    Ok(())
}

fn hex_digit(nibble: u8) -> u8 {
    match nibble {
        0..=9 => b'0'.saturating_add(nibble),
        _ => b'a'.saturating_sub(10).saturating_add(nibble),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Printed(Vec<u8>);

    impl Console for Printed {
        fn write(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
    }

    #[test]
    fn paths_are_escaped_only_where_the_line_would_break() {
        let line = |path: &[u8]| {
            let mut printed = Printed(Vec::new());
            print_checksum(&mut printed, &[0x0f, 0xa9], path).unwrap();
            printed.0
        };
        assert_eq!(line(b"a/b c"), b"0fa9  a/b c\n");
        assert_eq!(line(b"a\\b\xff"), b"0fa9  a\\b\xff\n");
        assert_eq!(line(b"a\\\nb\r"), b"\\0fa9  a\\\\\\nb\\r\n");
        assert_eq!(line(b"-"), b"0fa9  ./-\n");
        assert_eq!(line(b"d/-"), b"0fa9  d/-\n");
    }
}
