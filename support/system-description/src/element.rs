// SPDX-License-Identifier: BSD-2-Clause
//! One element: reads its attributes, and reports errors with its line.

use roxmltree::Node;

use crate::Fault;

/// An element.
#[derive(Clone, Copy)]
pub(crate) struct Element<'a, 'input>(pub(crate) Node<'a, 'input>);

impl<'a, 'input> Element<'a, 'input> {
    pub(crate) fn tag(&self) -> &'a str {
        self.0.tag_name().name()
    }

    pub(crate) fn line(&self) -> u32 {
        self.0.document().text_pos_at(self.0.range().start).row
    }

    pub(crate) fn fault(&self, sentence: impl Into<String>) -> Fault {
        Fault { line: self.line(), sentence: sentence.into() }
    }

    /// Returns the parent of this element, if it has this tag.
    pub(crate) fn parent(&self, tag: &str) -> Option<Self> {
        self.0.parent_element().filter(|parent| parent.has_tag_name(tag)).map(Element)
    }

    /// Returns the attribute `name`, or "" if there is none: microkit-tool refuses such a PD.
    pub(crate) fn name(&self) -> String {
        self.0.attribute("name").unwrap_or_default().to_owned()
    }

    /// Returns the program of this protection domain, if it has one.
    pub(crate) fn program(&self) -> Option<&'a str> {
        let image = self.0.children().find(|child| child.has_tag_name("program_image"))?;
        image.attribute("path")
    }

    /// Fails if the element has unknown attributes, or contents: they would be ignored silently.
    pub(crate) fn check_shape(&self, allowed: &[&str]) -> Result<(), Fault> {
        let tag = self.tag();
        let unknown =
            self.0.attributes().find(|a| a.name() != "board" && !allowed.contains(&a.name()));
        if let Some(attribute) = unknown {
            let sentence = format!(
                "{tag} has no attribute '{}'; it takes {}.",
                attribute.name(),
                allowed.join(", ")
            );
            return Err(self.fault(sentence));
        }
        let is_blank = |child: Node<'_, '_>| {
            child.is_comment() || child.text().is_some_and(|text| text.trim().is_empty())
        };
        if !self.0.children().all(is_blank) {
            return Err(self.fault(format!("{tag} must be empty.")));
        }
        Ok(())
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&'a str> {
        self.0.attribute(name)
    }

    pub(crate) fn value(&self, attribute: &str) -> Result<&'a str, Fault> {
        self.attribute(attribute)
            .ok_or_else(|| self.fault(format!("{} lacks the attribute {attribute}.", self.tag())))
    }

    /// Reads a number as microkit-tool does: decimal, or hexadecimal after 0x, with underscores
    /// anywhere.
    pub(crate) fn number(&self, attribute: &str) -> Result<u64, Fault> {
        let value = self.value(attribute)?;
        let digits = value.replace('_', "");
        let parsed = match digits.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => digits.parse(),
        };
        parsed.map_err(|_| self.fault(format!("{attribute} '{value}' is not a number.")))
    }

    /// Converts a number that was checked to be small to a narrower type.
    pub(crate) fn narrow<T: TryFrom<u64>>(&self, number: u64) -> Result<T, Fault> {
        T::try_from(number).map_err(|_| self.fault(format!("{number} is too large.")))
    }
}
