// SPDX-License-Identifier: BSD-2-Clause
//! The simulated serial port: keeps all output, and can also print it on the host. What is typed
//! comes from whatever the system was given for a keyboard.

use std::io::{Read, Write as _};

use console_api::{Request, TEXT_BYTES_MAX, Text};
use proto::{Console, Message, ProtocolError};

/// What a terminal sends for the end of what is typed.
const END_OF_TRANSMISSION: u8 = 4;

/// The serial port of the simulated machine.
pub(crate) struct Screen {
    transcript: Vec<u8>,
    echo: bool,
    keyboard: Option<Box<dyn Read>>,
}

impl Screen {
    pub(crate) const fn new(echo: bool) -> Self {
        Self { transcript: Vec::new(), echo, keyboard: None }
    }

    pub(crate) fn transcript(&self) -> &[u8] {
        &self.transcript
    }

    /// Lets clients read from this.
    pub(crate) fn connect(&mut self, keyboard: Box<dyn Read>) {
        self.keyboard = Some(keyboard);
    }

    /// Handles a request as the console server does, but that who reads waits here, with the whole
    /// system, and that every client may.
    pub(super) fn answer(&mut self, request: &Message) -> Message {
        match Request::decode(request) {
            Ok(Request::Write(text)) => {
                self.write(text.bytes());
                console_api::done()
            }
            Ok(Request::Read) => match self.read() {
                Some(text) => console_api::typed(&text),
                None => ProtocolError::UnknownOperation.reply(),
            },
            Err(error) => error.reply(),
        }
    }

    /// Returns what is typed next.
    fn read(&mut self) -> Option<Text> {
        let mut bytes = [END_OF_TRANSMISSION; TEXT_BYTES_MAX];
        // An error is an end, too.
        let count = self.keyboard.as_mut()?.read(&mut bytes).unwrap_or(0).max(1);
        Some(bytes.into_iter().take(count).collect())
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
