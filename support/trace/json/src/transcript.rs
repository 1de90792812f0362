// SPDX-License-Identifier: BSD-2-Clause
//! The rings in a transcript: the lines that `trace::print` prints, among any others.

use trace::{Header, Record};

/// A ring as it was printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrintedRing {
    /// Its number.
    pub number: usize,
    /// What is known of it.
    pub header: Header,
    /// Its records, the oldest first.
    pub records: Vec<Record>,
}

impl PrintedRing {
    /// Returns how many records were overwritten before they were read.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let printed = u64::try_from(self.records.len()).unwrap_or(u64::MAX);
        self.header.written.saturating_sub(printed)
    }
}

/// Returns the rings in a transcript.
///
/// # Errors
/// A sentence about the first line that is one of a trace, and wrong.
pub fn rings(transcript: &str) -> Result<Vec<PrintedRing>, String> {
    let mut rings: Vec<PrintedRing> = Vec::new();
    for line in transcript.lines() {
        let Some(rest) = line.strip_prefix("trace ") else { continue };
        add(&mut rings, rest).ok_or_else(|| format!("this is no line of a trace: {line}"))?;
    }
    Ok(rings)
}

fn add(rings: &mut Vec<PrintedRing>, line: &str) -> Option<()> {
    if let Some((number, header)) = line.split_once(" = ") {
        let (number, header) = (number.parse().ok()?, header.parse().ok()?);
        rings.push(PrintedRing { number, header, records: Vec::new() });
        return Some(());
    }
    let (number, record) = line.split_once(" : ")?;
    let number: usize = number.parse().ok()?;
    let ring = rings.last_mut().filter(|ring| ring.number == number)?;
    ring.records.push(record.parse().ok()?);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "hello\n\
                         trace 0 = 3 f4240\n\
                         trace 0 : 1 2 8000000000000001 3 0 4 5 6 7 8\n\
                         trace 0 : 3 4 8000000000000001 3 0 4 5 6 7 8\n\
                         trace 2 = 0 0\n\
                         PASS\n";

    #[test]
    fn rings_are_found_among_other_lines() {
        let rings = rings(LINES).unwrap();
        let seen: Vec<_> = rings.iter().map(|r| (r.number, r.records.len(), r.lost())).collect();
        assert_eq!(seen, [(0, 2, 1), (2, 0, 0)]);
    }

    #[test]
    fn lines_that_are_cut_or_of_no_ring_are_errors() {
        for (from, to) in [("7 8\n", "7\n"), ("0 : 3", "1 : 3"), ("= 3 f4240", "= 3"), (" = ", "")]
        {
            let error = rings(&LINES.replacen(from, to, 1)).unwrap_err();
            assert!(error.contains("trace "), "{error}");
        }
    }
}
