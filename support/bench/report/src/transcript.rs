// SPDX-License-Identifier: BSD-2-Clause
//! The lines that the bench prints: a word for the kind, a name for some kinds, then figures.

use std::collections::BTreeMap;

use crate::figures::{Books, Boot, Figures, Row, Spread, quotient};

/// Returns the figures in the lines.
pub(crate) fn figures(board: &str, text: &str) -> Result<Figures, String> {
    let mut figures = Figures {
        board: board.to_owned(),
        rows: Vec::new(),
        floors: BTreeMap::new(),
        boot: Boot::default(),
        books: Books::default(),
        memory: BTreeMap::new(),
    };
    let lines: Vec<Line<'_>> = text.lines().filter_map(Line::parse).collect();
    // Counts are in another transcript than the rows that they belong to.
    let (counts, others): (Vec<_>, Vec<_>) =
        lines.into_iter().partition(|line| line.kind == "count");
    for line in &others {
        add(&mut figures, line)?;
    }
    for count in counts {
        let row = figures.rows.iter_mut().find(|row| row.name == count.name);
        let row = row.ok_or(format!("a count of `{}`, which has no row", count.name))?;
        row.invocations = Some(quotient(count.get("invocations_in_100")?, 100));
        row.ipcs = Some(quotient(count.get("ipcs_in_100")?, 100));
    }
    if figures.rows.is_empty() { Err("no rows".to_owned()) } else { Ok(figures) }
}

fn add(figures: &mut Figures, line: &Line<'_>) -> Result<(), String> {
    match line.kind {
        "row" => {
            let (instructions, floor) = (line.get("instructions")?, line.get("floor")?);
            figures.rows.push(Row {
                name: line.name.to_owned(),
                batch: line.get("batch")?,
                per_frame: line.get("per_frame")? != 0,
                instructions,
                floor,
                ratio: quotient(instructions, floor),
                invocations: None,
                ipcs: None,
                copied: line.get("copied")?,
                spread: spread(line)?,
            });
        }
        "floor" => {
            figures.floors.insert(line.name.to_owned(), line.get("instructions")?);
        }
        "memory" => {
            figures.memory.insert(line.name.to_owned(), line.get("value")?);
        }
        "boot" => {
            let (pages, instructions) = (line.get("pages")?, line.get("instructions")?);
            let instructions_per_page = quotient(instructions, pages);
            figures.boot = Boot { pages, instructions, instructions_per_page };
        }
        "books" => {
            let frames = line.get("frames")?;
            let per_frame = |name| line.get(name).map(|bytes| quotient(bytes, frames));
            figures.books = Books {
                frames,
                records_per_frame: per_frame("records")?,
                tables_per_frame: per_frame("tables")?,
                slots_per_frame: per_frame("slots")?,
                own_per_page: quotient(line.get("own")?, figures.boot.pages),
            };
        }
        _ => {}
    }
    Ok(())
}

fn spread(line: &Line<'_>) -> Result<Option<Spread>, String> {
    if !line.has("bound") {
        return Ok(None);
    }
    let spread_percent = quotient(line.get("spread_in_1000")?, 10);
    Ok(Some(Spread { spread_percent, bound_percent: line.get("bound")? }))
}

/// A line, taken apart.
struct Line<'a> {
    kind: &'a str,
    /// Empty if the kind has no names.
    name: &'a str,
    figures: Vec<(&'a str, &'a str)>,
}

impl<'a> Line<'a> {
    /// Returns `None` for a line without figures.
    fn parse(line: &'a str) -> Option<Self> {
        let (kind, rest) = line.split_once(' ')?;
        let figures: Vec<_> =
            rest.split_whitespace().filter_map(|word| word.split_once('=')).collect();
        let name = rest.split_whitespace().next().filter(|word| !word.contains('='));
        (!figures.is_empty()).then_some(Self { kind, name: name.unwrap_or_default(), figures })
    }

    fn has(&self, name: &str) -> bool {
        self.figures.iter().any(|(key, _)| *key == name)
    }

    fn get(&self, name: &str) -> Result<u32, String> {
        let text = self.figures.iter().find(|(key, _)| *key == name).map(|(_, text)| *text);
        let figure = text.and_then(|text| text.parse().ok());
        figure.ok_or(format!("`{} {}` has no `{name}`", self.kind, self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "boot pages=100 instructions=1010\n\
        floor map instructions=900\n\
        row map_256 batch=256 per_frame=1 instructions=2700 floor=900 copied=0\n\
        books frames=4 records=10 tables=4 slots=0 own=250\n\
        row fsync batch=1 per_frame=0 instructions=9 floor=3 copied=0 spread_in_1000=13 bound=5\n\
        memory open_file_bytes value=7\n\
        count map_256 invocations_in_100=102 ipcs_in_100=0\n\
        PASS\n";

    #[test]
    fn figures_of_both_kernels_become_one() {
        let figures = figures("board", TEXT).unwrap();
        assert_eq!(figures.boot.instructions_per_page, 10.1);
        assert_eq!(figures.floors.get("map"), Some(&900));
        assert_eq!((figures.books.records_per_frame, figures.books.own_per_page), (2.5, 2.5));
        let row = figures.row("map_256").unwrap();
        assert_eq!((row.ratio, row.invocations, row.ipcs), (3.0, Some(1.02), Some(0.0)));
        assert_eq!(row.spread, None);
        let spread = Spread { spread_percent: 1.3, bound_percent: 5 };
        assert_eq!(figures.row("fsync").unwrap().spread, Some(spread));
        assert_eq!(figures.memory.get("open_file_bytes"), Some(&7));
        assert_eq!(Figures::from_json(&figures.to_json().unwrap()).unwrap(), figures);
    }

    #[test]
    fn a_row_without_its_figures_is_an_error() {
        assert!(figures("board", "row map_256 batch=256\n").is_err());
        assert!(figures("board", "PASS\n").is_err());
        assert!(figures("board", "count x invocations_in_100=1 ipcs_in_100=1\n").is_err());
    }
}
