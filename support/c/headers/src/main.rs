// SPDX-License-Identifier: BSD-2-Clause
//! Writes the headers into a folder: `cargo run -p c-headers -- support/c/include`.
#![forbid(unsafe_code)]

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("c-headers: into which folder?");
        return ExitCode::FAILURE;
    };
    for (name, text) in c_headers::headers() {
        let file = Path::new(&folder).join(name);
        if let Err(error) = std::fs::write(&file, text) {
            eprintln!("c-headers: {} cannot be written: {error}", file.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
