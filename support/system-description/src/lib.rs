// SPDX-License-Identifier: BSD-2-Clause
//! What this project's system description files have over Microkit's: `memory_account`,
//! `cap_untyped`, `cap_cnode` and the `board` attribute (the README of `support/sel4/image`
//! documents them).
//!
//! [`read`] reads them, checks all that can be checked without a board, and returns the text
//! without them, which is a description as Microkit knows it. The image tool gives that to
//! microkit-tool, and the simulator reads it itself: both have their pool and peers from here, and
//! both refuse the same.
//!
//! What is taken out of the text is overwritten with spaces, so that every other element keeps its
//! line and column in the messages of others. What the stock elements mean is not decided here;
//! only what a peer and the pool depend on is read: names and parents of protection domains,
//! channels, and which slots are taken.
//!
//! ```text
//!   reader.rs     walks through the elements
//!   server.rs     the memory server: its pool, its peers, the capabilities that follow
//!   budgets.rs    who may hold up whom
//!   claims.rs     which slots are taken, and by what
//!   element.rs    attributes of one element, and what is wrong with it
//!   text.rs       the text, with holes and additions
//! ```
#![forbid(unsafe_code)]

mod budgets;
mod claims;
mod element;
mod reader;
mod server;
mod text;

use std::fmt;

use pmserver_setup::SETUP_BYTES;

pub use reader::read;
pub use server::{LAST_RESORT_FILE, MemoryServer, SETUP_FILE};

/// A reason to refuse a system description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line of the element, from 1.
    pub line: u32,
    /// One sentence.
    pub sentence: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.sentence)
    }
}

/// A system description, with what it has over Microkit's.
#[derive(Clone, Debug)]
pub struct Description {
    /// The description as Microkit knows it.
    pub text: String,
    /// The `cap_untyped` elements.
    pub untypeds: Vec<UntypedCaps>,
    /// The `cap_cnode` elements, and what the memory server is given for itself and its peers.
    pub caps: Vec<GivenCap>,
    /// The memory server, if there is one.
    pub server: Option<MemoryServer>,
    /// `text` with the memory regions in it that tell the memory server its setup, and give its
    /// peers the code of their last resort.
    pub text_with_setup: String,
}

impl Description {
    /// Returns the contents of the file that `text_with_setup` names, if it names one.
    #[must_use]
    pub fn setup_page(&self) -> Option<&[u8; SETUP_BYTES]> {
        self.server.as_ref().map(|server| &*server.page)
    }
}

/// One `cap_untyped`: `count` untyped objects in consecutive slots of the owner's root CNode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UntypedCaps {
    /// The protection domain that is given them.
    pub owner: String,
    /// The first slot.
    pub slot: u32,
    /// The size of each, as a power of two.
    pub size_bits: u8,
    /// How many.
    pub count: u32,
    /// Where the element stands.
    pub line: u32,
}

/// A capability that a protection domain is given to something of a protection domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenCap {
    /// The protection domain that is given it.
    pub owner: String,
    /// To what.
    pub object: GivenObject,
    /// Whose that is.
    pub pd: String,
    /// In which of the owner's CNodes.
    pub node: Node,
    /// In which slot there.
    pub slot: u32,
}

/// What of a protection domain a capability is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenObject {
    /// Its root CNode.
    CNode,
    /// Its address space.
    VSpace,
    /// Its thread.
    Tcb,
}

/// The two CNodes that a protection domain's CSpace consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// The root CNode, of 64 slots.
    Root,
    /// The one in its slot 0, of 512 slots, that Microkit fills.
    Leaf,
}
