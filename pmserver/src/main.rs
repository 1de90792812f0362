// SPDX-License-Identifier: BSD-2-Clause
//! The physical memory server as a protection domain: hands messages and faults to the core.
//!
//! Owns the pool of untyped memory and the VSpaces of its children. Decides nothing: a request is
//! decoded, decided and answered in `pmserver/core`, which acts through `kernel.rs`.
#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod capabilities;
mod clock;
mod fault;
mod kernel;
mod regions;
mod start;

use console_api::Client;
use pd::PpChannel;
use pmserver_core::Server;
use proto::{Message, PeerId, ProtocolError};
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
        Ok(server) => PmServer {
            server,
            console: Client::new(PpChannel::new(CONSOLE)),
            reply: Message::default(),
        },
        // Nobody can call yet, and without a pool there is nothing to answer.
        #[allow(clippy::panic)]
        Err(error) => panic!("pmserver cannot start: {error}"),
    }
}

struct PmServer {
    server: Server<Sel4Kernel>,
    console: Client<PpChannel>,
    /// Where replies are written: to clear one for each call takes time.
    reply: Message,
}

impl Handler for PmServer {
    type Error = Infallible;

    #[inline(always)]
    fn protected(
        &mut self,
        channel: Channel,
        request: MessageInfo,
    ) -> Result<MessageInfo, Infallible> {
        match (peer(channel.index()), &pd::receive(&request)) {
            (Some(caller), Ok(message)) => self.server.answer(caller, message, &mut self.reply),
            (None, _) => self.reply = ProtocolError::UnknownOperation.reply(),
            (_, Err(error)) => self.reply = error.reply(),
        }
        Ok(pd::send(&self.reply))
    }

    /// Ignores notifications: nothing in pmserver's protocol uses them.
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
        // Every fault gets a reply: the child donated its scheduling context with the fault, and
        // only a reply gives it back. If the core repaired the fault, the child tries the access
        // again. If the core redirected the child, it continues at the new address. If the core
        // stopped it, it answers its callers from now on, and does nothing else.
        Ok(Some(MessageInfo::default()))
    }
}

/// Returns the peer whose channel or child has this number: both have the number of the peer
/// (microkit-system.xml).
fn peer(number: usize) -> Option<PeerId> {
    PeerId::new(u64::try_from(number).ok()?)
}
