// SPDX-License-Identifier: BSD-2-Clause
//! Compares two transcripts line by line.

use std::fmt::{self, Display};
use std::fs;
use std::path::Path;

/// The first line in which two transcripts differ; `None` for a transcript that is shorter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    number: usize,
    expected: Option<String>,
    actual: Option<String>,
}

impl Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show = |line: &Option<String>| line.clone().unwrap_or_else(|| "(no line)".into());
        writeln!(f, "the transcripts differ in line {}", self.number)?;
        writeln!(f, "  expected: {}", show(&self.expected))?;
        write!(f, "  actual:   {}", show(&self.actual))
    }
}

/// Returns the first difference between two files.
pub(crate) fn files(expected: &Path, actual: &Path) -> Result<Option<Difference>, String> {
    let read = |path: &Path| {
        fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    };
    Ok(first_difference(&read(expected)?, &read(actual)?))
}

fn first_difference(expected: &[u8], actual: &[u8]) -> Option<Difference> {
    let mut sides = [expected, actual].map(|bytes| bytes.split_inclusive(|byte| *byte == b'\n'));
    let mut number: usize = 0;
    loop {
        number = number.saturating_add(1);
        match sides.each_mut().map(Iterator::next) {
            [None, None] => return None,
            [expected, actual] if expected == actual => {}
            lines => {
                let [expected, actual] = lines.map(|line| line.map(readable));
                return Some(Difference { number, expected, actual });
            }
        }
    }
}

/// Escapes every byte that is not plain text, so that any difference is visible.
fn readable(line: &[u8]) -> String {
    line.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_transcripts_have_no_difference() {
        for text in ["", "a\n", "a\nb\n", "a\nb"] {
            assert_eq!(first_difference(text.as_bytes(), text.as_bytes()), None);
        }
    }

    #[test]
    fn the_first_differing_line_is_named() {
        for (expected, actual, number) in
            [("a\nb\n", "a\nc\n", 2), ("a\n", "a\nb\n", 2), ("a\nb\n", "a\n", 2), ("a\n", "a", 1)]
        {
            let difference = first_difference(expected.as_bytes(), actual.as_bytes()).unwrap();
            assert_eq!(difference.number, number, "{expected:?} {actual:?}");
        }
    }

    #[test]
    fn invisible_bytes_are_shown() {
        let difference = first_difference(b"a\n", b"a\x00\n").unwrap();
        assert_eq!(difference.actual.unwrap(), "a\\x00\\n");
    }
}
