// SPDX-License-Identifier: BSD-2-Clause
//! A snapshot: the lines between `snapshot` and `end` in what the shell has printed. Its form is in
//! `support/shell/core/src/dump.rs`.

use std::collections::BTreeMap;

/// The version that is read.
const VERSION: u64 = 1;

/// What a line says: its first word, and a value for each key.
#[derive(Clone, Debug)]
struct Line<'a> {
    kind: &'a str,
    values: BTreeMap<&'a str, &'a str>,
}

/// An account. Counts are pages; those of kinds include the accounts below.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) parent: u64,
    pub(crate) limit: u32,
    /// Frames, tables, slots, records.
    pub(crate) kinds: [u32; 4],
    pub(crate) extra: u32,
    pub(crate) free: u32,
}

impl Account {
    /// Returns the pages that it uses, with those below it.
    pub(crate) fn used(&self) -> u32 {
        self.kinds.iter().fold(0, |sum, pages| sum.saturating_add(*pages))
    }
}

/// A container.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) owner: u64,
    pub(crate) frames: u32,
}

/// A share.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pub(crate) container: u64,
    pub(crate) peer: u64,
    /// 1 read, 2 write, 4 lock.
    pub(crate) rights: u64,
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// 1 once, 2 armed, 4 is being ended.
    pub(crate) marks: u64,
}

/// Pages that are mapped in a row.
#[derive(Clone, Debug)]
pub(crate) struct Mapping {
    pub(crate) peer: u64,
    pub(crate) vaddr: u64,
    pub(crate) pages: u64,
    /// As in PM-471.
    pub(crate) state: u64,
    pub(crate) container: u64,
    pub(crate) share: u64,
    pub(crate) first: u64,
}

/// Pages of the pool in a row.
#[derive(Clone, Debug)]
pub(crate) struct Pages {
    pub(crate) start: u32,
    pub(crate) count: u32,
    pub(crate) state: String,
    /// 1 copy-on-write, 2 lent, 4 pinned.
    pub(crate) marks: u64,
    pub(crate) container: u64,
}

/// All that a snapshot says and that is drawn.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(crate) peers: BTreeMap<u64, String>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) containers: Vec<Container>,
    pub(crate) shares: Vec<Share>,
    pub(crate) mappings: Vec<Mapping>,
    pub(crate) pages: Vec<Pages>,
}

impl Snapshot {
    /// Returns the last snapshot in a transcript.
    ///
    /// # Errors
    /// What is missing, in words.
    pub fn read(transcript: &str) -> Result<Self, String> {
        let lines: Vec<&str> = transcript.lines().map(str::trim_end).collect();
        let begin = lines.iter().rposition(|line| line.starts_with("snapshot "));
        let begin = begin.ok_or("there is no snapshot: it is printed by mem --dump")?;
        let rest = lines.get(begin..).unwrap_or_default();
        let end = rest.iter().position(|line| *line == "end");
        let rows = rest.get(..end.ok_or("the snapshot has no end")?).unwrap_or_default();
        let mut snapshot = Self::default();
        for line in rows {
            let line = Line::read(line)?;
            if line.kind == "snapshot" {
                let version = line.number("version")?;
                if version != VERSION {
                    return Err(format!("a snapshot of version {version} cannot be read"));
                }
            } else {
                snapshot.take(&line)?;
            }
        }
        match snapshot.accounts.iter().filter(|account| account.parent == 0).count() {
            1 => Ok(snapshot),
            _ => Err("one account has to be above all others".to_owned()),
        }
    }

    /// Takes in a line. One of a kind that is not drawn is passed over.
    fn take(&mut self, line: &Line<'_>) -> Result<(), String> {
        let number = |key| line.number(key);
        let count = |key| line.count(key);
        match line.kind {
            "peer" => {
                self.peers.insert(number("id")?, line.text("name")?);
            }
            "account" => self.accounts.push(Account {
                id: number("id")?,
                name: line.text("name")?,
                parent: number("parent")?,
                limit: count("limit")?,
                kinds: [count("frames")?, count("tables")?, count("slots")?, count("records")?],
                extra: count("extra")?,
                free: count("free")?,
            }),
            "container" => self.containers.push(Container {
                id: number("id")?,
                name: line.text("name")?,
                owner: number("owner")?,
                frames: count("frames")?,
            }),
            "share" => self.shares.push(Share {
                container: number("container")?,
                peer: number("peer")?,
                rights: number("rights")?,
                first: number("first")?,
                last: number("last")?,
                marks: number("marks")?,
            }),
            "mapping" => self.mappings.push(Mapping {
                peer: number("peer")?,
                vaddr: number("vaddr")?,
                pages: number("pages")?,
                state: number("state")?,
                container: number("container")?,
                share: number("share")?,
                first: number("first")?,
            }),
            "pages" => self.pages.push(Pages {
                start: count("start")?,
                count: count("count")?,
                state: line.text("state")?,
                marks: number("marks")?,
                container: number("container")?,
            }),
            _ => {}
        }
        Ok(())
    }

    /// Returns the name of a peer.
    pub(crate) fn peer(&self, id: u64) -> &str {
        self.peers.get(&id).map_or("?", String::as_str)
    }

    /// Returns a container.
    pub(crate) fn container(&self, id: u64) -> Option<&Container> {
        self.containers.iter().find(|container| container.id == id)
    }

    /// Returns the name of a container.
    pub(crate) fn container_name(&self, id: u64) -> &str {
        self.container(id).map_or("?", |container| container.name.as_str())
    }
}

impl<'a> Line<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        let mut words = text.split(' ');
        let kind = words.next().unwrap_or_default();
        let pairs = words.map(|word| word.split_once('='));
        let values = pairs.collect::<Option<_>>().ok_or(format!("'{text}' is no line of one"))?;
        Ok(Self { kind, values })
    }

    fn value(&self, key: &str) -> Result<&'a str, String> {
        let value = self.values.get(key).copied();
        value.ok_or(format!("a line of kind {} lacks {key}", self.kind))
    }

    fn text(&self, key: &str) -> Result<String, String> {
        self.value(key).map(str::to_owned)
    }

    fn number(&self, key: &str) -> Result<u64, String> {
        let value = self.value(key)?;
        let number = match value.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => value.parse(),
        };
        number.map_err(|_| format!("{key} of {} is '{value}', which is no number", self.kind))
    }

    fn count(&self, key: &str) -> Result<u32, String> {
        let number = self.number(key)?;
        u32::try_from(number).map_err(|_| format!("{key} of {} is too large", self.kind))
    }
}
