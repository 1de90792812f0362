// SPDX-License-Identifier: BSD-2-Clause
//! The first thread of a machine, with short methods for its kernel invocations.
#![allow(dead_code)] // Each test file uses only a part of it.

use sim::machine::{
    Architecture, Cap, CapRights, Destination, Error, FrameRights, Invocation, LookupFault,
    Machine, Mapped, ObjectType, Place, Source, TableKind, Transfer,
};

pub(crate) const X86: Architecture = Architecture::X86_64;
pub(crate) const ARM: Architecture = Architecture::Aarch64;
pub(crate) const UNTYPED: u64 = Machine::ROOT_UNTYPED;
pub(crate) const ROOT: u64 = Machine::ROOT_CNODE;
/// Memory of the machine: 16 MiB.
pub(crate) const MEMORY_BITS: u8 = 24;

pub(crate) struct FirstThread {
    pub(crate) machine: Machine,
    next: u64,
}

impl FirstThread {
    pub(crate) fn new(architecture: Architecture) -> Self {
        Self { machine: Machine::new(architecture, MEMORY_BITS), next: Machine::ROOT_EMPTY }
    }

    pub(crate) fn invoke(&mut self, target: u64, invocation: Invocation) -> Result<u64, Error> {
        let root = self.machine.root_cspace();
        self.machine.invoke(root, target, &invocation)
    }

    pub(crate) fn look(&self, address: u64) -> Cap {
        self.machine.look(self.machine.root_cspace(), address).unwrap()
    }

    /// Returns an empty slot.
    pub(crate) fn slot(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    pub(crate) fn retype_to(
        &mut self,
        untyped: u64,
        object_type: ObjectType,
        size_bits: u64,
        to: Destination,
    ) -> Result<u64, Error> {
        self.invoke(untyped, Invocation::Retype { object_type, size_bits, to })
    }

    pub(crate) fn retype(
        &mut self,
        untyped: u64,
        object_type: ObjectType,
        size_bits: u64,
    ) -> Result<u64, Error> {
        let slot = self.slot();
        self.retype_to(untyped, object_type, size_bits, root_window(slot, 1)).map(|_| slot)
    }

    /// Makes an object from the machine's memory.
    pub(crate) fn make(&mut self, object_type: ObjectType, size_bits: u64) -> u64 {
        self.retype(UNTYPED, object_type, size_bits).unwrap()
    }

    pub(crate) fn frame(&mut self) -> u64 {
        self.make(ObjectType::Frame, 0)
    }

    /// Makes an address space and assigns an ASID to it.
    pub(crate) fn vspace(&mut self) -> u64 {
        let vspace = self.make(ObjectType::VSpace, 0);
        self.invoke(Machine::ROOT_ASID_POOL, Invocation::AsidAssign { vspace }).unwrap();
        vspace
    }

    pub(crate) fn table(&mut self, kind: TableKind) -> u64 {
        self.make(ObjectType::Table(kind), 0)
    }

    pub(crate) fn map(&mut self, frame: u64, vspace: u64, vaddr: u64) -> Result<u64, Error> {
        self.map_with(frame, vspace, vaddr, CapRights::ALL)
    }

    pub(crate) fn map_with(
        &mut self,
        frame: u64,
        vspace: u64,
        vaddr: u64,
        rights: CapRights,
    ) -> Result<u64, Error> {
        self.invoke(frame, Invocation::PageMap { vspace, vaddr, rights })
    }

    pub(crate) fn unmap(&mut self, frame: u64) -> Result<u64, Error> {
        self.invoke(frame, Invocation::PageUnmap)
    }

    pub(crate) fn map_table(
        &mut self,
        table: u64,
        kind: TableKind,
        vspace: u64,
        vaddr: u64,
    ) -> Result<u64, Error> {
        self.invoke(table, Invocation::TableMap { kind, vspace, vaddr })
    }

    /// Maps all tables that a page at an address needs; returns them, the topmost first.
    pub(crate) fn tables(&mut self, vspace: u64, vaddr: u64) -> Vec<u64> {
        let kinds = match self.machine.architecture() {
            X86 => vec![TableKind::Pdpt, TableKind::PageDirectory, TableKind::PageTable],
            _ => vec![TableKind::PageTable; 2],
        };
        let mut tables = Vec::new();
        for kind in kinds {
            let table = self.table(kind);
            self.map_table(table, kind, vspace, vaddr).unwrap();
            tables.push(table);
        }
        tables
    }

    pub(crate) fn transfer(&mut self, from: u64, to: u64, how: Transfer) -> Result<u64, Error> {
        self.invoke(ROOT, Invocation::Transfer { to: place(to), from: source(from), how })
    }

    pub(crate) fn copy(&mut self, from: u64) -> Result<u64, Error> {
        let to = self.slot();
        self.transfer(from, to, Transfer::Copy(CapRights::ALL)).map(|_| to)
    }

    pub(crate) fn delete(&mut self, slot: u64) {
        self.invoke(ROOT, Invocation::Delete(place(slot))).unwrap();
    }

    pub(crate) fn revoke(&mut self, slot: u64) {
        self.invoke(ROOT, Invocation::Revoke(place(slot))).unwrap();
    }
}

pub(crate) fn place(slot: u64) -> Place {
    Place { index: slot, depth: 64 }
}

pub(crate) fn source(slot: u64) -> Source {
    Source { root: ROOT, index: slot, depth: 64 }
}

pub(crate) fn root_window(offset: u64, count: u64) -> Destination {
    Destination { root: ROOT, index: 0, depth: 0, offset, count }
}

pub(crate) fn missing_table(span_bits: u64) -> Error {
    let fault = LookupFault::MissingCapability { bits_left: span_bits };
    Error::FailedLookup { source: false, fault }
}

pub(crate) fn base_of(cap: Cap) -> u64 {
    match cap {
        Cap::Untyped { base, .. }
        | Cap::CNode { base, .. }
        | Cap::Frame { base, .. }
        | Cap::Table { base, .. }
        | Cap::VSpace { base, .. } => base,
        other => panic!("no memory: {other:?}"),
    }
}

pub(crate) fn mapped_at(cap: Cap) -> Option<Mapped> {
    match cap {
        Cap::Frame { mapped, .. } | Cap::Table { mapped, .. } => mapped,
        other => panic!("not mappable: {other:?}"),
    }
}

pub(crate) fn rights_of(cap: Cap) -> FrameRights {
    match cap {
        Cap::Frame { rights, .. } => rights,
        other => panic!("no frame: {other:?}"),
    }
}
