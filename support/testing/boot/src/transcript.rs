// SPDX-License-Identifier: BSD-2-Clause
//! Writes the transcript: the lines that the system itself printed.
//!
//! The debug kernel, the loader, the capDL initialiser and Microkit's monitor print to the same
//! serial port; the simulator has none of them. No protection domain runs before the monitor prints
//! its greeting, so everything up to there is left out. After it, their lines are recognised by
//! their first characters. The kernel also reports a fault of a domain without a fault handler:
//! pmserver has stopped that domain and printed a line of its own, and the report is left out
//! because the moment at which the kernel prints it varies. All other lines stay, even unexpected
//! ones, so that the comparison fails.

use std::fs::File;
use std::io::{self, BufWriter, Seek, Write};

/// Printed by the monitor of a debug system when it starts, before any protection domain runs.
const GREETING: &[u8] = b"MON|INFO: Microkit Monitor started!";

/// How other lines begin: those of the loader, those of the monitor, and the kernel's messages
/// about refused invocations, and about a device that an IOMMU has stopped.
const NOISE: [&[u8]; 4] =
    [b"LDR|", b"MON|", b"\x1b[0m\x1b[1m<<\x1b[0m\x1b[32mseL4(CPU ", b"IOMMU: DMA "];

/// The first line of the kernel's report of a fault without a handler. Three lines follow (the
/// fault, the thread, a heading), and then the words of the stack.
const REPORT: &[u8] = b"Found thread has no fault handler while trying to handle:";
const REPORT_HEAD_LINES: u8 = 3;
const STACK_WORD: &[u8] = b"0x";

/// The position of the next line in such a report.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Report {
    /// Not in a report.
    Outside,
    /// This many lines before the stack.
    Head(u8),
    /// In the words of the stack.
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

    /// Adds the next line of the console, unless it comes from kernel, loader or monitor.
    pub(crate) fn line(&mut self, line: &[u8]) -> io::Result<()> {
        if line == GREETING {
            self.file.rewind()?;
            return self.file.get_ref().set_len(0);
        }
        if NOISE.iter().any(|beginning| line.starts_with(beginning)) || self.is_in_report(line) {
            return Ok(());
        }
        self.file.write_all(line)?;
        self.file.write_all(b"\n")
    }

    /// Returns whether the next line is part of the kernel's report of a fault without a handler.
    fn is_in_report(&mut self, line: &[u8]) -> bool {
        self.report = match self.report {
            Report::Head(left @ 2..) => Report::Head(left.saturating_sub(1)),
            Report::Head(_) => Report::Stack,
            Report::Stack if line.starts_with(STACK_WORD) => Report::Stack,
            _ if line == REPORT => Report::Head(REPORT_HEAD_LINES),
            _ => Report::Outside,
        };
        self.report != Report::Outside
    }

    /// Adds the text after the last line end, and flushes the file.
    pub(crate) fn finish(&mut self, rest: &[u8]) -> io::Result<()> {
        self.file.write_all(rest)?;
        self.file.flush()
    }
}
