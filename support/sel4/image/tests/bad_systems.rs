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
mod tool;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Output;

use refusals::WITHOUT_SDK;
use tool::{BOARD, message, sdk_with};

/// The same, for those that need an SDK with the board `qemu_virt_aarch64`.
const WITH_SDK: &[(&str, u32, &str)] =
    &[("more_memory_than_the_board_has", 8, "untyped memory adds up to 1.50 GiB")];

/// What microkit-tool says itself, at the line and column that the element has in the file.
const STOCK: (&str, &str) =
    ("stock_error_behind_an_extension", "Error: invalid attribute 'colour' on element 'map': ");

fn folder() -> &'static Path {
    Path::new("tests/bad")
}

/// Runs the tool on a file, where no program is.
fn run(name: &str, sdk: &Path) -> Output {
    tool::run(sdk, BOARD, Path::new("tests"), &[&format!("tests/bad/{name}.xml")])
}

fn check(sdk: &Path, cases: &[(&str, u32, &str)]) {
    for (name, line, sentence) in cases {
        let message = message(run(name, sdk), 1);
        let expected = format!("{}/{name}.xml:{line}: {sentence}", folder().display());
        assert!(message.starts_with(&expected), "expected: {expected}\ngot: {message}");
        assert_eq!(message.trim_end().lines().count(), 1, "more than a line: {message}");
    }
}

#[test]
fn refused_without_an_sdk() {
    check(Path::new("no-sdk-is-here"), WITHOUT_SDK);
}

#[test]
fn refused_for_the_board() {
    if let Some(sdk) = sdk_with(BOARD) {
        check(&sdk, WITH_SDK);
    }
}

/// On x86 the board's file says how much RAM there is.
#[test]
fn refused_for_the_ram_of_a_pc() {
    let board = "x86_64_generic";
    let Some(sdk) = sdk_with(board) else { return };
    let name = WITH_SDK[0].0;
    let file = format!("tests/bad/{name}.xml");
    for (ram, is_too_little) in [("1G", true), ("2G", false)] {
        let output = tool::run(&sdk, board, Path::new("tests"), &["--ram", ram, &file]);
        let message = message(output, 1);
        let sentence = format!("{name}.xml:7: untyped memory adds up to 1,024 MiB");
        // With 2 GiB the tool gets as far as looking for the programs, which are not there.
        assert_eq!(message.contains(&sentence), is_too_little, "{ram}: {message}");
    }
}

#[test]
fn the_stock_parser_points_to_the_right_line() {
    let Some(sdk) = sdk_with(BOARD) else { return };
    let (name, sentence) = STOCK;
    let expected = format!("{sentence}{}/{name}.xml:13:9\n", folder().display());
    assert_eq!(message(run(name, &sdk), 1), expected);
}

#[test]
fn a_missing_sdk_is_one_sentence() {
    let output = run(WITH_SDK[0].0, Path::new("no-sdk-is-here"));
    assert_eq!(message(output, 1), "there is no Microkit SDK in no-sdk-is-here\n");
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
