// SPDX-License-Identifier: BSD-2-Clause
//! Address spaces: page tables, mappings, rights (seL4 manual, "Address Spaces and Virtual
//! Memory").
// Tests may fail by panicking.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]

mod first_thread;

use first_thread::{ARM, FirstThread, ROOT, X86, base_of, mapped_at, missing_table, place};
use sim::machine::{
    Access, CapRights, Error, Invocation, LookupFault, Machine, ObjectType, TableKind,
};

const PAGE: u64 = 0x4000_3000;

fn read(thread: &FirstThread, vspace: u64, vaddr: u64) -> Option<u64> {
    thread.machine.translate(thread.look(vspace), vaddr, Access::Read)
}

fn write(thread: &FirstThread, vspace: u64, vaddr: u64) -> Option<u64> {
    thread.machine.translate(thread.look(vspace), vaddr, Access::Write)
}

#[test]
fn x86_names_each_missing_table_by_its_span() {
    let mut thread = FirstThread::new(X86);
    let (vspace, frame) = (thread.vspace(), thread.frame());
    let kinds = [TableKind::Pdpt, TableKind::PageDirectory, TableKind::PageTable];
    for (kind, span) in kinds.into_iter().zip([39, 30, 21]) {
        assert_eq!(thread.map(frame, vspace, PAGE), Err(missing_table(span)));
        for lower in kinds.into_iter().skip_while(|&other| other != kind).skip(1) {
            let table = thread.table(lower);
            let result = thread.map_table(table, lower, vspace, PAGE);
            assert_eq!(result, Err(missing_table(span)), "{lower:?} before {kind:?}");
        }
        let table = thread.table(kind);
        thread.map_table(table, kind, vspace, PAGE).unwrap();
    }
    thread.map(frame, vspace, PAGE).unwrap();
    assert_eq!(read(&thread, vspace, PAGE + 5), Some(base_of(thread.look(frame))));
}

#[test]
fn aarch64_has_one_type_of_table_and_maps_it_at_the_first_level_without_one() {
    let mut thread = FirstThread::new(ARM);
    let (vspace, frame) = (thread.vspace(), thread.frame());
    for span in [30, 21] {
        assert_eq!(thread.map(frame, vspace, PAGE), Err(missing_table(span)));
        let table = thread.table(TableKind::PageTable);
        thread.map_table(table, TableKind::PageTable, vspace, PAGE).unwrap();
        assert_eq!(mapped_at(thread.look(table)).unwrap().vaddr, PAGE >> span << span);
    }
    thread.map(frame, vspace, PAGE).unwrap();
    assert_eq!(read(&thread, vspace, PAGE), Some(base_of(thread.look(frame))));
    let table = thread.table(TableKind::PageTable);
    let refused = thread.map_table(table, TableKind::PageTable, vspace, PAGE);
    assert_eq!(refused, Err(Error::DeleteFirst));
}

#[test]
fn a_second_table_at_the_same_address_is_refused() {
    let mut thread = FirstThread::new(X86);
    let vspace = thread.vspace();
    let tables = thread.tables(vspace, PAGE);
    let other = thread.table(TableKind::PageTable);
    let refused = thread.map_table(other, TableKind::PageTable, vspace, PAGE);
    assert_eq!(refused, Err(Error::DeleteFirst));
    let again = thread.map_table(tables[2], TableKind::PageTable, vspace, 0);
    assert_eq!(again, Err(Error::InvalidCapability(0)), "already mapped");
    let as_directory = thread.map_table(other, TableKind::PageDirectory, vspace, PAGE);
    assert_eq!(as_directory, Err(Error::IllegalOperation));
}

#[test]
fn a_mapped_frame_can_change_its_rights_but_not_its_address() {
    for architecture in [X86, ARM] {
        let mut thread = FirstThread::new(architecture);
        let (vspace, other, frame) = (thread.vspace(), thread.vspace(), thread.frame());
        thread.tables(vspace, PAGE);
        thread.tables(other, PAGE);
        thread.map(frame, vspace, PAGE).unwrap();
        assert_eq!(thread.map(frame, vspace, PAGE + 0x1000), Err(Error::InvalidArgument(0)));
        assert_eq!(thread.map(frame, other, PAGE), Err(Error::InvalidCapability(1)));
        thread.map_with(frame, vspace, PAGE, CapRights::READ).unwrap();
        assert_eq!(write(&thread, vspace, PAGE), None);
        assert!(read(&thread, vspace, PAGE).is_some());
        thread.map(frame, vspace, PAGE).unwrap();
        assert!(write(&thread, vspace, PAGE).is_some());
        assert_eq!(thread.machine.replaced_pages(), 0);
    }
}

