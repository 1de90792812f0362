// SPDX-License-Identifier: BSD-2-Clause
//! Puppets, the domains that scenarios control remotely, as simulated programs.

use std::cell::Cell;
use std::rc::Rc;

use pmserver_client::Pm;
use proto::{AddressSpace, Message, Service};
use puppet_core::{Puppet, Recovery, faulted};

use super::call::Channel;
use super::domain::{Domain, Program, Space};
use super::programs::{PMSERVER, register_recovery};

/// The program of every puppet.
#[derive(Default)]
pub(super) struct PuppetProgram {
    /// What it does at its recovery entry.
    plan: Rc<Cell<Recovery>>,
}

impl PuppetProgram {
    fn service(&self, domain: &Domain) -> Box<dyn Service> {
        let puppet = Puppet::new(domain.channel(PMSERVER), domain.space(), domain.clone());
        Box::new(PuppetService { puppet, plan: Rc::clone(&self.plan) })
    }
}

impl Program for PuppetProgram {
    fn start(&self, domain: &Domain) -> Box<dyn Service> {
        register(domain);
        self.service(domain)
    }

    fn recover(&self, domain: &Domain) -> (Box<dyn Service>, Message) {
        if self.plan.get().registers() {
            register(domain);
        }
        while self.plan.get().hangs() {
            domain.space().relax();
        }
        (self.service(domain), faulted())
    }
}

/// Says where the puppet goes on. If this is refused, its next fault stops it, and a scenario
/// fails.
fn register(domain: &Domain) {
    let _ = register_recovery(&Pm::new(domain.channel(PMSERVER)));
}

struct PuppetService {
    puppet: Puppet<Channel, Space, Domain>,
    plan: Rc<Cell<Recovery>>,
}

impl Service for PuppetService {
    fn protected(&mut self, _: u8, request: &Message) -> Message {
        if let Some(plan) = Recovery::of(request) {
            self.plan.set(plan);
        }
        self.puppet.call(request)
    }

    fn notified(&mut self) {
        self.puppet.notified();
    }
}
