// SPDX-License-Identifier: BSD-2-Clause
//! Preemption: domains of higher priority run while another one runs, periodically or when they
//! were notified.

use std::rc::Rc;

use proto::Message;

use super::departure::Departure;
use super::domain::Domain;
use super::{Shared, unwinding};

impl Shared {
    /// Returns the periodic domains that can preempt this one and still run, with their periods.
    pub(super) fn above(&self, current: usize) -> impl Iterator<Item = (usize, u64)> {
        let priority = self.file.domains[current].priority;
        let domains = self.file.domains.iter().enumerate();
        domains
            .filter(move |(_, domain)| domain.priority > priority)
            .filter(|(index, _)| !self.domains[*index].is_stopped.get())
            .filter_map(|(index, domain)| Some((index, domain.period_micros?)))
    }

    /// Runs the domains of higher priority whose period has begun or that were notified. Then
    /// returns, or unwinds the current domain if one of them had it redirected.
    pub(super) fn preempt(self: &Rc<Self>, current: usize) {
        self.run_periods(current);
        while let Some(domain) = self.next_notified(current) {
            self.notify(domain);
        }
        self.follow_redirection(current);
    }

    fn run_periods(self: &Rc<Self>, current: usize) {
        for (index, period) in self.above(current) {
            let state = &self.domains[index];
            let now = self.clock.now().get();
            if now >= state.next_period.get() && !state.is_stopped.get() {
                state.next_period.set(now + period);
                let domain = Domain::new(Rc::clone(self), index);
                let program = &self.file.domains[index].program;
                if unwinding(|| super::programs::run_period(program, &domain)).is_err() {
                    state.is_stopped.set(true);
                }
            }
        }
    }

    /// Returns the notified domain of the highest priority, if that is above the current one. Other
    /// domains wait until the current one has replied or blocks.
    fn next_notified(&self, current: usize) -> Option<usize> {
        for peer in self.server.borrow_mut().kernel_mut().take_notifications() {
            let domain = (0..self.domains.len()).find(|&domain| self.peer(domain) == Some(peer));
            self.domains[domain.expect("every peer is a domain")].is_notified.set(true);
        }
        let priority = |domain: usize| self.file.domains[domain].priority;
        let waits = |domain: usize| {
            let state = &self.domains[domain];
            state.is_notified.get() && !state.is_stopped.get() && state.program.is_some()
        };
        let above = (0..self.domains.len()).filter(|&domain| priority(domain) > priority(current));
        above.filter(|&domain| waits(domain)).max_by_key(|&domain| priority(domain))
    }

    /// Runs a domain's handler of notifications. No caller waits for a reply, so a fault in it has
    /// no other effect than that the domain recovers or is stopped.
    fn notify(self: &Rc<Self>, domain: usize) {
        self.domains[domain].is_notified.set(false);
        let outcome = unwinding(|| {
            self.follow_redirection(domain);
            self.served(domain, |service| service.notified());
            Message::default()
        });
        match self.recovered(domain, outcome) {
            Ok(_) => {}
            Err(hung @ Departure::Hung { .. }) => hung.unwind(),
            Err(_) => self.domains[domain].is_stopped.set(true),
        }
    }
}
