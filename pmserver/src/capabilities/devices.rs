// SPDX-License-Identifier: BSD-2-Clause
//! The address spaces of devices behind an IOMMU. A device finds a page at its physical address, by
//! a copy of the page's capability that is mapped nowhere else. The copy of page p is in slot p of
//! a CNode of its own: a page is under one pin at most.
//!
//! All page tables are made at the start, so that a pin cannot lack one, and its end leaves none
//! behind. The image provides the table above them, which spans 2^39 bytes, and those above that.

use core::ops::Range;

use pmserver_core::PageIndex;
use pmserver_core::kernel::KernelError;
use pmserver_setup::Setup;
use pmserver_setup::slots::{BUS, IO_SPACES, LEAF_BUS};
use proto::PeerId;
use proto::limits::PEERS_MAX;
use sel4::{CPtr, CapRights};

use crate::capabilities::home::{Home, make_objects};
use crate::capabilities::objects::{BLOCK_BITS, device_table, map_device_table, map_for_device};
use crate::capabilities::slots::{self, refusal};

/// Bytes that an upper table spans, as a power of two.
const UPPER_BITS: u32 = 30;

/// The devices behind an IOMMU.
pub(crate) struct Devices {
    /// The address space of each peer's device, if it has one.
    spaces: [Option<CPtr>; PEERS_MAX],
}

impl Devices {
    /// Makes the page tables from a part of the pool, into the slots behind those of all pages.
    pub(crate) fn make_tables(setup: &Setup<'_>, part: u32) -> Result<(), KernelError> {
        let devices = u32::try_from(setup.confined().count()).unwrap_or(u32::MAX);
        if devices == 0 {
            return Ok(());
        }
        slots::put_into_leaf(BUS, LEAF_BUS)?;
        let division = setup.division();
        let first = division.pages;
        let end = first.saturating_add(division.device_tables.saturating_mul(devices));
        let table = device_table().ok_or(KernelError::Refused)?;
        make_objects(part, &table, BUS, first..end)
    }

    /// Gives each device its tables.
    pub(crate) fn start(setup: &Setup<'_>, home: &Home) -> Result<Self, KernelError> {
        let mut spaces = [None; PEERS_MAX];
        let division = setup.division();
        let mut first = division.pages;
        for (peer, slot) in setup.confined().zip(IO_SPACES) {
            let space = CPtr::from_bits(slot.into());
            let mut tables = (first..).map(PageIndex::new);
            for (address, table) in addresses(home).zip(&mut tables) {
                let (_, table) = home.device_slot(table);
                map_device_table(table, space, address).map_err(refusal)?;
            }
            first = first.saturating_add(division.device_tables);
            if let Some(place) = spaces.get_mut(usize::from(peer.get())) {
                *place = Some(space);
            }
        }
        Ok(Self { spaces })
    }

    /// Returns whether the device of a peer is behind an IOMMU.
    pub(crate) fn confines(&self, peer: PeerId) -> bool {
        self.space(peer).is_some()
    }

    fn space(&self, peer: PeerId) -> Option<CPtr> {
        self.spaces.get(usize::from(peer.get())).copied().flatten()
    }

    /// Gives a page to the device of a peer.
    pub(crate) fn map(
        &self,
        home: &Home,
        (peer, page): (PeerId, PageIndex),
        rights: CapRights,
    ) -> Result<(), KernelError> {
        let space = self.space(peer).ok_or(KernelError::Refused)?;
        let (slot, frame) = home.device_slot(page);
        slots::copy(&slot, &home.object_slot(page), rights.clone())?;
        map_for_device(frame, space, home.physical_address(page), rights).map_err(|error| {
            // If that is refused as well, the slot stays taken until the page is something else.
            let _ = slots::delete(&slot);
            refusal(error)
        })
    }

    /// Takes a page from the device that has it. The kernel waits until the device cannot reach it
    /// any more.
    pub(crate) fn unmap(home: &Home, page: PageIndex) -> Result<(), KernelError> {
        let (slot, _) = home.device_slot(page);
        slots::delete(&slot)
    }
}

/// Returns for each table an address that it is for, the upper ones before those below them.
fn addresses(home: &Home) -> impl Iterator<Item = u64> {
    home.runs().enumerate().flat_map(move |(index, run)| {
        [UPPER_BITS, BLOCK_BITS].into_iter().flat_map(move |bits| {
            // An earlier run may reach into the same one.
            let is_made = move |unit: &u64| {
                home.runs().take(index).any(|earlier| units(&earlier, bits).contains(unit))
            };
            units(&run, bits).filter(move |unit| !is_made(unit)).map(move |unit| unit << bits)
        })
    })
}

/// Returns the numbers of what a run reaches into, of 2^`bits` bytes each.
fn units(run: &Range<u64>, bits: u32) -> Range<u64> {
    run.start >> bits..(run.end.saturating_sub(1) >> bits).saturating_add(1)
}
