// SPDX-License-Identifier: BSD-2-Clause
//! The crash test on the host: cuts the power of a disk by the log of a run, and judges the files
//! that are found then.
//!
//! | exit status | meaning |
//! |---|---|
//! | 0 | all is well |
//! | 1 | a file is not as it can be |
//! | 2 | something could not be read or written, wrong usage |
#![forbid(unsafe_code)]
// It judges files of its own.
#![allow(clippy::arithmetic_side_effects, clippy::as_conversions)]

mod log;

use std::fs::{self, File};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use crash_core::{Found, History, Operation, path};
use fastrand::Rng;

use crate::log::Log;

#[derive(Parser)]
#[command(about = "Cuts the power of a disk, and judges the files that are found then")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Makes the disks that cuts of the power leave; prints the last mark before each
    Cut {
        /// What cuts are drawn from
        #[arg(long)]
        seed: u64,
        /// The disk as it was before the run
        #[arg(long)]
        disk: PathBuf,
        /// What blklogwrites has written
        #[arg(long)]
        log: PathBuf,
        /// Where to make the disk
        to: PathBuf,
    },
    /// Judges the files in a folder, which has what the root of the disk has
    Judge {
        /// The seed of the run
        #[arg(long)]
        seed: u64,
        /// The last mark
        #[arg(long)]
        mark: u32,
        /// The folder
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Cut { seed, disk, log, to } => cut(seed, &disk, &log, &to),
        Command::Judge { seed, mark, folder } => judge(seed, mark, &folder),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("crash: {error}");
            ExitCode::from(if error.kind() == ErrorKind::InvalidData { 1 } else { 2 })
        }
    }
}

fn cut(seed: u64, disk: &Path, log: &Path, to: &Path) -> io::Result<()> {
    let mut contents = fs::read(disk)?;
    let log = Log::read(log, contents.len())?;
    let cut = log.cut(&mut Rng::with_seed(seed), &mut contents);
    let (mark, moment) = cut.ok_or(io::Error::other("there is no mark in the log"))?;
    write_sparse(to, &contents)?;
    let (entries, marks) = log.counts();
    println!("{} {moment} {entries} {marks}", mark.0);
    Ok(())
}

/// Writes a file with holes where there are zeros.
fn write_sparse(to: &Path, contents: &[u8]) -> io::Result<()> {
    const PART: usize = 4096;
    let mut file = File::create(to)?;
    for (index, part) in contents.chunks(PART).enumerate() {
        if part.iter().any(|byte| *byte != 0) {
            file.seek(SeekFrom::Start((index * PART) as u64))?;
            file.write_all(part)?;
        }
    }
    file.set_len(contents.len() as u64)
}

fn judge(seed: u64, mark: u32, folder: &Path) -> io::Result<()> {
    let mut history = History::new(seed);
    for _ in 0..mark {
        let (_, operation) = history.begin();
        history.end(operation);
    }
    // Until the next mark that could have been made.
    while !matches!(history.begin(), (_, Operation::Sync | Operation::SyncFile { .. })) {}
    let mut found = Found::default();
    for (name, bytes) in found.iter_mut().enumerate() {
        *bytes = match fs::read(folder.join(path(name).trim_start_matches('/'))) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            read => Some(read?),
        };
    }
    history.check(&found).map_err(|why| io::Error::new(ErrorKind::InvalidData, why))
}
