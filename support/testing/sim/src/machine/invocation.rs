// SPDX-License-Identifier: BSD-2-Clause
//! Invocations as plain values, which name capabilities by their addresses in the caller's CSpace.
//! The same list of invocations can be run here and on the kernel itself.

use super::capability::CapRights;
use super::cnode::Transfer;
use super::object::{ObjectType, TableKind};
use super::{Cap, Error, Machine};

/// Where Retype puts the new capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Address of the CNode where the lookup starts.
    pub root: u64,
    /// Address of the destination CNode, relative to the root.
    pub index: u64,
    /// Number of bits of that address; with 0 the root is the destination.
    pub depth: u64,
    /// The first slot.
    pub offset: u64,
    /// Number of slots.
    pub count: u64,
}

/// A slot, addressed relative to the invoked CNode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The address of the slot.
    pub index: u64,
    /// Number of bits of that address.
    pub depth: u64,
}

/// The slot from which a capability is copied or moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Address of the CNode where the lookup starts.
    pub root: u64,
    /// The address of the slot, relative to the root.
    pub index: u64,
    /// Number of bits of that address.
    pub depth: u64,
}

/// One operation on the invoked capability, named as in the seL4 manual, "seL4 API Reference".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Untyped: makes objects.
    Retype {
        /// The type of the objects.
        object_type: ObjectType,
        /// Their size in bytes or slots, as a power of two, if the type does not fix it.
        size_bits: u64,
        /// Where their capabilities go.
        to: Destination,
    },
    /// CNode: copies, mints, moves or mutates a capability.
    Transfer {
        /// The destination.
        to: Place,
        /// The source.
        from: Source,
        /// Which of the four operations.
        how: Transfer,
    },
    /// CNode: empties a slot.
    Delete(Place),
    /// CNode: deletes all capabilities derived from the one in a slot.
    Revoke(Place),
    /// Frame: maps it.
    PageMap {
        /// Address of the VSpace's capability.
        vspace: u64,
        /// The virtual address.
        vaddr: u64,
        /// The most rights of the mapping.
        rights: CapRights,
    },
    /// Frame: unmaps it.
    PageUnmap,
    /// Frame: returns its physical address.
    PageAddress,
    /// Page table: maps it.
    TableMap {
        /// The type of table that the operation is for.
        kind: TableKind,
        /// Address of the VSpace's capability.
        vspace: u64,
        /// Any virtual address that it translates.
        vaddr: u64,
    },
    /// Page table: unmaps it.
    TableUnmap {
        /// The type of table that the operation is for.
        kind: TableKind,
    },
    /// ASID pool: assigns an ASID to an address space.
    AsidAssign {
        /// Address of the VSpace's capability.
        vspace: u64,
    },
    /// Thread: removes its fault handler (the only modelled use of "TCB Set Sched Params").
    TakeFaultHandler,
    /// Thread: sets pc and sp.
    WriteRegisters {
        /// Whether to resume it afterwards.
        resume: bool,
        /// The program counter.
        pc: u64,
        /// The stack pointer.
        sp: u64,
    },
    /// Notification: sets its flags.
    Signal,
    /// Notification: returns and clears its flags, without waiting.
    Poll,
}

impl Machine {
    /// Performs one operation for a thread whose CSpace has this root. Returns the flags for Poll,
    /// the address for `PageAddress`, and 0 for all others.
    ///
    /// # Errors
    /// Those of the kernel; nothing has changed then.
    pub fn invoke(
        &mut self,
        cspace: Cap,
        address: u64,
        invocation: &Invocation,
    ) -> Result<u64, Error> {
        let slot = self.slot_of(cspace, address)?;
        let cap = self.slots.cap(slot);
        // The kernel looks up extra capabilities before it decodes the operation: one that does not
        // resolve is a fault.
        let extra = match *invocation {
            Invocation::Retype { to: Destination { root, .. }, .. }
            | Invocation::Transfer { from: Source { root, .. }, .. } => Some(root),
            Invocation::PageMap { vspace, .. }
            | Invocation::TableMap { vspace, .. }
            | Invocation::AsidAssign { vspace } => Some(vspace),
            _ => None,
        };
        let extra = extra.map(|address| self.slot_of(cspace, address)).transpose()?;
        let extra_cap = extra.map_or(Cap::Null, |slot| self.slots.cap(slot));
        match (cap, *invocation) {
            (Cap::Null | Cap::Zombie { .. }, _) => return Err(Error::InvalidCapability(0)),
            (Cap::Untyped { .. }, Invocation::Retype { object_type, size_bits, to }) => {
                self.retype(slot, object_type, size_bits, extra_cap, &to)?;
            }
            (Cap::CNode { .. }, operation) => self.invoke_cnode(cap, extra_cap, &operation)?,
            (Cap::Frame { .. }, Invocation::PageMap { vaddr, rights, .. }) => {
                self.map_page(slot, extra_cap, vaddr, rights)?;
            }
            (Cap::Frame { .. }, Invocation::PageUnmap) => self.unmap_page(slot),
            (Cap::Frame { base, .. }, Invocation::PageAddress) => return Ok(base),
            (Cap::Table { kind: own, .. }, Invocation::TableMap { kind, vaddr, .. })
                if own == kind =>
            {
                self.map_table(slot, extra_cap, vaddr)?;
            }
            (Cap::Table { kind: own, .. }, Invocation::TableUnmap { kind }) if own == kind => {
                self.unmap_table(slot)?;
            }
            (Cap::AsidPool, Invocation::AsidAssign { .. }) => self.assign_asid(extra)?,
            (Cap::Tcb { base }, Invocation::WriteRegisters { resume, pc, sp }) => {
                self.threads.write_registers(base, pc, sp, resume);
            }
            (Cap::Tcb { base }, Invocation::TakeFaultHandler) => self.threads.retire(base),
            (Cap::Notification { base, badge, rights }, Invocation::Signal) => {
                if !rights.write {
                    return Err(Error::InvalidCapability(0));
                }
                self.threads.signal(base, badge);
            }
            (Cap::Notification { base, .. }, Invocation::Poll) => {
                return Ok(self.threads.poll(base));
            }
            _ => return Err(Error::IllegalOperation),
        }
        Ok(0)
    }

    fn invoke_cnode(&mut self, node: Cap, root: Cap, operation: &Invocation) -> Result<(), Error> {
        let place = match *operation {
            Invocation::Transfer { to: place, .. }
            | Invocation::Delete(place)
            | Invocation::Revoke(place) => place,
            _ => return Err(Error::IllegalOperation),
        };
        let slot = self.slot_for_operation(false, node, place.index, place.depth)?;
        match *operation {
            Invocation::Transfer { from, how, .. } => self.transfer(slot, root, &from, how)?,
            Invocation::Revoke(_) => self.revoke(slot),
            _ => self.delete(slot, true),
        }
        Ok(())
    }
}
