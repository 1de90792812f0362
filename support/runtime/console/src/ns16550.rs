// SPDX-License-Identifier: BSD-2-Clause
//! The 16550 serial port at COM1 of the PC (National Semiconductor PC16550D, "Registers"), accessed
//! by an I/O port capability.

use sel4_microkit::MessageRegisterValue as Word;

/// The I/O port capability with id 0 in microkit-system.xml (Microkit manual, "I/O Ports"). The
/// platform chooses the slot.
const IO_PORT_CAPABILITY: Word = 394;

/// First port of COM1.
const COM1: u16 = 0x3F8;

/// Offsets of the registers.
const DATA: u16 = 0;
const INTERRUPT_ENABLE: u16 = 1;
const FIFO_CONTROL: u16 = 2;
const LINE_CONTROL: u16 = 3;
const MODEM_CONTROL: u16 = 4;
const LINE_STATUS: u16 = 5;

/// Divisor of the 1.8432 MHz clock for 115200 baud.
const DIVISOR: Word = 1;
/// Makes the divisor registers appear at the offsets of the data registers.
const LINE_DIVISOR_ACCESS: Word = 1 << 7;
/// Words of eight bits, no parity, one stop bit.
const LINE_8_BITS: Word = 0b11;
const FIFO_ENABLE: Word = 1;
/// Something was received.
const INTERRUPT_RECEIVE: Word = 1;
/// Lets interrupts out of the chip (OUT2, as the PC has it wired).
const MODEM_INTERRUPTS: Word = 1 << 3;
/// There is something in the receive FIFO.
const STATUS_RECEIVED: u8 = 1;
/// The transmit FIFO is empty.
const STATUS_TRANSMIT_EMPTY: u8 = 1 << 5;

/// The serial port.
pub(crate) struct SerialPort;

impl SerialPort {
    /// Sets the port up for 115200 baud, 8 bits, no interrupts.
    pub(crate) fn open() -> Self {
        let mut port = Self;
        port.write(INTERRUPT_ENABLE, 0);
        port.write(LINE_CONTROL, LINE_DIVISOR_ACCESS);
        port.write(DATA, DIVISOR);
        port.write(INTERRUPT_ENABLE, 0);
        port.write(LINE_CONTROL, LINE_8_BITS);
        port.write(FIFO_CONTROL, FIFO_ENABLE);
        port
    }

    /// Writes a byte. Waits for room, at most as long as the line takes to send a full FIFO.
    pub(crate) fn put(&mut self, byte: u8) {
        while self.read(LINE_STATUS) & STATUS_TRANSMIT_EMPTY == 0 {
            core::hint::spin_loop();
        }
        self.write(DATA, byte.into());
    }

    /// Lets the port interrupt for what it receives.
    pub(crate) fn listen(&mut self) {
        self.write(MODEM_CONTROL, MODEM_INTERRUPTS);
        self.write(INTERRUPT_ENABLE, INTERRUPT_RECEIVE);
    }

    /// Returns the next byte that was received.
    pub(crate) fn get(&mut self) -> Option<u8> {
        let is_there = self.read(LINE_STATUS) & STATUS_RECEIVED != 0;
        is_there.then(|| self.read(DATA))
    }

    fn read(&self, register: u16) -> u8 {
        // CAP: the ports of COM1, which only this domain holds. A refusal looks like a port without
        // room and without anything received, and the caller tries again; the capability exists
        // from boot on and is never removed.
        let reply = sel4::with_ipc_buffer_mut(|ipc| {
            ipc.inner_mut().seL4_X86_IOPort_In8(IO_PORT_CAPABILITY, COM1 | register)
        });
        reply.result
    }

    fn write(&mut self, register: u16, value: Word) {
        // CAP: as in `read`. A refusal loses a byte, and nothing can report that.
        let _ = sel4::with_ipc_buffer_mut(|ipc| {
            ipc.inner_mut().seL4_X86_IOPort_Out8(
                IO_PORT_CAPABILITY,
                (COM1 | register).into(),
                value,
            )
        });
    }
}
