// SPDX-License-Identifier: BSD-2-Clause
//! The accounts: a treemap in which every area is so many pages, and a table of the numbers.
//!
//! The area of an account is its limit. In it are what it uses itself, by kind, the limits of the
//! accounts below it, and its room. Extra frames are above the limit: the table tells them.

use svg::node::element::Element;

use crate::drawing::{
    Build, Rect, WIDTH, drawing, element, fitting, kib, label, rect, rectangle, table,
};
use crate::snapshot::{Account, Snapshot};

const HEIGHT: f64 = 460.0;

/// The kinds of what is charged, as classes and in words.
const KINDS: [&str; 4] = ["frames", "tables", "slots", "records"];

/// How deep the tree can be (`ACCOUNT_DEPTH_MAX`).
const DEPTH_MAX: usize = 16;

/// A part of an account, and where it is drawn.
struct Part<'a> {
    what: What<'a>,
    pages: u32,
    bounds: Rect,
}

#[derive(Clone, Copy)]
enum What<'a> {
    /// What the account uses itself of this kind.
    Kind(&'static str),
    /// What it may still use.
    Room,
    /// An account below it.
    Below(&'a Account),
}

/// Returns the treemap, the meaning of its colours, and the table.
pub(crate) fn accounts(snapshot: &Snapshot) -> Element {
    let mut parts = Vec::new();
    let mut labels = Vec::new();
    if let Some(pool) = snapshot.accounts.iter().find(|account| account.parent == 0) {
        let all = rect(0.0, 0.0, WIDTH, HEIGHT);
        draw(snapshot, pool, all, 0, (&mut parts, &mut labels));
    }
    let picture = drawing(HEIGHT, "the accounts, by their limits").all(parts).all(labels);
    let key = KINDS.iter().map(|kind| (*kind, *kind)).chain([("room", "not used of the limit")]);
    let rows = snapshot.accounts.iter().map(|account| row(snapshot, account));
    let titles = [
        "account", "below", "limit", "used", "frames", "tables", "slots", "records", "extra",
        "free",
    ];
    element("section")
        .and(element("h2").saying("Who pays"))
        .and(element("p").saying(
            "Each area is so many pages: that of an account is its limit, with what it uses \
             itself, the accounts below it, and what is not used. Point at an area to see its \
             number.",
        ))
        .and(picture)
        .and(legend(key))
        .and(
            element("p")
                .saying("In KiB, with the accounts below. Extra frames are above the limit."),
        )
        .and(table(&titles, rows))
}

/// Returns what colours mean: classes and words.
pub(crate) fn legend<'a>(of: impl IntoIterator<Item = (&'a str, &'a str)>) -> Element {
    let item = |(class, word): (&str, &str)| {
        let colour = element("svg")
            .with("xmlns", "http://www.w3.org/2000/svg")
            .with("class", "colour")
            .with("viewBox", "0 0 12 12")
            .and(rectangle(class, rect(0.0, 0.0, 12.0, 12.0), word));
        element("li").and(colour).and(element("span").saying(word))
    };
    element("ul").with("class", "legend").all(of.into_iter().map(item))
}

fn draw(
    snapshot: &Snapshot,
    account: &Account,
    bounds: Rect,
    depth: usize,
    (areas, labels): (&mut Vec<Element>, &mut Vec<Element>),
) {
    let mut parts = parts_of(snapshot, account);
    // The largest first, as squarified treemaps are.
    parts.sort_by_key(|part| core::cmp::Reverse(part.pages));
    let size = |part: &Part<'_>| f64::from(part.pages);
    streemap::squarify(bounds, &mut parts, size, |part, bounds| part.bounds = bounds);
    let room = parts.iter().find(|part| matches!(part.what, What::Room));
    for part in &parts {
        let pages = part.pages;
        match part.what {
            What::Below(below) if depth < DEPTH_MAX => {
                draw(snapshot, below, part.bounds, depth.saturating_add(1), (areas, labels));
            }
            What::Below(_) => {}
            What::Kind(kind) => {
                let title = format!("{}: {kind}, {} KiB", account.name, kib(pages));
                areas.push(rectangle(kind, part.bounds, title).with("data-pages", pages));
                let name = fitting(&format!("{} {kind}", account.name), part.bounds.w - 10.0);
                // The corner is the account's, if it has no room.
                let is_free =
                    room.is_some() || (part.bounds.x, part.bounds.y) != (bounds.x, bounds.y);
                if let Some(name) = name.filter(|_| is_free && part.bounds.h >= 18.0) {
                    let place = (part.bounds.x + 5.0, part.bounds.y + 15.0);
                    labels.push(label("what", place, name));
                }
            }
            What::Room => {
                let title = format!("{}: not used, {} KiB", account.name, kib(pages));
                areas.push(rectangle("room", part.bounds, title).with("data-pages", pages));
            }
        }
    }
    let words = format!("{}: {} of {} KiB", account.name, kib(account.used()), kib(account.limit));
    let frame = rectangle("account", bounds, &words).with("data-account", account.name.as_str());
    areas.push(frame.with("data-pages", account.limit));
    // In its room, or at its corner.
    let place = room.map_or(bounds, |part| part.bounds);
    let width = place.w - 10.0;
    let whole = fitting(&words, width).filter(|fits| *fits == words);
    let name = whole.or_else(|| fitting(&account.name, width));
    if let Some(name) = name.filter(|_| place.h >= 18.0) {
        labels.push(label("name", (place.x + 5.0, place.y + 15.0), name));
    }
}

fn parts_of<'a>(snapshot: &'a Snapshot, account: &Account) -> Vec<Part<'a>> {
    let below = || snapshot.accounts.iter().filter(|other| other.parent == account.id);
    let mut left = account.limit;
    let mut parts = Vec::new();
    let mut add = |what, pages: u32| {
        let pages = pages.min(left);
        left = left.saturating_sub(pages);
        if pages > 0 {
            parts.push(Part { what, pages, bounds: rect(0.0, 0.0, 0.0, 0.0) });
        }
    };
    for (place, kind) in KINDS.into_iter().enumerate() {
        let of = |account: &Account| account.kinds.get(place).copied().unwrap_or_default();
        let others = below().map(of).fold(0, u32::saturating_add);
        add(What::Kind(kind), of(account).saturating_sub(others));
    }
    for account in below() {
        add(What::Below(account), account.limit);
    }
    add(What::Room, u32::MAX);
    parts
}

fn row(snapshot: &Snapshot, account: &Account) -> Vec<String> {
    let above = snapshot.accounts.iter().find(|other| other.id == account.parent);
    let [frames, tables, slots, records] = account.kinds;
    let counts = [account.limit, account.used(), frames, tables, slots, records, account.extra];
    let names = [account.name.clone(), above.map_or(String::new(), |above| above.name.clone())];
    let free = if account.parent == 0 { kib(account.free) } else { String::new() };
    names.into_iter().chain(counts.map(kib)).chain([free]).collect()
}
