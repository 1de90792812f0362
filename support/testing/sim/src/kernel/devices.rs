// SPDX-License-Identifier: BSD-2-Clause
//! Devices, which access physical memory on their own; only an IOMMU can prevent that.
//!
//! Each peer has one device, which does so when a test or a model of it says so. Behind an IOMMU it
//! has its own address space, in which every mapped page is at its physical address; else it can
//! access all memory. A page stays mapped in a device's address space until it is unmapped
//! there, even if it is reused for something else, so that tests find a missing unmap.

use std::collections::BTreeMap;

use proto::PeerId;

use super::SimKernel;
use super::bytes::in_pages;
use crate::machine::Error;

/// An access that an IOMMU refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceFault {
    /// The peer whose device it was.
    pub peer: PeerId,
    /// The first address that the device may not access.
    pub bus_address: u64,
}

/// All devices, and what the IOMMU knows if there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct Devices {
    /// Of each device behind an IOMMU the physical addresses of the pages in its address space, and
    /// whether it may write to them.
    spaces: BTreeMap<PeerId, BTreeMap<u64, bool>>,
    faults: Vec<DeviceFault>,
}

impl Devices {
    /// Returns the devices, of which those of some peers are behind an IOMMU.
    pub(super) fn of(confined: &[PeerId]) -> Self {
        let spaces = confined.iter().map(|peer| (*peer, BTreeMap::new())).collect();
        Self { spaces, faults: Vec::new() }
    }

    pub(super) fn confines(&self, peer: PeerId) -> bool {
        self.spaces.contains_key(&peer)
    }

    /// Maps a page in a device's address space. Does nothing without an IOMMU.
    pub(super) fn map(&mut self, peer: PeerId, page: u64, is_writable: bool) -> Result<(), Error> {
        let Some(space) = self.spaces.get_mut(&peer) else { return Ok(()) };
        let old = space.insert(page, is_writable);
        if old.is_none() { Ok(()) } else { Err(Error::DeleteFirst) }
    }

    /// Unmaps a page from a device's address space.
    pub(super) fn unmap(&mut self, peer: PeerId, page: u64) -> Result<(), Error> {
        let Some(space) = self.spaces.get_mut(&peer) else { return Ok(()) };
        let old = space.remove(&page);
        if old.is_some() { Ok(()) } else { Err(Error::IllegalOperation) }
    }

    /// Returns whether a device may access a page, and if it writes, write to it.
    fn may_access(&self, peer: PeerId, page: u64, writes: bool) -> bool {
        let Some(space) = self.spaces.get(&peer) else { return true };
        space.get(&page).is_some_and(|is_writable| *is_writable || !writes)
    }
}

impl SimKernel {
    /// Adds an IOMMU between the devices and memory.
    #[must_use]
    pub fn with_iommu(mut self) -> Self {
        let all: Vec<PeerId> = (1..).map_while(PeerId::new).collect();
        self.devices = Devices::of(&all);
        self
    }

    /// Makes the device of a peer write to physical memory, without any program or page table.
    ///
    /// # Errors
    /// [`DeviceFault`] if the IOMMU refuses it; nothing is written then.
    ///
    /// # Panics
    /// If an address is beyond the end of memory.
    pub fn device_write(
        &mut self,
        peer: PeerId,
        bus_address: u64,
        bytes: &[u8],
    ) -> Result<(), DeviceFault> {
        self.check_access(peer, bus_address, bytes.len(), true)?;
        for (page, at, part) in in_pages(bus_address, bytes.len()) {
            self.machine.page_mut(page).0[at..][..part.len()].copy_from_slice(&bytes[part]);
        }
        Ok(())
    }

    /// Makes the device of a peer read physical memory, as [`Self::device_write`] writes to it.
    ///
    /// # Errors
    /// [`DeviceFault`] if the IOMMU refuses it; nothing is read then.
    ///
    /// # Panics
    /// The same as [`Self::device_write`].
    pub fn device_read(
        &mut self,
        peer: PeerId,
        bus_address: u64,
        to: &mut [u8],
    ) -> Result<(), DeviceFault> {
        self.check_access(peer, bus_address, to.len(), false)?;
        for (page, at, part) in in_pages(bus_address, to.len()) {
            let length = part.len();
            to[part].copy_from_slice(&self.machine.page(page).0[at..][..length]);
        }
        Ok(())
    }

    fn check_access(
        &mut self,
        peer: PeerId,
        bus_address: u64,
        bytes: usize,
        writes: bool,
    ) -> Result<(), DeviceFault> {
        let mut parts = in_pages(bus_address, bytes);
        let refused = parts.find(|(page, ..)| !self.devices.may_access(peer, *page, writes));
        let Some((page, at, _)) = refused else { return Ok(()) };
        let fault = DeviceFault { peer, bus_address: page + at as u64 };
        self.devices.faults.push(fault);
        Err(fault)
    }

    /// Returns the refused accesses, in order.
    #[must_use]
    pub fn device_faults(&self) -> &[DeviceFault] {
        &self.devices.faults
    }
}
