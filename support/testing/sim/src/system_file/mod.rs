// SPDX-License-Identifier: BSD-2-Clause
//! microkit-system.xml: the one architecture of record, read for the simulator.
//!
//! Refuses what it does not understand with the line and a sentence, and checks what the Microkit
//! tool checks as far as the simulator relies on it. Elements for a board are left out: the
//! simulator is none.

mod element;

use std::fmt;

use roxmltree::Document;

use self::element::{Element, to_u8};
use crate::loader::{LEAF_CNODE, Pool, SLOT_POOL, SLOT_VSPACES};

/// Priorities of protection domains go up to here (Microkit manual, "Protection Domains").
const PRIORITY_MAX: u64 = 254;
/// A domain has this many channels.
const CHANNELS: u64 = 62;
const PAGE_BITS: u64 = 12;
/// Where pmserver finds its own thread, by whose authority it changes priorities: the machine knows
/// no such authority, and so nothing is put there.
const SLOT_OWN_THREAD: u64 = 7;
const ROOT_LAST: u64 = 63;
const LEAF_LAST: u64 = 511;
/// pmserver divides at most one gigabyte and at most 20 untyped objects.
const UNTYPED_BITS_MAX: u64 = 30;
const UNTYPED_COUNT_MAX: u64 = 20;

/// A file that the simulator cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// Where.
    pub line: u32,
    /// What is wrong, as a sentence.
    pub sentence: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.sentence)
    }
}

/// A protection domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtectionDomain {
    /// Its name.
    pub name: String,
    /// The program that it runs.
    pub program: String,
    /// Larger runs first.
    pub priority: u8,
    /// Whether it runs on its callers' time alone.
    pub is_passive: bool,
    /// Its parent, by index, and its number there.
    pub parent: Option<(usize, u8)>,
    /// Every how many microseconds it gets to run, where the file limits that.
    pub period_micros: Option<u64>,
    /// Where the prefilled memory region is mapped, if it is.
    pub prefilled_vaddr: Option<u64>,
    /// Untyped memory that it is given.
    pub pool: Option<Pool>,
    /// Its own VSpace and those of its children, as far as it is given them.
    pub vspaces: Vec<Given>,
    /// The root CNodes likewise.
    pub cnodes: Vec<Given>,
}

/// A capability that a domain has been given to something of a child's, or of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The child's number, 0 for its own.
    pub number: u8,
    /// Whose it is.
    pub name: String,
    /// Where it stands.
    pub line: u32,
}

/// One end of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The domain, by index.
    pub domain: usize,
    /// The channel's number there.
    pub id: u8,
    /// Whether it may call protected procedures of the other.
    pub calls: bool,
}

/// The whole system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemFile {
    /// Its domains, parents before children.
    pub domains: Vec<ProtectionDomain>,
    /// Its channels.
    pub channels: Vec<[End; 2]>,
}

type Result<T> = std::result::Result<T, FileError>;

impl SystemFile {
    /// Reads the text of a system description file.
    ///
    /// # Errors
    /// The first thing that is wrong or unknown.
    pub fn parse(text: &str) -> Result<Self> {
        let document = Document::parse(text).map_err(|error| FileError {
            line: error.pos().row,
            sentence: format!("this is no well-formed XML: {error}"),
        })?;
        let root = Element::root(&document);
        root.expect_name("system")?;
        let mut file = Self::default();
        let mut prefilled = Vec::new();
        for element in root.children() {
            match element.name() {
                "memory_region" => prefilled.extend(element.prefilled_region()?),
                "protection_domain" => file.read_domain(&element, None, &prefilled)?,
                "channel" => file.read_channel(&element)?,
                _ => return Err(element.unknown()),
            }
        }
        file.check_given()?;
        Ok(file)
    }

    /// Returns the index of the domain that runs a program.
    #[must_use]
    pub fn running(&self, program: &str) -> Option<usize> {
        self.domains.iter().position(|domain| domain.program == program)
    }

    /// Returns both ends of a channel, the domain's own first.
    #[must_use]
    pub fn channel(&self, domain: usize, id: u8) -> Option<(End, End)> {
        self.channels.iter().find_map(|&[a, b]| {
            let is_at = |end: End| end.domain == domain && end.id == id;
            if is_at(a) {
                Some((a, b))
            } else if is_at(b) {
                Some((b, a))
            } else {
                None
            }
        })
    }

