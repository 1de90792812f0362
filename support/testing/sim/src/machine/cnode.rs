// SPDX-License-Identifier: BSD-2-Clause
//! CNode operations, and what happens to an object when its last capability is deleted
//! (seL4 manual, "CNode Operations").

use super::invocation::Source;
use super::slots::SlotRef;
use super::{Cap, CapRights, Error, LookupFault, Machine};

/// The four operations that copy or move a capability to another slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// Derive with weaker rights.
    Copy(CapRights),
    /// Derive with weaker rights and a badge or guard.
    Mint(CapRights, u64),
    /// Move.
    Move,
    /// Move with a new guard.
    Mutate(u64),
}

impl Machine {
    pub(crate) fn transfer(
        &mut self,
        to: SlotRef,
        root: Cap,
        from: &Source,
        how: Transfer,
    ) -> Result<(), Error> {
        self.slots.ensure_empty(to)?;
        let source = self.slot_for_operation(true, root, from.index, from.depth)?;
        let cap = self.slots.cap(source);
        if cap.is_null() {
            let fault = LookupFault::MissingCapability { bits_left: from.depth };
            return Err(Error::FailedLookup { source: true, fault });
        }
        let (new, moves) = match how {
            Transfer::Copy(rights) => (self.derive(source, cap.masked(rights))?, false),
            Transfer::Mint(rights, data) => {
                (self.derive(source, cap.masked(rights).with_data(false, data))?, false)
            }
            Transfer::Move => (cap, true),
            Transfer::Mutate(data) => (cap.with_data(true, data), true),
        };
        match (new, moves) {
            (Cap::Null, _) => return Err(Error::IllegalOperation),
            (_, true) => self.slots.relocate(source, to, new),
            (_, false) => self.slots.insert_derived(source, to, new),
        }
        Ok(())
    }

    /// Returns the copy of a capability. The copy of a frame is not mapped. A table that is not
    /// mapped, an address space without an ASID, and an untyped with children cannot be copied.
    fn derive(&self, source: SlotRef, cap: Cap) -> Result<Cap, Error> {
        match cap {
            Cap::Zombie { .. } => Ok(Cap::Null),
            Cap::Untyped { .. } => self.slots.ensure_no_children(source).map(|()| cap),
            Cap::Table { mapped: None, .. } | Cap::VSpace { asid: None, .. } => {
                Err(Error::IllegalOperation)
            }
            Cap::Frame { base, size, rights, .. } => {
                Ok(Cap::Frame { base, size, rights, mapped: None })
            }
            _ => Ok(cap),
        }
    }

    pub(crate) fn revoke(&mut self, slot: SlotRef) {
        while let Some(child) = self.slots.first_child(slot) {
            self.delete(child, true);
        }
    }

    /// Deletes the capability in a slot. `exposed` is false for slots of a CNode that is itself
    /// being deleted.
    pub(crate) fn delete(&mut self, slot: SlotRef, exposed: bool) {
        while let rest @ Cap::Zombie { base, count, .. } = self.finalise(slot) {
            let is_own = base == slot.node && slot.index == 0;
            if count == 0 || (count == 1 && is_own) {
                break;
            }
            self.slots.set_cap(slot, rest);
            self.reduce_zombie(slot, exposed);
        }
        self.slots.remove(slot);
    }

    /// Applies the effects of deleting a capability, and its object if it is the last one. Returns
    /// a zombie if the object is a CNode that still has to be emptied.
    fn finalise(&mut self, slot: SlotRef) -> Cap {
        let cap = self.slots.cap(slot);
        let is_final = self.slots.is_final(slot);
        match cap {
            Cap::CNode { base, radix, .. } if is_final => {
                return Cap::Zombie { base, count: 1 << radix, radix };
            }
            Cap::Zombie { .. } => return cap,
            // Every capability to a frame has its own mapping.
            Cap::Frame { base, size, mapped: Some(at), .. } => {
                self.clear_page_entry(at, base, size);
            }
            Cap::Table { base, kind, mapped: Some(at) } if is_final => {
                self.clear_table_entry(at, base, kind);
            }
            Cap::VSpace { base, asid: Some(asid) } if is_final => self.asids.release(asid, base),
            _ => {}
        }
        Cap::Null
    }

    /// Does one step of emptying a CNode that is being deleted. To avoid recursion, the kernel
    /// moves a CNode found inside into the first slot of that CNode itself. It stays there until
    /// the untyped it was made from is revoked.
    fn reduce_zombie(&mut self, slot: SlotRef, exposed: bool) {
        let Cap::Zombie { base, count, radix } = self.slots.cap(slot) else {
            return;
        };
        if !exposed {
            self.slots.swap(SlotRef { node: base, index: 0 }, slot);
            return;
        }
        self.delete(SlotRef { node: base, index: count - 1 }, false);
        if self.slots.cap(slot) == (Cap::Zombie { base, count, radix }) {
            self.slots.set_cap(slot, Cap::Zombie { base, count: count - 1, radix });
        }
    }
}
