// SPDX-License-Identifier: BSD-2-Clause
//! The console server: writes the bytes that its clients send to the serial port.
//!
//! Owns the serial port. Buffers nothing: bytes are printed in the order of the calls. It is
//! passive and has the highest priority, so that the bytes of one call stay together. Release
//! kernels print nothing, so the system prints every line through this server, in all
//! configurations.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use console_api::Write;
use proto::ProtocolError;
use sel4_microkit::{
    Channel, ChannelSet, Child, Handler, Infallible, MessageInfo, protection_domain,
};

#[cfg_attr(target_arch = "aarch64", path = "mapped.rs")]
#[cfg_attr(target_arch = "x86_64", path = "ns16550.rs")]
mod serial;

use serial::SerialPort;

#[protection_domain]
fn init() -> Console {
    Console { port: SerialPort::open() }
}

struct Console {
    port: SerialPort,
}

impl Console {
    fn write(&mut self, request: &MessageInfo) -> Result<(), ProtocolError> {
        let write = Write::decode(&pd::receive(request)?)?;
        for byte in write.bytes() {
            self.port.put(*byte);
        }
        Ok(())
    }
}

impl Handler for Console {
    type Error = Infallible;

    fn protected(&mut self, _: Channel, request: MessageInfo) -> Result<MessageInfo, Infallible> {
        let reply = match self.write(&request) {
            Ok(()) => console_api::done(),
            Err(error) => error.reply(),
        };
        Ok(pd::send(&reply))
    }

    /// Ignores notifications: they have no meaning for the console.
    fn notified(&mut self, _: ChannelSet) -> Result<(), Infallible> {
        Ok(())
    }

    /// The console has no children.
    fn fault(&mut self, _: Child, _: MessageInfo) -> Result<Option<MessageInfo>, Infallible> {
        Ok(None)
    }
}
