// SPDX-License-Identifier: BSD-2-Clause
//! The physical memory server as a protection domain: hands messages and faults to the core.
//!
//! Owns the pool of untyped memory and the VSpaces of its children. Decides nothing: a request is
//! decoded, decided and answered in `pmserver/core`, which acts through `kernel.rs`.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod capabilities;
mod fault;
mod kernel;
mod regions;
mod start;

use console_api::Client;
use pd::PpChannel;
use pmserver_core::Server;
use proto::{PeerId, ProtocolError};
use sel4_microkit::{
    Channel, ChannelSet, Child, Handler, Infallible, MessageInfo, protection_domain,
};

use fault::fault_of;
use kernel::Sel4Kernel;
use start::start;

/// The channel to the console.
const CONSOLE: usize = 0;

#[protection_domain]
fn init() -> PmServer {
    pd::report_panics::<CONSOLE>();
    match start() {
        Ok(server) => PmServer { server, console: Client::new(PpChannel::new(CONSOLE)) },
        // Nobody can call yet, and without a pool there is nothing to answer.
        #[allow(clippy::panic)]
        Err(error) => panic!("pmserver cannot start: {error}"),
    }
}

struct PmServer {
    server: Server<Sel4Kernel>,
    console: Client<PpChannel>,
}

impl Handler for PmServer {
    type Error = Infallible;

    fn protected(
        &mut self,
        channel: Channel,
        request: MessageInfo,
    ) -> Result<MessageInfo, Infallible> {
        let reply = match (peer(channel.index()), pd::receive(&request)) {
            (Some(caller), Ok(message)) => self.server.call(caller, &message),
            (None, _) => ProtocolError::UnknownOperation.reply(),
            (_, Err(error)) => error.reply(),
        };
        Ok(pd::send(&reply))
    }

    /// Nobody has a reason to notify pmserver; a notification asks for nothing.
    fn notified(&mut self, _: ChannelSet) -> Result<(), Infallible> {
        Ok(())
    }

    fn fault(
        &mut self,
        child: Child,
        message: MessageInfo,
    ) -> Result<Option<MessageInfo>, Infallible> {
        let fault = fault_of(&message);
        if let Some(peer) = peer(child.index()) {
            self.server.fault(peer, fault, &mut self.console);
        }
        // Replied to in any case: a fault comes with the child's scheduling context, which only a
        // reply gives back. One that got what it lacked tries again; one that was sent elsewhere
        // goes on there; one that was stopped answers its callers from now on.
        Ok(Some(MessageInfo::default()))
    }
}

/// A channel and the child behind it have the number of the peer (microkit-system.xml).
fn peer(number: usize) -> Option<PeerId> {
    PeerId::new(u64::try_from(number).ok()?)
}
