// SPDX-License-Identifier: BSD-2-Clause
//! Puppets, the domains that scenarios control remotely, as simulated programs.

use pmserver_client::Pm;
use proto::Message;
use puppet_core::{Puppet, faulted};

use super::call::Channel;
use super::domain::{Domain, Program, Service, Space};
use super::programs::{PMSERVER, register_recovery};

/// The program of every puppet.
pub(super) struct PuppetProgram;

impl PuppetProgram {
    fn service(domain: &Domain) -> Box<dyn Service> {
        // If this is refused, the next fault stops the puppet, and a scenario fails.
        let _ = register_recovery(&Pm::new(domain.channel(PMSERVER)));
        let puppet = Puppet::new(domain.channel(PMSERVER), domain.space(), domain.clone());
        Box::new(PuppetService(puppet))
    }
}

impl Program for PuppetProgram {
    fn start(&self, domain: &Domain) -> Box<dyn Service> {
        Self::service(domain)
    }

    fn recover(&self, domain: &Domain) -> (Box<dyn Service>, Message) {
        (Self::service(domain), faulted())
    }
}

struct PuppetService(Puppet<Channel, Space, Domain>);

impl Service for PuppetService {
    fn protected(&mut self, _: u8, request: &Message) -> Message {
        self.0.call(request)
    }

    fn notified(&mut self) {
        self.0.notified();
    }
}
