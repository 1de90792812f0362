// SPDX-License-Identifier: BSD-2-Clause
//! The conformance test's list: a sequence of kernel operations, and how each is printed with its
//! reply (decision D9).
//!
//! [`Kernel`] performs the operations; the root task `ktest` implements it with seL4, the simulator
//! with its model. Both print a [`transcript`], and the two must be equal line by line. The list
//! contains no expected replies: those of seL4 are the correct ones.
//!
//! ```text
//!   operation.rs  operations and their printed form   untyped.rs  Retype, watermark, reset
//!   reply.rs      replies and their printed form      cnode.rs    CNodes, badges, deletion
//!                                                     tables.rs   tables, address spaces
//!                                                     paging.rs   frames, rights, contents
//!                                                     large.rs    frames of 2 MiB
//!                                                     grants.rs   frames in another CSpace
//!                                                     random.rs   drawn from a seed
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod cnode;
mod grants;
mod large;
mod operation;
mod paging;
mod random;
mod reply;
mod tables;
mod untyped;

use core::fmt::{Result, Write};

pub use operation::{
    Destination, Node, ObjectType, Operation, Place, Rights, Slot, TableKind, Transfer,
};
pub use reply::Reply;

/// Holds the untyped object, of `2^POOL_SIZE_BITS` bytes, from which all objects are made.
pub const POOL: Slot = Slot(0);
/// Holds the address space of all loads and stores; it has an ASID.
pub const VSPACE: Slot = Slot(1);
/// Holds an ASID pool.
pub const ASID_POOL: Slot = Slot(2);
/// Size of the pool as a power of two.
pub const POOL_SIZE_BITS: u64 = 24;
/// Number of slots that the list uses.
pub const SLOTS: u64 = 1024;
/// From this address on, [`VSPACE`] has no mappings, and no tables below the root.
pub const FREE_ADDRESS: u64 = 0x80_0000_0000;

/// The architecture, which determines the types of page tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Four levels, each of its own type.
    X86_64,
    /// Three levels; those below the root are of one type.
    Aarch64,
    /// The same with debug registers in threads, which are twice as large.
    Aarch64Debug,
}

/// Performs operations.
pub trait Kernel {
    /// Performs one operation.
    fn perform(&mut self, operation: &Operation) -> Reply;
}

/// Performs the whole list, and then operations that are drawn from `seed`. Writes a line for each
/// operation: number, operation, reply.
///
/// # Errors
/// Those of `out`.
pub fn transcript(
    kernel: &mut impl Kernel,
    architecture: Architecture,
    seed: u64,
    out: &mut impl Write,
) -> Result {
    let architecture_name = match architecture {
        Architecture::X86_64 => "x86_64",
        Architecture::Aarch64 => "aarch64",
        Architecture::Aarch64Debug => "aarch64_debug",
    };
    writeln!(out, "conformance {architecture_name}, seed {seed}")?;
    let mut number: u64 = 0;
    for (name, operations) in sections(architecture) {
        writeln!(out, "# {name}")?;
        for operation in operations {
            number = number.saturating_add(1);
            let reply = kernel.perform(operation);
            writeln!(out, "{number} {operation} -> {reply}")?;
        }
    }
    drawn(kernel, architecture, seed, out)
}

/// A name, and operations.
type Section = (&'static str, &'static [Operation]);

/// Returns the sections of the list.
const fn sections(architecture: Architecture) -> [Section; 33] {
    let [missing, tables, gone, large] = match architecture {
        Architecture::X86_64 => [
            tables::MISSING_X86_64,
            tables::TABLES_X86_64,
            tables::GONE_X86_64,
            large::TABLES_X86_64,
        ],
        Architecture::Aarch64 | Architecture::Aarch64Debug => [
            tables::MISSING_AARCH64,
            tables::TABLES_AARCH64,
            tables::GONE_AARCH64,
            large::TABLES_AARCH64,
        ],
    };
    [
        ("untyped: retype", untyped::RETYPE),
        ("untyped: watermark", untyped::WATERMARK),
        ("untyped: destinations", untyped::DESTINATIONS),
        ("cnode: transfers", cnode::TRANSFERS),
        ("cnode: badges", cnode::BADGES),
        ("cnode: addresses", cnode::ADDRESSES),
        ("cnode: deletion", cnode::DELETION),
        ("paging: missing tables", missing),
        ("paging: tables", tables),
        ("paging: frames", paging::FRAMES),
        ("paging: rights", paging::RIGHTS),
        ("paging: the end", paging::END),
        ("paging: tables", tables),
        ("paging: deleted tables", tables::DELETED_TABLES),
        ("paging: the end", paging::END),
        ("paging: tables", tables),
        ("paging: memory that is given out again", paging::ZERO),
        ("paging: the end", paging::END),
        ("paging: address spaces", tables::ADDRESS_SPACES),
        ("paging: the end", paging::END),
        ("paging: an address space that goes", gone),
        ("paging: the end", paging::END),
        ("paging: tables", tables),
        ("grants", grants::GRANTS),
        ("paging: the end", paging::END),
        ("paging: tables", tables),
        ("grants: physical addresses", grants::WHERE),
        ("paging: the end", paging::END),
        ("large frames: tables", large),
        ("large frames: pages", large::PAGES),
        ("large frames: copies", large::COPIES),
        ("large frames: a block", large::BLOCK),
        ("paging: the end", paging::END),
    ]
}

/// Performs operations that are drawn from a seed.
fn drawn(
    kernel: &mut impl Kernel,
    architecture: Architecture,
    seed: u64,
    out: &mut impl Write,
) -> Result {
    writeln!(out, "# random: seed {seed}")?;
    let mut book = random::Book::new(architecture, seed);
    let mut successes: u64 = 0;
    for number in 1..=random::OPERATIONS {
        let operation = book.next();
        let reply = kernel.perform(&operation);
        writeln!(out, "r{number} {operation} -> {reply}")?;
        book.note(&operation, &reply);
        successes = successes.saturating_add(matches!(reply, Reply::Done | Reply::Value(_)).into());
    }
    writeln!(out, "# {successes} of {} drawn operations succeeded", random::OPERATIONS)
}
