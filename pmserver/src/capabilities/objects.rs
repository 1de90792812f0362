// SPDX-License-Identifier: BSD-2-Clause
//! The types of the objects that pmserver makes, and how they are mapped, on each of the two
//! architectures.

use pmserver_core::kernel::{ObjectKind, PageRights};
use sel4::{
    CPtr, CapRights, FrameObjectType, ObjectBlueprint, Result, TranslationTableObjectType,
    VmAttributes, cap,
};

/// Bytes of a page, as a power of two.
pub(crate) const PAGE_BITS: u32 = 12;
/// Bytes of a block, as a power of two.
pub(crate) const BLOCK_BITS: u32 = 21;
/// Bytes of a piece, as a power of two.
pub(crate) const PIECE_BITS: u32 = 18;
/// Slots of a CNode that is one page large, as a power of two: a slot is 32 bytes.
pub(crate) const PAGE_CNODE_BITS: u32 = PAGE_BITS - 5;

/// Returns the argument of Retype for an object of this kind; `None` if there is no such object.
pub(crate) fn blueprint(kind: ObjectKind) -> Option<ObjectBlueprint> {
    match kind {
        ObjectKind::Frame => Some(FrameObjectType::GRANULE.blueprint()),
        ObjectKind::Table { span_bits } => table_type(span_bits).map(|table| table.blueprint()),
        ObjectKind::CNode => Some(ObjectBlueprint::CNode { size_bits: to_usize(PAGE_CNODE_BITS) }),
    }
}

/// Returns the argument of Retype for a large frame.
pub(crate) fn large_frame() -> ObjectBlueprint {
    FrameObjectType::LargePage.blueprint()
}

/// Returns the type of a table; on aarch64 the tables of all levels are of one type.
#[cfg(target_arch = "aarch64")]
pub(crate) fn table_type(span_bits: u8) -> Option<TranslationTableObjectType> {
    matches!(span_bits, 21 | 30 | 39).then_some(TranslationTableObjectType::PT)
}

/// Returns the type of a table.
#[cfg(target_arch = "x86_64")]
pub(crate) fn table_type(span_bits: u8) -> Option<TranslationTableObjectType> {
    match span_bits {
        21 => Some(TranslationTableObjectType::PageTable),
        30 => Some(TranslationTableObjectType::PageDirectory),
        39 => Some(TranslationTableObjectType::PDPT),
        _ => None,
    }
}

/// Installs a table.
pub(crate) fn map_table(
    table: cap::UnspecifiedIntermediateTranslationTable,
    kind: TranslationTableObjectType,
    vspace: cap::VSpace,
    vaddr: u64,
) -> Result<()> {
    let attributes = VmAttributes::default();
    // CAP: the caller says which table, and in which VSpace. If refused, nothing was installed.
    table.generic_intermediate_translation_table_map(kind, vspace, to_usize(vaddr), attributes)
}

/// Returns the attributes of a mapping: whether code may be executed from it.
#[cfg(target_arch = "aarch64")]
pub(crate) fn attributes(rights: PageRights) -> VmAttributes {
    if rights.execute {
        VmAttributes::default()
    } else {
        VmAttributes::default() | VmAttributes::EXECUTE_NEVER
    }
}

/// Returns the attributes of a mapping. On x86-64 the kernel maps every page executable: it has no
/// attribute that forbids it.
#[cfg(target_arch = "x86_64")]
pub(crate) fn attributes(_: PageRights) -> VmAttributes {
    VmAttributes::default()
}

/// Makes what was stored into a mapped frame visible to instruction fetches, if the instruction
/// cache is indexed by virtual addresses: it may have lines of the page's old contents for each of
/// its addresses, and only the kernel can invalidate them, all at once, whatever part of the frame
/// it is told (Arm ARM, "VIPT instruction caches"). Where it is indexed by physical ones, a copy
/// has done that (`support/runtime/shm`).
#[cfg(target_arch = "aarch64")]
pub(crate) fn make_fetchable(frame: cap::Granule) -> Result<()> {
    const ANY_PART: u64 = 64;
    // CAP: the caller's frame, whose first lines are cleaned from the caches.
    let code = sel4::with_ipc_buffer_mut(|ipc| {
        ipc.inner_mut().seL4_ARM_Page_Unify_Instruction(frame.bits(), 0, ANY_PART)
    });
    sel4::Error::from_sys(code).map_or(Ok(()), Err)
}

/// Does nothing: x86-64 keeps its caches coherent.
#[cfg(target_arch = "x86_64")]
pub(crate) fn make_fetchable(_: cap::Granule) -> Result<()> {
    Ok(())
}

/// Returns the argument of Retype for a page table of a device; `None` if there is no such object.
#[cfg(target_arch = "x86_64")]
#[sel4::sel4_cfg(IOMMU)]
pub(crate) fn device_table() -> Option<ObjectBlueprint> {
    Some(TranslationTableObjectType::IOPageTable.blueprint())
}

/// The same for a kernel that uses no IOMMU.
#[cfg_attr(target_arch = "x86_64", sel4::sel4_cfg(not(IOMMU)))]
pub(crate) const fn device_table() -> Option<ObjectBlueprint> {
    None
}

/// Installs a page table of a device at the highest level at which the address has none.
#[cfg(target_arch = "x86_64")]
#[sel4::sel4_cfg(IOMMU)]
pub(crate) fn map_device_table(table: CPtr, space: CPtr, address: u64) -> Result<()> {
    // CAP: the caller says which table, and for which device. If refused, nothing was installed.
    table.cast::<sel4::cap_type::IOPageTable>().io_page_table_map(space.cast(), address)
}

/// Gives a frame that nothing is mapped by to a device, at an address.
#[cfg(target_arch = "x86_64")]
#[sel4::sel4_cfg(IOMMU)]
pub(crate) fn map_for_device(
    frame: CPtr,
    space: CPtr,
    address: u64,
    rights: CapRights,
) -> Result<()> {
    // CAP: the caller says which frame, and to which device. If refused, the device does not have
    // it.
    frame.cast::<sel4::cap_type::_4k>().io_frame_map(space.cast(), rights, address)
}

/// Refuses: no device is behind an IOMMU.
#[cfg_attr(target_arch = "x86_64", sel4::sel4_cfg(not(IOMMU)))]
pub(crate) const fn map_device_table(_: CPtr, _: CPtr, _: u64) -> Result<()> {
    Err(sel4::Error::InvalidCapability)
}

/// Refuses: no device is behind an IOMMU.
#[cfg_attr(target_arch = "x86_64", sel4::sel4_cfg(not(IOMMU)))]
pub(crate) const fn map_for_device(_: CPtr, _: CPtr, _: u64, _: CapRights) -> Result<()> {
    Err(sel4::Error::InvalidCapability)
}

/// Both targets have 64-bit addresses.
#[allow(clippy::as_conversions)]
pub(crate) fn to_usize(number: impl Into<u64>) -> usize {
    number.into() as usize
}
