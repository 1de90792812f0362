// SPDX-License-Identifier: BSD-2-Clause

//! Overwrites parts of an XML text with spaces, so that what is left keeps its lines and columns.

use roxmltree::Node;

/// An XML text in which parts are overwritten.
pub(crate) struct Blanking {
    bytes: Vec<u8>,
}

impl Blanking {
    /// Starts with the whole of `xml`.
    pub(crate) fn new(xml: &str) -> Self {
        Self { bytes: xml.as_bytes().to_vec() }
    }

    /// Overwrites an element and all in it.
    pub(crate) fn element(&mut self, node: Node<'_, '_>) {
        let range = node.range();
        self.overwrite(range.start, range.len());
    }

    /// Overwrites the attribute `name` of an element, where it has one.
    pub(crate) fn attribute(&mut self, node: Node<'_, '_>, name: &str) {
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

    /// Returns the text with its holes.
    pub(crate) fn into_text(self) -> String {
        // Whole elements and attributes were overwritten, never a part of a character.
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    fn overwrite(&mut self, start: usize, length: usize) {
        for byte in self.bytes.iter_mut().skip(start).take(length) {
            if !matches!(*byte, b'\n' | b'\r') {
                *byte = b' ';
            }
        }
    }
}
