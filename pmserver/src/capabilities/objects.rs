// SPDX-License-Identifier: BSD-2-Clause
//! The types of the objects that pmserver makes, and how they are mapped, on each of the two
//! architectures.

use pmserver_core::kernel::{ObjectKind, PageRights};
use sel4::{
    FrameObjectType, ObjectBlueprint, Result, TranslationTableObjectType, VmAttributes, cap,
};

/// Bytes of a page, as a power of two.
pub(crate) const PAGE_BITS: u32 = 12;
/// Bytes of a block, as a power of two.
pub(crate) const BLOCK_BITS: u32 = 21;
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

/// Both targets have 64-bit addresses.
#[allow(clippy::as_conversions)]
pub(crate) fn to_usize(number: impl Into<u64>) -> usize {
    number.into() as usize
}
