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

    fn check_name(&self, name: usize, bytes: Option<&[u8]>) -> Result<(), String> {
        let mut allowed = self.trees_since(self.name_lasts_since(name)).map(|tree| tree.file(name));
        let Some(bytes) = bytes else {
            let may_be_gone = allowed.any(|file| file.is_none());
            let gone = || "it was made to last, and is not there".into();
            return may_be_gone.then_some(()).ok_or_else(gone);
        };
        let mut why = String::from("nothing had this name");
        for life in allowed.flatten().map(|file| file.life) {
            match self.check_life(life, bytes) {
                Ok(()) => return Ok(()),
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// Returns whether a file can have these bytes.
    fn check_life(&self, life: u32, bytes: &[u8]) -> Result<(), String> {
        let versions: Vec<&File> = self
            .trees_since(self.contents_last_since(life))
            .flat_map(|tree| tree.files().filter(|file| file.life == life))
            .collect();
        let sizes = || versions.iter().map(|file| file.words.len().saturating_mul(8));
        if !(sizes().min() <= Some(bytes.len()) && Some(bytes.len()) <= sizes().max()) {
            return Err(format!("its size was never {}", bytes.len()));
        }
        let could_be = |place: usize, word: &[u8]| {
            versions.iter().any(|file| {
                // What a file has grown by may be zeros.
                let operation = file.words.get(place).copied().unwrap_or(0);
                word_bytes(operation, place).starts_with(word)
            })
        };
        let mut words = bytes.chunks(8).enumerate();
        let Some((place, word)) = words.find(|(place, word)| !could_be(*place, word)) else {
            return Ok(());
        };
        let had: Vec<_> = versions.iter().map(|file| file.words.get(place)).collect();
        let (is, size) = (operation_in(word), bytes.len());
        Err(format!("word {place} of {size} bytes is of operation {is}, never was, of {had:?}"))
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

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
mod tests {
    use super::*;

    /// Returns what the files of a tree have.
    fn found(tree: &Tree) -> Found {
        core::array::from_fn(|name| {
            let words = &tree.file(name)?.words;
            let words = words.iter().enumerate();
            Some(words.flat_map(|(place, number)| word_bytes(*number, place)).collect())
        })
    }

    /// Returns a history some operations after a sync, and a name that has a file all the time.
    fn history(seed: u64) -> (History, usize) {
        let mut history = History::new(seed);
        for _ in 0..40 {
            let (_, operation) = history.begin();
            history.end(operation);
        }
        history.start_from(history.now());
        for _ in 0..6 {
            history.begin();
        }
        let has_words = |name: &usize| {
            let in_all = |tree: &Tree| tree.file(*name).is_some_and(|file| file.words.len() > 1);
            history.trees.iter().all(in_all)
        };
        let name = (0..NAMES).find(has_words).unwrap_or(NAMES);
        (history, name)
    }

    #[test]
    fn fs_111_each_state_since_the_last_sync_may_be_found_and_no_other() {
        let mut tried = 0;
        for seed in 0..200 {
            let (history, name) = history(seed);
            for tree in &history.trees {
                assert_eq!(history.check(&found(tree)), Ok(()), "{seed}");
            }
            if name == NAMES {
                continue;
            }
            tried += 1;
            let mut foreign = found(&history.now());
            if let Some([byte, ..]) = foreign[name].as_deref_mut() {
                *byte ^= 0x80;
            }
            assert!(history.check(&foreign).is_err(), "{seed}: a byte of nobody's");
            let mut moved = found(&history.now());
            if let Some(bytes) = &mut moved[name] {
                bytes.rotate_left(8);
            }
            // A file of holes is the same then.
            let is_moved = moved != found(&history.now());
            let verdict = history.check(&moved);
            assert_eq!(verdict.is_err(), is_moved, "{seed}: words of another place");
            let mut gone = found(&history.now());
            gone[name] = None;
            assert!(history.check(&gone).is_err(), "{seed}: a file that was synced");
            let mut longer = found(&history.now());
            if let Some(bytes) = &mut longer[name] {
                bytes.resize(1 << 20, 0);
            }
            assert!(history.check(&longer).is_err(), "{seed}: a size that never was");
        }
        assert!(tried > 50, "{tried}");
    }

    #[test]
    fn fs_110_a_file_that_was_synced_is_found_as_it_was_or_later() {
        let mut history = History::new(1);
        let name = 3;
        let mut step = |number, operation| {
            let mut tree = history.now();
            tree.apply(number, operation);
            history.trees.push(tree);
            history.end(operation);
            found(&history.now())
        };
        step(1, Operation::Create { name });
        let early = step(2, Operation::Write { name, at: 0, count: 4 });
        step(3, Operation::Write { name, at: 0, count: 9 });
        let synced = step(4, Operation::SyncFile { name });
        let late = step(5, Operation::Write { name, at: 5, count: 9 });
        assert!(history.check(&early).is_err(), "older than the sync");
        assert_eq!((history.check(&synced), history.check(&late)), (Ok(()), Ok(())));
        assert!(history.check(&Found::default()).is_err(), "it lost its name");
    }
}
