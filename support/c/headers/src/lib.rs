// SPDX-License-Identifier: BSD-2-Clause
//! The headers for protection domains in C: `pmserver.h` and `fsserver.h`, as text.
//!
//! What every operation has comes from the tables of the contracts: numbers, registers, errors,
//! flags, limits. Its comment comes from the doc comments of the requests and from the protocol's
//! document. `vocabulary.rs` says what the names in the tables are in C, and the templates beside
//! it have what no table has.
//!
//! | module | what it does |
//! |---|---|
//! | `pm`, `fs` | one header each |
//! | `function` | a function of C for a row of a table |
//! | `items` | what both have: constants, enums, errors |
//! | `until_done` | functions that repeat calls |
//! | `vocabulary` | the types and the meaning of arguments and results |
//! | `source` | doc comments and sections |
//! | `text` | names, comments, fields of registers |
#![forbid(unsafe_code)]
// It runs while people build: it may fail by panicking.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::panic
)]

mod fs;
mod function;
mod items;
mod pm;
mod source;
mod text;
mod until_done;
mod vocabulary;
#[cfg(test)]
mod wire;

/// Returns the name and the text of each header.
#[must_use]
pub fn headers() -> [(&'static str, String); 2] {
    [("pmserver.h", pm::header()), ("fsserver.h", fs::header())]
}
