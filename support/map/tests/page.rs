// SPDX-License-Identifier: BSD-2-Clause
//! The page of a snapshot holds what the snapshot says, and areas are as large as the numbers.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

use std::collections::BTreeMap;

use map::{Snapshot, page};
use roxmltree::{Document, Node};

/// Printed by the shell in the simulator, with 64 pages lent to its neighbour.
const SNAPSHOT: &str = include_str!("snapshot.txt");

fn drawn(snapshot: &str) -> String {
    let page = page("the test", &Snapshot::read(snapshot).unwrap());
    page.strip_prefix("<!DOCTYPE html>\n").expect("it begins so").to_owned()
}

/// Returns the value of a field of a line.
fn field<'a>(line: &'a str, key: &str) -> &'a str {
    let pairs = line.split(' ').skip(1).map(|pair| pair.split_once('=').expect(line));
    pairs.into_iter().find(|(name, _)| *name == key).expect(line).1
}

fn lines(kind: &str) -> impl Iterator<Item = &'static str> {
    SNAPSHOT.lines().filter(move |line| line.split(' ').next() == Some(kind))
}

fn number(line: &str, key: &str) -> f64 {
    field(line, key).parse().unwrap()
}

fn size(node: &Node<'_, '_>) -> f64 {
    let side = |name| node.attribute(name).unwrap().parse::<f64>().unwrap();
    side("width") * side("height")
}

fn with<'a>(document: &'a Document<'a>, name: &'a str) -> impl Iterator<Item = Node<'a, 'a>> {
    document.descendants().filter(move |node| node.attribute(name).is_some())
}

/// Checks that areas are in proportion to pages, to a thousandth of a page's and what is rounded.
fn are_in_proportion(of: &[(f64, f64)]) {
    let total = |of: fn(&(f64, f64)) -> f64, all: &[(f64, f64)]| all.iter().map(of).sum::<f64>();
    let page = total(|(area, _)| *area, of) / total(|(_, pages)| *pages, of);
    for (area, pages) in of {
        assert!((area - pages * page).abs() < 2.0, "{area} is not {pages} pages of {page}");
    }
}

#[test]
fn every_account_is_drawn_by_its_name_as_large_as_its_limit() {
    let text = drawn(SNAPSHOT);
    let document = Document::parse(&text).expect("it is well-formed");
    let frames: BTreeMap<&str, f64> = with(&document, "data-account")
        .map(|node| (node.attribute("data-account").unwrap(), size(&node)))
        .collect();
    let accounts: Vec<&str> = lines("account").collect();
    assert_eq!(frames.len(), accounts.len());
    let areas = accounts.iter().map(|line| (frames[field(line, "name")], number(line, "limit")));
    are_in_proportion(&areas.collect::<Vec<_>>());
    let cells: Vec<&str> = document.descendants().filter_map(|node| node.text()).collect();
    for line in accounts {
        assert!(cells.contains(&field(line, "name")), "{line}");
    }
}

#[test]
fn what_an_account_uses_is_as_large_as_the_numbers() {
    let text = drawn(SNAPSHOT);
    let document = Document::parse(&text).unwrap();
    let shell = lines("account").find(|line| field(line, "name") == "shell").unwrap();
    let title = |node: &Node<'_, '_>| {
        node.first_element_child().and_then(|title| title.text().map(str::to_owned))
    };
    let mut areas = Vec::new();
    for kind in ["frames", "tables", "slots", "records"] {
        let is_it = |node: &Node<'_, '_>| {
            title(node).is_some_and(|title| title.starts_with(&format!("shell: {kind}")))
        };
        let node = document.descendants().find(is_it).expect(kind);
        assert_eq!(node.attribute("data-pages"), Some(field(shell, kind)));
        areas.push((size(&node), number(shell, kind)));
    }
    are_in_proportion(&areas);
}

