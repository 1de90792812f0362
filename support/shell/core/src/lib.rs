// SPDX-License-Identifier: BSD-2-Clause
//! A shell on the console: reads files, shows who pays for how much memory, lends memory, and makes
//! other domains fail, to show that nothing is lost by that.
//!
//! It is an ordinary client with an account of its own. What makes it an operator's is in the
//! system file: it may read the console, and pmserver's books. Whom it makes fail are the
//! file server of the scenarios, which is the real one but for orders that make it fault or hang,
//! and a puppet (`support/testing/scenarios`).
//!
//! | module | what it does |
//! |---|---|
//! | `shell` | reads lines until the end, and has done what they say |
//! | `terminal` | what the line editor prints |
//! | `command` | the commands, and the line editor that finds them in what is typed |
//! | `files` | files, read on where a server that failed has stopped |
//! | `accounts` | the accounts as a tree |
//! | `holdings` | containers, shares, and what a domain has mapped |
//! | `dump` | all of that for programs: the snapshot |
//! | `books` | what pmserver tells of it, and the names for it |
//! | `client` | the other client: memory that is lent to it, and its end |
//! | `watched` | calls to fsserver, which end if it hangs |
//! | `layout` | channels, peers and addresses |
//! | `error` | what can go wrong, in words |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod accounts;
mod books;
mod client;
mod command;
mod dump;
mod error;
mod files;
mod holdings;
mod layout;
mod shell;
mod terminal;
mod watched;

pub use layout::{CONSOLE, HEAP, PMSERVER};
pub use shell::run;