    fn read_domain(
        &mut self,
        element: &Element,
        parent: Option<usize>,
        prefilled: &[String],
    ) -> Result<()> {
        element.check_attributes(&[
            "name",
            "priority",
            "passive",
            "stack_size",
            "id",
            "budget",
            "period",
        ])?;
        let name = element.attribute("name")?.to_owned();
        if self.domains.iter().any(|domain| domain.name == name) {
            return Err(element.wrong(format!("there are two protection domains {name}")));
        }
        let index = self.domains.len();
        let parent = match parent {
            Some(parent) => Some((parent, to_u8(element.number("id", 0..=CHANNELS - 1)?))),
            None => None,
        };
        if let Some(twin) = self.domains.iter().find(|d| parent.is_some() && d.parent == parent) {
            let sentence = format!("{name} has the same child number as {}", twin.name);
            return Err(element.wrong(sentence));
        }
        self.domains.push(ProtectionDomain {
            name,
            program: String::new(),
            priority: to_u8(element.number("priority", 0..=PRIORITY_MAX)?),
            is_passive: element.flag("passive")?,
            parent,
            period_micros: element.optional_number("period")?,
            prefilled_vaddr: None,
            pool: None,
            vspaces: Vec::new(),
            cnodes: Vec::new(),
        });
        for child in element.children() {
            match child.name() {
                "program_image" => {
                    child.check_attributes(&["path"])?;
                    let path = child.attribute("path")?;
                    self.domains[index].program =
                        path.strip_suffix(".elf").unwrap_or(path).to_owned();
                }
                "map" => self.domains[index].prefilled_vaddr = Some(child.map(prefilled)?),
                "cspace" => self.read_cspace(&child, index)?,
                "protection_domain" => self.read_domain(&child, Some(index), prefilled)?,
                _ => return Err(child.unknown()),
            }
        }
        Ok(())
    }

    /// Reads what a domain is given. The children that are named are yet to come, so that whether
    /// their numbers fit is looked at in the end.
    fn read_cspace(&mut self, element: &Element, index: usize) -> Result<()> {
        for child in element.children() {
            let slot = child.number("slot", 0..=511)?;
            match child.name() {
                "cap_untyped" => {
                    child.check_attributes(&["slot", "size_bits", "count"])?;
                    child.expect_slot(slot, SLOT_POOL..=SLOT_POOL)?;
                    self.domains[index].pool = Some(Pool {
                        size_bits: to_u8(child.number("size_bits", PAGE_BITS..=UNTYPED_BITS_MAX)?),
                        count: to_u8(child.number("count", 1..=UNTYPED_COUNT_MAX)?),
                    });
                }
                "cap_cnode" => {
                    let given = child.given(slot, LEAF_CNODE..=LEAF_LAST)?;
                    self.domains[index].cnodes.push(given);
                }
                "cap_tcb" => {
                    child.check_attributes(&["slot", "pd"])?;
                    child.expect_slot(slot, SLOT_OWN_THREAD..=SLOT_OWN_THREAD)?;
                }
                "cap_vspace" => {
                    let given = child.given(slot, SLOT_VSPACES..=ROOT_LAST)?;
                    self.domains[index].vspaces.push(given);
                }
                _ => return Err(child.unknown()),
            }
        }
        Ok(())
    }

    /// pmserver finds what is a child's by the child's number: a wrong one would be another's.
    fn check_given(&self) -> Result<()> {
        for (index, domain) in self.domains.iter().enumerate() {
            let mut given = domain.vspaces.iter().chain(&domain.cnodes);
            if let Some(wrong) = given.find(|given| !self.fits(index, given)) {
                let Given { number, name, line } = wrong;
                let sentence = format!("this is the slot of child {number}, which is not {name}");
                return Err(FileError { line: *line, sentence });
            }
        }
        Ok(())
    }

    fn fits(&self, owner: usize, given: &Given) -> bool {
        let Some(named) = self.domains.iter().position(|domain| domain.name == given.name) else {
            return false;
        };
        match given.number {
            0 => named == owner,
            number => self.domains[named].parent == Some((owner, number)),
        }
    }

    fn read_channel(&mut self, element: &Element) -> Result<()> {
        element.check_attributes(&[])?;
        let ends: Vec<End> =
            element.children().iter().map(|end| self.read_end(end)).collect::<Result<_>>()?;
        let [a, b] = ends[..] else {
            return Err(element.wrong("a channel has two ends".to_owned()));
        };
        for (caller, callee) in [(a, b), (b, a)] {
            let (low, high) = (&self.domains[caller.domain], &self.domains[callee.domain]);
            if caller.calls && low.priority >= high.priority {
                let sentence = format!(
                    "{} calls {}, which must have a higher priority than the caller",
                    low.name, high.name
                );
                return Err(element.wrong(sentence));
            }
        }
        self.channels.push([a, b]);
        Ok(())
    }

    fn read_end(&self, element: &Element) -> Result<End> {
        element.expect_name("end")?;
        element.check_attributes(&["pd", "id", "pp"])?;
        let name = element.attribute("pd")?;
        let domain = self
            .domains
            .iter()
            .position(|domain| domain.name == name)
            .ok_or_else(|| element.wrong(format!("there is no protection domain {name}")))?;
        let id = to_u8(element.number("id", 0..=CHANNELS - 1)?);
        if self.channel(domain, id).is_some() {
            return Err(element.wrong(format!("{name} has two channels {id}")));
        }
        Ok(End { domain, id, calls: element.flag("pp")? })
    }
}
