// SPDX-License-Identifier: BSD-2-Clause
//! Protected procedures, and what happens if a server does not reply.

use std::rc::Rc;

use pmserver_api::{AccessKind, PmError};
use pmserver_core::Fault;
use pmserver_setup::LAST_RESORT;
use proto::{Message, PeerId, ProtocolError, Service, Transport};
use trace::Cause;

use super::departure::Departure;
use super::domain::Domain;
use super::programs::RECOVERY_ENTRY;
use super::strike::Moment;
use super::{Shared, unwinding};
use crate::machine::Thread;

/// Virtual time of a call and its reply.
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
        // A domain that is redirected or stopped abandons its stack on seL4. Here the stack is
        // unwound, so destructors that run meanwhile must not make calls.
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
        let call = self.note(caller, Some(callee), request.label());
        self.strike(caller, call, Moment::Sent);
        if self.domains[callee].is_stopped.get() {
            return self.last_resort(caller, callee);
        }
        let reply = match self.file.domains[callee].program.as_str() {
            "pmserver" => {
                // pmserver identifies a caller by its channel, whose number is its child number.
                let peer = PeerId::new(end.id.into()).expect("a channel has a small number");
                self.begin_record(callee, Cause::Request(end.id), request);
                let reply = self.server.borrow_mut().call(peer, request);
                self.end_record(callee, &reply);
                reply
            }
            "console" => {
                self.begin_record(callee, Cause::Request(end.id), request);
                let reply = self.screen.borrow_mut().answer(request);
                self.end_record(callee, &reply);
                reply
            }
            _ => self.call_service(call, (caller, callee), end.id, request),
        };
        self.strike(caller, call, Moment::Answered);
        reply
    }

    fn call_service(
        self: &Rc<Self>,
        call: u64,
        (caller, callee): (usize, usize),
        channel: u8,
        request: &Message,
    ) -> Message {
        let outcome = unwinding(|| {
            self.follow_redirection(callee);
            self.strike(callee, call, Moment::Received);
            self.begin_record(callee, Cause::Request(channel), request);
            let reply = self.served(callee, |service| service.protected(channel, request));
            self.end_record(callee, &reply);
            self.strike(callee, call, Moment::Served);
            reply
        });
        match self.recovered(callee, outcome) {
            Ok(reply) => reply,
            Err(hung @ Departure::Hung { .. }) => hung.unwind(),
            Err(Departure::Stopped { domain }) if domain == callee => {
                self.last_resort(caller, callee)
            }
            Err(_) => {
                self.domains[callee].is_stopped.set(true);
                Departure::Blocked { domain: caller, on: callee }.unwind()
            }
        }
    }

    /// Lets a domain's service do something.
    pub(super) fn served<R>(&self, domain: usize, serve: impl FnOnce(&mut dyn Service) -> R) -> R {
        let mut service = self.domains[domain].service.borrow_mut();
        serve(service.as_mut().expect("servers start before their clients").as_mut())
    }

    /// Returns the answer of a stopped domain (PM-370), if that is where its thread goes on;
    /// otherwise the caller waits for ever.
    fn last_resort(&self, caller: usize, callee: usize) -> Message {
        match self.thread(callee) {
            Some((_, thread)) if thread.pc == LAST_RESORT && !thread.is_retired => {
                ProtocolError::Stopped.reply()
            }
            _ => Departure::Blocked { domain: caller, on: callee }.unwind(),
        }
    }

    /// If the domain was redirected, runs it at its recovery entry and returns the result of that.
    pub(super) fn recovered(
        self: &Rc<Self>,
        domain: usize,
        outcome: Result<Message, Departure>,
    ) -> Result<Message, Departure> {
        let mut outcome = outcome;
        // It may be sent on from there.
        while outcome == Err(Departure::Redirected { domain }) {
            outcome = unwinding(|| self.recover(domain));
        }
        outcome
    }

    fn recover(self: &Rc<Self>, domain: usize) -> Message {
        let state = &self.domains[domain];
        state.followed_writes.set(self.register_writes(domain));
        self.fetch_instruction(domain);
        let program = state.program.as_ref().expect("a service has a program");
        let (service, reply) = program.recover(&Domain::new(Rc::clone(self), domain));
        *state.service.borrow_mut() = Some(service);
        reply
    }

    /// Fetches the domain's next instruction, which faults unless its pc is the recovery entry or
    /// its last resort.
    fn fetch_instruction(self: &Rc<Self>, domain: usize) {
        let Some((peer, thread)) = self.thread(domain) else { return };
        if thread.pc == LAST_RESORT {
            self.domains[domain].is_stopped.set(true);
            Departure::Stopped { domain }.unwind();
        }
        if thread.pc != RECOVERY_ENTRY.get() {
            let fault = Fault::Access { address: thread.pc, kind: AccessKind::Execute };
            self.fault(domain, peer, fault);
        }
    }

    /// Unwinds the domain if pmserver has written its registers since it last checked.
    pub(super) fn follow_redirection(&self, domain: usize) {
        if self.register_writes(domain) != self.domains[domain].followed_writes.get() {
            Departure::Redirected { domain }.unwind();
        }
    }

    fn register_writes(&self, domain: usize) -> u64 {
        self.thread(domain).map_or(0, |(_, thread)| thread.writes)
    }

    fn thread(&self, domain: usize) -> Option<(PeerId, Thread)> {
        let peer = self.peer(domain)?;
        self.server.borrow().kernel().thread(peer).map(|thread| (peer, thread))
    }
}
