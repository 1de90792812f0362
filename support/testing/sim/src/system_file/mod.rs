// SPDX-License-Identifier: BSD-2-Clause
//! microkit-system.xml: the one architecture of record, read for the simulator.
//!
//! What is this project's own in it (pool and peers) `system-description` reads, as it does for the
//! image tool. The rest is read here: refused is what the simulator does not understand, and what
//! the Microkit tool refuses, as far as the simulator relies on it. Elements for a board are left
//! out: the simulator is none.

mod element;

use std::fmt;

use roxmltree::Document;
use system_description::{FileServer, MemoryServer};

use self::element::{Element, Map, Region, to_u8};

/// Priorities of protection domains go up to here (Microkit manual, "Protection Domains").
const PRIORITY_MAX: u64 = 254;
/// A domain has this many channels.
const CHANNELS: u64 = 62;
const PAGE_BITS: u64 = 12;
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
    /// The ring that it writes its trace to, if there is one.
    pub ring: Option<Ring>,
    /// The regions with the rings of others that it reads, in their order in the file.
    pub rings_of_others: Vec<String>,
}

/// A memory region for a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Its name.
    pub region: String,
    /// Its size.
    pub bytes: u64,
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
    /// The domain that has the pool, and what it is told.
    pub memory_server: Option<MemoryServer>,
    /// The domain that serves files, and what its clients may do, if the file says it.
    pub file_server: Option<FileServer>,
}

type Result<T> = std::result::Result<T, FileError>;

impl SystemFile {
    /// Reads the text of a system description file.
    ///
    /// # Errors
    /// The first thing that is wrong or unknown.
    pub fn parse(text: &str) -> Result<Self> {
        Self::parse_for(text, false)
    }

    /// Reads the same for a machine with an IOMMU, or without.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_for(text: &str, has_iommu: bool) -> Result<Self> {
        let machine = system_description::Machine { board: None, has_iommu };
        let description = system_description::read_for(text, machine)
            .map_err(|fault| FileError { line: fault.line, sentence: fault.sentence })?;
        let document = Document::parse(&description.text).map_err(|error| FileError {
            line: error.pos().row,
            sentence: format!("this is not well-formed XML: {error}"),
        })?;
        let root = Element::root(&document);
        root.expect_name("system")?;
        let mut file = Self {
            memory_server: description.server,
            file_server: description.file_server,
            ..Self::default()
        };
        let mut regions = Vec::new();
        for element in root.children() {
            match element.name() {
                "memory_region" => regions.push(element.region()?),
                "protection_domain" => file.read_domain(&element, None, &regions)?,
                "channel" => file.read_channel(&element)?,
                _ => return Err(element.unknown()),
            }
        }
        Ok(file)
    }

    /// Returns the index of the domain that runs a program.
    #[must_use]
    pub fn running(&self, program: &str) -> Option<usize> {
        self.domains.iter().position(|domain| domain.program == program)
    }

    /// Returns the indices of all domains that run a program, in the order in which they run: those
    /// of a higher priority first.
    #[must_use]
    pub fn all_running(&self, program: &str) -> Vec<usize> {
        let is_one = |index: &usize| self.domains[*index].program == program;
        let mut all: Vec<usize> = (0..self.domains.len()).filter(is_one).collect();
        all.sort_by_key(|&index| std::cmp::Reverse(self.domains[index].priority));
        all
    }

    /// Returns the index of the domain that writes its trace to a region.
    #[must_use]
    pub fn writing_to(&self, region: &str) -> Option<usize> {
        let ring = |ring: &Ring| ring.region == region;
        self.domains.iter().position(|domain| domain.ring.as_ref().is_some_and(ring))
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
        regions: &[Region],
    ) -> Result<()> {
        element.check_attributes(&[
            "name",
            "priority",
            "passive",
            "stack_size",
            "id",
            "budget",
            "period",
            "cpu",
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
            ring: None,
            rings_of_others: Vec::new(),
        });
        for child in element.children() {
            match child.name() {
                "program_image" => {
                    child.check_attributes(&["path"])?;
                    let path = child.attribute("path")?;
                    self.domains[index].program =
                        path.strip_suffix(".elf").unwrap_or(path).to_owned();
                }
                "map" => match child.map(regions)? {
                    Map::Prefilled(vaddr) => {
                        self.domains[index].prefilled_vaddr = Some(vaddr);
                    }
                    Map::Ring(ring) => self.domains[index].ring = Some(ring),
                    Map::RingOfAnother(region) => {
                        self.domains[index].rings_of_others.push(region);
                    }
                },
                "cspace" => child.expect_empty()?,
                "protection_domain" => self.read_domain(&child, Some(index), regions)?,
                _ => return Err(child.unknown()),
            }
        }
        Ok(())
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
        element.check_attributes(&["pd", "id", "pp", "setvar_id"])?;
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
