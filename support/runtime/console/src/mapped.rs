// SPDX-License-Identifier: BSD-2-Clause
//! Serial ports whose registers are in memory: those of the Arm boards, accessed by a device
//! region. What one differs in from another is a constant.
//!
//! Keeps the speed and the clock that the boot loader set. Without such a port, prints as the
//! kernel does, which is nothing but for debug kernels.

use sel4_microkit::var;

/// A kind of serial port: what its driver knows. All registers have 32 bits.
struct Kind {
    /// What is stored in which registers before the first byte.
    setup: &'static [(usize, u32)],
    /// The register that says whether there is room for a byte: there is if these bits of it have
    /// that value.
    status: usize,
    bits: u32,
    room: u32,
    /// The register that takes the byte.
    data: usize,
    /// How it receives, if that was tried.
    input: Option<Input>,
}

/// How a kind of serial port receives.
struct Input {
    /// What is stored in which registers so that it receives and interrupts for that.
    setup: &'static [(usize, u32)],
    /// The register that says whether something was received: it was if these bits of it have that
    /// value.
    status: usize,
    bits: u32,
    received: u32,
    /// The register that has the next byte.
    data: usize,
}

/// Arm PL011 (Arm DDI 0183, "Programmers Model"): words of eight bits with FIFOs on (UARTLCR_H),
/// the port and its transmitter on (UARTCR); the transmit FIFO is full (UARTFR).
const PL011: Kind = Kind {
    setup: &[(0x2C, 0b111 << 4), (0x30, 1 << 8 | 1)],
    status: 0x18,
    bits: 1 << 5,
    room: 0,
    data: 0x00,
    // The receive FIFO is full to a part, or has had something for a while (UARTIMSC); the receiver
    // is on, too; the receive FIFO is empty.
    input: Some(Input {
        setup: &[(0x38, 1 << 4 | 1 << 6), (0x30, 1 << 9 | 1 << 8 | 1)],
        status: 0x18,
        bits: 1 << 4,
        received: 0,
        data: 0x00,
    }),
};
/// A 16550 with a register in every fourth byte (PC16550D, "Registers"), and the mini UART of the
/// BCM2711, which is nearly one ("Auxiliaries", AUX_MU): the transmit FIFO has room (LSR).
const NS16550: Kind =
    Kind { setup: &[], status: 0x14, bits: 1 << 5, room: 1 << 5, data: 0x00, input: None };
/// The Cadence UART of the Zynq UltraScale+ (UG1087, "UART Module"): transmitter and receiver on
/// (Control); the transmit FIFO is full (Channel_sts).
const CADENCE: Kind = Kind {
    setup: &[(0x00, 1 << 4 | 1 << 2)],
    status: 0x2C,
    bits: 1 << 4,
    room: 0,
    data: 0x30,
    input: None,
};
/// The UART of the i.MX 8M (IMX8MDQLQRM, "UART Status Register 2"): the transmit FIFO is empty.
const IMX: Kind =
    Kind { setup: &[], status: 0x98, bits: 1 << 14, room: 1 << 14, data: 0x40, input: None };
/// The LPUART of the i.MX 8X (IMX8DQXPRM, "LPUART Status Register"): the transmit FIFO has room.
const IMX_LPUART: Kind =
    Kind { setup: &[], status: 0x14, bits: 1 << 23, room: 1 << 23, data: 0x1C, input: None };
/// The UARTs of Amlogic's Meson chips (S905X3 datasheet, "UART_STATUS"): the transmit FIFO is full.
const MESON: Kind =
    Kind { setup: &[], status: 0x0C, bits: 1 << 21, room: 0, data: 0x00, input: None };
/// The USART of the STM32MP2 (RM0457, "USART_ISR"): the transmit FIFO has room.
const STM32: Kind =
    Kind { setup: &[], status: 0x1C, bits: 1 << 7, room: 1 << 7, data: 0x28, input: None };

/// The serial port.
pub(crate) struct SerialPort {
    /// Its kind, and where the device region is mapped; `None` if there is none.
    device: Option<(&'static Kind, usize)>,
}

impl SerialPort {
    /// Takes the port over from the boot loader. The variable that has an address says its kind.
    pub(crate) fn open() -> Self {
        let kinds = [
            (&PL011, *var!(pl011: usize = 0)),
            (&NS16550, *var!(ns16550: usize = 0)),
            (&CADENCE, *var!(cadence_uart: usize = 0)),
            (&IMX, *var!(imx_uart: usize = 0)),
            (&IMX_LPUART, *var!(imx_lpuart: usize = 0)),
            (&MESON, *var!(meson_uart: usize = 0)),
            (&STM32, *var!(stm32_usart: usize = 0)),
        ];
        let device = kinds.into_iter().find(|(_, registers)| *registers != 0);
        let mut port = Self { device };
        if let Some((kind, registers)) = device {
            store_each(registers, kind.setup);
        } else {
            for byte in b"console: no driver for the serial port: the debug kernel prints\n" {
                port.put(*byte);
            }
        }
        port
    }

    /// Writes a byte. Waits for room, at most as long as the line takes to send a full FIFO.
    pub(crate) fn put(&mut self, byte: u8) {
        let Some((kind, registers)) = self.device else { return put_as_kernel(byte) };
        let status = registers.saturating_add(kind.status);
        while shm::load::<u32>(status) & kind.bits != kind.room {
            core::hint::spin_loop();
        }
        shm::store(registers.saturating_add(kind.data), u32::from(byte));
    }

    /// Lets the port receive, with interrupts, if its kind can.
    pub(crate) fn listen(&mut self) {
        if let Some((input, registers)) = self.input() {
            store_each(registers, input.setup);
        }
    }

    /// Returns the next byte that was received.
    pub(crate) fn get(&mut self) -> Option<u8> {
        let (input, registers) = self.input()?;
        let load = |register| shm::load::<u32>(registers.saturating_add(register));
        let is_there = load(input.status) & input.bits == input.received;
        // What stands above the byte are errors of the line.
        let byte = is_there.then(|| load(input.data).to_le_bytes());
        byte.map(|[byte, ..]| byte)
    }

    fn input(&self) -> Option<(&'static Input, usize)> {
        let (kind, registers) = self.device?;
        Some((kind.input.as_ref()?, registers))
    }
}

fn store_each(registers: usize, values: &[(usize, u32)]) {
    for (register, value) in values {
        shm::store(registers.saturating_add(*register), *value);
    }
}

/// Writes a byte where the kernel prints.
#[sel4::sel4_cfg(PRINTING)]
fn put_as_kernel(byte: u8) {
    sel4::debug_put_char(byte);
}

/// Writes nothing: this kernel prints nothing.
#[sel4::sel4_cfg(not(PRINTING))]
fn put_as_kernel(_: u8) {}
