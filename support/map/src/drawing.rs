// SPDX-License-Identifier: BSD-2-Clause
//! Elements of pages and drawings. The text in them is escaped by the crate `svg`.

use svg::node::Text;
use svg::node::element::Element;
use svg::node::{Node, Value};

/// A rectangle of a drawing.
pub(crate) type Rect = streemap::Rect<f64>;

/// Returns the rectangle with this corner, width and height.
pub(crate) const fn rect(x: f64, y: f64, w: f64, h: f64) -> Rect {
    Rect { x, y, w, h }
}

/// The width of all drawings.
pub(crate) const WIDTH: f64 = 1024.0;

/// Bytes of a page, in KiB.
pub(crate) const PAGE_KIB: u32 = 4;

/// The width of a letter of a label.
const LETTER: f64 = 7.2;

/// Returns an element.
pub(crate) fn element(name: &str) -> Element {
    Element::new(name)
}

/// What elements are built with.
pub(crate) trait Build: Sized {
    /// Returns it with an attribute.
    fn with(self, name: &str, value: impl Into<Value>) -> Self;

    /// Returns it with an element in it, behind all others.
    fn and(self, child: Element) -> Self;

    /// Returns it with elements in it.
    fn all(self, children: impl IntoIterator<Item = Element>) -> Self {
        children.into_iter().fold(self, Self::and)
    }

    /// Returns it with text in it.
    fn saying(self, text: impl Into<String>) -> Self;
}

impl Build for Element {
    fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.assign(name, value);
        self
    }

    fn and(mut self, child: Element) -> Self {
        self.append(child);
        self
    }

    fn saying(mut self, text: impl Into<String>) -> Self {
        self.append(Text::new(text));
        self
    }
}

/// Returns a drawing of this height.
pub(crate) fn drawing(height: f64, label: &str) -> Element {
    element("svg")
        .with("xmlns", "http://www.w3.org/2000/svg")
        .with("viewBox", format!("0 0 {WIDTH} {height}"))
        .with("role", "img")
        .with("aria-label", label)
}

/// Returns a rectangle that says more when it is pointed at.
pub(crate) fn rectangle(class: &str, bounds: Rect, title: impl Into<String>) -> Element {
    element("rect")
        .with("class", class)
        .with("x", rounded(bounds.x))
        .with("y", rounded(bounds.y))
        .with("width", rounded(bounds.w))
        .with("height", rounded(bounds.h))
        .and(element("title").saying(title))
}

/// Returns a label that begins here.
pub(crate) fn label(class: &str, (x, y): (f64, f64), text: impl Into<String>) -> Element {
    element("text").with("class", class).with("x", rounded(x)).with("y", rounded(y)).saying(text)
}

/// Returns as much of a text as fits, or nothing if that would be too little to tell it.
pub(crate) fn fitting(text: &str, width: f64) -> Option<String> {
    let letters = text.chars().count();
    let room = (width / LETTER).floor();
    let most = (0..=letters).rev().find(|count| number(*count) <= room)?;
    match most {
        most if most == letters => Some(text.to_owned()),
        4.. => Some(text.chars().take(most.saturating_sub(1)).chain(['…']).collect()),
        _ => None,
    }
}

/// Returns a table: the titles of its columns, and rows.
pub(crate) fn table(titles: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Element {
    let head = element("tr").all(titles.iter().map(|title| element("th").saying(*title)));
    let cell = |text: String| {
        let is_number = !text.is_empty() && text.chars().all(|it| it.is_ascii_digit() || it == ' ');
        let cell = element("td").saying(text);
        if is_number { cell.with("class", "number") } else { cell }
    };
    let row = |cells: Vec<String>| element("tr").all(cells.into_iter().map(cell));
    element("table")
        .and(element("thead").and(head))
        .and(element("tbody").all(rows.into_iter().map(row)))
}

/// Returns pages in KiB, in groups of three digits.
pub(crate) fn kib(pages: u32) -> String {
    let digits = u64::from(pages).saturating_mul(PAGE_KIB.into()).to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && digits.len().saturating_sub(place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Returns a letter for each bit of a number that is set, or a dash.
pub(crate) fn letters(bits: u64, of: &[(u64, char)]) -> String {
    let there: String =
        of.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, letter)| *letter).collect();
    if there.is_empty() { "-".to_owned() } else { there }
}

/// A thousandth is less than anybody sees.
fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
