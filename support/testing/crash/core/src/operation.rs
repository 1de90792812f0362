// SPDX-License-Identifier: BSD-2-Clause
//! What the program does to files.

use crate::dice::Dice;
use crate::tree::{NAMES, Tree, WORDS_MAX};

/// After so many operations all is made lasting.
const SYNC_EVERY: u32 = 12;

/// An operation. Names are numbers ([`path`](crate::path)), places and counts are of words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Makes an empty file.
    Create {
        /// Its name.
        name: usize,
    },
    /// Writes words, by one call.
    Write {
        /// The file.
        name: usize,
        /// The first word.
        at: usize,
        /// How many.
        count: usize,
    },
    /// Makes a file shorter, or longer by a hole.
    Truncate {
        /// The file.
        name: usize,
        /// How many words it has then.
        count: usize,
    },
    /// Removes a file.
    Unlink {
        /// The file.
        name: usize,
    },
    /// Gives a file another name, also one that another file has.
    Rename {
        /// The file.
        from: usize,
        /// The other name.
        to: usize,
    },
    /// Makes one file last.
    SyncFile {
        /// The file.
        name: usize,
    },
    /// Makes all last.
    Sync,
}

impl Operation {
    /// Draws an operation that can be done to these files.
    pub(crate) fn draw(dice: &mut Dice, number: u32, tree: &Tree) -> Self {
        let kind = dice.below(16);
        let (name, to) = (index(dice.below(NAMES_DRAWN)), index(dice.below(NAMES_DRAWN)));
        if number.is_multiple_of(SYNC_EVERY) {
            return Self::Sync;
        }
        let Some(file) = tree.file(name) else { return Self::Create { name } };
        match kind {
            0..=7 => {
                let at = dice.below(length(&file.words).saturating_add(64).min(WORDS_MAX));
                let most = [8, 600, WORDS_MAX].get(index(dice.below(3))).copied().unwrap_or(1);
                let count = dice.below(most.min(WORDS_MAX.saturating_sub(at))).saturating_add(1);
                let count = count.min(WORDS_MAX.saturating_sub(at));
                Self::Write { name, at: index(at), count: index(count) }
            }
            8 | 9 => Self::Truncate { name, count: index(dice.below(WORDS_MAX)) },
            10 => Self::Unlink { name },
            11 | 12 if name != to => Self::Rename { from: name, to },
            13 | 14 => Self::SyncFile { name },
            _ => Self::Sync,
        }
    }
}

#[allow(clippy::as_conversions)] // A small number.
const NAMES_DRAWN: u64 = NAMES as u64;

fn length(words: &[u32]) -> u64 {
    u64::try_from(words.len()).unwrap_or(WORDS_MAX)
}

/// Returns a number that was drawn below a small bound.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or_default()
}
