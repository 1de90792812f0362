// SPDX-License-Identifier: BSD-2-Clause
//! The PL011 serial port of the Arm boards (Arm DDI 0183, "Programmers Model"), accessed by a
//! device region.
//!
//! Keeps the speed and the clock that the boot loader set.

use sel4_microkit::var;

/// Byte offsets of the registers.
const DATA: usize = 0x00;
const FLAGS: usize = 0x18;
const LINE_CONTROL: usize = 0x2C;
const CONTROL: usize = 0x30;

/// The transmit FIFO is full.
const FLAG_TRANSMIT_FULL: u32 = 1 << 5;
/// Words of eight bits, FIFOs on.
const LINE_8_BITS_FIFO: u32 = 0b111 << 4;
/// The port and its transmitter are on.
const CONTROL_ENABLE_TRANSMIT: u32 = 1 << 8 | 1;

/// The serial port.
pub(crate) struct SerialPort {
    /// Where the device region is mapped.
    registers: usize,
}

impl SerialPort {
    /// Takes the port over from the boot loader.
    pub(crate) fn open() -> Self {
        let mut port = Self { registers: *var!(serial_port: usize = 0) };
        port.write(LINE_CONTROL, LINE_8_BITS_FIFO);
        port.write(CONTROL, CONTROL_ENABLE_TRANSMIT);
        port
    }

    /// Writes a byte. Waits for room, at most as long as the line takes to send one byte.
    pub(crate) fn put(&mut self, byte: u8) {
        while self.read(FLAGS) & FLAG_TRANSMIT_FULL != 0 {
            core::hint::spin_loop();
        }
        self.write(DATA, byte.into());
    }

    fn read(&self, offset: usize) -> u32 {
        shm::load(self.registers.saturating_add(offset))
    }

    fn write(&mut self, offset: usize, value: u32) {
        shm::store(self.registers.saturating_add(offset), value);
    }
}
