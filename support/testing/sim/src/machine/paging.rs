// SPDX-License-Identifier: BSD-2-Clause
//! Page tables, stored in physical memory as on the hardware, with 512 words each.
//!
//! ```text
//!   entry:  | physical address: 52 bits | ... | write: 3 | read: 2 | table: 1 | valid: 0 |
//! ```
//!
//! An entry for a page of 2 MiB is in the place of one for a lowest table.
//!
//! Deleting a table clears its entry in the table above. What was mapped under it is then only
//! recorded in the capabilities, exactly as in the kernel. Mapping a frame over another one
//! replaces the entry without an error on both architectures; the model counts that, because a
//! future kernel will refuse it (decision D8).

use super::capability::{CapRights, FrameRights, Mapped};
use super::memory::{PAGE_BYTES, Page};
use super::object::{Architecture, FrameSize, LEVEL_BITS, TableKind};
use super::slots::SlotRef;
use super::{Cap, Error, LookupFault, Machine};

const VALID: u64 = 1;
const TABLE: u64 = 2;
const READ: u64 = 4;
const WRITE: u64 = 8;
const ADDRESS_MASK: u64 = !(PAGE_BYTES - 1);
const PAGE_BITS: u8 = 12;
const ASIDS_MAX: usize = 512;

/// The address space of each ASID; 0 is never assigned.
#[derive(Clone)]
pub(crate) struct Asids {
    roots: Vec<Option<u64>>,
    /// How often a translation was taken away or changed, and one more.
    epochs: Vec<u64>,
}

impl Asids {
    pub(crate) fn new() -> Self {
        Self { roots: vec![None], epochs: vec![1] }
    }

    fn assign(&mut self, root: u64) -> Result<u16, Error> {
        let free = (1..self.roots.len()).find(|&asid| self.roots[asid].is_none());
        let asid = free.unwrap_or(self.roots.len());
        if asid >= ASIDS_MAX {
            return Err(Error::DeleteFirst);
        }
        self.roots.resize(self.roots.len().max(asid + 1), None);
        self.epochs.resize(self.roots.len(), 1);
        self.roots[asid] = Some(root);
        Ok(u16::try_from(asid).expect("below 512"))
    }

    fn root(&self, asid: u16) -> Option<u64> {
        self.roots.get(usize::from(asid)).copied().flatten()
    }

    pub(crate) fn release(&mut self, asid: u16, root: u64) {
        if self.root(asid) == Some(root) {
            self.roots[usize::from(asid)] = None;
            self.flush(asid);
        }
    }

    pub(crate) fn epoch(&self, asid: u16) -> u64 {
        self.epochs[usize::from(asid)]
    }

    fn flush(&mut self, asid: u16) {
        self.epochs[usize::from(asid)] += 1;
    }
}

/// The page table entry at which a walk ended.
struct Entry {
    /// Its physical address.
    at: u64,
    /// The size of the address range that it covers, as a power of two.
    shift: u8,
    /// Its contents.
    word: u64,
}

impl Entry {
    /// Returns whether it refers to a table.
    const fn is_table(&self) -> bool {
        self.word & (VALID | TABLE) == VALID | TABLE
    }

    /// Returns whether it refers to a page.
    const fn is_page(&self) -> bool {
        self.word & (VALID | TABLE) == VALID
    }
}

/// Kinds of access to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
}

impl Machine {
    /// Walks down to the entry that covers `2^shift` bytes, or as far as tables exist.
    fn walk(&self, root: u64, vaddr: u64, shift: u8) -> Entry {
        let mut table = root;
        let mut at_shift = self.architecture.root_shift();
        let mut index_bits = self.architecture.root_index_bits();
        loop {
            let index = vaddr >> at_shift & ((1 << index_bits) - 1);
            let at = table + index * 8;
            let word = self.memory.word(at);
            let entry = Entry { at, shift: at_shift, word };
            if at_shift == shift || !entry.is_table() {
                return entry;
            }
            table = word & ADDRESS_MASK;
            at_shift -= LEVEL_BITS;
            index_bits = LEVEL_BITS;
        }
    }

    fn check_asid(&self, root: u64, asid: u16) -> Result<(), Error> {
        match self.asids.root(asid) {
            None => Err(Error::FailedLookup { source: false, fault: LookupFault::InvalidRoot }),
            Some(found) if found != root => Err(Error::InvalidCapability(1)),
            Some(_) => Ok(()),
        }
    }

