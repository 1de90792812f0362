// SPDX-License-Identifier: BSD-2-Clause
//! Reads what the bench has printed on a board, writes the figures as JSON, prints them as a table
//! and draws them. Compares them with the accepted figures, which are in `support/bench`.
//!
//! | exit status | meaning |
//! |---|---|
//! | 0 | done; with `check`: no row got worse |
//! | 1 | a row got worse, or vanished |
//! | 2 | a file cannot be read or written, or has no figures |
#![forbid(unsafe_code)]

mod compare;
mod document;
mod figures;
mod plot;
mod table;
mod transcript;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::figures::Figures;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Verb {
    /// Prints the table
    Table,
    /// Compares with the accepted figures
    Check,
    /// Makes these the accepted figures, and writes them into the document
    Accept,
}

#[derive(Parser)]
#[command(about = "Tells what operations cost, from what the bench has printed")]
struct Arguments {
    verb: Verb,
    /// The board that it ran on
    #[arg(long)]
    board: String,
    /// Where to write the figures; plots are drawn beside
    #[arg(long)]
    json: PathBuf,
    /// The accepted figures
    #[arg(long)]
    accepted: PathBuf,
    /// The folder with the document and its plots
    #[arg(long, default_value = "support/docs")]
    docs: PathBuf,
    /// What the bench has printed, on each kernel that it ran on
    #[arg(required = true)]
    transcripts: Vec<PathBuf>,
}

fn main() -> ExitCode {
    run(&Arguments::parse()).unwrap_or_else(|message| {
        eprintln!("bench: {message}");
        ExitCode::from(2)
    })
}

fn run(arguments: &Arguments) -> Result<ExitCode, String> {
    let texts: Vec<String> =
        arguments.transcripts.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
    let figures = transcript::figures(&arguments.board, &texts.join("\n"))?;
    write(&arguments.json, &figures.to_json()?)?;
    let folder = arguments.json.parent().unwrap_or(Path::new("."));
    write(&folder.join(plot::name(&figures.board)), &plot::reading(&figures)?)?;
    match arguments.verb {
        Verb::Table => println!("{}", table::all(&figures)),
        Verb::Check => return check(arguments, &figures),
        Verb::Accept => {
            write(&arguments.accepted, &figures.to_json()?)?;
            let plot = arguments.docs.join("performance").join(plot::name(&figures.board));
            write(&plot, &plot::reading(&figures)?)?;
            let document = arguments.docs.join(document::NAME);
            write(&document, &document::with(&read(&document)?, &figures)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn check(arguments: &Arguments, figures: &Figures) -> Result<ExitCode, String> {
    let accepted = Figures::from_json(&read(&arguments.accepted)?)?;
    let worse = compare::worse(&accepted, figures);
    let board = &figures.board;
    let wide = compare::wide(&accepted);
    if !wide.is_empty() {
        println!("bench: {board}: not the same in every run: {}", wide.join(", "));
    }
    if worse.is_empty() {
        println!("bench: {board}: {} rows, none worse than accepted", figures.rows.len());
        return Ok(ExitCode::SUCCESS);
    }
    for line in worse {
        println!("bench: {board}: {line}");
    }
    Ok(ExitCode::FAILURE)
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, text));
    written.map_err(|error| format!("{}: {error}", path.display()))
}
