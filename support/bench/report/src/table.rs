// SPDX-License-Identifier: BSD-2-Clause
//! The figures as tables.

use crate::figures::{Figures, Row, Spread};

/// Returns all tables of a board.
pub(crate) fn all(figures: &Figures) -> String {
    let Figures { board, rows, floors, boot, books, memory } = figures;
    let mut text = format!(
        "{board}, release kernel, instructions\n\n\
         | operation | batch | instructions | invocations | IPCs | bytes copied | floor | ratio |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|\n"
    );
    rows.iter().for_each(|row| text += &line(row));
    text += "\n| floor | instructions |\n|---|--:|\n";
    floors.iter().for_each(|(name, figure)| text += &format!("| {name} | {figure} |\n"));
    text += &format!(
        "\nBoot: {} instructions for a pool of {} pages, {:.0} a page.\n\
         Books of a frame that is allocated and mapped: {:.1} bytes of records, {:.1} of page \
         tables, {:.1} of slots. pmserver's own: {:.1} for each page of the pool.\n",
        boot.instructions,
        boot.pages,
        boot.instructions_per_page,
        books.records_per_frame,
        books.tables_per_frame,
        books.slots_per_frame,
        books.own_per_page
    );
    if !memory.is_empty() {
        text += "\n| what fsserver is charged | |\n|---|--:|\n";
        memory.iter().for_each(|(name, figure)| text += &format!("| {name} | {figure} |\n"));
    }
    text
}

fn line(row: &Row) -> String {
    let mut each = if row.per_frame { " a frame" } else { "" }.to_owned();
    if let Some(Spread { spread_percent, bound_percent }) = row.spread {
        each = format!(" (spread {spread_percent:.1} %, bound {bound_percent} %)");
    }
    let count = |count: Option<f64>| count.map_or(String::new(), |count| format!("{count:.2}"));
    format!(
        "| {}{each} | {} | {} | {} | {} | {} | {} | {:.2} |\n",
        row.name,
        row.batch,
        row.instructions,
        count(row.invocations),
        count(row.ipcs),
        row.copied,
        row.floor,
        row.ratio
    )
}
