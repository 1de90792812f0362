// SPDX-License-Identifier: BSD-2-Clause
//! Elements of a system description file and their attributes, with what is wrong about them.

use std::ops::RangeInclusive;

use roxmltree::{Document, Node};

use super::{FileError, PAGE_BITS, Result, Ring};

/// The variable of the ring that a domain writes; those of others have numbers.
const OWN_RING: &str = "trace_ring_vaddr";

/// A memory region.
pub(super) struct Region {
    name: String,
    /// Its size, unless it is filled before the system starts.
    bytes: Option<u64>,
}

/// What a domain has mapped.
pub(super) enum Map {
    /// A prefilled memory region, at this address.
    Prefilled(u64),
    /// The ring that it writes its trace to.
    Ring(Ring),
    /// The ring of another, in the region with this name.
    RingOfAnother(String),
}

/// An element, with what is asked of one here.
pub(super) struct Element<'a, 'input>(Node<'a, 'input>);

impl<'a, 'input> Element<'a, 'input> {
    pub(super) fn root(document: &'a Document<'input>) -> Self {
        Self(document.root_element())
    }

    pub(super) fn name(&self) -> &'a str {
        self.0.tag_name().name()
    }

    /// Returns the elements below that are not for one board alone.
    pub(super) fn children(&self) -> Vec<Self> {
        let elements = self.0.children().filter(Node::is_element);
        elements.filter(|node| node.attribute("board").is_none()).map(Element).collect()
    }

    pub(super) fn line(&self) -> u32 {
        self.0.document().text_pos_at(self.0.range().start).row
    }

    pub(super) fn wrong(&self, sentence: String) -> FileError {
        FileError { line: self.line(), sentence }
    }

    pub(super) fn unknown(&self) -> FileError {
        self.wrong(format!("the simulator does not know the element {} here", self.name()))
    }

    pub(super) fn expect_name(&self, name: &str) -> Result<()> {
        if self.name() == name { Ok(()) } else { Err(self.unknown()) }
    }

    pub(super) fn check_attributes(&self, known: &[&str]) -> Result<()> {
        match self.0.attributes().find(|attribute| !known.contains(&attribute.name())) {
            Some(other) => Err(self.wrong(format!(
                "the simulator does not know the attribute {} of {}",
                other.name(),
                self.name()
            ))),
            None => Ok(()),
        }
    }

    pub(super) fn attribute(&self, name: &str) -> Result<&'a str> {
        self.0
            .attribute(name)
            .ok_or_else(|| self.wrong(format!("{} needs the attribute {name}", self.name())))
    }

    pub(super) fn flag(&self, name: &str) -> Result<bool> {
        match self.0.attribute(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(self.wrong(format!("{name} is true or false, not {other}"))),
        }
    }

    pub(super) fn optional_number(&self, name: &str) -> Result<Option<u64>> {
        let Some(text) = self.0.attribute(name) else { return Ok(None) };
        let digits = text.replace('_', "");
        let number = match digits.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16),
            None => digits.parse(),
        };
        match number {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(self.wrong(format!("{name} is a number, not {text}"))),
        }
    }

    pub(super) fn number(&self, name: &str, range: RangeInclusive<u64>) -> Result<u64> {
        self.attribute(name)?;
        let number = self.optional_number(name)?.unwrap_or_default();
        if range.contains(&number) {
            return Ok(number);
        }
        let (low, high) = (range.start(), range.end());
        Err(self.wrong(format!("{name} is {number}, but must be {low} to {high}")))
    }

    /// Refuses what is in a `cspace` and the simulator does not know.
    pub(super) fn expect_empty(&self) -> Result<()> {
        self.children().first().map_or(Ok(()), |child| Err(child.unknown()))
    }

    /// Returns a memory region.
    pub(super) fn region(&self) -> Result<Region> {
        self.check_attributes(&["name", "prefill_path", "size"])?;
        let name = self.attribute("name")?.to_owned();
        let is_prefilled = self.0.attribute("prefill_path").is_some();
        let bytes = if is_prefilled { None } else { Some(self.number("size", 0..=u64::MAX)?) };
        Ok(Region { name, bytes })
    }

    /// Returns what is mapped of these regions: a prefilled one, or one that is a ring.
    pub(super) fn map(&self, regions: &[Region]) -> Result<Map> {
        let known = ["mr", "vaddr", "perms", "setvar_vaddr", "setvar_size", "setvar_prefill_size"];
        self.check_attributes(&known)?;
        let name = self.attribute("mr")?;
        let region = regions.iter().find(|region| region.name == name);
        let variable = self.0.attribute("setvar_vaddr");
        let of_trace = variable.filter(|variable| variable.starts_with("trace_"));
        let what = match (region.map(|region| region.bytes), self.attribute("perms")?, of_trace) {
            (Some(None), "r", None) => Map::Prefilled(self.number("vaddr", 0..=u64::MAX)?),
            (Some(Some(bytes)), "rw", Some(OWN_RING)) => {
                Map::Ring(Ring { region: name.to_owned(), bytes })
            }
            (Some(Some(_)), "r", Some(of)) if of != OWN_RING => Map::RingOfAnother(name.to_owned()),
            _ => {
                let sentence = "the simulator maps prefilled memory regions alone, and read-only, \
                                and rings of traces";
                return Err(self.wrong(sentence.to_owned()));
            }
        };
        let vaddr = self.number("vaddr", 0..=u64::MAX)?;
        if vaddr % (1 << PAGE_BITS) != 0 {
            return Err(self.wrong(format!("vaddr {vaddr:#x} is not on a page boundary")));
        }
        Ok(what)
    }
}

/// Narrows a number that was found to be small.
pub(super) fn to_u8(number: u64) -> u8 {
    u8::try_from(number).expect("callers bound it")
}
