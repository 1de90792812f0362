// SPDX-License-Identifier: BSD-2-Clause
//! The conformance test's list: object operations, one after the other, and what is printed of each
//! (decision D9).
//!
//! Whoever implements [`Kernel`] carries an operation out: the root task `ktest` on seL4, the
//! simulator on its model. Both print a [`transcript`], and these must be equal line by line.
//! Nothing here says what an operation ought to answer: seL4 itself says it.
//!
//! ```text
//!   operation.rs  what can be asked, and how it is written   untyped.rs  Retype, watermark, reset
//!   reply.rs      what can be answered                       cnode.rs    CNodes, badges, deletion
//!                                                            tables.rs   tables, address spaces
//!                                                            paging.rs   frames, rights, contents
//!                                                            grants.rs   frames of another's
//! ```
#![no_std]
#![forbid(unsafe_code)]

mod cnode;
mod grants;
mod operation;
mod paging;
mod reply;
mod tables;
mod untyped;

use core::fmt::{Result, Write};

pub use operation::{
    Destination, Node, ObjectType, Operation, Place, Rights, Slot, TableKind, Transfer,
};
pub use reply::Reply;

/// Holds the untyped object that everything is made of, `2^POOL_SIZE_BITS` bytes.
pub const POOL: Slot = Slot(0);
/// Holds the address space that loads and stores go through; it has a number.
pub const VSPACE: Slot = Slot(1);
/// Holds a pool of address space numbers.
pub const ASID_POOL: Slot = Slot(2);
/// Size of the pool as a power of two.
pub const POOL_SIZE_BITS: u64 = 20;
/// Slots that the list uses, from the first.
pub const SLOTS: u64 = 1024;
/// From here on nothing is mapped in [`VSPACE`], and no table but the root is there either.
pub const FREE_ADDRESS: u64 = 0x80_0000_0000;

/// The architecture: page tables are of different types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// Four levels, a type for each.
    X86_64,
    /// Three levels, one type for those below the root.
    Aarch64,
}

/// Something that carries operations out.
pub trait Kernel {
    /// Carries out one operation.
    fn perform(&mut self, operation: &Operation) -> Reply;
}

/// Runs the whole list and writes a line for each operation: its number, itself, the reply.
///
/// # Errors
/// As `out` has them.
pub fn transcript(
    kernel: &mut impl Kernel,
    architecture: Architecture,
    out: &mut impl Write,
) -> Result {
    let architecture_name = match architecture {
        Architecture::X86_64 => "x86_64",
        Architecture::Aarch64 => "aarch64",
    };
    writeln!(out, "conformance {architecture_name}")?;
    let (missing, tables, gone) = match architecture {
        Architecture::X86_64 => {
            (tables::MISSING_X86_64, tables::TABLES_X86_64, tables::GONE_X86_64)
        }
        Architecture::Aarch64 => {
            (tables::MISSING_AARCH64, tables::TABLES_AARCH64, tables::GONE_AARCH64)
        }
    };
    let sections = [
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
    ];
    let mut number: u64 = 0;
    for (name, operations) in sections {
        writeln!(out, "# {name}")?;
        for operation in operations {
            number = number.saturating_add(1);
            let reply = kernel.perform(operation);
            writeln!(out, "{number} {operation} -> {reply}")?;
        }
    }
    Ok(())
}
