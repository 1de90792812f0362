// SPDX-License-Identifier: BSD-2-Clause
//! Makes a file for Perfetto of what a run has printed.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use sim::system_file::SystemFile;

#[derive(Parser)]
#[command(about = "Makes trace events, as Perfetto opens them, of what a run has printed")]
struct Arguments {
    /// The system description file
    #[arg(long)]
    system: PathBuf,
    /// What was printed
    #[arg(long)]
    transcript: PathBuf,
    /// The file to write
    #[arg(long)]
    output: PathBuf,
}

fn main() -> ExitCode {
    match convert(&Arguments::parse()) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(sentence) => {
            eprintln!("trace-json: {sentence}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the file; returns what is in it.
fn convert(arguments: &Arguments) -> Result<String, String> {
    let read = |path: &Path| {
        let bytes =
            fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        Ok::<String, String>(String::from_utf8_lossy(&bytes).into_owned())
    };
    let file = SystemFile::parse(&read(&arguments.system)?).map_err(|error| error.to_string())?;
    let rings = trace_json::rings(&read(&arguments.transcript)?)?;
    let slices = trace_json::slices(&file, &rings)?;
    trace_json::check_nesting(&slices)?;
    let ticks = rings.iter().map(|ring| ring.header.ticks_per_second).max().unwrap_or_default();
    let json = trace_json::json(&file, &slices, ticks)?;
    let path = &arguments.output;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| error.to_string())?;
    }
    fs::write(path, json).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    let records: usize = rings.iter().map(|ring| ring.records.len()).sum();
    let lost: u64 = rings.iter().map(trace_json::PrintedRing::lost).sum();
    Ok(format!("{}: {records} records, {lost} lost; ui.perfetto.dev opens it", path.display()))
}