#[test]
fn a_mapping_has_no_more_rights_than_the_capability() {
    let mut thread = FirstThread::new(X86);
    let (vspace, frame, reader) = (thread.vspace(), thread.frame(), thread.slot());
    thread.tables(vspace, PAGE);
    thread.transfer(frame, reader, sim::machine::Transfer::Copy(CapRights::READ)).unwrap();
    thread.map(reader, vspace, PAGE).unwrap();
    assert!(read(&thread, vspace, PAGE).is_some());
    assert_eq!(write(&thread, vspace, PAGE), None);
    let write_only = CapRights { read: false, write: true };
    thread.map_with(frame, vspace, PAGE + 0x1000, write_only).unwrap();
    assert_eq!(read(&thread, vspace, PAGE + 0x1000), None, "write without read gives no access");
}

#[test]
fn every_capability_to_a_frame_can_be_mapped_once() {
    let mut thread = FirstThread::new(X86);
    let (vspace, frame) = (thread.vspace(), thread.frame());
    thread.tables(vspace, PAGE);
    let copy = thread.copy(frame).unwrap();
    thread.map(frame, vspace, PAGE).unwrap();
    thread.map(copy, vspace, PAGE + 0x1000).unwrap();
    thread.unmap(frame).unwrap();
    assert_eq!(read(&thread, vspace, PAGE), None);
    assert!(read(&thread, vspace, PAGE + 0x1000).is_some());
    thread.unmap(frame).unwrap();
    thread.map(frame, vspace, PAGE).unwrap();
    thread.delete(copy);
    assert_eq!(read(&thread, vspace, PAGE + 0x1000), None);
}

#[test]
fn mapping_over_another_page_replaces_it_without_an_error() {
    for architecture in [X86, ARM] {
        let mut thread = FirstThread::new(architecture);
        let (vspace, first, second) = (thread.vspace(), thread.frame(), thread.frame());
        thread.tables(vspace, PAGE);
        thread.map(first, vspace, PAGE).unwrap();
        thread.map(second, vspace, PAGE).unwrap();
        assert_eq!(thread.machine.replaced_pages(), 1);
        assert_eq!(read(&thread, vspace, PAGE), Some(base_of(thread.look(second))));
        thread.unmap(first).unwrap();
        assert!(read(&thread, vspace, PAGE).is_some(), "the entry belongs to the other frame");
        assert_eq!(mapped_at(thread.look(first)), None);
    }
}

#[test]
fn addresses_must_be_aligned_and_in_user_space() {
    for (architecture, last) in [(X86, 0x7FFF_FFFF_E000), (ARM, 0xFF_FFFF_F000)] {
        let mut thread = FirstThread::new(architecture);
        let (vspace, frame) = (thread.vspace(), thread.frame());
        thread.tables(vspace, PAGE);
        assert_eq!(thread.map(frame, vspace, PAGE + 1), Err(Error::AlignmentError));
        assert_eq!(thread.map(frame, vspace, last + 0x1000), Err(Error::InvalidArgument(0)));
        assert_eq!(thread.map(frame, vspace, !0xFFF), Err(Error::InvalidArgument(0)));
        assert!(matches!(thread.map(frame, vspace, last), Err(Error::FailedLookup { .. })));
        let table = thread.table(TableKind::PageTable);
        let high = 1 << 47;
        let refused = thread.map_table(table, TableKind::PageTable, vspace, high);
        assert_eq!(refused, Err(Error::InvalidArgument(0)));
    }
}

#[test]
fn only_aarch64_reports_a_misaligned_address_before_a_different_one() {
    for (architecture, expected) in [(X86, Error::InvalidArgument(0)), (ARM, Error::AlignmentError)]
    {
        let mut thread = FirstThread::new(architecture);
        let (vspace, frame) = (thread.vspace(), thread.frame());
        thread.tables(vspace, PAGE);
        thread.map(frame, vspace, PAGE).unwrap();
        assert_eq!(thread.map(frame, vspace, PAGE + 1), Err(expected), "{architecture:?}");
    }
}

#[test]
fn pages_under_a_deleted_table_are_not_accessible() {
    for architecture in [X86, ARM] {
        let mut thread = FirstThread::new(architecture);
        let (vspace, frame) = (thread.vspace(), thread.frame());
        let tables = thread.tables(vspace, PAGE);
        thread.map(frame, vspace, PAGE).unwrap();
        thread.delete(tables[tables.len() - 1]);
        assert_eq!(read(&thread, vspace, PAGE), None);
        assert_eq!(thread.map(frame, vspace, PAGE), Err(missing_table(21)));
        assert!(
            mapped_at(thread.look(frame)).is_some(),
            "the capability still records its mapping"
        );
        assert_eq!(thread.map(frame, vspace, 0), Err(Error::InvalidArgument(0)));
        thread.unmap(frame).unwrap();
        assert_eq!(mapped_at(thread.look(frame)), None);
    }
}

