// SPDX-License-Identifier: BSD-2-Clause
//! Replies: an error's number and the words that the kernel sends with it.

use core::fmt::{Display, Formatter, Result};

/// Names of `seL4_Error`, by its numbers (seL4 manual, "Errors").
const NAMES: [&str; 11] = [
    "NoError",
    "InvalidArgument",
    "InvalidCapability",
    "IllegalOperation",
    "RangeError",
    "AlignmentError",
    "FailedLookup",
    "TruncatedMessage",
    "DeleteFirst",
    "RevokeFirst",
    "NotEnoughMemory",
];

/// What an operation comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It was done.
    Done,
    /// It was done and gave this.
    Value(u64),
    /// A load or store was stopped by the address space.
    Fault,
    /// The kernel refused it.
    Refused {
        /// The number of the error.
        code: u64,
        /// The first message registers; how many of them say something follows from the code.
        words: [u64; 5],
    },
    /// It cannot be asked here, or came to something that no kernel says.
    Impossible,
}

/// Returns how many message registers come with an error.
const fn length(code: u64, words: &[u64; 5]) -> usize {
    match (code, words) {
        (1 | 2 | 10, _) => 1,
        (4, _) => 2,
        // A failed lookup: source or destination, then the kind of fault and what belongs to it.
        (6, [_, 1, ..]) => 2,
        (6, [_, 2, ..]) => 3,
        (6, [_, 3, ..]) => 4,
        (6, _) => 5,
        _ => 0,
    }
}

impl Display for Reply {
    fn fmt(&self, out: &mut Formatter<'_>) -> Result {
        match self {
            Self::Done => write!(out, "ok"),
            Self::Value(value) => write!(out, "{value:#x}"),
            Self::Fault => write!(out, "fault"),
            Self::Impossible => write!(out, "impossible"),
            Self::Refused { code, words } => {
                let name = usize::try_from(*code).ok().and_then(|code| NAMES.get(code));
                write!(out, "{code} {}", name.unwrap_or(&"unknown"))?;
                words.iter().take(length(*code, words)).try_for_each(|word| write!(out, " {word}"))
            }
        }
    }
}
