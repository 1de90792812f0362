// SPDX-License-Identifier: BSD-2-Clause
//! What the kernel takes for the same, called without any server between: the floors.

use proto::{PAGE_BYTES, VirtAddr};
use rival::{FAULT_PAGES, Objects, Procedure, attributes, map_table};
use sel4::{Cap, CapRights, FrameObjectType, cap};

use crate::meter::{Meter, ROUNDS};
use crate::table::Table;
use crate::world::{BenchError, World, bare, page, rival, touch_faults};

/// The client's own address space, where Microkit puts it for every domain.
const VSPACE: cap::VSpace = Cap::from_bits(3);
/// Slots for as many objects as pmserver has pages, as a power of two.
const SLOT_BITS: u32 = 14;
const FRAMES: u32 = 256;
const COPIES: u32 = 512;
const TABLE: u32 = 1024;
const LARGE: u32 = 1025;
/// Where the frames are mapped, and the large one.
const WINDOW: VirtAddr = VirtAddr::new_page(0x3000_0000).unwrap();
const LARGE_WINDOW: VirtAddr = VirtAddr::new_page(0x3020_0000).unwrap();
/// Memory of the client's own, and the share of the rival.
pub(crate) const BUFFER: VirtAddr = VirtAddr::new_page(0x2820_0000).unwrap();
pub(crate) const SHARE: VirtAddr = VirtAddr::new_page(0x2800_0000).unwrap();

/// Instructions each.
pub(crate) struct Floors {
    /// A protected procedure of a passive server that does nothing.
    pub(crate) call: u64,
    /// A frame, made with 255 others.
    pub(crate) retype: u64,
    pub(crate) map: u64,
    pub(crate) unmap: u64,
    pub(crate) map_large: u64,
    pub(crate) unmap_large: u64,
    pub(crate) copy_capability: u64,
    pub(crate) delete_capability: u64,
    /// A page of bytes.
    pub(crate) copy_page: u64,
    /// A fault that its passive handler repairs with one mapping.
    pub(crate) fault_and_map: u64,
}

impl Floors {
    pub(crate) fn measure(_: &mut World, table: &mut Table) -> Result<Self, BenchError> {
        let mut call = Meter::default();
        for _ in 0..ROUNDS {
            call.time(bare);
        }
        let call = table.floor("call", &call, 1);
        let objects = Objects::new(SLOT_BITS)?;
        let retype = retype(&objects, table)?;
        map_table(&objects, TABLE, VSPACE, WINDOW)?;
        let (map, unmap) = mappings(&objects, table)?;
        let (map_large, unmap_large) = large_mappings(&objects, table)?;
        let (copy_capability, delete_capability) = capabilities(&objects, table)?;
        Ok(Self {
            call,
            retype,
            map,
            unmap,
            map_large,
            unmap_large,
            copy_capability,
            delete_capability,
            copy_page: copy_page(table)?,
            fault_and_map: faults(table)?,
        })
    }
}

/// Makes the frames, of fresh memory: the kernel clears at once what has been used before.
fn retype(objects: &Objects, table: &mut Table) -> Result<u64, BenchError> {
    let mut meter = Meter::default();
    let frame = FrameObjectType::GRANULE.blueprint();
    meter.time(|| objects.make(&frame, 0, FRAMES))?;
    Ok(table.floor("retype", &meter, FRAMES.into()))
}

fn mappings(objects: &Objects, table: &mut Table) -> Result<(u64, u64), BenchError> {
    let (mut mapping, mut unmapping) = (Meter::default(), Meter::default());
    for _ in 0..4 {
        mapping.time(|| {
            (0..FRAMES).try_for_each(|slot| map(objects, slot, page(WINDOW, slot.into())))
        })?;
        unmapping.time(|| (0..FRAMES).try_for_each(|slot| frame(objects, slot).frame_unmap()))?;
    }
    let units = FRAMES.into();
    Ok((table.floor("map", &mapping, units), table.floor("unmap", &unmapping, units)))
}

fn large_mappings(objects: &Objects, table: &mut Table) -> Result<(u64, u64), BenchError> {
    objects.make(&FrameObjectType::LargePage.blueprint(), LARGE, 1)?;
    let large: cap::LargePage = objects.capability(LARGE).cast();
    let vaddr = usize::try_from(LARGE_WINDOW.get()).unwrap_or_default();
    let (mut mapping, mut unmapping) = (Meter::default(), Meter::default());
    for _ in 0..ROUNDS {
        let rights = CapRights::read_write();
        // CAP: a frame of the client's own, in its own address space, as all here.
        mapping.time(|| large.frame_map(VSPACE, vaddr, rights, attributes()))?;
        unmapping.time(|| large.frame_unmap())?;
    }
    Ok((table.floor("map_large", &mapping, 1), table.floor("unmap_large", &unmapping, 1)))
}

fn capabilities(objects: &Objects, table: &mut Table) -> Result<(u64, u64), BenchError> {
    let (mut copying, mut deleting) = (Meter::default(), Meter::default());
    let copies = || COPIES..COPIES.saturating_add(FRAMES);
    for _ in 0..4 {
        copying.time(|| {
            copies().zip(0..).try_for_each(|(to, from): (u32, u32)| {
                objects.slot(to).copy(&objects.slot(from), CapRights::all())
            })
        })?;
        deleting.time(|| copies().try_for_each(|slot| objects.slot(slot).delete()))?;
    }
    let units = FRAMES.into();
    let copied = table.floor("copy_capability", &copying, units);
    Ok((copied, table.floor("delete_capability", &deleting, units)))
}

fn copy_page(table: &mut Table) -> Result<u64, BenchError> {
    let bytes = usize::try_from(PAGE_BYTES)
        .map_err(|_: core::num::TryFromIntError| BenchError::Unexpected("a size"))?;
    let mut meter = Meter::default();
    for _ in 0..ROUNDS {
        meter.time(|| shm::copy(SHARE, BUFFER, bytes));
    }
    Ok(table.floor("copy_page", &meter, 1))
}

fn faults(table: &mut Table) -> Result<u64, BenchError> {
    rival(Procedure::PrepareFaults)?;
    let mut meter = Meter::default();
    for _ in 0..4 {
        meter.time(touch_faults);
        rival(Procedure::ForgetFaults)?;
    }
    Ok(table.floor("fault_and_map", &meter, FAULT_PAGES.into()))
}

fn frame(objects: &Objects, slot: u32) -> cap::Granule {
    objects.capability(slot).cast()
}

fn map(objects: &Objects, slot: u32, at: VirtAddr) -> sel4::Result<()> {
    let vaddr = usize::try_from(at.get()).unwrap_or_default();
    frame(objects, slot).frame_map(VSPACE, vaddr, CapRights::read_write(), attributes())
}
