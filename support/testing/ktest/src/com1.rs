// SPDX-License-Identifier: BSD-2-Clause
//! The serial port of a PC, through I/O ports. The boot loader has set it up.

use sel4::init_thread::slot;
use sel4::{BootInfoPtr, Word};

/// Slots that it needs.
pub(crate) const SLOTS: usize = 1;

const COM1: u16 = 0x3F8;
const LAST_PORT: u16 = COM1 + 7;
const LINE_STATUS: u16 = 5;
const STATUS_TRANSMIT_EMPTY: u8 = 1 << 5;

/// The serial port.
pub(crate) struct Serial {
    /// The capability to its ports.
    ports: Word,
}

impl Serial {
    /// Takes the ports from the kernel, with slots from `first_slot` on.
    pub(crate) fn open(_: &BootInfoPtr, first_slot: usize) -> Option<Self> {
        let ports = Word::try_from(first_slot).ok()?;
        let root = slot::CNODE.cap();
        let to = root.absolute_cptr_from_bits_with_depth(ports, 64);
        let control = slot::IO_PORT_CONTROL.cap();
        control.ioport_control_issue(COM1.into(), LAST_PORT.into(), &to).ok()?;
        Some(Self { ports })
    }

    /// Writes a byte. Waits for room.
    pub(crate) fn put(&mut self, byte: u8) {
        // A refusal looks like a port without room or loses a byte: then the run times out.
        let is_empty = || {
            let reply = sel4::with_ipc_buffer_mut(|ipc| {
                ipc.inner_mut().seL4_X86_IOPort_In8(self.ports, COM1 | LINE_STATUS)
            });
            reply.result & STATUS_TRANSMIT_EMPTY != 0
        };
        while !is_empty() {
            core::hint::spin_loop();
        }
        let _ = sel4::with_ipc_buffer_mut(|ipc| {
            ipc.inner_mut().seL4_X86_IOPort_Out8(self.ports, COM1.into(), byte.into())
        });
    }
}
