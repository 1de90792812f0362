// SPDX-License-Identifier: BSD-2-Clause
//! The device on a PCI bus (Virtual I/O Device 1.2, "Virtio Over PCI Bus").
//!
//! The configuration of all devices is reached through two I/O ports (PCI Local Bus 3.0,
//! 3.2.2.3.2). The registers of the disk are placed in a device region that the system file gives:
//! its size and its place on the bus come from there.

use core::num::NonZero;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicBool, Ordering};

use sel4_microkit::{MessageRegisterValue as Word, var};
use virtio_drivers::transport::DeviceType;
use virtio_drivers::transport::pci::bus::{
    BarInfo, Command, DeviceFunction, MemoryBarType, PciRoot,
};
use virtio_drivers::transport::pci::{PciTransport, virtio_device_type};

use crate::regions::Memory;

/// The I/O port capability with id 0 in the system file (Microkit manual, "I/O Ports"). The
/// platform chooses the slot.
const IO_PORT_CAPABILITY: Word = 394;

/// Where the address of a register is written to, and the register is then read or written.
const CONFIG_ADDRESS: u16 = 0xCF8;
const CONFIG_DATA: u16 = 0xCFC;
const CONFIG_ENABLE: u32 = 1 << 31;

/// What an absent device reads as.
const NOTHING: u32 = u32::MAX;

/// How the device is reached.
pub(crate) type Transport = PciTransport;

/// Set if virtio-drivers asked for registers outside of the region.
static IS_OUTSIDE: AtomicBool = AtomicBool::new(false);

/// Returns access to the first disk of the bus 0, if there is one.
pub(crate) fn find() -> Option<Transport> {
    let mut root = PciRoot::new(ConfigurationPorts);
    let is_disk = |info: &_| virtio_device_type(info) == Some(DeviceType::Block);
    let (function, _) = root.enumerate_bus(0).find(|(_, info)| is_disk(info))?;
    place(&mut root, function)?;
    let transport = PciTransport::new::<Memory, _>(&mut root, function).ok()?;
    if IS_OUTSIDE.load(Ordering::Relaxed) {
        // Dropping it would access registers that are not its own.
        core::mem::forget(transport);
        return None;
    }
    Some(transport)
}

/// Places the registers of a device one behind the other in the region.
fn place(root: &mut PciRoot<ConfigurationPorts>, function: DeviceFunction) -> Option<()> {
    let (start, end) = region();
    let mut free = start;
    root.set_command(function, Command::empty());
    for (index, bar) in (0..).zip(root.bars(function).ok()?) {
        let Some(BarInfo::Memory { address_type, size, .. }) = bar else { continue };
        let address = free.checked_next_multiple_of(size)?;
        free = address.checked_add(size).filter(|next| *next <= end)?;
        match address_type {
            MemoryBarType::Width64 => root.set_bar_64(function, index, address),
            _ => root.set_bar_32(function, index, u32::try_from(address).ok()?),
        }
    }
    root.set_command(function, Command::MEMORY_SPACE | Command::BUS_MASTER);
    Some(())
}

/// Returns where the region begins and ends on the bus.
fn region() -> (u64, u64) {
    let start = *var!(bars_paddr: u64 = 0);
    (start, start.saturating_add(*var!(bars_bytes: u64 = 0)))
}

/// Returns where registers are mapped.
pub(crate) fn registers(address: u64, bytes: usize) -> NonNull<u8> {
    let (start, end) = region();
    let last = u64::try_from(bytes).ok().and_then(|bytes| address.checked_add(bytes));
    let is_inside = start <= address && last.is_some_and(|last| last <= end);
    IS_OUTSIDE.fetch_or(!is_inside, Ordering::Relaxed);
    let offset = usize::try_from(address.saturating_sub(start)).ok().filter(|_| is_inside);
    let mapped = var!(bars_vaddr: usize = 0).checked_add(offset.unwrap_or_default());
    mapped.and_then(NonZero::new).map_or(NonNull::dangling(), NonNull::with_exposed_provenance)
}

/// The two ports.
pub(crate) struct ConfigurationPorts;

impl ConfigurationPorts {
    /// Reads a register of a device.
    pub(crate) fn read(&self, function: DeviceFunction, offset: u8) -> u32 {
        self.select(function, offset);
        // CAP: the ports of the PCI configuration, which only this domain holds. A refusal looks as
        // if there was no device.
        let reply = sel4::with_ipc_buffer_mut(|ipc| {
            ipc.inner_mut().seL4_X86_IOPort_In32(IO_PORT_CAPABILITY, CONFIG_DATA)
        });
        if reply.error == 0 { reply.result } else { NOTHING }
    }

    /// Writes a register of a device.
    pub(crate) fn write(&mut self, function: DeviceFunction, offset: u8, value: u32) {
        self.select(function, offset);
        out(CONFIG_DATA, value);
    }

    fn select(&self, function: DeviceFunction, offset: u8) {
        let DeviceFunction { bus, device, function } = function;
        let address = u32::from(bus) << 16 | u32::from(device) << 11 | u32::from(function) << 8;
        out(CONFIG_ADDRESS, CONFIG_ENABLE | address | u32::from(offset & !3));
    }
}

fn out(port: u16, value: u32) {
    // CAP: as in `read`. A refusal loses a write, and the device is not found.
    let _ = sel4::with_ipc_buffer_mut(|ipc| {
        ipc.inner_mut().seL4_X86_IOPort_Out32(IO_PORT_CAPABILITY, port.into(), value.into())
    });
}
