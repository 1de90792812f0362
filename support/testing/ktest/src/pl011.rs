// SPDX-License-Identifier: BSD-2-Clause
//! The PL011 serial port of QEMU's Arm machine, in a frame made from device memory. The boot loader
//! has set it up.

use core::sync::atomic::AtomicU8;

use sel4::init_thread::{Slot, slot};
use sel4::{BootInfoPtr, CapRights, FrameObjectType, ObjectBlueprint, VmAttributes, cap};

/// Slots that it needs: one for each power of two below the size of device memory, and the frame's.
pub(crate) const SLOTS: usize = 48;

const PL011: usize = 0x0900_0000;
const PAGE_BITS: usize = 12;
const DATA: usize = 0x00;
const FLAGS: usize = 0x18;
const FLAG_TRANSMIT_FULL: u32 = 1 << 5;

/// A page of the program, which the device's frame replaces: there is a page table for it.
#[repr(C, align(4096))]
struct Page([AtomicU8; 4096]);
static PAGE: Page = Page([const { AtomicU8::new(0) }; 4096]);

/// The serial port.
pub(crate) struct Serial {
    /// Where its registers are mapped.
    registers: usize,
}

impl Serial {
    /// Makes the device's frame and maps it, with slots from `first_slot` on.
    pub(crate) fn open(bootinfo: &BootInfoPtr, first_slot: usize) -> Option<Self> {
        let covers = |start: usize, size_bits: usize| {
            PL011.checked_sub(start).is_some_and(|offset| offset >> size_bits == 0)
        };
        let (number, memory) =
            bootinfo.untyped_list().iter().enumerate().find(|(_, memory)| {
                memory.is_device() && covers(memory.paddr(), memory.size_bits())
            })?;
        let untyped = bootinfo.untyped().index(number).cap();
        let root = slot::CNODE.cap();
        let mut next = first_slot;
        let mut make = |blueprint: ObjectBlueprint| {
            let made = next;
            next = made.checked_add(1)?;
            untyped.untyped_retype(&blueprint, &root.absolute_cptr_for_self(), made, 1).ok()?;
            Some(made)
        };
        // The kernel makes objects from the beginning on: those before the device fill the room.
        let offset = PL011.checked_sub(memory.paddr())?;
        for size_bits in (PAGE_BITS..memory.size_bits()).rev() {
            if offset >> size_bits & 1 != 0 {
                make(ObjectBlueprint::Untyped { size_bits })?;
            }
        }
        let frame = make(FrameObjectType::GRANULE.blueprint())?;
        let frame: cap::Granule = Slot::from_index(frame).downcast().cap();
        let registers = (&raw const PAGE).expose_provenance();
        let space = slot::VSPACE.cap();
        frame.frame_map(space, registers, CapRights::read_write(), VmAttributes::NONE).ok()?;
        Some(Self { registers })
    }

    /// Writes a byte. Waits for room.
    pub(crate) fn put(&mut self, byte: u8) {
        while shm::load::<u32>(self.registers.saturating_add(FLAGS)) & FLAG_TRANSMIT_FULL != 0 {
            core::hint::spin_loop();
        }
        shm::store(self.registers.saturating_add(DATA), u32::from(byte));
    }
}
