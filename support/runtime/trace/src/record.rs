// SPDX-License-Identifier: BSD-2-Clause
//! One record, and how it stands in words.

use proto::limits::FASTPATH_REGISTERS;

/// Words of a record that mean something. Their order is that of the fields of [`Record`].
pub(crate) const WORDS: usize = FASTPATH_REGISTERS + 6;
/// Words from one record to the next: a power of two.
pub(crate) const STRIDE: u64 = 16;
/// The same in bytes.
pub(crate) const RECORD_BYTES: u64 = 8 * STRIDE;
/// Words before the first record.
pub(crate) const HEADER: usize = 16;
/// The same in bytes.
pub(crate) const HEADER_BYTES: u64 = 128;

const _: () = assert!(WORDS <= 16, "a record fits into its place");

/// Set in the word for a request; the other bits are the channel. The same as in the badge with
/// which Microkit wakes a domain, so that a server can store that.
const REQUEST: u64 = 1 << 63;
/// Set in the word for a fault; the other bits are the child.
const FAULT: u64 = 1 << 62;
/// The same as [`REQUEST`], for a server that knows the channel by its number: it fits into an
/// instruction. No channel has a number that is as large.
const NUMBERED: u64 = 1 << 6;

/// What a server did something for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A call that came in on this channel.
    Request(u8),
    /// A fault of the child with this number.
    Fault(u8),
    /// A notification.
    Notification,
}

impl Cause {
    /// Returns the word that stands for it.
    #[must_use]
    #[inline(always)]
    pub fn word(self) -> u64 {
        match self {
            Self::Request(channel) => REQUEST | u64::from(channel),
            Self::Fault(child) => FAULT | u64::from(child),
            Self::Notification => 0,
        }
    }

    /// Returns a word that stands for a request on a channel, and takes one instruction.
    #[must_use]
    #[inline(always)]
    pub fn word_of_request(channel: usize) -> u64 {
        NUMBERED | u64::try_from(channel).unwrap_or_default()
    }

    /// Returns the cause that a word stands for.
    #[must_use]
    pub const fn of_word(word: u64) -> Self {
        // Microkit has fewer channels than a byte has values.
        let [number, ..] = word.to_le_bytes();
        if word & REQUEST != 0 {
            Self::Request(number)
        } else if word & NUMBERED != 0 {
            Self::Request(number & 63)
        } else if word & FAULT != 0 {
            Self::Fault(number)
        } else {
            Self::Notification
        }
    }
}

/// What a server did, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Ticks of the processor's counter before it began.
    pub begin: u64,
    /// The same after it has ended.
    pub end: u64,
    /// What for.
    pub cause: Cause,
    /// The label of the request or of the fault; 0 of a notification.
    pub label: u64,
    /// The label of the reply; of a fault, what has become of the child.
    pub status: u64,
    /// The first registers of the request or of the fault. Those that it does not have mean
    /// nothing.
    pub registers: [u64; FASTPATH_REGISTERS],
    /// The first register of the reply.
    pub result: u64,
}

impl Record {
    pub(crate) fn words(&self) -> [u64; WORDS] {
        let [a, b, c, d] = self.registers;
        let cause = self.cause.word();
        [self.begin, self.end, cause, self.label, self.status, a, b, c, d, self.result]
    }

    pub(crate) const fn of_words(words: [u64; WORDS]) -> Self {
        let [begin, end, cause, label, status, a, b, c, d, result] = words;
        let (cause, registers) = (Cause::of_word(cause), [a, b, c, d]);
        Self { begin, end, cause, label, status, registers, result }
    }
}
