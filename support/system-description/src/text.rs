// SPDX-License-Identifier: BSD-2-Clause
//! Edits an XML text: overwrites parts with spaces, so that the rest keeps its lines and columns,
//! and adds elements at the end of others.

use roxmltree::Node;

/// An XML text that is being edited.
pub(crate) struct Text {
    bytes: Vec<u8>,
}

impl Text {
    /// Starts with the whole of `xml`.
    pub(crate) fn new(xml: &str) -> Self {
        Self { bytes: xml.as_bytes().to_vec() }
    }

    /// Overwrites an element and all in it.
    pub(crate) fn blank_element(&mut self, node: Node<'_, '_>) {
        let range = node.range();
        self.overwrite(range.start, range.len());
    }

    /// Overwrites the attribute `name` of an element, if it has one.
    pub(crate) fn blank_attribute(&mut self, node: Node<'_, '_>, name: &str) {
        let Some(attribute) = node.attributes().find(|attribute| attribute.name() == name) else {
            return;
        };
        // The parser gives the place of the name only: the value ends at the second of its quotes.
        let start = attribute.position();
        let rest = self.bytes.get(start..).unwrap_or_default();
        let Some(opening) = rest.iter().position(|byte| matches!(byte, b'"' | b'\'')) else {
            return;
        };
        let quote = rest.get(opening);
        let closing = rest.iter().skip(opening).skip(1).position(|byte| Some(byte) == quote);
        let length = closing.unwrap_or_default().saturating_add(opening).saturating_add(2);
        self.overwrite(start, length);
    }

    /// Returns the text, with spaces in place of what was overwritten.
    pub(crate) fn text(&self) -> String {
        // Whole elements and attributes were overwritten, never a part of a character.
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Returns the byte at which an element's closing tag begins.
    pub(crate) fn closing_tag(&self, node: Node<'_, '_>) -> usize {
        let range = node.range();
        let element = self.bytes.get(range.clone()).unwrap_or_default();
        let tag = element.iter().rposition(|byte| *byte == b'<').unwrap_or_default();
        range.start.saturating_add(tag)
    }

    fn overwrite(&mut self, start: usize, length: usize) {
        for byte in self.bytes.iter_mut().skip(start).take(length) {
            if !matches!(*byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
}

/// Returns a text with additions, each with its byte offset, in ascending order.
pub(crate) fn with_additions(text: &str, additions: &[(usize, String)]) -> String {
    let mut result = String::new();
    let mut rest = text;
    let mut done: usize = 0;
    for (at, addition) in additions {
        let (before, after) = rest.split_at_checked(at.saturating_sub(done)).unwrap_or((rest, ""));
        result.push_str(before);
        result.push_str(addition);
        (rest, done) = (after, *at);
    }
    result.push_str(rest);
    result
}
