// SPDX-License-Identifier: BSD-2-Clause
//! Invocations as plain values: what a thread asks of the kernel, with capabilities named by their
//! addresses in its CSpace. A list of them can be run here and on the kernel itself.

use super::capability::CapRights;
use super::cnode::Transfer;
use super::object::{ObjectType, TableKind};
use super::{Cap, Error, Machine};

/// Where Retype puts the new capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Address of the capability that the walk starts at.
    pub root: u64,
    /// Address of the CNode, from the root.
    pub index: u64,
    /// Bits of that address; with 0 the root is the CNode.
    pub depth: u64,
    /// The first slot.
    pub offset: u64,
    /// How many.
    pub count: u64,
}

/// A slot, from a CNode capability that is invoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The address of the slot.
    pub index: u64,
    /// Bits of that address.
    pub depth: u64,
}

/// The slot that a capability is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Address of the capability that the walk starts at.
    pub root: u64,
    /// The address of the slot, from the root.
    pub index: u64,
    /// Bits of that address.
    pub depth: u64,
}

/// One operation on the capability that is invoked, by the names of the seL4 manual, "seL4 API
/// Reference".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Untyped: makes objects.
    Retype {
        /// Of which type.
        object_type: ObjectType,
        /// Of which size, where the type leaves a choice: bits of bytes, or of slots.
        size_bits: u64,
        /// Where to.
        to: Destination,
    },
    /// CNode: copies, mints, moves or mutates into a slot.
    Transfer {
        /// Into which.
        to: Place,
        /// Out of which.
        from: Source,
        /// Which of the four.
        how: Transfer,
    },
    /// CNode: empties a slot.
    Delete(Place),
    /// CNode: deletes what was derived from the capability in a slot.
    Revoke(Place),
    /// Frame: maps.
    PageMap {
        /// Address of the VSpace's capability.
        vspace: u64,
        /// Where.
        vaddr: u64,
        /// With which rights at most.
        rights: CapRights,
    },
    /// Frame: unmaps.
    PageUnmap,
    /// Frame: tells its physical address.
    PageAddress,
    /// Page table: installs.
    TableMap {
        /// The type of table that the operation is for.
        kind: TableKind,
        /// Address of the VSpace's capability.
        vspace: u64,
        /// Any address under it.
        vaddr: u64,
    },
    /// Page table: takes away.
    TableUnmap {
        /// The type of table that the operation is for.
        kind: TableKind,
    },
    /// ASID pool: numbers an address space.
    AsidAssign {
        /// Address of the VSpace's capability.
        vspace: u64,
    },
    /// Thread: takes its fault handler away ("TCB Set Sched Params", of which it models nothing
    /// else).
    TakeFaultHandler,
    /// Thread: sets pc and sp.
    WriteRegisters {
        /// Whether it runs then.
        resume: bool,
        /// The program counter.
        pc: u64,
        /// The stack pointer.
        sp: u64,
    },
    /// Notification: sets its flags.
    Signal,
    /// Notification: takes its flags, without waiting.
    Poll,
}

impl Machine {
    /// Performs one operation for a thread whose CSpace has this root. Returns what it replies
    /// with: the flags for Poll, the address for `PageAddress`, else 0.
    ///
    /// # Errors
    /// As the kernel: nothing has changed then.
    pub fn invoke(
        &mut self,
        cspace: Cap,
        address: u64,
        invocation: &Invocation,
    ) -> Result<u64, Error> {
        let slot = self.slot_of(cspace, address)?;
        let cap = self.slots.cap(slot);
        // Extra capabilities are looked up before anything is decoded: a missing one is a fault.
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
