// SPDX-License-Identifier: BSD-2-Clause
//! Reads what the files in support/boards say about serial ports: the words of `SERIAL` of each.

use std::error::Error;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = Path::new("../../boards");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut boards = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?.path();
        let text = fs::read_to_string(&file)?;
        let words = text.lines().find_map(|line| line.strip_prefix("SERIAL := "));
        let board = file.file_stem().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        boards.extend(words.map(|words| (board, words.to_owned())));
    }
    boards.sort();
    let output = Path::new(&env::var("OUT_DIR")?).join("boards.rs");
    fs::write(output, format!("&{boards:?}"))?;
    Ok(())
}
