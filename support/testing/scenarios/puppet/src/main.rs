// SPDX-License-Identifier: BSD-2-Clause
//! A puppet as a protection domain: one program that several domains of the scenario system run.
//!
//! Owns nothing but its channels. What it can be told to do is in `puppet/core`; if it faults over
//! that, it continues in `recovery.rs`.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod recovery;

use pd::{OwnGrants, PpChannel};
use pmserver_client::Pm;
use puppet_core::Puppet;
use sel4_microkit::{
    Channel, ChannelSet, Child, Handler, Infallible, MessageInfo, protection_domain,
};
use shm::OwnMemory;

/// The channel to pmserver.
const PMSERVER: usize = 0;

#[protection_domain]
fn init() -> PuppetDomain {
    pd::recovery::prepare();
    recovery::register(&Pm::new(PpChannel::new(PMSERVER)));
    PuppetDomain(Puppet::new(PpChannel::new(PMSERVER), OwnMemory, OwnGrants))
}

struct PuppetDomain(Puppet<PpChannel, OwnMemory, OwnGrants>);

impl Handler for PuppetDomain {
    type Error = Infallible;

    fn protected(&mut self, _: Channel, request: MessageInfo) -> Result<MessageInfo, Infallible> {
        let reply = match pd::receive(&request) {
            Ok(request) => {
                recovery::plan(&request);
                self.0.call(&request)
            }
            Err(error) => error.reply(),
        };
        Ok(pd::send(&reply))
    }

    /// Only pmserver notifies it.
    fn notified(&mut self, _: ChannelSet) -> Result<(), Infallible> {
        self.0.notified();
        Ok(())
    }

    /// A puppet has no children.
    fn fault(&mut self, _: Child, _: MessageInfo) -> Result<Option<MessageInfo>, Infallible> {
        Ok(None)
    }
}
