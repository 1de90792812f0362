// SPDX-License-Identifier: BSD-2-Clause
//! What may be found after a crash (FS-110, FS-111).

use alloc::string::String;
use alloc::vec::Vec;
use alloc::{format, vec};

use crate::dice::Dice;
use crate::operation::Operation;
use crate::tree::{File, NAMES, Tree, path, word_bytes};

/// The contents of each name, if there is such a file.
pub type Found = [Option<Vec<u8>>; NAMES];

/// The files as they were after each operation since the last that has made all last.
pub struct History {
    dice: Dice,
    number: u32,
    trees: Vec<Tree>,
    /// Which file was made to last, and how many trees there were then.
    lasting: Vec<(usize, usize)>,
}

impl History {
    /// Returns the history of a seed, which begins without files.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let trees = vec![Tree::default()];
        Self { dice: Dice::new(seed), number: 0, trees, lasting: Vec::new() }
    }

    /// Draws the next operation and begins it: its effects may be found from now on.
    pub fn begin(&mut self) -> (u32, Operation) {
        self.number = self.number.saturating_add(1);
        let mut tree = self.now();
        let operation = Operation::draw(&mut self.dice, self.number, &tree);
        tree.apply(self.number, operation);
        self.trees.push(tree);
        (self.number, operation)
    }

    /// Ends an operation with success: what it has made to last is to be found.
    pub fn end(&mut self, operation: Operation) {
        match operation {
            Operation::Sync => self.start_from(self.now()),
            Operation::SyncFile { name } => self.lasting.push((name, self.trees.len())),
            _ => {}
        }
    }

    /// Goes on from what was found.
    pub(crate) fn adopt(&mut self, found: &Found) {
        let mut tree = Tree::default();
        for (name, bytes) in found.iter().enumerate() {
            let words = bytes.as_ref().map(|bytes| bytes.chunks(8).map(operation_in).collect());
            // It is as old as anything can be, so a life of its own.
            let life = u32::MAX.saturating_sub(u32::try_from(name).unwrap_or_default());
            tree.put(name, words.map(|words| File { life, born: name, words }));
        }
        self.start_from(tree);
    }

    /// Says that the operation may have been done to any of the files that there were: a call that
    /// is repeated after fsserver was killed finds others than it was drawn for.
    pub(crate) fn may_be_late(&mut self, number: u32, operation: Operation) {
        let before = self.trees.len().saturating_sub(1);
        for index in 0..before {
            let mut tree = self.trees.get(index).cloned().unwrap_or_default();
            tree.apply(number, operation);
            self.trees.push(tree);
        }
    }

    /// Returns what is wrong with what was found, if it cannot be so.
    ///
    /// # Errors
    /// Which file cannot be so, and why.
    pub fn check(&self, found: &Found) -> Result<(), String> {
        found.iter().enumerate().try_for_each(|(name, bytes)| {
            self.check_name(name, bytes.as_deref())
                .map_err(|why| format!("{}, operation {}: {why}", path(name), self.number))
        })
    }

    fn check_name(&self, name: usize, bytes: Option<&[u8]>) -> Result<(), &'static str> {
        let mut allowed = self.trees_since(self.name_lasts_since(name)).map(|tree| tree.file(name));
        let Some(bytes) = bytes else {
            let may_be_gone = allowed.any(|file| file.is_none());
            return may_be_gone.then_some(()).ok_or("it was made to last, and is not there");
        };
        let mut why = "nothing had this name";
        for life in allowed.flatten().map(|file| file.life) {
            match self.check_life(life, bytes) {
                Ok(()) => return Ok(()),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// Returns whether a file can have these bytes.
    fn check_life(&self, life: u32, bytes: &[u8]) -> Result<(), &'static str> {
        let versions: Vec<&File> = self
            .trees_since(self.contents_last_since(life))
            .flat_map(|tree| tree.files().filter(|file| file.life == life))
            .collect();
        let sizes = || versions.iter().map(|file| file.words.len().saturating_mul(8));
        if !(sizes().min() <= Some(bytes.len()) && Some(bytes.len()) <= sizes().max()) {
            return Err("its size was never so");
        }
        let could_be = |place: usize, word: &[u8]| {
            versions.iter().any(|file| {
                // What a file has grown by may be zeros.
                let operation = file.words.get(place).copied().unwrap_or(0);
                word_bytes(operation, place).starts_with(word)
            })
        };
        let is_right = bytes.chunks(8).enumerate().all(|(place, word)| could_be(place, word));
        is_right.then_some(()).ok_or("it has bytes that it never had")
    }

    fn trees_since(&self, first: usize) -> impl Iterator<Item = &Tree> {
        self.trees.iter().skip(first)
    }

    /// Returns from which tree on what a file has must be found.
    fn contents_last_since(&self, life: u32) -> usize {
        self.lasting_since(|_, file| file.life == life)
    }

    /// Returns from which tree on what a name leads to must be found: a file that was made to last
    /// has the name by which it was made.
    fn name_lasts_since(&self, name: usize) -> usize {
        self.lasting_since(|synced, file| synced == name && file.born == name)
    }

    fn lasting_since(&self, is_it: impl Fn(usize, &File) -> bool) -> usize {
        let last = self.lasting.iter().rev().find_map(|&(name, trees)| {
            let index = trees.saturating_sub(1);
            let file = self.trees.get(index)?.file(name)?;
            is_it(name, file).then_some(index)
        });
        last.unwrap_or(0)
    }

    fn now(&self) -> Tree {
        self.trees.last().cloned().unwrap_or_default()
    }

    fn start_from(&mut self, tree: Tree) {
        self.trees = vec![tree];
        self.lasting.clear();
    }
}

/// Returns which operation has written a word.
fn operation_in(word: &[u8]) -> u32 {
    word.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}
