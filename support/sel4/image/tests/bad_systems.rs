// SPDX-License-Identifier: BSD-2-Clause

//! Every file in `tests/bad` is refused, with exit status 1 and a message that starts with the
//! file, the element's line, and the sentence that is listed here.
//!
//! Most need no SDK: the tool reads the XML first. Those that need one (the board's memory, and
//! microkit-tool's own messages) are skipped, with a line that says so, where there is none.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking, in its helpers too"
)]

mod refusals;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use refusals::WITHOUT_SDK;

/// The same, for those that need an SDK with the board `qemu_virt_aarch64`.
const WITH_SDK: &[(&str, u32, &str)] =
    &[("more_memory_than_the_board_has", 8, "untyped memory adds up to 1.50 GiB")];

/// What microkit-tool says itself, at the line and column that the element has in the file.
const STOCK: (&str, &str) =
    ("stock_error_behind_an_extension", "Error: invalid attribute 'colour' on element 'map': ");

const BOARD: &str = "qemu_virt_aarch64";

fn folder() -> &'static Path {
    Path::new("tests/bad")
}

/// Runs the tool on a file. It runs in the crate's folder, as tests do.
fn run(name: &str, sdk: &Path) -> Output {
    run_on(BOARD, &[], name, sdk)
}

fn run_on(board: &str, more: &[&str], name: &str, sdk: &Path) -> Output {
    let output = std::env::temp_dir().join(format!("image-{name}-{}", std::process::id()));
    let result = Command::new(env!("CARGO_BIN_EXE_image"))
        .args(["--board", board, "--config", "debug", "--search-path", "tests"])
        .args([OsString::from("--sdk"), sdk.into(), "--output".into(), output.clone().into()])
        .args(more)
        .arg(folder().join(format!("{name}.xml")))
        .output()
        .unwrap();
    assert!(!output.exists(), "{name}: an image was written");
    result
}

fn check(sdk: &Path, cases: &[(&str, u32, &str)]) {
    for (name, line, sentence) in cases {
        let output = run(name, sdk);
        let message = String::from_utf8(output.stderr).unwrap();
        let expected = format!("{}/{name}.xml:{line}: {sentence}", folder().display());
        assert!(message.starts_with(&expected), "expected: {expected}\ngot: {message}");
        assert_eq!(message.trim_end().lines().count(), 1, "more than a line: {message}");
        assert_eq!(output.status.code(), Some(1), "{name}");
    }
}

/// Returns the SDK, or says aloud which tests are left out.
fn sdk() -> Option<PathBuf> {
    let path = match std::env::var_os("MICROKIT_SDK") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(std::env::var_os("HOME")?).join("microkit-sdk-2.3.0"),
    };
    if path.join("board").join(BOARD).is_dir() {
        return Some(path);
    }
    // Not eprintln!, which a passing test swallows.
    let mut stderr = std::io::stderr();
    writeln!(stderr, "SKIPPED: no Microkit SDK with {BOARD} in {}", path.display()).unwrap();
    None
}

#[test]
fn refused_without_an_sdk() {
    check(Path::new("no-sdk-is-here"), WITHOUT_SDK);
}

#[test]
fn refused_for_the_board() {
    if let Some(sdk) = sdk() {
        check(&sdk, WITH_SDK);
    }
}

/// On x86 the board's file says how much RAM there is.
#[test]
fn refused_for_the_ram_of_a_pc() {
    if sdk().is_none_or(|sdk| !sdk.join("board/x86_64_generic").is_dir()) {
        return;
    }
    let sdk = sdk().unwrap();
    let name = WITH_SDK[0].0;
    for (ram, is_too_little) in [("1G", true), ("2G", false)] {
        let output = run_on("x86_64_generic", &["--ram", ram], name, &sdk);
        let message = String::from_utf8(output.stderr).unwrap();
        let sentence = format!("{name}.xml:7: untyped memory adds up to 1,024 MiB");
        // With 2 GiB the tool gets as far as looking for the programs, which are not there.
        assert_eq!(message.contains(&sentence), is_too_little, "{ram}: {message}");
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn the_stock_parser_points_to_the_right_line() {
    let Some(sdk) = sdk() else { return };
    let (name, sentence) = STOCK;
    let output = run(name, &sdk);
    let message = String::from_utf8(output.stderr).unwrap();
    let expected = format!("{sentence}{}/{name}.xml:13:9\n", folder().display());
    assert_eq!(message, expected);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_missing_sdk_is_one_sentence() {
    let output = run(WITH_SDK[0].0, Path::new("no-sdk-is-here"));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "there is no Microkit SDK in no-sdk-is-here\n"
    );
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn every_bad_file_is_listed() {
    let listed: BTreeSet<String> = WITHOUT_SDK
        .iter()
        .chain(WITH_SDK)
        .map(|(name, ..)| *name)
        .chain([STOCK.0])
        .map(|name| format!("{name}.xml"))
        .collect();
    let files: BTreeSet<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(files, listed);
}