#[test]
fn an_unmapped_table_is_empty_when_it_is_mapped_again() {
    for architecture in [X86, ARM] {
        let mut thread = FirstThread::new(architecture);
        let (vspace, frame) = (thread.vspace(), thread.frame());
        let tables = thread.tables(vspace, PAGE);
        let table = tables[tables.len() - 1];
        thread.map(frame, vspace, PAGE).unwrap();
        let kind = TableKind::PageTable;
        let copy = thread.copy(table).unwrap();
        let refused = thread.invoke(table, Invocation::TableUnmap { kind });
        assert_eq!(refused, Err(Error::RevokeFirst), "another capability to it exists");
        thread.delete(copy);
        thread.invoke(table, Invocation::TableUnmap { kind }).unwrap();
        assert_eq!(read(&thread, vspace, PAGE), None);
        thread.map_table(table, kind, vspace, PAGE).unwrap();
        assert_eq!(read(&thread, vspace, PAGE), None);
        thread.map(frame, vspace, PAGE).unwrap();
        assert!(read(&thread, vspace, PAGE).is_some());
    }
}

#[test]
fn an_address_space_needs_an_asid_and_loses_it_when_it_is_deleted() {
    let mut thread = FirstThread::new(X86);
    let (vspace, frame) = (thread.make(ObjectType::VSpace, 0), thread.frame());
    assert_eq!(thread.map(frame, vspace, PAGE), Err(Error::InvalidCapability(1)));
    let assign = |vspace| Invocation::AsidAssign { vspace };
    thread.invoke(Machine::ROOT_ASID_POOL, assign(vspace)).unwrap();
    let again = thread.invoke(Machine::ROOT_ASID_POOL, assign(vspace));
    assert_eq!(again, Err(Error::InvalidCapability(1)));
    let refused = thread.invoke(Machine::ROOT_ASID_POOL, assign(frame));
    assert_eq!(refused, Err(Error::InvalidCapability(1)));
    let tables = thread.tables(vspace, PAGE);
    thread.map(frame, vspace, PAGE).unwrap();
    thread.delete(vspace);
    thread.unmap(frame).unwrap();
    thread.invoke(tables[2], Invocation::TableUnmap { kind: TableKind::PageTable }).unwrap();
    assert_eq!(mapped_at(thread.look(frame)), None, "the record of the mapping is cleared");
}

#[test]
fn the_asid_of_a_deleted_address_space_is_reused() {
    let mut thread = FirstThread::new(X86);
    let (vspace, frame) = (thread.vspace(), thread.frame());
    thread.tables(vspace, PAGE);
    thread.map(frame, vspace, PAGE).unwrap();
    thread.delete(vspace);
    let next = thread.vspace();
    thread.tables(next, PAGE);
    // The capability records ASID and address, and cannot tell the new address space from the old.
    assert_eq!(thread.map(frame, next, 0), Err(Error::InvalidArgument(0)));
    assert_eq!(thread.map(frame, next, PAGE), Ok(0));
}

#[test]
fn frames_can_only_be_mapped_into_address_spaces() {
    let mut thread = FirstThread::new(X86);
    let (frame, other) = (thread.frame(), thread.frame());
    assert_eq!(thread.map(frame, other, PAGE), Err(Error::InvalidCapability(1)));
    let empty = thread.slot();
    assert_eq!(thread.map(frame, empty, PAGE), Err(Error::InvalidCapability(1)));
    let fault = LookupFault::GuardMismatch { guard: 0, bits_left: 64, bits_found: 48 };
    assert_eq!(thread.map(frame, 1 << 40, PAGE), Err(Error::CapFault(fault)));
    let vspace = thread.vspace();
    let refused = thread.map(vspace, vspace, PAGE);
    assert_eq!(refused, Err(Error::IllegalOperation));
    assert!(thread.invoke(ROOT, Invocation::Delete(place(vspace))).is_ok());
}

#[test]
fn writing_registers_does_not_resume_the_thread() {
    let mut thread = FirstThread::new(X86);
    let tcb = thread.make(ObjectType::Tcb, 0);
    let write = Invocation::WriteRegisters { resume: false, pc: 0x20_0000, sp: 0x7000 };
    thread.invoke(tcb, write).unwrap();
    let state = thread.machine.thread(thread.look(tcb)).unwrap();
    assert_eq!((state.pc, state.sp, state.is_resumed), (0x20_0000, 0x7000, false));
}
