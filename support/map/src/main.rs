// SPDX-License-Identifier: BSD-2-Clause
//! Draws who holds what: reads what the shell has printed, in which there is a snapshot (`mem
//! --dump`), and writes a page for a browser.
#![forbid(unsafe_code)]

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use map::{Snapshot, page};

/// Draws the accounts, the pool, what is lent and what is mapped.
#[derive(Parser)]
struct Arguments {
    /// What the shell has printed; standard input, if it is left out
    #[arg(long)]
    transcript: Option<PathBuf>,
    /// What the page is called
    #[arg(long, default_value = "memory")]
    title: String,
    /// Where the page is written
    #[arg(long)]
    output: PathBuf,
}

fn main() -> ExitCode {
    match draw(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

fn draw(arguments: &Arguments) -> Result<(), String> {
    let mut bytes = Vec::new();
    match &arguments.transcript {
        Some(path) => {
            bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?
        }
        None => {
            std::io::stdin().read_to_end(&mut bytes).map_err(|e| e.to_string())?;
        }
    }
    let snapshot = Snapshot::read(&String::from_utf8_lossy(&bytes))?;
    let path = &arguments.output;
    std::fs::write(path, page(&arguments.title, &snapshot))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}
