// SPDX-License-Identifier: BSD-2-Clause
//! Reads this project's extensions of Microkit's system description: `memory_account`,
//! `file_access`, `serial_port`, `cap_untyped`, `cap_cnode` and the `board` attribute (the README
//! of `support/sel4/image` documents them).
//!
//! [`read`] reads them, checks everything that can be checked without a board, and returns the text
//! without them, which is a description that Microkit understands. The image tool passes that to
//! microkit-tool; the simulator reads it itself. Both get the pool and the peers from this crate,
//! so both refuse the same files.
//!
//! Removed elements are overwritten with spaces, so that every other element keeps its line and
//! column in messages of microkit-tool. Of Microkit's own elements this crate reads only what the
//! pool and the peers depend on: names and parents of protection domains, channels, and which slots
//! are taken.
//!
//! ```text
//!   reader.rs         walks through the elements
//!   account.rs        one memory_account
//!   server.rs         the memory server: its pool, its peers, the capabilities it gets
//!   file_server.rs    the file server: what its clients may do
//!   serial.rs         the serial port, and who has it
//!   additions.rs      what is added to the text for a machine
//!   budgets.rs        who may hold up whom
//!   cores.rs          who may be called from another core
//!   claims.rs         which slots are taken, and by what
//!   element.rs        one element: its attributes, errors with its line
//!   text.rs           the text without the extensions, with additions
//! ```
#![forbid(unsafe_code)]

mod account;
mod additions;
mod budgets;
mod claims;
mod cores;
mod element;
mod file_server;
mod reader;
mod serial;
mod server;
mod text;

use std::fmt;

use pmserver_setup::SETUP_BYTES;

use crate::additions::Places;

pub use additions::{Complete, Hardware, Variable};
pub use file_server::{FILE_SETUP_FILE, FileServer};
pub use reader::{read, read_for};
pub use serial::SerialPort;
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

/// A system description, with the extensions apart from Microkit's own elements.
#[derive(Clone, Debug)]
pub struct Description {
    /// The description without the extensions.
    pub text: String,
    /// The `cap_untyped` elements.
    pub untypeds: Vec<UntypedCaps>,
    /// The capabilities of the `cap_cnode` elements, and those that the memory server gets without
    /// an element.
    pub caps: Vec<GivenCap>,
    /// The memory server, if there is one.
    pub server: Option<MemoryServer>,
    /// The file server, if the description says what a client of it may do.
    pub file_server: Option<FileServer>,
    /// Where in `text` something is to be added, and the domain with the serial port.
    pub(crate) places: Places,
}

impl Description {
    /// Returns whether a domain has the serial port of the board.
    #[must_use]
    pub const fn has_serial_port(&self) -> bool {
        self.places.serial.is_some()
    }

    /// Returns the contents of the file that the complete text names, if it names one.
    #[must_use]
    pub fn setup_page(&self) -> Option<&[u8; SETUP_BYTES]> {
        self.server.as_ref().map(|server| &*server.page)
    }
}

/// One `cap_untyped`: `count` untyped objects in consecutive slots of the owner's root CNode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UntypedCaps {
    /// The protection domain that gets them.
    pub owner: String,
    /// The first slot.
    pub slot: u32,
    /// The size of each, as a power of two.
    pub size_bits: u8,
    /// How many objects.
    pub count: u32,
    /// The line of the element, from 1.
    pub line: u32,
}

/// A capability that a protection domain gets to an object of another one, or of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenCap {
    /// The protection domain that gets it.
    pub owner: String,
    /// Which object it is to.
    pub object: GivenObject,
    /// The protection domain that the object belongs to.
    pub pd: String,
    /// The CNode of the owner that it is put into.
    pub node: Node,
    /// The slot of that CNode.
    pub slot: u32,
}

/// The object of a protection domain that a capability is to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenObject {
    /// Its root CNode.
    CNode,
    /// Its address space.
    VSpace,
    /// Its thread.
    Tcb,
    /// None of its own: the address space of a device behind an IOMMU.
    IoSpace(PciDevice),
}

/// A device on a PCI bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PciDevice {
    /// The number of its bus.
    pub bus: u8,
    /// Its number on the bus, below 32.
    pub device: u8,
    /// Which of its functions, below 8.
    pub function: u8,
}

/// What a description is read for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machine<'a> {
    /// The board. Without one every element that is for one board only is left out.
    pub board: Option<&'a str>,
    /// Whether it has an IOMMU, so that the devices that accounts name can be confined.
    pub has_iommu: bool,
}

/// The two CNodes that a protection domain's CSpace consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Node {
    /// The root CNode, of 64 slots.
    Root,
    /// The one in its slot 0, of 512 slots, that Microkit fills.
    Leaf,
}
