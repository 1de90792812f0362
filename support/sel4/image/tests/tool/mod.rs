// SPDX-License-Identifier: BSD-2-Clause

//! Runs the image tool, and finds the SDK.

#![allow(
    clippy::unwrap_used,
    dead_code,
    reason = "a test may fail by panicking; no test uses all of this"
)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The board of tests for which any would do.
pub(crate) const BOARD: &str = "qemu_virt_aarch64";

/// Runs the tool, in the crate's folder; checks that it wrote an image if it succeeded, only then.
pub(crate) fn run(sdk: &Path, board: &str, search_path: &Path, arguments: &[&str]) -> Output {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let folder = std::env::temp_dir().join(format!("image-{test}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let image = folder.join("loader.img");
    let mut command = Command::new(env!("CARGO_BIN_EXE_image"));
    if !arguments.contains(&"--root-task") {
        command.arg("--search-path").arg(search_path);
    }
    command.arg("--sdk").arg(sdk).args(["--board", board, "--config", "debug"]);
    command.arg("--output").arg(&image).args(arguments);
    let result = command.output().unwrap();
    assert_eq!(image.exists(), result.status.success(), "{arguments:?}");
    fs::remove_dir_all(folder).unwrap();
    result
}

/// Returns what a run that ended with `status` wrote to standard error.
pub(crate) fn message(output: Output, status: i32) -> String {
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{message}");
    message
}

/// Returns the SDK if it has the board; else says aloud that tests are left out.
pub(crate) fn sdk_with(board: &str) -> Option<PathBuf> {
    let path = match std::env::var_os("MICROKIT_SDK") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(std::env::var_os("HOME")?).join("microkit-sdk-2.3.0"),
    };
    if path.join("board").join(board).is_dir() {
        return Some(path);
    }
    // Not eprintln!, which a passing test swallows.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "SKIPPED: no Microkit SDK with {board} in {}", path.display()).unwrap();
    None
}
