// SPDX-License-Identifier: BSD-2-Clause
//! The programs of the examples: on seL4 each of these files is a whole program.
#![allow(clippy::duplicate_mod)] // Server and client have one contract.

#[path = "../../../../examples/own-server/author.rs"]
mod author;
#[path = "../../../../examples/own-server/capitals.rs"]
mod capitals;
#[path = "../../../../examples/hello-container/rust/greeter.rs"]
mod greeter;
#[path = "../../../../examples/hello-container/rust/hello.rs"]
mod hello;
#[path = "../../../../examples/virtual-memory/reader.rs"]
mod reader;
#[path = "../../../../examples/virtual-memory/squares.rs"]
mod squares;

use proto::{Message, Service};

use super::domain::{Domain, Program};

/// The program of a client: runs it, and returns whether it succeeded.
pub type Client = fn(&Domain) -> bool;

/// The clients among the examples, by the names of their programs.
pub const EXAMPLES: &[(&str, Client)] = &[
    ("author", |domain| console_api::run(domain, author::CONSOLE, author::author)),
    ("hello", |domain| console_api::run(domain, hello::CONSOLE, hello::hello)),
    ("reader", |domain| console_api::run(domain, reader::CONSOLE, reader::reader)),
];

/// Returns the program of an example's server.
pub(super) fn server(name: &str) -> Option<Box<dyn Program>> {
    match name {
        "capitals" => Some(Box::new(Server(capitals::capitals))),
        "squares" => Some(Box::new(Server(squares::squares))),
        "greeter" => Some(Box::new(Server(greeter::greeter))),
        _ => None,
    }
}

/// A server that has no recovery entry.
struct Server<S>(fn(Domain) -> S);

impl<S: Service + 'static> Program for Server<S> {
    fn start(&self, domain: &Domain) -> Box<dyn Service> {
        Box::new(self.0(domain.clone()))
    }

    fn recover(&self, _: &Domain) -> (Box<dyn Service>, Message) {
        unreachable!("a domain without an entry is stopped")
    }
}