    pub(crate) fn map_page(
        &mut self,
        slot: SlotRef,
        vspace: Cap,
        vaddr: u64,
        mask: CapRights,
    ) -> Result<(), Error> {
        let Cap::Frame { base, size, rights, mapped } = self.slots.cap(slot) else {
            return Err(Error::IllegalOperation);
        };
        let (root, asid) = root_of(vspace)?;
        let to = Mapped { asid, vaddr };
        let is_aligned = vaddr.is_multiple_of(1 << size.bits());
        let aligned = if is_aligned { Ok(()) } else { Err(Error::AlignmentError) };
        // The two architectures check for the same errors in a different order.
        match self.architecture {
            Architecture::X86_64 => {
                self.check_address(mapped, to, size)?;
                self.check_asid(root, asid)?;
                aligned?;
            }
            Architecture::Aarch64 | Architecture::Aarch64Debug => {
                self.check_asid(root, asid)?;
                aligned?;
                self.check_address(mapped, to, size)?;
            }
        }
        let entry = self.page_entry(root, vaddr, size)?;
        if entry.word & VALID != 0 {
            self.replaced_pages += u64::from(entry.word & ADDRESS_MASK != base);
            self.asids.flush(asid);
        }
        let flags = match rights.mask(mask) {
            FrameRights::KernelOnly => VALID,
            FrameRights::ReadOnly => VALID | READ,
            FrameRights::ReadWrite => VALID | READ | WRITE,
        };
        self.memory.set_word(entry.at, base | flags);
        self.slots.set_cap(slot, Cap::Frame { base, size, rights, mapped: Some(to) });
        Ok(())
    }

    /// Returns the entry for a page, which must not hold a table.
    fn page_entry(&self, root: u64, vaddr: u64, size: FrameSize) -> Result<Entry, Error> {
        let entry = self.walk(root, vaddr, size.bits());
        if entry.shift != size.bits() {
            return Err(Error::table_missing(entry.shift.into()));
        }
        match self.architecture {
            _ if !entry.is_table() => Ok(entry),
            Architecture::X86_64 => Err(Error::DeleteFirst),
            // The walk goes on to the lowest table, whatever the size of the page is.
            Architecture::Aarch64 | Architecture::Aarch64Debug => {
                Err(Error::table_missing(PAGE_BITS.into()))
            }
        }
    }

    /// Checks the address of a mapping. A capability that is mapped can only be mapped again at the
    /// same address.
    fn check_address(
        &self,
        mapped: Option<Mapped>,
        to: Mapped,
        size: FrameSize,
    ) -> Result<(), Error> {
        let top = self.architecture.user_top();
        let end = to.vaddr.wrapping_add(1 << size.bits());
        let is_too_high = match self.architecture {
            Architecture::X86_64 => to.vaddr > top || end > top,
            Architecture::Aarch64 | Architecture::Aarch64Debug => end.wrapping_sub(1) > top,
        };
        match mapped {
            Some(at) if at.asid != to.asid => Err(Error::InvalidCapability(1)),
            Some(at) if at.vaddr != to.vaddr => Err(Error::InvalidArgument(0)),
            None if is_too_high => Err(Error::InvalidArgument(0)),
            Some(_) | None => Ok(()),
        }
    }

    pub(crate) fn unmap_page(&mut self, slot: SlotRef) {
        if let Cap::Frame { base, size, rights, mapped: Some(at) } = self.slots.cap(slot) {
            self.clear_page_entry(at, base, size);
            self.slots.set_cap(slot, Cap::Frame { base, size, rights, mapped: None });
        }
    }

    /// Clears the entry of a frame, if it still refers to this frame.
    pub(crate) fn clear_page_entry(&mut self, mapped: Mapped, base: u64, size: FrameSize) {
        let Some(root) = self.asids.root(mapped.asid) else {
            return;
        };
        let entry = self.walk(root, mapped.vaddr, size.bits());
        let is_page = entry.shift == size.bits() && entry.is_page();
        if is_page && entry.word & ADDRESS_MASK == base {
            self.memory.set_word(entry.at, 0);
            self.asids.flush(mapped.asid);
        }
    }

    pub(crate) fn map_table(
        &mut self,
        slot: SlotRef,
        vspace: Cap,
        vaddr: u64,
    ) -> Result<(), Error> {
        let Cap::Table { base, kind, mapped } = self.slots.cap(slot) else {
            return Err(Error::IllegalOperation);
        };
        if mapped.is_some() {
            return Err(Error::InvalidCapability(0));
        }
        let (root, asid) = root_of(vspace)?;
        let vaddr = match self.architecture {
            Architecture::X86_64 => vaddr & !((1 << kind.span_bits()) - 1),
            Architecture::Aarch64 | Architecture::Aarch64Debug => vaddr,
        };
        if vaddr > self.architecture.user_top() {
            return Err(Error::InvalidArgument(0));
        }
        self.check_asid(root, asid)?;
        let entry = match self.architecture {
            Architecture::X86_64 => {
                let entry = self.walk(root, vaddr, kind.span_bits());
                if entry.shift != kind.span_bits() {
                    return Err(Error::table_missing(entry.shift.into()));
                }
                entry
            }
            Architecture::Aarch64 | Architecture::Aarch64Debug => self.walk(root, vaddr, PAGE_BITS),
        };
        if entry.shift == PAGE_BITS || entry.word & VALID != 0 {
            return Err(Error::DeleteFirst);
        }
        self.memory.set_word(entry.at, base | TABLE | VALID);
        let vaddr = vaddr & !((1 << entry.shift) - 1);
        self.slots.set_cap(slot, Cap::Table { base, kind, mapped: Some(Mapped { asid, vaddr }) });
        Ok(())
    }

