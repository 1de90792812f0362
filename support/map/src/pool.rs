// SPDX-License-Identifier: BSD-2-Clause
//! The pages of the pool in their order, and how many are used as what.

use std::collections::BTreeMap;

use svg::node::element::Element;

use crate::accounts::legend;
use crate::drawing::{Build, WIDTH, drawing, element, kib, rect, rectangle, table};
use crate::snapshot::{Pages, Snapshot};

/// Pages in a line of the drawing: 2 MiB.
const LINE_PAGES: u32 = 512;

/// The height of a line.
const LINE: f64 = 9.0;

/// What pages are used as, in the order of the legend: classes and words.
const STATES: [(&str, &str); 14] = [
    ("reserved", "pmserver's own: the frame table and the way to records"),
    ("untyped", "free, untyped"),
    ("clean", "free, a frame that is clear"),
    ("dirty", "free, to be scrubbed"),
    ("empty-node", "free, a CNode"),
    ("records", "records"),
    ("table", "page tables"),
    ("slots", "CNodes"),
    ("frame", "frames"),
    ("large", "large frames"),
    ("lent", "frames that are lent"),
    ("cow", "frames that are shared copy-on-write"),
    ("pinned", "frames that are pinned"),
    ("quarantine", "in quarantine"),
];

/// Returns the drawing, the meaning of its colours, and the sums.
pub(crate) fn pool(snapshot: &Snapshot) -> Element {
    let total = snapshot.pages.iter().map(|run| run.start.saturating_add(run.count)).max();
    let lines = total.unwrap_or_default().div_ceil(LINE_PAGES);
    let areas = snapshot.pages.iter().flat_map(|run| areas_of(snapshot, run));
    let mut sums: BTreeMap<&str, u32> = BTreeMap::new();
    for run in &snapshot.pages {
        let sum = sums.entry(class_of(run)).or_default();
        *sum = sum.saturating_add(run.count);
    }
    let there = || STATES.into_iter().filter(|(class, _)| sums.contains_key(class));
    let pages = |class| sums.get(class).copied().unwrap_or_default();
    let rows = there()
        .map(|(class, word)| vec![word.to_owned(), pages(class).to_string(), kib(pages(class))]);
    element("section")
        .and(element("h2").saying("What the pool is used as"))
        .and(element("p").saying(
            "All pages in their order, 2 MiB in a line. A frame that is lent, shared or pinned \
             has the colour of that. Point at pages to see whose they are.",
        ))
        .and(drawing(f64::from(lines) * LINE, "the pages of the pool").all(areas))
        .and(legend(there()))
        .and(table(&["used as", "pages", "KiB"], rows))
}

/// Returns the class of pages. What makes a frame more than a frame comes first.
fn class_of(run: &Pages) -> &str {
    match run.marks {
        marks if marks & 4 != 0 => "pinned",
        marks if marks & 1 != 0 => "cow",
        marks if marks & 2 != 0 => "lent",
        _ => run.state.as_str(),
    }
}

/// Returns the parts of a run that are in each line.
fn areas_of(snapshot: &Snapshot, run: &Pages) -> Vec<Element> {
    let (class, end) = (class_of(run), run.start.saturating_add(run.count));
    let word = STATES.iter().find(|(known, _)| *known == class).map_or(class, |(_, word)| *word);
    let of = match run.container {
        0 => String::new(),
        container => format!(" of {}", snapshot.container_name(container)),
    };
    let large = if run.state == "large" && class != "large" { ", large" } else { "" };
    let title = format!("{} KiB{of}: {word}{large}", kib(run.count));
    let page = WIDTH / f64::from(LINE_PAGES);
    let first = run.start.checked_div(LINE_PAGES).unwrap_or_default();
    let mut areas = Vec::new();
    for line in first..end.div_ceil(LINE_PAGES) {
        let begin = line.saturating_mul(LINE_PAGES);
        let from = run.start.max(begin);
        let to = end.min(begin.saturating_add(LINE_PAGES));
        let pages = to.saturating_sub(from);
        let x = f64::from(from.saturating_sub(begin)) * page;
        let bounds = rect(x, f64::from(line) * LINE, f64::from(pages) * page, LINE - 1.0);
        areas.push(rectangle(class, bounds, &title).with("data-pages", pages));
    }
    areas
}
