// SPDX-License-Identifier: BSD-2-Clause
//! Devices: they write to physical memory by themselves, and only an IOMMU can keep them from it.
//!
//! One device for each peer, that writes when a test says so. With an IOMMU it has an address space
//! of its own, in which a page is at its physical address or not at all; without one it reaches all
//! memory. A page stays in a device's address space until it is taken out, whatever is made of it
//! meanwhile: who forgets that is to be found out.

use std::collections::{BTreeMap, BTreeSet};

use proto::PeerId;

use super::SimKernel;
use crate::machine::{Error, PAGE_BYTES};

/// A write that an IOMMU refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceFault {
    /// Whose device it was.
    pub peer: PeerId,
    /// The first address that it may not write to.
    pub bus_address: u64,
}

/// All devices, and the IOMMU if there is one.
#[derive(Debug, Default)]
pub(super) struct Devices {
    /// The pages of each device's address space, by physical address; `None` without an IOMMU.
    spaces: Option<BTreeMap<PeerId, BTreeSet<u64>>>,
    faults: Vec<DeviceFault>,
}

impl Devices {
    pub(super) const fn has_iommu(&self) -> bool {
        self.spaces.is_some()
    }

    /// Puts a page into a device's address space. Without an IOMMU there is nothing to do.
    pub(super) fn map(&mut self, peer: PeerId, page: u64) -> Result<(), Error> {
        let Some(spaces) = &mut self.spaces else { return Ok(()) };
        let is_new = spaces.entry(peer).or_default().insert(page);
        if is_new { Ok(()) } else { Err(Error::DeleteFirst) }
    }

    /// Takes a page out of a device's address space.
    pub(super) fn unmap(&mut self, peer: PeerId, page: u64) -> Result<(), Error> {
        let Some(spaces) = &mut self.spaces else { return Ok(()) };
        let was_there = spaces.entry(peer).or_default().remove(&page);
        if was_there { Ok(()) } else { Err(Error::IllegalOperation) }
    }

    fn reaches(&self, peer: PeerId, page: u64) -> bool {
        let Some(spaces) = &self.spaces else { return true };
        spaces.get(&peer).is_some_and(|space| space.contains(&page))
    }
}

impl SimKernel {
    /// Returns the same machine with an IOMMU between its devices and memory.
    #[must_use]
    pub fn with_iommu(mut self) -> Self {
        self.devices.spaces = Some(BTreeMap::new());
        self
    }

    /// Has the device of a peer write to memory: no program and no page table is in between.
    ///
    /// # Errors
    /// Where the IOMMU refuses it; nothing is written then.
    ///
    /// # Panics
    /// Where there is no memory.
    pub fn device_write(
        &mut self,
        peer: PeerId,
        bus_address: u64,
        bytes: &[u8],
    ) -> Result<(), DeviceFault> {
        let addresses = || (bus_address..).take(bytes.len());
        let page_of = |address| address / PAGE_BYTES * PAGE_BYTES;
        let refused = addresses().find(|&address| !self.devices.reaches(peer, page_of(address)));
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

    /// Returns the writes that were refused, in order.
    #[must_use]
    pub fn device_faults(&self) -> &[DeviceFault] {
        &self.devices.faults
    }
}
