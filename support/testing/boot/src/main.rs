// SPDX-License-Identifier: BSD-2-Clause
//! Boots an image in QEMU, watches its console and tells how it ended.
//!
//! What is typed to the system comes from the keyboard, or from a file, line by line.
//!
//! Owns the QEMU process from start to end and the rules for reading a console: which lines are
//! sentinels, which come from kernel and loader, and when two transcripts are equal. Contains
//! nothing about boards: the Makefile passes the QEMU command of `support/boards/*.mk` after `--`.
//!
//! | exit status | meaning |
//! |---|---|
//! | 0 | the pass line was printed; or the transcripts are equal |
//! | 1 | the fail line was printed; or the transcripts differ |
//! | 2 | neither was printed: timeout, QEMU ended by itself or did not start, wrong usage |
//! | 130 | interrupted |
#![forbid(unsafe_code)]

mod compare;
mod console;
mod machine;
mod transcript;
mod watch;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::console::Sentinel;
use crate::watch::{Outcome, Typed, Watch};

#[derive(Parser)]
#[command(about = "Boots an image in QEMU, watches its console and tells how it ended")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts QEMU and passes its console on until a sentinel line comes
    Run {
        /// Seconds to wait for the sentinel
        #[arg(long, default_value_t = 120)]
        timeout: u64,
        /// The line that means success
        #[arg(long, default_value = "PASS")]
        pass: String,
        /// How many of these lines to wait for
        #[arg(long, default_value_t = 1)]
        passes: u32,
        /// The line that means failure, alone or followed by a colon and a reason
        #[arg(long, default_value = "FAIL")]
        fail: String,
        /// Where to write the lines of the system, without those of kernel and loader
        #[arg(long)]
        transcript: Option<PathBuf>,
        /// Passes on what is typed here
        #[arg(long)]
        keyboard: bool,
        /// A file of lines to type, each when the system asks for one by the prompt
        #[arg(long, conflicts_with = "keyboard")]
        typed: Option<PathBuf>,
        /// What the system prints when it waits for a line
        #[arg(long, default_value = "> ")]
        prompt: String,
        /// The QEMU command
        #[arg(last = true, required = true)]
        qemu: Vec<String>,
    },
    /// Compares two transcripts and shows the first line that differs
    Compare {
        /// The transcript as it should be
        expected: PathBuf,
        /// The transcript of the run
        actual: PathBuf,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run { timeout, pass, passes, fail, transcript, keyboard, typed, prompt, qemu } => {
            typing(keyboard, typed, prompt).and_then(|typed| {
                let timeout = Duration::from_secs(timeout);
                let sentinel = Sentinel { pass, fail };
                Watch { timeout, sentinel, passes, transcript, typed, qemu }.run().map(report)
            })
        }
        Command::Compare { expected, actual } => {
            compare::files(&expected, &actual).map(|difference| match difference {
                None => ExitCode::SUCCESS,
                Some(difference) => {
                    eprintln!("boot: {difference}");
                    ExitCode::from(1)
                }
            })
        }
    };
    result.unwrap_or_else(|message| {
        eprintln!("boot: {message}");
        ExitCode::from(2)
    })
}

fn typing(keyboard: bool, typed: Option<PathBuf>, prompt: String) -> Result<Typed, String> {
    match typed {
        Some(path) => {
            let text = fs::read_to_string(&path)
                .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
            Ok(Typed::Lines { prompt, lines: text.lines().map(str::to_owned).collect() })
        }
        None if keyboard => Ok(Typed::Keyboard),
        None => Ok(Typed::Nothing),
    }
}

fn report(outcome: Outcome) -> ExitCode {
    match outcome {
        Outcome::Passed => ExitCode::SUCCESS,
        Outcome::Failed => ExitCode::from(1),
        Outcome::TimedOut(limit) => {
            eprintln!("boot: no sentinel line within {} s; QEMU was stopped", limit.as_secs());
            ExitCode::from(2)
        }
        Outcome::Ended(status) => {
            eprintln!("boot: QEMU ended by itself before a sentinel line came ({status})");
            ExitCode::from(2)
        }
        Outcome::Interrupted => {
            eprintln!("boot: interrupted; QEMU was stopped");
            ExitCode::from(130)
        }
    }
}
