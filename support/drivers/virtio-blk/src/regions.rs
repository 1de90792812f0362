// SPDX-License-Identifier: BSD-2-Clause
//! Where virtio-drivers meets memory: the domain's only `unsafe`.
//!
//! That crate is given buffers as slices, and asks for the bus address of each. It looks into none.
//! The data of a transfer is a client's and mapped nowhere here. So the slice that stands for it is
//! one of [`STAND_IN`], private memory that nobody uses: it has the length of the data, and
//! [`DATA`] is where the data is on the bus.
#![allow(unsafe_code)]

use core::ptr::{self, NonNull};
use core::slice;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use virtio_drivers::queue::VirtQueue;
use virtio_drivers::{BufferDirection, Hal, PhysAddr};

use crate::{bus, rings};

/// Bytes that one transfer moves at most.
pub(crate) const DATA_BYTES_MAX: usize = 256 * 1024;

/// Descriptors of the queue: three for each transfer.
pub(crate) const QUEUE_SIZE: usize = 64;

static STAND_IN: [AtomicU8; DATA_BYTES_MAX] = [const { AtomicU8::new(0) }; DATA_BYTES_MAX];
static DATA: AtomicU64 = AtomicU64::new(0);

/// The queue of the device.
pub(crate) type Queue = VirtQueue<Memory, QUEUE_SIZE>;

/// A buffer: its address in the rings or in [`STAND_IN`], and its length.
#[derive(Clone, Copy)]
pub(crate) struct Buffer {
    address: usize,
    bytes: usize,
}

impl Buffer {
    /// No buffer.
    pub(crate) const NONE: Self = Self { address: 0, bytes: 0 };

    /// Returns the buffer at an address of the rings.
    pub(crate) const fn of_rings(address: usize, bytes: usize) -> Self {
        Self { address, bytes }
    }

    /// Returns the buffer that stands for data: at most [`DATA_BYTES_MAX`] bytes.
    pub(crate) fn data(bytes: usize) -> Self {
        Self { address: STAND_IN.as_ptr().expose_provenance(), bytes: bytes.min(DATA_BYTES_MAX) }
    }

    /// Returns the buffer as virtio-drivers takes it.
    fn slice<'a>(self) -> &'a mut [u8] {
        let address = if self.bytes == 0 { 1 } else { self.address };
        // SAFETY: 1. The memory is the last page of the rings, or the stand-in, which are there for
        // ever, or no byte. 2. The slices of one chain do not overlap, they live until `add` or
        // `pop` returns, and no other code has a reference to that memory (U8 slices-unread).
        unsafe { slice::from_raw_parts_mut(ptr::with_exposed_provenance_mut(address), self.bytes) }
    }
}

/// The buffers of a transfer, in order: those that the device reads, then those that it writes.
/// What is not needed is [`Buffer::NONE`], at the end.
#[derive(Clone, Copy)]
pub(crate) struct Chain {
    pub(crate) read: [Buffer; 2],
    pub(crate) written: [Buffer; 2],
}

fn count(buffers: &[Buffer; 2]) -> usize {
    buffers.iter().filter(|buffer| buffer.bytes > 0).count()
}

/// Gives a transfer to the device. `data` is where its data is on the bus. Returns the number by
/// which the device names it; nothing if the queue is full.
pub(crate) fn add(queue: &mut Queue, chain: &Chain, data: u64) -> Option<u16> {
    DATA.store(data, Ordering::Relaxed);
    let [first, second] = chain.read.map(Buffer::slice);
    let read = [&*first, &*second];
    let mut written = chain.written.map(Buffer::slice);
    let read = read.get(..count(&chain.read))?;
    let written = written.get_mut(..count(&chain.written))?;
    // SAFETY: what virtio-drivers and the device use until `pop` is not these slices, but what is
    // at their bus addresses: pages of the rings, and frames that stay pinned until the transfer
    // has ended or the device was reset (U9 device-memory).
    unsafe { queue.add(read, written) }.ok()
}

/// Takes back a transfer that has ended: `token` is the number, and `chain` the buffers.
pub(crate) fn pop(queue: &mut Queue, token: u16, chain: &Chain) -> Option<u32> {
    let [first, second] = chain.read.map(Buffer::slice);
    let read = [&*first, &*second];
    let mut written = chain.written.map(Buffer::slice);
    let read = read.get(..count(&chain.read))?;
    let written = written.get_mut(..count(&chain.written))?;
    // SAFETY: the buffers are those that `add` was given when it returned this number: the caller
    // keeps both together (U9 device-memory).
    unsafe { queue.pop_used(token, read, written) }.ok()
}

/// The memory that virtio-drivers gets.
pub(crate) struct Memory;

// SAFETY: 1. `dma_alloc` hands out each page of the rings once until the next reset. They are
// mapped for ever, cleared, and no reference to them exists. 2. `share` tells what a pin has told
// (U9 device-memory). 3. Registers are mapped for ever, and nothing else accesses them (U10
// registers-of-a-crate).
unsafe impl Hal for Memory {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        rings::take(pages)
    }

    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, bytes: usize) -> NonNull<u8> {
        bus::registers(address, bytes)
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        let address = buffer.cast::<u8>().addr().get();
        // The data begins where the stand-in does. No memory is at the last address.
        let is_data = address == STAND_IN.as_ptr().addr();
        let data = is_data.then(|| DATA.load(Ordering::Relaxed));
        data.or_else(|| rings::bus_address(address)).unwrap_or(PhysAddr::MAX)
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

#[cfg(target_arch = "aarch64")]
pub(crate) use mmio::transport;
#[cfg(target_arch = "aarch64")]
mod mmio {
    use core::ptr::NonNull;

    use virtio_drivers::transport::mmio::MmioTransport;

    /// Bytes of the registers of one device.
    const REGISTERS_BYTES: usize = 0x200;

    /// Returns access to the device with these registers, if there is one.
    pub(crate) fn transport(registers: NonNull<u8>) -> Option<MmioTransport<'static>> {
        // SAFETY: the registers are mapped there for ever, on a page boundary, and nothing else
        // accesses them (U10 registers-of-a-crate).
        unsafe { MmioTransport::new(registers.cast(), REGISTERS_BYTES) }.ok()
    }
}

#[cfg(target_arch = "x86_64")]
mod pci {
    use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};

    use crate::bus::ConfigurationPorts;

    impl ConfigurationAccess for ConfigurationPorts {
        fn read_word(&self, function: DeviceFunction, offset: u8) -> u32 {
            self.read(function, offset)
        }

        fn write_word(&mut self, function: DeviceFunction, offset: u8, value: u32) {
            self.write(function, offset, value);
        }

        // Each access is two system calls of the only thread, so it does not matter how many values
        // there are.
        unsafe fn unsafe_clone(&self) -> Self {
            Self
        }
    }
}
