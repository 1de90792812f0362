// SPDX-License-Identifier: BSD-2-Clause
//! A model of seL4's objects: untyped memory, CNodes, the derivation tree, frames, page tables,
//! threads and notifications, with the kernel's rules and error replies.
//!
//! Owns all state of the simulated hardware and kernel. It follows the kernel's sources (16.0.0,
//! MCS, one core), so that a list of [`Invocation`]s has the same results on both. Not modelled:
//! device memory, frames of 1 GiB, endpoints and scheduling contexts, CNode Rotate, the
//! capabilities in a thread's own slots (roots and IPC buffer), cache write-back, preemption of
//! long operations, and a thread that writes its own registers.
//!
//! ```text
//!   invocation.rs  invocations as values     cspace.rs   addresses of capabilities -> slots
//!   untyped.rs     Retype, watermark         slots.rs    slots, derivation tree
//!   cnode.rs       Copy .. Revoke, deletion  capability.rs, object.rs   what slots hold
//!   paging.rs      page tables, mappings     threads.rs, memory.rs      registers, flags, bytes
//! ```

mod capability;
mod cnode;
mod cspace;
mod error;
mod invocation;
mod memory;
mod object;
mod paging;
mod slots;
mod threads;
mod untyped;

pub use capability::{Cap, CapRights, FrameRights, Mapped};
pub use cnode::Transfer;
pub use error::{Error, LookupFault};
pub use invocation::{Destination, Invocation, Place, Source};
pub use memory::{PAGE_BYTES, Page};
pub use object::{Architecture, FrameSize, ObjectType, TableKind};
pub use paging::Access;
pub use threads::Thread;
pub use untyped::FAN_OUT_MAX;

use memory::Memory;
use paging::Asids;
use slots::{SlotRef, Slots};
use threads::Threads;

/// The simulated hardware and kernel. A clone goes on by itself.
#[derive(Clone)]
pub struct Machine {
    architecture: Architecture,
    memory: Memory,
    slots: Slots,
    threads: Threads,
    asids: Asids,
    replaced_pages: u64,
    root: Cap,
}

impl Machine {
    /// Slots of the first thread's CNode, as a power of two.
    pub const ROOT_RADIX: u8 = 16;
    /// The slot of the first thread's own CNode.
    pub const ROOT_CNODE: u64 = 2;
    /// The slot of the ASID pool.
    pub const ROOT_ASID_POOL: u64 = 6;
    /// The slot of the machine's memory: one untyped object.
    pub const ROOT_UNTYPED: u64 = 16;
    /// The first empty slot.
    pub const ROOT_EMPTY: u64 = 17;

    /// Returns a machine with `2^memory_bits` bytes, in the state in which its first thread starts.
    #[must_use]
    pub fn new(architecture: Architecture, memory_bits: u8) -> Self {
        let size = 1 << memory_bits;
        let radix = Self::ROOT_RADIX;
        // The kernel keeps the first thread's CNode in memory of its own, not in untyped memory.
        let base = size;
        let root = Cap::CNode { base, radix, guard: 0, guard_bits: 64 - radix };
        let mut slots = Slots::new(architecture);
        slots.add_node(base, radix);
        let all = Cap::Untyped { base: 0, size_bits: memory_bits, free: 0 };
        slots.insert_root(SlotRef { node: base, index: Self::ROOT_CNODE }, root);
        slots.insert_root(SlotRef { node: base, index: Self::ROOT_ASID_POOL }, Cap::AsidPool);
        slots.insert_root(SlotRef { node: base, index: Self::ROOT_UNTYPED }, all);
        Self {
            architecture,
            memory: Memory::new(size),
            slots,
            threads: Threads::default(),
            asids: Asids::new(),
            replaced_pages: 0,
            root,
        }
    }

    /// Returns the architecture.
    #[must_use]
    pub const fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// Returns the root of the first thread's CSpace.
    #[must_use]
    pub const fn root_cspace(&self) -> Cap {
        self.root
    }

    /// Returns the capability in the slot at an address.
    ///
    /// # Errors
    /// [`Error::CapFault`] if the address does not resolve.
    pub fn look(&self, cspace: Cap, address: u64) -> Result<Cap, Error> {
        self.slot_of(cspace, address).map(|slot| self.slots.cap(slot))
    }

    /// Returns every capability that there is.
    pub fn capabilities(&self) -> impl Iterator<Item = Cap> {
        self.slots.caps()
    }

    /// Returns how often a translation of an address space was taken away or changed, and one more.
    #[must_use]
    pub fn epoch(&self, vspace: Cap) -> u64 {
        match vspace {
            Cap::VSpace { asid: Some(asid), .. } => self.asids.epoch(asid),
            _ => 1,
        }
    }

    /// Returns the state of a thread.
    #[must_use]
    pub fn thread(&self, tcb: Cap) -> Option<Thread> {
        match tcb {
            Cap::Tcb { base } => Some(self.threads.thread(base)),
            _ => None,
        }
    }

    /// Returns how often a page was mapped over another one. This kernel version allows that; a
    /// future one does not (decision D8).
    #[must_use]
    pub const fn replaced_pages(&self) -> u64 {
        self.replaced_pages
    }
}
