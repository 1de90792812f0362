// SPDX-License-Identifier: BSD-2-Clause
//! The tables of support/docs/fs-protocol.md say what the table in `operation.rs` says.
#![allow(clippy::indexing_slicing)] // A test may fail by panicking.

use fsserver_api::{Feature, FsError, Operation, PROTOCOL_VERSION};
use pmserver_api::ServerError;

const DOCUMENT: &str = include_str!("../../../support/docs/fs-protocol.md");

/// Returns the first cells of the rows of the table whose first line begins so.
fn table(head: &str) -> Vec<Vec<&'static str>> {
    let rows = DOCUMENT.lines().skip_while(|line| !line.starts_with(head)).skip(2);
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
    let rows = table("| no | operation | r0 |");
    assert_eq!(rows.len(), Operation::ALL.len());
    for (operation, row) in Operation::ALL.iter().zip(rows) {
        let registers = operation.registers();
        assert_eq!((row[1], name(row[2])), (&*operation.number().to_string(), operation.name()));
        let mut request = registers.request.to_vec();
        request.resize(4, "");
        assert_eq!(row[3..7], request, "{operation:?}");
        assert_eq!(row[7], registers.reply.join(", "), "{operation:?}");
    }
}

#[test]
fn the_document_has_every_error() {
    let rows = table("| no | error | meaning |");
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
    // Those that matter for writing alone are listed behind the others.
    let mut numbers: Vec<u64> = numbers.filter_map(|number| number.parse().ok()).collect();
    numbers.sort_unstable();
    let all: Vec<u64> = Feature::ALL.iter().map(|feature| feature.number()).collect();
    assert_eq!(numbers, all);
}
