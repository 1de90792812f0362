// SPDX-License-Identifier: BSD-2-Clause
//! Replies: a result, or an error number and the words that the kernel sends with it.

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

/// The result of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It succeeded.
    Done,
    /// It succeeded and returned this value.
    Value(u64),
    /// The load or store faulted.
    Fault,
    /// The kernel refused it.
    Refused {
        /// The number of the error.
        code: u64,
        /// The first message registers; the code determines how many of them are used.
        words: [u64; 5],
    },
    /// The operation cannot be performed here, or its result is none that a kernel can give.
    Impossible,
}

/// Returns how many message registers come with an error.
const fn length(code: u64, words: &[u64; 5]) -> usize {
    match (code, words) {
        (1 | 2 | 10, _) => 1,
        (4, _) => 2,
        // A failed lookup: source or destination, the kind of fault, and its parameters.
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
