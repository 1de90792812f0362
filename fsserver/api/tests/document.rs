// SPDX-License-Identifier: BSD-2-Clause
//! The tables of support/docs/fs-protocol.md say what the code says.
#![allow(clippy::indexing_slicing)] // A test may fail by panicking.

use fsserver_api::{Feature, FsError, PROTOCOL_VERSION};
use pmserver_api::ServerError;

const DOCUMENT: &str = include_str!("../../../support/docs/fs-protocol.md");
const CODE: &str = include_str!("../src/ops.rs");

/// Returns the first cells of the rows of the table whose first line begins so.
fn table(text: &'static str, head: &str) -> Vec<Vec<&'static str>> {
    let lines = text.lines().map(|line| line.trim_start_matches("//! "));
    let rows = lines.skip_while(|line| !line.starts_with(head)).skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.split('|').map(str::trim).collect()).collect()
}

/// Returns the name of an operation without the link to its section.
fn name(cell: &str) -> &str {
    cell.trim_start_matches('[').split(']').next().unwrap_or_default()
}

#[test]
fn the_document_has_the_version() {
    assert!(DOCUMENT.contains(&format!("\n- Version: {PROTOCOL_VERSION}. ")));
}

#[test]
fn the_document_has_every_operation() {
    let head = "| no | operation | r0 |";
    let (document, code) = (table(DOCUMENT, head), table(CODE, head));
    assert_eq!(document.len(), code.len());
    for (number, (row, code)) in (1..).zip(document.iter().zip(code)) {
        assert_eq!((row[1], name(row[2])), (number.to_string().as_str(), code[2]));
        assert_eq!(row[3..7], code[3..7], "{number}");
        assert_eq!(row[7], code[7], "{number}");
    }
}

#[test]
fn the_document_has_every_error() {
    let rows = table(DOCUMENT, "| no | error | meaning |");
    assert_eq!(rows.len(), FsError::ALL.len());
    for (error, row) in FsError::ALL.iter().zip(rows) {
        assert_eq!((row[1], row[2]), (&*error.status().to_string(), &*format!("{error:?}")));
    }
}

#[test]
fn the_document_has_every_feature() {
    let list = DOCUMENT.split("\nThe features of `Unsupported`: ").nth(1).unwrap_or_default();
    let list = list.split("\n\n").next().unwrap_or_default();
    let numbers = list.split([',', ':']).filter_map(|item| item.split_whitespace().next());
    let numbers: Vec<u64> = numbers.filter_map(|number| number.parse().ok()).collect();
    let all: Vec<u64> = Feature::ALL.iter().map(|feature| feature.number()).collect();
    assert_eq!(numbers, all);
}
