// SPDX-License-Identifier: BSD-2-Clause
//! Writes the transcript: the lines that the system itself printed.
//!
//! The debug kernel, the loader, the capDL initialiser and Microkit's monitor print to the same
//! serial port, and the simulator has none of them. Whatever comes before the monitor's greeting is
//! theirs: no protection domain runs before it. After it, they are known by how their lines begin.
//! Anything else is the system's, also what should not be there: then the comparison fails.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};

/// Printed by the monitor of a debug system when it starts, before any protection domain runs.
const GREETING: &[u8] = b"MON|INFO: Microkit Monitor started!";

/// How the lines of others begin: loader, monitor, and the kernel's remarks on refused invocations.
const NOISE: [&[u8]; 3] = [b"LDR|", b"MON|", b"\x1b[0m\x1b[1m<<\x1b[0m\x1b[32mseL4(CPU "];

/// The transcript file.
pub(crate) struct Transcript {
    file: BufWriter<File>,
}

impl Transcript {
    /// Starts an empty transcript.
    pub(crate) fn new(file: File) -> Self {
        Self { file: BufWriter::new(file) }
    }

    /// Takes the next line of the console.
    pub(crate) fn line(&mut self, line: &[u8]) -> io::Result<()> {
        if line == GREETING {
            self.file.rewind()?;
            return self.file.get_ref().set_len(0);
        }
        if NOISE.iter().any(|beginning| line.starts_with(beginning)) {
            return Ok(());
        }
        self.file.write_all(line)?;
        self.file.write_all(b"\n")
    }

    /// Takes what came after the last line end, and makes sure that all is in the file.
    pub(crate) fn finish(&mut self, rest: &[u8]) -> io::Result<()> {
        self.file.write_all(rest)?;
        self.file.flush()
    }
}
