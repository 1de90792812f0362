// SPDX-License-Identifier: BSD-2-Clause
//! Writes the transcript: the lines that the system itself printed.
//!
//! The debug kernel, the loader, the capDL initialiser and Microkit's monitor print to the same
//! serial port, and the simulator has none of them. Whatever comes before the monitor's greeting is
//! theirs: no protection domain runs before it. After it, they are known by how their lines begin.
//! The kernel reports the end of a domain without a fault handler, which is one that pmserver has
//! stopped and told of itself; when it does so depends on when that domain is given time once more.
//! Anything else is the system's, also what should not be there: then the comparison fails.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};

/// Printed by the monitor of a debug system when it starts, before any protection domain runs.
const GREETING: &[u8] = b"MON|INFO: Microkit Monitor started!";

/// How the lines of others begin: loader, monitor, and the kernel's remarks on refused invocations.
const NOISE: [&[u8]; 3] = [b"LDR|", b"MON|", b"\x1b[0m\x1b[1m<<\x1b[0m\x1b[32mseL4(CPU "];

/// How the kernel's report of the end of a domain begins. What the fault was, whose it was, and a
/// heading follow, a line each, and then the words of the stack.
const REPORT: &[u8] = b"Found thread has no fault handler while trying to handle:";
const REPORT_HEAD_LINES: u8 = 3;
const STACK_WORD: &[u8] = b"0x";

/// Where in such a report the console is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Report {
    /// In none.
    Outside,
    /// So many lines are left before the stack.
    Head(u8),
    /// Among the words of the stack.
    Stack,
}

/// The transcript file.
pub(crate) struct Transcript {
    file: BufWriter<File>,
    report: Report,
}

impl Transcript {
    /// Starts an empty transcript.
    pub(crate) fn new(file: File) -> Self {
        Self { file: BufWriter::new(file), report: Report::Outside }
    }

    /// Takes the next line of the console.
    pub(crate) fn line(&mut self, line: &[u8]) -> io::Result<()> {
        if line == GREETING {
            self.file.rewind()?;
            return self.file.get_ref().set_len(0);
        }
        if NOISE.iter().any(|beginning| line.starts_with(beginning)) || self.is_reported(line) {
            return Ok(());
        }
        self.file.write_all(line)?;
        self.file.write_all(b"\n")
    }

    /// Returns whether the next line is part of a report of the kernel's.
    fn is_reported(&mut self, line: &[u8]) -> bool {
        self.report = match self.report {
            Report::Head(left @ 2..) => Report::Head(left.saturating_sub(1)),
            Report::Head(_) => Report::Stack,
            Report::Stack if line.starts_with(STACK_WORD) => Report::Stack,
            _ if line == REPORT => Report::Head(REPORT_HEAD_LINES),
            _ => Report::Outside,
        };
        self.report != Report::Outside
    }

    /// Takes what came after the last line end, and makes sure that all is in the file.
    pub(crate) fn finish(&mut self, rest: &[u8]) -> io::Result<()> {
        self.file.write_all(rest)?;
        self.file.flush()
    }
}
