// SPDX-License-Identifier: BSD-2-Clause
//! The driver of a virtio disk (Virtual I/O Device 1.2, "Block Device"): lets `block-core` serve
//! its clients, and the crate virtio-drivers speak to the device.
//!
//! Owns the device's registers, its interrupt, and the memory of its queue: frames of its own
//! account, which stay where pmserver has put them. Of the memory of clients it learns bus
//! addresses, by pins, and nothing else: it maps none. It sleeps until there is a call or an
//! interrupt.
//!
//! | module | what it does |
//! |---|---|
//! | `disk` | the device: transfers as chains of descriptors |
//! | `bus` | finds the device: at a fixed place (`mmio.rs`), or on PCI (`pci.rs`) |
//! | `regions` | where virtio-drivers meets memory: the domain's only `unsafe` |
//! | `rings` | the memory of the queue |
//!
//! What virtio-drivers 0.13.0 does that a hostile device could use: `PciTransport::notify` panics
//! if the device moves its notification register out of its BAR, and a list of PCI capabilities
//! that is a circle never ends. Then this domain stops, and pmserver answers its clients. The
//! driver for disks of that crate is not used: its `flush` waits in a loop for the device, without
//! an end, and it cannot discard.
#![no_std]
#![deny(unsafe_code)]

#[cfg_attr(target_arch = "aarch64", path = "mmio.rs")]
#[cfg_attr(target_arch = "x86_64", path = "pci.rs")]
mod bus;
mod disk;
mod regions;
mod rings;

use block_api::{BlockError, Failure};
use block_core::{BlockServer, Device};
use pd::{PpChannel, Trace};
use pmserver_client::{Error, Message, PeerId, Pm, ProtocolError};
use sel4_microkit::{Channel, ChannelSet, Child, Handler, Infallible, MessageInfo};

pub use crate::disk::Disk;

/// The channels, as the system file numbers them. Those below the interrupt are clients.
const PMSERVER: usize = 0;
const INTERRUPT: usize = 32;

/// The domain with its server, or why there is none: then every request is refused with that.
pub struct Driver<D: Device> {
    server: Result<BlockServer<PpChannel, D>, Failure>,
    trace: Trace,
}

/// Starts the disk, and a server of what `wrap` makes of it.
pub fn start<D: Device>(wrap: impl FnOnce(Disk) -> D) -> Driver<D> {
    Driver { trace: Trace::open(|| None), server: serve(wrap) }
}

fn serve<D: Device>(wrap: impl FnOnce(Disk) -> D) -> Result<BlockServer<PpChannel, D>, Failure> {
    rings::reserve(&Pm::new(PpChannel::new(PMSERVER))).map_err(refused)?;
    let transport = bus::find().ok_or(BlockError::NoDisk)?;
    let disk = Disk::start(transport).ok_or(BlockError::NoDisk)?;
    BlockServer::new(PpChannel::new(PMSERVER), wrap(disk))
}

/// What clients are told if pmserver refuses the driver itself something.
fn refused(error: Error) -> Failure {
    Failure::pm_refused(error.kind.status())
}

impl<D: Device> Driver<D> {
    fn answer(&mut self, channel: usize, request: Result<Message, ProtocolError>) -> Message {
        let client = u64::try_from(channel).ok().and_then(PeerId::new);
        match (&mut self.server, request, client) {
            (_, Err(error), _) => error.reply(),
            (_, _, None) => ProtocolError::UnknownOperation.reply(),
            (Err(failure), ..) => failure.reply(),
            (Ok(server), Ok(request), Some(client)) => server.call(client, &request),
        }
    }

    /// Notifies the clients of which a request has ended.
    fn notify(&mut self) {
        let Ok(server) = &mut self.server else { return };
        while let Some(client) = server.take_notice() {
            Channel::new(client.get().into()).notify();
        }
    }
}

impl<D: Device> Handler for Driver<D> {
    type Error = Infallible;

    fn protected(
        &mut self,
        channel: Channel,
        request: MessageInfo,
    ) -> Result<MessageInfo, Infallible> {
        let channel = channel.index();
        let request = self.trace.receive(channel, &request);
        let reply = self.answer(channel, request);
        self.notify();
        Ok(self.trace.send(&reply))
    }

    /// The interrupt; or anybody who wants the driver to look whether the disk hangs.
    fn notified(&mut self, channels: ChannelSet) -> Result<(), Infallible> {
        self.trace.begin_notified();
        if let Ok(server) = &mut self.server {
            server.wake();
        }
        self.trace.end(&Message::default());
        self.notify();
        let interrupt = Channel::new(INTERRUPT);
        if channels.contains(interrupt) {
            // CAP: the domain's own interrupt. The kernel refuses nothing here; if it did, there
            // would be no more interrupts, and requests would end at their deadlines.
            let _ = interrupt.irq_ack();
        }
        Ok(())
    }

    /// The driver has no children.
    fn fault(&mut self, _: Child, _: MessageInfo) -> Result<Option<MessageInfo>, Infallible> {
        Ok(None)
    }
}
