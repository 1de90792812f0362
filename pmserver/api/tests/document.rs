// SPDX-License-Identifier: BSD-2-Clause
//! The tables of support/docs/pm-protocol.md say what the table in `operation.rs` says.
#![allow(clippy::indexing_slicing, clippy::unwrap_used)]

use pmserver_api::{Operation, PROTOCOL_VERSION};

const DOCUMENT: &str = include_str!("../../../support/docs/pm-protocol.md");

/// Returns the cells of the rows of the table whose first line begins so.
fn table(head: &str) -> Vec<Vec<&'static str>> {
    let lines = DOCUMENT.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    let rows = lines.take_while(|line| line.starts_with('|'));
    rows.map(|row| row.split('|').map(str::trim).collect()).collect()
}

/// Returns registers as one cell: each once, with the number of those in a row that are the same.
fn in_one_cell(registers: &[&str]) -> String {
    let runs = registers.chunk_by(|one, other| one == other);
    let cells = runs.map(|run| match run.len() {
        1 => run[0].to_owned(),
        length => format!("{} × {length}", run[0]),
    });
    cells.collect::<Vec<_>>().join(", ")
}

#[test]
fn the_document_has_every_operation_with_its_registers() {
    let rows = table("| no | operation | label | r0 | r1 | r2 | r3 | reply |");
    assert_eq!(rows.len(), Operation::ALL.len());
    for (operation, row) in Operation::ALL.iter().zip(rows) {
        let registers = operation.registers();
        assert_eq!(row[1], operation.number().to_string());
        let name = row[2].strip_prefix('[').and_then(|link| link.split(']').next());
        assert_eq!(name, Some(operation.name()));
        assert_eq!(row[3], operation.label().fields(), "{operation:?}");
        let list = Some(format!("{} …", registers.list.join(", ")));
        let list = list.filter(|_| !registers.list.is_empty());
        let mut request: Vec<String> = registers.request.iter().map(|&r| r.to_owned()).collect();
        request.extend(list);
        request.resize(4, String::new());
        assert_eq!(row[4..8], request, "{operation:?}");
        assert_eq!(row[8], in_one_cell(registers.reply), "{operation:?}");
    }
}

#[test]
fn the_document_has_the_bound_of_every_operation() {
    let rows = table("| operation | errors besides those | idempotent | bound on one call |");
    assert_eq!(rows.len(), Operation::ALL.len());
    for (operation, row) in Operation::ALL.iter().zip(rows) {
        assert_eq!(row[1], operation.name());
        let is_idempotent = if operation.is_idempotent() { "yes" } else { "no" };
        assert_eq!(row[3], is_idempotent, "{operation:?}");
        assert_eq!(row[4], operation.bound(), "{operation:?}");
    }
}

/// Every operation has a section, by number and name.
#[test]
fn the_document_has_a_section_for_every_operation() {
    let headings: Vec<&str> =
        DOCUMENT.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let titles: Vec<&str> = headings.iter().flat_map(|heading| heading.split(", ")).collect();
    for operation in Operation::ALL {
        let title = format!("{} {}", operation.number(), operation.name());
        assert!(titles.contains(&title.as_str()), "no section {title}");
    }
}

#[test]
fn the_document_has_the_version() {
    assert!(DOCUMENT.contains(&format!("\n- Version: {PROTOCOL_VERSION}. ")));
}
