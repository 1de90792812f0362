// SPDX-License-Identifier: BSD-2-Clause
//! What is printed: kept whole, and printed on the host as it comes.

use std::io::Write as _;

use proto::Console;

/// The serial port of the simulated machine.
pub(crate) struct Screen {
    transcript: Vec<u8>,
    echo: bool,
}

impl Screen {
    pub(crate) const fn new(echo: bool) -> Self {
        Self { transcript: Vec::new(), echo }
    }

    pub(crate) fn transcript(&self) -> &[u8] {
        &self.transcript
    }
}

impl Console for Screen {
    fn write(&mut self, bytes: &[u8]) {
        self.transcript.extend_from_slice(bytes);
        if self.echo {
            // Who closed the pipe does not want the rest; the exit status still tells how it ended.
            let mut stdout = std::io::stdout().lock();
            let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
        }
    }
}
