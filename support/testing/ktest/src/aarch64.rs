// SPDX-License-Identifier: BSD-2-Clause
//! The aarch64 part: object types, invocations of page tables, a register.

use ktest_list::{ObjectType, TableKind};
use sel4::sys::{self, seL4_IPCBuffer};
use sel4::{UserContext, VmAttributes, Word};

pub(crate) const ARCHITECTURE: ktest_list::Architecture =
    if sel4::sel4_cfg_bool!(HARDWARE_DEBUG_API) {
        ktest_list::Architecture::Aarch64Debug
    } else {
        ktest_list::Architecture::Aarch64
    };

/// Returns the kernel's number of an object type, or `None` if it has no such type.
pub(crate) fn object_type(object_type: ObjectType) -> Option<Word> {
    let number = match object_type {
        ObjectType::Untyped => sys::api_object::seL4_UntypedObject,
        ObjectType::Tcb => sys::api_object::seL4_TCBObject,
        ObjectType::Notification => sys::api_object::seL4_NotificationObject,
        ObjectType::CNode => sys::api_object::seL4_CapTableObject,
        ObjectType::Frame => sys::_object::seL4_ARM_SmallPageObject,
        ObjectType::LargeFrame => sys::_object::seL4_ARM_LargePageObject,
        ObjectType::Table(TableKind::PageTable) => sys::_object::seL4_ARM_PageTableObject,
        ObjectType::Table(TableKind::PageDirectory | TableKind::Pdpt) => return None,
        ObjectType::VSpace => sys::_mode_object::seL4_ARM_VSpaceObject,
    };
    Some(number.into())
}

/// Maps a frame.
pub(crate) fn page_map(
    buffer: &mut seL4_IPCBuffer,
    frame: Word,
    vspace: Word,
    vaddr: Word,
    rights: sys::seL4_CapRights,
) -> sys::seL4_Error::Type {
    buffer.seL4_ARM_Page_Map(frame, vspace, vaddr, rights, VmAttributes::DEFAULT.into_inner())
}

/// Unmaps a frame.
pub(crate) fn page_unmap(buffer: &mut seL4_IPCBuffer, frame: Word) -> sys::seL4_Error::Type {
    buffer.seL4_ARM_Page_Unmap(frame)
}

/// Returns an error code and the physical address of a frame.
pub(crate) fn page_address(
    buffer: &mut seL4_IPCBuffer,
    frame: Word,
) -> (sys::seL4_Error::Type, Word) {
    let reply = buffer.seL4_ARM_Page_GetAddress(frame);
    (reply.error, reply.paddr)
}

/// Maps a table; returns `None` if the architecture has no such kind.
pub(crate) fn table_map(
    buffer: &mut seL4_IPCBuffer,
    kind: TableKind,
    table: Word,
    vspace: Word,
    vaddr: Word,
) -> Option<sys::seL4_Error::Type> {
    let attributes = VmAttributes::DEFAULT.into_inner();
    (kind == TableKind::PageTable)
        .then(|| buffer.seL4_ARM_PageTable_Map(table, vspace, vaddr, attributes))
}

/// Unmaps a table; returns `None` if the architecture has no such kind.
pub(crate) fn table_unmap(
    buffer: &mut seL4_IPCBuffer,
    kind: TableKind,
    table: Word,
) -> Option<sys::seL4_Error::Type> {
    (kind == TableKind::PageTable).then(|| buffer.seL4_ARM_PageTable_Unmap(table))
}

/// Assigns an ASID to an address space.
pub(crate) fn asid_assign(
    buffer: &mut seL4_IPCBuffer,
    pool: Word,
    vspace: Word,
) -> sys::seL4_Error::Type {
    buffer.seL4_ARM_ASIDPool_Assign(pool, vspace)
}

/// Returns the byte that the probe loaded.
pub(crate) fn loaded(registers: &UserContext) -> u8 {
    let [byte, ..] = registers.gpr(0).to_le_bytes();
    byte
}
