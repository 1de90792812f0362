// SPDX-License-Identifier: BSD-2-Clause
//! The part of the document that is made of figures: between two marks for each board.

use crate::figures::Figures;
use crate::table;

/// The document, in the folder of documents.
pub(crate) const NAME: &str = "performance.md";

/// Returns the document with these figures in place of those that it has of the board.
pub(crate) fn with(document: &str, figures: &Figures) -> Result<String, String> {
    let [begin, end] =
        ["begin", "end"].map(|mark| format!("<!-- figures of {}: {mark} -->\n", figures.board));
    let missing = || format!("{NAME} has no marks for the figures of {}", figures.board);
    let (before, rest) = document.split_once(&begin).ok_or_else(missing)?;
    let (_, after) = rest.split_once(&end).ok_or_else(missing)?;
    Ok(format!("{before}{begin}\n{}\n{end}{after}", table::all(figures)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Nobody edits the figures by hand, and who accepts figures changes the document.
    #[test]
    fn the_document_has_the_accepted_figures() {
        let support = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let document = fs::read_to_string(support.join("docs").join(NAME)).unwrap();
        for board in ["qemu_virt_aarch64", "x86_64_generic"] {
            let json = fs::read_to_string(support.join(format!("bench/{board}.json"))).unwrap();
            let figures = Figures::from_json(&json).unwrap();
            assert!(with(&document, &figures).unwrap() == document, "{board}: make bench-accept");
        }
    }
}
