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
use pd::{PpChannel, Wake};
use pmserver_core::Server;
use proto::{Message, PeerId, ProtocolError};
use sel4_microkit::{Handler, Infallible, MessageInfo, Never, protection_domain};

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

    fn run(&mut self) -> Result<Never, Infallible> {
        let mut woken = pd::wait_passive();
        loop {
            woken = pd::reply_and_wait(match woken {
                (Wake::Request(channel), request) => Some(self.protected(channel, &request)),
                (Wake::Fault(child), fault) => Some(self.fault(child, &fault)),
                // Nothing in pmserver's protocol uses notifications.
                (Wake::Notification, _) => None,
            });
        }
    }
}

impl PmServer {
    #[inline(always)]
    fn protected(&mut self, channel: u64, request: &MessageInfo) -> MessageInfo {
        let mut reply = Message::default();
        // A channel has the number of the peer (microkit-system.xml).
        match (PeerId::new(channel), &pd::receive(request)) {
            (Some(caller), Ok(message)) => self.server.answer(caller, message, &mut reply),
            (None, _) => reply = ProtocolError::UnknownOperation.reply(),
            (_, Err(error)) => reply = error.reply(),
        }
        pd::send(&reply)
    }

    fn fault(&mut self, child: u64, message: &MessageInfo) -> MessageInfo {
        let fault = fault_of(message);
        // A child has the number of the peer, too.
        if let Some(peer) = PeerId::new(child) {
            self.server.fault(peer, fault, &mut self.console);
        }
        // Every fault gets a reply: the child donated its scheduling context with the fault, and
        // only a reply gives it back. If the core repaired the fault, the child tries the access
        // again. If the core redirected the child, it continues at the new address. If the core
        // stopped it, it answers its callers from now on, and does nothing else.
        MessageInfo::default()
    }
}