    pub(crate) fn unmap_table(&mut self, slot: SlotRef) -> Result<(), Error> {
        let Cap::Table { base, kind, mapped } = self.slots.cap(slot) else {
            return Err(Error::IllegalOperation);
        };
        if !self.slots.is_final(slot) {
            return Err(Error::RevokeFirst);
        }
        if let Some(at) = mapped {
            self.clear_table_entry(at, base, kind);
            self.memory.clear(base, PAGE_BYTES);
        }
        self.slots.set_cap(slot, Cap::Table { base, kind, mapped: None });
        Ok(())
    }

    /// Clears the entry of a table, if it still refers to this table.
    pub(crate) fn clear_table_entry(&mut self, mapped: Mapped, base: u64, kind: TableKind) {
        let Some(root) = self.asids.root(mapped.asid) else {
            return;
        };
        let shifts = match self.architecture {
            Architecture::X86_64 => kind.span_bits()..=kind.span_bits(),
            // The type does not determine the level: check each level.
            Architecture::Aarch64 | Architecture::Aarch64Debug => {
                PAGE_BITS + LEVEL_BITS..=self.architecture.root_shift()
            }
        };
        for shift in shifts.step_by(LEVEL_BITS.into()) {
            let entry = self.walk(root, mapped.vaddr, shift);
            if entry.shift == shift && entry.is_table() && entry.word & ADDRESS_MASK == base {
                self.memory.set_word(entry.at, 0);
                self.asids.flush(mapped.asid);
            }
        }
    }

    /// Assigns an ASID to an address space (seL4 manual, "ASID Pool Assign").
    pub(crate) fn assign_asid(&mut self, vspace: Option<SlotRef>) -> Result<(), Error> {
        let refused = Error::InvalidCapability(1);
        let slot = vspace.ok_or(refused)?;
        let Cap::VSpace { base, asid: None } = self.slots.cap(slot) else {
            return Err(refused);
        };
        let asid = self.asids.assign(base)?;
        self.slots.set_cap(slot, Cap::VSpace { base, asid: Some(asid) });
        Ok(())
    }

    /// Returns the physical page of 4 KiB at an address, which may be part of a large one, if the
    /// mapping allows the access.
    #[must_use]
    pub fn translate(&self, vspace: Cap, vaddr: u64, access: Access) -> Option<u64> {
        let Cap::VSpace { base, .. } = vspace else {
            return None;
        };
        if vaddr > self.architecture.user_top() {
            return None;
        }
        let entry = self.walk(base, vaddr, PAGE_BITS);
        let needed = match access {
            Access::Read => VALID | READ,
            Access::Write => VALID | READ | WRITE,
        };
        let is_allowed = entry.is_page() && entry.word & needed == needed;
        let within = vaddr & ((1 << entry.shift) - 1) & ADDRESS_MASK;
        is_allowed.then_some((entry.word & ADDRESS_MASK) + within)
    }

    /// Returns a physical page.
    ///
    /// # Panics
    /// If the address is beyond the end of memory.
    #[must_use]
    pub fn page(&self, address: u64) -> &Page {
        self.memory.page(address)
    }

    /// Copies a physical page to another, as stores do.
    ///
    /// # Panics
    /// If an address is beyond the end of memory.
    pub fn copy_page(&mut self, from: u64, to: u64) {
        self.memory.copy(from, to);
    }

    /// Clears a physical page, as stores do.
    ///
    /// # Panics
    /// If the address is beyond the end of memory.
    pub fn clear_page(&mut self, address: u64) {
        self.memory.clear(address, PAGE_BYTES);
    }

    /// Returns a physical page for writing.
    ///
    /// # Panics
    /// If the address is beyond the end of memory.
    pub fn page_mut(&mut self, address: u64) -> &mut Page {
        self.memory.page_mut(address)
    }
}

/// Returns the root table and the ASID of an address space.
const fn root_of(vspace: Cap) -> Result<(u64, u16), Error> {
    match vspace {
        Cap::VSpace { base, asid: Some(asid) } => Ok((base, asid)),
        _ => Err(Error::InvalidCapability(1)),
    }
}
