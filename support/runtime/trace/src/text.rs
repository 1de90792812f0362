// SPDX-License-Identifier: BSD-2-Clause
//! A ring as lines, which a domain prints and a program on the host reads back: numbers in
//! hexadecimal, separated by spaces.
//!
//! ```text
//!   trace RING = WRITTEN TICKS_PER_SECOND
//!   trace RING : BEGIN END CAUSE LABEL STATUS REGISTER… RESULT
//! ```

use core::fmt;
use core::str::{FromStr, SplitWhitespace};

use proto::Console;

use crate::reader::RingReader;
use crate::record::{Record, WORDS};

/// What is known of a ring beside its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How many records were written, those that are lost included.
    pub written: u64,
    /// How many ticks a second has, or 0 if the writer does not know.
    pub ticks_per_second: u64,
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x} {:x}", self.written, self.ticks_per_second)
    }
}

impl FromStr for Header {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let [written, ticks_per_second] = numbers(text)?;
        Ok(Self { written, ticks_per_second })
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = self.words().into_iter();
        words.next().map_or(Ok(()), |first| write!(f, "{first:x}"))?;
        words.try_for_each(|word| write!(f, " {word:x}"))
    }
}

impl FromStr for Record {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        numbers::<WORDS>(text).map(Self::of_words)
    }
}

/// Prints a ring under a number of its own: what was written up to now and is there.
pub fn print(number: usize, ring: &RingReader, console: &mut impl Console) {
    let ticks_per_second = ring.ticks_per_second().unwrap_or_default();
    let header = Header { written: ring.written(), ticks_per_second };
    console.print(format_args!("trace {number} = {header}\n"));
    for record in header.written.saturating_sub(ring.capacity())..header.written {
        if let Some(record) = ring.record(record) {
            console.print(format_args!("trace {number} : {record}\n"));
        }
    }
}

/// Returns exactly so many numbers.
fn numbers<const N: usize>(text: &str) -> Result<[u64; N], ()> {
    let mut words: SplitWhitespace<'_> = text.split_whitespace();
    let mut numbers = [0; N];
    for number in &mut numbers {
        let word = words.next().ok_or(())?;
        *number = u64::from_str_radix(word, 16).map_err(|_: core::num::ParseIntError| ())?;
    }
    words.next().map_or(Ok(numbers), |_| Err(()))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::string::ToString;

    use super::*;
    use crate::record::Cause;

    #[test]
    fn what_is_printed_is_read_back() {
        for cause in [Cause::Request(63), Cause::Fault(2), Cause::Notification] {
            let registers = [0, 1, u64::MAX, 0xABC];
            let (begin, end, label, status, result) = (10, 11, 12, 13, 14);
            let record = Record { begin, end, cause, label, status, registers, result };
            assert_eq!(record.to_string().parse(), Ok(record));
        }
        // As a server writes it that knows the channel by its number.
        assert_eq!(Cause::of_word(Cause::word_of_request(63)), Cause::Request(63));
        assert_eq!(Cause::of_word(Cause::word_of_request(0)), Cause::Request(0));
        let header = Header { written: 17, ticks_per_second: 62_500_000 };
        assert_eq!(header.to_string(), "11 3b9aca0");
        assert_eq!(header.to_string().parse(), Ok(header));
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for text in ["", "1 2", "1 2 3 4 5 6 7 8 9 a b", "1 2 3 4 5 6 7 8 9 z"] {
            assert_eq!(text.parse::<Record>(), Err(()), "{text}");
        }
        assert!("1 2 3 4 5 6 7 8 9 a".parse::<Record>().is_ok());
    }
}
