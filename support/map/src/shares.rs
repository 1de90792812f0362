// SPDX-License-Identifier: BSD-2-Clause
//! What is lent to whom.

use svg::node::element::Element;

use crate::drawing::{Build, WIDTH, drawing, element, fitting, label, letters, rect, rectangle};
use crate::snapshot::{Share, Snapshot};

/// The height of a share, and of its boxes.
const LINE: f64 = 34.0;
const BOX: f64 = 24.0;

/// The width of a box with a name.
const NAME: f64 = 200.0;

/// Returns a line for each share: who lends it, what, and to whom.
pub(crate) fn shares(snapshot: &Snapshot) -> Element {
    let lines = snapshot.shares.iter().zip(0_u32..);
    let height = f64::from(u32::try_from(snapshot.shares.len()).unwrap_or(u32::MAX)) * LINE;
    let picture = drawing(height.max(1.0), "what is lent to whom")
        .all(lines.flat_map(|(share, line)| share_at(snapshot, share, f64::from(line) * LINE)));
    let words = if snapshot.shares.is_empty() {
        "Nothing is lent."
    } else {
        "Who lends, which frames with which rights, and to whom. Rights: r read, w write, l lock."
    };
    element("section")
        .and(element("h2").saying("What is lent to whom"))
        .and(element("p").saying(words))
        .and(picture)
}

fn share_at(snapshot: &Snapshot, share: &Share, y: f64) -> Vec<Element> {
    let container = snapshot.container(share.container);
    let owner = container.map_or("?", |container| snapshot.peer(container.owner));
    let (name, peer) = (snapshot.container_name(share.container), snapshot.peer(share.peer));
    let rights = letters(share.rights, &[(1, 'r'), (2, 'w'), (4, 'l')]);
    let marks: String = [(1, ", once"), (2, ", armed"), (4, ", is being ended")]
        .iter()
        .filter(|(bit, _)| share.marks & bit != 0)
        .map(|(_, word)| *word)
        .collect();
    // Behind the last frame there are numbers, but no frames.
    let there = container.map_or(0, |container| container.frames);
    let (first, last) = (share.first, share.last);
    let range = format!("{name}, numbers {first} to {last}: {rights}{marks}");
    let title = format!("{owner} lends {peer} {range}; the container has {there} frames");
    let middle = y + LINE / 2.0;
    let text = middle + 4.0;
    let (left, right) = (NAME, WIDTH - NAME);
    let boxed = |x: f64, name: &str| {
        let bounds = rect(x, middle - BOX / 2.0, NAME, BOX);
        let name = fitting(name, NAME - 16.0).unwrap_or_default();
        [rectangle("peer", bounds, &title), label("name", (x + 8.0, text), name)]
    };
    let arrow = element("path")
        .with("class", "arrow")
        .with("d", format!("M{left} {middle}H{right}m-8 -5l8 5l-8 5"))
        .with("data-share", format!("{owner} {peer} {rights}"))
        .and(element("title").saying(title.as_str()));
    let range = fitting(&range, right - left - 40.0).unwrap_or_default();
    let what = label("what", (WIDTH / 2.0, text - 7.0), range).with("text-anchor", "middle");
    let [from, from_name] = boxed(0.0, owner);
    let [to, to_name] = boxed(right, peer);
    vec![arrow, from, from_name, to, to_name, what]
}
