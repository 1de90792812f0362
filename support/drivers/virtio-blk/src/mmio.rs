// SPDX-License-Identifier: BSD-2-Clause
//! The device at a fixed place (Virtual I/O Device 1.2, "Virtio Over MMIO"), as the Arm boards of
//! QEMU have it.

use core::num::NonZero;
use core::ptr::NonNull;

use sel4_microkit::var;
use virtio_drivers::transport::mmio::MmioTransport;

use crate::regions;

/// How the device is reached.
pub(crate) type Transport = MmioTransport<'static>;

/// Returns access to the device, if there is one.
pub(crate) fn find() -> Option<Transport> {
    let address = NonZero::new(*var!(virtio_registers: usize = 0))?;
    regions::transport(NonNull::with_exposed_provenance(address))
}

/// Returns where registers are mapped. Such a device has none that have to be found.
pub(crate) fn registers(_: u64, _: usize) -> NonNull<u8> {
    NonNull::dangling()
}
