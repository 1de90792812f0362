// SPDX-License-Identifier: BSD-2-Clause
//! The console server: writes the bytes that its clients send to the serial port, and passes what
//! is typed there on to one of them.
//!
//! Owns the serial port. Buffers nothing: bytes are printed in the order of the calls, and what was
//! typed and not yet read is in the port. It is passive and has the highest priority, so that the
//! bytes of one call stay together. Release kernels print nothing, so the system prints every line
//! through this server, in all configurations.
//!
//! The system file names the reader, by a variable at this end of its channel, and then has to give
//! the console the interrupt of the port. The interrupt is acknowledged when the port is empty, by
//! a read: until then there is nothing new to tell.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use console_api::{Request, Text};
use pd::Trace;
use proto::{Message, ProtocolError};
use sel4_microkit::{
    Channel, ChannelSet, Child, Handler, Infallible, MessageInfo, protection_domain, var,
};

#[cfg_attr(target_arch = "aarch64", path = "mapped.rs")]
#[cfg_attr(target_arch = "x86_64", path = "ns16550.rs")]
mod serial;

use serial::SerialPort;

/// The interrupt, as the system file numbers it. Channels below it are clients.
const INTERRUPT: Channel = Channel::new(32);

#[protection_domain]
fn init() -> Console {
    let reader = usize::try_from(*var!(console_reader: u64 = 63)).ok();
    let reader = reader.filter(|reader| *reader < INTERRUPT.index()).map(Channel::new);
    let mut port = SerialPort::open();
    if reader.is_some() {
        port.listen();
    }
    Console { port, reader, trace: Trace::open(|| None) }
}

struct Console {
    port: SerialPort,
    /// The client that may read.
    reader: Option<Channel>,
    trace: Trace,
}

impl Console {
    fn answer(&mut self, client: Channel, request: &Message) -> Result<Message, ProtocolError> {
        match Request::decode(request)? {
            Request::Write(text) => {
                for byte in text.bytes() {
                    self.port.put(*byte);
                }
                Ok(console_api::done())
            }
            Request::Read if self.reader == Some(client) => Ok(console_api::typed(&self.read())),
            Request::Read => Err(ProtocolError::UnknownOperation),
        }
    }

    /// Returns what was typed. If that is all, there will be an interrupt for what comes next.
    fn read(&mut self) -> Text {
        let text: Text = core::iter::from_fn(|| self.port.get()).collect();
        if text.bytes().len() < console_api::TEXT_BYTES_MAX {
            // CAP: the domain's own interrupt. If the kernel refused, nothing more could be typed,
            // and nobody else would notice.
            let _ = INTERRUPT.irq_ack();
        }
        text
    }
}

impl Handler for Console {
    type Error = Infallible;

    fn protected(
        &mut self,
        client: Channel,
        request: MessageInfo,
    ) -> Result<MessageInfo, Infallible> {
        let request = self.trace.receive(client.index(), &request);
        let reply = request.and_then(|request| self.answer(client, &request));
        Ok(self.trace.send(&reply.unwrap_or_else(|error| error.reply())))
    }

    /// The interrupt: something was typed. Nobody else notifies the console.
    fn notified(&mut self, _: ChannelSet) -> Result<(), Infallible> {
        self.trace.begin_notified();
        if let Some(reader) = self.reader {
            reader.notify();
        }
        self.trace.end(&Message::default());
        Ok(())
    }

    /// The console has no children.
    fn fault(&mut self, _: Child, _: MessageInfo) -> Result<Option<MessageInfo>, Infallible> {
        Ok(None)
    }
}
