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
use pd::{PpChannel, Trace, Wake, Woken};
use pmserver_core::Server;
use proto::{Message, PeerId, ProtocolError};
use sel4_microkit::{Handler, Infallible, Never, protection_domain};

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
            trace: Trace::open(|| Some(clock::read().1)),
        },
        // Nobody can call yet, and without a pool there is nothing to answer.
        #[allow(clippy::panic)]
        Err(error) => panic!("pmserver cannot start: {error}"),
    }
}

struct PmServer {
    server: Server<Sel4Kernel>,
    console: Client<PpChannel>,
    trace: Trace,
}

impl Handler for PmServer {
    type Error = Infallible;

    fn run(&mut self) -> Result<Never, Infallible> {
        let mut woken = pd::wait_first();
        loop {
            let mut reply = Message::default();
            woken = match woken.cause() {
                Wake::Request(channel) => {
                    self.trace.begin(&woken);
                    self.protected(channel, &woken, &mut reply);
                    self.trace.end(&reply);
                    pd::reply_and_wait(&reply)
                }
                Wake::Fault(child) => {
                    self.trace.begin(&woken);
                    self.fault(child, &woken);
                    self.trace.end(&reply);
                    pd::reply_and_wait(&reply)
                }
                // Nothing in pmserver's protocol uses notifications.
                Wake::Notification => pd::wait(),
            };
        }
    }
}

impl PmServer {
    #[inline(always)]
    fn protected(&mut self, channel: u64, request: &Woken, reply: &mut Message) {
        // A channel has the number of the peer (microkit-system.xml).
        match (PeerId::new(channel), &request.message()) {
            (Some(caller), Ok(message)) => self.server.answer(caller, message, reply),
            (None, _) => *reply = ProtocolError::UnknownOperation.reply(),
            (_, Err(error)) => *reply = error.reply(),
        }
    }

    /// Decides what becomes of a child that faulted. Every fault gets an empty reply: the child
    /// donated its scheduling context with the fault, and only a reply gives it back. If the core
    /// repaired the fault, the child tries the access again. If the core redirected the child, it
    /// continues at the new address. If the core stopped it, it answers its callers from now on,
    /// and does nothing else.
    fn fault(&mut self, child: u64, fault: &Woken) {
        let fault = fault_of(fault);
        // A child has the number of the peer, too.
        if let Some(peer) = PeerId::new(child) {
            self.server.fault(peer, fault, &mut self.console);
        }
    }
}
