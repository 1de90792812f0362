// SPDX-License-Identifier: BSD-2-Clause
//! The page: one file, for a light or a dark screen, which needs nothing else.

use crate::accounts::accounts;
use crate::drawing::{Build, element};
use crate::mappings::mappings;
use crate::pool::pool;
use crate::shares::shares;
use crate::snapshot::Snapshot;

const STYLE: &str = include_str!("style.css");

/// Returns the page of a snapshot. Behind its first line it is well-formed XML.
#[must_use]
pub fn page(title: &str, snapshot: &Snapshot) -> String {
    let title = format!("Who holds what: {title}");
    let head = element("head")
        .and(element("meta").with("charset", "utf-8"))
        .and(
            element("meta")
                .with("name", "viewport")
                .with("content", "width=device-width, initial-scale=1"),
        )
        .and(element("title").saying(title.as_str()))
        .and(element("style").saying(STYLE));
    let body = element("body")
        .and(element("h1").saying(title))
        .and(accounts(snapshot))
        .and(pool(snapshot))
        .and(shares(snapshot))
        .and(mappings(snapshot));
    let html = element("html").with("lang", "en").and(head).and(body);
    format!("<!DOCTYPE html>\n{html}\n")
}
