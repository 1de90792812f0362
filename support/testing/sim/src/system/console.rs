// SPDX-License-Identifier: BSD-2-Clause
//! The simulated serial port: keeps all output, and can also print it on the host.

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
            // An error means a closed pipe: nobody reads the rest. The exit status stays the same.
            let mut stdout = std::io::stdout().lock();
            let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
        }
    }
}
