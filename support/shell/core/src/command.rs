// SPDX-License-Identifier: BSD-2-Clause
//! The commands, and the line editor that finds them in what is typed. Their docs are what `help`
//! prints.

use core::convert::Infallible;

use embedded_cli::Command;
use embedded_cli::cli::{Cli, CliBuilder};
use proto::Console;

use crate::terminal::Terminal;

/// What is printed when a line can be typed.
const PROMPT: &str = "> ";
/// Bytes of the longest line, and of those that can be had again.
const LINE_BYTES: usize = 256;
const HISTORY_BYTES: usize = 1024;

/// What terminals send for the key that deletes backwards, and what the line editor knows.
const DELETE: u8 = 0x7F;
const BACKSPACE: u8 = 0x08;

/// The line editor.
pub(crate) struct Editor<C: Console>(
    Cli<Terminal<C>, Infallible, [u8; LINE_BYTES], [u8; HISTORY_BYTES]>,
);

impl<C: Console> Editor<C> {
    /// Returns a line editor that has asked for a line on this console.
    pub(crate) fn new(console: C) -> Self {
        let built = CliBuilder::default()
            .writer(Terminal(console))
            .command_buffer([0; LINE_BYTES])
            .history_buffer([0; HISTORY_BYTES])
            .prompt(PROMPT)
            .build();
        let Ok(editor) = built;
        Self(editor)
    }

    /// Takes what was typed. If that ends a line which is a command, does it.
    pub(crate) fn take(&mut self, byte: u8, mut act: impl FnMut(Line<'_>)) {
        let byte = if byte == DELETE { BACKSPACE } else { byte };
        let mut act = Line::processor(|_, line| {
            act(line);
            Ok(())
        });
        let Ok(()) = self.0.process_byte::<Line<'_>, _>(byte, &mut act);
    }
}

/// A line that was typed.
#[derive(Clone, Copy, Debug, Command)]
#[command(help_title = "Commands")]
pub(crate) enum Line<'a> {
    /// List a folder
    Ls {
        /// Which; the root if it is left out
        path: Option<&'a str>,
    },
    /// Print a file
    Cat {
        /// Which
        path: &'a str,
    },
    /// Print kind and size of a file
    Stat {
        /// When it was changed, too
        #[arg(short, long)]
        times: bool,
        /// Which
        path: &'a str,
    },
    /// Print the checksum of a file
    #[command(name = "sha256sum")]
    Sha256sum {
        /// Which
        path: &'a str,
    },
    /// Read a file again and again, and print how fast
    Bench {
        /// read
        what: &'a str,
        /// Which file
        path: &'a str,
    },
    /// Print who pays for how much memory
    Mem {
        /// All books, a line for each row, for `make map`
        #[arg(long)]
        dump: bool,
    },
    /// Print all containers
    Containers,
    /// Print what is lent to whom
    Shares,
    /// Print what a domain has mapped
    Map {
        /// Its name in the system file
        domain: &'a str,
    },
    /// Lend pages to client, which fills them
    Lend {
        /// How many, at most 256
        pages: u64,
    },
    /// Take them back, and look at them
    TakeBack,
    /// Make fsserver fault
    Crash {
        /// fsserver
        server: &'a str,
        /// After how many more pages that it reads
        pages: Option<u64>,
    },
    /// Make fsserver hang
    Hang {
        /// fsserver
        server: &'a str,
        /// After how many more pages that it reads
        pages: Option<u64>,
    },
    /// Make client fault until it is stopped
    Kill {
        /// client
        victim: &'a str,
    },
    /// End the session
    Exit,
}
