// SPDX-License-Identifier: BSD-2-Clause
//! What each domain has mapped.

use svg::node::element::Element;

use crate::drawing::{Build, element, kib, letters, table};
use crate::snapshot::{Mapping, Snapshot};

/// Bytes of a page.
const PAGE_BYTES: u64 = 4096;

/// The bit of a mapping that is one entry of 2 MiB.
const LARGE: u64 = 128;

/// Returns a table for each domain that has mapped something.
pub(crate) fn mappings(snapshot: &Snapshot) -> Element {
    let titles = ["address", "KiB", "asked", "now", "container", "frames", "whose"];
    let tables = snapshot.peers.iter().filter_map(|(peer, name)| {
        let runs = runs_of(snapshot, *peer);
        let pages = runs.iter().fold(0, |sum: u64, run| sum.saturating_add(run.pages));
        let pages = u32::try_from(pages).unwrap_or(u32::MAX);
        let summary = format!("{name}: {} KiB in {} ranges", kib(pages), runs.len());
        let rows = runs.iter().map(|run| row(snapshot, run));
        (!runs.is_empty()).then(|| {
            element("details")
                .with("open", "open")
                .and(element("summary").saying(summary))
                .and(table(&titles, rows))
        })
    });
    element("section")
        .and(element("h2").saying("What is mapped"))
        .and(element("p").saying(
            "By pmserver, in each domain: with which rights it was asked for, and which the kernel \
             grants at the moment.",
        ))
        .all(tables)
}

/// Returns what a domain has mapped, with what goes on in one piece.
fn runs_of(snapshot: &Snapshot, peer: u64) -> Vec<Mapping> {
    let mut runs: Vec<Mapping> = Vec::new();
    for mapping in snapshot.mappings.iter().filter(|mapping| mapping.peer == peer) {
        match runs.last_mut() {
            Some(run) if goes_on(run, mapping) => {
                run.pages = run.pages.saturating_add(mapping.pages);
            }
            _ => runs.push(mapping.clone()),
        }
    }
    runs
}

fn goes_on(run: &Mapping, next: &Mapping) -> bool {
    let terms = |mapping: &Mapping| (mapping.state, mapping.container, mapping.share);
    run.vaddr.saturating_add(run.pages.saturating_mul(PAGE_BYTES)) == next.vaddr
        && run.first.saturating_add(run.pages) == next.first
        && terms(run) == terms(next)
}

fn row(snapshot: &Snapshot, run: &Mapping) -> Vec<String> {
    let asked = letters(run.state | (run.state & 2) >> 1, &[(1, 'r'), (2, 'w'), (8, 'x')]);
    let now = letters(run.state, &[(32, 'r'), (64, 'w')]);
    let owner = snapshot.container(run.container).map_or("?", |it| snapshot.peer(it.owner));
    let whose = if run.share == 0 { "its own".to_owned() } else { format!("lent by {owner}") };
    let large = if run.state & LARGE == 0 { "" } else { ", large" };
    let last = run.first.saturating_add(run.pages).saturating_sub(1);
    vec![
        format!("{:#x}", run.vaddr),
        kib(u32::try_from(run.pages).unwrap_or(u32::MAX)),
        asked,
        now,
        snapshot.container_name(run.container).to_owned(),
        format!("{} to {last}{large}", run.first),
        whose,
    ]
}
