// SPDX-License-Identifier: BSD-2-Clause
//! Splits console output into lines, and recognises the lines that end a run.

/// The longest line that is examined; the rest of a longer one is printed but otherwise ignored. A
/// path of 4095 bytes with every byte escaped, and its checksum, is far shorter.
const LINE_BYTES_MAX: usize = 64 * 1024;

/// The lines by which a system reports that it has finished.
pub(crate) struct Sentinel {
    pub(crate) pass: String,
    pub(crate) fail: String,
}

/// The meaning of a sentinel line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Fail,
}

impl Sentinel {
    /// Returns the verdict if the line is a sentinel: the pass line, the fail line, or the fail
    /// line followed by a colon and a reason.
    pub(crate) fn verdict(&self, line: &[u8]) -> Option<Verdict> {
        if line == self.pass.as_bytes() {
            return Some(Verdict::Pass);
        }
        let reason = line.strip_prefix(self.fail.as_bytes())?;
        (reason.is_empty() || reason.starts_with(b":")).then_some(Verdict::Fail)
    }
}

/// Collects bytes into lines, without the line ends. Drops all carriage returns: the kernel and the
/// loader print them, the simulator does not.
#[derive(Default)]
pub(crate) struct Lines {
    line: Vec<u8>,
}

impl Lines {
    /// Adds the next byte; returns the line if the byte ends one.
    pub(crate) fn push(&mut self, byte: u8) -> Option<Vec<u8>> {
        match byte {
            b'\n' => return Some(std::mem::take(&mut self.line)),
            b'\r' => {}
            _ if self.line.len() < LINE_BYTES_MAX => self.line.push(byte),
            _ => {}
        }
        None
    }

    /// Returns whether this came after the last line end, and nothing else.
    pub(crate) fn rest_is(&self, text: &str) -> bool {
        self.line == text.as_bytes()
    }

    /// Returns what came after the last line end.
    pub(crate) fn rest(self) -> Vec<u8> {
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> (Vec<Vec<u8>>, Vec<u8>) {
        let mut lines = Lines::default();
        let whole = bytes.iter().filter_map(|byte| lines.push(*byte)).collect();
        (whole, lines.rest())
    }

    #[test]
    fn lines_lose_carriage_returns_and_keep_all_other_bytes() {
        let (whole, rest) = lines(b"a\r\n\n\xFF\x00b\rc\nrest");
        assert_eq!(whole, [b"a".to_vec(), vec![], b"\xFF\x00bc".to_vec()]);
        assert_eq!(rest, b"rest");
    }

    #[test]
    fn a_line_without_end_takes_bounded_memory() {
        let (whole, rest) = lines(&vec![b'x'; 3 * LINE_BYTES_MAX]);
        assert!(whole.is_empty());
        assert_eq!(rest.len(), LINE_BYTES_MAX);
    }

    #[test]
    fn only_whole_lines_are_sentinels() {
        let sentinel = Sentinel { pass: "PASS".into(), fail: "FAIL".into() };
        assert_eq!(sentinel.verdict(b"PASS"), Some(Verdict::Pass));
        assert_eq!(sentinel.verdict(b"FAIL"), Some(Verdict::Fail));
        assert_eq!(sentinel.verdict(b"FAIL: why"), Some(Verdict::Fail));
        for line in ["", " PASS", "PASS ", "PASSED", "S9 FAIL: x", "FAILURE", "pass", "1 PASS"] {
            assert_eq!(sentinel.verdict(line.as_bytes()), None, "{line:?}");
        }
    }
}
