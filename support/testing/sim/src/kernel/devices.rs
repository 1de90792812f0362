// SPDX-License-Identifier: BSD-2-Clause
//! Devices, which write to physical memory on their own; only an IOMMU can prevent that.
//!
//! Each peer has one device, which writes when a test tells it to. With an IOMMU the device has its
//! own address space, in which every mapped page is at its physical address; without one it can
//! write to all memory. A page stays mapped in a device's address space until it is unmapped there,
//! even if it is reused for something else, so that tests find a missing unmap.

use std::collections::BTreeMap;

use proto::PeerId;

use super::SimKernel;
use crate::machine::{Error, PAGE_BYTES};

/// A write that an IOMMU refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceFault {
    /// The peer whose device it was.
    pub peer: PeerId,
    /// The first address that the device may not write to.
    pub bus_address: u64,
}

/// All devices, and the IOMMU if there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct Devices {
    /// The physical addresses of the pages in each device's address space, and whether it may write
    /// to them; `None` without an IOMMU.
    spaces: Option<BTreeMap<PeerId, BTreeMap<u64, bool>>>,
    faults: Vec<DeviceFault>,
}

impl Devices {
    pub(super) const fn has_iommu(&self) -> bool {
        self.spaces.is_some()
    }

    /// Maps a page in a device's address space. Does nothing without an IOMMU.
    pub(super) fn map(&mut self, peer: PeerId, page: u64, is_writable: bool) -> Result<(), Error> {
        let Some(spaces) = &mut self.spaces else { return Ok(()) };
        let old = spaces.entry(peer).or_default().insert(page, is_writable);
        if old.is_none() { Ok(()) } else { Err(Error::DeleteFirst) }
    }

    /// Unmaps a page from a device's address space.
    pub(super) fn unmap(&mut self, peer: PeerId, page: u64) -> Result<(), Error> {
        let Some(spaces) = &mut self.spaces else { return Ok(()) };
        let old = spaces.entry(peer).or_default().remove(&page);
        if old.is_some() { Ok(()) } else { Err(Error::IllegalOperation) }
    }

    fn may_write(&self, peer: PeerId, page: u64) -> bool {
        let Some(spaces) = &self.spaces else { return true };
        spaces.get(&peer).is_some_and(|space| space.get(&page).is_some_and(|it| *it))
    }
}

impl SimKernel {
    /// Adds an IOMMU between the devices and memory.
    #[must_use]
    pub fn with_iommu(mut self) -> Self {
        self.devices.spaces = Some(BTreeMap::new());
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
        let addresses = || (bus_address..).take(bytes.len());
        let page_of = |address| address / PAGE_BYTES * PAGE_BYTES;
        let refused = addresses().find(|&address| !self.devices.may_write(peer, page_of(address)));
        if let Some(bus_address) = refused {
            let fault = DeviceFault { peer, bus_address };
            self.devices.faults.push(fault);
            return Err(fault);
        }
        for (address, &byte) in addresses().zip(bytes) {
            let at = usize::try_from(address % PAGE_BYTES).expect("less than a page");
            self.machine.page_mut(page_of(address)).0[at] = byte;
        }
        Ok(())
    }

    /// Returns the refused writes, in order.
    #[must_use]
    pub fn device_faults(&self) -> &[DeviceFault] {
        &self.devices.faults
    }
}
