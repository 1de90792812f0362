// SPDX-License-Identifier: BSD-2-Clause
//! Files as they should be.
//!
//! A file is a list of words of eight bytes, and each word on the disk says which operation wrote
//! it, and its place in the file: so a byte of another file, or of another place, is recognised.

use alloc::rc::Rc;
use alloc::vec::Vec;

use crate::operation::Operation;

/// How many names there are.
pub(crate) const NAMES: usize = 8;

const PATHS: [&str; NAMES] = [
    "/crash/0",
    "/crash/1",
    "/crash/2",
    "/crash/3",
    "/crash/more/4",
    "/crash/more/5",
    "/crash/more/6",
    "/crash/more/7",
];

/// Words of the largest file: as much as one call writes here.
pub(crate) const WORDS_MAX: u64 = 8192;

/// Returns the path of a name.
#[must_use]
pub fn path(name: usize) -> &'static str {
    PATHS.get(name).copied().unwrap_or("/")
}

/// Returns the bytes that an operation writes to a word.
pub(crate) const fn word_bytes(operation: u32, place: usize) -> [u8; 8] {
    if operation == 0 {
        return [0; 8];
    }
    #[allow(clippy::as_conversions, clippy::cast_possible_truncation)] // Below `WORDS_MAX`.
    let place = place as u32;
    let ([a, b, c, d], [e, f, g, h]) = (operation.to_le_bytes(), place.to_le_bytes());
    [a, b, c, d, e, f, g, h]
}

/// A file.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// The operation that made it: two files never have the same.
    pub(crate) life: u32,
    /// The name by which it was made.
    pub(crate) born: usize,
    /// Which operation has written each word; 0 for a hole.
    pub(crate) words: Vec<u32>,
}

/// All files.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Tree {
    names: [Option<Rc<File>>; NAMES],
}

impl Tree {
    pub(crate) fn file(&self, name: usize) -> Option<&File> {
        self.names.get(name)?.as_deref()
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &File> {
        self.names.iter().filter_map(Option::as_deref)
    }

    pub(crate) fn put(&mut self, name: usize, file: Option<File>) {
        if let Some(place) = self.names.get_mut(name) {
            *place = file.map(Rc::new);
        }
    }

    /// Returns the words of a file, made longer by holes if there are fewer.
    fn words_mut(&mut self, name: usize, count: usize) -> Option<&mut Vec<u32>> {
        let words = &mut Rc::make_mut(self.names.get_mut(name)?.as_mut()?).words;
        if words.len() < count {
            words.resize(count, 0);
        }
        Some(words)
    }

    /// Does an operation. Changes nothing if the file is not there.
    pub(crate) fn apply(&mut self, number: u32, operation: Operation) {
        match operation {
            Operation::Create { name } if self.file(name).is_none() => {
                self.put(name, Some(File { life: number, born: name, words: Vec::new() }));
            }
            Operation::Write { name, at, count } => {
                let end = at.saturating_add(count);
                let words = self.words_mut(name, end).and_then(|words| words.get_mut(at..end));
                words.unwrap_or_default().fill(number);
            }
            Operation::Truncate { name, count } => {
                if let Some(words) = self.words_mut(name, count) {
                    words.truncate(count);
                }
            }
            Operation::Unlink { name } => self.put(name, None),
            Operation::Rename { from, to } if self.file(from).is_some() => {
                let file = self.names.get_mut(from).and_then(Option::take);
                if let Some(place) = self.names.get_mut(to) {
                    *place = file;
                }
            }
            Operation::Create { .. }
            | Operation::Rename { .. }
            | Operation::SyncFile { .. }
            | Operation::Sync => {}
        }
    }
}
