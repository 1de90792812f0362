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

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// File, line, start of the sentence.
const WITHOUT_SDK: &[(&str, u32, &str)] = &[
    ("cnode_slot_above_the_leaf", 7, "cap_cnode slot 512 is outside 458 to 511,"),
    ("cnode_slot_below_the_free_ones", 7, "cap_cnode slot 457 is outside 458 to 511,"),
    ("cnode_slot_twice", 8, "cap_cnode takes slot 500, which cap_cnode in line 7 has already."),
    ("count_above_the_root_cnode", 7, "cap_untyped slot 60 with count 5 reaches outside 1 to 63,"),
    (
        "count_without_end",
        7,
        "cap_untyped slot 60 with count 18446744073709551615 reaches outside 1 to 63,",
    ),
    ("count_zero", 7, "count is 0: leave the element out instead."),
    ("counts_overlap", 8, "cap_untyped takes slot 11, which cap_untyped in line 7 has already."),
    ("cspace_outside_a_pd", 5, "cap_cnode stands outside the cspace of a protection domain."),
    ("empty_board", 7, "the attribute board is empty."),
    ("missing_count", 7, "cap_untyped lacks the attribute count."),
    ("missing_pd", 7, "cap_cnode lacks the attribute pd."),
    ("missing_size_bits", 7, "cap_untyped lacks the attribute size_bits."),
    ("missing_slot", 7, "cap_untyped lacks the attribute slot."),
    ("missing_stock_slot", 7, "cap_vspace lacks the attribute slot."),
    ("not_a_number", 7, "slot 'eight' is not a number."),
    ("not_empty", 7, "cap_untyped must be empty."),
    ("not_xml", 5, "this is not well-formed XML:"),
    (
        "pd_of_another_board",
        7,
        "cap_cnode names the PD 'elsewhere', which this system does not have.",
    ),
    ("size_above_the_kernel", 7, "size_bits 48 is outside 12 to 47,"),
    ("size_below_a_page", 7, "size_bits 11 is outside 12 to 47,"),
    ("slot_above_the_root_cnode", 7, "cap_untyped slot 64 is outside 1 to 63,"),
    (
        "slot_of_a_stock_capability",
        8,
        "cap_vspace takes slot 8, which cap_untyped in line 7 has already.",
    ),
    ("slot_twice", 8, "cap_untyped takes slot 8, which cap_untyped in line 7 has already."),
    ("slot_zero", 7, "cap_untyped slot 0 is outside 1 to 63,"),
    ("stock_slot_above_the_root_cnode", 7, "cap_tcb slot 64 is outside 1 to 63,"),
    ("system_of_another_board", 3, "the whole system is for the board 'another'."),
    (
        "unknown_attribute",
        7,
        "cap_untyped has no attribute 'badge'; it takes slot, size_bits, count.",
    ),
    ("unknown_element_in_cspace", 7, "cap_everything is none of the elements of cspace:"),
    ("unknown_pd", 7, "cap_cnode names the PD 'nobody', which this system does not have."),
    ("untyped_outside_cspace", 5, "cap_untyped stands outside the cspace of a protection domain."),
];

/// The same, for those that need an SDK with the board `qemu_virt_aarch64`.
const WITH_SDK: &[(&str, u32, &str)] =
    &[("more_memory_than_the_board_has", 8, "untyped memory comes to 1.50 GiB")];

/// What microkit-tool says itself, at the line and column that the element has in the file.
const STOCK: (&str, &str) =
    ("stock_error_behind_an_extension", "Error: invalid attribute 'colour' on element 'map': ");

const BOARD: &str = "qemu_virt_aarch64";

fn folder() -> &'static Path {
    Path::new("tests/bad")
}

/// Runs the tool on a file. It runs in the crate's folder, as tests do.
fn run(name: &str, sdk: &Path) -> Output {
    let output = std::env::temp_dir().join(format!("image-{name}-{}", std::process::id()));
    let result = Command::new(env!("CARGO_BIN_EXE_image"))
        .args(["--board", BOARD, "--config", "debug", "--search-path", "tests"])
        .args([OsString::from("--sdk"), sdk.into(), "--output".into(), output.clone().into()])
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