#[test]
fn the_pages_of_the_pool_are_drawn_by_their_states() {
    let text = drawn(SNAPSHOT);
    let document = Document::parse(&text).unwrap();
    let pool = document
        .descendants()
        .find(|node| node.attribute("aria-label") == Some("the pages of the pool"))
        .unwrap();
    let mut drawn: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for node in pool.children().filter(Node::is_element) {
        let (area, pages) = drawn.entry(node.attribute("class").unwrap()).or_default();
        *area += size(&node);
        *pages += node.attribute("data-pages").unwrap().parse::<f64>().unwrap();
    }
    are_in_proportion(&drawn.values().copied().collect::<Vec<_>>());
    let told = |is: &dyn Fn(&str) -> bool| {
        lines("pages").filter(|line| is(line)).map(|line| number(line, "count")).sum::<f64>()
    };
    let marks = |line: &str| field(line, "marks").parse::<u64>().unwrap();
    for (class, pages) in [
        ("untyped", told(&|line| field(line, "state") == "untyped")),
        ("records", told(&|line| field(line, "state") == "records")),
        ("large", told(&|line| field(line, "state") == "large" && marks(line) == 0)),
        ("lent", told(&|line| marks(line) == 2)),
        ("pinned", told(&|line| marks(line) & 4 != 0)),
    ] {
        assert!(pages > 0.0, "{class}");
        assert_eq!(drawn[class].1, pages, "{class}");
    }
    let all = lines("pages").map(|line| number(line, "count")).sum::<f64>();
    assert_eq!(drawn.values().map(|(_, pages)| *pages).sum::<f64>(), all);
}

#[test]
fn every_share_is_drawn_from_its_owner_to_its_borrower() {
    let text = drawn(SNAPSHOT);
    let document = Document::parse(&text).unwrap();
    let mut drawn: Vec<&str> =
        with(&document, "data-share").map(|node| node.attribute("data-share").unwrap()).collect();
    drawn.sort_unstable();
    let expected = [
        "fsserver virtio-blk rwl",
        "fsserver virtio-blk rwl",
        "shell client rw",
        "shell fsserver r",
    ];
    assert_eq!(drawn, expected);
    assert_eq!(lines("share").count(), expected.len());
}

#[test]
fn what_is_mapped_is_told_for_each_domain() {
    let text = drawn(SNAPSHOT);
    let document = Document::parse(&text).unwrap();
    let told: Vec<&str> = document
        .descendants()
        .filter(|node| node.has_tag_name("summary"))
        .map(|node| node.text().unwrap())
        .collect();
    for peer in lines("peer") {
        let id = field(peer, "id");
        let pages = lines("mapping").filter(|line| field(line, "peer") == id);
        let kib = pages.map(|line| number(line, "pages") * 4.0).sum::<f64>();
        let name = format!("{}: ", field(peer, "name"));
        let summary = told.iter().find(|summary| summary.starts_with(&name));
        let digits = summary.map(|summary| {
            let number = summary[name.len()..].split(" KiB").next().unwrap();
            number.replace(' ', "").parse::<f64>().unwrap()
        });
        assert_eq!(digits.unwrap_or_default(), kib, "{peer}");
    }
}

#[test]
fn names_cannot_break_the_page() {
    let name = "<b>&\"it's\"</b>";
    let text = drawn(&SNAPSHOT.replace("name=shell ", &format!("name={name} ")));
    let document = Document::parse(&text).expect("it is well-formed");
    assert!(document.descendants().any(|node| node.text() == Some(name)));
}

#[test]
fn what_is_no_snapshot_is_refused_in_words() {
    for (text, sentence) in [
        ("", "there is no snapshot"),
        ("snapshot version=1\n", "the snapshot has no end"),
        ("snapshot version=2\nend\n", "a snapshot of version 2 cannot be read"),
        ("snapshot version=1\nend\n", "one account has to be above all others"),
        ("snapshot version=1\npeer id=1\nend\n", "a line of kind peer lacks name"),
        ("snapshot version=1\npeer id=x name=y\nend\n", "id of peer is 'x', which is no number"),
        ("snapshot version=1\npeer one\nend\n", "'peer one' is no line of one"),
    ] {
        let error = Snapshot::read(text).unwrap_err();
        assert!(error.starts_with(sentence), "{error}");
    }
    // Lines of others around it, and kinds that came later, are passed over.
    let noise = SNAPSHOT.replace("\nend", "\nweather id=1\nend");
    assert!(Snapshot::read(&format!("> mem --dump\n{noise}> exit\nPASS\n")).is_ok());
}
