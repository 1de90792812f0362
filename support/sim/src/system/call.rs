// SPDX-License-Identifier: BSD-2-Clause
//! Protected procedures, turns, and what follows when a server does not answer.

use std::rc::Rc;

use pmserver_api::PmError;
use proto::{Message, Transport};

use super::departure::Departure;
use super::domain::Domain;
use super::{Shared, unwinding};

/// What a call costs on the virtual clock, there and back.
const CALL_MICROS: u64 = 2;

/// A domain's end of a channel.
#[derive(Clone)]
pub struct Channel {
    shared: Rc<Shared>,
    domain: usize,
    id: u8,
}

impl Channel {
    pub(super) const fn new(shared: Rc<Shared>, domain: usize, id: u8) -> Self {
        Self { shared, domain, id }
    }
}

impl Transport for Channel {
    fn call(&mut self, request: Message) -> Message {
        // A domain that has left for its recovery entry, or for good, abandons its stack: what is
        // dropped here while that is unwound makes no calls there.
        if std::thread::panicking() {
            return pmserver_api::Failure::from(PmError::InvalidCap).reply();
        }
        let reply = self.shared.call(self.domain, self.id, &request);
        self.shared.preempt(self.domain);
        reply
    }
}

impl Shared {
    fn call(self: &Rc<Self>, caller: usize, id: u8, request: &Message) -> Message {
        self.clock.advance(CALL_MICROS);
        let (_, end) = self.file.channel(caller, id).expect("a channel is made by `Domain`");
        let callee = end.domain;
        if self.domains[callee].is_stopped.get() {
            Departure::Blocked { domain: caller, on: callee }.go();
        }
        match self.file.domains[callee].program.as_str() {
            "pmserver" => {
                // pmserver knows its callers by their channels, which have their children's
                // numbers.
                let peer = proto::PeerId::new(end.id.into()).expect("a channel has a small number");
                self.server.borrow_mut().call(peer, request)
            }
            "console" => super::programs::print(&mut *self.screen.borrow_mut(), request),
            _ => self.call_service(caller, callee, end.id, request),
        }
    }

    fn call_service(
        self: &Rc<Self>,
        caller: usize,
        callee: usize,
        channel: u8,
        request: &Message,
    ) -> Message {
        let outcome = unwinding(|| {
            self.follow_redirection(callee);
            let mut service = self.domains[callee].service.borrow_mut();
            service
                .as_mut()
                .expect("servers start before their clients")
                .protected(channel, request)
        });
        let outcome = match outcome {
            Err(Departure::Redirected { domain }) if domain == callee => {
                unwinding(|| self.recover(callee))
            }
            other => other,
        };
        match outcome {
            Ok(reply) => reply,
            Err(hung @ Departure::Hung { .. }) => hung.go(),
            Err(_) => {
                self.domains[callee].is_stopped.set(true);
                Departure::Blocked { domain: caller, on: callee }.go()
            }
        }
    }

    fn recover(self: &Rc<Self>, domain: usize) -> Message {
        let state = &self.domains[domain];
        state.followed_writes.set(self.register_writes(domain));
        let program = state.program.as_ref().expect("a service has a program");
        let (service, reply) = program.recover(&Domain::new(Rc::clone(self), domain));
        *state.service.borrow_mut() = Some(service);
        reply
    }

    /// Returns the domains that take their turns while this one runs.
    pub(super) fn above(&self, current: usize) -> impl Iterator<Item = (usize, u64)> {
        let priority = self.file.domains[current].priority;
        let domains = self.file.domains.iter().enumerate();
        domains
            .filter(move |(_, domain)| domain.priority > priority)
            .filter_map(|(index, domain)| Some((index, domain.period_micros?)))
    }

    /// Lets domains of higher priority run whose period has begun; then goes on, or somewhere else
    /// if one of them had that done to this domain.
    pub(super) fn preempt(self: &Rc<Self>, current: usize) {
        for (index, period) in self.above(current) {
            let state = &self.domains[index];
            let now = self.clock.now().get();
            if now >= state.next_period.get() && !state.is_stopped.get() {
                state.next_period.set(now + period);
                let domain = Domain::new(Rc::clone(self), index);
                super::programs::run_period(&self.file.domains[index].program, &domain);
            }
        }
        self.follow_redirection(current);
    }

    /// Goes where the domain's registers say, if somebody wrote them.
    fn follow_redirection(&self, domain: usize) {
        if self.register_writes(domain) != self.domains[domain].followed_writes.get() {
            Departure::Redirected { domain }.go();
        }
    }

    fn register_writes(&self, domain: usize) -> u64 {
        self.peer(domain)
            .and_then(|peer| self.server.borrow().kernel().thread(peer))
            .map_or(0, |thread| thread.writes)
    }
}
