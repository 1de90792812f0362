// SPDX-License-Identifier: BSD-2-Clause
//! One run, from the start of QEMU to the sentinel, the timeout, or the end of QEMU.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::console::{Lines, Sentinel, Verdict};
use crate::machine::{Event, Machine};
use crate::transcript::Transcript;

/// What is typed to the system.
pub(crate) enum Typed {
    Nothing,
    /// What this program reads.
    Keyboard,
    /// One line after the other, each when this is at the start of a line.
    Lines {
        prompt: String,
        lines: VecDeque<String>,
    },
}

/// What to run and what to wait for.
pub(crate) struct Watch {
    pub(crate) timeout: Duration,
    pub(crate) sentinel: Sentinel,
    /// How many pass lines to wait for.
    pub(crate) passes: u32,
    pub(crate) transcript: Option<PathBuf>,
    pub(crate) typed: Typed,
    pub(crate) qemu: Vec<String>,
}

/// How a run ended.
pub(crate) enum Outcome {
    Passed,
    Failed,
    TimedOut(Duration),
    Ended(ExitStatus),
    Interrupted,
}

/// Why reading the console stopped.
enum End {
    Sentinel(Verdict),
    Timeout,
    Closed,
    Interrupted,
}

impl Watch {
    /// Starts QEMU and watches it. When this returns, QEMU has ended.
    pub(crate) fn run(mut self) -> Result<Outcome, String> {
        let mut transcript = match &self.transcript {
            None => None,
            Some(path) => Some(Transcript::new(File::create(path).map_err(|error| {
                format!("cannot write the transcript {}: {error}", path.display())
            })?)),
        };
        let is_typed_to = !matches!(self.typed, Typed::Nothing);
        let (mut machine, events) = Machine::start(&self.qemu, is_typed_to)?;
        if matches!(self.typed, Typed::Keyboard) {
            machine.connect_keyboard();
        }
        let mut lines = Lines::default();
        let end = self.read(&mut machine, &events, &mut lines, transcript.as_mut());
        let outcome = match end.map_err(|error| format!("cannot pass the console on: {error}"))? {
            End::Sentinel(Verdict::Pass) => Outcome::Passed,
            End::Sentinel(Verdict::Fail) => Outcome::Failed,
            End::Timeout => Outcome::TimedOut(self.timeout),
            End::Interrupted => Outcome::Interrupted,
            End::Closed if machine.was_interrupted() => Outcome::Interrupted,
            End::Closed => Outcome::Ended(
                machine.wait().map_err(|error| format!("cannot wait for QEMU: {error}"))?,
            ),
        };
        if let Some(transcript) = &mut transcript {
            transcript
                .finish(&lines.rest())
                .map_err(|error| format!("cannot write the transcript: {error}"))?;
        }
        Ok(outcome)
    }

    fn read(
        &mut self,
        machine: &mut Machine,
        events: &Receiver<Event>,
        lines: &mut Lines,
        mut transcript: Option<&mut Transcript>,
    ) -> io::Result<End> {
        let start = Instant::now();
        let mut passes_left = self.passes;
        let mut stdout = io::stdout().lock();
        loop {
            let left = self.timeout.saturating_sub(start.elapsed());
            let chunk = match events.recv_timeout(left) {
                Ok(Event::Bytes(chunk)) if !left.is_zero() => chunk,
                Ok(Event::Interrupted) => return Ok(End::Interrupted),
                Ok(Event::Closed) | Err(RecvTimeoutError::Disconnected) => return Ok(End::Closed),
                Ok(Event::Bytes(_)) | Err(RecvTimeoutError::Timeout) => return Ok(End::Timeout),
            };
            let mut shown = Vec::with_capacity(chunk.len());
            for byte in chunk {
                // A terminal needs them where a line is edited.
                if byte != b'\r' || matches!(self.typed, Typed::Keyboard) {
                    shown.push(byte);
                }
                let Some(line) = lines.push(byte) else { continue };
                if let Some(transcript) = transcript.as_mut() {
                    transcript.line(&line)?;
                }
                if let Some(verdict) = self.sentinel.verdict(&line) {
                    passes_left = passes_left.saturating_sub(1);
                    if matches!(verdict, Verdict::Pass) && passes_left > 0 {
                        continue;
                    }
                    stdout.write_all(&shown)?;
                    stdout.flush()?;
                    return Ok(End::Sentinel(verdict));
                }
            }
            stdout.write_all(&shown)?;
            stdout.flush()?;
            if let Typed::Lines { prompt, lines: typed } = &mut self.typed
                && lines.rest_is(prompt)
                && let Some(line) = typed.pop_front()
            {
                machine.type_in(format!("{line}\n").as_bytes());
            }
        }
    }
}
